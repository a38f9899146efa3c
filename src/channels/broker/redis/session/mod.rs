//! One connection to Redis, RESP3, that publishes and subscribes. Only the files of this folder
//! name `redis`.
//!
//! To a node of a cluster it speaks of sharded channels, which stay with the node that has their
//! slot. The client of the library for clusters is not used: it takes one connection's loss for
//! nothing to tell of, resubscribes all of a node's sharded channels by one command, which Redis
//! refuses unless they share a slot, and repeats a whole pipeline where one command of it was
//! redirected. Here each node has a session of its own, which keeps what one with a single server
//! keeps, and the others go on whatever becomes of it.

mod access;
mod caller;
mod layout;

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

pub use self::access::Access;
use self::access::NODE_ID;
pub use self::caller::Caller;
use super::{Unavailable, map::Place};

/// Within a data centre an answer takes a millisecond; after this a partition is as good as proven.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Pushes that may wait for the link; with more the connection is given up, and begun anew.
const PUSHES: usize = 65_536;

/// What goes to Redis for other nodes.
pub(super) struct Publication {
    pub topic: String,
    pub payload: Bytes,
    pub ack: oneshot::Sender<Result<(), Unavailable>>,
}

/// The names of the commands.
struct Words {
    publish: &'static str,
    subscribe: &'static str,
    unsubscribe: &'static str,
}

const PLAIN: Words = Words {
    publish: "PUBLISH",
    subscribe: "SUBSCRIBE",
    unsubscribe: "UNSUBSCRIBE",
};

const SHARDED: Words = Words {
    publish: "SPUBLISH",
    subscribe: "SSUBSCRIBE",
    unsubscribe: "SUNSUBSCRIBE",
};

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(String);

impl From<RedisError> for Unreachable {
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

pub(super) struct Session {
    access: Arc<Access>,
    words: &'static Words,
    redis: MultiplexedConnection,
    pushes: mpsc::Receiver<PushInfo>,
    /// Whether pushes were dropped because the link did not keep up.
    overrun: Arc<AtomicBool>,
    /// Channels that this node has dropped and Redis has not yet said so.
    dropped: usize,
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
    pub async fn connect(access: Arc<Access>, place: Place) -> Result<Self, Unreachable> {
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
        let client = access.client(&place).await?;
        let redis = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(Self {
            access,
            words: match place {
                Place::Only => &PLAIN,
                Place::Node { .. } => &SHARDED,
            },
            redis,
            pushes,
            overrun,
            dropped: 0,
        })
    }

    /// Who may ask on this connection for as long as the session lasts.
    pub fn caller(&self) -> Caller {
        Caller::new(self.redis.clone())
    }

    /// Returns when the subscriptions stand.
    pub async fn subscribe(&mut self, topics: &[String]) -> Result<(), RedisError> {
        for confirmed in self.each(self.words.subscribe, topics).await? {
            confirmed?;
        }
        Ok(())
    }

    pub async fn unsubscribe(&mut self, topics: &[String]) -> Result<(), RedisError> {
        self.dropped += topics.len();
        for confirmed in self.each(self.words.unsubscribe, topics).await? {
            // The slot has moved away: there is no subscription to drop any more.
            if confirmed.is_err() {
                self.dropped = self.dropped.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// A command for each topic, in one write: those of one shard need not share a slot.
    async fn each(
        &mut self,
        command: &'static str,
        topics: &[String],
    ) -> Result<Vec<RedisResult<Value>>, RedisError> {
        let mut pipeline = redis::pipe();
        for topic in topics {
            pipeline.cmd(command).arg(self.access.channel(topic));
        }
        pipeline.ignore_errors().query_async(&mut self.redis).await
    }

    /// Subscribes to a topic and publishes nothing to it, which an ACL of Redis may forbid.
    ///
    /// # Errors
    /// Why not; of an ACL, what to allow.
    pub async fn try_channel(&mut self, topic: &str) -> Result<(), Unreachable> {
        let channel = self.access.channel(topic);
        let publish = redis::cmd(self.words.publish).arg(&channel).arg("").clone();
        let tried = async {
            self.subscribe(&[topic.to_owned()]).await?;
            publish.exec_async(&mut self.redis).await
        };
        tried.await.map_err(|error| {
            let told = Unreachable::from(error).0;
            if told.to_lowercase().contains("no permissions") {
                let prefix = self.access.channel("");
                return Unreachable(format!(
                    "{told}; its account (ACL) must allow {} and {} on the channels `{prefix}*`",
                    self.words.publish, self.words.subscribe
                ));
            }
            Unreachable(told)
        })
    }

    pub async fn ping(&mut self) -> Result<(), RedisError> {
        redis::cmd("PING").exec_async(&mut self.redis).await
    }

    /// Publishes in one write, and says of each whether Redis took it. That it refuses one costs no
    /// session; that it does not answer does.
    pub async fn publish(&mut self, publications: &[Publication]) -> Result<Vec<bool>, RedisError> {
        let mut pipeline = redis::pipe();
        for Publication { topic, payload, .. } in publications {
            let framed = [&self.access.node[..], payload].concat();
            pipeline
                .cmd(self.words.publish)
                .arg(self.access.channel(topic))
                .arg(framed);
        }
        let answers: Vec<RedisResult<Value>> = pipeline
            .ignore_errors()
            .query_async(&mut self.redis)
            .await?;
        if let Some(error) = answers.iter().find_map(|answer| answer.as_ref().err()) {
            tracing::warn!(%error, "Redis refused to publish");
        }
        let taken = answers.into_iter().map(|answer| match answer {
            Ok(Value::Int(_)) => Ok(true),
            Err(_) => Ok(false),
            Ok(_) => Err(out_of_step()),
        });
        taken.collect()
    }

    /// What comes next. Safe to be cancelled.
    pub async fn next(&mut self) -> Pushed {
        let push = self.pushes.recv().await;
        if self.overrun.load(Ordering::Relaxed) {
            return Pushed::Lost("more came than this node could take");
        }
        let Some(push) = push else {
            return Pushed::Lost("the connection broke");
        };
        match push.kind {
            PushKind::Message | PushKind::SMessage => self.message(push),
            PushKind::Disconnection => Pushed::Lost("the connection broke"),
            PushKind::SUnsubscribe => match self.dropped.checked_sub(1) {
                Some(dropped) => {
                    self.dropped = dropped;
                    Pushed::Nothing
                }
                // The library takes it for the answer to whatever was asked last, so from here on
                // no answer fits its question.
                None => Pushed::Lost("a slot has moved to another node"),
            },
            _ => Pushed::Nothing,
        }
    }

    fn message(&self, push: PushInfo) -> Pushed {
        let Ok([Value::BulkString(channel), Value::BulkString(framed)]) =
            <[Value; 2]>::try_from(push.data)
        else {
            return Pushed::Nothing;
        };
        let channel = String::from_utf8(channel).unwrap_or_default();
        let topic = self.access.topic(&channel);
        let node = framed.first_chunk::<NODE_ID>();
        let (Some(topic), Some(node)) = (topic, node) else {
            static MALFORMED: LogThrottle = LogThrottle::new();
            if let Some(suppressed) = MALFORMED.permit() {
                tracing::warn!(%channel, suppressed, "node message rejected: malformed");
            }
            return Pushed::Nothing;
        };
        if *node == self.access.node {
            return Pushed::Nothing;
        }
        Pushed::Message(topic.to_owned(), Bytes::from(framed).slice(NODE_ID..))
    }
}

fn out_of_step() -> RedisError {
    RedisError::from((
        ErrorKind::UnexpectedReturnType,
        "the answers do not fit the questions any more",
    ))
}
