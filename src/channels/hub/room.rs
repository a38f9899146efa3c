//! One active group on this node: the end of its log, and who listens to it.
//!
//! There is no queue for each socket. All of them read the same [`EventBuffer`], each from its own place,
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
    broadcast::BroadcastQueue,
    buffer_memory::{BufferMemory, BufferShare},
    event_buffer::{EventBuffer, NextEvents},
    subscriber::Subscriber,
};
use crate::{
    channels::{
        Member,
        broker::SubscriptionReady,
        presence::{Presence, PresenceChange},
        protocol::{
            CloseReason,
            ephemeral::{EncodedEphemeral, EphemeralEvent, EphemeralKind, PresenceState},
            event::{EncodedEvent, EventEffect},
        },
    },
    settings::Settings,
};

/// The time after which a user who types is taken to have stopped, where the node of the user says nothing more.
const TYPING_TIMEOUT: Duration = Duration::from_millis(5500);

/// Users who type in one group that are kept.
const MAX_TYPING_USERS: usize = 1000;

/// Of a group with more members than this, sockets are told how many are here, and not who.
const LARGE_GROUP_MEMBERS: i64 = 200;

pub(in crate::channels) struct Room {
    pub id: i64,
    pub name: Arc<str>,
    pub topic_ready: SubscriptionReady,
    pub(super) settings: Arc<Settings>,
    event_buffer: Mutex<EventBuffer>,
    pub(super) broadcast_queue: BroadcastQueue,
    /// Shared with who goes through them, who sees them as they were when that began.
    subscribers: Mutex<Arc<Vec<Arc<Subscriber>>>>,
    /// Held by the one socket that reads the log for all that are as far behind as it is.
    pub log_read_lock: tokio::sync::Mutex<()>,
    /// Whether the healer has been told of a gap, so that it is told once.
    is_gap_reported: AtomicBool,
    /// How far users have read, as far as it was told here.
    read_positions: Mutex<HashMap<Arc<str>, i64>>,
    /// The users who type, and the time at which that ends if nothing more is heard of it: the node of a user
    /// may have died.
    typing_users: Mutex<HashMap<Arc<str>, Instant>>,
    presence: Mutex<Presence>,
    is_presence_queried: AtomicBool,
    /// Whether all nodes have said who is here.
    is_presence_known: watch::Sender<bool>,
    /// Members of the group; 0 until they are counted.
    member_count: AtomicI64,
    member_count_base: Mutex<MemberCountBase>,
    /// How many users of a large group were online when they were last counted; 0 until then.
    online_count: AtomicUsize,
    /// Whether the sockets are to be told how many are here.
    is_online_count_due: AtomicBool,
}

/// The base of the number of members.
#[derive(Default)]
struct MemberCountBase {
    /// The end of the log at which the members were counted.
    head: i64,
    /// Members who came and went while they were not counted yet: the number of the event, and 1 or -1.
    later_changes: Vec<(i64, i64)>,
}

/// Changes that are kept while the members are counted.
const MAX_LATER_CHANGES: usize = 1024;

/// What has come of events.
pub(in crate::channels) struct ReceiveOutcome {
    /// Who is no member any more, of those who were here.
    pub removed_users: Vec<Arc<str>>,
    /// Whether an event is missing.
    pub has_gap: bool,
}

/// Who is here, as sockets are told it.
pub(in crate::channels) enum OnlineUsers {
    Names(Vec<String>),
    Count(usize),
}

impl Room {
    /// The room of a member's group, in which all up to and with its head is taken as told.
    pub(super) fn new(
        member: &Member,
        topic_ready: SubscriptionReady,
        settings: Arc<Settings>,
        buffers: Arc<BufferMemory>,
    ) -> Self {
        Self {
            id: member.group_id,
            name: member.group_name.clone(),
            topic_ready,
            settings,
            event_buffer: Mutex::new(EventBuffer::starting_after(
                member.head,
                BufferShare::new(buffers),
            )),
            broadcast_queue: BroadcastQueue::default(),
            subscribers: Mutex::default(),
            log_read_lock: tokio::sync::Mutex::default(),
            is_gap_reported: AtomicBool::new(false),
            read_positions: Mutex::default(),
            typing_users: Mutex::default(),
            presence: Mutex::default(),
            is_presence_queried: AtomicBool::new(false),
            is_presence_known: watch::channel(false).0,
            member_count: AtomicI64::new(0),
            member_count_base: Mutex::default(),
            online_count: AtomicUsize::new(0),
            is_online_count_due: AtomicBool::new(false),
        }
    }

    pub fn add_subscriber(&self, listener: Arc<Subscriber>) {
        let mut listeners = self.subscribers();
        let listeners = Arc::make_mut(&mut listeners);
        listener.set_index(listeners.len());
        listeners.push(listener);
    }

    /// Takes a listener out; in vain where it is out already.
    pub fn remove_subscriber(&self, listener: &Arc<Subscriber>) {
        let mut listeners = self.subscribers();
        let listeners = Arc::make_mut(&mut listeners);
        let place = listener.index();
        if listeners
            .get(place)
            .is_some_and(|there| Arc::ptr_eq(there, listener))
        {
            listeners.swap_remove(place);
            // Whoever was the last stands here now.
            if let Some(moved) = listeners.get(place) {
                moved.set_index(place);
            }
        }
    }

    /// Whether nobody has asked yet who is here, and what was missed before the subscription. Says
    /// so once.
    pub fn mark_presence_queried(&self) -> bool {
        !self.is_presence_queried.swap(true, Ordering::Relaxed)
    }

    /// Whether it was asked who is here.
    pub fn is_presence_queried(&self) -> bool {
        self.is_presence_queried.load(Ordering::Relaxed)
    }

    /// Whether nobody is here, nor about to come back.
    pub fn is_empty(&self) -> bool {
        self.subscribers().is_empty() && self.presence().has_no_local_users()
    }

    /// Those who are here now.
    pub(super) fn subscribers_snapshot(&self) -> Arc<Vec<Arc<Subscriber>>> {
        self.subscribers().clone()
    }

    pub fn subscriber_count(&self) -> usize {
        self.subscribers().len()
    }

    /// The number of the last event that was told here.
    pub fn last_seq(&self) -> i64 {
        self.event_buffer().last_seq()
    }

    /// Where the log ends, and how far a member has read of it and how many messages not, by now.
    pub fn read_state(&self, member: &Member) -> (i64, i64, i64) {
        let then = (member.read_seq, member.unread);
        self.event_buffer()
            .read_state(&member.actor.username, member.head, then)
    }

    /// Takes events into the order, and has told what is due.
    pub fn receive_events(
        self: &Arc<Self>,
        events: impl IntoIterator<Item = EncodedEvent>,
    ) -> ReceiveOutcome {
        let mut tail = self.event_buffer();
        let mut put_out = Vec::new();
        let mut news = Vec::new();
        for told in events {
            // At once, and before its turn: who is put out may be stuck in a write and never come
            // to read of it, and what is missing before it may take its time.
            if let EventEffect::RemovesMember(user) = &told.effect
                && told.seq > tail.last_seq()
                && self.disconnect_removed(&told)
            {
                put_out.push(user.as_str().into());
            }
            for told in tail.receive(told) {
                self.apply_member_change(&told);
                news.push(told);
            }
        }
        let is_gapped = tail.has_gap();
        // Under the lock of the tail: in order.
        let begins = self.broadcast_queue.push(news);
        drop(tail);
        if begins {
            tokio::spawn(self.clone().run_broadcast());
        }
        ReceiveOutcome {
            removed_users: put_out,
            has_gap: is_gapped,
        }
    }

    /// When the last event came here.
    pub fn last_event_at(&self) -> Instant {
        self.event_buffer().last_event_at()
    }

    /// Empties the event buffer.
    pub fn evict_buffer(&self) {
        self.event_buffer().evict();
    }

    /// Takes it from the log that no event before this number is missing any more.
    pub fn advance_to(&self, seq: i64) {
        self.event_buffer().advance_to(seq);
    }

    /// Whether what comes after an event is not kept here.
    pub fn needs_log_after(&self, seq: i64) -> bool {
        self.event_buffer().needs_log_after(seq)
    }

    /// What comes after an event.
    pub fn next_events(&self, seq: i64) -> NextEvents {
        self.event_buffer().next_events(seq)
    }

    /// Counts the deletions so far, for [`SimulatedRoom::cache_older`].
    pub fn content_version(&self) -> u64 {
        self.event_buffer().content_version()
    }

    /// Keeps events that a socket has read from the log for those who come after it, see
    /// [`EventBuffer::cache_older`].
    pub fn cache_older(&self, events: &[Arc<EncodedEvent>], deletions: u64) {
        self.event_buffer().cache_older(events, deletions);
    }

    /// Tells those who are here of something that is in no log.
    pub fn broadcast_ephemeral(&self, whispered: &Arc<EncodedEphemeral>) {
        if whispered.kind == EphemeralKind::Typing && !self.update_typing(whispered) {
            return;
        }
        if whispered.kind == EphemeralKind::Read {
            if !self.advance_read_position(whispered) {
                return;
            }
            if self.is_large() {
                // When all of them read a message, all would be told of all of them.
                for listener in self.subscribers().iter() {
                    if *listener.username() == whispered.user {
                        listener.queue_ephemeral(whispered);
                    }
                }
                return;
            }
        }
        for listener in self.subscribers().iter() {
            listener.queue_ephemeral(whispered);
        }
    }

    /// Notes that a user types, or has stopped. Returns whether the sockets are to be told: not twice of an end.
    fn update_typing(&self, whispered: &EncodedEphemeral) -> bool {
        let mut typists = self.typing_users();
        if !whispered.is_typing {
            return typists.remove(&whispered.user).is_some();
        }
        if typists.len() < MAX_TYPING_USERS || typists.contains_key(&whispered.user) {
            let ends = Instant::now() + TYPING_TIMEOUT;
            typists.insert(whispered.user.clone(), ends);
        }
        true
    }

    /// Notifies the sockets that users have stopped typing, where their node says nothing more. Returns `true`
    /// while other users type.
    pub fn expire_typing(&self) -> bool {
        let now = Instant::now();
        let typists = self.typing_users();
        let silent: Vec<Arc<str>> = typists
            .iter()
            .filter(|(_, ends)| **ends <= now)
            .map(|(user, _)| user.clone())
            .collect();
        drop(typists);
        for user in silent {
            self.broadcast_ephemeral(&Arc::new(EncodedEphemeral::encode(
                &EphemeralEvent::Typing {
                    group: self.name.as_ref().into(),
                    user: user.as_ref().into(),
                    on: false,
                },
            )));
        }
        !self.typing_users().is_empty()
    }

    fn typing_users(&self) -> MutexGuard<'_, HashMap<Arc<str>, Instant>> {
        self.typing_users
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is known how many members the group has.
    pub fn is_member_count_known(&self) -> bool {
        self.member_count.load(Ordering::Relaxed) > 0
    }

    /// Takes the number of members that the log had when it ended at `head`. Changes after that count, whether
    /// they have arrived or not, and changes up to there do not.
    ///
    /// Only the first count is taken. A second one of the same time would come after changes that are no longer
    /// kept.
    pub fn set_member_count(&self, count: i64, head: i64) {
        let mut counted = self.member_count_base();
        if self.is_member_count_known() {
            return;
        }
        counted.head = head;
        let later = counted.later_changes.iter().filter(|(seq, _)| *seq > head);
        let changed: i64 = later.map(|(_, change)| change).sum();
        counted.later_changes.clear();
        self.member_count.store(count + changed, Ordering::Relaxed);
    }

    fn member_count_base(&self) -> MutexGuard<'_, MemberCountBase> {
        self.member_count_base
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub fn presence(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets those go on who wait for all nodes, if all have said who is there.
    pub fn notify_if_presence_known(&self, presence: &Presence) {
        // Before anybody has asked nothing is known.
        if self.is_presence_queried.load(Ordering::Relaxed) && presence.awaited_nodes().is_empty() {
            self.is_presence_known.send_replace(true);
        }
    }

    /// Waits until all nodes have said who is here.
    pub async fn wait_presence_known(&self) {
        // It cannot fail: this room has the other end.
        let _ = self
            .is_presence_known
            .subscribe()
            .wait_for(|heard| *heard)
            .await;
    }

    /// Tells the sockets who has come or gone; of a large group, by and by, how many there are. The
    /// caller holds the lock of the presence.
    pub fn broadcast_presence_changes(&self, changes: impl IntoIterator<Item = PresenceChange>) {
        for change in changes {
            if self.is_large() {
                self.is_online_count_due.store(true, Ordering::Relaxed);
            } else {
                self.broadcast_presence_change(&change);
            }
        }
    }

    fn broadcast_presence_change(&self, change: &PresenceChange) {
        let state = if change.is_online {
            PresenceState::Online
        } else {
            PresenceState::Offline
        };
        self.broadcast_ephemeral(&Arc::new(EncodedEphemeral::encode(
            &EphemeralEvent::Presence {
                group: self.name.as_ref().into(),
                user: Some(change.user.as_ref().into()),
                state: Some(state),
                count: None,
            },
        )));
    }

    /// Tells the sockets of a large group how many are here, if they do not know.
    pub fn broadcast_online_count(&self) {
        if self.is_online_count_due.swap(false, Ordering::Relaxed) {
            let count = self.update_online_count();
            self.broadcast_ephemeral(&Arc::new(EncodedEphemeral::encode(
                &EphemeralEvent::Presence {
                    group: self.name.as_ref().into(),
                    user: None,
                    state: None,
                    count: Some(count),
                },
            )));
        }
    }

    /// Who is here; of a large group, how many were here when it was last counted.
    pub fn online_users(&self) -> OnlineUsers {
        if self.is_large() {
            let counted = self.online_count.load(Ordering::Relaxed);
            return OnlineUsers::Count(if counted > 0 {
                counted
            } else {
                self.update_online_count()
            });
        }
        let presence = self.presence();
        let online = presence.online_users();
        // However many members there are, if they could not be counted.
        if i64::try_from(online.len()).is_ok_and(|online| online <= LARGE_GROUP_MEMBERS) {
            OnlineUsers::Names(online.into_iter().map(ToOwned::to_owned).collect())
        } else {
            OnlineUsers::Count(online.len())
        }
    }

    fn update_online_count(&self) -> usize {
        let count = self.presence().online_count();
        self.online_count.store(count, Ordering::Relaxed);
        count
    }

    fn is_large(&self) -> bool {
        self.member_count.load(Ordering::Relaxed) > LARGE_GROUP_MEMBERS
    }

    /// Whether a user has read further than was told here. Two nodes may say it in another order than
    /// that in which it happened.
    fn advance_read_position(&self, whispered: &EncodedEphemeral) -> bool {
        let mut read = self
            .read_positions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let told = read.entry(whispered.user.clone()).or_default();
        let is_further = *told < whispered.seq;
        *told = whispered.seq.max(*told);
        is_further
    }

    /// Notes that a gap is known. Says whether it was not, until now.
    pub fn mark_gap_reported(&self) -> bool {
        !self.is_gap_reported.swap(true, Ordering::Relaxed)
    }

    pub fn clear_gap_reported(&self) {
        self.is_gap_reported.store(false, Ordering::Relaxed);
    }

    /// Ends all sockets here.
    pub fn close_all(&self, reason: CloseReason) {
        for listener in self.subscribers().iter() {
            listener.close(reason);
        }
    }

    /// Ends the sockets of whoever is put out by an event. Says whether none is left, of somebody who
    /// has come back since.
    fn disconnect_removed(&self, told: &EncodedEvent) -> bool {
        let mut is_back = false;
        for listener in self.subscribers().iter() {
            if listener.is_removed_by(told) {
                listener.close(CloseReason::NotMember);
            } else {
                is_back |= told.removes_member(listener.username());
            }
        }
        !is_back
    }

    fn apply_member_change(&self, told: &EncodedEvent) {
        let change = match told.effect {
            EventEffect::AddsMember(_) => 1,
            EventEffect::RemovesMember(_) => -1,
            _ => return,
        };
        let mut counted = self.member_count_base();
        if !self.is_member_count_known() {
            if counted.later_changes.len() == MAX_LATER_CHANGES {
                counted.later_changes.remove(0);
            }
            counted.later_changes.push((told.seq, change));
        } else if told.seq > counted.head {
            self.member_count.fetch_add(change, Ordering::Relaxed);
        }
    }

    // A panic elsewhere leaves what the locks hold as it was between two calls of its own methods.

    fn event_buffer(&self) -> MutexGuard<'_, EventBuffer> {
        self.event_buffer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribers(&self) -> MutexGuard<'_, Arc<Vec<Arc<Subscriber>>>> {
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
