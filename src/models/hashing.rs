//! Where passwords are hashed: threads of their own, one fewer than there are cores.
//!
//! Hashing takes some 10 ms and 19 MiB by design (argon2id, RFC 9106). What is asked for waits its
//! turn, so memory does not grow with it, and no more waits than can be done in the time that
//! somebody waits for it. One core stays free of it, where there is more than one: however many log
//! in, messages go on. (Threads on all cores that give way by their priority do not do that: who is
//! put aside may hold a lock.)

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, available_parallelism},
    time::Duration,
};

use argon2::Block;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

/// How much may wait: on two cores, for 5 s.
const WAITING: usize = 512;

/// How long anybody waits for their turn.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// A thread that has done nothing for this long gives its memory back.
const IDLE: Duration = Duration::from_secs(10);

/// There is no turn for it in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being hashed at the moment")]
pub struct Busy;

type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// What one thread hashes in, kept from one hash to the next: to have 19 MiB of the kernel, page by
/// page, and to give them back takes time of a lock that all threads of the process need.
#[derive(Default)]
pub struct Memory(Vec<Block>);

impl Memory {
    /// So many blocks of 1 KiB, whatever is in them.
    pub fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.0.len() < count {
            self.0.resize(count, Block::default());
        }
        self.0.split_at_mut(count).0
    }
}

static HASHING: LazyLock<Hashing> = LazyLock::new(Hashing::start);

struct Hashing {
    jobs: Sender<Job>,
    /// A permit for each job that waits or is being done.
    room: Arc<Semaphore>,
    /// Whether it was said that there is none left, so that it is said once.
    said_full: AtomicBool,
}

/// Whether there is room for one more: who would find none later is better told at once.
///
/// # Errors
/// [`Busy`] where not.
pub fn expect_room() -> Result<(), Busy> {
    if HASHING.room.available_permits() == 0 {
        return Err(HASHING.refuse());
    }
    Ok(())
}

/// Does something in its turn; not any more if nobody waits for it.
///
/// # Errors
/// [`Busy`] when too much waits already, or no turn came within 10 s.
pub async fn in_turn<T: Send + 'static>(
    work: impl FnOnce(&mut Memory) -> T + Send + 'static,
) -> Result<T, Busy> {
    let room = HASHING.room()?;
    let (done, result) = oneshot::channel();
    let job = Box::new(move |memory: &mut Memory| {
        if !done.is_closed() {
            // In vain where the client has hung up meanwhile.
            let _ = done.send(work(memory));
        }
        drop(room);
    });
    HASHING.jobs.send(job).map_err(|_| Busy)?;
    match timeout(TURN_WITHIN, result).await {
        Ok(Ok(result)) => Ok(result),
        _ => Err(Busy),
    }
}

impl Hashing {
    fn start() -> Self {
        let (jobs, queue) = unbounded::<Job>();
        let cores = available_parallelism().map_or(1, usize::from);
        let turns = cores.saturating_sub(1).max(1);
        for _ in 0..turns {
            let queue = queue.clone();
            let thread = thread::Builder::new().name("hashing".to_owned());
            if let Err(error) = thread.spawn(move || work_off(&queue)) {
                tracing::error!(%error, "a thread to hash passwords could not be started");
            }
        }
        Self {
            jobs,
            room: Arc::new(Semaphore::new(turns + WAITING)),
            said_full: AtomicBool::new(false),
        }
    }

    fn room(&self) -> Result<OwnedSemaphorePermit, Busy> {
        let room = self.room.clone().try_acquire_owned();
        let room = room.map_err(|_| self.refuse())?;
        if self.room.available_permits() > WAITING / 2 {
            self.said_full.store(false, Ordering::Relaxed);
        }
        Ok(room)
    }

    fn refuse(&self) -> Busy {
        if !self.said_full.swap(true, Ordering::Relaxed) {
            tracing::warn!("logins are refused: more passwords come than can be hashed");
        }
        Busy
    }
}

/// Ends with the process.
fn work_off(queue: &Receiver<Job>) {
    let mut memory = Memory::default();
    loop {
        match queue.recv_timeout(IDLE) {
            // One that panics must not take the thread with it; who waits is told that it is busy.
            Ok(job) => drop(catch_unwind(AssertUnwindSafe(|| job(&mut memory)))),
            Err(RecvTimeoutError::Timeout) => memory = Memory::default(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
