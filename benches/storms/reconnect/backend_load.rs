//! The load of PostgreSQL and Redis by reconnecting clients.

use super::rooms::RoomState;
use crate::{
    clock::{MILLISECOND, Nanos, SECOND, micros},
    core_pool::{CorePool, PerSecond},
    parameters::Parameters,
};

/// The longest wait of a socket for Redis.
///
/// It is `SUBSCRIBE_TIMEOUT` of `src/channels/broker/mod.rs` and `PRESENCE_QUERY_TIMEOUT` of
/// `src/channels/presence/sync.rs`.
const REDIS_TIMEOUT: Nanos = 1250 * MILLISECOND;

/// The publications that may wait on each node for each Redis server: `MAX_QUEUED_PUBLICATIONS` of
/// `src/channels/broker/redis/links.rs`.
const MAX_QUEUED_PUBLICATIONS: u64 = 8192;

/// The longest wait of a socket for its turn to read a log: `LOG_READ_TURN_TIMEOUT` of
/// `src/channels/delivery/subscription.rs`.
pub const READ_TURN_TIMEOUT: Nanos = 2 * SECOND;
/// The number of concurrent log reads of a node: `MAX_CONCURRENT_LOG_READS` of
/// `src/channels/delivery/log_reader.rs`.
pub const MAX_CONCURRENT_READS: u32 = 4;

/// The database and the Redis servers.
pub struct BackendLoad<'a> {
    parameters: &'a Parameters,
    /// The cores of PostgreSQL.
    pub database: CorePool,
    /// The queries of each second.
    pub queries: PerSecond,
    /// The cores of all Redis servers, each of which has its share of the groups.
    pub redis: CorePool,
    /// The core of the Redis server with the topic of the cluster, for the messages of this topic.
    pub nodes_topic: CorePool,
    /// The number of publications that were dropped because a queue was full.
    pub dropped_publications: u64,
}

impl<'a> BackendLoad<'a> {
    /// Creates idle backends.
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

    /// Runs queries one after the other. Returns their end, or `None` if no database connection is
    /// free in time.
    pub fn run_queries(&mut self, now: Nanos, queries: u64, more_us: f64) -> Option<Nanos> {
        let count = queries as f64;
        let work = micros(count * self.parameters.query_us + more_us);
        let done =
            self.database
                .run_if_wait_within(now, work, self.parameters.acquire_timeout())?;
        self.queries.add(now, queries);
        Some(done + micros(count * self.parameters.database_rtt_us))
    }

    /// Runs one query for rows of many keys.
    pub fn query_rows(&mut self, now: Nanos, rows: u64) -> Option<Nanos> {
        self.run_queries(now, 1, rows as f64 * self.parameters.row_us)
    }

    /// Adds rows to such a query that has just started. Returns the end of the query.
    pub fn add_rows(&mut self, now: Nanos, rows: u64) -> Nanos {
        let work = micros(rows as f64 * self.parameters.row_us);
        self.database.run(now, work) + micros(self.parameters.database_rtt_us)
    }

    /// Reads a page of a log in a turn of the node's readers. Returns `None` if the turn does not
    /// come in time.
    pub fn read_page(&mut self, now: Nanos, readers: &mut CorePool) -> Option<Nanos> {
        let page = self.database.wait_time(now)
            + micros(self.parameters.page_us + self.parameters.database_rtt_us);
        let read = readers.run_if_wait_within(now, page, READ_TURN_TIMEOUT)?;
        self.run_queries(now, 1, self.parameters.page_us - self.parameters.query_us)?;
        Some(read)
    }

    /// Publishes that a user is online in a group. Returns the time until which the socket waits.
    ///
    /// If the room is new on the node, the node queries all other nodes for presence, and each of
    /// them replies, even without online users.
    pub fn publish_presence(&mut self, now: Nanos, room: &RoomState) -> Nanos {
        let (parameters, max_wait) = (self.parameters, self.max_redis_wait());
        let nodes = f64::from(parameters.nodes);
        let publication = parameters.published_us(room.other_nodes);
        let work = if room.is_new {
            nodes * publication
        } else {
            publication
        };
        let published = self.redis.run_if_wait_within(now, micros(work), max_wait);
        self.dropped_publications += u64::from(published.is_none());
        if !room.is_new {
            // The socket does not wait for this publication.
            return now;
        }
        let query = parameters.published_us(nodes - 1.0);
        let queried = self
            .nodes_topic
            .run_if_wait_within(now, micros(query), max_wait);
        self.dropped_publications += u64::from(queried.is_none());
        queried
            .max(published)
            .unwrap_or(now)
            .min(now + REDIS_TIMEOUT)
    }

    /// Returns the length of the queues of all nodes, as CPU time of the Redis server.
    fn max_redis_wait(&self) -> Nanos {
        let publications = MAX_QUEUED_PUBLICATIONS * u64::from(self.parameters.nodes);
        micros(
            publications as f64
                * self
                    .parameters
                    .published_us(f64::from(self.parameters.nodes) / 2.0),
        )
    }
}
