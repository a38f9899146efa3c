//! The number of members of one group. No I/O.

#[cfg(test)]
mod tests;

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicI64, Ordering},
};

/// The number of members above which a group is large. Sockets of a large group receive the number of online
/// members instead of their names, and read positions of their own user alone.
pub(in crate::channels) const LARGE_GROUP_MEMBERS: i64 = 200;

/// Changes that are kept while the members are counted.
const MAX_LATER_CHANGES: usize = 1024;

/// The number of members of a group, counted once and then changed by events.
#[derive(Default)]
pub(in crate::channels) struct MemberCount {
    /// The number of members; 0 until they are counted.
    count: AtomicI64,
    base: Mutex<CountBase>,
}

/// The point in the log at which the members were counted.
#[derive(Default)]
struct CountBase {
    /// The head of the log at that point.
    head: i64,
    /// The changes that arrived before the count: the seq of the event, and 1 or -1.
    later_changes: Vec<(i64, i64)>,
}

impl MemberCount {
    /// Returns `true` once the members are counted.
    pub fn is_known(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Returns `true` if the group is large. A group counts as small until its members are counted.
    pub fn is_large(&self) -> bool {
        self.count.load(Ordering::Relaxed) > LARGE_GROUP_MEMBERS
    }

    /// Sets the number of members at a head of the log. Changes up to the head are ignored, whether they have
    /// arrived or not. Later changes are added.
    ///
    /// Only the first count is used. A second count of the same time would miss changes that are no longer kept.
    pub fn set(&self, count: i64, head: i64) {
        let mut base = self.base();
        if self.is_known() {
            return;
        }
        base.head = head;
        let later = base.later_changes.iter().filter(|(seq, _)| *seq > head);
        let change: i64 = later.map(|(_, change)| change).sum();
        base.later_changes.clear();
        self.count.store(count + change, Ordering::Relaxed);
    }

    /// Applies the event with this seq, which added (1) or removed (-1) a member.
    pub fn apply(&self, seq: i64, change: i64) {
        let mut base = self.base();
        if !self.is_known() {
            if base.later_changes.len() == MAX_LATER_CHANGES {
                base.later_changes.remove(0);
            }
            base.later_changes.push((seq, change));
        } else if seq > base.head {
            self.count.fetch_add(change, Ordering::Relaxed);
        }
    }

    fn base(&self) -> MutexGuard<'_, CountBase> {
        // A panic elsewhere leaves the changes as they were between two calls.
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
