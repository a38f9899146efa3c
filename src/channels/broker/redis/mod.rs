//! The broker of several nodes: Redis pub/sub.
//!
//! [`discovery`] finds out whether there is one server, or which nodes of a cluster have which
//! slots ([`slot_map`]). [`links`] holds a [`link`] for each server. Each link keeps a [`session`].

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
use chrono::{TimeDelta, Utc};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use self::{
    connection_status::{ConnectionStatus, StatusWatch},
    links::{EnqueueResult, RedisLinks, lock_links},
    session::{RedisConfig, RedisSession, RedisSessionError},
    slot_map::SlotMap,
};
pub use self::{scripts::RedisScripts, session::RedisScript};
use super::{BrokerUnavailable, INBOX_CAPACITY, Inbox, MessageSigner, SubscriptionReady};
use crate::{
    limits::LogThrottle,
    metrics::METRICS,
    settings::{ChannelSettings, RedisUrl},
    supervisor::Supervisor,
};

/// The number of probed topics. With so many, practically every node of a cluster carries at least
/// one.
const PROBE_TOPICS: u32 = 10_000;

/// Checks once that all servers of Redis are reachable, and that this account may publish and
/// subscribe.
///
/// Returns the offset of the clock of this node from the clock of Redis. With several servers, the largest offset counts.
/// Returns `None` if no server reports its time, for example because of an ACL.
///
/// # Errors
/// The reason, without parts that may be a password.
pub async fn probe(
    url: &RedisUrl,
    settings: &ChannelSettings,
    client_name: &str,
) -> Result<Option<TimeDelta>, RedisSessionError> {
    let mut offsets = Vec::new();
    let config = Arc::new(RedisConfig::new(url, settings, client_name));
    let ranges = config.cluster_layout(&[]).await?;
    let servers: HashSet<_> = ranges.iter().map(|range| range.server.clone()).collect();
    let map = SlotMap::new(config.clone());
    map.replace(ranges);
    for server in servers {
        let mut topics = (0..PROBE_TOPICS).map(|n| format!("doctor-{n}"));
        let topic = topics.find(|topic| map.server_for(topic).as_ref() == Some(&server));
        let mut session = RedisSession::connect(config.clone(), server).await?;
        session.ping().await?;
        if let Some(topic) = topic {
            session.check_channel_access(&topic).await?;
        }
        let node_time = Utc::now();
        if let Ok(time) = session.time().await {
            offsets.push(node_time - time);
        }
    }
    Ok(offsets.into_iter().max_by_key(TimeDelta::abs))
}

type PublishResult = Result<(), BrokerUnavailable>;

/// The inbox of the hub. It accepts messages with a valid code only.
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

    /// Delivers a message if its code is valid, and ignores it otherwise.
    ///
    /// The hub finds missing events in the log.
    async fn deliver(&self, topic: String, signed: &Bytes) {
        match self.signer.verify(&topic, signed) {
            // The inbox is closed only after the hub has ended.
            Some(message) => {
                METRICS.redis_messages.inc(["received"]);
                drop(self.inbox.send((topic, message)).await);
            }
            None => {
                METRICS.redis_messages.inc(["rejected"]);
                if let Some(suppressed) = self.rejected_log.allow() {
                    tracing::warn!(
                        topic,
                        suppressed,
                        "node message rejected: not signed by this installation in this epoch"
                    );
                }
            }
        }
    }
}

/// The broker of this node on Redis.
pub struct RedisBroker {
    links: Arc<Mutex<RedisLinks>>,
    status: StatusWatch,
    reconnects: watch::Receiver<u64>,
    /// `true` if the log already has the warning that publications are dropped. The warning is logged
    /// once.
    has_warned_full: AtomicBool,
    signer: MessageSigner,
    inbox: mpsc::Sender<(String, Bytes)>,
}

impl RedisBroker {
    /// Opens the broker and starts to connect in the background.
    #[must_use]
    pub fn open(
        url: &RedisUrl,
        settings: &ChannelSettings,
        client_name: &str,
        signer: MessageSigner,
        supervisor: &Supervisor,
    ) -> (Self, Inbox) {
        let (to_inbox, inbox) = mpsc::channel(INBOX_CAPACITY);
        let (connection_status, status) = ConnectionStatus::new();
        let (reconnects_sender, reconnects) = watch::channel(0);
        let config = Arc::new(RedisConfig::new(url, settings, client_name));
        let verified_inbox = VerifiedInbox::new(to_inbox.clone(), signer.clone());
        let links = RedisLinks::new(
            config,
            verified_inbox,
            connection_status,
            reconnects_sender,
            supervisor.clone(),
        );
        let links = Arc::new(Mutex::new(links));
        let discovery = discovery::run_discovery(Arc::downgrade(&links), status.clone());
        supervisor.spawn("Redis discovery", discovery);
        (
            Self {
                links,
                status,
                reconnects,
                has_warned_full: AtomicBool::new(false),
                signer,
                inbox: to_inbox,
            },
            inbox,
        )
    }

    /// Subscribes this node to a topic.
    pub fn subscribe(&self, topic: &str) -> SubscriptionReady {
        let (ready, subscribed) = watch::channel(false);
        lock_links(&self.links).subscribe(topic, ready);
        SubscriptionReady(subscribed)
    }

    /// Ends this node's subscription to a topic.
    pub fn unsubscribe(&self, topic: &str) {
        lock_links(&self.links).unsubscribe(topic);
    }

    /// Binds all messages from now on to an epoch of the database.
    pub fn set_epoch(&self, epoch: &str) {
        self.signer.set_epoch(epoch);
    }

    /// Queues a payload for the server of its topic. The receiver gets the result.
    pub fn publish(&self, topic: &str, payload: Bytes) -> oneshot::Receiver<PublishResult> {
        let (ack, outcome) = oneshot::channel();
        let signed = self.signer.sign(topic, &payload);
        match lock_links(&self.links).publish(topic, signed, ack) {
            EnqueueResult::Queued => self.has_warned_full.store(false, Ordering::Relaxed),
            EnqueueResult::NoServer => {}
            EnqueueResult::Full => {
                if !self.has_warned_full.swap(true, Ordering::Relaxed) {
                    tracing::warn!("Redis does not keep up: other nodes receive messages late");
                }
            }
        }
        outcome
    }

    /// The sender to the inbox of this node.
    pub const fn inbox(&self) -> &mpsc::Sender<(String, Bytes)> {
        &self.inbox
    }

    /// The topics for canaries, one on each server.
    #[must_use]
    pub fn canary_topics(&self) -> Vec<String> {
        lock_links(&self.links).canary_topics()
    }

    /// The numbers of servers that should be connected and that are connected.
    #[must_use]
    pub fn server_counts(&self) -> (usize, usize) {
        self.status.borrow().counts()
    }

    /// Returns `true` if all servers of Redis are connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.status.borrow().is_fully_connected()
    }

    /// Returns a counter of the sessions with Redis servers.
    #[must_use]
    pub fn reconnects(&self) -> watch::Receiver<u64> {
        self.reconnects.clone()
    }

    /// Returns the scripts that count for all nodes together.
    #[must_use]
    pub fn redis_scripts(&self) -> RedisScripts {
        RedisScripts::new(Arc::downgrade(&self.links))
    }

    /// Waits until all servers of Redis are connected, at most for `limit`.
    pub async fn wait_until_connected(&self, limit: Duration) -> PublishResult {
        let mut status = self.status.clone();
        match timeout(limit, status.wait_for(|state| state.is_fully_connected())).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(BrokerUnavailable),
        }
    }
}
