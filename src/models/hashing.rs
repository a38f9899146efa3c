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

/// What is to be done, which gives what is to be done with the result.
type Job = Box<dyn FnOnce() -> Answer + Send>;

type Answer = Box<dyn FnOnce() + Send>;

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
    let job = Box::new(move || -> Answer {
        let result = (!done.is_closed()).then(work);
        Box::new(move || {
            if let Some(result) = result {
                // In vain where the client has hung up meanwhile.
                let _ = done.send(result);
            }
            drop(room);
        })
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
        let (answers, answered) = mpsc::channel::<Answer>();
        start_thread("hashed", move || {
            answered.into_iter().for_each(|answer| answer())
        });
        let turns = available_parallelism().map_or(2, usize::from);
        for _ in 0..turns {
            let (queue, answers) = (queue.clone(), answers.clone());
            start_thread("hashing", move || work_off(&queue, &answers));
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

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    if let Err(error) = started {
        tracing::error!(%error, "a thread to hash passwords could not be started");
    }
}

/// Ends with the process.
///
/// Who waits is told by a thread that does not give way: to wake a task takes locks of the runtime,
/// and who is put aside while it holds one keeps all sockets waiting.
fn work_off(queue: &Mutex<mpsc::Receiver<Job>>, answers: &mpsc::Sender<Answer>) {
    give_way();
    loop {
        // Held while it waits: one thread waits for the next job, the others for the lock.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            // One that panics must not take the thread with it; who waits is told that it is busy.
            Ok(job) => {
                if let Ok(answer) = catch_unwind(AssertUnwindSafe(job)) {
                    // It ends with the process, too.
                    let _ = answers.send(answer);
                }
            }
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
