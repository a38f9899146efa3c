//! Topics for which a payload of this node was lost.
//!
//! Their other nodes are told so as soon as Redis takes anything, and look for themselves.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// With more topics than these the sweep of the other nodes is as good.
const MAX_MISSED_TOPICS: usize = 10_000;

#[derive(Clone, Default)]
pub(super) struct MissedTopics(Arc<Mutex<HashSet<String>>>);

impl MissedTopics {
    pub fn record(&self, topic: String) {
        let mut topics = self.lock_topics();
        if topics.len() < MAX_MISSED_TOPICS {
            topics.insert(topic);
        }
    }

    /// Those that are somebody's to tell, who takes them.
    pub fn take_matching(&self, is_mine: impl Fn(&str) -> bool) -> Vec<String> {
        let mut topics = self.lock_topics();
        topics.extract_if(|topic| is_mine(topic)).collect()
    }

    fn lock_topics(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
