//! One connection to Redis, RESP3, that publishes and subscribes. The only file that names `redis`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use redis::{
    AsyncConnectionConfig, Client, PushInfo, PushKind, RedisError, Value,
    aio::MultiplexedConnection,
};
use tokio::sync::{mpsc, oneshot};
use url::Url;
use uuid::Uuid;

use super::Unavailable;

/// Within a data centre an answer takes a millisecond; after this a partition is as good as proven.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Pushes that may wait for the link; with more the connection is given up, and begun anew.
const PUSHES: usize = 65_536;

/// Every payload begins with the id of the node that published it.
const NODE_ID: usize = 16;

/// What goes to Redis for other nodes.
pub(super) struct Publication {
    pub topic: String,
    pub payload: Bytes,
    pub ack: oneshot::Sender<Result<(), Unavailable>>,
}

/// Where Redis is, and who this node is there.
pub(super) struct Address {
    url: Url,
    prefix: String,
    node: [u8; NODE_ID],
}

impl Address {
    /// `prefix` begins the name of every channel.
    pub fn new(mut url: Url, prefix: &str) -> Self {
        // Pushes on a connection that also takes commands need RESP3.
        if !url.query_pairs().any(|(key, _)| key == "protocol") {
            url.query_pairs_mut().append_pair("protocol", "resp3");
        }
        Self {
            url,
            prefix: format!("{prefix}:"),
            node: *Uuid::new_v4().as_bytes(),
        }
    }

    fn channels(&self, topics: &[String]) -> Vec<String> {
        topics.iter().map(|topic| self.channel(topic)).collect()
    }

    fn channel(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }
}

pub(super) struct Session {
    address: Arc<Address>,
    redis: MultiplexedConnection,
    pushes: mpsc::Receiver<PushInfo>,
    /// Whether pushes were dropped because the link did not keep up.
    overrun: Arc<AtomicBool>,
}

/// What comes on a connection unasked.
pub(super) enum Pushed {
    /// From another node: the topic and the payload.
    Message(String, Bytes),
    /// Confirmations, and what this node has published itself.
    Nothing,
    /// Why the connection is of no use any more.
    Lost(&'static str),
}

impl Session {
    pub async fn connect(address: Arc<Address>) -> Result<Self, RedisError> {
        let (sender, pushes) = mpsc::channel(PUSHES);
        let overrun = Arc::new(AtomicBool::new(false));
        let overrun_here = overrun.clone();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_WITHIN))
            .set_response_timeout(Some(ANSWER_WITHIN))
            .set_push_sender(move |push| {
                let sent = sender.try_send(push);
                if sent.is_err() {
                    overrun_here.store(true, Ordering::Relaxed);
                }
                sent
            });
        let client = Client::open(address.url.clone())?;
        let redis = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(Self {
            address,
            redis,
            pushes,
            overrun,
        })
    }

    /// Returns when the subscriptions stand.
    pub async fn subscribe(&mut self, topics: &[String]) -> Result<(), RedisError> {
        self.redis.subscribe(self.address.channels(topics)).await
    }

    pub async fn unsubscribe(&mut self, topics: &[String]) -> Result<(), RedisError> {
        self.redis.unsubscribe(self.address.channels(topics)).await
    }

    pub async fn ping(&mut self) -> Result<(), RedisError> {
        redis::cmd("PING").exec_async(&mut self.redis).await
    }

    /// Publishes in one write, and says whether Redis took it. That it refuses a command costs no
    /// session; that it does not answer does.
    pub async fn publish(&mut self, publications: &[Publication]) -> Result<bool, RedisError> {
        let mut pipeline = redis::pipe();
        for Publication { topic, payload, .. } in publications {
            let framed = [&self.address.node[..], payload].concat();
            pipeline
                .cmd("PUBLISH")
                .arg(self.address.channel(topic))
                .arg(framed)
                .ignore();
        }
        match pipeline.exec_async(&mut self.redis).await {
            Err(error) if error.is_io_error() || error.is_unrecoverable_error() => Err(error),
            Err(error) => {
                tracing::warn!(%error, "Redis refused to publish");
                Ok(false)
            }
            Ok(()) => Ok(true),
        }
    }

    /// What comes next. Safe to be cancelled.
    pub async fn next(&mut self) -> Pushed {
        let push = self.pushes.recv().await;
        if self.overrun.load(Ordering::Relaxed) {
            return Pushed::Lost("more came than this node could take");
        }
        match push {
            Some(push) if push.kind == PushKind::Message => self.message(push),
            Some(push) if push.kind != PushKind::Disconnection => Pushed::Nothing,
            _ => Pushed::Lost("the connection broke"),
        }
    }

    fn message(&self, push: PushInfo) -> Pushed {
        let Ok([Value::BulkString(channel), Value::BulkString(framed)]) =
            <[Value; 2]>::try_from(push.data)
        else {
            return Pushed::Nothing;
        };
        let channel = String::from_utf8(channel).unwrap_or_default();
        let topic = channel.strip_prefix(&self.address.prefix);
        let node = framed.first_chunk::<NODE_ID>();
        let (Some(topic), Some(node)) = (topic, node) else {
            tracing::warn!(%channel, "a message came that no node of ours has sent");
            return Pushed::Nothing;
        };
        if *node == self.address.node {
            return Pushed::Nothing;
        }
        Pushed::Message(topic.to_owned(), Bytes::from(framed).slice(NODE_ID..))
    }
}
