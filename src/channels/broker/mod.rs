//! The way between nodes: one door, two ways behind it.
//!
//! A payload published to a topic reaches the [`Inbox`] of every *other* node that was subscribed
//! to it: at most once, and in order as far as one publisher goes. It does not come back to the
//! publisher, whose own sockets the hub has served already. Topics are names of groups. An empty
//! payload says that one was lost.

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
pub use self::redis::{RedisBroker, RedisScripts, probe as probe_redis};
use crate::{settings::Settings, supervisor::Supervisor};

/// What reached this node: the topic and the payload.
pub type Inbox = mpsc::Receiver<(String, Bytes)>;

/// Payloads that may wait for the hub, which never waits for anything itself.
const INBOX_CAPACITY: usize = 1024;

/// How long a socket waits for its group's subscription before it opens without.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Redis could not be reached, or did not take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the broker is out of reach")]
pub struct BrokerUnavailable;

pub enum Broker {
    Local(LocalBroker),
    Redis(RedisBroker),
}

impl Broker {
    /// The broker that the settings ask for, with what reaches this node through it.
    #[must_use]
    pub fn open(settings: &Settings, supervisor: &Supervisor) -> (Self, Inbox) {
        match &settings.channels.redis_url {
            None => Self::local(&LocalBus::default()),
            Some(url) => {
                let seal = MessageSigner::new(&settings.tokens.secret);
                let (redis, inbox) = RedisBroker::open(url, &settings.channels, seal, supervisor);
                (Self::Redis(redis), inbox)
            }
        }
    }

    /// A node of an in-process bus.
    #[must_use]
    pub fn local(bus: &LocalBus) -> (Self, Inbox) {
        let (local, inbox) = bus.join();
        (Self::Local(local), inbox)
    }

    /// Subscribes this node to a topic. It is subscribed again by itself after Redis was away.
    pub fn subscribe(&self, topic: &str) -> SubscriptionReady {
        match self {
            Self::Local(local) => local.subscribe(topic),
            Self::Redis(redis) => redis.subscribe(topic),
        }
    }

    pub fn unsubscribe(&self, topic: &str) {
        match self {
            Self::Local(local) => local.unsubscribe(topic),
            Self::Redis(redis) => redis.unsubscribe(topic),
        }
    }

    /// Publishes at once, in the order of calls; the future only tells what became of it.
    ///
    /// # Errors
    /// [`BrokerUnavailable`] when Redis is away or too much waits for it. That a payload was taken does
    /// not mean that it arrived.
    pub fn publish(
        &self,
        topic: &str,
        payload: Bytes,
    ) -> impl Future<Output = Result<(), BrokerUnavailable>> + use<> {
        let taken = match self {
            Self::Local(local) => {
                local.publish(topic, &payload);
                None
            }
            Self::Redis(redis) => Some(redis.publish(topic, payload)),
        };
        async {
            match taken {
                None => Ok(()),
                Some(taken) => taken.await.unwrap_or(Err(BrokerUnavailable)),
            }
        }
    }

    /// Binds the messages from now on to an epoch of the database. Messages of other epochs are ignored.
    pub fn set_epoch(&self, epoch: &str) {
        if let Self::Redis(redis) = self {
            redis.set_epoch(epoch);
        }
    }

    /// Whether there should be a way to other nodes and is none, be it for some topics alone.
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        match self {
            Self::Local(_) => false,
            Self::Redis(redis) => !redis.is_connected(),
        }
    }

    /// Whether there is a way to other nodes, and to this one from whoever else runs beside it.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        match self {
            Self::Local(_) => false,
            Self::Redis(redis) => redis.is_connected(),
        }
    }

    /// Counts the sessions with servers of Redis, each of which begins after something may have been
    /// lost.
    #[must_use]
    pub fn reconnects(&self) -> Option<watch::Receiver<u64>> {
        match self {
            Self::Local(_) => None,
            Self::Redis(redis) => Some(redis.reconnects()),
        }
    }

    /// What all nodes count together. It does not keep the broker alive.
    #[must_use]
    pub fn redis_scripts(&self) -> RedisScripts {
        match self {
            Self::Local(_) => RedisScripts::disabled(),
            Self::Redis(redis) => redis.redis_scripts(),
        }
    }

    /// Waits until there is a way to other nodes for all topics.
    ///
    /// # Errors
    /// [`BrokerUnavailable`] when there is none within `limit`, or none is configured.
    pub async fn wait_until_connected(&self, limit: Duration) -> Result<(), BrokerUnavailable> {
        match self {
            Self::Local(_) => Err(BrokerUnavailable),
            Self::Redis(redis) => redis.wait_until_connected(limit).await,
        }
    }
}

/// Tells when a subscription stands.
#[derive(Clone)]
pub struct SubscriptionReady(watch::Receiver<bool>);

impl SubscriptionReady {
    /// Waits until the subscription stands; not at all while Redis is away, 1 s at most, and
    /// not beyond `patience`.
    pub async fn wait(mut self, patience: Instant) {
        // Both ways to fail mean that there is nothing to wait for.
        let until = patience.min(Instant::now() + SUBSCRIBE_TIMEOUT);
        let _ = timeout_at(until, self.0.wait_for(|stands| *stands)).await;
    }
}
