//! The typing users and the read positions of one room. No I/O.
//!
//! Ephemeral events of several nodes arrive in any order, and some are lost. This state decides which of them the
//! sockets of the room still need.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::channels::protocol::ephemeral::EncodedEphemeral;

/// The time after which a typing user counts as stopped, if the user's node sends no further event.
const TYPING_TIMEOUT: Duration = Duration::from_millis(5500);

/// Typing users of one group that are kept.
const MAX_TYPING_USERS: usize = 1000;

/// The ephemeral state of a room.
#[derive(Default)]
pub(super) struct EphemeralState {
    /// The read positions of users, as far as this node has received them.
    read_positions: Mutex<HashMap<Arc<str>, i64>>,
    /// The typing users, and the time at which each of them counts as stopped: the user's node may have died.
    typing_users: Mutex<HashMap<Arc<str>, Instant>>,
}

impl EphemeralState {
    /// Applies a typing event. Returns `true` if the sockets need it: the end of typing is sent once.
    pub fn update_typing(&self, event: &EncodedEphemeral) -> bool {
        let mut typing_users = self.typing_users();
        if !event.is_typing {
            return typing_users.remove(&event.user).is_some();
        }
        if typing_users.len() < MAX_TYPING_USERS || typing_users.contains_key(&event.user) {
            typing_users.insert(event.user.clone(), Instant::now() + TYPING_TIMEOUT);
        }
        true
    }

    /// Returns the users whose typing has timed out. They count as typing until [`EphemeralState::update_typing`].
    pub fn timed_out_typing_users(&self) -> Vec<Arc<str>> {
        let now = Instant::now();
        let typing_users = self.typing_users();
        let timed_out = typing_users.iter().filter(|(_, end)| **end <= now);
        timed_out.map(|(user, _)| user.clone()).collect()
    }

    /// Returns `true` while a user types.
    pub fn has_typing_users(&self) -> bool {
        !self.typing_users().is_empty()
    }

    /// Applies a read position. Returns `true` if the position has advanced: events of two nodes may arrive in
    /// another order than they happened.
    pub fn advance_read_position(&self, event: &EncodedEphemeral) -> bool {
        let mut positions = self
            .read_positions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let position = positions.entry(event.user.clone()).or_default();
        let has_advanced = *position < event.seq;
        *position = event.seq.max(*position);
        has_advanced
    }

    fn typing_users(&self) -> MutexGuard<'_, HashMap<Arc<str>, Instant>> {
        // A panic elsewhere leaves the map as it was between two calls of its own methods.
        self.typing_users
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
