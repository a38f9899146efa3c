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
    SealedInbox, Unavailable,
    map::{Map, Place},
    reach::Reach,
    session::{Access, Caller, Publication, Pushed, Session},
    unheard::Unheard,
};

/// Finds a connection that is open and silent: PUBLISH alone may not.
const PING_EVERY: Duration = Duration::from_secs(1);

pub(super) const RETRY_FIRST: Duration = Duration::from_millis(100);
pub(super) const RETRY_MAX: Duration = Duration::from_secs(2);

/// A connection that lasted this long was a good one: the next is tried for at once.
const LASTING: Duration = Duration::from_secs(5);

/// Publications or subscriptions that go out in one write.
const BATCH: usize = 256;

pub(super) enum Command {
    /// The sender is told when the subscription stands, or need not be waited for.
    Subscribe(String, watch::Sender<bool>),
    Unsubscribe(String),
    /// Topics that another server carried until now, so that some of theirs may be lost.
    Adopt(Vec<String>),
}

pub(super) struct Link {
    pub place: Place,
    pub access: Arc<Access>,
    pub map: Arc<Map>,
    pub commands: mpsc::UnboundedReceiver<Command>,
    pub publications: mpsc::Receiver<Publication>,
    pub inbox: SealedInbox,
    pub reach: Reach,
    pub sessions: watch::Sender<u64>,
    /// What this node wants to hear from here, whether Redis is there or not.
    pub topics: HashSet<String>,
    pub unheard: Unheard,
    /// Rung when the map may be wrong.
    pub alarm: Arc<Notify>,
    /// Who can ask the server, while it is in reach.
    pub caller: watch::Sender<Option<Caller>>,
    /// Whether it was said that Redis is away, so that it is said once.
    pub said_away: bool,
}

/// What ends a session with Redis.
enum Ended {
    Lost(String),
    /// Nothing is wanted of this server any more.
    Closed,
}

impl<E: std::error::Error> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Lost(error.to_string())
    }
}

impl Link {
    /// Connects, now or when Redis comes, and again whenever it was lost, until nothing is wanted
    /// of this server any more.
    pub async fn run(mut self) {
        self.keep().await;
        // Those that came too late to go this way.
        while let Ok(publication) = self.publications.try_recv() {
            self.lost(publication);
        }
    }

    async fn keep(&mut self) {
        let mut delay = RETRY_FIRST;
        loop {
            let reason = match self
                .while_away(Session::connect(self.access.clone(), self.place.clone()))
                .await
            {
                None => return,
                Some(Err(error)) => error.to_string(),
                Some(Ok(session)) => {
                    let begin = Instant::now();
                    let ended = self.serve(session).await;
                    if begin.elapsed() > LASTING {
                        delay = RETRY_FIRST;
                    }
                    match ended {
                        Ended::Closed => return,
                        Ended::Lost(reason) => reason,
                    }
                }
            };
            self.alarm.notify_one();
            if !self.said_away {
                self.said_away = true;
                tracing::warn!(
                    reason,
                    server = %self.place,
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
    /// `None` when nothing is wanted of this server any more.
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
                    Command::Adopt(topics) => self.topics.extend(topics),
                },
                publication = self.publications.recv() => self.lost(publication?),
            }
        }
    }

    /// Carries payloads both ways until the connection is lost.
    async fn serve(&mut self, session: Session) -> Ended {
        let ended = self.carry(session).await;
        self.caller.send_replace(None);
        match ended {
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
        let _up = self.reach.up();
        self.caller.send_replace(Some(session.caller()));
        self.sessions.send_modify(|sessions| *sessions += 1);
        tracing::info!(topics = topics.len(), server = %self.place, "Redis is connected");

        self.tell_unheard(&mut session).await?;
        let mut pulse = interval(PING_EVERY);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut publications = Vec::new();
        let mut commands = Vec::with_capacity(BATCH);
        loop {
            select! {
                pushed = session.next() => match pushed {
                    Pushed::Message(topic, payload) => self.inbox.deliver(topic, &payload).await,
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
        let taken = published.as_deref().unwrap_or_default().iter();
        let taken = taken.copied().chain(std::iter::repeat(false));
        for (publication, taken) in publications.into_iter().zip(taken) {
            if taken {
                // Whoever published does not always wait to hear it.
                let _ = publication.ack.send(Ok(()));
            } else {
                self.lost(publication);
            }
        }
        if published?.contains(&false) {
            self.alarm.notify_one();
        }
        Ok(())
    }

    fn lost(&self, publication: Publication) {
        self.unheard.note(publication.topic);
        let _ = publication.ack.send(Err(Unavailable));
    }

    /// Publishes nothing to the topics for which something was lost.
    async fn tell_unheard(&self, session: &mut Session) -> Result<(), Ended> {
        let lost = self
            .unheard
            .take(|topic| self.map.place_of(topic).as_ref() == Some(&self.place));
        for topics in lost.chunks(BATCH) {
            let nothing = topics.iter().map(|topic| Publication {
                topic: topic.clone(),
                payload: self.inbox.seal.seal(topic, &[]),
                ack: oneshot::channel().0,
            });
            if let Err(ended) = self.publish(session, nothing.collect()).await {
                // Again in the next session, all of them: more often than needed does no harm.
                lost.into_iter().for_each(|topic| self.unheard.note(topic));
                return Err(ended);
            }
        }
        Ok(())
    }

    /// Subscribes and unsubscribes, in order, with one write for each run of the same kind.
    async fn apply(&mut self, session: &mut Session, commands: Vec<Command>) -> Result<(), Ended> {
        // All of it first: what Redis does not take now is asked of it in the next session.
        for command in &commands {
            match command {
                Command::Subscribe(topic, _) => drop(self.topics.insert(topic.clone())),
                Command::Unsubscribe(topic) => drop(self.topics.remove(topic)),
                Command::Adopt(topics) => self.topics.extend(topics.iter().cloned()),
            }
        }
        let mut commands = commands.into_iter().peekable();
        while let Some(command) = commands.peek() {
            match command {
                Command::Subscribe(..) => subscribe(session, &mut commands).await?,
                Command::Unsubscribe(_) => unsubscribe(session, &mut commands).await?,
                Command::Adopt(_) => self.adopt(session, &mut commands).await?,
            }
        }
        Ok(())
    }

    async fn adopt(&self, session: &mut Session, commands: &mut Commands) -> Result<(), Ended> {
        while let Some(Command::Adopt(topics)) =
            commands.next_if(|command| matches!(command, Command::Adopt(_)))
        {
            for topics in topics.chunks(BATCH) {
                session.subscribe(topics).await?;
            }
        }
        self.sessions.send_modify(|sessions| *sessions += 1);
        Ok(())
    }
}

type Commands = std::iter::Peekable<std::vec::IntoIter<Command>>;

async fn subscribe(session: &mut Session, commands: &mut Commands) -> Result<(), Ended> {
    let (mut wanted, mut waiting) = (Vec::new(), Vec::new());
    while let Some(Command::Subscribe(topic, ready)) =
        commands.next_if(|command| matches!(command, Command::Subscribe(..)))
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

async fn unsubscribe(session: &mut Session, commands: &mut Commands) -> Result<(), Ended> {
    let mut unwanted = Vec::new();
    while let Some(Command::Unsubscribe(topic)) =
        commands.next_if(|command| matches!(command, Command::Unsubscribe(_)))
    {
        unwanted.push(topic);
    }
    Ok(session.unsubscribe(&unwanted).await?)
}
