//! The links to all servers of Redis: one, or one for each node of a cluster that has slots.
//!
//! Each topic is at home at the server that has its slot. When the map changes, topics move, links
//! to new servers begin and those to servers without slots end.

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
    PublishResult, VerifiedInbox,
    connection_status::ConnectionStatus,
    link::{Link, LinkCommand},
    missed_topics::MissedTopics,
    session::{Publication, RedisConfig, ScriptClient},
    slot_map::{self, RedisServer, SlotMap, SlotRange},
};
use crate::supervisor::Supervisor;

/// Publications that may wait for a link.
const MAX_QUEUED_PUBLICATIONS: usize = 8192;

pub(super) struct RedisLinks {
    pub config: Arc<RedisConfig>,
    pub inbox: VerifiedInbox,
    pub status: ConnectionStatus,
    pub reconnects: watch::Sender<u64>,
    pub rediscover: Arc<Notify>,
    slot_map: Arc<SlotMap>,
    missed_topics: MissedTopics,
    links: HashMap<RedisServer, LinkHandle>,
    /// What this node wants to hear, and where that is.
    topics: HashMap<String, Option<RedisServer>>,
    supervisor: Supervisor,
}

/// The ends of a link that are held here. It ends with them.
struct LinkHandle {
    commands: mpsc::UnboundedSender<LinkCommand>,
    publications: mpsc::Sender<Publication>,
    script_client: watch::Receiver<Option<ScriptClient>>,
}

/// What became of a publication at once.
pub(super) enum EnqueueResult {
    Queued,
    /// Nothing carries the topic now.
    NoServer,
    /// Too much waits already.
    Full,
}

pub(super) fn lock_links(shards: &Mutex<RedisLinks>) -> MutexGuard<'_, RedisLinks> {
    shards.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RedisLinks {
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

    pub fn servers(&self) -> Vec<RedisServer> {
        self.links.keys().cloned().collect()
    }

    pub fn subscribe(&mut self, topic: &str, ready: watch::Sender<bool>) {
        let place = self.slot_map.server_for(topic);
        match self.link(place.as_ref()) {
            // The link ends with this alone.
            Some(link) => drop(
                link.commands
                    .send(LinkCommand::Subscribe(topic.to_owned(), ready)),
            ),
            // Nothing to wait for: the socket may open.
            None => drop(ready.send_replace(true)),
        }
        self.topics.insert(topic.to_owned(), place);
    }

    pub fn unsubscribe(&mut self, topic: &str) {
        let place = self.topics.remove(topic).flatten();
        if let Some(link) = self.link(place.as_ref()) {
            let _ = link
                .commands
                .send(LinkCommand::Unsubscribe(topic.to_owned()));
        }
    }

    /// What is not taken is dropped with its `ack`, which tells the caller.
    pub fn publish(
        &self,
        topic: &str,
        payload: Bytes,
        ack: oneshot::Sender<PublishResult>,
    ) -> EnqueueResult {
        let place = self.slot_map.server_for(topic);
        let Some(link) = self.link(place.as_ref()) else {
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
                self.missed_topics.record(publication.topic);
                EnqueueResult::Full
            }
        }
    }

    /// Who can ask the server of a key, if it is in reach.
    pub fn script_client(&self, key: &str) -> Option<ScriptClient> {
        let place = self.slot_map.server_for(key);
        self.link(place.as_ref())?.script_client.borrow().clone()
    }

    fn link(&self, place: Option<&RedisServer>) -> Option<&LinkHandle> {
        self.links.get(place?)
    }

    /// Goes by another map.
    pub fn apply_slot_ranges(&mut self, ranges: Vec<SlotRange>) {
        let places: HashSet<RedisServer> =
            ranges.iter().map(|range| range.server.clone()).collect();
        // What is nowhere counts as one more server, which is away.
        let nowhere = usize::from(!slot_map::is_complete(&ranges));
        if !self.slot_map.replace(ranges) {
            return;
        }
        self.status.set_expected(places.len() + nowhere);
        let mut moved = self.take_moved_topics();
        self.links.retain(|place, _| places.contains(place));
        for place in places {
            let topics = moved.remove(&place).unwrap_or_default();
            match self.links.get(&place) {
                Some(_) if topics.is_empty() => {}
                Some(link) => drop(link.commands.send(LinkCommand::Adopt(topics))),
                None => {
                    let link = self.start_link(place.clone(), topics);
                    self.links.insert(place, link);
                }
            }
        }
    }

    /// Takes the topics that the map has at another place now from where they were. What is still
    /// under way from there may come later than what comes from the new place: what is stored has
    /// its number, and the hub puts it in order.
    fn take_moved_topics(&mut self) -> HashMap<RedisServer, Vec<String>> {
        let mut moved: HashMap<RedisServer, Vec<String>> = HashMap::new();
        for (topic, home) in &mut self.topics {
            let place = self.slot_map.server_for(topic);
            if *home == place {
                continue;
            }
            if let Some(link) = home.as_ref().and_then(|home| self.links.get(home)) {
                let _ = link.commands.send(LinkCommand::Unsubscribe(topic.clone()));
            }
            if let Some(place) = &place {
                moved.entry(place.clone()).or_default().push(topic.clone());
            }
            *home = place;
        }
        moved
    }

    fn start_link(&self, place: RedisServer, topics: Vec<String>) -> LinkHandle {
        let (commands, link_commands) = mpsc::unbounded_channel();
        let (publications, link_publications) = mpsc::channel(MAX_QUEUED_PUBLICATIONS);
        let (link_caller, caller) = watch::channel(None);
        let link = Link {
            server: place,
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
            script_client: link_caller,
            has_warned_disconnected: false,
        };
        self.supervisor.spawn("Redis link", link.run());
        LinkHandle {
            commands,
            publications,
            script_client: caller,
        }
    }
}
