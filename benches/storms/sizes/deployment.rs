//! The rates and loads of a deployment, calculated from the parameters.

use crate::parameters::{Parameters, nodes_with_any};

/// The interval of presence snapshots: `SNAPSHOT_EVERY` of `src/channels/presence/sync.rs`.
const SNAPSHOT_INTERVAL_S: f64 = 60.0;
/// The interval of heartbeats: a third of `presence_lease`.
const HEARTBEAT_INTERVAL_S: f64 = 5.0;
/// The interval of sweeps, which compare all groups with their logs: `sweep_every`.
const SWEEP_INTERVAL_S: f64 = 10.0;
/// The interval of sweeps while Redis is unreachable: `SWEEP_TICK` of
/// `src/channels/hub.rs`.
const SWEEP_INTERVAL_WITHOUT_REDIS_S: f64 = 0.5;
/// The groups in one query of a sweep: `MAX_GROUPS_PER_COMPARISON` of
/// `src/channels/delivery/gap_repair.rs`.
const GROUPS_PER_SWEEP_QUERY: f64 = 500.0;
/// The memberships that a sweep reads again: `MAX_UNCOMMITTED_IDS` of
/// `src/channels/membership_notifier.rs`.
const REREAD_MEMBERSHIPS: f64 = 100.0;
/// The interval of checks of all sessions: `CHECK_ALL_EVERY` of
/// `src/channels/session_monitor/mod.rs`.
const SESSION_CHECK_INTERVAL_S: f64 = 25.0;
/// The interval of token refreshes: 0.7 to 0.85 of 15 minutes, by
/// `assets/static/client/session.js`.
const TOKEN_REFRESH_INTERVAL_S: f64 = 0.775 * 900.0;
/// The number of cores of the machine on which appends were measured.
const MEASURED_CORES: f64 = 2.0;

/// A deployment with a number of sockets.
pub struct Deployment<'a> {
    /// The parameters.
    pub parameters: &'a Parameters,
    /// The number of sockets on all nodes.
    pub sockets: f64,
}

impl Deployment<'_> {
    /// Returns the number of nodes.
    pub fn node_count(&self) -> f64 {
        (self.sockets / f64::from(self.parameters.sockets)).max(1.0)
    }

    fn online_per_group(&self) -> f64 {
        self.parameters.online.into()
    }

    fn groups_per_socket(&self) -> f64 {
        self.parameters.groups.into()
    }

    /// Returns the number of groups.
    pub fn group_count(&self) -> f64 {
        self.sockets * self.groups_per_socket() / self.online_per_group()
    }

    /// Returns the number of active groups on one node.
    pub fn rooms_per_node(&self) -> f64 {
        self.group_count() * nodes_with_any(self.node_count(), self.online_per_group())
            / self.node_count()
    }

    /// Returns the number of other nodes that are subscribed to a group.
    pub fn other_nodes_subscribed(&self) -> f64 {
        nodes_with_any(self.node_count(), self.online_per_group()) - 1.0
    }

    /// Returns the messages of all sockets in a second.
    pub fn messages_per_s(&self) -> f64 {
        self.sockets * self.parameters.messages
    }

    /// Returns the typing events in a second. Each message has two: typing starts and stops.
    fn typing_per_s(&self) -> f64 {
        2.0 * self.messages_per_s()
    }

    /// Returns the read receipts in a second.
    fn read_receipts_per_s(&self) -> f64 {
        self.messages_per_s() * (self.online_per_group() - 1.0) * self.parameters.readers
    }

    /// Returns the new sockets in a second.
    pub fn connects_per_s(&self) -> f64 {
        self.sockets / self.parameters.lasts_s
    }

    /// Returns the groups that become active on a node, in a second.
    fn new_rooms_per_s(&self) -> f64 {
        let no_other_user = (1.0 - 1.0 / self.node_count()).powf(self.online_per_group() - 1.0);
        self.connects_per_s() * self.groups_per_socket() * no_other_user
    }

    fn joins_per_s(&self) -> f64 {
        self.sockets * self.parameters.joins
    }

    // The following functions return publications a second.

    /// Returns the changes of presence in a second.
    pub fn presence_changes_per_s(&self) -> f64 {
        2.0 * self.connects_per_s() * self.groups_per_socket()
    }

    /// Returns the presence snapshots in a second.
    pub fn snapshots_per_s(&self) -> f64 {
        self.rooms_per_node() * self.node_count() / SNAPSHOT_INTERVAL_S
    }

    fn presence_replies_per_s(&self) -> f64 {
        self.new_rooms_per_s() * self.node_count()
    }

    /// Returns the publications to the topics of groups: a label, the code, and the rate.
    pub fn group_publications(&self) -> [(&'static str, &'static str, f64); 6] {
        [
            (
                "events",
                "delivery/mod.rs, `deliver_events`",
                self.messages_per_s(),
            ),
            ("typing", "connection/rich/typing.rs", self.typing_per_s()),
            (
                "read receipts",
                "writer.rs, `commit_batch`",
                self.read_receipts_per_s(),
            ),
            (
                "presence changes",
                "presence/sync.rs, `on_socket_joined`",
                self.presence_changes_per_s(),
            ),
            (
                "presence snapshots, each minute",
                "presence/sync.rs, `publish_snapshots`",
                self.snapshots_per_s(),
            ),
            (
                "replies to presence queries",
                "presence/sync.rs, `on_query`",
                self.presence_replies_per_s(),
            ),
        ]
    }

    /// Returns the publications to the topic of the cluster: a label, the code, and the rate.
    pub fn node_publications(&self) -> [(&'static str, &'static str, f64); 3] {
        [
            (
                "presence queries",
                "delivery/subscriptions.rs, `join`",
                self.new_rooms_per_s(),
            ),
            (
                "heartbeats",
                "presence/sync.rs, `run`",
                self.node_count() / HEARTBEAT_INTERVAL_S,
            ),
            (
                "new members, ended sessions",
                "membership_notifier.rs, `announce`",
                2.0 * self.joins_per_s(),
            ),
        ]
    }

    /// Returns the cores of Redis for a rate of publications to a number of subscribed nodes.
    pub fn redis_cores(&self, publications: f64, subscribers: f64) -> f64 {
        publications * self.parameters.published_us(subscribers) / 1e6
    }

    /// Returns the messages that one node receives from the others in a second.
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

    /// Returns the cores of PostgreSQL: a label, the code, and the cores.
    pub fn database_cores(&self) -> [(&'static str, &'static str, f64); 7] {
        let parameters = self.parameters;
        let append = MEASURED_CORES / parameters.appends_per_s;
        let (query, row) = (parameters.query_us / 1e6, parameters.row_us / 1e6);
        let (new_rooms, joins) = (self.new_rooms_per_s(), self.joins_per_s());
        let new_memberships =
            self.node_count() * (REREAD_MEMBERSHIPS + joins * SWEEP_INTERVAL_S) / SWEEP_INTERVAL_S;
        let compared_groups = self.rooms_per_node() * self.node_count() / SWEEP_INTERVAL_S;
        [
            ("messages", "models/log.rs", self.messages_per_s() * append),
            (
                "read receipts",
                "models/group_commands/mod.rs",
                self.read_receipts_per_s() * append,
            ),
            (
                "token refreshes, each 12 minutes",
                "models/sessions/refresh.rs",
                self.sockets / TOKEN_REFRESH_INTERVAL_S * 3.0 * query,
            ),
            (
                "sockets that open",
                "delivery/subscriptions.rs",
                self.connects_per_s() * 3.0 * query + new_rooms * (query + row),
            ),
            (
                "sweeps: heads of logs",
                "delivery/gap_repair.rs, `repair_lagging`",
                compared_groups * row,
            ),
            (
                "sweeps: new members",
                "membership_notifier.rs, `notify_missed`",
                new_memberships * row,
            ),
            (
                "sessions, each 25 s",
                "session_monitor/mod.rs, `check_all`",
                self.sockets / SESSION_CHECK_INTERVAL_S * 2.0 * row,
            ),
        ]
    }

    /// Returns the cores of PostgreSQL while Redis is unreachable.
    ///
    /// Each node then compares all its groups with their logs repeatedly, many groups in one query.
    /// A new sweep starts each half second if the last sweep has ended.
    pub fn sweep_cores_without_redis(&self) -> f64 {
        let work = GROUPS_PER_SWEEP_QUERY * self.parameters.row_us / 1e6;
        let query = work + self.parameters.database_rtt_us / 1e6;
        let queries = self.rooms_per_node() / GROUPS_PER_SWEEP_QUERY;
        self.node_count() * queries * work / (queries * query).max(SWEEP_INTERVAL_WITHOUT_REDIS_S)
    }

    /// Returns the events and the ephemeral events that one node delivers to its sockets in a
    /// second.
    pub fn deliveries_per_node(&self) -> [f64; 2] {
        let sockets_per_room = self.online_per_group() / self.node_count();
        let ephemerals =
            self.typing_per_s() + self.read_receipts_per_s() + self.presence_changes_per_s();
        [
            self.messages_per_s() * sockets_per_room,
            ephemerals * sockets_per_room,
        ]
    }
}
