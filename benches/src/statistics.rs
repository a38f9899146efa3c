//! Statistics over several rounds: latencies, the median and the spread.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest recorded time. Longer times are recorded as this time.
const MAX_MICROS: u64 = 60_000_000;

/// A histogram of latencies with a precision of a thousandth.
pub struct LatencyHistogram(Histogram<u64>);

impl LatencyHistogram {
    /// Creates an empty histogram.
    ///
    /// # Panics
    /// Never: the histogram accepts the constant bounds.
    #[must_use]
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, MAX_MICROS, 3).expect("1 µs to 60 s are valid bounds"))
    }

    /// Records a time in nanoseconds.
    pub fn record(&mut self, nanos: u64) {
        self.0.saturating_record((nanos / 1000).max(1));
    }

    /// Returns a percentile in milliseconds.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1000.0
    }

    /// Returns the number of recorded times.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Removes all recorded times.
    pub fn clear(&mut self) {
        self.0.reset();
    }
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self::new()
    }
}

/// The median, the smallest and the largest of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The smallest number.
    pub min: f64,
    /// The largest number.
    pub max: f64,
}

impl Spread {
    /// Returns the spread of some numbers, or `None` if there are none.
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

/// Returns a duration in nanoseconds. A `u64` holds 584 years.
#[must_use]
pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the microseconds for each of `count` items.
#[must_use]
pub fn micros_each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count.max(1) as f64
}
