//! The sessions that were read from the database recently, so that a client that reconnects soon needs no query.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::rechecks::MAX_HANDSHAKE_TIME;
use crate::models::{
    sessions::{ActiveSession, TokenClaims},
    users,
};

/// The time for which a session admits new sockets without another read, if no recheck of its user is requested. Open
/// sockets are still checked.
const SESSION_CACHE_TTL: Duration = Duration::from_secs(30);

// Requests of rechecks are remembered for at least as long.
const _: () = assert!(SESSION_CACHE_TTL.as_secs() <= MAX_HANDSHAKE_TIME.as_secs());

/// Active sessions, by their ids.
#[derive(Default)]
pub(super) struct SessionCache(Mutex<HashMap<Uuid, CachedSession>>);

/// An active session as it was read.
pub(super) struct CachedSession {
    pub session: ActiveSession,
    pub user: users::Model,
    /// The time before the read.
    pub loaded_at: Instant,
    /// The number of connections to Redis so far, before the read. Messages may be lost between two connections.
    pub reconnect_count: u64,
}

/// Returns `true` if a token belongs to this session's user, and to the session's current generation.
pub(super) fn matches_token(session: &ActiveSession, claims: &TokenClaims) -> bool {
    session.user_id == claims.user_id && session.generation == claims.generation
}

impl SessionCache {
    /// Returns the session of a token, if it is cached, recent and active, and `is_rechecked` returns `false` for it.
    /// `reconnect_count` is the current count.
    pub fn get(
        &self,
        claims: &TokenClaims,
        reconnect_count: u64,
        is_rechecked: impl FnOnce(&CachedSession) -> bool,
    ) -> Option<(ActiveSession, users::Model)> {
        let sessions = self.sessions();
        let cached = sessions.get(&claims.session_id)?;
        let is_recent = cached.loaded_at.elapsed() < SESSION_CACHE_TTL
            && cached.reconnect_count == reconnect_count;
        let is_active =
            matches_token(&cached.session, claims) && !cached.session.remaining().is_zero();
        (is_recent && is_active && !is_rechecked(cached))
            .then(|| (cached.session, cached.user.clone()))
    }

    /// Adds a session that was read.
    pub fn insert(&self, id: Uuid, session: CachedSession) {
        self.sessions().insert(id, session);
    }

    /// Drops the sessions that are no longer recent.
    pub fn drop_old(&self) {
        self.sessions()
            .retain(|_, cached| cached.loaded_at.elapsed() < SESSION_CACHE_TTL);
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Uuid, CachedSession>> {
        // A panic elsewhere leaves the map as it was between two calls of its own methods.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
