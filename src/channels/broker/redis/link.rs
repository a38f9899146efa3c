//! The task that owns the connection to a server of Redis: the only one, or a node of a cluster.
//!
//! It knows which of its topics are wanted, so whenever it reaches the server again it subscribes to
//! all of them. What is published while it cannot reach it is refused at once and never queued.

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

/// Finds a connection that is open and silent: PUBLISH alone may not.
const PING_INTERVAL: Duration = Duration::from_secs(1);

pub(super) const MIN_RECONNECT_BACKOFF: Duration = Duration::from_millis(100);
pub(super) const MAX_RECONNECT_BACKOFF: Duration = Duration::from_secs(2);

/// A connection that lasted this long was a good one: the next is tried for at once.
const STABLE_AFTER: Duration = Duration::from_secs(5);

/// Publications or subscriptions that go out in one write.
const MAX_BATCH_PER_WRITE: usize = 256;

pub(super) enum LinkCommand {
    /// The sender is told when the subscription stands, or need not be waited for.
    Subscribe(String, watch::Sender<bool>),
    Unsubscribe(String),
    /// Topics that another server carried until now, so that some of theirs may be lost.
    Adopt(Vec<String>),
}

pub(super) struct Link {
    pub server: RedisServer,
    pub config: Arc<RedisConfig>,
    pub slot_map: Arc<SlotMap>,
    pub commands: mpsc::UnboundedReceiver<LinkCommand>,
    pub publications: mpsc::Receiver<Publication>,
    pub inbox: VerifiedInbox,
    pub status: ConnectionStatus,
    pub reconnects: watch::Sender<u64>,
    /// What this node wants to hear from here, whether Redis is there or not.
    pub topics: HashSet<String>,
    pub missed_topics: MissedTopics,
    /// Rung when the map may be wrong.
    pub rediscover: Arc<Notify>,
    /// Who can ask the server, while it is in reach.
    pub script_client: watch::Sender<Option<ScriptClient>>,
    /// Whether it was said that Redis is away, so that it is said once.
    pub has_warned_disconnected: bool,
}

/// What ends a session with Redis.
enum SessionEnd {
    Lost(String),
    /// Nothing is wanted of this server any more.
    Closed,
}

impl<E: std::error::Error> From<E> for SessionEnd {
    fn from(error: E) -> Self {
        Self::Lost(error.to_string())
    }
}

impl Link {
    /// Connects, now or when Redis comes, and again whenever it was lost, until nothing is wanted
    /// of this server any more.
    pub async fn run(mut self) {
        self.reconnect_loop().await;
        // Those that came too late to go this way.
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
                    let begin = Instant::now();
                    let ended = self.serve_session(session).await;
                    if begin.elapsed() > STABLE_AFTER {
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
                    "Redis is out of reach: sockets stay, and messages cross nodes by the database, \
                     seconds late; trying again until it is back"
                );
            }
            if self.run_while_disconnected(sleep(delay)).await.is_none() {
                return;
            }
            delay = (delay * 2).min(MAX_RECONNECT_BACKOFF);
        }
    }

    /// Waits for something while there is no Redis: notes subscriptions and refuses publications.
    /// `None` when nothing is wanted of this server any more.
    async fn run_while_disconnected<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        loop {
            select! {
                output = &mut future => return Some(output),
                command = self.commands.recv() => match command? {
                    LinkCommand::Subscribe(topic, ready) => {
                        self.topics.insert(topic);
                        // Nothing to wait for: the socket may open.
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

    /// Carries payloads both ways until the connection is lost.
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
        // A Redis that is still loading its data takes the above and refuses this.
        session.ping().await?;
        self.has_warned_disconnected = false;
        let _up = self.status.mark_connected();
        self.script_client
            .send_replace(Some(session.script_client()));
        self.reconnects.send_modify(|sessions| *sessions += 1);
        tracing::info!(topics = topics.len(), server = %self.server, "Redis is connected");

        self.report_missed(&mut session).await?;
        let mut pulse = interval(PING_INTERVAL);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
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
                _ = pulse.tick() => {
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
        let taken = published.as_deref().unwrap_or_default().iter();
        let taken = taken.copied().chain(std::iter::repeat(false));
        for (publication, taken) in publications.into_iter().zip(taken) {
            if taken {
                // Whoever published does not always wait to hear it.
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
        self.missed_topics.record(publication.topic);
        let _ = publication.ack.send(Err(BrokerUnavailable));
    }

    /// Publishes nothing to the topics for which something was lost.
    async fn report_missed(&self, session: &mut RedisSession) -> Result<(), SessionEnd> {
        let lost = self
            .missed_topics
            .take_matching(|topic| self.slot_map.server_for(topic).as_ref() == Some(&self.server));
        for topics in lost.chunks(MAX_BATCH_PER_WRITE) {
            let nothing = topics.iter().map(|topic| Publication {
                topic: topic.clone(),
                payload: self.inbox.signer.sign(topic, &[]),
                ack: oneshot::channel().0,
            });
            if let Err(ended) = self.publish_batch(session, nothing.collect()).await {
                // Again in the next session, all of them: more often than needed does no harm.
                lost.into_iter()
                    .for_each(|topic| self.missed_topics.record(topic));
                return Err(ended);
            }
        }
        Ok(())
    }

    /// Subscribes and unsubscribes, in order, with one write for each run of the same kind.
    async fn apply_commands(
        &mut self,
        session: &mut RedisSession,
        commands: Vec<LinkCommand>,
    ) -> Result<(), SessionEnd> {
        // All of it first: what Redis does not take now is asked of it in the next session.
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
        self.reconnects.send_modify(|sessions| *sessions += 1);
        Ok(())
    }
}

type PendingCommands = std::iter::Peekable<std::vec::IntoIter<LinkCommand>>;

async fn subscribe_batch(
    session: &mut RedisSession,
    commands: &mut PendingCommands,
) -> Result<(), SessionEnd> {
    let (mut wanted, mut waiting) = (Vec::new(), Vec::new());
    while let Some(LinkCommand::Subscribe(topic, ready)) =
        commands.next_if(|command| matches!(command, LinkCommand::Subscribe(..)))
    {
        wanted.push(topic);
        waiting.push(ready);
    }
    let subscribed = session.subscribe(&wanted).await;
    for ready in waiting {
        ready.send_replace(true);
    }
    Ok(subscribed?)
}

async fn unsubscribe_batch(
    session: &mut RedisSession,
    commands: &mut PendingCommands,
) -> Result<(), SessionEnd> {
    let mut unwanted = Vec::new();
    while let Some(LinkCommand::Unsubscribe(topic)) =
        commands.next_if(|command| matches!(command, LinkCommand::Unsubscribe(_)))
    {
        unwanted.push(topic);
    }
    Ok(session.unsubscribe(&unwanted).await?)
}
