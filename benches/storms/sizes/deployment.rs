//! What so many sockets do, by the figures: rates, as sums and products that are written out here.

use crate::parameters::{Parameters, nodes_with_any};

/// A node says all that it has of who is here: `SNAPSHOT_EVERY` of
/// `src/channels/hub/presence_sync.rs`.
const SNAPSHOT_INTERVAL_S: f64 = 60.0;
/// A node says that it is there: a third of `presence_lease`.
const HEARTBEAT_INTERVAL_S: f64 = 5.0;
/// All groups are compared with their logs: `sweep_every`.
const SWEEP_INTERVAL_S: f64 = 10.0;
/// The same while Redis is away: `TICK`, and how many by one query: `GROUPS`, of
/// `src/channels/hub/gap_repair.rs`.
const SWEEP_INTERVAL_WITHOUT_REDIS_S: f64 = 0.5;
const GROUPS_PER_SWEEP_QUERY: f64 = 500.0;
/// Memberships that a sweep reads again: `MAX_UNCOMMITTED_IDS` of `src/channels/hub/gap_repair.rs`.
const REREAD_MEMBERSHIPS: f64 = 100.0;
/// All sessions are looked up: `CHECK_ALL_EVERY` of `src/channels/hub/session_monitor.rs`.
const SESSION_CHECK_INTERVAL_S: f64 = 25.0;
/// A client buys a token after 0.7 to 0.85 of 15 minutes: `assets/static/client/session.js`.
const TOKEN_REFRESH_INTERVAL_S: f64 = 0.775 * 900.0;
/// Cores of the machine on which appends were measured.
const MEASURED_CORES: f64 = 2.0;

pub struct Deployment<'a> {
    pub parameters: &'a Parameters,
    pub sockets: f64,
}

impl Deployment<'_> {
    pub fn node_count(&self) -> f64 {
        (self.sockets / f64::from(self.parameters.sockets)).max(1.0)
    }

    fn online_per_group(&self) -> f64 {
        self.parameters.online.into()
    }

    fn groups_per_socket(&self) -> f64 {
        self.parameters.groups.into()
    }

    pub fn group_count(&self) -> f64 {
        self.sockets * self.groups_per_socket() / self.online_per_group()
    }

    /// Groups that are active on one node.
    pub fn rooms_per_node(&self) -> f64 {
        self.group_count() * nodes_with_any(self.node_count(), self.online_per_group())
            / self.node_count()
    }

    /// Other nodes that hear what is published to a group.
    pub fn other_nodes_subscribed(&self) -> f64 {
        nodes_with_any(self.node_count(), self.online_per_group()) - 1.0
    }

    pub fn messages_per_s(&self) -> f64 {
        self.sockets * self.parameters.messages
    }

    /// That somebody types, and that they do not any more.
    fn typing_per_s(&self) -> f64 {
        2.0 * self.messages_per_s()
    }

    /// Those who say that they have read a message.
    fn read_receipts_per_s(&self) -> f64 {
        self.messages_per_s() * (self.online_per_group() - 1.0) * self.parameters.readers
    }

    pub fn connects_per_s(&self) -> f64 {
        self.sockets / self.parameters.lasts_s
    }

    /// Groups that become active on a node.
    fn new_rooms_per_s(&self) -> f64 {
        let nobody = (1.0 - 1.0 / self.node_count()).powf(self.online_per_group() - 1.0);
        self.connects_per_s() * self.groups_per_socket() * nobody
    }

    fn joins_per_s(&self) -> f64 {
        self.sockets * self.parameters.joins
    }

    // What is published, in publications a second.

    pub fn presence_changes_per_s(&self) -> f64 {
        2.0 * self.connects_per_s() * self.groups_per_socket()
    }

    pub fn snapshots_per_s(&self) -> f64 {
        self.rooms_per_node() * self.node_count() / SNAPSHOT_INTERVAL_S
    }

    fn presence_replies_per_s(&self) -> f64 {
        self.new_rooms_per_s() * self.node_count()
    }

    /// On the topics of groups: what, how often, and by what.
    pub fn group_publications(&self) -> [(&'static str, &'static str, f64); 6] {
        [
            ("events", "hub/mod.rs, `announce`", self.messages_per_s()),
            ("typing", "rich/typing.rs", self.typing_per_s()),
            (
                "read receipts",
                "writer.rs, `make`",
                self.read_receipts_per_s(),
            ),
            (
                "who comes and goes",
                "hub/attendance.rs, `attended`",
                self.presence_changes_per_s(),
            ),
            (
                "snapshots, each minute",
                "hub/attendance.rs, `say_each`",
                self.snapshots_per_s(),
            ),
            (
                "answers to who is here",
                "hub/attendance.rs, `note_asked`",
                self.presence_replies_per_s(),
            ),
        ]
    }

    /// On the topic of all nodes.
    pub fn node_publications(&self) -> [(&'static str, &'static str, f64); 3] {
        [
            (
                "questions who is here",
                "hub/joining.rs, `join`",
                self.new_rooms_per_s(),
            ),
            (
                "pulses",
                "hub/attendance.rs, `attend`",
                self.node_count() / HEARTBEAT_INTERVAL_S,
            ),
            (
                "new members, ended sessions",
                "hub/mod.rs, `welcome`",
                2.0 * self.joins_per_s(),
            ),
        ]
    }

    /// Cores of Redis for so many publications a second that so many nodes hear.
    pub fn redis_cores(&self, publications: f64, hearing: f64) -> f64 {
        publications * self.parameters.published_us(hearing) / 1e6
    }

    /// What one node hears from the others in a second.
    pub fn received_per_node(&self) -> f64 {
        let of_groups: f64 = self
            .group_publications()
            .iter()
            .map(|(_, _, rate)| rate)
            .sum();
        let of_nodes: f64 = self
            .node_publications()
            .iter()
            .map(|(_, _, rate)| rate)
            .sum();
        of_groups * self.other_nodes_subscribed() / self.node_count() + of_nodes
    }

    /// Cores of PostgreSQL: for what, by what.
    pub fn database_cores(&self) -> [(&'static str, &'static str, f64); 7] {
        let figures = self.parameters;
        let append = MEASURED_CORES / figures.appends_per_s;
        let (query, row) = (figures.query_us / 1e6, figures.row_us / 1e6);
        let (new, joins) = (self.new_rooms_per_s(), self.joins_per_s());
        let newcomers =
            self.node_count() * (REREAD_MEMBERSHIPS + joins * SWEEP_INTERVAL_S) / SWEEP_INTERVAL_S;
        let swept = self.rooms_per_node() * self.node_count() / SWEEP_INTERVAL_S;
        [
            ("messages", "models/log.rs", self.messages_per_s() * append),
            (
                "read receipts",
                "models/changes/mod.rs",
                self.read_receipts_per_s() * append,
            ),
            (
                "tokens, each 12 minutes",
                "models/sessions/refresh.rs",
                self.sockets / TOKEN_REFRESH_INTERVAL_S * 3.0 * query,
            ),
            (
                "sockets that open",
                "hub/joining.rs",
                self.connects_per_s() * 3.0 * query + new * (query + row),
            ),
            (
                "sweeps: heads of logs",
                "hub/healing.rs, `compare_with_log`",
                swept * row,
            ),
            (
                "sweeps: new members",
                "hub/healing.rs, `find_newcomers`",
                newcomers * row,
            ),
            (
                "sessions, each 25 s",
                "hub/sessions.rs, `look_at_all`",
                self.sockets / SESSION_CHECK_INTERVAL_S * 2.0 * row,
            ),
        ]
    }

    /// Cores of PostgreSQL while Redis is away: each node compares all its groups, over and over,
    /// some hundred by one query, and begins anew each half second if it is done.
    pub fn sweep_cores_without_redis(&self) -> f64 {
        let work = GROUPS_PER_SWEEP_QUERY * self.parameters.row_us / 1e6;
        let query = work + self.parameters.database_rtt_us / 1e6;
        let queries = self.rooms_per_node() / GROUPS_PER_SWEEP_QUERY;
        self.node_count() * queries * work / (queries * query).max(SWEEP_INTERVAL_WITHOUT_REDIS_S)
    }

    /// Whispers and events that one node hands to its sockets in a second.
    pub fn deliveries_per_node(&self) -> [f64; 2] {
        let of_each = self.online_per_group() / self.node_count();
        let whispers =
            self.typing_per_s() + self.read_receipts_per_s() + self.presence_changes_per_s();
        [self.messages_per_s() * of_each, whispers * of_each]
    }
}
