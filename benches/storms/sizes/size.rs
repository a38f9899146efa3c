//! What so many sockets do, by the figures: rates, as sums and products that are written out here.

use crate::figures::{Figures, nodes_with_any};

/// A node says all that it has of who is here: `REPEATED_EVERY` of
/// `src/channels/hub/attendance.rs`.
const SNAPSHOT_S: f64 = 60.0;
/// A node says that it is there: a third of `presence_lease`.
const PULSE_S: f64 = 5.0;
/// All groups are compared with their logs: `sweep_every`.
const SWEEP_S: f64 = 10.0;
/// The same while Redis is away: `TICK`, and how many by one query: `GROUPS`, of
/// `src/channels/hub/healing.rs`.
const SWEEP_ALONE_S: f64 = 0.5;
const SWEPT_AT_ONCE: f64 = 500.0;
/// Memberships that a sweep reads again: `NUMBERS_IN_FLIGHT` of `src/channels/hub/healing.rs`.
const NEWCOMERS: f64 = 100.0;
/// All sessions are looked up: `ALL_EVERY` of `src/channels/hub/sessions.rs`.
const SESSIONS_S: f64 = 25.0;
/// A client buys a token after 0.7 to 0.85 of 15 minutes: `assets/static/client/session.js`.
const TOKEN_S: f64 = 0.775 * 900.0;
/// Cores of the machine on which appends were measured.
const MEASURED_CORES: f64 = 2.0;

pub struct Size<'a> {
    pub figures: &'a Figures,
    pub sockets: f64,
}

impl Size<'_> {
    pub fn nodes(&self) -> f64 {
        (self.sockets / f64::from(self.figures.sockets)).max(1.0)
    }

    fn online(&self) -> f64 {
        self.figures.online.into()
    }

    fn places(&self) -> f64 {
        self.figures.groups.into()
    }

    pub fn groups(&self) -> f64 {
        self.sockets * self.places() / self.online()
    }

    /// Groups that are active on one node.
    pub fn rooms(&self) -> f64 {
        self.groups() * nodes_with_any(self.nodes(), self.online()) / self.nodes()
    }

    /// Other nodes that hear what is published to a group.
    pub fn hearing(&self) -> f64 {
        nodes_with_any(self.nodes(), self.online()) - 1.0
    }

    pub fn messages(&self) -> f64 {
        self.sockets * self.figures.messages
    }

    /// That somebody types, and that they do not any more.
    fn typing(&self) -> f64 {
        2.0 * self.messages()
    }

    /// Those who say that they have read a message.
    fn readings(&self) -> f64 {
        self.messages() * (self.online() - 1.0) * self.figures.readers
    }

    pub fn connects(&self) -> f64 {
        self.sockets / self.figures.lasts_s
    }

    /// Groups that become active on a node.
    fn new_rooms(&self) -> f64 {
        let nobody = (1.0 - 1.0 / self.nodes()).powf(self.online() - 1.0);
        self.connects() * self.places() * nobody
    }

    fn joins(&self) -> f64 {
        self.sockets * self.figures.joins
    }

    // What is published, in publications a second.

    pub fn presences(&self) -> f64 {
        2.0 * self.connects() * self.places()
    }

    pub fn snapshots(&self) -> f64 {
        self.rooms() * self.nodes() / SNAPSHOT_S
    }

    fn answers(&self) -> f64 {
        self.new_rooms() * self.nodes()
    }

    /// On the topics of groups: what, how often, and by what.
    pub fn of_groups(&self) -> [(&'static str, &'static str, f64); 6] {
        [
            ("events", "hub/mod.rs, `announce`", self.messages()),
            ("typing", "rich/typing.rs", self.typing()),
            ("read receipts", "writer.rs, `make`", self.readings()),
            (
                "who comes and goes",
                "hub/attendance.rs, `attended`",
                self.presences(),
            ),
            (
                "snapshots, each minute",
                "hub/attendance.rs, `say_each`",
                self.snapshots(),
            ),
            (
                "answers to who is here",
                "hub/attendance.rs, `note_asked`",
                self.answers(),
            ),
        ]
    }

    /// On the topic of all nodes.
    pub fn of_nodes(&self) -> [(&'static str, &'static str, f64); 3] {
        [
            (
                "questions who is here",
                "hub/joining.rs, `join`",
                self.new_rooms(),
            ),
            (
                "pulses",
                "hub/attendance.rs, `attend`",
                self.nodes() / PULSE_S,
            ),
            (
                "new members, ended sessions",
                "hub/mod.rs, `welcome`",
                2.0 * self.joins(),
            ),
        ]
    }

    /// Cores of Redis for so many publications a second that so many nodes hear.
    pub fn redis(&self, publications: f64, hearing: f64) -> f64 {
        publications * self.figures.published_us(hearing) / 1e6
    }

    /// What one node hears from the others in a second.
    pub fn heard(&self) -> f64 {
        let of_groups: f64 = self.of_groups().iter().map(|(_, _, rate)| rate).sum();
        let of_nodes: f64 = self.of_nodes().iter().map(|(_, _, rate)| rate).sum();
        of_groups * self.hearing() / self.nodes() + of_nodes
    }

    /// Cores of PostgreSQL: for what, by what.
    pub fn database(&self) -> [(&'static str, &'static str, f64); 7] {
        let figures = self.figures;
        let append = MEASURED_CORES / figures.appends_per_s;
        let (query, row) = (figures.query_us / 1e6, figures.row_us / 1e6);
        let (new, joins) = (self.new_rooms(), self.joins());
        let newcomers = self.nodes() * (NEWCOMERS + joins * SWEEP_S) / SWEEP_S;
        let swept = self.rooms() * self.nodes() / SWEEP_S;
        [
            ("messages", "models/log.rs", self.messages() * append),
            (
                "read receipts",
                "models/changes/mod.rs",
                self.readings() * append,
            ),
            (
                "tokens, each 12 minutes",
                "models/sessions/refresh.rs",
                self.sockets / TOKEN_S * 3.0 * query,
            ),
            (
                "sockets that open",
                "hub/joining.rs",
                self.connects() * 3.0 * query + new * (query + row),
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
                self.sockets / SESSIONS_S * 2.0 * row,
            ),
        ]
    }

    /// Cores of PostgreSQL while Redis is away: each node compares all its groups, over and over,
    /// some hundred by one query, and begins anew each half second if it is done.
    pub fn swept_without_redis(&self) -> f64 {
        let work = SWEPT_AT_ONCE * self.figures.row_us / 1e6;
        let query = work + self.figures.database_rtt_us / 1e6;
        let queries = self.rooms() / SWEPT_AT_ONCE;
        self.nodes() * queries * work / (queries * query).max(SWEEP_ALONE_S)
    }

    /// Whispers and events that one node hands to its sockets in a second.
    pub fn deliveries(&self) -> [f64; 2] {
        let of_each = self.online() / self.nodes();
        let whispers = self.typing() + self.readings() + self.presences();
        [self.messages() * of_each, whispers * of_each]
    }
}
