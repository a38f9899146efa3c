//! What a client that comes back has PostgreSQL and Redis do.

use super::rooms::Found;
use crate::{
    clock::{MILLISECOND, Nanos, SECOND, micros},
    figures::Figures,
    station::{PerSecond, Station},
};

/// How long a socket waits for Redis: `SUBSCRIBED_WITHIN` of `src/channels/broker/mod.rs` and
/// `HEARD_WITHIN` of `src/channels/hub/attendance.rs`.
const WORDS_WITHIN: Nanos = 1250 * MILLISECOND;

/// Publications that may wait on each node for each server of Redis: `PUBLICATIONS` of
/// `src/channels/broker/redis/shards.rs`.
const PUBLICATIONS: u64 = 8192;

/// How long a socket waits for its turn to read a log: `TURN_WITHIN` of
/// `src/channels/hub/subscription.rs`; and how many read at once: `READERS` of
/// `src/channels/hub/mod.rs`.
pub const TURN_WITHIN: Nanos = 2 * SECOND;
pub const READERS: u32 = 4;

pub struct Costs<'a> {
    figures: &'a Figures,
    pub database: Station,
    pub queries: PerSecond,
    /// All servers, each of which has its share of the groups.
    pub redis: Station,
    /// The one of them that has the topic of all nodes, as far as that goes.
    pub nodes_topic: Station,
    /// Words that were dropped because as many waited as may.
    pub dropped: u64,
}

impl<'a> Costs<'a> {
    pub fn new(figures: &'a Figures) -> Self {
        Self {
            figures,
            database: Station::new(figures.database_cores),
            queries: PerSecond::default(),
            redis: Station::new(figures.shards),
            nodes_topic: Station::new(1),
            dropped: 0,
        }
    }

    /// Has the database answer queries, one after the other. Says when it has; `None` where a node
    /// has no connection to it for too long.
    pub fn ask(&mut self, now: Nanos, queries: u64, more_us: f64) -> Option<Nanos> {
        let count = queries as f64;
        let work = micros(count * self.figures.query_us + more_us);
        let done = self
            .database
            .take_within(now, work, self.figures.acquire_within())?;
        self.queries.add(now, queries);
        Some(done + micros(count * self.figures.database_rtt_us))
    }

    /// One query for rows of many keys.
    pub fn find(&mut self, now: Nanos, rows: u64) -> Option<Nanos> {
        self.ask(now, 1, rows as f64 * self.figures.row_us)
    }

    /// More rows of such a query, which has just begun. Says when it has been answered.
    pub fn more_rows(&mut self, now: Nanos, rows: u64) -> Nanos {
        let work = micros(rows as f64 * self.figures.row_us);
        self.database.take(now, work) + micros(self.figures.database_rtt_us)
    }

    /// Reads a page of a log, by one of those of a node that may. `None` where it is not its turn
    /// for too long.
    pub fn read_page(&mut self, now: Nanos, readers: &mut Station) -> Option<Nanos> {
        let page =
            self.database.wait(now) + micros(self.figures.page_us + self.figures.database_rtt_us);
        let read = readers.take_within(now, page, TURN_WITHIN)?;
        self.ask(now, 1, self.figures.page_us - self.figures.query_us)?;
        Some(read)
    }

    /// A user is said to be in a group now. Where the node was not in it before, all other nodes
    /// are asked who is there, and each of them says so, whether anybody is or not.
    pub fn say(&mut self, now: Nanos, found: &Found) -> Nanos {
        let (figures, most) = (self.figures, self.most_waiting());
        let nodes = f64::from(figures.nodes);
        let word = figures.published_us(found.others);
        let words = if found.is_new { nodes * word } else { word };
        let told = self.redis.take_within(now, micros(words), most);
        self.dropped += u64::from(told.is_none());
        if !found.is_new {
            // Nobody waits for it.
            return now;
        }
        let question = figures.published_us(nodes - 1.0);
        let asked = self.nodes_topic.take_within(now, micros(question), most);
        self.dropped += u64::from(asked.is_none());
        asked.max(told).unwrap_or(now).min(now + WORDS_WITHIN)
    }

    /// How long the queues of all nodes are, as time of the server that works on them.
    fn most_waiting(&self) -> Nanos {
        let words = PUBLICATIONS * u64::from(self.figures.nodes);
        micros(
            words as f64
                * self
                    .figures
                    .published_us(f64::from(self.figures.nodes) / 2.0),
        )
    }
}
