//! The task that owns the connection to one server of Redis: the only server, or a node of a
//! cluster.
//!
//! The link knows the topics that this node needs from its server. After each reconnect it
//! subscribes to all of them. While the server is unreachable, the link rejects publications at
//! once and never queues them.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    select,
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{
    BrokerUnavailable, VerifiedInbox,
    connection_status::ConnectionStatus,
    missed_topics::MissedTopics,
    session::{Publication, PushEvent, RedisConfig, RedisSession, ScriptClient},
    slot_map::{RedisServer, SlotMap},
};
use crate::metrics::METRICS;

/// The interval of pings. A ping detects a connection that is open but silent, which PUBLISH alone
/// may not detect.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest and the first pause between two attempts to connect.
pub(super) const MIN_RECONNECT_BACKOFF: Duration = Duration::from_millis(100);
/// The longest pause between two attempts to connect.
pub(super) const MAX_RECONNECT_BACKOFF: Duration = Duration::from_secs(2);

/// The duration after which a lost connection counts as stable. The backoff then starts at its
/// minimum.
const STABLE_AFTER: Duration = Duration::from_secs(5);

/// The largest number of publications or subscriptions in one write.
const MAX_BATCH_PER_WRITE: usize = 256;

/// A command to a link.
pub(super) enum LinkCommand {
    /// Subscribes to a topic. The sender is set to `true` once the subscription is active, or once
    /// waiting for it makes no sense.
    Subscribe(String, watch::Sender<bool>),
    /// Ends the subscription to a topic.
    Unsubscribe(String),
    /// Subscribes to topics that another server carried until now. Some of their payloads may be
    /// lost.
    Adopt(Vec<String>),
}

/// The link to one server. See the module's documentation.
pub(super) struct Link {
    pub server: RedisServer,
    pub config: Arc<RedisConfig>,
    pub slot_map: Arc<SlotMap>,
    pub commands: mpsc::UnboundedReceiver<LinkCommand>,
    pub publications: mpsc::Receiver<Publication>,
    pub inbox: VerifiedInbox,
    pub status: ConnectionStatus,
    pub reconnects: watch::Sender<u64>,
    /// The topics that this node needs from this server, also while the server is unreachable.
    pub topics: HashSet<String>,
    pub missed_topics: MissedTopics,
    /// Wakes the discovery task, when the slot map may be wrong.
    pub rediscover: Arc<Notify>,
    /// The client for scripts on this server, while the server is reachable.
    pub script_client: watch::Sender<Option<ScriptClient>>,
    /// `true` if the log already has the warning that Redis is unreachable. The warning is logged
    /// once.
    pub has_warned_disconnected: bool,
}

/// The reason why a session with Redis ended.
enum SessionEnd {
    Lost(String),
    /// This node no longer needs the server.
    Closed,
}

impl<E: std::error::Error> From<E> for SessionEnd {
    fn from(error: E) -> Self {
        Self::Lost(error.to_string())
    }
}

impl Link {
    /// Connects, and reconnects after each failure, until this node no longer needs the server.
    pub async fn run(mut self) {
        self.reconnect_loop().await;
        // Rejects the publications that were queued too late.
        while let Ok(publication) = self.publications.try_recv() {
            self.fail_publication(publication);
        }
    }

    async fn reconnect_loop(&mut self) {
        let mut delay = MIN_RECONNECT_BACKOFF;
        loop {
            let reason = match self
                .run_while_disconnected(RedisSession::connect(
                    self.config.clone(),
                    self.server.clone(),
                ))
                .await
            {
                None => return,
                Some(Err(error)) => error.to_string(),
                Some(Ok(session)) => {
                    let started_at = Instant::now();
                    let ended = self.serve_session(session).await;
                    if started_at.elapsed() > STABLE_AFTER {
                        delay = MIN_RECONNECT_BACKOFF;
                    }
                    match ended {
                        SessionEnd::Closed => return,
                        SessionEnd::Lost(reason) => reason,
                    }
                }
            };
            self.rediscover.notify_one();
            if !self.has_warned_disconnected {
                self.has_warned_disconnected = true;
                tracing::warn!(
                    reason,
                    server = %self.server,
                    "Redis is out of reach: sockets stay connected, and other nodes read events from \
                     the database, seconds late; retrying until it is reachable"
                );
            }
            if self.run_while_disconnected(sleep(delay)).await.is_none() {
                return;
            }
            delay = (delay * 2).min(MAX_RECONNECT_BACKOFF);
        }
    }

    /// Waits for a future while there is no session. During the wait, the link records
    /// subscriptions and rejects publications.
    ///
    /// Returns `None` when this node no longer needs the server.
    async fn run_while_disconnected<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        loop {
            select! {
                output = &mut future => return Some(output),
                command = self.commands.recv() => match command? {
                    LinkCommand::Subscribe(topic, ready) => {
                        self.topics.insert(topic);
                        // There is nothing to wait for, so the socket may open.
                        ready.send_replace(true);
                    }
                    LinkCommand::Unsubscribe(topic) => {
                        self.topics.remove(&topic);
                    }
                    LinkCommand::Adopt(topics) => self.topics.extend(topics),
                },
                publication = self.publications.recv() => self.fail_publication(publication?),
            }
        }
    }

    /// Runs a session until the connection is lost or the server is no longer needed.
    async fn serve_session(&mut self, session: RedisSession) -> SessionEnd {
        let ended = self.run_session(session).await;
        self.script_client.send_replace(None);
        match ended {
            Ok(ended) | Err(ended) => ended,
        }
    }

    async fn run_session(&mut self, mut session: RedisSession) -> Result<SessionEnd, SessionEnd> {
        let topics: Vec<String> = self.topics.iter().cloned().collect();
        for topics in topics.chunks(MAX_BATCH_PER_WRITE) {
            session.subscribe(topics).await?;
        }
        // A Redis that still loads its data accepts SUBSCRIBE and refuses PING.
        session.ping().await?;
        self.has_warned_disconnected = false;
        let _connected = self.status.mark_connected();
        self.script_client
            .send_replace(Some(session.script_client()));
        self.reconnects.send_modify(|count| *count += 1);
        METRICS.redis_sessions.inc();
        tracing::info!(topics = topics.len(), server = %self.server, "Redis is connected");

        self.report_missed(&mut session).await?;
        let mut ping_timer = interval(PING_INTERVAL);
        ping_timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut publications = Vec::new();
        let mut commands = Vec::with_capacity(MAX_BATCH_PER_WRITE);
        loop {
            select! {
                pushed = session.next_push() => match pushed {
                    PushEvent::Message(topic, payload) => self.inbox.deliver(topic, &payload).await,
                    PushEvent::Ignored => {}
                    PushEvent::ConnectionLost(reason) => return Ok(SessionEnd::Lost(reason.to_owned())),
                },
                count = self.publications.recv_many(&mut publications, MAX_BATCH_PER_WRITE) => {
                    if count == 0 {
                        return Ok(SessionEnd::Closed);
                    }
                    self.publish_batch(&mut session, std::mem::take(&mut publications)).await?;
                }
                count = self.commands.recv_many(&mut commands, MAX_BATCH_PER_WRITE) => {
                    if count == 0 {
                        return Ok(SessionEnd::Closed);
                    }
                    self.apply_commands(&mut session, std::mem::take(&mut commands)).await?;
                }
                _ = ping_timer.tick() => {
                    session.ping().await?;
                    self.report_missed(&mut session).await?;
                }
            }
        }
    }

    async fn publish_batch(
        &self,
        session: &mut RedisSession,
        publications: Vec<Publication>,
    ) -> Result<(), SessionEnd> {
        let published = session.publish(&publications).await;
        let accepted = published.as_deref().unwrap_or_default().iter();
        let accepted = accepted.copied().chain(std::iter::repeat(false));
        for (publication, accepted) in publications.into_iter().zip(accepted) {
            if accepted {
                METRICS.redis_messages.inc(["published"]);
                // The publisher does not always wait for the result.
                let _ = publication.ack.send(Ok(()));
            } else {
                self.fail_publication(publication);
            }
        }
        if published?.contains(&false) {
            self.rediscover.notify_one();
        }
        Ok(())
    }

    fn fail_publication(&self, publication: Publication) {
        METRICS.redis_publish_failures.inc();
        self.missed_topics.record(publication.topic);
        let _ = publication.ack.send(Err(BrokerUnavailable));
    }

    /// Publishes an empty payload to each topic of this server for which a payload was lost.
    async fn report_missed(&self, session: &mut RedisSession) -> Result<(), SessionEnd> {
        let topics = self
            .missed_topics
            .take_matching(|topic| self.slot_map.server_for(topic).as_ref() == Some(&self.server));
        for chunk in topics.chunks(MAX_BATCH_PER_WRITE) {
            let notices = chunk.iter().map(|topic| Publication {
                topic: topic.clone(),
                payload: self.inbox.signer.sign(topic, &[]),
                ack: oneshot::channel().0,
            });
            if let Err(ended) = self.publish_batch(session, notices.collect()).await {
                // The next session repeats all notices. A repeated notice does no harm.
                topics
                    .into_iter()
                    .for_each(|topic| self.missed_topics.record(topic));
                return Err(ended);
            }
        }
        Ok(())
    }

    /// Subscribes and unsubscribes in order, with one write for each run of commands of the same
    /// kind.
    async fn apply_commands(
        &mut self,
        session: &mut RedisSession,
        commands: Vec<LinkCommand>,
    ) -> Result<(), SessionEnd> {
        // The topics are recorded first. If the session fails now, the next session subscribes to
        // them.
        for command in &commands {
            match command {
                LinkCommand::Subscribe(topic, _) => drop(self.topics.insert(topic.clone())),
                LinkCommand::Unsubscribe(topic) => drop(self.topics.remove(topic)),
                LinkCommand::Adopt(topics) => self.topics.extend(topics.iter().cloned()),
            }
        }
        let mut commands = commands.into_iter().peekable();
        while let Some(command) = commands.peek() {
            match command {
                LinkCommand::Subscribe(..) => subscribe_batch(session, &mut commands).await?,
                LinkCommand::Unsubscribe(_) => unsubscribe_batch(session, &mut commands).await?,
                LinkCommand::Adopt(_) => self.adopt_topics(session, &mut commands).await?,
            }
        }
        Ok(())
    }

    async fn adopt_topics(
        &self,
        session: &mut RedisSession,
        commands: &mut PendingCommands,
    ) -> Result<(), SessionEnd> {
        while let Some(LinkCommand::Adopt(topics)) =
            commands.next_if(|command| matches!(command, LinkCommand::Adopt(_)))
        {
            for topics in topics.chunks(MAX_BATCH_PER_WRITE) {
                session.subscribe(topics).await?;
            }
        }
        self.reconnects.send_modify(|count| *count += 1);
        Ok(())
    }
}

type PendingCommands = std::iter::Peekable<std::vec::IntoIter<LinkCommand>>;

async fn subscribe_batch(
    session: &mut RedisSession,
    commands: &mut PendingCommands,
) -> Result<(), SessionEnd> {
    let (mut topics, mut waiting) = (Vec::new(), Vec::new());
    while let Some(LinkCommand::Subscribe(topic, ready)) =
        commands.next_if(|command| matches!(command, LinkCommand::Subscribe(..)))
    {
        topics.push(topic);
        waiting.push(ready);
    }
    let subscribed = session.subscribe(&topics).await;
    for ready in waiting {
        ready.send_replace(true);
    }
    Ok(subscribed?)
}

async fn unsubscribe_batch(
    session: &mut RedisSession,
    commands: &mut PendingCommands,
) -> Result<(), SessionEnd> {
    let mut topics = Vec::new();
    while let Some(LinkCommand::Unsubscribe(topic)) =
        commands.next_if(|command| matches!(command, LinkCommand::Unsubscribe(_)))
    {
        topics.push(topic);
    }
    Ok(session.unsubscribe(&topics).await?)
}
