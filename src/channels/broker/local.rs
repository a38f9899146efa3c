//! The broker of a single process: a bus in memory. An app has one node on it, tests have more.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::body::Bytes;
use tokio::sync::{mpsc, watch};

use super::{INBOX, Inbox, Subscribed};

#[derive(Clone, Default)]
pub struct Bus(Arc<Mutex<Vec<Node>>>);

struct Node {
    id: usize,
    topics: HashSet<String>,
    inbox: mpsc::Sender<(String, Bytes)>,
}

/// One node's end of a [`Bus`].
pub struct Local {
    bus: Bus,
    id: usize,
}

impl Bus {
    #[must_use]
    pub fn join(&self) -> (Local, Inbox) {
        let (sender, inbox) = mpsc::channel(INBOX);
        let mut nodes = self.nodes();
        let id = nodes.len();
        nodes.push(Node {
            id,
            topics: HashSet::new(),
            inbox: sender,
        });
        (
            Local {
                bus: self.clone(),
                id,
            },
            inbox,
        )
    }

    fn nodes(&self) -> MutexGuard<'_, Vec<Node>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Local {
    pub fn subscribe(&self, topic: &str) -> Subscribed {
        self.with_topics(|topics| topics.insert(topic.to_owned()));
        Subscribed(watch::channel(true).1)
    }

    pub fn unsubscribe(&self, topic: &str) {
        self.with_topics(|topics| topics.remove(topic));
    }

    pub fn publish(&self, topic: &str, payload: &Bytes) {
        for node in self.bus.nodes().iter() {
            if node.id != self.id && node.topics.contains(topic) {
                let sent = node.inbox.try_send((topic.to_owned(), payload.clone()));
                if sent.is_err() {
                    tracing::warn!(topic, "a node of the local bus does not keep up");
                }
            }
        }
    }

    fn with_topics(&self, change: impl FnOnce(&mut HashSet<String>) -> bool) {
        if let Some(node) = self.bus.nodes().iter_mut().find(|node| node.id == self.id) {
            change(&mut node.topics);
        }
    }
}
