//! The broker of several nodes: Redis pub/sub, over one RESP3 connection that publishes and
//! subscribes. The only file that names `redis`.
//!
//! One task, the link, owns the connection. It knows which topics are wanted, so whenever it
//! reaches Redis again it subscribes to all of them. What is published while it cannot reach Redis
//! is refused at once and never queued.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::redis::{
    AsyncConnectionConfig, Client, PushInfo, PushKind, RedisError, Value,
    aio::MultiplexedConnection,
};
use axum::body::Bytes;
use tokio::{
    select,
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
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

/// A connection that lasted this long was a good one: the next is tried for at once.
const LASTING: Duration = Duration::from_secs(5);

/// Publications and pushes that may wait for the link.
const PUBLICATIONS: usize = 8192;
const PUSHES: usize = 65_536;

/// Publications or subscriptions that go out in one write.
const BATCH: usize = 256;

/// Every payload begins with the id of the node that published it.
const NODE_ID: usize = 16;

/// This node's end of Redis.
pub struct Redis {
    commands: mpsc::UnboundedSender<Command>,
    publications: mpsc::Sender<Publication>,
    connected: watch::Receiver<bool>,
    /// Whether it was said that publications are dropped, so that it is said once.
    said_full: AtomicBool,
}

enum Command {
    /// The sender is told when the subscription stands, or need not be waited for.
    Subscribe(String, watch::Sender<bool>),
    Unsubscribe(String),
}

struct Publication {
    topic: String,
    payload: Bytes,
    ack: oneshot::Sender<Result<(), Unavailable>>,
}

impl Redis {
    /// Starts the link. It connects by itself, now or when Redis comes.
    #[must_use]
    pub fn open(url: &Url, prefix: &str) -> (Self, Inbox) {
        let (commands, link_commands) = mpsc::unbounded_channel();
        let (publications, link_publications) = mpsc::channel(PUBLICATIONS);
        let (link_inbox, inbox) = mpsc::channel(INBOX);
        let (link_connected, connected) = watch::channel(false);
        let link = Link {
            url: with_resp3(url.clone()),
            prefix: format!("{prefix}:"),
            node: *Uuid::new_v4().as_bytes(),
            commands: link_commands,
            publications: link_publications,
            inbox: link_inbox,
            connected: link_connected,
            topics: HashSet::new(),
            said_away: false,
        };
        tokio::spawn(link.run());
        let said_full = AtomicBool::new(false);
        (
            Self {
                commands,
                publications,
                connected,
                said_full,
            },
            inbox,
        )
    }

    pub fn subscribe(&self, topic: &str) -> Subscribed {
        let (ready, subscribed) = watch::channel(false);
        // The link ends with this alone.
        let _ = self
            .commands
            .send(Command::Subscribe(topic.to_owned(), ready));
        Subscribed(subscribed)
    }

    pub fn unsubscribe(&self, topic: &str) {
        let _ = self.commands.send(Command::Unsubscribe(topic.to_owned()));
    }

    pub fn publish(
        &self,
        topic: &str,
        payload: Bytes,
    ) -> oneshot::Receiver<Result<(), Unavailable>> {
        let (ack, outcome) = oneshot::channel();
        let publication = Publication {
            topic: topic.to_owned(),
            payload,
            ack,
        };
        // What does not fit is dropped with its `ack`, which tells the caller.
        if self.publications.try_send(publication).is_ok() {
            self.said_full.store(false, Ordering::Relaxed);
        } else if !self.said_full.swap(true, Ordering::Relaxed) {
            tracing::warn!("Redis does not keep up: posts are not carried to other nodes");
        }
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
    commands: mpsc::UnboundedReceiver<Command>,
    publications: mpsc::Receiver<Publication>,
    inbox: mpsc::Sender<(String, Bytes)>,
    connected: watch::Sender<bool>,
    /// What this node wants to hear, whether Redis is there or not.
    topics: HashSet<String>,
    /// Whether it was said that Redis is away, so that it is said once.
    said_away: bool,
}

/// A connection, and what comes on it unasked.
struct Session {
    redis: MultiplexedConnection,
    pushes: mpsc::Receiver<PushInfo>,
    /// Whether pushes were dropped because the link did not keep up.
    overrun: Arc<AtomicBool>,
}

impl Link {
    async fn run(mut self) {
        let mut delay = RETRY_FIRST;
        loop {
            let reason = match self.while_away(connect(self.url.clone())).await {
                None => return,
                Some(Err(error)) => error.to_string(),
                Some(Ok(session)) => {
                    let begin = Instant::now();
                    let ended = self.serve(session).await;
                    self.connected.send_replace(false);
                    if begin.elapsed() > LASTING {
                        delay = RETRY_FIRST;
                    }
                    match ended {
                        Ended::Closed => return,
                        Ended::Lost(reason) => reason,
                    }
                }
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

    /// Waits for something while there is no Redis: notes subscriptions and refuses publications.
    /// `None` when the broker was closed.
    async fn while_away<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        loop {
            select! {
                output = &mut future => return Some(output),
                command = self.commands.recv() => match command? {
                    Command::Subscribe(topic, ready) => {
                        self.topics.insert(topic);
                        // Nothing to wait for: the socket may open.
                        ready.send_replace(true);
                    }
                    Command::Unsubscribe(topic) => {
                        self.topics.remove(&topic);
                    }
                },
                publication = self.publications.recv() => {
                    let _ = publication?.ack.send(Err(Unavailable));
                }
            }
        }
    }

    /// Carries payloads both ways until the connection is lost.
    async fn serve(&mut self, mut session: Session) -> Ended {
        match self.resubscribe(&mut session.redis).await {
            Ok(()) => self.carry(session).await.unwrap_or_else(Ended::from),
            Err(error) => error.into(),
        }
    }

    async fn resubscribe(&mut self, redis: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let channels: Vec<String> = self
            .topics
            .iter()
            .map(|topic| self.channel(topic))
            .collect();
        for channels in channels.chunks(BATCH) {
            redis.subscribe(channels).await?;
        }
        // A Redis that is still loading its data takes the above and refuses this.
        ::redis::cmd("PING").exec_async(redis).await?;
        self.said_away = false;
        self.connected.send_replace(true);
        tracing::info!(topics = channels.len(), "Redis is connected");
        Ok(())
    }

    async fn carry(&mut self, mut session: Session) -> Result<Ended, RedisError> {
        let mut pulse = interval(PING_EVERY);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut publications = Vec::with_capacity(BATCH);
        let mut commands = Vec::with_capacity(BATCH);
        loop {
            select! {
                push = session.pushes.recv() => match push {
                    Some(push) if push.kind == PushKind::Message => self.pass_on(push).await,
                    Some(push) if push.kind != PushKind::Disconnection => {}
                    _ => return Ok(Ended::Lost("the connection broke".to_owned())),
                },
                count = self.publications.recv_many(&mut publications, BATCH) => {
                    if count == 0 {
                        return Ok(Ended::Closed);
                    }
                    self.publish(&mut session.redis, publications.drain(..)).await?;
                }
                count = self.commands.recv_many(&mut commands, BATCH) => {
                    if count == 0 {
                        return Ok(Ended::Closed);
                    }
                    self.apply(&mut session.redis, commands.drain(..)).await?;
                }
                _ = pulse.tick() => ::redis::cmd("PING").exec_async(&mut session.redis).await?,
            }
            if session.overrun.load(Ordering::Relaxed) {
                return Ok(Ended::Lost(
                    "more came than this node could take".to_owned(),
                ));
            }
        }
    }

    /// Subscribes and unsubscribes, in order, with one command for each run of the same kind.
    async fn apply(
        &mut self,
        redis: &mut MultiplexedConnection,
        commands: impl Iterator<Item = Command>,
    ) -> Result<(), RedisError> {
        let mut commands = commands.peekable();
        while commands.peek().is_some() {
            let mut wanted = Vec::new();
            let mut waiting = Vec::new();
            while let Some(Command::Subscribe(topic, ready)) =
                commands.next_if(|command| matches!(command, Command::Subscribe(..)))
            {
                wanted.push(self.channel(&topic));
                waiting.push(ready);
                self.topics.insert(topic);
            }
            let mut unwanted = Vec::new();
            while let Some(Command::Unsubscribe(topic)) =
                commands.next_if(|command| matches!(command, Command::Unsubscribe(_)))
            {
                unwanted.push(self.channel(&topic));
                self.topics.remove(&topic);
            }
            if !wanted.is_empty() {
                let subscribed = redis.subscribe(wanted).await;
                for ready in waiting {
                    ready.send_replace(true);
                }
                subscribed?;
            }
            if !unwanted.is_empty() {
                redis.unsubscribe(unwanted).await?;
            }
        }
        Ok(())
    }

    /// Publishes in one write. That Redis refuses a command costs no session; that it does not
    /// answer does.
    async fn publish(
        &self,
        redis: &mut MultiplexedConnection,
        publications: impl Iterator<Item = Publication>,
    ) -> Result<(), RedisError> {
        let mut pipeline = ::redis::pipe();
        let mut waiting = Vec::new();
        for Publication {
            topic,
            payload,
            ack,
        } in publications
        {
            let framed = [&self.node[..], &payload].concat();
            pipeline
                .cmd("PUBLISH")
                .arg(self.channel(&topic))
                .arg(framed)
                .ignore();
            waiting.push(ack);
        }
        let result = pipeline.exec_async(redis).await;
        for ack in waiting {
            let outcome = if result.is_ok() {
                Ok(())
            } else {
                Err(Unavailable)
            };
            let _ = ack.send(outcome);
        }
        match result {
            Err(error) if error.is_io_error() || error.is_unrecoverable_error() => Err(error),
            Err(error) => {
                tracing::warn!(%error, "Redis refused to publish");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
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
    let client = Client::open(url)?;
    let redis = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    Ok(Session {
        redis,
        pushes,
        overrun,
    })
}

/// Pushes on a connection that also takes commands need RESP3.
fn with_resp3(mut url: Url) -> Url {
    if !url.query_pairs().any(|(key, _)| key == "protocol") {
        url.query_pairs_mut().append_pair("protocol", "resp3");
    }
    url
}
