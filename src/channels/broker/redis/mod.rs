//! The broker of several nodes: Redis pub/sub. This is the hub's end of it.
//!
//! Behind it a [`survey`] finds out whether there is one server, or which nodes of a cluster have
//! which slots ([`map`]). For each of them [`shards`] holds a [`link`], which keeps a [`session`].

mod counters;
mod link;
mod map;
mod reach;
mod session;
mod shards;
mod survey;
mod unheard;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

pub use self::counters::Counters;
use self::{
    map::Map,
    reach::{Reach, Reached},
    session::{Access, Session, Unreachable},
    shards::{Put, Shards, lock},
};
use super::{INBOX, Inbox, Seal, Subscribed, Unavailable};
use crate::{
    limits::LogThrottle,
    settings::{ChannelSettings, RedisUrl},
    supervisor::Supervisor,
};

/// Topics of which one is at home at any node of a cluster, as good as surely.
const PROBES: u32 = 10_000;

/// Looks once whether Redis is there, with all nodes that it has, and lets this account publish and subscribe.
///
/// # Errors
/// Why not. Without what may be a password.
pub async fn probe(url: &RedisUrl, settings: &ChannelSettings) -> Result<(), Unreachable> {
    let access = Arc::new(Access::new(url, settings));
    let ranges = access.layout(&[]).await?;
    let places: HashSet<_> = ranges.iter().map(|range| range.place.clone()).collect();
    let map = Map::new(access.clone());
    map.set(ranges);
    for place in places {
        let mut topics = (0..PROBES).map(|n| format!("doctor-{n}"));
        let topic = topics.find(|topic| map.place_of(topic).as_ref() == Some(&place));
        let mut session = Session::connect(access.clone(), place).await?;
        session.ping().await?;
        if let Some(topic) = topic {
            session.try_channel(&topic).await?;
        }
    }
    Ok(())
}

type Outcome = Result<(), Unavailable>;

/// The inbox of the hub, for messages with a valid seal.
#[derive(Clone)]
struct SealedInbox {
    inbox: mpsc::Sender<(String, Bytes)>,
    seal: Seal,
    rejected: Arc<LogThrottle>,
}

impl SealedInbox {
    fn new(inbox: mpsc::Sender<(String, Bytes)>, seal: Seal) -> Self {
        Self {
            inbox,
            seal,
            rejected: Arc::default(),
        }
    }

    /// Delivers a message. A message without a valid seal is ignored. Nodes find missing events in the log.
    async fn deliver(&self, topic: String, sealed: &Bytes) {
        match self.seal.open(&topic, sealed) {
            // The inbox is gone only where the hub has ended.
            Some(message) => drop(self.inbox.send((topic, message)).await),
            None => {
                if let Some(suppressed) = self.rejected.permit() {
                    tracing::warn!(
                        topic,
                        suppressed,
                        "node message rejected: not sealed by this installation in this epoch"
                    );
                }
            }
        }
    }
}

/// This node's end of Redis.
pub struct Redis {
    shards: Arc<Mutex<Shards>>,
    reached: Reached,
    sessions: watch::Receiver<u64>,
    /// Whether it was said that publications are dropped, so that it is said once.
    said_full: AtomicBool,
    seal: Seal,
}

impl Redis {
    /// Starts to connect, which goes on by itself, now or when Redis comes.
    #[must_use]
    pub fn open(
        url: &RedisUrl,
        settings: &ChannelSettings,
        seal: Seal,
        supervisor: &Supervisor,
    ) -> (Self, Inbox) {
        let (to_inbox, inbox) = mpsc::channel(INBOX);
        let (reach, reached) = Reach::new();
        let (session_count, sessions) = watch::channel(0);
        let access = Arc::new(Access::new(url, settings));
        let inbox_of_all = SealedInbox::new(to_inbox, seal.clone());
        let shards = Shards::new(
            access,
            inbox_of_all,
            reach,
            session_count,
            supervisor.clone(),
        );
        let shards = Arc::new(Mutex::new(shards));
        let survey = survey::survey(Arc::downgrade(&shards), reached.clone());
        supervisor.spawn("Redis survey", survey);
        let said_full = AtomicBool::new(false);
        (
            Self {
                shards,
                reached,
                sessions,
                said_full,
                seal,
            },
            inbox,
        )
    }

    pub fn subscribe(&self, topic: &str) -> Subscribed {
        let (ready, subscribed) = watch::channel(false);
        lock(&self.shards).subscribe(topic, ready);
        Subscribed(subscribed)
    }

    pub fn unsubscribe(&self, topic: &str) {
        lock(&self.shards).unsubscribe(topic);
    }

    pub fn set_epoch(&self, epoch: &str) {
        self.seal.set_epoch(epoch);
    }

    pub fn publish(&self, topic: &str, payload: Bytes) -> oneshot::Receiver<Outcome> {
        let (ack, outcome) = oneshot::channel();
        let sealed = self.seal.seal(topic, &payload);
        match lock(&self.shards).publish(topic, sealed, ack) {
            Put::Taken => self.said_full.store(false, Ordering::Relaxed),
            Put::Nowhere => {}
            Put::Full => {
                if !self.said_full.swap(true, Ordering::Relaxed) {
                    tracing::warn!("Redis does not keep up: messages come late to other nodes");
                }
            }
        }
        outcome
    }

    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.reached.borrow().is_whole()
    }

    #[must_use]
    pub fn sessions(&self) -> watch::Receiver<u64> {
        self.sessions.clone()
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters::new(Arc::downgrade(&self.shards))
    }

    pub async fn connected(&self, limit: Duration) -> Outcome {
        let mut reached = self.reached.clone();
        match timeout(limit, reached.wait_for(|state| state.is_whole())).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Unavailable),
        }
    }
}
