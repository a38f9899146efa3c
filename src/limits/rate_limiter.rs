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
use crate::metrics::METRICS;

/// The largest number of keys that one [`KeyedLimiter`] remembers. Then a new key replaces the least recently used
/// key. A key takes some 150 bytes.
const MAX_KEYS: usize = 50_000;

/// The largest number of idle keys that one request evicts. More evictions would delay the request.
const EVICTIONS_PER_REQUEST: usize = 4;

/// The limit of an IPv6 site, as a multiple of the limit of one network.
///
/// A site has at most a /48 (RFC 6177), which contains 65,536 networks (/64).
const SITE_FACTOR: u32 = 16;

/// The prefix length of an IPv6 site.
const SITE_PREFIX_BITS: u8 = 48;

/// A user or a network, whose requests a rate limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RateKey {
    User(i64),
    /// An IPv4 address, or an IPv6 /64. The requests of an IPv6 /64 also count for its site, a /48.
    Network(IpNet),
}

/// A rate limit for each [`RateKey`]. Clones share the counts.
#[derive(Clone)]
pub struct RateLimiter {
    /// The name of the limit in the metrics.
    name: &'static str,
    clients: Arc<KeyedLimiter<RateKey>>,
    sites: Arc<KeyedLimiter<Ipv6Net>>,
}

impl RateLimiter {
    /// Allows `count` requests at once for each key, and then one more after each `per / count`. Metrics show the
    /// refused requests by `name`.
    ///
    /// The settings refuse a `count` of 0, which would count as 1.
    #[must_use]
    pub fn new(name: &'static str, count: u32, per: Duration) -> Self {
        Self {
            name,
            clients: Arc::new(KeyedLimiter::new(count, per)),
            sites: Arc::new(KeyedLimiter::new(site_limit(count), per)),
        }
    }

    /// Counts one request.
    ///
    /// # Errors
    /// [`RateLimited`] when the limit of the key, or of its site, is reached.
    pub fn check(&self, key: RateKey) -> Result<(), RateLimited> {
        self.check_n(key, NonZeroU32::MIN)
    }

    /// Counts `count` requests together.
    ///
    /// Requests that only the site's limit refuses still count for the key.
    ///
    /// # Errors
    /// [`RateLimited`] when fewer than `count` requests are left for the key, or for its site.
    pub fn check_n(&self, key: RateKey, count: NonZeroU32) -> Result<(), RateLimited> {
        let checked = self.check_key_and_site(key, count);
        if checked.is_err() {
            METRICS.rate_limited.inc([self.name]);
        }
        checked
    }

    fn check_key_and_site(&self, key: RateKey, count: NonZeroU32) -> Result<(), RateLimited> {
        // The key comes first: requests that the key's limit refuses do not count for the other networks of the site.
        self.clients.check_n(key, count)?;
        if let RateKey::Network(network) = key
            && let Some(site) = site_of(network)
        {
            self.sites.check_n(site, count)?;
        }
        Ok(())
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
        self.clients.lock_entries().len()
    }
}

/// A rate limit for each key of one kind.
struct KeyedLimiter<K: Copy + Eq + Hash> {
    rate: Quota,
    entries: Mutex<LruCache<K, KeyEntry>>,
}

struct KeyEntry {
    limiter: DefaultDirectRateLimiter,
    used_at: Instant,
}

impl<K: Copy + Eq + Hash> KeyedLimiter<K> {
    fn new(count: u32, per: Duration) -> Self {
        let burst = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        // `with_period` returns `None` for a period of 0: more than one request in a nanosecond.
        let rate = Quota::with_period(per / burst.get())
            .unwrap_or(Quota::per_second(NonZeroU32::MAX))
            .allow_burst(burst);
        Self {
            rate,
            entries: Mutex::new(LruCache::new(MAX_KEYS)),
        }
    }

    fn check_n(&self, key: K, count: NonZeroU32) -> Result<(), RateLimited> {
        let now = Instant::now();
        let mut entries = self.lock_entries();
        self.evict_idle(&mut entries, now);
        let limiter = entries.remove(&key).map_or_else(
            || DefaultDirectRateLimiter::direct(self.rate),
            |entry| entry.limiter,
        );
        let checked = limiter.check_n(count);
        // The key becomes the most recently used one.
        let used_at = now;
        entries.insert(key, KeyEntry { limiter, used_at });
        let retry_after = match checked {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(not_until)) => not_until.wait_time_from(DefaultClock::default().now()),
            // No wait suffices, because `count` exceeds the limit. The client gets the longest wait.
            Err(_) => self.rate.burst_size_replenished_in(),
        };
        Err(RateLimited { retry_after })
    }

    /// Evicts some keys whose whole limit is available again. Such a key behaves like a new key.
    fn evict_idle(&self, entries: &mut LruCache<K, KeyEntry>, now: Instant) {
        let replenished_in = self.rate.burst_size_replenished_in();
        for _ in 0..EVICTIONS_PER_REQUEST {
            // The iterator begins with the least recently used key.
            let is_oldest_idle = entries.iter().next().is_some_and(|(_, entry)| {
                now.saturating_duration_since(entry.used_at) > replenished_in
            });
            if !is_oldest_idle {
                return;
            }
            entries.remove_lru();
        }
    }

    fn lock_entries(&self) -> MutexGuard<'_, LruCache<K, KeyEntry>> {
        // A panic elsewhere leaves the map as it was between two requests.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the site of an IPv6 network. An IPv4 address has no site.
#[must_use]
pub fn site_of(network: IpNet) -> Option<Ipv6Net> {
    let IpNet::V6(network) = network else {
        return None;
    };
    let site = Ipv6Net::new(network.addr(), SITE_PREFIX_BITS).ok()?;
    Some(site.trunc())
}

/// Returns the limit of a site, given the limit of one network.
#[must_use]
pub const fn site_limit(network_limit: u32) -> u32 {
    network_limit.saturating_mul(SITE_FACTOR)
}
