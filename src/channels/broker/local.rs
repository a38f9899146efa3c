//! The broker of a node without Redis: a bus in memory.
//!
//! A server is the only node on its bus. Tests put several nodes on one bus, all in one process.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::body::Bytes;
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    watch,
};

use super::{INBOX_CAPACITY, Inbox, SubscriptionReady};

/// A bus in memory that connects nodes. Clones share the bus.
#[derive(Clone, Default)]
pub struct LocalBus(Arc<Mutex<Vec<BusNode>>>);

struct BusNode {
    id: usize,
    topics: HashSet<String>,
    inbox_sender: mpsc::Sender<(String, Bytes)>,
}

/// The connection of one node to a [`LocalBus`].
pub struct LocalBroker {
    bus: LocalBus,
    id: usize,
    inbox_sender: mpsc::Sender<(String, Bytes)>,
}

impl LocalBus {
    /// Adds a node to the bus. Returns the node's broker and its inbox.
    #[must_use]
    pub fn join(&self) -> (LocalBroker, Inbox) {
        let (sender, inbox) = mpsc::channel(INBOX_CAPACITY);
        let mut nodes = self.lock_nodes();
        let id = nodes.len();
        nodes.push(BusNode {
            id,
            topics: HashSet::new(),
            inbox_sender: sender.clone(),
        });
        (
            LocalBroker {
                bus: self.clone(),
                id,
                inbox_sender: sender,
            },
            inbox,
        )
    }

    fn lock_nodes(&self) -> MutexGuard<'_, Vec<BusNode>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LocalBroker {
    /// The sender to the inbox of this node.
    pub const fn inbox(&self) -> &mpsc::Sender<(String, Bytes)> {
        &self.inbox_sender
    }

    /// Subscribes this node to a topic, at once.
    pub fn subscribe(&self, topic: &str) -> SubscriptionReady {
        self.update_topics(|topics| {
            topics.insert(topic.to_owned());
        });
        // The sender is dropped, and the value stays `true`.
        SubscriptionReady(watch::channel(true).1)
    }

    /// Ends this node's subscription to a topic.
    pub fn unsubscribe(&self, topic: &str) {
        self.update_topics(|topics| {
            topics.remove(topic);
        });
    }

    /// Delivers a payload to the inboxes of all other nodes that are subscribed to the topic.
    ///
    /// A node whose inbox is full loses the payload.
    pub fn publish(&self, topic: &str, payload: &Bytes) {
        for node in self.bus.lock_nodes().iter() {
            if node.id != self.id && node.topics.contains(topic) {
                let sent = node
                    .inbox_sender
                    .try_send((topic.to_owned(), payload.clone()));
                // A closed inbox belongs to a node that was dropped.
                if matches!(sent, Err(TrySendError::Full(_))) {
                    tracing::warn!(topic, "local bus: inbox of a node is full, payload dropped");
                }
            }
        }
    }

    fn update_topics(&self, change: impl FnOnce(&mut HashSet<String>)) {
        if let Some(node) = self
            .bus
            .lock_nodes()
            .iter_mut()
            .find(|node| node.id == self.id)
        {
            change(&mut node.topics);
        }
    }
}
