//! Queries of a node into which all go that come while the last one is on its way: `BatchLoader` of
//! `src/channels/hub/batch_loader.rs`.

use super::backend_load::BackendLoad;
use crate::clock::Nanos;

/// Keys of a query from which on it takes no more: `AT_ONCE` there.
const MAX_KEYS_PER_QUERY: u64 = 256;

/// One query after the other.
#[derive(Default)]
pub struct BatchLoader {
    started_at: Option<Nanos>,
    done_at: Nanos,
    keys: u64,
    /// Keys that wait for their query.
    waiting_keys: u64,
}

/// What is asked at once by one of many.
#[derive(Clone, Copy)]
pub struct LoadRequest {
    pub keys: u64,
    /// What the database has to find for each.
    pub rows: u64,
}

pub enum LoadResult {
    /// It comes then.
    ReadyAt(Nanos),
    /// Other queries come first; then it is to be asked again.
    RetryAt(Nanos),
    /// There was no connection to the database for too long.
    TimedOut,
}

impl BatchLoader {
    pub fn load(
        &mut self,
        now: Nanos,
        question: LoadRequest,
        costs: &mut BackendLoad<'_>,
    ) -> LoadResult {
        let LoadRequest { keys, rows } = question;
        let rows = keys * rows;
        if now < self.done_at {
            if self.started_at != Some(now) || self.keys >= MAX_KEYS_PER_QUERY {
                return LoadResult::RetryAt(self.queue(keys));
            }
            self.keys += keys;
            self.done_at = self.done_at.max(costs.add_rows(now, rows));
            return LoadResult::ReadyAt(self.done_at);
        }
        let Some(until) = costs.query_rows(now, rows) else {
            return LoadResult::TimedOut;
        };
        (self.started_at, self.done_at, self.keys) = (Some(now), until, keys);
        self.waiting_keys = self.waiting_keys.saturating_sub(MAX_KEYS_PER_QUERY);
        LoadResult::ReadyAt(until)
    }

    /// When its turn comes, if all queries take as long as this one.
    fn queue(&mut self, keys: u64) -> Nanos {
        let before = self.waiting_keys / MAX_KEYS_PER_QUERY;
        self.waiting_keys += keys;
        self.done_at + before * (self.done_at - self.started_at.unwrap_or(self.done_at))
    }
}
