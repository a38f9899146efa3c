//! How fast one user may send, over all sockets of this node and the REST API.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use tokio::time::sleep;

/// The time over which the limit is given.
const WINDOW: Duration = Duration::from_secs(10);

/// After so many sends those users are forgotten who have sent nothing lately.
const MANY: u64 = 10_000;

/// The user must wait for this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests")]
pub struct TooFast(pub Duration);

/// What each user has sent lately. Clones share it.
#[derive(Clone)]
pub(super) struct Sends(Arc<Lately>);

struct Lately {
    limiter: DefaultKeyedRateLimiter<i64>,
    count: AtomicU64,
}

impl Sends {
    /// At most so many in 10 s. (Settings have none of 0.)
    pub fn new(per_10s: u32) -> Self {
        let burst = NonZeroU32::new(per_10s).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(WINDOW / burst.get())
            .unwrap_or(Quota::per_second(NonZeroU32::MAX))
            .allow_burst(burst);
        Self(Arc::new(Lately {
            limiter: RateLimiter::keyed(quota),
            count: AtomicU64::new(1),
        }))
    }

    pub fn take(&self, user_id: i64) -> Result<(), TooFast> {
        if self
            .0
            .count
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(MANY)
        {
            self.0.limiter.retain_recent();
        }
        self.0
            .limiter
            .check_key(&user_id)
            .map_err(|not_until| TooFast(not_until.wait_time_from(DefaultClock::default().now())))
    }

    pub async fn until_taken(&self, user_id: i64) {
        while let Err(TooFast(wait)) = self.take(user_id) {
            sleep(wait).await;
        }
    }
}
