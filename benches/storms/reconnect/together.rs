//! Queries of a node into which all go that come while the last one is on its way: `Together` of
//! `src/channels/hub/together.rs`.

use super::costs::Costs;
use crate::clock::Nanos;

/// Keys of a query from which on it takes no more: `AT_ONCE` there.
const AT_ONCE: u64 = 256;

/// One query after the other.
#[derive(Default)]
pub struct Together {
    begun: Option<Nanos>,
    until: Nanos,
    keys: u64,
    /// Keys that wait for their query.
    waiting: u64,
}

/// What is asked at once by one of many.
#[derive(Clone, Copy)]
pub struct Question {
    pub keys: u64,
    /// What the database has to find for each.
    pub rows: u64,
}

pub enum Answer {
    /// It comes then.
    At(Nanos),
    /// Other queries come first; then it is to be asked again.
    AskAt(Nanos),
    /// There was no connection to the database for too long.
    Never,
}

impl Together {
    pub fn ask(&mut self, now: Nanos, question: Question, costs: &mut Costs<'_>) -> Answer {
        let Question { keys, rows } = question;
        let rows = keys * rows;
        if now < self.until {
            if self.begun != Some(now) || self.keys >= AT_ONCE {
                return Answer::AskAt(self.wait(keys));
            }
            self.keys += keys;
            self.until = self.until.max(costs.more_rows(now, rows));
            return Answer::At(self.until);
        }
        let Some(until) = costs.find(now, rows) else {
            return Answer::Never;
        };
        (self.begun, self.until, self.keys) = (Some(now), until, keys);
        self.waiting = self.waiting.saturating_sub(AT_ONCE);
        Answer::At(until)
    }

    /// When its turn comes, if all queries take as long as this one.
    fn wait(&mut self, keys: u64) -> Nanos {
        let before = self.waiting / AT_ONCE;
        self.waiting += keys;
        self.until + before * (self.until - self.begun.unwrap_or(self.until))
    }
}
