//! All measures, in the order of the document.
//!
//! A measure runs one round of all its contenders, one after the other. Each contender of each
//! round starts with a new server.

mod answers;
mod durable;
mod fan_out;
mod idle;
mod path;
mod rest;
mod resume;
mod sizes;
mod start;
mod steady;
mod storm;

use std::fmt;

use salam_benches::Result;

use super::{measure_results::MeasureResults, run_context::RunContext};

/// A measure: one table of the document.
pub struct Measure {
    /// The name for `--only`.
    pub name: &'static str,
    /// The title of the table.
    pub title: &'static str,
    /// The compared columns. The targets apply to the first contender.
    pub contenders: &'static [&'static str],
    /// The rows of the table.
    pub rows: &'static [MeasureRow],
    /// The text below the table, which explains the measurement.
    pub description: &'static str,
    /// Runs one round and adds its figures.
    pub round: fn(&RunContext, &mut MeasureResults) -> Result<()>,
}

/// A row of a table.
pub struct MeasureRow {
    /// The quantity and its unit.
    pub label: &'static str,
    /// The target of the row.
    pub target: Target,
}

/// A target for the first contender, which was set before the first measurement.
#[derive(Clone, Copy)]
pub enum Target {
    /// At most this figure.
    AtMost(f64),
    /// No target: the row explains another row.
    None,
    /// At most this multiple of the last contender.
    Times(f64),
    /// At least this multiple of the last contender.
    TimesOrMore(f64),
}

/// All measures.
pub const MEASURES: [Measure; 11] = [
    idle::MEASURE,
    fan_out::MEASURE,
    steady::MEASURE,
    answers::MEASURE,
    durable::MEASURE,
    path::MEASURE,
    resume::MEASURE,
    storm::MEASURE,
    sizes::MEASURE,
    rest::MEASURE,
    start::MEASURE,
];

impl Target {
    /// Returns `true` if the figures of the first and the last contender meet the target.
    pub fn is_met(self, first: f64, last: f64) -> bool {
        match self {
            Self::None => true,
            Self::AtMost(max) => first <= max,
            Self::Times(max) => first <= max * last,
            Self::TimesOrMore(min) => first >= min * last,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::AtMost(max) => write!(f, "≤ {max}"),
            Self::Times(max) => write!(f, "≤ {max}×"),
            Self::TimesOrMore(min) => write!(f, "≥ {min}×"),
        }
    }
}
