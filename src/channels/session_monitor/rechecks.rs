//! The users whose sessions must be checked again. No I/O.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

/// The longest handshake for which a recheck covers the new socket. A socket with a longer handshake may outlive its
/// session until the next check of all sessions.
pub(super) const MAX_HANDSHAKE_TIME: Duration = Duration::from_secs(60);

/// The rechecks that were requested.
#[derive(Default)]
pub(super) struct SessionRechecks {
    /// Users who are not checked yet.
    pending_users: HashSet<Arc<str>>,
    /// `true` if all users must be checked, because a message about some user may have been lost.
    is_all_pending: bool,
    /// The time of the last request for each user. A socket that opens soon after may have passed its own check
    /// before.
    requested_at: HashMap<Arc<str>, Instant>,
    /// The time of the last request for all users.
    all_requested_at: Option<Instant>,
}

impl SessionRechecks {
    /// Requests a recheck of a user.
    pub fn request(&mut self, user: Arc<str>) {
        self.requested_at.insert(user.clone(), Instant::now());
        self.pending_users.insert(user);
    }

    /// Requests a recheck of all users.
    pub fn request_all(&mut self) {
        self.is_all_pending = true;
        self.all_requested_at = Some(Instant::now());
    }

    /// Requests a recheck of the user of a new socket, if one was requested during its handshake. Returns `true` if
    /// so.
    pub fn request_if_recent(&mut self, user: &Arc<str>) -> bool {
        let is_all_recent = self
            .all_requested_at
            .is_some_and(|at| at.elapsed() < MAX_HANDSHAKE_TIME);
        let is_recent = is_all_recent || self.requested_at.contains_key(user);
        if is_recent {
            self.pending_users.insert(user.clone());
        }
        is_recent
    }

    /// Returns `true` if a recheck of the user, or of all users, was requested since then.
    pub fn is_requested_since(&self, user: &str, then: Instant) -> bool {
        let requested = self
            .requested_at
            .get(user)
            .into_iter()
            .chain(&self.all_requested_at);
        requested.copied().any(|at| at >= then)
    }

    /// The time of the last request for this user, or for all users.
    pub fn requested_at(&self, user: &str) -> Option<Instant> {
        let of_user = self.requested_at.get(user).copied();
        of_user.max(self.all_requested_at)
    }

    /// Takes the users who are not checked yet. A user who is requested from now on is checked again.
    pub fn take_pending(&mut self) -> HashSet<Arc<str>> {
        mem::take(&mut self.pending_users)
    }

    /// Restores the requests of users whose check has failed.
    pub fn restore_pending(&mut self, users: HashSet<Arc<str>>) {
        self.pending_users.extend(users);
    }

    /// Returns `true` if all users must be checked, and clears the request.
    pub fn take_all_pending(&mut self) -> bool {
        mem::take(&mut self.is_all_pending)
    }

    /// Restores the request for all users after a failed check.
    pub fn restore_all_pending(&mut self) {
        self.is_all_pending = true;
    }

    /// Forgets requests that are older than every handshake.
    pub fn forget_old(&mut self) {
        self.requested_at
            .retain(|_, at| at.elapsed() < MAX_HANDSHAKE_TIME);
    }
}
