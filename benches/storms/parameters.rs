//! All that the simulations are told about the world, in one place: what was measured, what was
//! guessed, and what is assumed of people. A figure that changes is changed here, or by a flag of
//! its name.

use clap::Args;

use crate::clock::{Nanos, micros, seconds};

#[derive(Args, Clone, Debug)]
pub struct Parameters {
    /// CPU µs to take a socket in: handshake, token, `hello` (measured: docs/benchmarks.md)
    #[arg(long, default_value_t = 100.0)]
    pub connect_us: f64,
    /// CPU µs for an event to one socket, in a write of its own (measured: docs/benchmarks.md)
    #[arg(long, default_value_t = 1.5)]
    pub delivery_us: f64,
    /// CPU µs for one more event in the same write (measured: docs/benchmarks.md, by the least cost
    /// of a delivery)
    #[arg(long, default_value_t = 0.3)]
    pub more_us: f64,
    /// Proportional memory of the process for each idle socket, KiB (measured: docs/benchmarks.md)
    #[arg(long, default_value_t = 8.0)]
    pub socket_kib: f64,
    /// CPU µs of Redis to hand a publication to one subscriber (measured: docs/benchmarks.md)
    #[arg(long, default_value_t = 6.0)]
    pub push_us: f64,
    /// Changes that PostgreSQL stores durably in a second on two cores (measured:
    /// docs/benchmarks.md)
    #[arg(long, default_value_t = 40_000.0)]
    pub appends_per_s: f64,

    /// CPU µs of Redis to take a PUBLISH of a pipeline (guess)
    #[arg(long, default_value_t = 2.0)]
    pub publish_us: f64,
    /// CPU µs for a turn of a socket's own task, with one event (guess)
    #[arg(long, default_value_t = 4.0)]
    pub turn_us: f64,
    /// CPU µs to take one place in a group and to say `group` and `sync` of it (guess)
    #[arg(long, default_value_t = 15.0)]
    pub place_us: f64,
    /// CPU µs of a node for a word from another node (guess)
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
    /// From a node to the database and back, µs (guess)
    #[arg(long, default_value_t = 300.0)]
    pub database_rtt_us: f64,
    /// How long a query waits for a connection to the database, s (`connect_timeout` of
    /// config/production.yaml)
    #[arg(long, default_value_t = 5.0)]
    pub acquire_s: f64,
    /// From a client to a node and back, ms (guess)
    #[arg(long, default_value_t = 50.0)]
    pub rtt_ms: f64,
    /// Kernel memory for each idle TCP socket, KiB (guess)
    #[arg(long, default_value_t = 4.0)]
    pub kernel_kib: f64,
    /// Memory for each place of a socket in a group, KiB (guess)
    #[arg(long, default_value_t = 1.0)]
    pub place_kib: f64,
    /// Memory for each active group of a node, without its ring, KiB (guess)
    #[arg(long, default_value_t = 2.0)]
    pub room_kib: f64,
    /// Memory for each event of a ring, bytes (guess)
    #[arg(long, default_value_t = 500.0)]
    pub kept_bytes: f64,
    /// A name among those of who is here, bytes (guess)
    #[arg(long, default_value_t = 20.0)]
    pub name_bytes: f64,
    /// An event as it travels, with the headers of TCP and IP, bytes (guess)
    #[arg(long, default_value_t = 350.0)]
    pub wire_bytes: f64,

    /// Nodes before anything happens (assumed)
    #[arg(long, default_value_t = 10)]
    pub nodes: u32,
    /// Sockets on each of them (assumed)
    #[arg(long, default_value_t = 50_000)]
    pub sockets: u32,
    /// Cores of a node (assumed)
    #[arg(long, default_value_t = 4)]
    pub cores: u32,
    /// Cores of PostgreSQL (assumed)
    #[arg(long, default_value_t = 8)]
    pub database_cores: u32,
    /// Servers of Redis Cluster, of one core each (assumed)
    #[arg(long, default_value_t = 8)]
    pub shards: u32,
    /// Groups that a socket listens to (assumed)
    #[arg(long, default_value_t = 8)]
    pub groups: u32,
    /// Sockets that listen to a group, over all nodes (assumed)
    #[arg(long, default_value_t = 20)]
    pub online: u32,
    /// Clients behind one address (assumed)
    #[arg(long, default_value_t = 1)]
    pub per_network: u32,
    /// Clients that must buy an access token before they come back, of 1 (assumed)
    #[arg(long, default_value_t = 0.05)]
    pub stale: f64,
    /// Messages that a connected socket sends in a second (assumed)
    #[arg(long, default_value_t = 0.01)]
    pub messages: f64,
    /// Of those who are online, how many say at once that they have read a message, of 1 (assumed)
    #[arg(long, default_value_t = 0.2)]
    pub readers: f64,
    /// How long a socket lasts, s (assumed)
    #[arg(long, default_value_t = 1800.0)]
    pub lasts_s: f64,
    /// Memberships that begin in a second for each socket (assumed)
    #[arg(long, default_value_t = 1e-5)]
    pub joins: f64,
    /// How long a load balancer that restarts is away, s (assumed)
    #[arg(long, default_value_t = 2.0)]
    pub balancer_s: f64,
    /// How long a node is away that restarts, after its drain, s (assumed)
    #[arg(long, default_value_t = 5.0)]
    pub restart_s: f64,
    /// How long a rolling deploy waits before the next node, s (assumed)
    #[arg(long, default_value_t = 10.0)]
    pub settle_s: f64,
}

impl Parameters {
    pub fn rtt(&self) -> Nanos {
        micros(1000.0 * self.rtt_ms)
    }

    pub fn acquire_timeout(&self) -> Nanos {
        seconds(self.acquire_s)
    }

    pub fn all_sockets(&self) -> u64 {
        u64::from(self.nodes) * u64::from(self.sockets)
    }

    /// Groups with listeners.
    pub fn all_groups(&self) -> u64 {
        let places = self.all_sockets() * u64::from(self.groups);
        (places / u64::from(self.online.max(1))).max(1)
    }

    /// Events of one group in a second.
    pub fn events_of_a_group(&self) -> f64 {
        self.messages * f64::from(self.online) / f64::from(self.groups)
    }

    /// What Redis does for one publication that so many nodes hear.
    pub fn published_us(&self, hearing: f64) -> f64 {
        self.publish_us + hearing * self.push_us
    }
}

/// On how many of these nodes somebody is, of so many who are anywhere.
pub fn nodes_with_any(nodes: f64, people: f64) -> f64 {
    nodes * (1.0 - (1.0 - 1.0 / nodes).powf(people))
}
