//! The session monitor: it closes each socket whose session has ended, also if another node ended the session.
//!
//! The database has the sessions. A message from another node names a user whose sessions must be checked at once.
//! A check of all sessions finds the changes without a message: Redis was unreachable, or a task ended a session.

mod cache;
mod rechecks;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sea_orm::{DatabaseConnection, DbErr};
use tokio::{
    select,
    sync::{Notify, watch},
    time::{sleep, sleep_until},
};
use uuid::Uuid;

use self::{
    cache::{CachedSession, SessionCache, matches_token},
    rechecks::SessionRechecks,
};
use super::{
    batch_loader::BatchLoader,
    broker::{Broker, next_reconnect},
    delivery::{ConnectedSockets, SocketHandle},
    protocol::{
        CloseReason,
        node_message::{CLUSTER_TOPIC, NodeMessage},
    },
};
use crate::{
    database::with_db_timeout,
    metrics::METRICS,
    models::{
        sessions::{self, ActiveSession, TokenClaims},
        users,
    },
    supervisor::Supervisor,
};

/// The time between two checks of all sessions while messages of other nodes arrive.
const CHECK_ALL_EVERY: Duration = Duration::from_secs(25);

/// The shortest time between two checks while no messages arrive, and the factor of a check's duration that it takes
/// at least: a check takes a hundredth of the time.
const MIN_CHECK_ALL_EVERY: Duration = Duration::from_secs(1);
const CHECK_ALL_COST_FACTOR: u32 = 100;

/// The pause after a failed read.
const SESSION_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Sessions in one query.
const MAX_SESSIONS_PER_QUERY: usize = 500;

/// Finds the sessions of tokens, and closes sockets whose sessions have ended.
pub(super) struct SessionMonitor {
    db: DatabaseConnection,
    broker: Arc<Broker>,
    connected: Arc<ConnectedSockets>,
    rechecks: Mutex<SessionRechecks>,
    recheck_requested: Notify,
    cache: SessionCache,
    /// Active sessions with their users, by id.
    loader: BatchLoader<Uuid, (ActiveSession, users::Model)>,
    /// The number of connections to Redis so far.
    reconnects: Option<watch::Receiver<u64>>,
}

impl SessionMonitor {
    /// Starts the tasks.
    pub fn start(
        db: &DatabaseConnection,
        broker: Arc<Broker>,
        connected: Arc<ConnectedSockets>,
        supervisor: &Supervisor,
    ) -> Arc<Self> {
        let load = |db: DatabaseConnection, ids| async move {
            sessions::Model::find_all_active(&db, ids).await
        };
        let monitor = Arc::new(Self {
            db: db.clone(),
            reconnects: broker.reconnects(),
            broker,
            connected,
            rechecks: Mutex::default(),
            recheck_requested: Notify::new(),
            cache: SessionCache::default(),
            loader: BatchLoader::start(db, supervisor, "session loader", load),
        });
        supervisor.spawn("session monitor", monitor.clone().run());
        monitor
    }

    /// Makes all nodes check the sessions of a user's sockets.
    pub fn recheck_everywhere(&self, user: &str) {
        let message = NodeMessage::SessionsChanged { user: user.into() };
        drop(self.broker.publish(CLUSTER_TOPIC, message.encode()));
        self.recheck(user);
    }

    /// Makes this node check the sessions of a user's sockets.
    pub fn recheck(&self, user: &str) {
        self.rechecks().request(user.into());
        self.recheck_requested.notify_one();
    }

    /// Makes this node check the sessions of all sockets.
    pub fn recheck_all(&self) {
        self.rechecks().request_all();
        self.recheck_requested.notify_one();
    }

    /// Checks the session that a socket has just received, if a recheck of its user was requested while the session
    /// was read: during the handshake, or while the client authenticated again.
    pub fn recheck_if_recent(&self, socket: &SocketHandle) {
        let is_requested = self.rechecks().request_if_recent(&socket.username);
        if is_requested {
            self.recheck_requested.notify_one();
        }
    }

    /// Returns the session of a token that opens a socket, if the session and its user are active, and the token
    /// is of the session's current generation.
    ///
    /// A session that was read in the last 30 s is not read again, if no node has announced a change of the user's
    /// sessions since. The check of all sockets finds a change that no node has announced.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_active(
        &self,
        claims: &TokenClaims,
    ) -> Result<Option<(ActiveSession, users::Model)>, DbErr> {
        if let Some(cached) = self.cached(claims) {
            return Ok(Some(cached));
        }
        let id = claims.session_id;
        let (loaded_at, reconnect_count) = (Instant::now(), self.reconnect_count());
        let found = self.loader.load(vec![id]).await?.pop();
        let found = found.filter(|(session, _)| matches_token(session, claims));
        if let Some((session, user)) = &found {
            let cached = CachedSession {
                session: *session,
                user: user.clone(),
                loaded_at,
                reconnect_count,
            };
            self.cache.insert(id, cached);
        }
        Ok(found)
    }

    fn cached(&self, claims: &TokenClaims) -> Option<(ActiveSession, users::Model)> {
        // Without messages of other nodes, only the database knows the changes.
        if self.broker.is_disconnected() {
            return None;
        }
        self.cache.get(claims, self.reconnect_count(), |cached| {
            self.rechecks()
                .is_requested_since(&cached.user.username, cached.loaded_at)
        })
    }

    /// The number of connections to Redis so far. Messages may be lost between two connections.
    fn reconnect_count(&self) -> u64 {
        self.reconnects
            .as_ref()
            .map_or(0, |reconnects| *reconnects.borrow())
    }

    /// Checks sessions: at once where a recheck is requested, and all of them from time to time.
    async fn run(self: Arc<Self>) {
        let mut next_check_all = Instant::now() + MIN_CHECK_ALL_EVERY;
        let mut reconnects = self.broker.reconnects();
        loop {
            let is_all_due = select! {
                () = self.recheck_requested.notified() => false,
                () = next_reconnect(&mut reconnects) => true,
                () = sleep_until(next_check_all.into()) => true,
            };
            let begin = Instant::now();
            let is_all = self.rechecks().take_all_pending() || is_all_due;
            let checked = if is_all {
                self.check_all().await
            } else {
                self.check_pending().await
            };
            if let Err(error) = checked {
                tracing::warn!(%error, "the sessions could not be read; trying again");
                if is_all {
                    self.rechecks().restore_all_pending();
                }
                sleep(SESSION_RETRY_AFTER).await;
                self.recheck_requested.notify_one();
                continue;
            }
            if is_all {
                next_check_all = Instant::now() + self.next_check_all_delay(begin.elapsed());
                self.rechecks().forget_old();
                self.cache.drop_old();
            }
        }
    }

    async fn check_all(&self) -> Result<(), DbErr> {
        for sockets in self.connected.all().chunks(MAX_SESSIONS_PER_QUERY) {
            // A recheck that is requested during the check of all sessions does not wait for its end.
            self.check_pending().await?;
            self.check_sockets(sockets).await?;
        }
        self.check_pending().await
    }

    async fn check_pending(&self) -> Result<(), DbErr> {
        let users = self.rechecks().take_pending();
        let sockets = users.iter().flat_map(|user| self.connected.of_user(user));
        let checked = self.check_sockets(&sockets.collect::<Vec<_>>()).await;
        if checked.is_err() {
            self.rechecks().restore_pending(users);
        }
        checked
    }

    /// Reads the sessions of sockets. Closes the sockets whose sessions have ended, and updates the others.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn check_sockets(&self, sockets: &[Arc<SocketHandle>]) -> Result<(), DbErr> {
        for sockets in sockets.chunks(MAX_SESSIONS_PER_QUERY) {
            let queried: Vec<_> = sockets.iter().map(|socket| socket.session().id).collect();
            let ids: HashSet<_> = queried.iter().copied().collect();
            let existing =
                with_db_timeout(sessions::Model::find_all_existing(&self.db, ids)).await?;
            for (socket, queried) in sockets.iter().zip(queried) {
                let is_closed = socket.refresh_session(&existing, queried);
                if is_closed
                    && let Some(requested_at) = self.rechecks().requested_at(&socket.username)
                {
                    METRICS.revocation_seconds.observe(requested_at.elapsed());
                }
            }
        }
        Ok(())
    }

    /// The time until the next check of all sessions, after a check that took this long.
    fn next_check_all_delay(&self, took: Duration) -> Duration {
        if self.broker.is_connected() {
            CHECK_ALL_EVERY
        } else {
            (took * CHECK_ALL_COST_FACTOR).clamp(MIN_CHECK_ALL_EVERY, CHECK_ALL_EVERY)
        }
    }

    fn rechecks(&self) -> MutexGuard<'_, SessionRechecks> {
        // A panic elsewhere leaves the requests as they were between two calls.
        self.rechecks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a socket's session by the clock.
pub(super) struct SessionExpiry {
    monitor: Arc<SessionMonitor>,
    socket: Arc<SocketHandle>,
}

impl SessionExpiry {
    /// The expiry of a socket's session.
    pub fn new(monitor: Arc<SessionMonitor>, socket: Arc<SocketHandle>) -> Self {
        Self { monitor, socket }
    }

    /// Reads a session that has reached its end, because it may have been refreshed.
    ///
    /// # Errors
    /// The reason to close the socket.
    pub async fn check(&self) -> Result<(), CloseReason> {
        let sockets = std::slice::from_ref(&self.socket);
        if let Err(error) = self.monitor.check_sockets(sockets).await {
            let user = self.socket.session().user_id;
            tracing::warn!(%error, user, "a session could not be read at its end");
        }
        match self.socket.close_reason() {
            Some(reason) => Err(reason),
            None if self.socket.session().remaining().is_zero() => Err(CloseReason::Unauthorized),
            None => Ok(()),
        }
    }

    /// Waits until the session has ended.
    pub async fn wait(&self) -> CloseReason {
        loop {
            let end = Instant::now() + self.socket.session().remaining();
            sleep_until(end.into()).await;
            if let Err(reason) = self.check().await {
                return reason;
            }
        }
    }
}
