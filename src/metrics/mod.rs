//! Metrics: what this process has done and holds, for Prometheus.
//!
//! [`METRICS`] has the counters and histograms of the process. The code changes them where something happens. The
//! gauges of a node, such as its open sockets, are read when a scrape asks for them: see `channels::gauges`.
//! docs/metrics.md lists all metrics. Labels have few fixed values, and never name a user or a group.

mod histogram;
mod process;

use std::{
    borrow::Cow,
    fmt,
    sync::{LazyLock, atomic::AtomicU64},
    time::{Duration, Instant},
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Metric, Registry},
};

pub use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;

use self::histogram::{BATCH_SIZES, Buckets, DELAYS, PendingObservations};
pub use self::histogram::{Histogram, to_f64};

/// The prefix of all names, except those of the process.
const PREFIX: &str = "salam";

/// The classes of database errors that an operator has to know of.
const DATABASE_ERROR_CLASSES: [[&str; 1]; 8] = [
    ["unreachable"],
    ["busy"],
    ["full"],
    ["read_only"],
    ["storage_failed"],
    ["schema_missing"],
    ["lock_conflict"],
    ["other"],
];

/// The metrics of this process.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::register);

/// The values of `N` labels.
type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];

type HistogramFamily<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

/// A counter for each combination of the values of `N` labels.
pub struct Counters<const N: usize> {
    names: [&'static str; N],
    family: Family<Labels<N>, Counter>,
}

impl<const N: usize> Counters<N> {
    /// Counts one. The values must be few: fixed texts of the code, or patterns of routes.
    pub fn inc(&self, values: [impl Into<Cow<'static, str>>; N]) {
        self.inc_by(values, 1);
    }

    /// Adds a number to the counter of these values.
    pub fn inc_by(&self, values: [impl Into<Cow<'static, str>>; N], count: u64) {
        self.family
            .get_or_create(&labels(self.names, values))
            .inc_by(count);
    }

    /// Starts a series of each value at 0. Without it, a rate of the first change cannot be computed.
    fn starting_at_zero(self, values: &[[&'static str; N]]) -> Self {
        for values in values {
            drop(self.family.get_or_create(&labels(self.names, *values)));
        }
        self
    }

    /// Returns the counter of each of these values. Each counter starts at 0.
    fn counters_of<const K: usize>(&self, values: [[&'static str; N]; K]) -> [Counter; K] {
        values.map(|values| self.family.get_or_create_owned(&labels(self.names, values)))
    }
}

/// The source of an event at this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventOrigin {
    /// This node committed the event.
    Local,
    /// Another node committed the event and sent it by the broker.
    Remote,
    /// The event was read from the log, by the gap repair or for a slow socket.
    Log,
}

/// The part of the server that wrote an event to a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WritePath {
    /// The broadcast of the room.
    Direct,
    /// The task of the socket.
    Task,
}

/// The histograms of the delivery, by origin and path.
pub struct DeliveryHistograms([[Histogram; 2]; 3]);

impl DeliveryHistograms {
    fn register(registry: &mut Registry) -> Self {
        let family = histograms(
            registry,
            "delivery_seconds",
            "Time from the commit of an event to its write to a socket, for each event and socket",
        );
        let of =
            |origin, path| family.get_or_create_owned(&labels(["origin", "path"], [origin, path]));
        Self(["local", "remote", "log"].map(|origin| [of(origin, "direct"), of(origin, "task")]))
    }

    /// The histogram of an origin and a path.
    #[must_use]
    pub const fn of(&self, origin: EventOrigin, path: WritePath) -> &Histogram {
        let [local, remote, log] = &self.0;
        let [direct, task] = match origin {
            EventOrigin::Local => local,
            EventOrigin::Remote => remote,
            EventOrigin::Log => log,
        };
        match path {
            WritePath::Direct => direct,
            WritePath::Task => task,
        }
    }
}

impl DeliveryHistograms {
    /// Observes writes that have just ended: for each event its origin, the time of its commit, and the number of
    /// sockets.
    pub fn observe_writes(
        &self,
        path: WritePath,
        writes: impl IntoIterator<Item = (EventOrigin, Instant, u64)>,
    ) {
        let mut writes = writes.into_iter().peekable();
        if writes.peek().is_none() {
            return;
        }
        let now = Instant::now();
        let mut pending = PendingObservations::default();
        for (origin, committed_at, sockets) in writes {
            let delay = now.saturating_duration_since(committed_at);
            pending.observe_n(self.of(origin, path), delay, sockets);
        }
    }
}

/// The sources of the events that the tasks of sockets read.
pub struct BufferReadCounters {
    pub buffer: Counter,
    pub log: Counter,
}

impl BufferReadCounters {
    fn register(registry: &mut Registry) -> Self {
        let help = "Reads of events by the tasks of sockets, by source";
        let counters = counters(registry, "buffer_reads", help, ["source"]);
        let [buffer, log] = counters.counters_of([["buffer"], ["log"]]);
        Self { buffer, log }
    }
}

/// The outcomes of the writes of broadcasts.
pub struct DirectWriteCounters {
    /// The system has taken all bytes.
    pub written: Counter,
    /// The system has taken a part of the bytes.
    pub partial: Counter,
    /// Nothing was written: other bytes go before, or the connection has ended.
    pub refused: Counter,
}

impl DirectWriteCounters {
    fn register(registry: &mut Registry) -> Self {
        let help = "Writes of broadcasts to sockets, by outcome";
        let counters = counters(registry, "direct_writes", help, ["outcome"]);
        let outcomes = [["written"], ["partial"], ["refused"]];
        let [written, partial, refused] = counters.counters_of(outcomes);
        Self {
            written,
            partial,
            refused,
        }
    }
}

/// The open sockets and event streams, and those that opened and ended so far.
pub struct SocketMetrics {
    open: Family<Labels<1>, Gauge>,
    opened: Counters<1>,
    closed: Counters<2>,
}

impl SocketMetrics {
    fn register(registry: &mut Registry) -> Self {
        const MODES: [[&str; 1]; 4] = [["base"], ["rich_group"], ["rich_groups"], ["stream"]];
        let open = register(
            registry,
            "sockets",
            "Open sockets and event streams",
            Family::default(),
        );
        for mode in MODES {
            drop(open.get_or_create(&labels(["mode"], mode)));
        }
        let help = "Sockets and event streams that opened";
        let opened = counters(registry, "sockets_opened", help, ["mode"]).starting_at_zero(&MODES);
        let help = "Sockets and event streams that ended, by close code";
        let closed = counters(registry, "sockets_closed", help, ["mode", "code"]);
        Self {
            open,
            opened,
            closed,
        }
    }

    /// Counts a socket that has opened.
    pub fn record_opened(&self, mode: &'static str) {
        self.opened.inc([mode]);
        self.open.get_or_create(&labels(["mode"], [mode])).inc();
    }

    /// Counts a socket that has ended. `code` is a close code, or one of few words.
    pub fn record_closed(&self, mode: &'static str, code: Cow<'static, str>) {
        self.closed.inc([mode.into(), code]);
        self.open.get_or_create(&labels(["mode"], [mode])).dec();
    }
}

/// The kind of connection by which a command arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Base,
    Rich,
    Http,
}

/// The histograms of the acknowledgements, by transport.
pub struct AckHistograms([Histogram; 3]);

impl AckHistograms {
    fn register(registry: &mut Registry) -> Self {
        let family = histograms(
            registry,
            "ack_seconds",
            "Time from the arrival of a command to its reply",
        );
        let of = |transport| family.get_or_create_owned(&labels(["transport"], [transport]));
        Self(["base", "rich", "http"].map(of))
    }

    /// The histogram of a transport.
    #[must_use]
    pub const fn of(&self, transport: Transport) -> &Histogram {
        let [base, rich, http] = &self.0;
        match transport {
            Transport::Base => base,
            Transport::Rich => rich,
            Transport::Http => http,
        }
    }
}

/// The counters and histograms of this process. A field has the name of its metric, without the prefix and without
/// the suffix `_total`.
pub struct Metrics {
    registry: Registry,
    pub sockets: SocketMetrics,
    pub http_requests: Counters<3>,
    http_request_seconds: HistogramFamily<1>,
    pub commands: Counters<2>,
    pub commit_seconds: Histogram,
    pub commit_commands: Histogram,
    pub commit_failures: Counters<1>,
    pub ack_seconds: AckHistograms,
    pub delivery_seconds: DeliveryHistograms,
    pub direct_writes: DirectWriteCounters,
    pub gaps_found: Counter,
    pub gaps_repaired: Counter,
    pub gap_events: Counter,
    pub gap_age_seconds: Histogram,
    pub buffer_reads: BufferReadCounters,
    pub log_read_seconds: Histogram,
    pub buffer_evictions: Counter,
    pub resumes: Counters<2>,
    pub resets: Counters<1>,
    pub ephemeral_dropped: Counter,
    pub presence_leases_expired: Counter,
    pub redis_sessions: Counter,
    pub redis_publish_failures: Counter,
    pub redis_messages: Counters<1>,
    pub database_errors: Counters<1>,
    pub hashing_seconds: Histogram,
    pub hashing_rejected: Counter,
    pub logins: Counters<1>,
    pub admissions: Counters<2>,
    pub admission_wait_seconds: Histogram,
    pub runtime_lateness_seconds: Histogram,
    pub rate_limited: Counters<1>,
    pub revocation_seconds: Histogram,
}

impl Metrics {
    #[rustfmt::skip] // One metric, one line.
    fn register() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let r = &mut registry;
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        let build = Info::new([("version", env!("CARGO_PKG_VERSION")), ("profile", profile)]);
        r.register("build", "The build of this node", build);
        Self {
            sockets: SocketMetrics::register(r),
            http_requests: counters(r, "http_requests", "Answered requests", ["method", "route", "status"]),
            http_request_seconds: histograms(r, "http_request_seconds", "Time from a request to its answer"),
            commands: counters(r, "commands", "Commands about groups, by their outcome", ["kind", "result"]),
            commit_seconds: histogram(r, "commit_seconds", "Duration of a transaction of the writer", DELAYS),
            commit_commands: histogram(r, "commit_commands", "Commands in a transaction of the writer", BATCH_SIZES),
            commit_failures: counters(r, "commit_failures", "Transactions of the writer that failed, by class of error", ["reason"])
                .starting_at_zero(&DATABASE_ERROR_CLASSES),
            ack_seconds: AckHistograms::register(r),
            delivery_seconds: DeliveryHistograms::register(r),
            direct_writes: DirectWriteCounters::register(r),
            gaps_found: counter(r, "gaps_found", "Times that an event of a group was missing"),
            gaps_repaired: counter(r, "gaps_repaired", "Gaps that were filled from the log"),
            gap_events: counter(r, "gap_events", "Missing events that were read from the log"),
            gap_age_seconds: histogram(r, "gap_age_seconds", "Age of the oldest missing event at its repair", DELAYS),
            buffer_reads: BufferReadCounters::register(r),
            log_read_seconds: histogram(r, "log_read_seconds", "Duration of a read of the log for a socket, with its wait", DELAYS),
            buffer_evictions: counter(r, "buffer_evictions", "Event buffers that were emptied to save memory"),
            resumes: counters(r, "resumes", "Starts of a subscription, by outcome", ["mode", "result"]),
            resets: counters(r, "resets", "Subscriptions whose position could not be replayed, by reason", ["reason"])
                .starting_at_zero(&[["epoch"], ["ahead"], ["too_far"]]),
            ephemeral_dropped: counter(r, "ephemeral_dropped", "Ephemeral events that slow sockets did not get"),
            presence_leases_expired: counter(r, "presence_leases_expired", "Other nodes whose lease expired without an announced stop"),
            redis_sessions: counter(r, "redis_sessions", "Connections to servers of Redis"),
            redis_publish_failures: counter(r, "redis_publish_failures", "Messages that Redis did not accept"),
            redis_messages: counters(r, "redis_messages", "Messages between nodes", ["direction"])
                .starting_at_zero(&[["published"], ["received"], ["rejected"]]),
            database_errors: counters(r, "database_errors", "Errors of the database, by class", ["class"])
                .starting_at_zero(&DATABASE_ERROR_CLASSES),
            hashing_seconds: histogram(r, "hashing_seconds", "Time of a password hash, with its wait in the queue", DELAYS),
            hashing_rejected: counter(r, "hashing_rejected", "Requests that found the hashing queue full"),
            logins: counters(r, "logins", "Attempts to log in, by result", ["result"])
                .starting_at_zero(&[["success"], ["failed"], ["throttled"], ["error"]]),
            admissions: counters(r, "admissions", "Requests to start a socket or subscription, by outcome", ["kind", "result"])
                .starting_at_zero(&[["handshake", "admitted"], ["handshake", "refused"], ["subscription", "admitted"], ["subscription", "refused"]]),
            admission_wait_seconds: histogram(r, "admission_wait_seconds", "Time that a socket or subscription waited for its start", DELAYS),
            runtime_lateness_seconds: histogram(r, "runtime_lateness_seconds", "Delay of a timer of the runtime, measured while sockets start", DELAYS),
            rate_limited: counters(r, "rate_limited", "Requests and frames that a rate limit refused or delayed", ["limit"]),
            revocation_seconds: histogram(r, "revocation_seconds", "Time from the request to check a session to the close of its socket", DELAYS),
            registry,
        }
    }

    /// Counts an answered request. `route` is the pattern of the route.
    pub fn record_request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let route = Cow::from(route.to_owned());
        let status = Cow::from(status.to_string());
        self.http_requests
            .inc([method.into(), route.clone(), status]);
        let histogram = self
            .http_request_seconds
            .get_or_create_owned(&labels(["route"], [route]));
        histogram.observe(took);
    }
}

/// Returns the text of all metrics: those of this process, and the gauges of its node.
///
/// # Errors
/// When a metric cannot be encoded.
pub fn encode(gauges: &Samples) -> Result<String, fmt::Error> {
    let mut process = Samples::default();
    process::add_process_metrics(&mut process);
    let mut text = String::new();
    for registry in [&METRICS.registry, &gauges.0, &process.0] {
        prometheus_client::encoding::prometheus_text::encode(&mut text, registry)?;
    }
    Ok(text)
}

/// Values that are read for one scrape.
#[derive(Default)]
pub struct Samples(Registry);

impl Samples {
    /// Samples whose names get the prefix of Salam.
    #[must_use]
    pub fn prefixed() -> Self {
        Self(Registry::with_prefix(PREFIX))
    }

    /// Adds a gauge.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        self.0.register(name, help, gauge);
    }

    /// Adds a gauge with a number of things.
    pub fn count(&mut self, name: &'static str, help: &'static str, count: usize) {
        self.gauge(name, help, to_f64(count as u64));
    }

    /// Adds a gauge for each combination of the values of its labels.
    pub fn gauges<const N: usize, V: Into<Cow<'static, str>>>(
        &mut self,
        name: &'static str,
        help: &'static str,
        names: [&'static str; N],
        values: impl IntoIterator<Item = ([V; N], f64)>,
    ) {
        let family = Family::<Labels<N>, Gauge<f64, AtomicU64>>::default();
        for (label_values, value) in values {
            family
                .get_or_create(&labels(names, label_values))
                .set(value);
        }
        self.0.register(name, help, family);
    }

    /// Adds a counter. The name has no suffix `_total`.
    pub fn counter(&mut self, name: &'static str, help: &'static str, value: f64) {
        let counter = Counter::<f64, AtomicU64>::default();
        counter.inc_by(value);
        self.0.register(name, help, counter);
    }

    /// Adds a gauge of 1 whose labels describe the node. The name has no suffix `_info`.
    pub fn info<const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        values: [(&'static str, String); N],
    ) {
        self.0.register(name, help, Info::new(values));
    }
}

fn labels<const N: usize>(
    names: [&'static str; N],
    values: [impl Into<Cow<'static, str>>; N],
) -> Labels<N> {
    let mut names = names.into_iter();
    // Both arrays have the length `N`, so no name is missing.
    values.map(|value| (names.next().unwrap_or_default(), value.into()))
}

fn register<M: Metric + Clone>(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    metric: M,
) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn counter(registry: &mut Registry, name: &'static str, help: &'static str) -> Counter {
    register(registry, name, help, Counter::default())
}

fn counters<const N: usize>(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    names: [&'static str; N],
) -> Counters<N> {
    let family = register(registry, name, help, Family::default());
    Counters { names, family }
}

fn histogram(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    buckets: Buckets,
) -> Histogram {
    register(registry, name, help, Histogram::new(buckets))
}

fn histograms<const N: usize>(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
) -> HistogramFamily<N> {
    let constructor: fn() -> Histogram = || Histogram::new(DELAYS);
    register(
        registry,
        name,
        help,
        Family::new_with_constructor(constructor),
    )
}
