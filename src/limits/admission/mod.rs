//! Admission control: how many clients open a socket or resume groups at the same time.
//!
//! When a node restarts, all its clients reconnect at once. Each client costs little, but thousands at once delay all
//! messages, because their tasks precede each message in the queue of the runtime. So only some clients start at the
//! same time, and the others wait in a queue. The number that may start at the same time follows the
//! measured load (see [`load_monitor`]). It falls faster than it rises.
//!
//! A few tens are enough to keep a core busy, so the least number does not waste time. Measured with `bin/bench --only
//! storm`: any limit between 32 and 256 takes the same time until all clients have started.
//!
//! A client that would wait too long is refused at once; a socket before its credential is read. The refusal has the
//! time after which the client retries. This time grows with the number of refused clients.

mod load_monitor;
#[cfg(test)]
#[allow(clippy::disallowed_methods, clippy::unwrap_used)]
// A test may panic, and its tasks end with it.
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, timeout},
};

pub use self::load_monitor::run_load_monitor;
use super::{LogThrottle, RateKey, fair_queue::FairQueue, retry_schedule::RetrySchedule};
use crate::metrics::METRICS;

/// The lowest number of clients that start at the same time, and the first number. The settings have the highest one.
const MIN_LIMIT: f64 = 32.0;
const FIRST_LIMIT: f64 = 64.0;

/// The factors of the limit after an interval with a high and with a low load.
const DECREASE: f64 = 0.8;
const INCREASE: f64 = 1.1;

/// The queue times above which the load is high, and below which the load is low. A message passes the queue of the
/// runtime several times, so its delay is a multiple of this time.
const HIGH_LOAD: Duration = Duration::from_millis(30);
const LOW_LOAD: Duration = Duration::from_millis(15);

/// The clients that start in a second: the first value, and the lowest. Below, nothing starts for seconds.
const FIRST_RATE: f64 = 4000.0;
const MIN_RATE: f64 = 1.0;

/// The weight of the newest interval in the measured rate, which follows changes within about a second.
const RATE_WEIGHT: f64 = 0.02;

/// The number of clients that may wait at any rate.
const MIN_QUEUE: usize = 64;

static REFUSED_LOG: LogThrottle = LogThrottle::new();

/// The error when this node has more work than it can do in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node is overloaded")]
pub struct Overloaded {
    /// The time after which the client should try again.
    pub retry_after: Duration,
}

/// The work that waits for admission, in the order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmissionKind {
    /// The `sub` of an open socket. It comes first, because its client has been admitted before.
    Subscription,
    /// A new socket or event stream.
    Handshake,
}

impl AdmissionKind {
    const COUNT: usize = Self::Handshake as usize + 1;

    /// The name in the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subscription => "subscription",
            Self::Handshake => "handshake",
        }
    }
}

/// The numbers of the admission control, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionCounts {
    /// The clients that may start at the same time.
    pub limit: usize,
    /// The clients that start now.
    pub starting: usize,
    /// The clients that wait.
    pub waiting: usize,
}

/// Admits clients at the rate that this node can serve. Clones share the queue.
#[derive(Clone)]
pub struct AdmissionControl(Arc<AdmissionControlInner>);

struct AdmissionControlInner {
    /// The longest time that a client waits in the queue, as estimated when it arrives.
    max_wait: Duration,
    state: Mutex<AdmissionState>,
    /// Notified when the first client starts, for the monitor.
    activity: Notify,
}

type Waiter = oneshot::Sender<StartPermit>;

struct AdmissionState {
    limit: f64,
    max_limit: f64,
    starting: usize,
    /// The waiting clients, by [`AdmissionKind`].
    waiting: FairQueue<RateKey, Waiter, { AdmissionKind::COUNT }>,
    /// The clients that have started since the last interval.
    started: u32,
    /// The clients that start in a second while others wait.
    rate: f64,
    retries: RetrySchedule,
}

/// The right to start. Another client may start when this is dropped.
pub struct StartPermit(Option<Arc<AdmissionControlInner>>);

impl AdmissionControl {
    /// Returns a control in which at most `max_starts` clients start at the same time, and no client waits longer than
    /// about `max_wait`.
    #[must_use]
    pub fn new(max_starts: u32, max_wait: Duration) -> Self {
        let max_limit = f64::from(max_starts);
        Self(Arc::new(AdmissionControlInner {
            max_wait,
            state: Mutex::new(AdmissionState {
                limit: FIRST_LIMIT.min(max_limit),
                max_limit,
                starting: 0,
                waiting: FairQueue::default(),
                started: 0,
                rate: FIRST_RATE,
                retries: RetrySchedule::default(),
            }),
            activity: Notify::new(),
        }))
    }

    /// Waits until a client may start. The clients take turns.
    ///
    /// # Errors
    /// [`Overloaded`] when the wait would be too long.
    pub async fn admit(
        &self,
        kind: AdmissionKind,
        client: RateKey,
    ) -> Result<StartPermit, Overloaded> {
        let admitted = match self.0.start_or_wait(kind, client) {
            Ok(Start::Now(permit)) => Ok(permit),
            Ok(Start::Later(permit)) => {
                let started_at = Instant::now();
                // The estimate of the wait may be wrong, so the wait has a bound of its own.
                let limit = self.0.max_wait.mul_f32(1.5);
                let admitted = timeout(limit, permit).await;
                METRICS.admission_wait_seconds.observe(started_at.elapsed());
                match admitted {
                    Ok(Ok(permit)) => Ok(permit),
                    // A client of a network with fewer clients has taken the place, or the time is over.
                    _ => Err(self.0.refuse()),
                }
            }
            Err(overloaded) => Err(overloaded),
        };
        let result = if admitted.is_ok() {
            "admitted"
        } else {
            "refused"
        };
        METRICS.admissions.inc([kind.name(), result]);
        admitted
    }

    /// Returns the present numbers.
    #[must_use]
    pub fn counts(&self) -> AdmissionCounts {
        let state = self.0.lock();
        AdmissionCounts {
            limit: state.limit(),
            starting: state.starting,
            waiting: state.waiting.len(),
        }
    }

    /// `true` while a client starts or waits.
    fn is_busy(&self) -> bool {
        let state = self.0.lock();
        state.starting > 0 || !state.waiting.is_empty()
    }

    /// Adapts the limit and the rate to the queue time that was measured in an interval of this length.
    fn adapt(&self, queue_time: Duration, interval: Duration) {
        self.0.lock().adapt(queue_time, interval);
        self.0.start_waiting();
    }
}

/// The outcome of a request to start.
enum Start {
    Now(StartPermit),
    Later(oneshot::Receiver<StartPermit>),
}

impl AdmissionControlInner {
    fn lock(&self) -> MutexGuard<'_, AdmissionState> {
        // A panic elsewhere leaves the state as it was between two calls.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_or_wait(
        self: &Arc<Self>,
        kind: AdmissionKind,
        client: RateKey,
    ) -> Result<Start, Overloaded> {
        let mut state = self.lock();
        if state.waiting.is_empty() && state.starting < state.limit() {
            state.starting += 1;
            let is_first = state.starting == 1;
            drop(state);
            if is_first {
                self.activity.notify_one();
            }
            return Ok(Start::Now(StartPermit(Some(self.clone()))));
        }
        // The drop of an evicted waiter refuses its client.
        if state.waiting.len() >= state.max_waiting(self.max_wait)
            && state.waiting.evict_for(kind as usize, client).is_none()
        {
            return Err(Self::refuse_with(state));
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.push(kind as usize, client, sender);
        Ok(Start::Later(receiver))
    }

    fn refuse(&self) -> Overloaded {
        Self::refuse_with(self.lock())
    }

    fn refuse_with(mut state: MutexGuard<'_, AdmissionState>) -> Overloaded {
        let (rate, backlog) = (state.rate, state.backlog());
        let retry_after = state.retries.next_retry(Instant::now(), backlog, rate);
        let waiting = state.waiting.len();
        drop(state);
        if let Some(suppressed) = REFUSED_LOG.allow() {
            tracing::warn!(
                waiting,
                rate,
                retry_after_ms = retry_after.as_millis(),
                suppressed,
                "clients refused: the node is overloaded"
            );
        }
        Overloaded { retry_after }
    }

    /// Starts clients of the queue, as many as the limit allows.
    fn start_waiting(self: &Arc<Self>) {
        let mut state = self.lock();
        while state.starting < state.limit() {
            let Some(waiter) = state.waiting.pop() else {
                return;
            };
            // A client that has disconnected needs no permit.
            if waiter.is_closed() {
                continue;
            }
            if let Err(mut unused) = waiter.send(StartPermit(Some(self.clone()))) {
                // Its drop would lock the state again.
                unused.0 = None;
            } else {
                state.starting += 1;
            }
        }
    }
}

impl AdmissionState {
    /// The clients that may start at the same time.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the limit is between 1 and a u32"
    )]
    const fn limit(&self) -> usize {
        self.limit as usize
    }

    /// The number of clients that start within a time.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from a float saturates"
    )]
    fn max_waiting(&self, max_wait: Duration) -> usize {
        ((self.rate * max_wait.as_secs_f64()) as usize).max(MIN_QUEUE)
    }

    /// The time after which all clients that wait have started.
    fn backlog(&self) -> Duration {
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        Duration::try_from_secs_f64(f64::from(waiting) / self.rate).unwrap_or(Duration::MAX)
    }

    fn adapt(&mut self, queue_time: Duration, interval: Duration) {
        let started = std::mem::take(&mut self.started);
        let is_saturated = !self.waiting.is_empty();
        if is_saturated && !interval.is_zero() {
            let newest = f64::from(started) / interval.as_secs_f64();
            self.rate = (newest - self.rate)
                .mul_add(RATE_WEIGHT, self.rate)
                .max(MIN_RATE);
        }
        if queue_time > HIGH_LOAD {
            self.limit = (self.limit * DECREASE).max(MIN_LIMIT.min(self.max_limit));
        } else if is_saturated && queue_time < LOW_LOAD {
            self.limit = (self.limit * INCREASE).min(self.max_limit);
        }
    }
}

impl Drop for StartPermit {
    fn drop(&mut self) {
        if let Some(control) = self.0.take() {
            let mut state = control.lock();
            state.starting -= 1;
            state.started = state.started.saturating_add(1);
            drop(state);
            control.start_waiting();
        }
    }
}
