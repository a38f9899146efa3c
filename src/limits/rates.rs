//! How often something may be done, by whom it is done.

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use tokio::time::sleep;

/// After so many takes those are forgotten who have taken nothing lately.
const FORGET_EVERY: u64 = 10_000;

/// If more than these are left then, all are forgotten: who has so many addresses is not kept out by
/// a limit of each, and must not fill the memory either.
const REMEMBERED: usize = 100_000;

/// One must wait for this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests")]
pub struct TooFast(pub Duration);

/// What each user, or each network, has done lately. Clones share it.
#[derive(Clone)]
pub struct Rates<K: Copy + Eq + Hash>(Arc<Lately<K>>);

struct Lately<K: Copy + Eq + Hash> {
    quota: Quota,
    limiter: RwLock<DefaultKeyedRateLimiter<K>>,
    takes: AtomicU64,
}

impl<K: Copy + Eq + Hash> Rates<K> {
    /// At most so many at once, and in each such time. (Settings have none of 0.)
    #[must_use]
    pub fn new(count: u32, per: Duration) -> Self {
        let burst = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(per / burst.get())
            .unwrap_or(Quota::per_second(NonZeroU32::MAX))
            .allow_burst(burst);
        Self(Arc::new(Lately {
            quota,
            limiter: RwLock::new(RateLimiter::keyed(quota)),
            takes: AtomicU64::new(1),
        }))
    }

    /// # Errors
    /// [`TooFast`] when there is nothing left to take.
    pub fn take(&self, key: K) -> Result<(), TooFast> {
        self.take_many(key, NonZeroU32::MIN)
    }

    /// Takes all of them or none.
    ///
    /// # Errors
    /// [`TooFast`] when there are fewer left.
    pub fn take_many(&self, key: K, count: NonZeroU32) -> Result<(), TooFast> {
        let takes = self.0.takes.fetch_add(1, Ordering::Relaxed);
        if takes.is_multiple_of(FORGET_EVERY) {
            self.forget();
        }
        let limiter = self
            .0
            .limiter
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        match limiter.check_key_n(&key, count) {
            Ok(taken) => taken.map_err(|not_until| {
                TooFast(not_until.wait_time_from(DefaultClock::default().now()))
            }),
            // More than there ever is.
            Err(_) => Err(TooFast(self.0.quota.burst_size_replenished_in())),
        }
    }

    /// Takes one once there is one.
    pub async fn until_taken(&self, key: K) {
        while let Err(TooFast(wait)) = self.take(key) {
            sleep(wait).await;
        }
    }

    /// How many are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        let limiter = self
            .0
            .limiter
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        limiter.len()
    }

    fn forget(&self) {
        let mut limiter = self
            .0
            .limiter
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        limiter.retain_recent();
        limiter.shrink_to_fit();
        if limiter.len() > REMEMBERED {
            tracing::warn!("more clients than a limit remembers: all of them begin anew");
            *limiter = RateLimiter::keyed(self.0.quota);
        }
    }
}
