//! Rate limits by user or by network.

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use governor::{
    DefaultDirectRateLimiter, Quota,
    clock::{Clock, DefaultClock},
};
use hashlink::LruCache;
use ipnet::{IpNet, Ipv6Net};
use tokio::time::sleep;

use super::RateLimited;

/// The largest number of keys that one limiter remembers. Beyond it, a new key replaces the key that was unused
/// for the longest time. A key takes some 150 bytes.
const MAX_KEYS: usize = 50_000;

/// The number of idle keys that one request forgets, so that no request waits for many.
const EVICTIONS_PER_REQUEST: usize = 4;

/// The limit of a site of IPv6, as a multiple of the limit of one network.
///
/// A site has a /48 or less (RFC 6177), and so up to 65,536 networks.
const SITE_FACTOR: u32 = 16;

/// The bits of an IPv6 address that a site has in common.
const SITE_PREFIX_BITS: u8 = 48;

/// The client that a rate limit counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RateKey {
    User(i64),
    /// An IPv4 address, or an IPv6 /64. All networks of an IPv6 /48 count together too.
    Network(IpNet),
}

/// A rate limit for each [`RateKey`]. Clones share the counts.
#[derive(Clone)]
pub struct RateLimiter {
    clients: Arc<KeyedLimiter<RateKey>>,
    sites: Arc<KeyedLimiter<Ipv6Net>>,
}

impl RateLimiter {
    /// Allows `count` requests at once, and `count` in each `per`, for each key. Settings allow no 0.
    #[must_use]
    pub fn new(count: u32, per: Duration) -> Self {
        Self {
            clients: Arc::new(KeyedLimiter::new(count, per)),
            sites: Arc::new(KeyedLimiter::new(count.saturating_mul(SITE_FACTOR), per)),
        }
    }

    /// Counts one request.
    ///
    /// # Errors
    /// [`RateLimited`] when the limit of the key, or of its site, is reached.
    pub fn check(&self, key: RateKey) -> Result<(), RateLimited> {
        self.check_n(key, NonZeroU32::MIN)
    }

    /// Counts `count` requests, or none.
    ///
    /// # Errors
    /// [`RateLimited`] when fewer requests are left for the key, or for its site.
    pub fn check_n(&self, key: RateKey, count: NonZeroU32) -> Result<(), RateLimited> {
        // A refused request of one network does not count for the other networks of the site.
        self.clients.check_n(key, count)?;
        match key {
            RateKey::Network(network) => match site_of(network, 0) {
                Some((site, _)) => self.sites.check_n(site, count),
                None => Ok(()),
            },
            RateKey::User(_) => Ok(()),
        }
    }

    /// Waits until one request is allowed, and counts it.
    pub async fn acquire(&self, key: RateKey) {
        while let Err(RateLimited { retry_after }) = self.check(key) {
            sleep(retry_after).await;
        }
    }

    /// Returns the number of keys that are remembered, without sites.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.clients.lock_limiters().len()
    }
}

/// A rate limit for each key of one kind.
struct KeyedLimiter<K: Copy + Eq + Hash> {
    quota: Quota,
    limiters: Mutex<LruCache<K, KeyEntry>>,
}

struct KeyEntry {
    limiter: DefaultDirectRateLimiter,
    used_at: Instant,
}

impl<K: Copy + Eq + Hash> KeyedLimiter<K> {
    fn new(count: u32, per: Duration) -> Self {
        let burst = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(per / burst.get())
            .unwrap_or(Quota::per_second(NonZeroU32::MAX))
            .allow_burst(burst);
        Self {
            quota,
            limiters: Mutex::new(LruCache::new(MAX_KEYS)),
        }
    }

    fn check_n(&self, key: K, count: NonZeroU32) -> Result<(), RateLimited> {
        let now = Instant::now();
        let mut limiters = self.lock_limiters();
        self.evict_idle(&mut limiters, now);
        if limiters.get(&key).is_none() {
            let limiter = DefaultDirectRateLimiter::direct(self.quota);
            let used_at = now;
            limiters.insert(key, KeyEntry { limiter, used_at });
        }
        let Some(KeyEntry { limiter, used_at }) = limiters.get_mut(&key) else {
            return Ok(());
        };
        *used_at = now;
        let retry_after = match limiter.check_n(count) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(not_until)) => not_until.wait_time_from(DefaultClock::default().now()),
            // The count is above the burst.
            Err(_) => self.quota.burst_size_replenished_in(),
        };
        Err(RateLimited { retry_after })
    }

    /// Forgets keys whose whole limit is available again: they are equal to new keys.
    fn evict_idle(&self, limiters: &mut LruCache<K, KeyEntry>, now: Instant) {
        let replenished_in = self.quota.burst_size_replenished_in();
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
        // A panic elsewhere leaves the map as it was between two requests.
        self.limiters.lock().unwrap_or_else(PoisonError::into_inner)
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
