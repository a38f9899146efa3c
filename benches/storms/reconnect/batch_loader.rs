//! Batched queries of a node: keys that arrive during a query share the next query. See
//! `BatchLoader` of `src/channels/batch_loader.rs`.

use super::backend_load::BackendLoad;
use crate::clock::Nanos;

/// The number of keys after which a query accepts no more keys: `MAX_BATCH_KEYS` of that file.
const MAX_KEYS_PER_QUERY: u64 = 256;

/// A loader that runs one query after the other.
#[derive(Default)]
pub struct BatchLoader {
    started_at: Option<Nanos>,
    done_at: Nanos,
    keys: u64,
    /// The keys that wait for a query.
    waiting_keys: u64,
}

/// The keys that one caller requests at once.
#[derive(Clone, Copy)]
pub struct LoadRequest {
    /// The number of keys.
    pub keys: u64,
    /// The rows that the database reads for each key.
    pub rows: u64,
}

/// The result of a request.
pub enum LoadResult {
    /// The rows arrive at this time.
    ReadyAt(Nanos),
    /// Other queries come first. The caller retries at this time.
    RetryAt(Nanos),
    /// No database connection was free in time.
    TimedOut,
}

impl BatchLoader {
    /// Adds keys to the query that starts now, or to a later query.
    pub fn load(
        &mut self,
        now: Nanos,
        request: LoadRequest,
        backend: &mut BackendLoad<'_>,
    ) -> LoadResult {
        let LoadRequest { keys, rows } = request;
        let rows = keys * rows;
        if now < self.done_at {
            if self.started_at != Some(now) || self.keys >= MAX_KEYS_PER_QUERY {
                return LoadResult::RetryAt(self.queue(keys));
            }
            self.keys += keys;
            self.done_at = self.done_at.max(backend.add_rows(now, rows));
            return LoadResult::ReadyAt(self.done_at);
        }
        let Some(until) = backend.query_rows(now, rows) else {
            return LoadResult::TimedOut;
        };
        (self.started_at, self.done_at, self.keys) = (Some(now), until, keys);
        self.waiting_keys = self.waiting_keys.saturating_sub(MAX_KEYS_PER_QUERY);
        LoadResult::ReadyAt(until)
    }

    /// Returns the time of the keys' query, if all queries take as long as the current one.
    fn queue(&mut self, keys: u64) -> Nanos {
        let queries_before = self.waiting_keys / MAX_KEYS_PER_QUERY;
        self.waiting_keys += keys;
        self.done_at + queries_before * (self.done_at - self.started_at.unwrap_or(self.done_at))
    }
}
