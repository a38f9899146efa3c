//! The broker of several nodes: Redis pub/sub, over one RESP3 connection that publishes and
//! subscribes. The only file that names `redis`.
//!
//! One task, the link, owns the connection. It knows which topics are wanted, so whenever it
//! reaches Redis again it subscribes to all of them. What is published while it cannot reach Redis
//! is refused at once and never queued.

use std::{collections::HashSet, time::Duration};

use ::redis::{
    AsyncConnectionConfig, Client, PushInfo, PushKind, RedisError, Value,
    aio::MultiplexedConnection,
};
use axum::body::Bytes;
use tokio::{
    select,
    sync::{mpsc, oneshot, watch},
    time::{interval, sleep, timeout},
};
use url::Url;
use uuid::Uuid;

use super::{INBOX, Inbox, Subscribed, Unavailable};

/// Within a data centre an answer takes a millisecond; after this a partition is as good as proven.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Finds a connection that is open and silent: PUBLISH alone may not.
const PING_EVERY: Duration = Duration::from_secs(5);

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Publications that may wait for the link, and how many go out in one write.
const PUBLICATIONS: usize = 8192;
const BATCH: usize = 256;

/// Every payload begins with the id of the node that published it.
const NODE_ID: usize = 16;

/// This node's end of Redis.
pub struct Redis {
    wishes: mpsc::UnboundedSender<Wish>,
    publications: mpsc::Sender<Publication>,
    connected: watch::Receiver<bool>,
}

enum Wish {
    Subscribe(String, watch::Sender<bool>),
    Unsubscribe(String),
}

struct Publication {
    topic: String,
    payload: Bytes,
    taken: oneshot::Sender<Result<(), Unavailable>>,
}

impl Redis {
    /// Starts the link. It connects by itself, now or when Redis comes.
    #[must_use]
    pub fn open(url: &Url, prefix: &str) -> (Self, Inbox) {
        let (wishes, wished) = mpsc::unbounded_channel();
        let (publications, published) = mpsc::channel(PUBLICATIONS);
        let (inbox_sender, inbox) = mpsc::channel(INBOX);
        let (connected_sender, connected) = watch::channel(false);
        let link = Link {
            url: with_resp3(url.clone()),
            prefix: format!("{prefix}:"),
            node: *Uuid::new_v4().as_bytes(),
            wishes: wished,
            publications: published,
            inbox: inbox_sender,
            connected: connected_sender,
            topics: HashSet::new(),
            said_away: false,
        };
        tokio::spawn(link.run());
        (
            Self {
                wishes,
                publications,
                connected,
            },
            inbox,
        )
    }

    pub fn subscribe(&self, topic: &str) -> Subscribed {
        let (stands, subscribed) = watch::channel(false);
        // The link ends with the process alone.
        let _ = self.wishes.send(Wish::Subscribe(topic.to_owned(), stands));
        Subscribed(subscribed)
    }

    pub fn unsubscribe(&self, topic: &str) {
        let _ = self.wishes.send(Wish::Unsubscribe(topic.to_owned()));
    }

    pub fn publish(
        &self,
        topic: &str,
        payload: Bytes,
    ) -> oneshot::Receiver<Result<(), Unavailable>> {
        let (taken, outcome) = oneshot::channel();
        // What does not fit is dropped with its `taken`, which tells the caller.
        let _ = self.publications.try_send(Publication {
            topic: topic.to_owned(),
            payload,
            taken,
        });
        outcome
    }

    pub async fn connected(&self, limit: Duration) -> Result<(), Unavailable> {
        let mut connected = self.connected.clone();
        match timeout(limit, connected.wait_for(|connected| *connected)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Unavailable),
        }
    }
}

/// What ends a session with Redis.
enum Ended {
    Lost(String),
    /// Nobody on this node holds the broker any more.
    Closed,
}

impl From<RedisError> for Ended {
    fn from(error: RedisError) -> Self {
        Self::Lost(error.to_string())
    }
}

struct Link {
    url: Url,
    prefix: String,
    node: [u8; NODE_ID],
    wishes: mpsc::UnboundedReceiver<Wish>,
    publications: mpsc::Receiver<Publication>,
    inbox: mpsc::Sender<(String, Bytes)>,
    connected: watch::Sender<bool>,
    /// What this node wants to hear, whether Redis is there or not.
    topics: HashSet<String>,
    /// Whether it was said already that Redis is away.
    said_away: bool,
}

type Session = (MultiplexedConnection, mpsc::UnboundedReceiver<PushInfo>);

impl Link {
    async fn run(mut self) {
        let mut delay = RETRY_FIRST;
        loop {
            let reason = match self.while_away(connect(self.url.clone())).await {
                Some(Ok(session)) => {
                    delay = RETRY_FIRST;
                    let ended = self.serve(session).await;
                    self.connected.send_replace(false);
                    match ended {
                        Ended::Closed => return,
                        Ended::Lost(reason) => reason,
                    }
                }
                Some(Err(error)) => error.to_string(),
                None => return,
            };
            if !self.said_away {
                self.said_away = true;
                tracing::warn!(
                    reason,
                    "Redis is out of reach: sockets stay, and messages reach those of this node \
                     alone; trying again until it is back"
                );
            }
            if self.while_away(sleep(delay)).await.is_none() {
                return;
            }
            delay = (delay * 2).min(RETRY_MAX);
        }
    }

    /// Waits for something while there is no Redis: notes wishes and refuses publications. `None`
    /// when the broker was closed.
    async fn while_away<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        loop {
            select! {
                output = &mut future => return Some(output),
                wish = self.wishes.recv() => match wish? {
                    Wish::Subscribe(topic, stands) => {
                        self.topics.insert(topic);
                        // Nothing to wait for: the socket may open.
                        stands.send_replace(true);
                    }
                    Wish::Unsubscribe(topic) => {
                        self.topics.remove(&topic);
                    }
                },
                publication = self.publications.recv() => {
                    let _ = publication?.taken.send(Err(Unavailable));
                }
            }
        }
    }

    /// Carries payloads both ways until the connection is lost.
    async fn serve(&mut self, (mut redis, mut pushes): Session) -> Ended {
        match self.carry(&mut redis, &mut pushes).await {
            Ok(ended) => ended,
            Err(error) => error.into(),
        }
    }

    async fn carry(
        &mut self,
        redis: &mut MultiplexedConnection,
        pushes: &mut mpsc::UnboundedReceiver<PushInfo>,
    ) -> Result<Ended, RedisError> {
        let wanted: Vec<String> = self
            .topics
            .iter()
            .map(|topic| self.channel(topic))
            .collect();
        for channels in wanted.chunks(BATCH) {
            redis.subscribe(channels).await?;
        }
        self.said_away = false;
        self.connected.send_replace(true);
        tracing::info!(topics = wanted.len(), "Redis is connected");

        let mut pulse = interval(PING_EVERY);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            select! {
                push = pushes.recv() => match push {
                    Some(push) if push.kind == PushKind::Message => self.pass_on(push).await,
                    Some(push) if push.kind != PushKind::Disconnection => {}
                    _ => return Ok(Ended::Lost("the connection broke".to_owned())),
                },
                count = self.publications.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return Ok(Ended::Closed);
                    }
                    self.publish(redis, batch.drain(..)).await?;
                }
                wish = self.wishes.recv() => match wish {
                    None => return Ok(Ended::Closed),
                    Some(wish) => self.grant(redis, wish).await?,
                },
                _ = pulse.tick() => ::redis::cmd("PING").exec_async(redis).await?,
            }
        }
    }

    async fn grant(
        &mut self,
        redis: &mut MultiplexedConnection,
        wish: Wish,
    ) -> Result<(), RedisError> {
        match wish {
            Wish::Subscribe(topic, stands) => {
                let channel = self.channel(&topic);
                self.topics.insert(topic);
                let subscribed = redis.subscribe(channel).await;
                stands.send_replace(true);
                subscribed
            }
            Wish::Unsubscribe(topic) => {
                let channel = self.channel(&topic);
                self.topics.remove(&topic);
                redis.unsubscribe(channel).await
            }
        }
    }

    async fn publish(
        &self,
        redis: &mut MultiplexedConnection,
        batch: impl Iterator<Item = Publication>,
    ) -> Result<(), RedisError> {
        let mut pipeline = ::redis::pipe();
        let mut waiting = Vec::new();
        for Publication {
            topic,
            payload,
            taken,
        } in batch
        {
            let framed = [&self.node[..], &payload].concat();
            pipeline
                .cmd("PUBLISH")
                .arg(self.channel(&topic))
                .arg(framed)
                .ignore();
            waiting.push(taken);
        }
        let result = pipeline.exec_async(redis).await;
        for taken in waiting {
            let _ = taken.send(result.as_ref().map(|_| ()).map_err(|_| Unavailable));
        }
        result
    }

    /// Hands a message of another node to the hub.
    async fn pass_on(&self, push: PushInfo) {
        let Ok([Value::BulkString(channel), Value::BulkString(framed)]) =
            <[Value; 2]>::try_from(push.data)
        else {
            return;
        };
        let channel = String::from_utf8(channel).unwrap_or_default();
        let (Some(topic), Some((node, _))) = (
            channel.strip_prefix(&self.prefix),
            framed.split_first_chunk::<NODE_ID>(),
        ) else {
            tracing::warn!(%channel, "a message came that no node of ours has sent");
            return;
        };
        if *node != self.node {
            let payload = Bytes::from(framed).slice(NODE_ID..);
            // The inbox is gone only where nobody wants to hear anything.
            let _ = self.inbox.send((topic.to_owned(), payload)).await;
        }
    }

    fn channel(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }
}

async fn connect(url: Url) -> Result<Session, RedisError> {
    let (sender, pushes) = mpsc::unbounded_channel();
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_WITHIN))
        .set_response_timeout(Some(ANSWER_WITHIN))
        .set_push_sender(sender);
    let client = Client::open(url)?;
    let connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    Ok((connection, pushes))
}

/// Pushes on a connection that also takes commands need RESP3.
fn with_resp3(mut url: Url) -> Url {
    if !url.query_pairs().any(|(key, _)| key == "protocol") {
        url.query_pairs_mut().append_pair("protocol", "resp3");
    }
    url
}
