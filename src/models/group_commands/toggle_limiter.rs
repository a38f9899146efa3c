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

use super::{CommandKind, GroupCommand};
use crate::models::reactions::Emoji;

/// Changes of one reaction that are allowed at once.
pub const TOGGLE_BURST: u32 = 10;

/// The time after which one more is allowed.
pub const TOGGLE_REFILL_INTERVAL: Duration = Duration::from_secs(300);

/// Reactions that are remembered. Beyond that, a new one replaces the one that was changed the longest time ago.
/// Each takes some 100 bytes.
const MAX_TRACKED_REACTIONS: usize = 50_000;

/// A reaction: its group, message, user and emoji.
pub type ReactionKey = (i64, i64, i64, Emoji);

/// The limit on one node.
pub struct ToggleLimiter(Mutex<LruCache<ReactionKey, ToggleLevel>>);

/// The spent part of a limit: each change adds one, and time takes it away.
#[derive(Clone, Copy)]
struct ToggleLevel {
    level: f64,
    updated_at: Instant,
}

impl Default for ToggleLimiter {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MAX_TRACKED_REACTIONS)))
    }
}

impl ToggleLevel {
    fn level_at(self, now: Instant) -> f64 {
        let regained = (now - self.updated_at).as_secs_f64() / TOGGLE_REFILL_INTERVAL.as_secs_f64();
        (self.level - regained).max(0.0)
    }
}

impl ToggleLimiter {
    /// Returns the reaction that a change is about; `None` for another change, and for one of the operator.
    #[must_use]
    pub fn reaction_key(change: &GroupCommand) -> Option<ReactionKey> {
        let CommandKind::React { seq, emoji, .. } = change.kind else {
            return None;
        };
        Some((change.group_id, seq, change.actor.as_ref()?.id, emoji))
    }

    /// Returns the time to wait if a reaction may not change now. `pending` changes of it are about to be stored.
    #[must_use]
    pub fn retry_after(&self, key: &ReactionKey, pending: u32) -> Option<Duration> {
        let now = Instant::now();
        let spent = self
            .levels()
            .get(key)
            .map_or(0.0, |spent| spent.level_at(now));
        let surplus = spent + f64::from(pending) + 1.0 - f64::from(TOGGLE_BURST);
        (surplus > 0.0).then(|| TOGGLE_REFILL_INTERVAL.mul_f64(surplus))
    }

    /// Counts a change that was stored.
    pub fn record(&self, key: ReactionKey) {
        let now = Instant::now();
        let mut all = self.levels();
        let before = all.get(&key).map_or(0.0, |spent| spent.level_at(now));
        let changes = before + 1.0;
        all.insert(
            key,
            ToggleLevel {
                level: changes,
                updated_at: now,
            },
        );
    }

    fn levels(&self) -> MutexGuard<'_, LruCache<ReactionKey, ToggleLevel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
