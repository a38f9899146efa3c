//! The threads that hash passwords, and their fair queue. There is one thread fewer than cores.
//!
//! By design, a hash takes about 10 ms and 19 MiB (argon2id, RFC 9106). Each request for a hash waits in a queue,
//! so memory does not grow with the number of requests. The queue holds as many requests as the threads can hash
//! while a client waits.
//!
//! On a machine with more than one core, one core stays free of hashing. So messages are delivered while many users
//! log in. Threads of low priority on all cores do not achieve that, because a preempted thread may hold a lock.
//!
//! The queue is fair. A login from a network that has logged in to the account before comes first. Other logins
//! follow, then registrations and password changes. Within each of the three priorities the networks take turns, so
//! a flood from one network delays only that network.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    thread::{self, available_parallelism},
    time::{Duration, Instant},
};

use argon2::Block;
use ipnet::IpNet;
use tokio::{sync::oneshot, time::timeout};

use crate::{
    limits::{FairQueue, LogThrottle, RetrySchedule},
    metrics::METRICS,
};

/// The number of requests that may wait: about 5 s of work on two cores.
const MAX_WAITING_JOBS: usize = 512;

/// The longest time that a request waits in the queue.
const JOB_TIMEOUT: Duration = Duration::from_secs(10);

/// The least duration of a job in the estimate of the rate.
const MIN_JOB_DURATION: Duration = Duration::from_millis(1);

/// The idle time after which a thread frees its memory.
const FREE_MEMORY_AFTER: Duration = Duration::from_secs(10);

/// The interval, in jobs, at which a job of the lowest priority runs first, so that every priority makes progress.
const LOWEST_PRIORITY_EVERY: u64 = 4;

/// The error when the queue is full, or the request waited too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being hashed at the moment")]
pub struct HashingBusy {
    /// The time after which the client should try again. It grows with the number of refused clients.
    pub retry_after: Duration,
}

/// The priority of a request, the highest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HashPriority {
    /// A login from a network that has logged in to the account before, or the operator.
    KnownNetwork,
    /// Any other login.
    Login,
    /// A registration or a password change.
    AccountChange,
}

/// The number of priorities.
const PRIORITIES: usize = HashPriority::AccountChange as usize + 1;

/// The origin of a request: its priority and its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requester {
    pub priority: HashPriority,
    /// `None` stands for the operator.
    pub network: Option<IpNet>,
}

impl Requester {
    /// The operator at the command line.
    pub const OPERATOR: Self = Self {
        priority: HashPriority::KnownNetwork,
        network: None,
    };

    /// Returns the requester for a client in this network.
    #[must_use]
    pub const fn client(priority: HashPriority, network: IpNet) -> Self {
        Self {
            priority,
            network: Some(network),
        }
    }
}

type HashJob = Box<dyn FnOnce(&mut HashMemory) + Send>;

/// The memory that one thread uses for hashing.
///
/// A thread keeps the memory between hashes. Otherwise the kernel would allocate and free 19 MiB page by page, under
/// a lock that all threads of the process need.
#[derive(Default)]
pub struct HashMemory(Vec<Block>);

impl HashMemory {
    /// Returns `count` blocks of 1 KiB with arbitrary content.
    pub fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.0.len() < count {
            self.0.resize(count, Block::default());
        }
        self.0.split_at_mut(count).0
    }
}

static HASH_POOL: LazyLock<HashPool> = LazyLock::new(HashPool::start_threads);

static QUEUE_FULL_LOG: LogThrottle = LogThrottle::new();

#[derive(Default)]
struct HashPool {
    queue: Mutex<JobQueue>,
    /// Notified for each job that is added.
    job_added: Condvar,
}

/// Checks that the queue has capacity for a login from this network.
///
/// # Errors
/// [`HashingBusy`] when the queue is full.
pub fn check_capacity(network: IpNet) -> Result<(), HashingBusy> {
    let requester = Requester::client(HashPriority::Login, network);
    let mut queue = HASH_POOL.lock_queue();
    if queue.has_capacity(&requester) {
        return Ok(());
    }
    let busy = queue.busy();
    drop(queue);
    log_queue_full();
    Err(busy)
}

/// Runs `work` on a hashing thread, in the order of the queue.
///
/// If the future is dropped before the job starts, the job does not run.
///
/// # Errors
/// [`HashingBusy`] when the queue is full, or the job did not finish within 10 s.
pub async fn run_queued<T: Send + 'static>(
    requester: Requester,
    work: impl FnOnce(&mut HashMemory) -> T + Send + 'static,
) -> Result<T, HashingBusy> {
    let started_at = Instant::now();
    let (sender, result) = oneshot::channel();
    let job = Box::new(move |memory: &mut HashMemory| {
        if !sender.is_closed() {
            // The client may have disconnected while the job ran.
            let _ = sender.send(work(memory));
        }
    });
    let pushed = HASH_POOL.lock_queue().push(requester, job);
    pushed.inspect_err(|_| log_queue_full())?;
    HASH_POOL.job_added.notify_one();
    match timeout(JOB_TIMEOUT, result).await {
        Ok(Ok(result)) => {
            METRICS.hashing_seconds.observe(started_at.elapsed());
            Ok(result)
        }
        _ => Err(HASH_POOL.lock_queue().busy()),
    }
}

/// The number of jobs that wait in the queue.
#[must_use]
pub fn queue_length() -> usize {
    HASH_POOL.lock_queue().jobs.len()
}

fn log_queue_full() {
    METRICS.hashing_rejected.inc();
    if let Some(suppressed) = QUEUE_FULL_LOG.allow() {
        tracing::warn!(
            suppressed,
            "password hashing queue full: requests are rejected"
        );
    }
}

/// The number of hashing threads: one fewer than cores.
fn thread_count() -> usize {
    let cores = available_parallelism().map_or(1, usize::from);
    cores.saturating_sub(1).max(1)
}

impl HashPool {
    fn start_threads() -> Self {
        for _ in 0..thread_count() {
            let thread = thread::Builder::new().name("hashing".to_owned());
            if let Err(error) = thread.spawn(run_worker) {
                tracing::error!(%error, "hashing thread failed to start");
            }
        }
        Self::default()
    }

    fn lock_queue(&self) -> MutexGuard<'_, JobQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next job. Returns `None` after [`FREE_MEMORY_AFTER`] without a job.
    fn next_job(&self) -> Option<HashJob> {
        let is_empty = |queue: &mut JobQueue| queue.jobs.is_empty();
        let waited =
            self.job_added
                .wait_timeout_while(self.lock_queue(), FREE_MEMORY_AFTER, is_empty);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.pop()
    }
}

/// Runs jobs until the process ends.
fn run_worker() {
    let mut memory = HashMemory::default();
    loop {
        match HASH_POOL.next_job() {
            // A panic of one job must not end the thread. Its requester gets `HashingBusy`.
            Some(job) => {
                let started_at = Instant::now();
                drop(catch_unwind(AssertUnwindSafe(|| job(&mut memory))));
                HASH_POOL.lock_queue().record_duration(started_at.elapsed());
            }
            None => memory = HashMemory::default(),
        }
    }
}

/// The waiting jobs of all priorities.
#[derive(Default)]
struct JobQueue {
    /// The jobs by priority and network. `None` stands for the operator.
    jobs: FairQueue<Option<IpNet>, HashJob, PRIORITIES>,
    popped: u64,
    /// The mean duration of a job.
    job_duration: Duration,
    retries: RetrySchedule,
}

impl JobQueue {
    /// Adds a job. If the queue is full, drops a job of another requester, who gets [`HashingBusy`].
    ///
    /// # Errors
    /// When the queue is full of jobs that this job may not replace.
    fn push(&mut self, requester: Requester, job: HashJob) -> Result<(), HashingBusy> {
        let Requester { priority, network } = requester;
        if self.jobs.len() >= MAX_WAITING_JOBS
            && self.jobs.evict_for(priority as usize, network).is_none()
        {
            return Err(self.busy());
        }
        self.jobs.push(priority as usize, network, job);
        Ok(())
    }

    fn has_capacity(&self, requester: &Requester) -> bool {
        self.jobs.len() < MAX_WAITING_JOBS
            || self
                .jobs
                .can_evict_for(requester.priority as usize, requester.network)
    }

    /// Returns the error for a job that cannot run, with the time after which the client retries.
    fn busy(&mut self) -> HashingBusy {
        let threads = u32::try_from(thread_count()).unwrap_or(1);
        let rate = f64::from(threads) / self.job_duration.max(MIN_JOB_DURATION).as_secs_f64();
        let waiting = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        let backlog = self.job_duration.saturating_mul(waiting) / threads;
        let now = tokio::time::Instant::now();
        HashingBusy {
            retry_after: self.retries.next_retry(now, backlog, rate),
        }
    }

    fn record_duration(&mut self, duration: Duration) {
        // The weight of the newest job is an eighth.
        self.job_duration = (self.job_duration * 7 + duration) / 8;
    }

    fn pop(&mut self) -> Option<HashJob> {
        self.popped = self.popped.wrapping_add(1);
        let is_lowest_first = self.popped.is_multiple_of(LOWEST_PRIORITY_EVERY);
        if is_lowest_first {
            self.jobs.pop_last_rank()
        } else {
            self.jobs.pop()
        }
    }
}
