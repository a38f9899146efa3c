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
const MAX_KEYS: usize = 50_000;

/// Idle keys that one request forgets, so that no request waits for many.
const EVICTIONS_PER_REQUEST: usize = 4;

/// The networks of one site of IPv6 together may take this many times the limit of one network. A site has
/// a /48, or less (RFC 6177), and so up to 65,536 networks.
const SITE_FACTOR: u32 = 16;

/// The bits of an IPv6 address that a site has in common.
const SITE_PREFIX_BITS: u8 = 48;

/// The limit is reached: the time until the next request is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests")]
pub struct RateLimited(pub Duration);

/// A rate limit for each key. Clones share it.
#[derive(Clone)]
pub struct KeyedRateLimiter<K: Copy + Eq + Hash>(Arc<KeyedRateLimiterInner<K>>);

struct KeyedRateLimiterInner<K: Copy + Eq + Hash> {
    quota: Quota,
    limiters: Mutex<LruCache<K, KeyEntry>>,
}

struct KeyEntry {
    limiter: DefaultDirectRateLimiter,
    used_at: Instant,
}

impl<K: Copy + Eq + Hash> KeyedRateLimiter<K> {
    /// Allows `count` requests at once, and `count` in each `per`. (Settings allow no 0.)
    #[must_use]
    pub fn new(count: u32, per: Duration) -> Self {
        let burst = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(per / burst.get())
            .unwrap_or(Quota::per_second(NonZeroU32::MAX))
            .allow_burst(burst);
        Self(Arc::new(KeyedRateLimiterInner {
            quota,
            limiters: Mutex::new(LruCache::new(MAX_KEYS)),
        }))
    }

    /// Takes one request.
    ///
    /// # Errors
    /// [`RateLimited`] when nothing is left.
    pub fn check(&self, key: K) -> Result<(), RateLimited> {
        self.check_n(key, NonZeroU32::MIN)
    }

    /// Takes `count` requests, or none.
    ///
    /// # Errors
    /// [`RateLimited`] when fewer are left.
    pub fn check_n(&self, key: K, count: NonZeroU32) -> Result<(), RateLimited> {
        let now = Instant::now();
        let mut limiters = self.lock_limiters();
        self.evict_idle(&mut limiters, now);
        if limiters.get(&key).is_none() {
            let limiter = RateLimiter::direct(self.0.quota);
            let used_at = now;
            limiters.insert(key, KeyEntry { limiter, used_at });
        }
        let Some(KeyEntry { limiter, used_at }) = limiters.get_mut(&key) else {
            return Ok(());
        };
        *used_at = now;
        match limiter.check_n(count) {
            Ok(taken) => taken.map_err(|not_until| {
                RateLimited(not_until.wait_time_from(DefaultClock::default().now()))
            }),
            // The count is above the burst.
            Err(_) => Err(RateLimited(self.0.quota.burst_size_replenished_in())),
        }
    }

    /// Waits until one request may be taken, and takes it.
    pub async fn acquire(&self, key: K) {
        while let Err(RateLimited(wait)) = self.check(key) {
            sleep(wait).await;
        }
    }

    /// Returns the number of keys that are remembered.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.lock_limiters().len()
    }

    /// Forgets keys that may take everything again: they are as good as new ones.
    fn evict_idle(&self, limiters: &mut LruCache<K, KeyEntry>, now: Instant) {
        let replenished_in = self.0.quota.burst_size_replenished_in();
        for _ in 0..EVICTIONS_PER_REQUEST {
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

    fn lock_limiters(&self) -> MutexGuard<'_, LruCache<K, KeyEntry>> {
        self.0
            .limiters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rate limit for each network, and a wider one for all IPv6 networks of a site together. Clones share
/// it.
#[derive(Clone)]
pub struct NetworkRateLimiter {
    networks: KeyedRateLimiter<IpNet>,
    sites: KeyedRateLimiter<Ipv6Net>,
}

impl NetworkRateLimiter {
    /// Allows `count` requests at once, and `count` in each `per`, for each network.
    #[must_use]
    pub fn new(count: u32, per: Duration) -> Self {
        Self {
            networks: KeyedRateLimiter::new(count, per),
            sites: KeyedRateLimiter::new(count.saturating_mul(SITE_FACTOR), per),
        }
    }

    /// Takes one request.
    ///
    /// # Errors
    /// [`RateLimited`] when nothing is left for the network, or for its site.
    pub fn check(&self, network: IpNet) -> Result<(), RateLimited> {
        // A refused request of one network costs its neighbours nothing.
        self.networks.check(network)?;
        match site_of(network, 0) {
            Some((site, _)) => self.sites.check(site),
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
    let site = Ipv6Net::new(network.addr(), SITE_PREFIX_BITS).ok()?.trunc();
    Some((site, limit.saturating_mul(SITE_FACTOR)))
}
