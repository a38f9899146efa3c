//! The transport of events between nodes: in one process, or by Redis.
//!
//! A payload that a node publishes to a topic reaches the [`Inbox`] of every *other* subscribed
//! node at most once. Payloads of one publisher arrive in order. The publisher does not receive its
//! own payload, because its hub has already served its own sockets. Canaries are the exception. Topics
//! are names of groups, the topic of the cluster, and the topics of canaries. An empty payload reports
//! that a payload of the topic was lost.

mod local;
mod message_signer;
mod redis;

use std::time::Duration;

use axum::body::Bytes;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout_at},
};

pub use self::local::{LocalBroker, LocalBus};
pub use self::message_signer::MessageSigner;
pub use self::redis::{RedisBroker, RedisScript, RedisScripts, probe as probe_redis};
use crate::{settings::Settings, supervisor::Supervisor};

/// The messages that reach this node, each with its topic.
pub type Inbox = mpsc::Receiver<(String, Bytes)>;

/// The prefix of the topics for canaries. Their publisher receives them too. No group has a name with this prefix.
const CANARY_TOPIC_PREFIX: &str = "canary-";

/// The topic of payloads that a node puts into its own inbox.
pub const ECHO_TOPIC: &str = "";

/// The number of messages that may wait for the hub. The hub itself never waits while it handles a
/// message.
const INBOX_CAPACITY: usize = 1024;

/// The longest time that a socket waits for its group's subscription. Then the socket opens without
/// it.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(1);

/// The error when Redis is unreachable or did not accept a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the broker is unreachable")]
pub struct BrokerUnavailable;

/// The broker of a node.
pub enum Broker {
    /// A bus in this process.
    Local(LocalBroker),
    /// Redis pub/sub.
    Redis(RedisBroker),
}

impl Broker {
    /// Opens the broker that the settings select. Returns the broker and this node's inbox.
    #[must_use]
    pub fn open(settings: &Settings, supervisor: &Supervisor) -> (Self, Inbox) {
        match &settings.channels.redis_url {
            None => Self::local(&LocalBus::default()),
            Some(url) => {
                let signer = MessageSigner::new(&settings.tokens);
                let name = settings.node_name.client_name();
                let (redis, inbox) =
                    RedisBroker::open(url, &settings.channels, &name, signer, supervisor);
                (Self::Redis(redis), inbox)
            }
        }
    }

    /// Adds a node to a bus in this process. Returns the node's broker and its inbox.
    #[must_use]
    pub fn local(bus: &LocalBus) -> (Self, Inbox) {
        let (local, inbox) = bus.join();
        (Self::Local(local), inbox)
    }

    /// Subscribes this node to a topic. After a reconnect to Redis, the broker subscribes again by
    /// itself.
    pub fn subscribe(&self, topic: &str) -> SubscriptionReady {
        match self {
            Self::Local(local) => local.subscribe(topic),
            Self::Redis(redis) => redis.subscribe(topic),
        }
    }

    /// Ends this node's subscription to a topic.
    pub fn unsubscribe(&self, topic: &str) {
        match self {
            Self::Local(local) => local.unsubscribe(topic),
            Self::Redis(redis) => redis.unsubscribe(topic),
        }
    }

    /// Publishes a payload at once, in the order of calls. The future only reports the result.
    ///
    /// # Errors
    /// [`BrokerUnavailable`] when Redis is unreachable or its queue is full. A payload that was
    /// accepted need not arrive.
    pub fn publish(
        &self,
        topic: &str,
        payload: Bytes,
    ) -> impl Future<Output = Result<(), BrokerUnavailable>> + use<> {
        let accepted = match self {
            Self::Local(local) => {
                local.publish(topic, &payload);
                None
            }
            Self::Redis(redis) => Some(redis.publish(topic, payload)),
        };
        async {
            match accepted {
                None => Ok(()),
                Some(accepted) => accepted.await.unwrap_or(Err(BrokerUnavailable)),
            }
        }
    }

    /// The topics for canaries: one on each server. Redis returns a canary also to the node that published it; a local
    /// bus does not.
    #[must_use]
    pub fn canary_topics(&self) -> Vec<String> {
        match self {
            Self::Local(_) => vec![format!("{CANARY_TOPIC_PREFIX}0")],
            Self::Redis(redis) => redis.canary_topics(),
        }
    }

    /// Puts a payload into the inbox of this node, on [`ECHO_TOPIC`]. Drops the payload if the inbox is full.
    pub fn echo(&self, payload: Bytes) {
        let inbox = match self {
            Self::Local(local) => local.inbox(),
            Self::Redis(redis) => redis.inbox(),
        };
        // The missing canary reports that the inbox is full.
        let _ = inbox.try_send((ECHO_TOPIC.to_owned(), payload));
    }

    /// Binds all messages from now on to an epoch of the database. The broker ignores messages of
    /// other epochs.
    pub fn set_epoch(&self, epoch: &str) {
        if let Self::Redis(redis) = self {
            redis.set_epoch(epoch);
        }
    }

    /// Returns `true` if Redis is configured and at least one of its servers is not connected.
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        match self {
            Self::Local(_) => false,
            Self::Redis(redis) => !redis.is_connected(),
        }
    }

    /// Returns `true` if this node is connected to other nodes for all topics. A local bus is never
    /// connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        match self {
            Self::Local(_) => false,
            Self::Redis(redis) => redis.is_connected(),
        }
    }

    /// The numbers of servers of Redis that should be connected and that are connected. `None` without Redis.
    #[must_use]
    pub fn server_counts(&self) -> Option<(usize, usize)> {
        match self {
            Self::Local(_) => None,
            Self::Redis(redis) => Some(redis.server_counts()),
        }
    }

    /// Returns a counter of the sessions with Redis servers.
    ///
    /// Payloads may have been lost before each session begins.
    #[must_use]
    pub fn reconnects(&self) -> Option<watch::Receiver<u64>> {
        match self {
            Self::Local(_) => None,
            Self::Redis(redis) => Some(redis.reconnects()),
        }
    }

    /// Returns the scripts that count for all nodes together. They do not keep the broker alive.
    #[must_use]
    pub fn redis_scripts(&self) -> RedisScripts {
        match self {
            Self::Local(_) => RedisScripts::disabled(),
            Self::Redis(redis) => redis.redis_scripts(),
        }
    }

    /// Waits until this node is connected to other nodes for all topics.
    ///
    /// # Errors
    /// [`BrokerUnavailable`] when the node is not connected within `limit`, or when Redis is not
    /// configured.
    pub async fn wait_until_connected(&self, limit: Duration) -> Result<(), BrokerUnavailable> {
        match self {
            Self::Local(_) => Err(BrokerUnavailable),
            Self::Redis(redis) => redis.wait_until_connected(limit).await,
        }
    }
}

/// Waits for the next connection to Redis; forever if Redis is not configured. Messages may be lost between two
/// connections.
pub(super) async fn next_reconnect(reconnects: &mut Option<watch::Receiver<u64>>) {
    if let Some(reconnects) = reconnects
        && reconnects.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// Reports when a subscription is active.
#[derive(Clone)]
pub struct SubscriptionReady(watch::Receiver<bool>);

impl SubscriptionReady {
    /// Waits until the subscription is active, at most 1 s and at most until `deadline`.
    ///
    /// Returns at once while Redis is unreachable.
    pub async fn wait(mut self, deadline: Instant) {
        // A timeout and a closed channel both mean that there is nothing left to wait for.
        let until = deadline.min(Instant::now() + SUBSCRIBE_TIMEOUT);
        let _ = timeout_at(until, self.0.wait_for(|is_active| *is_active)).await;
    }
}
