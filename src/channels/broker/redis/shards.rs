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
    Outcome, SealedInbox,
    link::{Command, Link},
    map::{self, Map, Place, Range},
    reach::Reach,
    session::{Access, Caller, Publication},
    unheard::Unheard,
};
use crate::supervisor::Supervisor;

/// Publications that may wait for a link.
const PUBLICATIONS: usize = 8192;

pub(super) struct Shards {
    pub access: Arc<Access>,
    pub inbox: SealedInbox,
    pub reach: Reach,
    pub sessions: watch::Sender<u64>,
    pub alarm: Arc<Notify>,
    map: Arc<Map>,
    unheard: Unheard,
    links: HashMap<Place, Ends>,
    /// What this node wants to hear, and where that is.
    topics: HashMap<String, Option<Place>>,
    supervisor: Supervisor,
}

/// The ends of a link that are held here. It ends with them.
struct Ends {
    commands: mpsc::UnboundedSender<Command>,
    publications: mpsc::Sender<Publication>,
    caller: watch::Receiver<Option<Caller>>,
}

/// What became of a publication at once.
pub(super) enum Put {
    Taken,
    /// Nothing carries the topic now.
    Nowhere,
    /// Too much waits already.
    Full,
}

pub(super) fn lock(shards: &Mutex<Shards>) -> MutexGuard<'_, Shards> {
    shards.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shards {
    pub fn new(
        access: Arc<Access>,
        inbox: SealedInbox,
        reach: Reach,
        sessions: watch::Sender<u64>,
        supervisor: Supervisor,
    ) -> Self {
        Self {
            map: Arc::new(Map::new(access.clone())),
            access,
            inbox,
            reach,
            sessions,
            alarm: Arc::default(),
            unheard: Unheard::default(),
            links: HashMap::new(),
            topics: HashMap::new(),
            supervisor,
        }
    }

    pub fn places(&self) -> Vec<Place> {
        self.links.keys().cloned().collect()
    }

    pub fn subscribe(&mut self, topic: &str, ready: watch::Sender<bool>) {
        let place = self.map.place_of(topic);
        match self.link(place.as_ref()) {
            // The link ends with this alone.
            Some(link) => drop(
                link.commands
                    .send(Command::Subscribe(topic.to_owned(), ready)),
            ),
            // Nothing to wait for: the socket may open.
            None => drop(ready.send_replace(true)),
        }
        self.topics.insert(topic.to_owned(), place);
    }

    pub fn unsubscribe(&mut self, topic: &str) {
        let place = self.topics.remove(topic).flatten();
        if let Some(link) = self.link(place.as_ref()) {
            let _ = link.commands.send(Command::Unsubscribe(topic.to_owned()));
        }
    }

    /// What is not taken is dropped with its `ack`, which tells the caller.
    pub fn publish(&self, topic: &str, payload: Bytes, ack: oneshot::Sender<Outcome>) -> Put {
        let place = self.map.place_of(topic);
        let Some(link) = self.link(place.as_ref()) else {
            self.unheard.note(topic.to_owned());
            return Put::Nowhere;
        };
        let publication = Publication {
            topic: topic.to_owned(),
            payload,
            ack,
        };
        match link.publications.try_send(publication) {
            Ok(()) => Put::Taken,
            Err(TrySendError::Full(publication) | TrySendError::Closed(publication)) => {
                self.unheard.note(publication.topic);
                Put::Full
            }
        }
    }

    /// Who can ask the server of a key, if it is in reach.
    pub fn caller(&self, key: &str) -> Option<Caller> {
        let place = self.map.place_of(key);
        self.link(place.as_ref())?.caller.borrow().clone()
    }

    fn link(&self, place: Option<&Place>) -> Option<&Ends> {
        self.links.get(place?)
    }

    /// Goes by another map.
    pub fn rearrange(&mut self, ranges: Vec<Range>) {
        let places: HashSet<Place> = ranges.iter().map(|range| range.place.clone()).collect();
        // What is nowhere counts as one more server, which is away.
        let nowhere = usize::from(!map::is_whole(&ranges));
        if !self.map.set(ranges) {
            return;
        }
        self.reach.want(places.len() + nowhere);
        let mut moved = self.moved();
        self.links.retain(|place, _| places.contains(place));
        for place in places {
            let topics = moved.remove(&place).unwrap_or_default();
            match self.links.get(&place) {
                Some(_) if topics.is_empty() => {}
                Some(link) => drop(link.commands.send(Command::Adopt(topics))),
                None => {
                    let link = self.begin(place.clone(), topics);
                    self.links.insert(place, link);
                }
            }
        }
    }

    /// Takes the topics that the map has at another place now from where they were. What is still
    /// under way from there may come later than what comes from the new place: what is stored has
    /// its number, and the hub puts it in order.
    fn moved(&mut self) -> HashMap<Place, Vec<String>> {
        let mut moved: HashMap<Place, Vec<String>> = HashMap::new();
        for (topic, home) in &mut self.topics {
            let place = self.map.place_of(topic);
            if *home == place {
                continue;
            }
            if let Some(link) = home.as_ref().and_then(|home| self.links.get(home)) {
                let _ = link.commands.send(Command::Unsubscribe(topic.clone()));
            }
            if let Some(place) = &place {
                moved.entry(place.clone()).or_default().push(topic.clone());
            }
            *home = place;
        }
        moved
    }

    fn begin(&self, place: Place, topics: Vec<String>) -> Ends {
        let (commands, link_commands) = mpsc::unbounded_channel();
        let (publications, link_publications) = mpsc::channel(PUBLICATIONS);
        let (link_caller, caller) = watch::channel(None);
        let link = Link {
            place,
            access: self.access.clone(),
            map: self.map.clone(),
            commands: link_commands,
            publications: link_publications,
            inbox: self.inbox.clone(),
            reach: self.reach.clone(),
            sessions: self.sessions.clone(),
            topics: topics.into_iter().collect(),
            unheard: self.unheard.clone(),
            alarm: self.alarm.clone(),
            caller: link_caller,
            said_away: false,
        };
        self.supervisor.spawn("Redis link", link.run());
        Ends {
            commands,
            publications,
            caller,
        }
    }
}
