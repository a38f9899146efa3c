//! A client as `assets/static/client/connection.js` is one, and `docs/protocol.md` wants it to be.

use crate::{
    chance::Chance,
    clock::{MILLISECOND, Nanos, SECOND},
};

/// The times between which the first try is made: `FIRST_RETRY` of `src/channels/protocol/rich.rs`.
pub const FIRST: [Nanos; 2] = [0, 5 * SECOND];
/// The same after the `bye` of a server that stops: `RESTART_RETRY`, in the same file.
pub const AFTER_RESTART: [Nanos; 2] = [0, 8 * SECOND];
/// `MAX_RETRY` of `src/channels/protocol/hello.rs`.
const LONGEST: Nanos = 20 * SECOND;

/// How long it waits for `hello`, and for a reply: `GREETED_WITHIN` and `REPLY_WITHIN`.
pub const GREETED_WITHIN: Nanos = 10 * SECOND;
pub const REPLY_WITHIN: Nanos = 15 * SECOND;

pub struct Client {
    /// The node that it was, or is, connected to.
    pub node: usize,
    pub is_connected: bool,
    /// Connections that it has lost: what was planned for an earlier one is void.
    pub life: u32,
    /// Whether it has its places in groups there.
    pub has_places: bool,
    /// Whether it must buy an access token first.
    pub is_stale: bool,
    /// Waits since all was well: since `hello`, as it is.
    tries: u32,
    /// When it must have heard what it waits for.
    pub deadline: Nanos,
    /// Groups of which its node must count the members, and logs of which it must read a page.
    pub uncounted: u64,
    pub unread: u64,
    /// Since when it misses what happens.
    pub away_since: Option<Nanos>,
}

impl Client {
    pub fn at(node: usize) -> Self {
        Self {
            node,
            is_connected: true,
            life: 0,
            has_places: true,
            is_stale: false,
            tries: 0,
            deadline: 0,
            uncounted: 0,
            unread: 0,
            away_since: None,
        }
    }

    /// The next loss is the first again.
    pub fn begin_anew(&mut self) {
        self.tries = 0;
    }

    /// How long it waits before the next try.
    pub fn backoff(&mut self, first: [Nanos; 2], has_jitter: bool, chance: &mut Chance) -> Nanos {
        let longer = (FIRST[1] << self.tries.min(8)).min(LONGEST);
        let [low, high] = if self.tries == 0 { first } else { [0, longer] };
        self.tries += 1;
        if has_jitter {
            low + chance.below(high - low)
        } else if self.tries == 1 {
            // As clients do that know nothing of it: at once, and then ever later.
            10 * MILLISECOND
        } else {
            high
        }
    }
}
