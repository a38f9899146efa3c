//! Numbers of several rounds as one: the one in the middle, and how far the others are from it.

use std::time::Duration;

use hdrhistogram::Histogram;

/// What is longer than this is recorded as this.
const MAX_MICROS: u64 = 60_000_000;

/// How often something took how long, in steps of a thousandth.
pub struct LatencyHistogram(Histogram<u64>);

impl LatencyHistogram {
    /// # Panics
    /// Never: the bounds are constants that the histogram takes.
    #[must_use]
    pub fn new() -> Self {
        Self(
            Histogram::new_with_bounds(1, MAX_MICROS, 3).expect("1 µs to a minute are good bounds"),
        )
    }

    pub fn record(&mut self, nanos: u64) {
        self.0.saturating_record((nanos / 1000).max(1));
    }

    /// Milliseconds that so many percent were faster than.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1000.0
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    pub fn clear(&mut self) {
        self.0.reset();
    }
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self::new()
    }
}

/// The median of some numbers, the smallest and the largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// `None` of nothing.
    #[must_use]
    pub fn of(numbers: &[f64]) -> Option<Self> {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let lower = if sorted.len().is_multiple_of(2) {
            *sorted.get(middle.checked_sub(1)?)?
        } else {
            upper
        };
        Some(Self {
            median: f64::midpoint(lower, upper),
            min: *sorted.first()?,
            max: *sorted.last()?,
        })
    }
}

/// Whole nanoseconds, of which a `u64` holds 584 years.
#[must_use]
pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Microseconds for each of so many.
#[must_use]
pub fn micros_each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count.max(1) as f64
}
