//! The links to all servers of Redis: one server, or each node of a cluster that has slots.
//!
//! The server that has the slot of a topic carries the topic. When the slot map changes, topics
//! move to other servers. Links to new servers start, and links to servers without slots end.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::body::Bytes;
use tokio::sync::{
    Notify,
    mpsc::{self, error::TrySendError},
    oneshot, watch,
};

use super::{
    super::CANARY_TOPIC_PREFIX,
    PublishResult, VerifiedInbox,
    connection_status::ConnectionStatus,
    link::{Link, LinkCommand},
    missed_topics::MissedTopics,
    session::{Publication, RedisConfig, ScriptClient},
    slot_map::{self, RedisServer, SlotMap, SlotRange},
};
use crate::{metrics::METRICS, supervisor::Supervisor};

/// The number of publications that may wait for a link.
const MAX_QUEUED_PUBLICATIONS: usize = 8192;

/// The names that are tried to find a topic for canaries on each server.
const MAX_CANARY_NAMES: u32 = 10_000;

/// All links of this node, and the topics that the links carry.
pub(super) struct RedisLinks {
    pub config: Arc<RedisConfig>,
    pub inbox: VerifiedInbox,
    pub status: ConnectionStatus,
    pub reconnects: watch::Sender<u64>,
    pub rediscover: Arc<Notify>,
    slot_map: Arc<SlotMap>,
    missed_topics: MissedTopics,
    links: HashMap<RedisServer, LinkHandle>,
    /// The topics that this node is subscribed to, each with the server that carries it.
    topics: HashMap<String, Option<RedisServer>>,
    supervisor: Supervisor,
}

/// The ends of a link's channels. The link ends when they are dropped.
struct LinkHandle {
    commands: mpsc::UnboundedSender<LinkCommand>,
    publications: mpsc::Sender<Publication>,
    script_client: watch::Receiver<Option<ScriptClient>>,
}

/// The immediate result of a publication.
pub(super) enum EnqueueResult {
    /// The publication waits for its link.
    Queued,
    /// No server carries the topic now.
    NoServer,
    /// The queue of the link is full.
    Full,
}

/// Locks the links. A panic of another holder does not poison them.
pub(super) fn lock_links(links: &Mutex<RedisLinks>) -> MutexGuard<'_, RedisLinks> {
    links.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RedisLinks {
    /// Creates the set without links. `apply_slot_ranges` starts them.
    pub fn new(
        config: Arc<RedisConfig>,
        inbox: VerifiedInbox,
        status: ConnectionStatus,
        reconnects: watch::Sender<u64>,
        supervisor: Supervisor,
    ) -> Self {
        Self {
            slot_map: Arc::new(SlotMap::new(config.clone())),
            config,
            inbox,
            status,
            reconnects,
            rediscover: Arc::default(),
            missed_topics: MissedTopics::default(),
            links: HashMap::new(),
            topics: HashMap::new(),
            supervisor,
        }
    }

    /// Returns the servers to which there are links.
    pub fn servers(&self) -> Vec<RedisServer> {
        self.links.keys().cloned().collect()
    }

    /// Subscribes to a topic. `ready` becomes `true` once the subscription is active.
    pub fn subscribe(&mut self, topic: &str, ready: watch::Sender<bool>) {
        let server = self.slot_map.server_for(topic);
        match self.link(server.as_ref()) {
            // A send can fail only after the link has ended.
            Some(link) => drop(
                link.commands
                    .send(LinkCommand::Subscribe(topic.to_owned(), ready)),
            ),
            // There is nothing to wait for, so the socket may open.
            None => drop(ready.send_replace(true)),
        }
        self.topics.insert(topic.to_owned(), server);
    }

    /// Ends the subscription to a topic.
    pub fn unsubscribe(&mut self, topic: &str) {
        let server = self.topics.remove(topic).flatten();
        if let Some(link) = self.link(server.as_ref()) {
            let _ = link
                .commands
                .send(LinkCommand::Unsubscribe(topic.to_owned()));
        }
    }

    /// Queues a publication for the link of its topic.
    ///
    /// If the publication cannot be queued, `ack` is dropped, which the caller notices.
    pub fn publish(
        &self,
        topic: &str,
        payload: Bytes,
        ack: oneshot::Sender<PublishResult>,
    ) -> EnqueueResult {
        let server = self.slot_map.server_for(topic);
        let Some(link) = self.link(server.as_ref()) else {
            METRICS.redis_publish_failures.inc();
            self.missed_topics.record(topic.to_owned());
            return EnqueueResult::NoServer;
        };
        let publication = Publication {
            topic: topic.to_owned(),
            payload,
            ack,
        };
        match link.publications.try_send(publication) {
            Ok(()) => EnqueueResult::Queued,
            Err(TrySendError::Full(publication) | TrySendError::Closed(publication)) => {
                METRICS.redis_publish_failures.inc();
                self.missed_topics.record(publication.topic);
                EnqueueResult::Full
            }
        }
    }

    /// Returns a topic for canaries on each server: the first name that has its slot there.
    pub fn canary_topics(&self) -> Vec<String> {
        let mut servers: HashSet<&RedisServer> = self.links.keys().collect();
        let names = (0..MAX_CANARY_NAMES).map(|n| format!("{CANARY_TOPIC_PREFIX}{n}"));
        let topics = names.filter(|name| {
            let server = self.slot_map.server_for(name);
            server.is_some_and(|server| servers.remove(&server))
        });
        topics.take(self.links.len()).collect()
    }

    /// Returns the client for scripts on the server that has the slot of a key, if that server is
    /// reachable.
    pub fn script_client(&self, key: &str) -> Option<ScriptClient> {
        let server = self.slot_map.server_for(key);
        self.link(server.as_ref())?.script_client.borrow().clone()
    }

    fn link(&self, server: Option<&RedisServer>) -> Option<&LinkHandle> {
        self.links.get(server?)
    }

    /// Applies a new slot map: moves topics, starts links and ends links.
    pub fn apply_slot_ranges(&mut self, ranges: Vec<SlotRange>) {
        let servers: HashSet<RedisServer> =
            ranges.iter().map(|range| range.server.clone()).collect();
        // Slots without a server count as one more server, which is not connected.
        let missing = usize::from(!slot_map::is_complete(&ranges));
        if !self.slot_map.replace(ranges) {
            return;
        }
        self.status.set_expected(servers.len() + missing);
        let mut moved = self.take_moved_topics();
        self.links.retain(|server, _| servers.contains(server));
        for server in servers {
            let topics = moved.remove(&server).unwrap_or_default();
            match self.links.get(&server) {
                Some(_) if topics.is_empty() => {}
                Some(link) => drop(link.commands.send(LinkCommand::Adopt(topics))),
                None => {
                    let link = self.start_link(server.clone(), topics);
                    self.links.insert(server, link);
                }
            }
        }
    }

    /// Unsubscribes from the topics that moved to another server. Returns the moved topics by their
    /// new server.
    ///
    /// Payloads from the old server may arrive later than payloads from the new server. Events have
    /// a seq, and the hub puts them in order.
    fn take_moved_topics(&mut self) -> HashMap<RedisServer, Vec<String>> {
        let mut moved: HashMap<RedisServer, Vec<String>> = HashMap::new();
        for (topic, current) in &mut self.topics {
            let server = self.slot_map.server_for(topic);
            if *current == server {
                continue;
            }
            if let Some(link) = current.as_ref().and_then(|server| self.links.get(server)) {
                let _ = link.commands.send(LinkCommand::Unsubscribe(topic.clone()));
            }
            if let Some(server) = &server {
                moved.entry(server.clone()).or_default().push(topic.clone());
            }
            *current = server;
        }
        moved
    }

    fn start_link(&self, server: RedisServer, topics: Vec<String>) -> LinkHandle {
        let (commands, link_commands) = mpsc::unbounded_channel();
        let (publications, link_publications) = mpsc::channel(MAX_QUEUED_PUBLICATIONS);
        let (link_script_client, script_client) = watch::channel(None);
        let link = Link {
            server,
            config: self.config.clone(),
            slot_map: self.slot_map.clone(),
            commands: link_commands,
            publications: link_publications,
            inbox: self.inbox.clone(),
            status: self.status.clone(),
            reconnects: self.reconnects.clone(),
            topics: topics.into_iter().collect(),
            missed_topics: self.missed_topics.clone(),
            rediscover: self.rediscover.clone(),
            script_client: link_script_client,
            has_warned_disconnected: false,
        };
        self.supervisor.spawn("Redis link", link.run());
        LinkHandle {
            commands,
            publications,
            script_client,
        }
    }
}
