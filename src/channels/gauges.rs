//! The gauges of a node, which are read for each scrape of the metrics.

use super::Channels;
use crate::{
    database::{clock, pool_counts},
    health::Fault,
    logging,
    metrics::{Samples, to_f64},
    models::hashing,
};

/// A subscription that lacks more events than this counts as behind: a batch of one write.
const BEHIND_EVENTS: i64 = 64;

impl Channels {
    /// The gauges of this node. `faults` are its present faults.
    ///
    /// The call takes a lock for each subscription, which is some milliseconds for 100,000 sockets.
    #[must_use]
    pub fn gauges(&self, faults: &[Fault]) -> Samples {
        let mut samples = Samples::prefixed();
        self.add_delivery(&mut samples);
        self.add_health(&mut samples, faults);
        self.add_database(&mut samples);
        let waiting = self.writer.queue_length();
        samples.count("writer_queue", "Commands that wait for the writer", waiting);
        let hashing = hashing::queue_length();
        let help = "Password hashes that wait for a thread";
        samples.count("hashing_queue", help, hashing);
        let admission = self.admission.counts();
        for (name, help, value) in [
            (
                "admission_limit",
                "Sockets and subscriptions that may start at the same time",
                admission.limit,
            ),
            (
                "admission_starting",
                "Sockets and subscriptions that start now",
                admission.starting,
            ),
            (
                "admission_waiting",
                "Sockets and subscriptions that wait for their start",
                admission.waiting,
            ),
        ] {
            samples.count(name, help, value);
        }
        let dropped = to_f64(logging::dropped_lines() as u64);
        let help = "Lines of the log that were dropped because nothing read them";
        samples.counter("log_lines_dropped", help, dropped);
        let tasks = tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks();
        samples.count("runtime_tasks", "Tasks of the runtime", tasks);
        samples
    }

    fn add_delivery(&self, samples: &mut Samples) {
        let rooms = self.hub.delivery.rooms();
        let (mut subscriptions, mut behind, mut max_lag) = (0, 0, 0);
        let all = rooms.all();
        for room in &all {
            let last_seq = room.last_seq();
            for subscriber in room.subscribers_snapshot().iter() {
                let lag = subscriber.lag(last_seq);
                subscriptions += 1;
                behind += usize::from(lag > BEHIND_EVENTS);
                max_lag = max_lag.max(usize::try_from(lag).unwrap_or_default());
            }
        }
        for (name, help, value) in [
            (
                "active_groups",
                "Groups with sockets on this node",
                all.len(),
            ),
            (
                "subscriptions",
                "Subscriptions of sockets to groups",
                subscriptions,
            ),
            (
                "subscriptions_behind",
                "Subscriptions that lack more than 64 events",
                behind,
            ),
            (
                "slowest_socket_lag_events",
                "Events that the slowest socket lacks",
                max_lag,
            ),
            (
                "buffer_bytes",
                "Bytes in the event buffers of all groups",
                rooms.buffered_bytes(),
            ),
            (
                "presence_peers",
                "Other nodes that are alive",
                self.hub.presence.peer_count(),
            ),
        ] {
            samples.count(name, help, value);
        }
        if let Some((expected, connected)) = self.hub.broker.server_counts() {
            let counts = [(["expected"], expected), (["connected"], connected)];
            let counts = counts.map(|(state, count)| (state, to_f64(count as u64)));
            let help = "Servers of Redis that should be connected, and that are";
            samples.gauges("redis_servers", help, ["state"], counts);
        }
    }

    fn add_health(&self, samples: &mut Samples, faults: &[Fault]) {
        let own = self.hub.canary.own_report();
        let info = [
            ("node", own.name.clone()),
            ("id", own.id.clone()),
            ("epoch", self.epoch()),
        ];
        samples.info("node", "The name, the id and the epoch of this node", info);
        let reports = [vec![own], self.hub.canary.peer_reports()].concat();
        let ages = reports.iter();
        let ages = ages.map(|report| ([report.name.clone()], report.age.as_secs_f64()));
        let help = "Seconds since the last canary of a node arrived here";
        samples.gauges("canary_age_seconds", help, ["node"], ages);
        let delays = reports.iter().filter_map(|report| {
            let delay = report.delay?;
            Some(([report.name.clone()], delay.as_secs_f64()))
        });
        let help =
            "Seconds that the last canary of a node took, from its commit to its arrival here";
        samples.gauges("canary_delay_seconds", help, ["node"], delays);
        let is_ready = faults.iter().all(|fault| fault.is_degradation());
        let help = "Whether the node is ready: 1 or 0";
        samples.gauge("ready", help, f64::from(u8::from(is_ready)));
        let faults = faults.iter().map(|fault| ([fault.code()], 1.0));
        samples.gauges(
            "fault",
            "The present faults of the node",
            ["reason"],
            faults,
        );
        let help = "Seconds that the clock of this node is ahead of the clock of the database";
        samples.gauge("clock_ahead_seconds", help, clock::seconds_ahead());
    }

    fn add_database(&self, samples: &mut Samples) {
        let pools = [("requests", &self.hub.db), ("writer", &self.writer_db)];
        let counts = pools.map(|(pool, db)| (pool, pool_counts(db)));
        let help = "Open connections to the database";
        let connections = counts.iter().flat_map(|(pool, counts)| {
            let idle = ([*pool, "idle"], to_f64(counts.idle as u64));
            [idle, ([*pool, "used"], to_f64(counts.used as u64))]
        });
        samples.gauges("database_connections", help, ["pool", "state"], connections);
        let help = "Largest number of connections to the database";
        let limits = counts
            .iter()
            .map(|(pool, counts)| ([*pool], to_f64(counts.max as u64)));
        samples.gauges("database_connections_max", help, ["pool"], limits);
    }
}
