//! The broker of several nodes: Redis pub/sub. This is the hub's end of it.
//!
//! Behind it a [`survey`] finds out whether there is one server, or which nodes of a cluster have
//! which slots ([`map`]). For each of them [`shards`] holds a [`link`], which keeps a [`session`].

mod connection_status;
mod discovery;
mod link;
mod links;
mod missed_topics;
mod scripts;
mod session;
mod slot_map;

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

pub use self::scripts::RedisScripts;
use self::{
    connection_status::{ConnectionStatus, StatusWatch},
    links::{EnqueueResult, RedisLinks, lock_links},
    session::{RedisConfig, RedisSession, RedisSessionError},
    slot_map::SlotMap,
};
use super::{BrokerUnavailable, INBOX_CAPACITY, Inbox, MessageSigner, SubscriptionReady};
use crate::{
    limits::LogThrottle,
    settings::{ChannelSettings, RedisUrl},
    supervisor::Supervisor,
};

/// Topics of which one is at home at any node of a cluster, as good as surely.
const PROBE_TOPICS: u32 = 10_000;

/// Looks once whether Redis is there, with all nodes that it has, and lets this account publish and subscribe.
///
/// # Errors
/// Why not. Without what may be a password.
pub async fn probe(url: &RedisUrl, settings: &ChannelSettings) -> Result<(), RedisSessionError> {
    let access = Arc::new(RedisConfig::new(url, settings));
    let ranges = access.cluster_layout(&[]).await?;
    let places: HashSet<_> = ranges.iter().map(|range| range.server.clone()).collect();
    let map = SlotMap::new(access.clone());
    map.replace(ranges);
    for place in places {
        let mut topics = (0..PROBE_TOPICS).map(|n| format!("doctor-{n}"));
        let topic = topics.find(|topic| map.server_for(topic).as_ref() == Some(&place));
        let mut session = RedisSession::connect(access.clone(), place).await?;
        session.ping().await?;
        if let Some(topic) = topic {
            session.check_channel_access(&topic).await?;
        }
    }
    Ok(())
}

type PublishResult = Result<(), BrokerUnavailable>;

/// The inbox of the hub, for messages with a valid seal.
#[derive(Clone)]
struct VerifiedInbox {
    inbox: mpsc::Sender<(String, Bytes)>,
    signer: MessageSigner,
    rejected_log: Arc<LogThrottle>,
}

impl VerifiedInbox {
    fn new(inbox: mpsc::Sender<(String, Bytes)>, signer: MessageSigner) -> Self {
        Self {
            inbox,
            signer,
            rejected_log: Arc::default(),
        }
    }

    /// Delivers a message. A message without a valid seal is ignored. Nodes find missing events in the log.
    async fn deliver(&self, topic: String, sealed: &Bytes) {
        match self.signer.verify(&topic, sealed) {
            // The inbox is gone only where the hub has ended.
            Some(message) => drop(self.inbox.send((topic, message)).await),
            None => {
                if let Some(suppressed) = self.rejected_log.allow() {
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
pub struct RedisBroker {
    links: Arc<Mutex<RedisLinks>>,
    status: StatusWatch,
    reconnects: watch::Receiver<u64>,
    /// Whether it was said that publications are dropped, so that it is said once.
    has_warned_full: AtomicBool,
    signer: MessageSigner,
}

impl RedisBroker {
    /// Starts to connect, which goes on by itself, now or when Redis comes.
    #[must_use]
    pub fn open(
        url: &RedisUrl,
        settings: &ChannelSettings,
        seal: MessageSigner,
        supervisor: &Supervisor,
    ) -> (Self, Inbox) {
        let (to_inbox, inbox) = mpsc::channel(INBOX_CAPACITY);
        let (reach, reached) = ConnectionStatus::new();
        let (session_count, sessions) = watch::channel(0);
        let access = Arc::new(RedisConfig::new(url, settings));
        let inbox_of_all = VerifiedInbox::new(to_inbox, seal.clone());
        let shards = RedisLinks::new(
            access,
            inbox_of_all,
            reach,
            session_count,
            supervisor.clone(),
        );
        let shards = Arc::new(Mutex::new(shards));
        let survey = discovery::run_discovery(Arc::downgrade(&shards), reached.clone());
        supervisor.spawn("Redis survey", survey);
        let said_full = AtomicBool::new(false);
        (
            Self {
                links: shards,
                status: reached,
                reconnects: sessions,
                has_warned_full: said_full,
                signer: seal,
            },
            inbox,
        )
    }

    pub fn subscribe(&self, topic: &str) -> SubscriptionReady {
        let (ready, subscribed) = watch::channel(false);
        lock_links(&self.links).subscribe(topic, ready);
        SubscriptionReady(subscribed)
    }

    pub fn unsubscribe(&self, topic: &str) {
        lock_links(&self.links).unsubscribe(topic);
    }

    pub fn set_epoch(&self, epoch: &str) {
        self.signer.set_epoch(epoch);
    }

    pub fn publish(&self, topic: &str, payload: Bytes) -> oneshot::Receiver<PublishResult> {
        let (ack, outcome) = oneshot::channel();
        let sealed = self.signer.sign(topic, &payload);
        match lock_links(&self.links).publish(topic, sealed, ack) {
            EnqueueResult::Queued => self.has_warned_full.store(false, Ordering::Relaxed),
            EnqueueResult::NoServer => {}
            EnqueueResult::Full => {
                if !self.has_warned_full.swap(true, Ordering::Relaxed) {
                    tracing::warn!("Redis does not keep up: messages come late to other nodes");
                }
            }
        }
        outcome
    }

    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.status.borrow().is_fully_connected()
    }

    #[must_use]
    pub fn reconnects(&self) -> watch::Receiver<u64> {
        self.reconnects.clone()
    }

    #[must_use]
    pub fn redis_scripts(&self) -> RedisScripts {
        RedisScripts::new(Arc::downgrade(&self.links))
    }

    pub async fn wait_until_connected(&self, limit: Duration) -> PublishResult {
        let mut reached = self.status.clone();
        match timeout(limit, reached.wait_for(|state| state.is_fully_connected())).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(BrokerUnavailable),
        }
    }
}
