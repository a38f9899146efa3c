//! What a client that comes back has PostgreSQL and Redis do.

use super::rooms::RoomState;
use crate::{
    clock::{MILLISECOND, Nanos, SECOND, micros},
    core_pool::{CorePool, PerSecond},
    parameters::Parameters,
};

/// How long a socket waits for Redis: `SUBSCRIBE_TIMEOUT` of `src/channels/broker/mod.rs` and
/// `HEARD_WITHIN` of `src/channels/hub/presence_sync.rs`.
const REDIS_TIMEOUT: Nanos = 1250 * MILLISECOND;

/// Publications that may wait on each node for each server of Redis: `MAX_QUEUED_PUBLICATIONS` of
/// `src/channels/broker/redis/links.rs`.
const MAX_QUEUED_PUBLICATIONS: u64 = 8192;

/// How long a socket waits for its turn to read a log: `TURN_WITHIN` of
/// `src/channels/hub/subscription.rs`; and how many read at once: `READERS` of
/// `src/channels/hub/mod.rs`.
pub const READ_TURN_TIMEOUT: Nanos = 2 * SECOND;
pub const MAX_CONCURRENT_READS: u32 = 4;

pub struct BackendLoad<'a> {
    parameters: &'a Parameters,
    pub database: CorePool,
    pub queries: PerSecond,
    /// All servers, each of which has its share of the groups.
    pub redis: CorePool,
    /// The one of them that has the topic of all nodes, as far as that goes.
    pub nodes_topic: CorePool,
    /// Words that were dropped because as many waited as may.
    pub dropped_publications: u64,
}

impl<'a> BackendLoad<'a> {
    pub fn new(parameters: &'a Parameters) -> Self {
        Self {
            parameters,
            database: CorePool::new(parameters.database_cores),
            queries: PerSecond::default(),
            redis: CorePool::new(parameters.shards),
            nodes_topic: CorePool::new(1),
            dropped_publications: 0,
        }
    }

    /// Has the database answer queries, one after the other. Says when it has; `None` where a node
    /// has no connection to it for too long.
    pub fn run_queries(&mut self, now: Nanos, queries: u64, more_us: f64) -> Option<Nanos> {
        let count = queries as f64;
        let work = micros(count * self.parameters.query_us + more_us);
        let done =
            self.database
                .run_if_wait_within(now, work, self.parameters.acquire_timeout())?;
        self.queries.add(now, queries);
        Some(done + micros(count * self.parameters.database_rtt_us))
    }

    /// One query for rows of many keys.
    pub fn query_rows(&mut self, now: Nanos, rows: u64) -> Option<Nanos> {
        self.run_queries(now, 1, rows as f64 * self.parameters.row_us)
    }

    /// More rows of such a query, which has just begun. Says when it has been answered.
    pub fn add_rows(&mut self, now: Nanos, rows: u64) -> Nanos {
        let work = micros(rows as f64 * self.parameters.row_us);
        self.database.run(now, work) + micros(self.parameters.database_rtt_us)
    }

    /// Reads a page of a log, by one of those of a node that may. `None` where it is not its turn
    /// for too long.
    pub fn read_page(&mut self, now: Nanos, readers: &mut CorePool) -> Option<Nanos> {
        let page = self.database.wait_time(now)
            + micros(self.parameters.page_us + self.parameters.database_rtt_us);
        let read = readers.run_if_wait_within(now, page, READ_TURN_TIMEOUT)?;
        self.run_queries(now, 1, self.parameters.page_us - self.parameters.query_us)?;
        Some(read)
    }

    /// A user is said to be in a group now. Where the node was not in it before, all other nodes
    /// are asked who is there, and each of them says so, whether anybody is or not.
    pub fn publish_presence(&mut self, now: Nanos, found: &RoomState) -> Nanos {
        let (figures, most) = (self.parameters, self.max_redis_wait());
        let nodes = f64::from(figures.nodes);
        let word = figures.published_us(found.other_nodes);
        let words = if found.is_new { nodes * word } else { word };
        let told = self.redis.run_if_wait_within(now, micros(words), most);
        self.dropped_publications += u64::from(told.is_none());
        if !found.is_new {
            // Nobody waits for it.
            return now;
        }
        let question = figures.published_us(nodes - 1.0);
        let asked = self
            .nodes_topic
            .run_if_wait_within(now, micros(question), most);
        self.dropped_publications += u64::from(asked.is_none());
        asked.max(told).unwrap_or(now).min(now + REDIS_TIMEOUT)
    }

    /// How long the queues of all nodes are, as time of the server that works on them.
    fn max_redis_wait(&self) -> Nanos {
        let words = MAX_QUEUED_PUBLICATIONS * u64::from(self.parameters.nodes);
        micros(
            words as f64
                * self
                    .parameters
                    .published_us(f64::from(self.parameters.nodes) / 2.0),
        )
    }
}
