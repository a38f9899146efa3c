//! The broker of several nodes: Redis pub/sub. This is the hub's end of it; behind it the [`link`]
//! keeps a [`session`] with Redis.

mod link;
mod session;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot, watch,
    },
    time::timeout,
};
use url::Url;

use self::{
    link::{Command, Link, Unheard},
    session::{Address, Publication},
};
use super::{INBOX, Inbox, Subscribed, Unavailable};

/// Publications that may wait for the link.
const PUBLICATIONS: usize = 8192;

/// This node's end of Redis.
pub struct Redis {
    commands: mpsc::UnboundedSender<Command>,
    publications: mpsc::Sender<Publication>,
    connected: watch::Receiver<bool>,
    sessions: watch::Receiver<u64>,
    unheard: Unheard,
    /// Whether it was said that publications are dropped, so that it is said once.
    said_full: AtomicBool,
}

impl Redis {
    /// Starts the link. It connects by itself, now or when Redis comes.
    #[must_use]
    pub fn open(url: &Url, prefix: &str) -> (Self, Inbox) {
        let (commands, link_commands) = mpsc::unbounded_channel();
        let (publications, link_publications) = mpsc::channel(PUBLICATIONS);
        let (link_inbox, inbox) = mpsc::channel(INBOX);
        let (link_connected, connected) = watch::channel(false);
        let (link_sessions, sessions) = watch::channel(0);
        let unheard = Unheard::default();
        let link = Link {
            address: Arc::new(Address::new(url.clone(), prefix)),
            commands: link_commands,
            publications: link_publications,
            inbox: link_inbox,
            connected: link_connected,
            sessions: link_sessions,
            topics: HashSet::new(),
            unheard: unheard.clone(),
            said_away: false,
        };
        tokio::spawn(link.run());
        let said_full = AtomicBool::new(false);
        (
            Self {
                commands,
                publications,
                connected,
                sessions,
                unheard,
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
        match self.publications.try_send(publication) {
            Ok(()) => self.said_full.store(false, Ordering::Relaxed),
            Err(TrySendError::Full(publication) | TrySendError::Closed(publication)) => {
                self.unheard.note(publication.topic);
                if !self.said_full.swap(true, Ordering::Relaxed) {
                    tracing::warn!("Redis does not keep up: messages come late to other nodes");
                }
            }
        }
        outcome
    }

    #[must_use]
    pub fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    #[must_use]
    pub fn sessions(&self) -> watch::Receiver<u64> {
        self.sessions.clone()
    }

    pub async fn connected(&self, limit: Duration) -> Result<(), Unavailable> {
        let mut connected = self.connected.clone();
        match timeout(limit, connected.wait_for(|connected| *connected)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Unavailable),
        }
    }
}
