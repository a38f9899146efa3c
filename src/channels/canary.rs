//! The canary: a message that goes the way of every message, and shows whether messages flow.
//!
//! Every 5 s (`settings.metrics.canary_every`), each node commits over the connection of its writer, in turn with the
//! commands. The node then publishes a canary to topics to which all nodes are subscribed, one on each server of Redis.
//! The node also puts a canary into its own inbox. Each node records the arrival of the canaries of all nodes, and of its
//! own canaries. So the node notices a dead subscription while all connections are open, a stuck writer, and a stuck
//! inbox. Canaries are not events, so the logs of groups do not grow.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use super::{
    broker::{Broker, ECHO_TOPIC},
    protocol::node_message::NodeMessage,
};
use crate::{database::clock, health::Fault, settings::Settings};

/// A canary is missing after this many times the time between two canaries, and this slack.
const MAX_AGE_FACTOR: u32 = 2;
const MAX_AGE_SLACK: Duration = Duration::from_secs(1);

/// The time that a canary may wait in the inbox. After this time, the process counts as stalled.
const MAX_INBOX_DELAY: Duration = Duration::from_secs(30);

/// The time for which a node counts as silent after its last canary. Later it is forgotten.
const PEER_MEMORY: Duration = Duration::from_secs(300);

/// Sends the canaries of this node, and records the canaries that arrive.
pub(super) struct CanaryWatch {
    broker: Arc<Broker>,
    /// The id of this node among the nodes.
    node_id: Box<str>,
    node_name: Box<str>,
    /// The time between two canaries.
    every: Duration,
    state: Mutex<CanaryState>,
}

struct CanaryState {
    /// The time at which this node put its last canary into its own inbox.
    echo_sent_at: Option<Instant>,
    /// The last canary that arrived by the inbox alone.
    echo: Expected,
    /// The last own canary on each topic of the broker.
    topics: HashMap<String, Expected>,
    /// The other nodes, by id.
    peers: HashMap<String, Peer>,
}

/// The arrival of a canary.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    at: Instant,
    /// The time since the canary's commit began.
    delay: Duration,
}

/// Canaries that a node expects on one way.
#[derive(Debug, Clone, Copy)]
struct Expected {
    /// The time since which the node expects canaries.
    since: Instant,
    /// The last arrival.
    last: Option<Arrival>,
}

impl Expected {
    fn from_now() -> Self {
        Self {
            since: Instant::now(),
            last: None,
        }
    }

    /// The time since the last arrival, or since a canary is expected.
    fn age(&self) -> Duration {
        self.last.map_or(self.since, |last| last.at).elapsed()
    }
}

struct Peer {
    name: String,
    /// The last arrival on each topic.
    topics: HashMap<String, Arrival>,
    first_seen_at: Instant,
}

/// The canaries of one node as this node sees them.
#[derive(Debug, Clone, PartialEq)]
pub struct CanaryReport {
    pub name: String,
    pub id: String,
    /// The time since the last canary arrived, or since this node waits for the first one.
    pub age: Duration,
    /// The time from the start of the last canary's commit to its arrival. `None` before the first canary.
    pub delay: Option<Duration>,
    /// `true` if a canary is missing.
    pub is_silent: bool,
}

impl CanaryWatch {
    /// A watch that waits for its first canary from now on.
    pub fn new(broker: Arc<Broker>, node_id: &str, settings: &Settings) -> Self {
        Self {
            broker,
            node_id: node_id.into(),
            node_name: settings.node_name.as_str().into(),
            every: Duration::from_secs(settings.metrics.canary_every.into()),
            state: Mutex::new(CanaryState {
                echo_sent_at: None,
                echo: Expected::from_now(),
                topics: HashMap::new(),
                peers: HashMap::new(),
            }),
        }
    }

    /// The time between two canaries.
    pub const fn every(&self) -> Duration {
        self.every
    }

    /// Subscribes to the topics of canaries. A cluster of Redis may have other servers now.
    pub fn follow_topics(&self) {
        let topics: HashSet<String> = self.broker.canary_topics().into_iter().collect();
        // Only one task calls this, so the topics do not change in the meantime.
        let known: HashSet<String> = self.state().topics.keys().cloned().collect();
        for ended in known.difference(&topics) {
            self.broker.unsubscribe(ended);
            self.state().topics.remove(ended);
        }
        for new in topics.difference(&known) {
            self.broker.subscribe(new);
            self.state()
                .topics
                .insert(new.clone(), Expected::from_now());
        }
    }

    /// Publishes a canary whose commit began at `started_at`, and puts one into the inbox of this node.
    pub fn send(&self, started_at: DateTime<Utc>) {
        let message = NodeMessage::Canary {
            node: (&*self.node_id).into(),
            name: (&*self.node_name).into(),
            sent_at: clock::to_database_time(started_at).timestamp_micros(),
        };
        let payload = message.encode();
        let topics: Vec<String> = self.state().topics.keys().cloned().collect();
        for topic in topics {
            drop(self.broker.publish(&topic, payload.clone()));
        }
        self.state().echo_sent_at = Some(Instant::now());
        self.broker.echo(payload);
    }

    /// Records a canary that has arrived on a topic.
    pub fn on_message(&self, topic: &str, node: &str, name: &str, sent_at: i64) {
        let sent_at = DateTime::from_timestamp_micros(sent_at);
        let arrival = Arrival {
            at: Instant::now(),
            delay: sent_at.map(clock::age_of).unwrap_or_default(),
        };
        let mut state = self.state();
        if *node == *self.node_id {
            if topic == ECHO_TOPIC {
                state.echo.last = Some(arrival);
            } else if let Some(expected) = state.topics.get_mut(topic) {
                expected.last = Some(arrival);
            }
            return;
        }
        if !state.peers.contains_key(node) {
            // A node that was restarted has another id and the same name.
            state.peers.retain(|_, peer| peer.name != name);
        }
        let peer = state.peers.entry(node.to_owned()).or_insert_with(|| Peer {
            name: name.to_owned(),
            topics: HashMap::new(),
            first_seen_at: arrival.at,
        });
        peer.topics.insert(topic.to_owned(), arrival);
    }

    /// Forgets a node that has announced its stop.
    pub fn on_node_left(&self, node: &str) {
        self.state().peers.remove(node);
    }

    /// The canaries of this node. The age is that of the canary that is missing for the longest time.
    pub fn own_report(&self) -> CanaryReport {
        let state = self.state();
        let mut expected = vec![state.echo];
        if self.returns_canaries() {
            expected.extend(state.topics.values());
        }
        self.report(&self.node_id, &self.node_name, &expected)
    }

    /// The canaries of the other nodes, in the order of their names.
    pub fn peer_reports(&self) -> Vec<CanaryReport> {
        let mut state = self.state();
        let CanaryState { topics, peers, .. } = &mut *state;
        let report_of = |id: &String, peer: &Peer| {
            let expected = topics.keys().map(|topic| Expected {
                since: peer.first_seen_at,
                last: peer.topics.get(topic).copied(),
            });
            self.report(id, &peer.name, &expected.collect::<Vec<_>>())
        };
        peers.retain(|id, peer| report_of(id, peer).age < PEER_MEMORY);
        let mut reports: Vec<_> = peers.iter().map(|(id, peer)| report_of(id, peer)).collect();
        reports.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        reports
    }

    /// The faults that the canaries show.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let state = self.state();
        let max_age = self.max_age();
        let is_missing = state.echo.age() > max_age;
        // Without a commit, this node publishes no canary.
        let is_deaf = !is_missing && state.topics.values().any(|topic| topic.age() > max_age);
        drop(state);
        if is_missing {
            faults.push(Fault::CanaryMissing);
        }
        if self.broker.is_disconnected() {
            faults.push(Fault::RedisUnreachable);
        } else if self.returns_canaries() && is_deaf {
            faults.push(Fault::RedisDeaf);
        } else if self.peer_reports().iter().any(|peer| peer.is_silent) {
            faults.push(Fault::PeerSilent);
        }
        faults
    }

    /// Returns `true` if the inbox has not handled a canary for a long time. Only a restart can help then.
    pub fn is_stalled(&self) -> bool {
        let state = self.state();
        let Some(sent_at) = state.echo_sent_at else {
            return false;
        };
        let is_handled = state.echo.last.is_some_and(|echo| echo.at >= sent_at);
        !is_handled && sent_at.elapsed() > MAX_INBOX_DELAY
    }

    /// Returns `true` if the broker returns the canaries of this node. A local bus does not return them.
    fn returns_canaries(&self) -> bool {
        self.broker.is_connected()
    }

    /// Reports the oldest of the last canaries, and the longest delay.
    fn report(&self, id: &str, name: &str, expected: &[Expected]) -> CanaryReport {
        let age = expected.iter().map(Expected::age).max().unwrap_or_default();
        let delays = expected.iter().map(|expected| expected.last);
        let delay = delays.flatten().map(|last| last.delay).max();
        CanaryReport {
            name: name.to_owned(),
            id: id.to_owned(),
            age,
            delay,
            is_silent: age > self.max_age(),
        }
    }

    fn max_age(&self) -> Duration {
        self.every * MAX_AGE_FACTOR + MAX_AGE_SLACK
    }

    fn state(&self) -> MutexGuard<'_, CanaryState> {
        // A panic elsewhere leaves the state as it was between two calls.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
