//! One connection to Redis, RESP3, that publishes and subscribes. Only the files of this folder
//! name `redis`.
//!
//! To a node of a cluster it speaks of sharded channels, which stay with the node that has their
//! slot. The client of the library for clusters is not used: it takes one connection's loss for
//! nothing to tell of, resubscribes all of a node's sharded channels by one command, which Redis
//! refuses unless they share a slot, and repeats a whole pipeline where one command of it was
//! redirected. Here each node has a session of its own, which keeps what one with a single server
//! keeps, and the others go on whatever becomes of it.

mod cluster_layout;
mod config;
mod script_client;

use crate::limits::LogThrottle;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use redis::{
    AsyncConnectionConfig, ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Value,
    aio::MultiplexedConnection,
};
use tokio::sync::{mpsc, oneshot};

use self::config::NODE_ID_BYTES;
pub use self::config::RedisConfig;
pub use self::script_client::ScriptClient;
use super::{BrokerUnavailable, slot_map::RedisServer};

/// Within a data centre an answer takes a millisecond; after this a partition is as good as proven.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// Pushes that may wait for the link; with more the connection is given up, and begun anew.
const MAX_QUEUED_PUSHES: usize = 65_536;

/// What goes to Redis for other nodes.
pub(super) struct Publication {
    pub topic: String,
    pub payload: Bytes,
    pub ack: oneshot::Sender<Result<(), BrokerUnavailable>>,
}

/// The names of the commands.
struct CommandNames {
    publish: &'static str,
    subscribe: &'static str,
    unsubscribe: &'static str,
}

const PLAIN_COMMANDS: CommandNames = CommandNames {
    publish: "PUBLISH",
    subscribe: "SUBSCRIBE",
    unsubscribe: "UNSUBSCRIBE",
};

const SHARDED_COMMANDS: CommandNames = CommandNames {
    publish: "SPUBLISH",
    subscribe: "SSUBSCRIBE",
    unsubscribe: "SUNSUBSCRIBE",
};

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RedisSessionError(String);

impl From<RedisError> for RedisSessionError {
    fn from(error: RedisError) -> Self {
        let told = error.to_string();
        // rustls says what is wrong, but not what to do.
        let hint = if told.contains("invalid peer certificate") {
            ": the certificate of Redis is not trusted; REDIS_CA_FILE names the file with that of \
             its authority"
        } else {
            ""
        };
        Self(told + hint)
    }
}

pub(super) struct RedisSession {
    config: Arc<RedisConfig>,
    commands: &'static CommandNames,
    connection: MultiplexedConnection,
    pushes: mpsc::Receiver<PushInfo>,
    /// Whether pushes were dropped because the link did not keep up.
    has_overflowed: Arc<AtomicBool>,
    /// Channels that this node has dropped and Redis has not yet said so.
    pending_unsubscribes: usize,
}

/// What comes on a connection unasked.
pub(super) enum PushEvent {
    /// From another node: the topic and the payload.
    Message(String, Bytes),
    /// Confirmations, and what this node has published itself.
    Ignored,
    /// Why the connection is of no use any more.
    ConnectionLost(&'static str),
}

impl RedisSession {
    pub async fn connect(
        access: Arc<RedisConfig>,
        place: RedisServer,
    ) -> Result<Self, RedisSessionError> {
        let (sender, pushes) = mpsc::channel(MAX_QUEUED_PUSHES);
        let overrun = Arc::new(AtomicBool::new(false));
        let overrun_here = overrun.clone();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(REPLY_TIMEOUT))
            .set_response_timeout(Some(REPLY_TIMEOUT))
            .set_push_sender(move |push| {
                let sent = sender.try_send(push);
                if sent.is_err() {
                    overrun_here.store(true, Ordering::Relaxed);
                }
                sent
            });
        let client = access.client_for(&place).await?;
        let redis = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(Self {
            config: access,
            commands: match place {
                RedisServer::Single => &PLAIN_COMMANDS,
                RedisServer::Node { .. } => &SHARDED_COMMANDS,
            },
            connection: redis,
            pushes,
            has_overflowed: overrun,
            pending_unsubscribes: 0,
        })
    }

    /// Who may ask on this connection for as long as the session lasts.
    pub fn script_client(&self) -> ScriptClient {
        ScriptClient::new(self.connection.clone())
    }

    /// Returns when the subscriptions stand.
    pub async fn subscribe(&mut self, topics: &[String]) -> Result<(), RedisError> {
        for confirmed in self.run_for_each(self.commands.subscribe, topics).await? {
            confirmed?;
        }
        Ok(())
    }

    pub async fn unsubscribe(&mut self, topics: &[String]) -> Result<(), RedisError> {
        self.pending_unsubscribes += topics.len();
        for confirmed in self.run_for_each(self.commands.unsubscribe, topics).await? {
            // The slot has moved away: there is no subscription to drop any more.
            if confirmed.is_err() {
                self.pending_unsubscribes = self.pending_unsubscribes.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// A command for each topic, in one write: those of one shard need not share a slot.
    async fn run_for_each(
        &mut self,
        command: &'static str,
        topics: &[String],
    ) -> Result<Vec<RedisResult<Value>>, RedisError> {
        let mut pipeline = redis::pipe();
        for topic in topics {
            pipeline.cmd(command).arg(self.config.channel_name(topic));
        }
        pipeline
            .ignore_errors()
            .query_async(&mut self.connection)
            .await
    }

    /// Subscribes to a topic and publishes nothing to it, which an ACL of Redis may forbid.
    ///
    /// # Errors
    /// Why not; of an ACL, what to allow.
    pub async fn check_channel_access(&mut self, topic: &str) -> Result<(), RedisSessionError> {
        let channel = self.config.channel_name(topic);
        let publish = redis::cmd(self.commands.publish)
            .arg(&channel)
            .arg("")
            .clone();
        let tried = async {
            self.subscribe(&[topic.to_owned()]).await?;
            publish.exec_async(&mut self.connection).await
        };
        tried.await.map_err(|error| {
            let told = RedisSessionError::from(error).0;
            if told.to_lowercase().contains("no permissions") {
                let prefix = self.config.channel_name("");
                return RedisSessionError(format!(
                    "{told}; its account (ACL) must allow {} and {} on the channels `{prefix}*`",
                    self.commands.publish, self.commands.subscribe
                ));
            }
            RedisSessionError(told)
        })
    }

    pub async fn ping(&mut self) -> Result<(), RedisError> {
        redis::cmd("PING").exec_async(&mut self.connection).await
    }

    /// Publishes in one write, and says of each whether Redis took it. That it refuses one costs no
    /// session; that it does not answer does.
    pub async fn publish(&mut self, publications: &[Publication]) -> Result<Vec<bool>, RedisError> {
        let mut pipeline = redis::pipe();
        for Publication { topic, payload, .. } in publications {
            let framed = [&self.config.node_id[..], payload].concat();
            pipeline
                .cmd(self.commands.publish)
                .arg(self.config.channel_name(topic))
                .arg(framed);
        }
        let answers: Vec<RedisResult<Value>> = pipeline
            .ignore_errors()
            .query_async(&mut self.connection)
            .await?;
        if let Some(error) = answers.iter().find_map(|answer| answer.as_ref().err()) {
            tracing::warn!(%error, "Redis refused to publish");
        }
        let taken = answers.into_iter().map(|answer| match answer {
            Ok(Value::Int(_)) => Ok(true),
            Err(_) => Ok(false),
            Ok(_) => Err(unexpected_reply()),
        });
        taken.collect()
    }

    /// What comes next. Safe to be cancelled.
    pub async fn next_push(&mut self) -> PushEvent {
        let push = self.pushes.recv().await;
        if self.has_overflowed.load(Ordering::Relaxed) {
            return PushEvent::ConnectionLost("more came than this node could take");
        }
        let Some(push) = push else {
            return PushEvent::ConnectionLost("the connection broke");
        };
        match push.kind {
            PushKind::Message | PushKind::SMessage => self.decode_message(push),
            PushKind::Disconnection => PushEvent::ConnectionLost("the connection broke"),
            PushKind::SUnsubscribe => match self.pending_unsubscribes.checked_sub(1) {
                Some(dropped) => {
                    self.pending_unsubscribes = dropped;
                    PushEvent::Ignored
                }
                // The library takes it for the answer to whatever was asked last, so from here on
                // no answer fits its question.
                None => PushEvent::ConnectionLost("a slot has moved to another node"),
            },
            _ => PushEvent::Ignored,
        }
    }

    fn decode_message(&self, push: PushInfo) -> PushEvent {
        let Ok([Value::BulkString(channel), Value::BulkString(framed)]) =
            <[Value; 2]>::try_from(push.data)
        else {
            return PushEvent::Ignored;
        };
        let channel = String::from_utf8(channel).unwrap_or_default();
        let topic = self.config.topic_of(&channel);
        let node = framed.first_chunk::<NODE_ID_BYTES>();
        let (Some(topic), Some(node)) = (topic, node) else {
            static MALFORMED: LogThrottle = LogThrottle::new();
            if let Some(suppressed) = MALFORMED.allow() {
                tracing::warn!(%channel, suppressed, "node message rejected: malformed");
            }
            return PushEvent::Ignored;
        };
        if *node == self.config.node_id {
            return PushEvent::Ignored;
        }
        PushEvent::Message(topic.to_owned(), Bytes::from(framed).slice(NODE_ID_BYTES..))
    }
}

fn unexpected_reply() -> RedisError {
    RedisError::from((
        ErrorKind::UnexpectedReturnType,
        "the answers do not fit the questions any more",
    ))
}
