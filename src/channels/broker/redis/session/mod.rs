//! One RESP3 connection to Redis that publishes and subscribes. Only the files of this folder use
//! the crate `redis`.
//!
//! On a node of a cluster, the session uses sharded channels, which stay with the node that has
//! their slot.
//!
//! The cluster client of the library is not used, for three reasons:
//!
//! - The client does not report the loss of one of its connections.
//! - The client resubscribes all sharded channels of a node by one command. Redis refuses that
//!   command unless the channels share a slot.
//! - The client repeats a whole pipeline if one command of the pipeline was redirected.
//!
//! Here each node of a cluster has a session of its own, with the guarantees of a session with a
//! single server. The failure of one session does not affect the others.

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
use chrono::{DateTime, TimeDelta, Utc};
use redis::{
    AsyncConnectionConfig, ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Value,
    aio::MultiplexedConnection,
};
use tokio::sync::{mpsc, oneshot};

use self::config::NODE_ID_BYTES;
pub use self::config::RedisConfig;
pub use self::script_client::{RedisScript, ScriptClient};
use super::{super::CANARY_TOPIC_PREFIX, BrokerUnavailable, slot_map::RedisServer};

/// The timeout of a reply. Within a data centre a reply takes a millisecond, so this timeout means
/// a network partition.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// The number of pushes that may wait for the link. With more, the session drops the connection and
/// the link reconnects.
const MAX_QUEUED_PUSHES: usize = 65_536;

/// A payload for other nodes.
pub(super) struct Publication {
    pub topic: String,
    pub payload: Bytes,
    pub ack: oneshot::Sender<Result<(), BrokerUnavailable>>,
}

/// The names of the pub/sub commands.
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

/// The reason why a session could not be opened or failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RedisSessionError(String);

impl From<RedisError> for RedisSessionError {
    fn from(error: RedisError) -> Self {
        let message = error.to_string();
        // rustls names the fault, but not the remedy.
        let hint = if message.contains("invalid peer certificate") {
            ": the certificate of Redis is not trusted; set REDIS_CA_FILE to the file with the \
             certificate of its authority"
        } else {
            ""
        };
        Self(message + hint)
    }
}

/// An open connection to one server.
pub(super) struct RedisSession {
    config: Arc<RedisConfig>,
    commands: &'static CommandNames,
    connection: MultiplexedConnection,
    pushes: mpsc::Receiver<PushInfo>,
    /// `true` if pushes were dropped because the link did not keep up.
    has_overflowed: Arc<AtomicBool>,
    /// The number of channels that this node has dropped and for which Redis has not yet sent the
    /// confirmation.
    pending_unsubscribes: usize,
}

/// An event on the connection that is not a reply to a command.
pub(super) enum PushEvent {
    /// A message of another node: the topic and the payload.
    Message(String, Bytes),
    /// A confirmation, or a message that this node published itself.
    Ignored,
    /// The connection is no longer usable, with the reason.
    ConnectionLost(&'static str),
}

impl RedisSession {
    /// Connects to a server.
    pub async fn connect(
        config: Arc<RedisConfig>,
        server: RedisServer,
    ) -> Result<Self, RedisSessionError> {
        let (sender, pushes) = mpsc::channel(MAX_QUEUED_PUSHES);
        let has_overflowed = Arc::new(AtomicBool::new(false));
        let has_overflowed_writer = has_overflowed.clone();
        let connection_config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(REPLY_TIMEOUT))
            .set_response_timeout(Some(REPLY_TIMEOUT))
            .set_push_sender(move |push| {
                let sent = sender.try_send(push);
                if sent.is_err() {
                    has_overflowed_writer.store(true, Ordering::Relaxed);
                }
                sent
            });
        let client = config.client_for(&server).await?;
        let mut redis = client
            .get_multiplexed_async_connection_with_config(&connection_config)
            .await?;
        set_client_name(&mut redis, &config.client_name).await?;
        Ok(Self {
            config,
            commands: match server {
                RedisServer::Single => &PLAIN_COMMANDS,
                RedisServer::Node { .. } => &SHARDED_COMMANDS,
            },
            connection: redis,
            pushes,
            has_overflowed,
            pending_unsubscribes: 0,
        })
    }

    /// Returns a client that runs scripts on this connection, as long as the session lasts.
    pub fn script_client(&self) -> ScriptClient {
        ScriptClient::new(self.connection.clone())
    }

    /// Subscribes to topics. Returns when the subscriptions are active.
    pub async fn subscribe(&mut self, topics: &[String]) -> Result<(), RedisError> {
        for confirmation in self.run_for_each(self.commands.subscribe, topics).await? {
            confirmation?;
        }
        Ok(())
    }

    /// Ends the subscriptions to topics. A slot that moved away is not an error.
    pub async fn unsubscribe(&mut self, topics: &[String]) -> Result<(), RedisError> {
        self.pending_unsubscribes += topics.len();
        for confirmation in self.run_for_each(self.commands.unsubscribe, topics).await? {
            // The slot has moved to another node, which ended the subscription.
            if confirmation.is_err() {
                self.pending_unsubscribes = self.pending_unsubscribes.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// Runs a command for each topic, in one write. The topics of one node need not share a slot.
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

    /// Checks an ACL of Redis: subscribes to a topic and publishes an empty payload to the topic.
    ///
    /// # Errors
    /// The reason. If an ACL forbids a command, the error names the commands and channels to allow.
    pub async fn check_channel_access(&mut self, topic: &str) -> Result<(), RedisSessionError> {
        let channel = self.config.channel_name(topic);
        let publish = redis::cmd(self.commands.publish)
            .arg(&channel)
            .arg("")
            .clone();
        let checked = async {
            self.subscribe(&[topic.to_owned()]).await?;
            publish.exec_async(&mut self.connection).await
        };
        checked.await.map_err(|error| {
            let message = RedisSessionError::from(error).0;
            if message.to_lowercase().contains("no permissions") {
                let prefix = self.config.channel_name("");
                return RedisSessionError(format!(
                    "{message}; its account (ACL) must allow {} and {} on the channels `{prefix}*`",
                    self.commands.publish, self.commands.subscribe
                ));
            }
            RedisSessionError(message)
        })
    }

    /// Sends a PING and waits for the reply.
    pub async fn ping(&mut self) -> Result<(), RedisError> {
        redis::cmd("PING").exec_async(&mut self.connection).await
    }

    /// Returns the time of the server's clock.
    pub async fn time(&mut self) -> Result<DateTime<Utc>, RedisError> {
        let (seconds, micros): (i64, i64) =
            redis::cmd("TIME").query_async(&mut self.connection).await?;
        let time = DateTime::from_timestamp(seconds, 0);
        let time = time.ok_or_else(unexpected_reply)?;
        Ok(time + TimeDelta::microseconds(micros))
    }

    /// Publishes in one write, and returns for each publication whether Redis accepted it.
    ///
    /// A refused publication does not end the session. A missing reply ends the session.
    pub async fn publish(&mut self, publications: &[Publication]) -> Result<Vec<bool>, RedisError> {
        let mut pipeline = redis::pipe();
        for Publication { topic, payload, .. } in publications {
            let framed = [&self.config.node_id[..], payload].concat();
            pipeline
                .cmd(self.commands.publish)
                .arg(self.config.channel_name(topic))
                .arg(framed);
        }
        let replies: Vec<RedisResult<Value>> = pipeline
            .ignore_errors()
            .query_async(&mut self.connection)
            .await?;
        if let Some(error) = replies.iter().find_map(|reply| reply.as_ref().err()) {
            tracing::warn!(%error, "Redis refused to publish");
        }
        let accepted = replies.into_iter().map(|reply| match reply {
            Ok(Value::Int(_)) => Ok(true),
            Err(_) => Ok(false),
            Ok(_) => Err(unexpected_reply()),
        });
        accepted.collect()
    }

    /// Waits for the next push. Safe to cancel.
    pub async fn next_push(&mut self) -> PushEvent {
        let push = self.pushes.recv().await;
        if self.has_overflowed.load(Ordering::Relaxed) {
            return PushEvent::ConnectionLost("this node received more pushes than it can queue");
        }
        let Some(push) = push else {
            return PushEvent::ConnectionLost("the connection was lost");
        };
        match push.kind {
            PushKind::Message | PushKind::SMessage => self.decode_message(push),
            PushKind::Disconnection => PushEvent::ConnectionLost("the connection was lost"),
            PushKind::SUnsubscribe => match self.pending_unsubscribes.checked_sub(1) {
                Some(remaining) => {
                    self.pending_unsubscribes = remaining;
                    PushEvent::Ignored
                }
                // The library takes this push for the reply to the last command. From now on no
                // reply matches its command.
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
        if *node == self.config.node_id && !topic.starts_with(CANARY_TOPIC_PREFIX) {
            return PushEvent::Ignored;
        }
        PushEvent::Message(topic.to_owned(), Bytes::from(framed).slice(NODE_ID_BYTES..))
    }
}

/// Sets the name of a connection. An account of Redis that may not set the name has connections without a name.
async fn set_client_name(
    connection: &mut MultiplexedConnection,
    name: &str,
) -> Result<(), RedisError> {
    let set_name = redis::cmd("CLIENT").arg("SETNAME").arg(name).clone();
    match set_name.exec_async(connection).await {
        Err(error) if error.code().is_none() => Err(error),
        _ => Ok(()),
    }
}

fn unexpected_reply() -> RedisError {
    RedisError::from((
        ErrorKind::UnexpectedReturnType,
        "the replies no longer match the commands",
    ))
}
