//! The limit of changes of one reaction by one user.
//!
//! Each change of a reaction is an event for ever, which all members read. So a reaction that goes on and off all
//! day costs everybody. Only changes that were stored count: a request that changes nothing and a retry do not.
//! The rate limiter of requests takes from its limit when it is asked. This limit is first looked at, then taken from
//! when the change is stored.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hashlink::LruCache;

use super::{Change, What};
use crate::models::reactions::Emoji;

/// Changes of one reaction that are allowed at once.
pub const AT_ONCE: u32 = 10;

/// The time after which one more is allowed.
pub const EVERY: Duration = Duration::from_secs(300);

/// Reactions that are remembered. Beyond that, a new one replaces the one that was changed the longest time ago.
/// Each takes some 100 bytes.
const REMEMBERED: usize = 50_000;

/// A reaction: its group, message, user and emoji.
pub type Key = (i64, i64, i64, Emoji);

/// The limit on one node.
pub struct ToggleLimit(Mutex<LruCache<Key, Spent>>);

/// The spent part of a limit: each change adds one, and time takes it away.
#[derive(Clone, Copy)]
struct Spent {
    changes: f64,
    at: Instant,
}

impl Default for ToggleLimit {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Spent {
    fn by(self, now: Instant) -> f64 {
        let regained = (now - self.at).as_secs_f64() / EVERY.as_secs_f64();
        (self.changes - regained).max(0.0)
    }
}

impl ToggleLimit {
    /// Returns the reaction that a change is about; `None` for another change, and for one of the operator.
    #[must_use]
    pub fn key(change: &Change) -> Option<Key> {
        let What::React { seq, emoji, .. } = change.what else {
            return None;
        };
        Some((change.group_id, seq, change.author.as_ref()?.id, emoji))
    }

    /// Returns the time to wait if a reaction may not change now. `pending` changes of it are about to be stored.
    #[must_use]
    pub fn wait(&self, key: &Key, pending: u32) -> Option<Duration> {
        let now = Instant::now();
        let spent = self.spent().get(key).map_or(0.0, |spent| spent.by(now));
        let surplus = spent + f64::from(pending) + 1.0 - f64::from(AT_ONCE);
        (surplus > 0.0).then(|| EVERY.mul_f64(surplus))
    }

    /// Counts a change that was stored.
    pub fn note(&self, key: Key) {
        let now = Instant::now();
        let mut all = self.spent();
        let before = all.get(&key).map_or(0.0, |spent| spent.by(now));
        let changes = before + 1.0;
        all.insert(key, Spent { changes, at: now });
    }

    fn spent(&self) -> MutexGuard<'_, LruCache<Key, Spent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
