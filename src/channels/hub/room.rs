//! One active group on this node: the end of its log, and who listens to it.
//!
//! There is no queue for each socket. All of them read the same [`Tail`], each from its own place,
//! at its own pace; who is further behind than it reaches reads the log itself. So a slow socket
//! costs nobody anything.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    buffers::{BufferMemory, BufferShare},
    listener::Listener,
    tail::{News, Tail},
    telling::Telling,
};
use crate::{
    channels::{
        Member,
        broker::Subscribed,
        presence::{Change, Presence},
        protocol::{
            CloseReason,
            event::{Meaning, Told},
            whisper::{State, Topic, Whisper, Whispered},
        },
    },
    settings::Settings,
};

/// The time after which a user who types is taken to have stopped, where the node of the user says nothing more.
const TYPING_LASTS: Duration = Duration::from_millis(5500);

/// Users who type in one group that are kept.
const MOST_TYPISTS: usize = 1000;

/// Of a group with more members than this, sockets are told how many are here, and not who.
const LARGE: i64 = 200;

pub(in crate::channels) struct Room {
    pub id: i64,
    pub name: Arc<str>,
    pub subscribed: Subscribed,
    pub(super) settings: Arc<Settings>,
    tail: Mutex<Tail>,
    pub(super) telling: Telling,
    /// Shared with who goes through them, who sees them as they were when that began.
    listeners: Mutex<Arc<Vec<Arc<Listener>>>>,
    /// Held by the one socket that reads the log for all that are as far behind as it is.
    pub reading: tokio::sync::Mutex<()>,
    /// Whether the healer has been told of a gap, so that it is told once.
    gap_reported: AtomicBool,
    /// How far users have read, as far as it was told here.
    read: Mutex<HashMap<Arc<str>, i64>>,
    /// The users who type, and the time at which that ends if nothing more is heard of it: the node of a user
    /// may have died.
    typists: Mutex<HashMap<Arc<str>, Instant>>,
    presence: Mutex<Presence>,
    is_asked: AtomicBool,
    /// Whether all nodes have said who is here.
    heard: watch::Sender<bool>,
    /// Members of the group; 0 until they are counted.
    members: AtomicI64,
    counted: Mutex<Counted>,
    /// How many users of a large group were online when they were last counted; 0 until then.
    online: AtomicUsize,
    /// Whether the sockets are to be told how many are here.
    is_count_due: AtomicBool,
}

/// The base of the number of members.
#[derive(Default)]
struct Counted {
    /// The end of the log at which the members were counted.
    at: i64,
    /// Members who came and went while they were not counted yet: the number of the event, and 1 or -1.
    changes: Vec<(i64, i64)>,
}

/// Changes that are kept while the members are counted.
const CHANGES_KEPT: usize = 1024;

/// What has come of events.
pub(in crate::channels) struct Arrived {
    /// Who is no member any more, of those who were here.
    pub put_out: Vec<Arc<str>>,
    /// Whether an event is missing.
    pub is_gapped: bool,
}

/// Who is here, as sockets are told it.
pub(in crate::channels) enum Attendance {
    Names(Vec<String>),
    Count(usize),
}

impl Room {
    /// The room of a member's group, in which all up to and with its head is taken as told.
    pub(super) fn new(
        member: &Member,
        subscribed: Subscribed,
        settings: Arc<Settings>,
        buffers: Arc<BufferMemory>,
    ) -> Self {
        Self {
            id: member.group_id,
            name: member.group.clone(),
            subscribed,
            settings,
            tail: Mutex::new(Tail::after(member.head, BufferShare::of(buffers))),
            telling: Telling::default(),
            listeners: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            gap_reported: AtomicBool::new(false),
            read: Mutex::default(),
            typists: Mutex::default(),
            presence: Mutex::default(),
            is_asked: AtomicBool::new(false),
            heard: watch::channel(false).0,
            members: AtomicI64::new(0),
            counted: Mutex::default(),
            online: AtomicUsize::new(0),
            is_count_due: AtomicBool::new(false),
        }
    }

    pub fn enter(&self, listener: Arc<Listener>) {
        let mut listeners = self.listeners();
        let listeners = Arc::make_mut(&mut listeners);
        listener.stand_at(listeners.len());
        listeners.push(listener);
    }

    /// Takes a listener out; in vain where it is out already.
    pub fn leave(&self, listener: &Arc<Listener>) {
        let mut listeners = self.listeners();
        let listeners = Arc::make_mut(&mut listeners);
        let place = listener.standing();
        if listeners
            .get(place)
            .is_some_and(|there| Arc::ptr_eq(there, listener))
        {
            listeners.swap_remove(place);
            // Whoever was the last stands here now.
            if let Some(moved) = listeners.get(place) {
                moved.stand_at(place);
            }
        }
    }

    /// Whether nobody has asked yet who is here, and what was missed before the subscription. Says
    /// so once.
    pub fn is_fresh(&self) -> bool {
        !self.is_asked.swap(true, Ordering::Relaxed)
    }

    /// Whether it was asked who is here.
    pub fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }

    /// Whether nobody is here, nor about to come back.
    pub fn is_empty(&self) -> bool {
        self.listeners().is_empty() && self.presence().is_nobody_here()
    }

    /// Those who are here now.
    pub(super) fn all_listeners(&self) -> Arc<Vec<Arc<Listener>>> {
        self.listeners().clone()
    }

    pub fn listeners_here(&self) -> usize {
        self.listeners().len()
    }

    /// The number of the last event that was told here.
    pub fn last(&self) -> i64 {
        self.tail().last()
    }

    /// Where the log ends, and how far a member has read of it and how many messages not, by now.
    pub fn standing(&self, member: &Member) -> (i64, i64, i64) {
        let then = (member.read, member.unread);
        self.tail()
            .standing(&member.author.username, member.head, then)
    }

    /// Takes events into the order, and has told what is due.
    pub fn arrive(self: &Arc<Self>, events: impl IntoIterator<Item = Told>) -> Arrived {
        let mut tail = self.tail();
        let mut put_out = Vec::new();
        let mut news = Vec::new();
        for told in events {
            // At once, and before its turn: who is put out may be stuck in a write and never come
            // to read of it, and what is missing before it may take its time.
            if let Meaning::Left(user) = &told.meaning
                && told.seq > tail.last()
                && self.put_out(&told)
            {
                put_out.push(user.as_str().into());
            }
            for told in tail.arrive(told) {
                self.count(&told);
                news.push(told);
            }
        }
        let is_gapped = tail.is_gapped();
        // Under the lock of the tail: in order.
        let begins = self.telling.add(news);
        drop(tail);
        if begins {
            tokio::spawn(self.clone().tell());
        }
        Arrived { put_out, is_gapped }
    }

    /// When the last event came here.
    pub fn last_event_at(&self) -> Instant {
        self.tail().last_event_at()
    }

    /// Empties the event buffer.
    pub fn evict_buffer(&self) {
        self.tail().evict();
    }

    /// Takes it from the log that no event before this number is missing any more.
    pub fn skip_to(&self, seq: i64) {
        self.tail().skip_to(seq);
    }

    /// Whether what comes after an event is not kept here.
    pub fn is_behind(&self, seq: i64) -> bool {
        self.tail().is_behind(seq)
    }

    /// What comes after an event.
    pub fn news(&self, seq: i64) -> News {
        self.tail().news(seq)
    }

    /// Counts the deletions so far, for [`Room::keep_read`].
    pub fn deletions(&self) -> u64 {
        self.tail().deletions()
    }

    /// Keeps events that a socket has read from the log for those who come after it, see
    /// [`Tail::keep_read`].
    pub fn keep_read(&self, events: &[Arc<Told>], deletions: u64) {
        self.tail().keep_read(events, deletions);
    }

    /// Tells those who are here of something that is in no log.
    pub fn whisper(&self, whispered: &Arc<Whispered>) {
        if whispered.topic == Topic::Typing && !self.note_typing(whispered) {
            return;
        }
        if whispered.topic == Topic::Reading {
            if !self.is_further(whispered) {
                return;
            }
            if self.is_large() {
                // When all of them read a message, all would be told of all of them.
                for listener in self.listeners().iter() {
                    if *listener.username() == whispered.user {
                        listener.whisper(whispered);
                    }
                }
                return;
            }
        }
        for listener in self.listeners().iter() {
            listener.whisper(whispered);
        }
    }

    /// Notes that a user types, or has stopped. Returns whether the sockets are to be told: not twice of an end.
    fn note_typing(&self, whispered: &Whispered) -> bool {
        let mut typists = self.typists();
        if !whispered.is_on {
            return typists.remove(&whispered.user).is_some();
        }
        if typists.len() < MOST_TYPISTS || typists.contains_key(&whispered.user) {
            let ends = Instant::now() + TYPING_LASTS;
            typists.insert(whispered.user.clone(), ends);
        }
        true
    }

    /// Notifies the sockets that users have stopped typing, where their node says nothing more. Returns `true`
    /// while other users type.
    pub fn end_typing(&self) -> bool {
        let now = Instant::now();
        let typists = self.typists();
        let silent: Vec<Arc<str>> = typists
            .iter()
            .filter(|(_, ends)| **ends <= now)
            .map(|(user, _)| user.clone())
            .collect();
        drop(typists);
        for user in silent {
            self.whisper(&Arc::new(Whispered::new(&Whisper::Typing {
                group: self.name.as_ref().into(),
                user: user.as_ref().into(),
                on: false,
            })));
        }
        !self.typists().is_empty()
    }

    fn typists(&self) -> MutexGuard<'_, HashMap<Arc<str>, Instant>> {
        self.typists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is known how many members the group has.
    pub fn is_counted(&self) -> bool {
        self.members.load(Ordering::Relaxed) > 0
    }

    /// Takes the number of members that the log had when it ended at `head`. Changes after that count, whether
    /// they have arrived or not, and changes up to there do not.
    ///
    /// Only the first count is taken. A second one of the same time would come after changes that are no longer
    /// kept.
    pub fn count_members(&self, count: i64, head: i64) {
        let mut counted = self.counted();
        if self.is_counted() {
            return;
        }
        counted.at = head;
        let later = counted.changes.iter().filter(|(seq, _)| *seq > head);
        let changed: i64 = later.map(|(_, change)| change).sum();
        counted.changes.clear();
        self.members.store(count + changed, Ordering::Relaxed);
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn presence(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets those go on who wait for all nodes, if all have said who is there.
    pub fn note_heard(&self, presence: &Presence) {
        // Before anybody has asked nothing is known.
        if self.is_asked.load(Ordering::Relaxed) && presence.awaited().is_empty() {
            self.heard.send_replace(true);
        }
    }

    /// Waits until all nodes have said who is here.
    pub async fn heard(&self) {
        // It cannot fail: this room has the other end.
        let _ = self.heard.subscribe().wait_for(|heard| *heard).await;
    }

    /// Tells the sockets who has come or gone; of a large group, by and by, how many there are. The
    /// caller holds the lock of the presence.
    pub fn tell_presences(&self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            if self.is_large() {
                self.is_count_due.store(true, Ordering::Relaxed);
            } else {
                self.tell_presence(&change);
            }
        }
    }

    fn tell_presence(&self, change: &Change) {
        let state = if change.is_online {
            State::Online
        } else {
            State::Offline
        };
        self.whisper(&Arc::new(Whispered::new(&Whisper::Presence {
            group: self.name.as_ref().into(),
            user: Some(change.user.as_ref().into()),
            state: Some(state),
            count: None,
        })));
    }

    /// Tells the sockets of a large group how many are here, if they do not know.
    pub fn tell_count(&self) {
        if self.is_count_due.swap(false, Ordering::Relaxed) {
            let count = self.count_online();
            self.whisper(&Arc::new(Whispered::new(&Whisper::Presence {
                group: self.name.as_ref().into(),
                user: None,
                state: None,
                count: Some(count),
            })));
        }
    }

    /// Who is here; of a large group, how many were here when it was last counted.
    pub fn attendance(&self) -> Attendance {
        if self.is_large() {
            let counted = self.online.load(Ordering::Relaxed);
            return Attendance::Count(if counted > 0 {
                counted
            } else {
                self.count_online()
            });
        }
        let presence = self.presence();
        let online = presence.online();
        // However many members there are, if they could not be counted.
        if i64::try_from(online.len()).is_ok_and(|online| online <= LARGE) {
            Attendance::Names(online.into_iter().map(ToOwned::to_owned).collect())
        } else {
            Attendance::Count(online.len())
        }
    }

    fn count_online(&self) -> usize {
        let count = self.presence().count();
        self.online.store(count, Ordering::Relaxed);
        count
    }

    fn is_large(&self) -> bool {
        self.members.load(Ordering::Relaxed) > LARGE
    }

    /// Whether a user has read further than was told here. Two nodes may say it in another order than
    /// that in which it happened.
    fn is_further(&self, whispered: &Whispered) -> bool {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let told = read.entry(whispered.user.clone()).or_default();
        let is_further = *told < whispered.seq;
        *told = whispered.seq.max(*told);
        is_further
    }

    /// Notes that a gap is known. Says whether it was not, until now.
    pub fn note_gap(&self) -> bool {
        !self.gap_reported.swap(true, Ordering::Relaxed)
    }

    pub fn forget_gap(&self) {
        self.gap_reported.store(false, Ordering::Relaxed);
    }

    /// Ends all sockets here.
    pub fn end(&self, reason: CloseReason) {
        for listener in self.listeners().iter() {
            listener.end(reason);
        }
    }

    /// Ends the sockets of whoever is put out by an event. Says whether none is left, of somebody who
    /// has come back since.
    fn put_out(&self, told: &Told) -> bool {
        let mut is_back = false;
        for listener in self.listeners().iter() {
            if listener.is_put_out_by(told) {
                listener.end(CloseReason::NotMember);
            } else {
                is_back |= told.puts_out(listener.username());
            }
        }
        !is_back
    }

    fn count(&self, told: &Told) {
        let change = match told.meaning {
            Meaning::Joined(_) => 1,
            Meaning::Left(_) => -1,
            _ => return,
        };
        let mut counted = self.counted();
        if !self.is_counted() {
            if counted.changes.len() == CHANGES_KEPT {
                counted.changes.remove(0);
            }
            counted.changes.push((told.seq, change));
        } else if told.seq > counted.at {
            self.members.fetch_add(change, Ordering::Relaxed);
        }
    }

    // A panic elsewhere leaves what the locks hold as it was between two calls of its own methods.

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> MutexGuard<'_, Arc<Vec<Arc<Listener>>>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
