//! Who is here, told from node to node and to the sockets.
//!
//! Each node has a lease of its people, which it renews by a word to all nodes; when it ends, all
//! nodes take them for gone, each by itself. So there is nothing to clean up after a node that was
//! killed, and nothing to keep in Redis.
//!
//! In each group every node says who comes and goes there, and all it has when it is asked, when it
//! has been out of reach, and from time to time. What is said of one group, to nodes and to sockets,
//! is said under the lock of its presence, so that it is heard in the order in which it happened.

use std::{
    borrow::Cow,
    mem,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{
    select,
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout_at},
};

use super::{Hub, healing::next_session, listener::Listener, room::Room};
use crate::channels::{
    broker::Unavailable,
    presence::{Change, Presence},
    protocol::word::{NODES, Word},
};

/// A lease is renewed so many times before it ends.
const RENEWALS: u32 = 3;

/// How often it is looked who is gone for good.
const TICK: Duration = Duration::from_millis(250);

/// How often the sockets of a large group are told how many are here, at most.
const COUNTED_EVERY: Duration = Duration::from_secs(1);

/// How often a node says all it has, lest a word that was lost be missed for ever.
const REPEATED_EVERY: Duration = Duration::from_secs(60);

/// How long a socket waits to hear who is on other nodes before it opens without.
const HEARD_WITHIN: Duration = Duration::from_millis(250);

/// Groups of which this is said, or asked, before it is waited for Redis to take it: events must not
/// find its queue full.
const AT_ONCE: usize = 256;

/// People of whom it is said in one tick that they are gone.
const GONE_AT_ONCE: usize = 500;

/// A user whose last socket here has gone.
pub(super) struct Leaving {
    gone: Instant,
    room: Arc<Room>,
    user: Arc<str>,
}

/// When something is to be done next.
struct Due {
    every: Duration,
    at: Instant,
}

impl Due {
    fn each(every: Duration) -> Self {
        Self {
            every,
            at: Instant::now(),
        }
    }

    fn is_now(&mut self) -> bool {
        let now = Instant::now();
        let is_now = self.at <= now;
        if is_now {
            self.at = now + self.every;
        }
        is_now
    }
}

impl Hub {
    /// Renews the lease of this node's people, looks whose has ended, and answers the other nodes.
    pub(super) async fn attend(self: Arc<Self>, mut asked: mpsc::UnboundedReceiver<Vec<String>>) {
        let lease = Duration::from_secs(self.settings.channels.presence_lease.into());
        let mut renewal = Due::each(lease / RENEWALS);
        let mut count = Due::each(COUNTED_EVERY);
        let mut repetition = Due::each(REPEATED_EVERY);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sessions = self.broker.sessions();
        loop {
            select! {
                _ = tick.tick() => {}
                () = next_session(&mut sessions) => self.say_and_ask_all().await,
                Some(groups) = asked.recv() => self.say_each(groups).await,
            }
            if renewal.is_now() && !self.has_parted.load(Ordering::Relaxed) {
                drop(self.say(NODES, &Word::Pulse { node: self.node() }));
            }
            for node in self.nodes.take_lost() {
                self.lose(&node);
            }
            self.let_go();
            self.end_typing();
            if count.is_now() {
                self.all_rooms().iter().for_each(|room| room.tell_count());
            }
            if repetition.is_now() {
                // Alone in its group a node has nobody to tell.
                let rooms = self.all_rooms();
                let shared = rooms
                    .iter()
                    .filter(|room| room.presence().is_anybody_elsewhere());
                self.say_each(shared.map(|room| room.name.to_string()).collect())
                    .await;
            }
        }
    }

    /// Says goodbye: this node's people are somewhere else now, or gone.
    pub async fn part(&self) {
        self.has_parted.store(true, Ordering::Relaxed);
        let word = Word::Part { node: self.node() };
        // In vain where Redis is away; the lease ends by itself.
        let _ = self.broker.publish(NODES, word.encode()).await;
    }

    /// What is said between nodes about who is here, on the topic of a group or that of all nodes.
    pub(super) fn hear(&self, topic: &str, word: &Word<'_>) {
        let (Word::Pulse { node }
        | Word::Part { node }
        | Word::Who { node, .. }
        | Word::Here { node, .. }
        | Word::Came { node, .. }
        | Word::Went { node, .. }) = word
        else {
            return;
        };
        let node: Arc<str> = node.as_ref().into();
        let is_new = self.nodes.hear(&node);
        match word {
            Word::Part { .. } => self.nodes.part(&node, self.grace()),
            Word::Who { of, groups, .. } => self.note_asked(of.as_deref(), groups),
            Word::Here { users, .. } => {
                let users = users.iter().map(|user| user.as_ref().into()).collect();
                self.change(topic, |presence| presence.hear(&node, users));
            }
            Word::Came { user, .. } => {
                let user = user.as_ref().into();
                self.change(topic, |presence| presence.hear_of(&node, &user));
            }
            Word::Went { user, .. } => {
                let user = user.as_ref().into();
                self.change(topic, |presence| presence.hear_no_more_of(&node, &user));
            }
            _ => {}
        }
        if is_new {
            // It may have been away for long, and was taken for gone.
            self.ask(Some(&node), &self.names());
        }
    }

    fn note_asked(&self, of: Option<&str>, groups: &[Cow<'_, str>]) {
        if of.is_some_and(|of| *of != *self.name) {
            return;
        }
        let groups = groups
            .iter()
            .filter(|group| of.is_none() || self.room(group).is_some())
            .map(|group| group.to_string());
        // Whoever answers ends with the process.
        let _ = self.asked.send(groups.collect());
    }

    /// A socket is in a group now.
    pub(super) fn attended(&self, room: &Arc<Room>, listener: &Listener) {
        let mut presence = room.presence();
        let user = listener.username();
        let (change, is_new) = presence.enter(user, listener.id());
        // Of a room that is just opened it is said in a moment, of all at once.
        if is_new && room.is_asked() {
            let (node, user) = (self.node(), user.as_ref().into());
            drop(self.say(&room.name, &Word::Came { node, user }));
        }
        room.tell_presences(change);
    }

    /// A socket is not in a group any more; its user may be for a while.
    pub(super) fn left(&self, room: &Arc<Room>, listener: &Listener) {
        let (user, gone) = (listener.username(), Instant::now());
        if room.presence().leave(user, listener.id(), gone) {
            let leaving = Leaving {
                gone,
                room: room.clone(),
                user: user.clone(),
            };
            self.leaving().push_back(leaving);
        }
    }

    /// A user is put out of a group.
    pub(super) fn forget(&self, room: &Arc<Room>, user: &Arc<str>) {
        let mut presence = room.presence();
        if let Some(change) = presence.forget(user) {
            self.say_went(room, user);
            room.tell_presences(change);
        }
    }

    /// Has the other nodes say who is in a group, the first of which is just opened here.
    pub(super) fn ask_who_is_here(&self, room: &Room) {
        let mut presence = room.presence();
        presence.await_all(self.nodes.answering());
        room.note_heard(&presence);
        drop(presence);
        // As well, in case they remember something else.
        drop(self.say_who_is_here(&room.name));
        self.ask(None, &[room.name.to_string()]);
    }

    /// Waits until it is known who is in a group, but not for long, and not beyond `patience`.
    pub(super) async fn heard_who_is_here(&self, room: &Room, patience: tokio::time::Instant) {
        if self.broker.is_away() {
            return;
        }
        let long_enough = tokio::time::Instant::now() + HEARD_WITHIN;
        let until = long_enough.min(patience);
        if timeout_at(until, room.heard()).await.is_err() && until == long_enough {
            let mut presence = room.presence();
            self.nodes.note_silent(presence.awaited());
            // Nobody waits for them again.
            presence.await_all([]);
            room.note_heard(&presence);
        }
    }

    /// Says all that is known of this node's people, and has the others do so.
    async fn say_and_ask_all(&self) {
        let groups = self.names();
        self.ask(None, &groups);
        self.say_each(groups).await;
    }

    async fn say_each(&self, groups: Vec<String>) {
        for (i, group) in (1..).zip(&groups) {
            let said = self.say_who_is_here(group);
            if i % AT_ONCE == 0 {
                // In vain where Redis is away.
                let _ = said.await;
            }
        }
    }

    fn ask(&self, of: Option<&str>, groups: &[String]) {
        for groups in groups.chunks(AT_ONCE) {
            let word = Word::Who {
                node: self.node(),
                of: of.map(Into::into),
                groups: groups.iter().map(|group| group.as_str().into()).collect(),
            };
            drop(self.say(NODES, &word));
        }
    }

    fn say_who_is_here(
        &self,
        group: &str,
    ) -> impl Future<Output = Result<(), Unavailable>> + use<> {
        let room = self.room(group);
        let presence = room.as_ref().map(|room| room.presence());
        let here = presence.iter().flat_map(|presence| presence.here());
        let users = here.map(|user| user.to_string().into()).collect();
        let node = self.node();
        // With the lock still held.
        self.say(group, &Word::Here { node, users })
    }

    fn say_went(&self, room: &Room, user: &str) {
        let (node, user) = (self.node(), user.into());
        drop(self.say(&room.name, &Word::Went { node, user }));
    }

    fn say(
        &self,
        topic: &str,
        word: &Word<'_>,
    ) -> impl Future<Output = Result<(), Unavailable>> + use<> {
        self.broker.publish(topic, word.encode())
    }

    fn lose(&self, node: &Arc<str>) {
        tracing::warn!(%node, "a node is not heard of any more: its people are gone");
        for room in self.all_rooms() {
            let mut presence = room.presence();
            let lost = presence.lose(node);
            room.tell_presences(lost);
            room.note_heard(&presence);
        }
        if self.nodes.knows(node) {
            // It is back already, and may have said who is there before it was taken for gone.
            self.ask(Some(node), &self.names());
        }
    }

    /// Takes those for gone who did not come back.
    fn let_go(&self) {
        let now = Instant::now();
        let is_due = |leaving: &mut Leaving| leaving.gone + self.grace() <= now;
        let mut gone_now = 0;
        while gone_now < GONE_AT_ONCE {
            let due = self.leaving().pop_front_if(is_due);
            let Some(Leaving { gone, room, user }) = due else {
                return;
            };
            let is_current = self
                .room(&room.name)
                .is_some_and(|there| Arc::ptr_eq(&there, &room));
            let mut presence = room.presence();
            if let Some(change) = presence.expire(&user, gone)
                && is_current
            {
                self.say_went(&room, &user);
                room.tell_presences(change);
                gone_now += 1;
            }
            drop(presence);
            self.close_if_empty(&room);
        }
    }

    /// Takes what another node says of a group, and tells the sockets, before anything else is said
    /// of it.
    fn change<C>(&self, group: &str, change: impl FnOnce(&mut Presence) -> C)
    where
        C: IntoIterator<Item = Change>,
    {
        if let Some(room) = self.room(group) {
            let mut presence = room.presence();
            let changes = change(&mut presence);
            room.tell_presences(changes);
            room.note_heard(&presence);
        }
    }

    fn grace(&self) -> Duration {
        Duration::from_secs(self.settings.channels.presence_grace.into())
    }

    /// Ends the typing of users of whom nothing more was heard.
    fn end_typing(&self) {
        // A room that gets a typist in the meantime is added again.
        let rooms = mem::take(&mut *self.typing());
        for (id, room) in rooms {
            if room.end_typing() {
                self.typing().insert(id, room);
            }
        }
    }

    fn all_rooms(&self) -> Vec<Arc<Room>> {
        self.rooms().values().cloned().collect()
    }

    /// The names of the groups that are active here.
    fn names(&self) -> Vec<String> {
        self.rooms().keys().map(|name| name.to_string()).collect()
    }
}
