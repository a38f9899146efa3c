//! Topics for which a payload of this node was lost.
//!
//! As soon as Redis accepts publications again, this node notifies the other nodes of these topics.
//! The other nodes then compare the topics with the log.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The largest number of recorded topics. Beyond it, the sweep of the other nodes repairs as well.
const MAX_MISSED_TOPICS: usize = 10_000;

/// The topics with lost payloads. Clones share the topics.
#[derive(Clone, Default)]
pub(super) struct MissedTopics(Arc<Mutex<HashSet<String>>>);

impl MissedTopics {
    /// Records that a payload of a topic was lost.
    pub fn record(&self, topic: String) {
        let mut topics = self.lock_topics();
        if topics.len() < MAX_MISSED_TOPICS {
            topics.insert(topic);
        }
    }

    /// Removes and returns the topics that match.
    pub fn take_matching(&self, matches: impl Fn(&str) -> bool) -> Vec<String> {
        let mut topics = self.lock_topics();
        topics.extract_if(|topic| matches(topic)).collect()
    }

    fn lock_topics(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
