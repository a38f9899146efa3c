//! What is measured, in the order of the document.
//!
//! A measure does one round of all its contenders, one after the other, and never keeps a server from
//! one to the next: each begins anew.

mod answers;
mod durable;
mod fan_out;
mod idle;
mod path;
mod rest;
mod resume;
mod start;
mod steady;

use std::fmt;

use salam_benches::Result;

use super::{measure_results::MeasureResults, run_context::RunContext};

pub struct Measure {
    /// By which `--only` knows it.
    pub name: &'static str,
    pub title: &'static str,
    /// Whose figures stand beside each other; the first is what the targets are about.
    pub contenders: &'static [&'static str],
    pub rows: &'static [MeasureRow],
    /// How it is measured, for whom wants to know what the figures mean.
    pub description: &'static str,
    pub round: fn(&RunContext, &mut MeasureResults) -> Result<()>,
}

pub struct MeasureRow {
    /// What it is, with its unit.
    pub label: &'static str,
    pub target: Target,
}

/// What the first contender is to reach, set before anything was measured.
#[derive(Clone, Copy)]
pub enum Target {
    AtMost(f64),
    /// It explains another row.
    None,
    /// So many times the last contender.
    Times(f64),
    /// So many times the last contender, or more.
    TimesOrMore(f64),
}

pub const MEASURES: [Measure; 9] = [
    idle::MEASURE,
    fan_out::MEASURE,
    steady::MEASURE,
    answers::MEASURE,
    durable::MEASURE,
    path::MEASURE,
    resume::MEASURE,
    rest::MEASURE,
    start::MEASURE,
];

impl Target {
    pub fn is_met(self, first: f64, last: f64) -> bool {
        match self {
            Self::None => true,
            Self::AtMost(most) => first <= most,
            Self::Times(most) => first <= most * last,
            Self::TimesOrMore(least) => first >= least * last,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::Times(most) => write!(f, "≤ {most}×"),
            Self::TimesOrMore(least) => write!(f, "≥ {least}×"),
        }
    }
}
