//! How much of Redis is in reach.

use tokio::sync::watch;

#[derive(Clone)]
pub(super) struct Reach(watch::Sender<State>);

/// What others wait for.
pub(super) type Reached = watch::Receiver<State>;

#[derive(Default)]
pub(super) struct State {
    /// Servers that should be connected; `None` until it is known which.
    wanted: Option<usize>,
    /// Servers that are.
    up: usize,
}

impl State {
    /// Whether all topics can be published.
    pub fn is_whole(&self) -> bool {
        self.wanted == Some(self.up)
    }

    pub fn is_known(&self) -> bool {
        self.wanted.is_some()
    }
}

impl Reach {
    pub fn new() -> (Self, Reached) {
        let (reach, reached) = watch::channel(State::default());
        (Self(reach), reached)
    }

    pub fn want(&self, servers: usize) {
        self.0.send_modify(|state| state.wanted = Some(servers));
    }

    /// A server is connected as long as what this gives is kept.
    pub fn up(&self) -> Up {
        self.0.send_modify(|state| state.up += 1);
        Up(self.0.clone())
    }
}

pub(super) struct Up(watch::Sender<State>);

impl Drop for Up {
    fn drop(&mut self) {
        self.0.send_modify(|state| state.up -= 1);
    }
}
