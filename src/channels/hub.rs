//! Who listens here to which group, and in which order they hear.
//!
//! A group has an entry as long as it has listeners on this node, and the node is subscribed to
//! the group's topic for just as long. Idle groups cost nothing.
//!
//! The broker is fast and may lose; the log has everything. A hub that sees a gap in the numbers
//! of a group, or finds at the sweep that the log has gone on without it, reads the log.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::extract::ws::Utf8Bytes;
use sea_orm::{DatabaseConnection, DbErr};
use tokio::{
    select,
    sync::{
        mpsc::{self, error::TrySendError},
        watch,
    },
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    Member,
    broker::{Broker, Inbox, Subscribed, Unavailable},
    order::Order,
    protocol::{self, Post},
};
use crate::{
    models::{chat_groups, events},
    settings::Settings,
};

/// What comes from another node is often a little later than what was stored here after it.
const GRACE: Duration = Duration::from_millis(25);

/// Events of one group that are read at once: with those that wait behind them, fewer than fit
/// into a listener's queue.
const PAGE: usize = 256;

/// Groups that are compared with their logs at once.
const GROUPS: usize = 500;

/// A database that does not answer within this is as good as away.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

pub(super) struct Hub {
    /// Held for short, never across an await. Joining, leaving and the broker's commands happen
    /// under it, so that a topic's subscription always fits its listeners.
    groups: Mutex<HashMap<Arc<str>, Group>>,
    /// Held while events are stored and announced, and while the log is read: who reads the log
    /// must not find an event whose sender the hub has not been told of yet.
    pub storing: tokio::sync::Mutex<()>,
    /// Groups in which an event is missing.
    gaps: mpsc::UnboundedSender<Arc<str>>,
    broker: Broker,
    db: DatabaseConnection,
    settings: Arc<Settings>,
    next_id: AtomicU64,
}

struct Group {
    id: i64,
    /// Never empty.
    listeners: Vec<Listener>,
    order: Order<Arrival>,
    /// Whether the healer has been told, so that it is told once.
    gap_reported: bool,
    subscribed: Subscribed,
}

/// A post on its way to the listeners.
struct Arrival {
    post: Post,
    /// The listener that sent it, if it is one of this node.
    sender: Option<ListenerId>,
}

/// Tells listeners of one node apart.
pub(super) type ListenerId = u64;

struct Listener {
    id: ListenerId,
    username: Arc<str>,
    /// What was stored before it came is not told to it.
    after: i64,
    queue: mpsc::Sender<Utf8Bytes>,
}

/// A socket's place in a group. Dropping it leaves the group.
pub(super) struct Subscription {
    pub id: ListenerId,
    group: Arc<str>,
    hub: Arc<Hub>,
    /// Ends when the hub gave the listener up because its queue was full.
    pub frames: mpsc::Receiver<Utf8Bytes>,
}

impl Hub {
    pub fn start(
        broker: Broker,
        inbox: Inbox,
        db: DatabaseConnection,
        settings: Arc<Settings>,
    ) -> Arc<Self> {
        let (gaps, gapped) = mpsc::unbounded_channel();
        let hub = Arc::new(Self {
            groups: Mutex::default(),
            storing: tokio::sync::Mutex::default(),
            gaps,
            broker,
            db,
            settings,
            next_id: AtomicU64::new(1),
        });
        tokio::spawn(hub.clone().listen(inbox));
        tokio::spawn(hub.clone().heal_gaps(gapped));
        tokio::spawn(hub.clone().sweep_by_the_clock());
        hub
    }

    /// Joins a group. What is stored from now on arrives, from this node and from others, and
    /// nothing that was stored before the moment of [`Member::head`].
    pub async fn join(self: &Arc<Self>, member: &Member) -> Subscription {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (queue, frames) = mpsc::channel(self.settings.channels.queue_limit);
        let listener = Listener {
            id,
            username: member.username.clone(),
            after: member.head,
            queue,
        };
        let (subscribed, is_first) = match self.groups().entry(member.group.clone()) {
            Entry::Occupied(mut group) => {
                group.get_mut().listeners.push(listener);
                (group.get().subscribed.clone(), false)
            }
            Entry::Vacant(vacant) => {
                let subscribed = self.broker.subscribe(vacant.key());
                vacant.insert(Group {
                    id: member.group_id,
                    listeners: vec![listener],
                    order: Order::after(member.head),
                    gap_reported: false,
                    subscribed: subscribed.clone(),
                });
                (subscribed, true)
            }
        };
        let subscription = Subscription {
            id,
            group: member.group.clone(),
            hub: self.clone(),
            frames,
        };
        subscribed.wait().await;
        if is_first {
            // What was stored between the look at the head and the subscription.
            if let Some(group) = self.groups().get_mut(&member.group) {
                self.report_gap(&member.group, group);
            }
        }
        subscription
    }

    pub async fn connected(&self, limit: Duration) -> Result<(), Unavailable> {
        self.broker.connected(limit).await
    }

    pub fn active_groups(&self) -> usize {
        self.groups().len()
    }

    pub fn last_told(&self, group: &str) -> Option<i64> {
        self.groups().get(group).map(|group| group.order.last())
    }

    pub fn listeners(&self) -> usize {
        self.groups()
            .values()
            .map(|group| group.listeners.len())
            .sum()
    }

    /// Tells all listeners of a group of a post, here and on the other nodes, except the one that
    /// sent it.
    pub fn announce(&self, group: &Arc<str>, post: Post, sender: ListenerId) {
        // Redis is the fast way to the other nodes. When it does not take a post, they find it in
        // the log: at the next gap or sweep.
        drop(self.broker.publish(group, post.encode()));
        self.arrive(
            group,
            Arrival {
                post,
                sender: Some(sender),
            },
        );
    }

    async fn listen(self: Arc<Self>, mut inbox: Inbox) {
        while let Some((group, payload)) = inbox.recv().await {
            match Post::decode(&payload) {
                Some(post) => self.arrive(&group.into(), Arrival { post, sender: None }),
                None => tracing::warn!(%group, "a payload came that no node of ours has sent"),
            }
        }
    }

    /// Takes a post into the group's order, and tells the listeners here what is due.
    fn arrive(&self, name: &Arc<str>, arrival: Arrival) {
        let mut groups = self.groups();
        let Some(group) = groups.get_mut(name) else {
            return;
        };
        let seq = arrival.post.seq;
        let due = match arrival.sender {
            Some(_) => group.order.arrive_from_here(seq, arrival),
            None => group.order.arrive(seq, arrival),
        };
        let clock = self.settings.clock();
        for arrival in due {
            group.tell(&arrival, &clock);
        }
        if group.order.is_gapped() {
            self.report_gap(name, group);
        }
        if group.listeners.is_empty() {
            groups.remove(name);
            self.broker.unsubscribe(name);
        }
    }

    fn report_gap(&self, name: &Arc<str>, group: &mut Group) {
        if !group.gap_reported {
            group.gap_reported = true;
            // The healer ends with the process.
            let _ = self.gaps.send(name.clone());
        }
    }

    async fn heal_gaps(self: Arc<Self>, mut gapped: mpsc::UnboundedReceiver<Arc<str>>) {
        let mut batch = Vec::new();
        while gapped.recv_many(&mut batch, usize::MAX).await > 0 {
            sleep(GRACE).await;
            while let Ok(group) = gapped.try_recv() {
                batch.push(group);
            }
            for name in &batch {
                if let Some(group) = self.groups().get_mut(name) {
                    group.gap_reported = false;
                }
            }
            self.compare_with_log(std::mem::take(&mut batch)).await;
        }
    }

    async fn sweep_by_the_clock(self: Arc<Self>) {
        let every = Duration::from_secs(self.settings.channels.sweep_every.into());
        let mut until_next = Duration::ZERO;
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sessions = self.broker.sessions();
        loop {
            // While Redis is away the log is the only way from node to node; and once it is back,
            // nobody tells what was lost meanwhile.
            let is_due = select! {
                _ = tick.tick() => until_next.is_zero() || self.broker.is_away(),
                () = next_session(&mut sessions) => true,
            };
            if is_due {
                until_next = every;
                let active = self.groups().keys().cloned().collect();
                self.compare_with_log(active).await;
            }
            until_next = until_next.saturating_sub(Duration::from_secs(1));
        }
    }

    /// Finds the groups whose log has gone on unheard, and lets them hear.
    async fn compare_with_log(&self, names: Vec<Arc<str>>) {
        for names in names.chunks(GROUPS) {
            if let Err(error) = self.heal_behind(names).await {
                // The next sweep tries again.
                tracing::warn!(%error, "the log could not be read; some messages are late");
            }
        }
    }

    async fn heal_behind(&self, names: &[Arc<str>]) -> Result<(), DbErr> {
        let known: Vec<(&Arc<str>, i64, i64)> = {
            let groups = self.groups();
            let known = names
                .iter()
                .filter_map(|name| Some((name, groups.get(name)?)));
            known
                .map(|(name, group)| (name, group.id, group.order.last()))
                .collect()
        };
        let ids = known.iter().map(|(_, id, _)| *id).collect();
        let heads = in_time(chat_groups::Model::heads(&self.db, ids)).await?;
        for (name, id, last) in known {
            match heads.get(&id) {
                Some(head) if *head > last => self.heal(name).await?,
                Some(head) if *head < last => self.go_back(name).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads what listeners here have not been told from the log.
    async fn heal(&self, name: &Arc<str>) -> Result<(), DbErr> {
        loop {
            let storing = self.storing.lock().await;
            let Some((id, last)) = self
                .groups()
                .get(name)
                .map(|group| (group.id, group.order.last()))
            else {
                return Ok(());
            };
            let page = in_time(events::Model::after(&self.db, id, last, PAGE as u64)).await?;
            let is_last = page.len() < PAGE;
            for event in page {
                // What the log does not have does not come any more.
                if let Some(group) = self.groups().get_mut(name) {
                    group.order.skip_to(event.seq - 1);
                }
                let post = Post::of(event);
                self.arrive(name, Arrival { post, sender: None });
            }
            drop(storing);
            if is_last {
                return Ok(());
            }
            // Time for the listeners to write what they have.
            sleep(GRACE).await;
        }
    }

    /// A log that ends before what was told is another one: a backup was restored, or a replica
    /// became the database before it had everything.
    async fn go_back(&self, name: &Arc<str>) -> Result<(), DbErr> {
        let _storing = self.storing.lock().await;
        let Some((id, last)) = self
            .groups()
            .get(name)
            .map(|group| (group.id, group.order.last()))
        else {
            return Ok(());
        };
        let heads = in_time(chat_groups::Model::heads(&self.db, vec![id])).await?;
        if let Some(head) = heads.get(&id).filter(|head| **head < last) {
            tracing::error!(group = %name, last, head, "the database has lost what it had stored");
            if let Some(group) = self.groups().get_mut(name) {
                group.order = Order::after(*head);
                for listener in &mut group.listeners {
                    listener.after = *head;
                }
            }
        }
        Ok(())
    }

    fn leave(&self, group: &Arc<str>, id: ListenerId) {
        let mut groups = self.groups();
        if let Entry::Occupied(mut entry) = groups.entry(group.clone()) {
            entry
                .get_mut()
                .listeners
                .retain(|listener| listener.id != id);
            if entry.get().listeners.is_empty() {
                entry.remove();
                self.broker.unsubscribe(group);
            }
        }
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<Arc<str>, Group>> {
        // A panic elsewhere leaves the map as it was between two calls of its own methods.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the next session with Redis, for ever where there is none to come.
async fn next_session(sessions: &mut Option<watch::Receiver<u64>>) {
    if let Some(sessions) = sessions
        && sessions.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// A query that must not hold up the others for ever.
async fn in_time<T>(query: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
    timeout(ANSWER_WITHIN, query).await.unwrap_or_else(|_| {
        Err(DbErr::Custom(
            "the database did not answer in time".to_owned(),
        ))
    })
}

impl Group {
    /// Puts what each listener is shown of a post into its queue.
    fn tell(&mut self, arrival: &Arrival, clock: &str) {
        if !arrival.post.is_message {
            return;
        }
        let by = arrival.post.by.as_ref();
        let same_for_all = by.map(|by| protocol::arrival(by, clock));
        self.listeners.retain(|listener| {
            if Some(listener.id) == arrival.sender || arrival.post.seq <= listener.after {
                return true;
            }
            let frame = same_for_all
                .clone()
                .unwrap_or_else(|| protocol::arrival(&listener.username, clock));
            // Whoever does not keep up loses its place, and with it its socket, rather than a
            // frame in silence; nobody else waits for it.
            !matches!(listener.queue.try_send(frame), Err(TrySendError::Full(_)))
        });
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.leave(&self.group, self.id);
    }
}
