//! Where passwords are hashed: threads of their own, one for each core, that give way to all others.
//!
//! Hashing takes some 20 ms and 19 MiB by design (argon2id, RFC 9106). What is asked for waits its
//! turn, so memory does not grow with it, and no more waits than can be done in the time that
//! somebody waits for it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, available_parallelism},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

/// How much may wait: on two cores, for 6 s.
const WAITING: usize = 512;

/// How long anybody waits for their turn.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// What is left of a core to a hash beside one who works all the time: a quarter. Sockets are served
/// at once, and a login still comes to its end on a machine that is busy otherwise.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

/// There is no turn for it in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being hashed at the moment")]
pub struct Busy;

type Job = Box<dyn FnOnce() + Send>;

static HASHING: LazyLock<Hashing> = LazyLock::new(Hashing::start);

struct Hashing {
    jobs: mpsc::Sender<Job>,
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
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Busy> {
    let room = HASHING.room()?;
    let (done, result) = oneshot::channel();
    let job = Box::new(move || {
        if !done.is_closed() {
            // In vain where the client has hung up meanwhile.
            let _ = done.send(work());
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
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let turns = available_parallelism().map_or(2, usize::from);
        for _ in 0..turns {
            let queue = queue.clone();
            let started = thread::Builder::new()
                .name("hashing".to_owned())
                .spawn(move || work_off(&queue));
            if let Err(error) = started {
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
fn work_off(queue: &Mutex<mpsc::Receiver<Job>>) {
    give_way();
    loop {
        // Held while it waits: one thread waits for the next job, the others for the lock.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            // One that panics must not take the thread with it; who waits is told that it is busy.
            Ok(job) => drop(catch_unwind(AssertUnwindSafe(job))),
            Err(mpsc::RecvError) => return,
        }
    }
}

/// Has the kernel prefer other threads to this one.
fn give_way() {
    // Elsewhere than on Linux it would be the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "hashing does not give way");
    }
}
