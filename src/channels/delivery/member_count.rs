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

/// Changes that wait for the count, at most. The oldest change is dropped first, because the count is read later and
/// most likely includes it.
const MAX_PENDING_CHANGES: usize = 1024;

/// The number of members of a group, counted once and then changed by events.
#[derive(Default)]
pub(in crate::channels) struct MemberCount {
    /// The number of members; 0 until they are counted.
    count: AtomicI64,
    base: Mutex<CountBase>,
}

/// The head of the log at the count, and the changes that wait for the count.
#[derive(Default)]
struct CountBase {
    /// The head of the log when the members were counted; 0 until then.
    head: i64,
    /// The changes that have arrived while the count is unknown: the seq of the event, and 1 or -1.
    pending_changes: Vec<(i64, i64)>,
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
    /// Only the first count is used. A second count may be of a lower head, and the changes after that head are no
    /// longer kept.
    pub fn set(&self, count: i64, head: i64) {
        let mut base = self.base();
        if self.is_known() {
            return;
        }
        base.head = head;
        let later = base.pending_changes.iter().filter(|(seq, _)| *seq > head);
        let change: i64 = later.map(|(_, change)| change).sum();
        base.pending_changes.clear();
        self.count.store(count + change, Ordering::Relaxed);
    }

    /// Applies the event with this seq, which added (1) or removed (-1) a member.
    pub fn apply(&self, seq: i64, change: i64) {
        let mut base = self.base();
        if !self.is_known() {
            if base.pending_changes.len() == MAX_PENDING_CHANGES {
                base.pending_changes.remove(0);
            }
            base.pending_changes.push((seq, change));
        } else if seq > base.head {
            self.count.fetch_add(change, Ordering::Relaxed);
        }
    }

    fn base(&self) -> MutexGuard<'_, CountBase> {
        // A panic elsewhere leaves the changes as they were between two calls.
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
