//! All parameters of the simulations: measured figures, guesses, and assumptions about users.
//!
//! A changed figure is changed here, or by the flag of the same name.

use clap::Args;

use crate::clock::{Nanos, micros, seconds};

/// The parameters of all simulations.
#[derive(Args, Clone, Debug)]
pub struct Parameters {
    /// CPU µs of a node to open a socket: handshake, token, `hello` (measured: docs/benchmarks.md)
    #[arg(long, default_value_t = 100.0)]
    pub connect_us: f64,
    /// CPU µs to write one event to one socket (measured: docs/benchmarks.md)
    #[arg(long, default_value_t = 1.5)]
    pub delivery_us: f64,
    /// CPU µs for one more event in the same write (measured: docs/benchmarks.md, from the least
    /// cost of a delivery)
    #[arg(long, default_value_t = 0.3)]
    pub more_us: f64,
    /// Proportional memory of the process for each idle socket, KiB (measured: docs/benchmarks.md)
    #[arg(long, default_value_t = 8.0)]
    pub socket_kib: f64,
    /// CPU µs of Redis to push a publication to one subscriber (measured: docs/benchmarks.md)
    #[arg(long, default_value_t = 6.0)]
    pub push_us: f64,
    /// Commands that PostgreSQL stores durably in a second on two cores (measured:
    /// docs/benchmarks.md)
    #[arg(long, default_value_t = 40_000.0)]
    pub appends_per_s: f64,

    /// CPU µs of Redis to accept a PUBLISH of a pipeline (guess)
    #[arg(long, default_value_t = 2.0)]
    pub publish_us: f64,
    /// CPU µs for a turn of a socket's own task, with one event (guess)
    #[arg(long, default_value_t = 4.0)]
    pub turn_us: f64,
    /// CPU µs to subscribe to one group, with its frames `group` and `sync` (guess)
    #[arg(long, default_value_t = 15.0)]
    pub place_us: f64,
    /// CPU µs of a node for a message from another node (guess)
    #[arg(long, default_value_t = 2.0)]
    pub word_us: f64,
    /// CPU µs of PostgreSQL for a query that finds a few rows by their keys (guess)
    #[arg(long, default_value_t = 60.0)]
    pub query_us: f64,
    /// CPU µs of PostgreSQL for a page of a log (guess)
    #[arg(long, default_value_t = 250.0)]
    pub page_us: f64,
    /// CPU µs of PostgreSQL for one row of a query of many keys (guess)
    #[arg(long, default_value_t = 2.0)]
    pub row_us: f64,
    /// Round trip from a node to the database, µs (guess)
    #[arg(long, default_value_t = 300.0)]
    pub database_rtt_us: f64,
    /// Longest wait of a query for a database connection, s (`connect_timeout` of
    /// config/production.yaml)
    #[arg(long, default_value_t = 5.0)]
    pub acquire_s: f64,
    /// Round trip from a client to a node, ms (guess)
    #[arg(long, default_value_t = 50.0)]
    pub rtt_ms: f64,
    /// Kernel memory for each idle TCP socket, KiB (guess)
    #[arg(long, default_value_t = 4.0)]
    pub kernel_kib: f64,
    /// Memory for each subscription of a socket to a group, KiB (guess)
    #[arg(long, default_value_t = 1.0)]
    pub place_kib: f64,
    /// Memory for each active group of a node, without its event buffer, KiB (guess)
    #[arg(long, default_value_t = 2.0)]
    pub room_kib: f64,
    /// Memory for each event in an event buffer, bytes (guess)
    #[arg(long, default_value_t = 500.0)]
    pub kept_bytes: f64,
    /// Bytes of a username in a presence snapshot (guess)
    #[arg(long, default_value_t = 20.0)]
    pub name_bytes: f64,
    /// An event on the network, with the headers of TCP and IP, bytes (guess)
    #[arg(long, default_value_t = 350.0)]
    pub wire_bytes: f64,

    /// Nodes before the incident (assumed)
    #[arg(long, default_value_t = 10)]
    pub nodes: u32,
    /// Sockets on each node (assumed)
    #[arg(long, default_value_t = 50_000)]
    pub sockets: u32,
    /// Cores of a node (assumed)
    #[arg(long, default_value_t = 4)]
    pub cores: u32,
    /// Cores of PostgreSQL (assumed)
    #[arg(long, default_value_t = 8)]
    pub database_cores: u32,
    /// Servers of Redis Cluster, with one core each (assumed)
    #[arg(long, default_value_t = 8)]
    pub shards: u32,
    /// Groups of each socket (assumed)
    #[arg(long, default_value_t = 8)]
    pub groups: u32,
    /// Sockets of each group, over all nodes (assumed)
    #[arg(long, default_value_t = 20)]
    pub online: u32,
    /// Clients behind one address (assumed)
    #[arg(long, default_value_t = 1)]
    pub per_network: u32,
    /// Share of clients that need a new access token before they reconnect, 0 to 1 (assumed)
    #[arg(long, default_value_t = 0.05)]
    pub stale: f64,
    /// Messages that a connected socket sends in a second (assumed)
    #[arg(long, default_value_t = 0.01)]
    pub messages: f64,
    /// Share of online members that report at once that they have read a message, 0 to 1 (assumed)
    #[arg(long, default_value_t = 0.2)]
    pub readers: f64,
    /// Lifetime of a socket, s (assumed)
    #[arg(long, default_value_t = 1800.0)]
    pub lasts_s: f64,
    /// New memberships in a second for each socket (assumed)
    #[arg(long, default_value_t = 1e-5)]
    pub joins: f64,
    /// Downtime of a load balancer that restarts, s (assumed)
    #[arg(long, default_value_t = 2.0)]
    pub balancer_s: f64,
    /// Downtime of a node that restarts, after its drain, s (assumed)
    #[arg(long, default_value_t = 5.0)]
    pub restart_s: f64,
    /// Pause of a rolling deploy before the next node, s (assumed)
    #[arg(long, default_value_t = 10.0)]
    pub settle_s: f64,
}

impl Parameters {
    /// Returns the round trip from a client to a node.
    pub fn rtt(&self) -> Nanos {
        micros(1000.0 * self.rtt_ms)
    }

    /// Returns the longest wait for a database connection.
    pub fn acquire_timeout(&self) -> Nanos {
        seconds(self.acquire_s)
    }

    /// Returns the number of sockets on all nodes.
    pub fn all_sockets(&self) -> u64 {
        u64::from(self.nodes) * u64::from(self.sockets)
    }

    /// Returns the number of groups with sockets.
    pub fn all_groups(&self) -> u64 {
        let subscriptions = self.all_sockets() * u64::from(self.groups);
        (subscriptions / u64::from(self.online.max(1))).max(1)
    }

    /// Returns the events of one group in a second.
    pub fn events_of_a_group(&self) -> f64 {
        self.messages * f64::from(self.online) / f64::from(self.groups)
    }

    /// Returns the CPU µs of Redis for one publication to a number of subscribed nodes.
    pub fn published_us(&self, subscribers: f64) -> f64 {
        self.publish_us + subscribers * self.push_us
    }
}

/// Returns the expected number of nodes with at least one of the users, if users are distributed
/// randomly.
pub fn nodes_with_any(nodes: f64, users: f64) -> f64 {
    nodes * (1.0 - (1.0 - 1.0 / nodes).powf(users))
}
