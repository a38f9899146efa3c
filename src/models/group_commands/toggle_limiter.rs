//! The limit of changes of one reaction by one user.
//!
//! Each change of a reaction is a permanent event, which all members read. So a reaction that is added and removed all
//! day costs all members. Only stored changes count: a request that changes nothing and a retry do not. The rate
//! limiter of requests counts a request when it checks the request. This limiter checks first, and counts the change
//! after the change is stored.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hashlink::LruCache;

use super::{CommandKind, GroupCommand};
use crate::models::reactions::Emoji;

/// The number of changes of one reaction that are allowed at once.
pub const TOGGLE_BURST: u32 = 10;

/// The time after which one more change is allowed.
pub const TOGGLE_REFILL_INTERVAL: Duration = Duration::from_secs(300);

/// The highest number of tracked reactions, of some 100 bytes each.
///
/// Beyond it, a new reaction replaces the reaction that was changed the longest time ago.
const MAX_TRACKED_REACTIONS: usize = 50_000;

/// A reaction: its group, message, user and emoji.
pub type ReactionKey = (i64, i64, i64, Emoji);

/// The limiter of one node.
pub struct ToggleLimiter(Mutex<LruCache<ReactionKey, ToggleLevel>>);

/// The used part of a limit. Each change adds 1, and [`TOGGLE_REFILL_INTERVAL`] removes 1.
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
        let refilled = (now - self.updated_at).as_secs_f64() / TOGGLE_REFILL_INTERVAL.as_secs_f64();
        (self.level - refilled).max(0.0)
    }
}

impl ToggleLimiter {
    /// Returns the reaction that a command changes. `None` for another command, and for a command of an operator.
    #[must_use]
    pub fn reaction_key(command: &GroupCommand) -> Option<ReactionKey> {
        let CommandKind::React { seq, emoji, .. } = command.kind else {
            return None;
        };
        Some((command.group_id, seq, command.actor.as_ref()?.id, emoji))
    }

    /// Returns the time to wait if a reaction must not change now. `pending` is the number of its changes in the batch.
    #[must_use]
    pub fn retry_after(&self, key: &ReactionKey, pending: u32) -> Option<Duration> {
        let now = Instant::now();
        let used = self
            .levels()
            .get(key)
            .map_or(0.0, |level| level.level_at(now));
        let surplus = used + f64::from(pending) + 1.0 - f64::from(TOGGLE_BURST);
        (surplus > 0.0).then(|| TOGGLE_REFILL_INTERVAL.mul_f64(surplus))
    }

    /// Counts a change that was stored.
    pub fn record(&self, key: ReactionKey) {
        let now = Instant::now();
        let mut levels = self.levels();
        let used = levels.get(&key).map_or(0.0, |level| level.level_at(now));
        levels.insert(
            key,
            ToggleLevel {
                level: used + 1.0,
                updated_at: now,
            },
        );
    }

    fn levels(&self) -> MutexGuard<'_, LruCache<ReactionKey, ToggleLevel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
