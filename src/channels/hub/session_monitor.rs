//! Sockets end with the session by which they were opened, wherever it was ended.
//!
//! The database says which sessions live. A word from node to node says of whom to look at once; what
//! no word tells, because Redis is away or a task ended a session, is found by looking at all.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::Utc;
use sea_orm::{DatabaseConnection, DbErr};
use tokio::{
    select,
    time::{sleep, sleep_until},
};
use uuid::Uuid;

use super::{
    Hub, SocketHandle, batch_loader::BatchLoader, gap_repair::next_reconnect, with_db_timeout,
};
use crate::{
    channels::protocol::{
        CloseReason,
        node_message::{CLUSTER_TOPIC, NodeMessage},
    },
    database::clock,
    models::{
        invites,
        sessions::{self, ActiveSession, TokenClaims},
        users,
    },
    supervisor::Supervisor,
};

/// How often all sessions are looked at where words come from the other nodes.
const CHECK_ALL_EVERY: Duration = Duration::from_secs(25);

/// How often where they do not, at most, and the share of the time that it may take.
const MIN_CHECK_ALL_EVERY: Duration = Duration::from_secs(1);
const CHECK_ALL_COST_FACTOR: u32 = 100;

/// A database that could not be read is asked again after this.
const SESSION_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Sessions that are looked up at once.
const MAX_SESSIONS_PER_QUERY: usize = 500;

/// The time between two deletions of expired sessions, and the time from the start to the first deletion. The clock
/// of a machine that has just started may be wrong.
const CLEANUP_EVERY: Duration = Duration::from_secs(3600);
const FIRST_CLEANUP_AFTER: Duration = Duration::from_secs(600);

/// The difference between the clocks of this node and of the database from which on it is logged.
const MAX_CLOCK_DIFFERENCE: chrono::Duration = chrono::Duration::seconds(2);

/// The time between two comparisons of the clocks.
const CLOCK_CHECK_EVERY: Duration = Duration::from_secs(300);

/// A socket whose handshake takes longer than this may outlive its session until all are looked at.
const MAX_HANDSHAKE_TIME: Duration = Duration::from_secs(60);

/// How long a session that was found alive lets its user in without being looked up again, if nothing
/// is said of it. (Its sockets are looked at all the same.) Not longer than [`MAX_HANDSHAKE_TIME`], for which
/// it is kept what was said.
const SESSION_CACHE_TTL: Duration = Duration::from_secs(30);

/// Of whom it was said that their sessions are to be looked at.
#[derive(Default)]
pub(super) struct SessionRechecks {
    /// Not looked at yet.
    pending_users: HashSet<Arc<str>>,
    /// Whether a word was lost that may have been of anybody.
    is_all_pending: bool,
    /// When it was said last. Who comes in soon after may have been let in before.
    requested_at: HashMap<Arc<str>, Instant>,
    /// The same of everybody.
    all_requested_at: Option<Instant>,
}

/// Sessions that were found alive lately: who comes back soon is let in without a query.
#[derive(Default)]
pub(super) struct SessionCache(Mutex<HashMap<Uuid, CachedSession>>);

struct CachedSession {
    session: ActiveSession,
    user: users::Model,
    /// When it was about to be looked up.
    loaded_at: Instant,
    /// The session with Redis in which it was.
    reconnect_count: u64,
}

impl SessionRechecks {
    /// Whether something was said of the user since then, or of everybody.
    fn is_requested_since(&self, user: &str, then: Instant) -> bool {
        let said = self
            .requested_at
            .get(user)
            .into_iter()
            .chain(&self.all_requested_at);
        said.copied().any(|said| said >= then)
    }
}

/// Returns whether a token is of this session's user, and of its current generation.
fn matches_token(session: &ActiveSession, claimed: &TokenClaims) -> bool {
    session.user_id == claimed.user_id && session.generation == claimed.generation
}

/// Looks up sessions.
pub(super) fn session_loader(
    db: &DatabaseConnection,
    supervisor: &Supervisor,
) -> BatchLoader<Uuid, (ActiveSession, users::Model)> {
    BatchLoader::start(db, supervisor, "session loader", |db, ids| async move {
        sessions::Model::find_all_active(&db, ids).await
    })
}

/// Knows when a socket's session ends by the clock.
pub(in crate::channels) struct SessionExpiry {
    hub: Arc<Hub>,
    socket: Arc<SocketHandle>,
}

impl SessionExpiry {
    pub fn new(hub: Arc<Hub>, socket: Arc<SocketHandle>) -> Self {
        Self { hub, socket }
    }

    /// When the session ends, unless it is refreshed.
    pub fn expires_at(&self) -> Instant {
        Instant::now() + self.socket.session().remaining()
    }

    /// Looks again at a session that is at its end.
    ///
    /// # Errors
    /// Why the socket must go.
    pub async fn check(&self) -> Result<(), CloseReason> {
        self.hub.check_expiry(&self.socket).await
    }

    /// Waits for the end.
    pub async fn wait(&self) -> CloseReason {
        loop {
            sleep_until(self.expires_at().into()).await;
            if let Err(reason) = self.check().await {
                return reason;
            }
        }
    }
}

impl Hub {
    /// Has all nodes look whether the sessions of a user's sockets still live.
    pub fn recheck_sessions(&self, user: &str) {
        let word = NodeMessage::Sessions { user: user.into() };
        drop(self.broker.publish(CLUSTER_TOPIC, word.encode()));
        self.queue_recheck(user);
    }

    /// Has this node look.
    pub(super) fn queue_recheck(&self, user: &str) {
        let user: Arc<str> = user.into();
        let mut suspects = self.session_rechecks();
        suspects.requested_at.insert(user.clone(), Instant::now());
        suspects.pending_users.insert(user);
        drop(suspects);
        self.recheck_requested.notify_one();
    }

    /// Has this node look at everybody.
    pub(super) fn queue_recheck_all(&self) {
        let mut suspects = self.session_rechecks();
        suspects.is_all_pending = true;
        suspects.all_requested_at = Some(Instant::now());
        drop(suspects);
        self.recheck_requested.notify_one();
    }

    /// Looks again at who has just come in, where there was reason to look.
    pub(super) fn queue_recheck_if_recent(&self, peer: &SocketHandle) {
        let mut suspects = self.session_rechecks();
        let all_said = suspects
            .all_requested_at
            .is_some_and(|said| said.elapsed() < MAX_HANDSHAKE_TIME);
        if all_said || suspects.requested_at.contains_key(&peer.username) {
            suspects.pending_users.insert(peer.username.clone());
            drop(suspects);
            self.recheck_requested.notify_one();
        }
    }

    /// Returns the session of a token that opens a socket, if the session lives, its user is active, and
    /// the token is of the session's current generation.
    ///
    /// A session that was found in the last 30 s is not read from the database, if no node has announced a
    /// change of the user's sessions since. The check of all sockets finds a change that no node announced.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_active_session(
        &self,
        claimed: &TokenClaims,
    ) -> Result<Option<(ActiveSession, users::Model)>, DbErr> {
        let id = claimed.session_id;
        if let Some(found) = self.cached_session(claimed) {
            return Ok(Some(found));
        }
        let (at, link) = (Instant::now(), self.reconnect_count());
        let found = self.session_loader.load(vec![id]).await?.pop();
        let found = found.filter(|(session, _)| matches_token(session, claimed));
        Ok(found.map(|(session, user)| {
            let alive = CachedSession {
                session,
                user: user.clone(),
                loaded_at: at,
                reconnect_count: link,
            };
            self.session_cache().insert(id, alive);
            (session, user)
        }))
    }

    fn cached_session(&self, claimed: &TokenClaims) -> Option<(ActiveSession, users::Model)> {
        // Without a way to hear what is said of sessions elsewhere, the database alone knows.
        if self.broker.is_disconnected() {
            return None;
        }
        let found = self.session_cache();
        let alive = found.get(&claimed.session_id)?;
        let is_new = alive.loaded_at.elapsed() < SESSION_CACHE_TTL
            && alive.reconnect_count == self.reconnect_count();
        let is_live =
            matches_token(&alive.session, claimed) && !alive.session.remaining().is_zero();
        let is_doubted = || {
            self.session_rechecks()
                .is_requested_since(&alive.user.username, alive.loaded_at)
        };
        (is_new && is_live && !is_doubted()).then(|| (alive.session, alive.user.clone()))
    }

    /// Counts the sessions with Redis; between two of them words may have been lost.
    fn reconnect_count(&self) -> u64 {
        self.broker_reconnects
            .as_ref()
            .map_or(0, |links| *links.borrow())
    }

    fn session_cache(&self) -> MutexGuard<'_, HashMap<Uuid, CachedSession>> {
        self.session_cache
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks who may stay: at once where there is a suspicion, and at all from time to time.
    pub(super) async fn run_session_monitor(self: Arc<Self>) {
        let mut all_next = Instant::now() + MIN_CHECK_ALL_EVERY;
        let mut forget_next = Instant::now() + FIRST_CLEANUP_AFTER;
        let mut clocks_next = Instant::now();
        let mut links = self.broker.reconnects();
        loop {
            let is_time = select! {
                () = self.recheck_requested.notified() => false,
                () = next_reconnect(&mut links) => true,
                () = sleep_until(all_next.into()) => true,
            };
            let begun = Instant::now();
            let is_all = std::mem::take(&mut self.session_rechecks().is_all_pending) || is_time;
            let looked = if is_all {
                self.check_all_sessions().await
            } else {
                self.check_pending_rechecks().await
            };
            if let Err(error) = looked {
                tracing::warn!(%error, "the sessions could not be read; trying again");
                self.session_rechecks().is_all_pending |= is_all;
                sleep(SESSION_RETRY_AFTER).await;
                self.recheck_requested.notify_one();
                continue;
            }
            if is_all {
                all_next = Instant::now() + self.next_check_all_delay(begun.elapsed());
                let mut suspects = self.session_rechecks();
                suspects
                    .requested_at
                    .retain(|_, said| said.elapsed() < MAX_HANDSHAKE_TIME);
                drop(suspects);
                self.session_cache()
                    .retain(|_, alive| alive.loaded_at.elapsed() < SESSION_CACHE_TTL);
            }
            if clocks_next <= begun {
                clocks_next = begun + CLOCK_CHECK_EVERY;
                self.compare_clocks().await;
            }
            if forget_next <= begun {
                forget_next = begun + CLEANUP_EVERY;
                if let Err(error) = with_db_timeout(sessions::Model::delete_expired(&self.db)).await
                {
                    // The next time does it.
                    tracing::warn!(%error, "expired sessions could not be forgotten");
                }
                if let Err(error) = with_db_timeout(invites::Model::delete_expired(&self.db)).await
                {
                    tracing::warn!(%error, "expired invites could not be deleted");
                }
            }
        }
    }

    /// Warns an operator of a clock that is wrong. Nothing is lost by the difference, but the times that this node
    /// shows are wrong, and its access tokens live shorter or longer on other nodes.
    async fn compare_clocks(&self) {
        let (before, asked) = (Utc::now(), Instant::now());
        let Ok(now) = with_db_timeout(clock::now(&self.db)).await else {
            return;
        };
        let apart = before - now;
        let slack = chrono::Duration::from_std(asked.elapsed()).unwrap_or_default();
        if apart.abs() > MAX_CLOCK_DIFFERENCE + slack {
            tracing::warn!(
                seconds_ahead = apart.num_seconds(),
                "the clock of this node differs from the clock of the database"
            );
        }
    }

    /// Who is suspected meanwhile does not wait until all have been looked at.
    async fn check_all_sessions(&self) -> Result<(), DbErr> {
        for peers in self
            .connected_users
            .all_sockets()
            .chunks(MAX_SESSIONS_PER_QUERY)
        {
            self.check_pending_rechecks().await?;
            self.check_sessions(peers).await?;
        }
        self.check_pending_rechecks().await
    }

    async fn check_pending_rechecks(&self) -> Result<(), DbErr> {
        // Who is suspected from now on is looked at again.
        let suspected = std::mem::take(&mut self.session_rechecks().pending_users);
        let peers = suspected
            .iter()
            .flat_map(|user| self.connected_users.sockets_of(user));
        let looked = self.check_sessions(&peers.collect::<Vec<_>>()).await;
        if looked.is_err() {
            self.session_rechecks().pending_users.extend(suspected);
        }
        looked
    }

    /// Ends the sockets whose session has ended, and lets the others know how long theirs lives.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn check_sessions(&self, peers: &[Arc<SocketHandle>]) -> Result<(), DbErr> {
        for peers in peers.chunks(MAX_SESSIONS_PER_QUERY) {
            let asked: Vec<_> = peers.iter().map(|peer| peer.session().id).collect();
            let each: HashSet<_> = asked.iter().copied().collect();
            let live = with_db_timeout(sessions::Model::find_all_existing(&self.db, each)).await?;
            for (peer, asked) in peers.iter().zip(asked) {
                peer.refresh_session(&live, asked);
            }
        }
        Ok(())
    }

    /// Why a socket whose session is at its end must go, unless the session was refreshed.
    async fn check_expiry(&self, peer: &Arc<SocketHandle>) -> Result<(), CloseReason> {
        if let Err(error) = self.check_sessions(std::slice::from_ref(peer)).await {
            let user = peer.session().user_id;
            tracing::warn!(%error, user, "a session cannot be looked up at its end");
        }
        match peer.close_reason() {
            Some(reason) => Err(reason),
            None if peer.session().remaining().is_zero() => Err(CloseReason::Unauthorized),
            None => Ok(()),
        }
    }

    /// How long it is until all sessions are looked at again, after it has taken so long.
    fn next_check_all_delay(&self, took: Duration) -> Duration {
        if self.broker.is_connected() {
            CHECK_ALL_EVERY
        } else {
            (took * CHECK_ALL_COST_FACTOR).clamp(MIN_CHECK_ALL_EVERY, CHECK_ALL_EVERY)
        }
    }

    fn session_rechecks(&self) -> MutexGuard<'_, SessionRechecks> {
        self.session_rechecks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
