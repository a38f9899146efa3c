//! Topics for which a payload of this node was lost.
//!
//! Their other nodes are told so as soon as Redis takes anything, and look for themselves.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// With more topics than these the sweep of the other nodes is as good.
const MANY: usize = 10_000;

#[derive(Clone, Default)]
pub(super) struct Unheard(Arc<Mutex<HashSet<String>>>);

impl Unheard {
    pub fn note(&self, topic: String) {
        let mut topics = self.topics();
        if topics.len() < MANY {
            topics.insert(topic);
        }
    }

    /// Those that are somebody's to tell, who takes them.
    pub fn take(&self, is_mine: impl Fn(&str) -> bool) -> Vec<String> {
        let mut topics = self.topics();
        topics.extract_if(|topic| is_mine(topic)).collect()
    }

    fn topics(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
