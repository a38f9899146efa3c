//! The task that owns the connection to Redis.
//!
//! It knows which topics are wanted, so whenever it reaches Redis again it subscribes to all of
//! them. What is published while it cannot reach Redis is refused at once and never queued.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use tokio::{
    select,
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{
    Unavailable,
    session::{Address, Publication, Pushed, Session},
};

/// Finds a connection that is open and silent: PUBLISH alone may not.
const PING_EVERY: Duration = Duration::from_secs(1);

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// A connection that lasted this long was a good one: the next is tried for at once.
const LASTING: Duration = Duration::from_secs(5);

/// Topics that are remembered because a payload for them was lost.
const MANY: usize = 10_000;

/// Publications or subscriptions that go out in one write.
const BATCH: usize = 256;

pub(super) enum Command {
    /// The sender is told when the subscription stands, or need not be waited for.
    Subscribe(String, watch::Sender<bool>),
    Unsubscribe(String),
}

pub(super) struct Link {
    pub address: Arc<Address>,
    pub commands: mpsc::UnboundedReceiver<Command>,
    pub publications: mpsc::Receiver<Publication>,
    pub inbox: mpsc::Sender<(String, Bytes)>,
    pub connected: watch::Sender<bool>,
    pub sessions: watch::Sender<u64>,
    /// What this node wants to hear, whether Redis is there or not.
    pub topics: HashSet<String>,
    /// Topics for which a payload was lost.
    pub unheard: Unheard,
    /// Whether it was said that Redis is away, so that it is said once.
    pub said_away: bool,
}

/// Topics for which a payload of this node was lost. Their other nodes are told so as soon as Redis
/// takes anything, and look for themselves.
#[derive(Clone, Default)]
pub(super) struct Unheard(Arc<Mutex<HashSet<String>>>);

impl Unheard {
    pub fn note(&self, topic: String) {
        let mut topics = self.topics();
        // With more than these the sweep of the other nodes is as good.
        if topics.len() < MANY {
            topics.insert(topic);
        }
    }

    fn take(&self) -> Vec<String> {
        self.topics().drain().collect()
    }

    fn topics(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What ends a session with Redis.
enum Ended {
    Lost(String),
    /// Nobody on this node holds the broker any more.
    Closed,
}

impl<E: std::error::Error> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Lost(error.to_string())
    }
}

impl Link {
    /// Connects, now or when Redis comes, and again whenever it was lost.
    pub async fn run(mut self) {
        let mut delay = RETRY_FIRST;
        loop {
            let reason = match self
                .while_away(Session::connect(self.address.clone()))
                .await
            {
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
                    "Redis is out of reach: sockets stay, and messages cross nodes by the database, \
                     seconds late; trying again until it is back"
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
                publication = self.publications.recv() => self.lost(publication?),
            }
        }
    }

    /// Carries payloads both ways until the connection is lost.
    async fn serve(&mut self, session: Session) -> Ended {
        match self.carry(session).await {
            Ok(ended) | Err(ended) => ended,
        }
    }

    async fn carry(&mut self, mut session: Session) -> Result<Ended, Ended> {
        let topics: Vec<String> = self.topics.iter().cloned().collect();
        for topics in topics.chunks(BATCH) {
            session.subscribe(topics).await?;
        }
        // A Redis that is still loading its data takes the above and refuses this.
        session.ping().await?;
        self.said_away = false;
        self.connected.send_replace(true);
        self.sessions.send_modify(|sessions| *sessions += 1);
        tracing::info!(topics = topics.len(), "Redis is connected");

        self.tell_unheard(&mut session).await?;
        let mut pulse = interval(PING_EVERY);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut publications = Vec::new();
        let mut commands = Vec::with_capacity(BATCH);
        loop {
            select! {
                pushed = session.next() => match pushed {
                    // The inbox is gone only where nobody wants to hear anything.
                    Pushed::Message(topic, payload) => drop(self.inbox.send((topic, payload)).await),
                    Pushed::Nothing => {}
                    Pushed::Lost(reason) => return Ok(Ended::Lost(reason.to_owned())),
                },
                count = self.publications.recv_many(&mut publications, BATCH) => {
                    if count == 0 {
                        return Ok(Ended::Closed);
                    }
                    self.publish(&mut session, std::mem::take(&mut publications)).await?;
                }
                count = self.commands.recv_many(&mut commands, BATCH) => {
                    if count == 0 {
                        return Ok(Ended::Closed);
                    }
                    self.apply(&mut session, std::mem::take(&mut commands)).await?;
                }
                _ = pulse.tick() => {
                    session.ping().await?;
                    self.tell_unheard(&mut session).await?;
                }
            }
        }
    }

    async fn publish(
        &self,
        session: &mut Session,
        publications: Vec<Publication>,
    ) -> Result<(), Ended> {
        let published = session.publish(&publications).await;
        for publication in publications {
            match published {
                // Whoever published does not always wait to hear it.
                Ok(true) => drop(publication.ack.send(Ok(()))),
                _ => self.lost(publication),
            }
        }
        published?;
        Ok(())
    }

    fn lost(&self, publication: Publication) {
        self.unheard.note(publication.topic);
        let _ = publication.ack.send(Err(Unavailable));
    }

    /// Publishes nothing to the topics for which something was lost.
    async fn tell_unheard(&self, session: &mut Session) -> Result<(), Ended> {
        let lost = self.unheard.take();
        for topics in lost.chunks(BATCH) {
            let nothing = topics.iter().map(|topic| Publication {
                topic: topic.clone(),
                payload: Bytes::new(),
                ack: oneshot::channel().0,
            });
            let nothing: Vec<_> = nothing.collect();
            if let Err(error) = session.publish(&nothing).await {
                // Again in the next session, all of them: more often than needed does no harm.
                lost.into_iter().for_each(|topic| self.unheard.note(topic));
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Subscribes and unsubscribes, in order, with one command for each run of the same kind.
    async fn apply(&mut self, session: &mut Session, commands: Vec<Command>) -> Result<(), Ended> {
        // All of it first: what Redis does not take now is asked of it in the next session.
        for command in &commands {
            match command {
                Command::Subscribe(topic, _) => self.topics.insert(topic.clone()),
                Command::Unsubscribe(topic) => self.topics.remove(topic),
            };
        }
        let mut commands = commands.into_iter().peekable();
        while commands.peek().is_some() {
            let mut wanted = Vec::new();
            let mut waiting = Vec::new();
            while let Some(Command::Subscribe(topic, ready)) =
                commands.next_if(|command| matches!(command, Command::Subscribe(..)))
            {
                wanted.push(topic);
                waiting.push(ready);
            }
            let mut unwanted = Vec::new();
            while let Some(Command::Unsubscribe(topic)) =
                commands.next_if(|command| matches!(command, Command::Unsubscribe(_)))
            {
                unwanted.push(topic);
            }
            if !wanted.is_empty() {
                let subscribed = session.subscribe(&wanted).await;
                for ready in waiting {
                    ready.send_replace(true);
                }
                subscribed?;
            }
            if !unwanted.is_empty() {
                session.unsubscribe(&unwanted).await?;
            }
        }
        Ok(())
    }
}
