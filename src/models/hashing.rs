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
    collections::{HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    thread::{self, available_parallelism},
    time::{Duration, Instant},
};

use argon2::Block;
use ipnet::IpNet;
use tokio::{sync::oneshot, time::timeout};

use crate::{limits::LogThrottle, metrics::METRICS};

/// The number of requests that may wait: about 5 s of work on two cores.
const MAX_WAITING_JOBS: usize = 512;

/// The longest time that a request waits in the queue.
const JOB_TIMEOUT: Duration = Duration::from_secs(10);

/// The idle time after which a thread frees its memory.
const FREE_MEMORY_AFTER: Duration = Duration::from_secs(10);

/// The interval, in jobs, at which a job of the lowest priority runs first, so that every priority makes progress.
const LOWEST_PRIORITY_EVERY: u64 = 4;

/// The error when the queue is full, or the request waited too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being hashed at the moment")]
pub struct HashingBusy;

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

const PRIORITIES: [HashPriority; 3] = [
    HashPriority::KnownNetwork,
    HashPriority::Login,
    HashPriority::AccountChange,
];

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
    if HASH_POOL.lock_queue().has_capacity(&requester) {
        Ok(())
    } else {
        Err(log_queue_full())
    }
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
    HASH_POOL
        .lock_queue()
        .push(requester, job)
        .map_err(|_| log_queue_full())?;
    HASH_POOL.job_added.notify_one();
    match timeout(JOB_TIMEOUT, result).await {
        Ok(Ok(result)) => {
            METRICS.hashing_seconds.observe(started_at.elapsed());
            Ok(result)
        }
        _ => Err(HashingBusy),
    }
}

/// The number of jobs that wait in the queue.
#[must_use]
pub fn queue_length() -> usize {
    HASH_POOL.lock_queue().waiting
}

fn log_queue_full() -> HashingBusy {
    METRICS.hashing_rejected.inc();
    if let Some(suppressed) = QUEUE_FULL_LOG.allow() {
        tracing::warn!(
            suppressed,
            "password hashing queue full: requests are rejected"
        );
    }
    HashingBusy
}

impl HashPool {
    fn start_threads() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        for _ in 0..cores.saturating_sub(1).max(1) {
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
        let is_empty = |queue: &mut JobQueue| queue.waiting == 0;
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
            Some(job) => drop(catch_unwind(AssertUnwindSafe(|| job(&mut memory)))),
            None => memory = HashMemory::default(),
        }
    }
}

/// The waiting jobs of all priorities.
#[derive(Default)]
struct JobQueue {
    by_priority: [NetworkQueues; PRIORITIES.len()],
    waiting: usize,
    popped: u64,
}

/// The waiting jobs of one priority. Its networks take turns.
#[derive(Default)]
struct NetworkQueues {
    jobs: HashMap<Option<IpNet>, VecDeque<HashJob>>,
    /// The networks with waiting jobs, in the order of their turns.
    next_networks: VecDeque<Option<IpNet>>,
}

impl JobQueue {
    fn push(&mut self, requester: Requester, job: HashJob) -> Result<(), HashingBusy> {
        if self.waiting >= MAX_WAITING_JOBS {
            let evicted = self.find_evictable(&requester).ok_or(HashingBusy)?;
            self.evict(evicted);
        }
        let networks = self.by_priority.get_mut(requester.priority as usize);
        networks.ok_or(HashingBusy)?.push(requester.network, job);
        self.waiting += 1;
        Ok(())
    }

    fn has_capacity(&self, requester: &Requester) -> bool {
        self.waiting < MAX_WAITING_JOBS || self.find_evictable(requester).is_some()
    }

    /// Returns the priority and the network whose newest job can be dropped for another requester.
    ///
    /// That job has a lower priority, or its network has at least two more jobs than the other requester's network.
    fn find_evictable(&self, requester: &Requester) -> Option<Requester> {
        PRIORITIES.into_iter().rev().find_map(|priority| {
            let networks = self.by_priority.get(priority as usize)?;
            let (network, most) = networks.busiest_network()?;
            let is_lower = priority > requester.priority;
            let is_greedier = priority == requester.priority
                && most > networks.waiting_count(requester.network) + 1;
            (is_lower || is_greedier).then_some(Requester { priority, network })
        })
    }

    /// Drops the newest job of a requester. The requester gets [`HashingBusy`].
    fn evict(&mut self, requester: Requester) {
        if let Some(networks) = self.by_priority.get_mut(requester.priority as usize)
            && networks.drop_newest(requester.network)
        {
            self.waiting -= 1;
        }
    }

    fn pop(&mut self) -> Option<HashJob> {
        self.popped = self.popped.wrapping_add(1);
        let is_lowest_first = self.popped.is_multiple_of(LOWEST_PRIORITY_EVERY);
        let job = if is_lowest_first {
            self.by_priority
                .iter_mut()
                .rev()
                .find_map(NetworkQueues::pop)
        } else {
            self.by_priority.iter_mut().find_map(NetworkQueues::pop)
        };
        self.waiting -= usize::from(job.is_some());
        job
    }
}

impl NetworkQueues {
    fn push(&mut self, network: Option<IpNet>, job: HashJob) {
        let jobs = self.jobs.entry(network).or_default();
        if jobs.is_empty() {
            self.next_networks.push_back(network);
        }
        jobs.push_back(job);
    }

    fn pop(&mut self) -> Option<HashJob> {
        let network = self.next_networks.pop_front()?;
        let jobs = self.jobs.get_mut(&network)?;
        let job = jobs.pop_front();
        if jobs.is_empty() {
            self.jobs.remove(&network);
        } else {
            self.next_networks.push_back(network);
        }
        job
    }

    fn waiting_count(&self, network: Option<IpNet>) -> usize {
        self.jobs.get(&network).map_or(0, VecDeque::len)
    }

    fn busiest_network(&self) -> Option<(Option<IpNet>, usize)> {
        let counts = self
            .jobs
            .iter()
            .map(|(network, jobs)| (*network, jobs.len()));
        counts.max_by_key(|(_, count)| *count)
    }

    fn drop_newest(&mut self, network: Option<IpNet>) -> bool {
        let Some(jobs) = self.jobs.get_mut(&network) else {
            return false;
        };
        let is_dropped = jobs.pop_back().is_some();
        if jobs.is_empty() {
            self.jobs.remove(&network);
            self.next_networks.retain(|turn| *turn != network);
        }
        is_dropped
    }
}
