//! Sockets end with the session by which they were opened, wherever it was ended.
//!
//! The database says which sessions live. A word from node to node says of whom to look at once; what
//! no word tells, because Redis is away or a task ended a session, is found by looking at all.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sea_orm::DbErr;
use tokio::{
    select,
    time::{sleep, sleep_until},
};

use super::{Hub, Peer, healing::next_session, in_time};
use crate::{
    channels::protocol::{
        CloseReason,
        word::{NODES, Word},
    },
    models::sessions,
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

/// How often expired sessions are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// A socket whose handshake takes longer than this may outlive its session until all are looked at.
const HANDSHAKE: Duration = Duration::from_secs(60);

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

    /// Looks who may stay: at once where there is a suspicion, and at all from time to time.
    pub(super) async fn look_after_sessions(self: Arc<Self>) {
        let mut all_next = Instant::now() + ALL_ALONE_EVERY;
        let mut forget_next = Instant::now();
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
            }
            if forget_next <= begun {
                forget_next = begun + FORGET_EVERY;
                if let Err(error) = in_time(sessions::Model::forget_expired(&self.db)).await {
                    // The next time does it.
                    tracing::warn!(%error, "expired sessions could not be forgotten");
                }
            }
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
