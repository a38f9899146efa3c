//! The canary: a message that goes the way of every message, and shows whether messages flow.
//!
//! Every 5 s (`settings.metrics.canary_every`), each node commits over the connection of its writer, in turn with the commands. It then publishes a
//! canary to topics to which all nodes are subscribed, one on each server of Redis. It also hands a canary to its own
//! inbox. Each node notes when a canary of each node has arrived, its own ones included. So a subscription that is
//! dead while all connections are open is noticed, as well as a stuck writer and a stuck inbox. Canaries are not
//! events, so the logs of groups do not grow.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{broker::Broker, protocol::node_message::NodeMessage};
use crate::{database::clock, health::Fault, settings::Settings};
use chrono::{DateTime, Utc};

/// The age of a canary above which it is missing: this many times the time between two canaries, and a second.
const MAX_AGE_FACTOR: u32 = 2;
const MAX_AGE_SLACK: Duration = Duration::from_secs(1);

/// The time for which the inbox may not handle a canary until the process counts as stalled.
const MAX_INBOX_DELAY: Duration = Duration::from_secs(30);

/// The time for which a node counts as silent after its last canary. Later it is forgotten.
const PEER_MEMORY: Duration = Duration::from_secs(300);

/// Sends the canaries of this node, and notes the canaries that arrive.
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
    /// The time since which this node waits for its first canary.
    started_at: Instant,
    /// The last canary that this node handed to its own inbox, and its arrival.
    echo_sent_at: Option<Instant>,
    echo: Option<Arrival>,
    /// The topics of the broker, each with the time since which a canary is expected, and the last own canary.
    topics: HashMap<String, (Instant, Option<Arrival>)>,
    /// The other nodes, by id.
    peers: HashMap<String, Peer>,
}

/// The arrival of a canary.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    at: Instant,
    /// The time from the begin of the canary's commit.
    delay: Duration,
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
    /// The time that the last canary took from the begin of its commit; `None` before the first one.
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
                started_at: Instant::now(),
                echo_sent_at: None,
                echo: None,
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
        let mut state = self.state();
        let ended = state.topics.extract_if(|topic, _| !topics.contains(topic));
        for (topic, _) in ended {
            self.broker.unsubscribe(&topic);
        }
        for topic in topics {
            state.topics.entry(topic).or_insert_with_key(|topic| {
                self.broker.subscribe(topic);
                (Instant::now(), None)
            });
        }
    }

    /// Publishes a canary whose commit began at `started_at`, and hands one to the inbox of this node.
    pub fn send(&self, started_at: DateTime<Utc>) {
        let message = NodeMessage::Canary {
            node: (&*self.node_id).into(),
            name: (&*self.node_name).into(),
            sent_at: clock::to_database_time(started_at).timestamp_micros(),
        };
        let payload = message.encode();
        let mut state = self.state();
        for topic in state.topics.keys() {
            drop(self.broker.publish(topic, payload.clone()));
        }
        state.echo_sent_at = Some(Instant::now());
        drop(state);
        self.broker.echo(payload);
    }

    /// Notes a canary that has arrived on a topic; on the empty topic, a canary that this node handed to its own inbox.
    pub fn on_message(&self, topic: &str, node: &str, name: &str, sent_at: i64) {
        let sent_at = DateTime::from_timestamp_micros(sent_at);
        let arrival = Arrival {
            at: Instant::now(),
            delay: sent_at.map(clock::age_of).unwrap_or_default(),
        };
        let mut state = self.state();
        if *node == *self.node_id {
            if topic.is_empty() {
                state.echo = Some(arrival);
            } else if let Some((_, last)) = state.topics.get_mut(topic) {
                *last = Some(arrival);
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
        let echo = (state.started_at, state.echo);
        let ways = state
            .topics
            .values()
            .copied()
            .filter(|_| self.expects_topics());
        let report = oldest(ways.chain([echo]));
        self.report(&self.node_id, &self.node_name, report)
    }

    /// The canaries of the other nodes, in the order of their names.
    pub fn peer_reports(&self) -> Vec<CanaryReport> {
        let mut state = self.state();
        let CanaryState { topics, peers, .. } = &mut *state;
        let report_of = |id: &String, peer: &Peer| {
            let ways = topics.keys().map(|topic| {
                let arrival = peer.topics.get(topic).copied();
                (peer.first_seen_at, arrival)
            });
            self.report(id, &peer.name, oldest(ways))
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
        if age_of((state.started_at, state.echo)) > max_age {
            faults.push(Fault::CanaryMissing);
        }
        // Without a commit, no canary is published.
        let publishes = state.echo.is_some_and(|echo| echo.at.elapsed() < max_age);
        let mut ways = state.topics.values().copied();
        let is_deaf = ways.any(|way| age_of(way) > max_age);
        drop(state);
        if self.broker.is_disconnected() {
            faults.push(Fault::RedisUnreachable);
        } else if self.expects_topics() && is_deaf && publishes {
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
        let is_handled = state.echo.is_some_and(|echo| echo.at >= sent_at);
        !is_handled && sent_at.elapsed() > MAX_INBOX_DELAY
    }

    /// Returns `true` if the canaries of this node come back by the broker. A local bus does not return them.
    fn expects_topics(&self) -> bool {
        self.broker.is_connected()
    }

    fn report(
        &self,
        id: &str,
        name: &str,
        (age, delay): (Duration, Option<Duration>),
    ) -> CanaryReport {
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

/// The time since a canary arrived, or since it is expected.
fn age_of((expected_since, arrival): (Instant, Option<Arrival>)) -> Duration {
    arrival
        .map_or(expected_since, |arrival| arrival.at)
        .elapsed()
}

/// The age of the oldest of the last canaries, and the longest delay.
fn oldest(ways: impl Iterator<Item = (Instant, Option<Arrival>)>) -> (Duration, Option<Duration>) {
    ways.fold((Duration::ZERO, None), |(age, delay), way| {
        let way_delay = way.1.map(|arrival| arrival.delay);
        (age.max(age_of(way)), delay.max(way_delay))
    })
}
