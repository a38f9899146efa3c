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

use super::{Hub, Peer, healing::next_session, in_time, together::Together};
use crate::{
    channels::protocol::{
        CloseReason,
        word::{NODES, Word},
    },
    database::clock,
    models::{
        invites,
        sessions::{self, Claimed, Live},
        users,
    },
    supervisor::Supervisor,
};

/// How often all sessions are looked at where words come from the other nodes.
const ALL_EVERY: Duration = Duration::from_secs(25);

/// How often where they do not, at most, and the share of the time that it may take.
const ALL_ALONE_EVERY: Duration = Duration::from_secs(1);
const SHARE: u32 = 100;

/// A database that could not be read is asked again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Sessions that are looked up at once.
const AT_ONCE: usize = 500;

/// The time between two deletions of expired sessions, and the time from the start to the first deletion. The clock
/// of a machine that has just started may be wrong.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
const FORGET_FIRST: Duration = Duration::from_secs(600);

/// The difference between the clocks of this node and of the database from which on it is logged.
const CLOCKS_APART: chrono::Duration = chrono::Duration::seconds(2);

/// The time between two comparisons of the clocks.
const CLOCKS_EVERY: Duration = Duration::from_secs(300);

/// A socket whose handshake takes longer than this may outlive its session until all are looked at.
const HANDSHAKE: Duration = Duration::from_secs(60);

/// How long a session that was found alive lets its user in without being looked up again, if nothing
/// is said of it. (Its sockets are looked at all the same.) Not longer than [`HANDSHAKE`], for which
/// it is kept what was said.
const FOUND_FOR: Duration = Duration::from_secs(30);

/// Of whom it was said that their sessions are to be looked at.
#[derive(Default)]
pub(super) struct Suspects {
    /// Not looked at yet.
    waiting: HashSet<Arc<str>>,
    /// Whether a word was lost that may have been of anybody.
    all: bool,
    /// When it was said last. Who comes in soon after may have been let in before.
    said: HashMap<Arc<str>, Instant>,
    /// The same of everybody.
    all_said: Option<Instant>,
}

/// Sessions that were found alive lately: who comes back soon is let in without a query.
#[derive(Default)]
pub(super) struct Found(Mutex<HashMap<Uuid, Alive>>);

struct Alive {
    session: Live,
    user: users::Model,
    /// When it was about to be looked up.
    at: Instant,
    /// The session with Redis in which it was.
    link: u64,
}

impl Suspects {
    /// Whether something was said of the user since then, or of everybody.
    fn is_said_since(&self, user: &str, then: Instant) -> bool {
        let said = self.said.get(user).into_iter().chain(&self.all_said);
        said.copied().any(|said| said >= then)
    }
}

/// Returns whether a token is of this session's user, and of its current generation.
fn is_of(session: &Live, claimed: &Claimed) -> bool {
    session.user_id == claimed.user_id && session.generation == claimed.generation
}

/// Looks up sessions.
pub(super) fn lives(
    db: &DatabaseConnection,
    supervisor: &Supervisor,
) -> Together<Uuid, (Live, users::Model)> {
    Together::start(db, supervisor, "session loader", |db, ids| async move {
        sessions::Model::find_all_live(&db, ids).await
    })
}

/// Knows when a socket's session ends by the clock.
pub(in crate::channels) struct Expiry {
    hub: Arc<Hub>,
    peer: Arc<Peer>,
}

impl Expiry {
    pub fn new(hub: Arc<Hub>, peer: Arc<Peer>) -> Self {
        Self { hub, peer }
    }

    /// When the session ends, unless it is refreshed.
    pub fn due(&self) -> Instant {
        Instant::now() + self.peer.session().left()
    }

    /// Looks again at a session that is at its end.
    ///
    /// # Errors
    /// Why the socket must go.
    pub async fn look(&self) -> Result<(), CloseReason> {
        self.hub.expire(&self.peer).await
    }

    /// Waits for the end.
    pub async fn reason(&self) -> CloseReason {
        loop {
            sleep_until(self.due().into()).await;
            if let Err(reason) = self.look().await {
                return reason;
            }
        }
    }
}

impl Hub {
    /// Has all nodes look whether the sessions of a user's sockets still live.
    pub fn doubt_sessions(&self, user: &str) {
        let word = Word::Sessions { user: user.into() };
        drop(self.broker.publish(NODES, word.encode()));
        self.suspect(user);
    }

    /// Has this node look.
    pub(super) fn suspect(&self, user: &str) {
        let user: Arc<str> = user.into();
        let mut suspects = self.suspects();
        suspects.said.insert(user.clone(), Instant::now());
        suspects.waiting.insert(user);
        drop(suspects);
        self.suspected.notify_one();
    }

    /// Has this node look at everybody.
    pub(super) fn suspect_all(&self) {
        let mut suspects = self.suspects();
        suspects.all = true;
        suspects.all_said = Some(Instant::now());
        drop(suspects);
        self.suspected.notify_one();
    }

    /// Looks again at who has just come in, where there was reason to look.
    pub(super) fn suspect_newcomer(&self, peer: &Peer) {
        let mut suspects = self.suspects();
        let all_said = suspects
            .all_said
            .is_some_and(|said| said.elapsed() < HANDSHAKE);
        if all_said || suspects.said.contains_key(&peer.username) {
            suspects.waiting.insert(peer.username.clone());
            drop(suspects);
            self.suspected.notify_one();
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
    pub async fn find_live(
        &self,
        claimed: &Claimed,
    ) -> Result<Option<(Live, users::Model)>, DbErr> {
        let id = claimed.session_id;
        if let Some(found) = self.found_alive(claimed) {
            return Ok(Some(found));
        }
        let (at, link) = (Instant::now(), self.link());
        let found = self.lives.find(vec![id]).await?.pop();
        let found = found.filter(|(session, _)| is_of(session, claimed));
        Ok(found.map(|(session, user)| {
            let alive = Alive {
                session,
                user: user.clone(),
                at,
                link,
            };
            self.found().insert(id, alive);
            (session, user)
        }))
    }

    fn found_alive(&self, claimed: &Claimed) -> Option<(Live, users::Model)> {
        // Without a way to hear what is said of sessions elsewhere, the database alone knows.
        if self.broker.is_away() {
            return None;
        }
        let found = self.found();
        let alive = found.get(&claimed.session_id)?;
        let is_new = alive.at.elapsed() < FOUND_FOR && alive.link == self.link();
        let is_live = is_of(&alive.session, claimed) && !alive.session.left().is_zero();
        let is_doubted = || {
            self.suspects()
                .is_said_since(&alive.user.username, alive.at)
        };
        (is_new && is_live && !is_doubted()).then(|| (alive.session, alive.user.clone()))
    }

    /// Counts the sessions with Redis; between two of them words may have been lost.
    fn link(&self) -> u64 {
        self.links.as_ref().map_or(0, |links| *links.borrow())
    }

    fn found(&self) -> MutexGuard<'_, HashMap<Uuid, Alive>> {
        self.found.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks who may stay: at once where there is a suspicion, and at all from time to time.
    pub(super) async fn look_after_sessions(self: Arc<Self>) {
        let mut all_next = Instant::now() + ALL_ALONE_EVERY;
        let mut forget_next = Instant::now() + FORGET_FIRST;
        let mut clocks_next = Instant::now();
        let mut links = self.broker.sessions();
        loop {
            let is_time = select! {
                () = self.suspected.notified() => false,
                () = next_session(&mut links) => true,
                () = sleep_until(all_next.into()) => true,
            };
            let begun = Instant::now();
            let is_all = std::mem::take(&mut self.suspects().all) || is_time;
            let looked = if is_all {
                self.look_at_all().await
            } else {
                self.look_at_suspects().await
            };
            if let Err(error) = looked {
                tracing::warn!(%error, "the sessions could not be read; trying again");
                self.suspects().all |= is_all;
                sleep(AGAIN_AFTER).await;
                self.suspected.notify_one();
                continue;
            }
            if is_all {
                all_next = Instant::now() + self.until_all(begun.elapsed());
                let mut suspects = self.suspects();
                suspects.said.retain(|_, said| said.elapsed() < HANDSHAKE);
                drop(suspects);
                self.found()
                    .retain(|_, alive| alive.at.elapsed() < FOUND_FOR);
            }
            if clocks_next <= begun {
                clocks_next = begun + CLOCKS_EVERY;
                self.compare_clocks().await;
            }
            if forget_next <= begun {
                forget_next = begun + FORGET_EVERY;
                if let Err(error) = in_time(sessions::Model::forget_expired(&self.db)).await {
                    // The next time does it.
                    tracing::warn!(%error, "expired sessions could not be forgotten");
                }
                if let Err(error) = in_time(invites::Model::delete_expired(&self.db)).await {
                    tracing::warn!(%error, "expired invites could not be deleted");
                }
            }
        }
    }

    /// Warns an operator of a clock that is wrong. Nothing is lost by the difference, but the times that this node
    /// shows are wrong, and its access tokens live shorter or longer on other nodes.
    async fn compare_clocks(&self) {
        let (before, asked) = (Utc::now(), Instant::now());
        let Ok(now) = in_time(clock::now(&self.db)).await else {
            return;
        };
        let apart = before - now;
        let slack = chrono::Duration::from_std(asked.elapsed()).unwrap_or_default();
        if apart.abs() > CLOCKS_APART + slack {
            tracing::warn!(
                seconds_ahead = apart.num_seconds(),
                "the clock of this node differs from the clock of the database"
            );
        }
    }

    /// Who is suspected meanwhile does not wait until all have been looked at.
    async fn look_at_all(&self) -> Result<(), DbErr> {
        for peers in self.people.all().chunks(AT_ONCE) {
            self.look_at_suspects().await?;
            self.check_sessions(peers).await?;
        }
        self.look_at_suspects().await
    }

    async fn look_at_suspects(&self) -> Result<(), DbErr> {
        // Who is suspected from now on is looked at again.
        let suspected = std::mem::take(&mut self.suspects().waiting);
        let peers = suspected.iter().flat_map(|user| self.people.of(user));
        let looked = self.check_sessions(&peers.collect::<Vec<_>>()).await;
        if looked.is_err() {
            self.suspects().waiting.extend(suspected);
        }
        looked
    }

    /// Ends the sockets whose session has ended, and lets the others know how long theirs lives.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn check_sessions(&self, peers: &[Arc<Peer>]) -> Result<(), DbErr> {
        for peers in peers.chunks(AT_ONCE) {
            let asked: Vec<_> = peers.iter().map(|peer| peer.session().id).collect();
            let each: HashSet<_> = asked.iter().copied().collect();
            let live = in_time(sessions::Model::which_live(&self.db, each)).await?;
            for (peer, asked) in peers.iter().zip(asked) {
                peer.compare_session(&live, asked);
            }
        }
        Ok(())
    }

    /// Why a socket whose session is at its end must go, unless the session was refreshed.
    async fn expire(&self, peer: &Arc<Peer>) -> Result<(), CloseReason> {
        if let Err(error) = self.check_sessions(std::slice::from_ref(peer)).await {
            let user = peer.session().user_id;
            tracing::warn!(%error, user, "a session cannot be looked up at its end");
        }
        match peer.over() {
            Some(reason) => Err(reason),
            None if peer.session().left().is_zero() => Err(CloseReason::Unauthorized),
            None => Ok(()),
        }
    }

    /// How long it is until all sessions are looked at again, after it has taken so long.
    fn until_all(&self, took: Duration) -> Duration {
        if self.broker.is_connected() {
            ALL_EVERY
        } else {
            (took * SHARE).clamp(ALL_ALONE_EVERY, ALL_EVERY)
        }
    }

    fn suspects(&self) -> MutexGuard<'_, Suspects> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
