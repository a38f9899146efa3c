//! The threads that hash passwords: one fewer than there are cores.
//!
//! A hash takes some 10 ms and 19 MiB by design (argon2id, RFC 9106). Each request for a hash waits in a
//! queue, so memory does not grow with the number of requests. The queue is bounded by the number of
//! hashes that can be made in the time that a client waits. One core stays free of hashing, where there
//! is more than one core: messages are delivered however many users log in. (Threads of a low priority
//! on all cores do not achieve that, because a thread that was preempted may hold a lock.)
//!
//! The queue is fair. A login from a network that has logged in to the account before comes first, then
//! other logins, then registrations and password changes. Within each of the three the networks take
//! turns, so that a flood from one network delays that network alone.

use std::{
    collections::{HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    thread::{self, available_parallelism},
    time::Duration,
};

use argon2::Block;
use ipnet::IpNet;
use tokio::{sync::oneshot, time::timeout};

use crate::limits::LogThrottle;

/// Requests that may wait: on two cores, some 5 s of work.
const WAITING: usize = 512;

/// The longest time that a request waits in the queue.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// A thread that has been idle for this long frees its memory.
const IDLE: Duration = Duration::from_secs(10);

/// Every so many jobs one of the lowest priority is done first, so that no priority starves.
const LOWEST_FIRST_EVERY: u64 = 4;

/// The queue is full, or the request waited for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being hashed at the moment")]
pub struct Busy;

/// The priority of a request, the highest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A login from a network that has logged in to the account before, or the operator.
    Known,
    /// Any other login.
    Login,
    /// A registration or a password change.
    Account,
}

const PRIORITIES: [Priority; 3] = [Priority::Known, Priority::Login, Priority::Account];

/// The origin of a request: its priority, and the network that it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requester {
    pub priority: Priority,
    /// `None` is the operator.
    pub network: Option<IpNet>,
}

impl Requester {
    /// The operator, at the command line.
    pub const OPERATOR: Self = Self {
        priority: Priority::Known,
        network: None,
    };

    /// A client of this network.
    #[must_use]
    pub const fn client(priority: Priority, network: IpNet) -> Self {
        Self {
            priority,
            network: Some(network),
        }
    }
}

type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// The memory that one thread hashes in. It is kept from one hash to the next, because the kernel takes
/// and gives 19 MiB page by page, under a lock that all threads of the process need.
#[derive(Default)]
pub struct Memory(Vec<Block>);

impl Memory {
    /// Returns `count` blocks of 1 KiB with arbitrary content.
    pub fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.0.len() < count {
            self.0.resize(count, Block::default());
        }
        self.0.split_at_mut(count).0
    }
}

static HASHING: LazyLock<Hashing> = LazyLock::new(Hashing::start);

static FULL: LogThrottle = LogThrottle::new();

#[derive(Default)]
struct Hashing {
    queue: Mutex<Queue>,
    /// Notified for each job that is added.
    added: Condvar,
}

/// Checks that a login of this network would find a place in the queue.
///
/// # Errors
/// [`Busy`] when the queue is full.
pub fn expect_room(network: IpNet) -> Result<(), Busy> {
    let requester = Requester::client(Priority::Login, network);
    if HASHING.queue().has_room(&requester) {
        Ok(())
    } else {
        Err(refuse())
    }
}

/// Runs `work` on a hashing thread, in the order of the queue. Dropping the future cancels a job that has
/// not begun.
///
/// # Errors
/// [`Busy`] when the queue is full, or the job did not begin and end within 10 s.
pub async fn in_turn<T: Send + 'static>(
    requester: Requester,
    work: impl FnOnce(&mut Memory) -> T + Send + 'static,
) -> Result<T, Busy> {
    let (done, result) = oneshot::channel();
    let job = Box::new(move |memory: &mut Memory| {
        if !done.is_closed() {
            // The client may have hung up meanwhile.
            let _ = done.send(work(memory));
        }
    });
    HASHING.queue().push(requester, job).map_err(|_| refuse())?;
    HASHING.added.notify_one();
    match timeout(TURN_WITHIN, result).await {
        Ok(Ok(result)) => Ok(result),
        _ => Err(Busy),
    }
}

fn refuse() -> Busy {
    if let Some(suppressed) = FULL.permit() {
        tracing::warn!(
            suppressed,
            "password hashing queue full: requests are refused"
        );
    }
    Busy
}

impl Hashing {
    fn start() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        for _ in 0..cores.saturating_sub(1).max(1) {
            let thread = thread::Builder::new().name("hashing".to_owned());
            if let Err(error) = thread.spawn(work_off) {
                tracing::error!(%error, "a thread to hash passwords could not be started");
            }
        }
        Self::default()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next job. Returns `None` when none came for [`IDLE`].
    fn next(&self) -> Option<Job> {
        let is_empty = |queue: &mut Queue| queue.waiting == 0;
        let waited = self.added.wait_timeout_while(self.queue(), IDLE, is_empty);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.pop()
    }
}

/// Runs until the process ends.
fn work_off() {
    let mut memory = Memory::default();
    loop {
        match HASHING.next() {
            // A panic of one job must not end the thread. Its requester is answered with `Busy`.
            Some(job) => drop(catch_unwind(AssertUnwindSafe(|| job(&mut memory)))),
            None => memory = Memory::default(),
        }
    }
}

/// The jobs that wait, of all priorities.
#[derive(Default)]
struct Queue {
    by_priority: [Networks; PRIORITIES.len()],
    waiting: usize,
    popped: u64,
}

/// The jobs of one priority. Its networks take turns.
#[derive(Default)]
struct Networks {
    jobs: HashMap<Option<IpNet>, VecDeque<Job>>,
    /// The networks that have jobs, the next one first.
    turns: VecDeque<Option<IpNet>>,
}

impl Queue {
    fn push(&mut self, requester: Requester, job: Job) -> Result<(), Busy> {
        if self.waiting >= WAITING {
            let evicted = self.evictable(&requester).ok_or(Busy)?;
            self.evict(evicted);
        }
        let networks = self.by_priority.get_mut(requester.priority as usize);
        networks.ok_or(Busy)?.push(requester.network, job);
        self.waiting += 1;
        Ok(())
    }

    fn has_room(&self, requester: &Requester) -> bool {
        self.waiting < WAITING || self.evictable(requester).is_some()
    }

    /// Returns the priority and the network whose newest job makes room for another requester: of a lower
    /// priority, or of a network that has at least two jobs more.
    fn evictable(&self, requester: &Requester) -> Option<Requester> {
        PRIORITIES.into_iter().rev().find_map(|priority| {
            let networks = self.by_priority.get(priority as usize)?;
            let (network, most) = networks.busiest()?;
            let is_lower = priority > requester.priority;
            let is_greedier =
                priority == requester.priority && most > networks.waiting_of(requester.network) + 1;
            (is_lower || is_greedier).then_some(Requester { priority, network })
        })
    }

    /// Drops the newest job of a requester, who is answered with [`Busy`].
    fn evict(&mut self, requester: Requester) {
        if let Some(networks) = self.by_priority.get_mut(requester.priority as usize)
            && networks.drop_newest(requester.network)
        {
            self.waiting -= 1;
        }
    }

    fn pop(&mut self) -> Option<Job> {
        self.popped = self.popped.wrapping_add(1);
        let is_lowest_first = self.popped.is_multiple_of(LOWEST_FIRST_EVERY);
        let job = if is_lowest_first {
            self.by_priority.iter_mut().rev().find_map(Networks::pop)
        } else {
            self.by_priority.iter_mut().find_map(Networks::pop)
        };
        self.waiting -= usize::from(job.is_some());
        job
    }
}

impl Networks {
    fn push(&mut self, network: Option<IpNet>, job: Job) {
        let jobs = self.jobs.entry(network).or_default();
        if jobs.is_empty() {
            self.turns.push_back(network);
        }
        jobs.push_back(job);
    }

    fn pop(&mut self) -> Option<Job> {
        let network = self.turns.pop_front()?;
        let jobs = self.jobs.get_mut(&network)?;
        let job = jobs.pop_front();
        if jobs.is_empty() {
            self.jobs.remove(&network);
        } else {
            self.turns.push_back(network);
        }
        job
    }

    fn waiting_of(&self, network: Option<IpNet>) -> usize {
        self.jobs.get(&network).map_or(0, VecDeque::len)
    }

    fn busiest(&self) -> Option<(Option<IpNet>, usize)> {
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
            self.turns.retain(|turn| *turn != network);
        }
        is_dropped
    }
}
