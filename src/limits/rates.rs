//! Rate limits by user or by network.

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use hashlink::LruCache;
use ipnet::{IpNet, Ipv6Net};
use tokio::time::sleep;

/// Keys that one limit remembers. Beyond that, a new key replaces the key that was used the longest time
/// ago. Each takes some 150 bytes.
const REMEMBERED: usize = 50_000;

/// Idle keys that one request forgets, so that no request waits for many.
const FORGOTTEN_AT_ONCE: usize = 4;

/// The networks of one site of IPv6 together may take this many times the limit of one network. A site has
/// a /48, or less (RFC 6177), and so up to 65,536 networks.
const SITE_FACTOR: u32 = 16;

/// The bits of an IPv6 address that a site has in common.
const SITE_PREFIX: u8 = 48;

/// The limit is reached: the time until the next request is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests")]
pub struct TooFast(pub Duration);

/// A rate limit for each key. Clones share it.
#[derive(Clone)]
pub struct Rates<K: Copy + Eq + Hash>(Arc<Shared<K>>);

struct Shared<K: Copy + Eq + Hash> {
    quota: Quota,
    limiters: Mutex<LruCache<K, Limiter>>,
}

struct Limiter {
    limiter: DefaultDirectRateLimiter,
    used_at: Instant,
}

impl<K: Copy + Eq + Hash> Rates<K> {
    /// Allows `count` requests at once, and `count` in each `per`. (Settings allow no 0.)
    #[must_use]
    pub fn new(count: u32, per: Duration) -> Self {
        let burst = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(per / burst.get())
            .unwrap_or(Quota::per_second(NonZeroU32::MAX))
            .allow_burst(burst);
        Self(Arc::new(Shared {
            quota,
            limiters: Mutex::new(LruCache::new(REMEMBERED)),
        }))
    }

    /// Takes one request.
    ///
    /// # Errors
    /// [`TooFast`] when nothing is left.
    pub fn take(&self, key: K) -> Result<(), TooFast> {
        self.take_many(key, NonZeroU32::MIN)
    }

    /// Takes `count` requests, or none.
    ///
    /// # Errors
    /// [`TooFast`] when fewer are left.
    pub fn take_many(&self, key: K, count: NonZeroU32) -> Result<(), TooFast> {
        let now = Instant::now();
        let mut limiters = self.limiters();
        self.forget_idle(&mut limiters, now);
        if limiters.get(&key).is_none() {
            let limiter = RateLimiter::direct(self.0.quota);
            let used_at = now;
            limiters.insert(key, Limiter { limiter, used_at });
        }
        let Some(Limiter { limiter, used_at }) = limiters.get_mut(&key) else {
            return Ok(());
        };
        *used_at = now;
        match limiter.check_n(count) {
            Ok(taken) => taken.map_err(|not_until| {
                TooFast(not_until.wait_time_from(DefaultClock::default().now()))
            }),
            // The count is above the burst.
            Err(_) => Err(TooFast(self.0.quota.burst_size_replenished_in())),
        }
    }

    /// Waits until one request may be taken, and takes it.
    pub async fn until_taken(&self, key: K) {
        while let Err(TooFast(wait)) = self.take(key) {
            sleep(wait).await;
        }
    }

    /// Returns the number of keys that are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.limiters().len()
    }

    /// Forgets keys that may take everything again: they are as good as new ones.
    fn forget_idle(&self, limiters: &mut LruCache<K, Limiter>, now: Instant) {
        let replenished_in = self.0.quota.burst_size_replenished_in();
        for _ in 0..FORGOTTEN_AT_ONCE {
            let oldest = limiters.iter().next();
            let is_idle = oldest.is_some_and(|(_, oldest)| {
                now.saturating_duration_since(oldest.used_at) > replenished_in
            });
            if !is_idle {
                return;
            }
            limiters.remove_lru();
        }
    }

    fn limiters(&self) -> MutexGuard<'_, LruCache<K, Limiter>> {
        self.0
            .limiters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rate limit for each network, and a wider one for all IPv6 networks of a site together. Clones share
/// it.
#[derive(Clone)]
pub struct NetworkRates {
    networks: Rates<IpNet>,
    sites: Rates<Ipv6Net>,
}

impl NetworkRates {
    /// Allows `count` requests at once, and `count` in each `per`, for each network.
    #[must_use]
    pub fn new(count: u32, per: Duration) -> Self {
        Self {
            networks: Rates::new(count, per),
            sites: Rates::new(count.saturating_mul(SITE_FACTOR), per),
        }
    }

    /// Takes one request.
    ///
    /// # Errors
    /// [`TooFast`] when nothing is left for the network, or for its site.
    pub fn take(&self, network: IpNet) -> Result<(), TooFast> {
        // A refused request of one network costs its neighbours nothing.
        self.networks.take(network)?;
        match site_of(network, 0) {
            Some((site, _)) => self.sites.take(site),
            None => Ok(()),
        }
    }
}

/// Returns the site of an IPv6 network, and the limit of a site where `limit` is that of a network. An IPv4
/// address has no site.
#[must_use]
pub fn site_of(network: IpNet, limit: u32) -> Option<(Ipv6Net, u32)> {
    let IpNet::V6(network) = network else {
        return None;
    };
    let site = Ipv6Net::new(network.addr(), SITE_PREFIX).ok()?.trunc();
    Some((site, limit.saturating_mul(SITE_FACTOR)))
}
