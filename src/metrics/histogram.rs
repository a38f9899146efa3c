//! A histogram with fixed buckets, whose observations take no lock.
//!
//! The histogram of the library locks a mutex for each observation, and cannot count several equal observations in
//! one step. A broadcast writes one event to thousands of sockets, so both matter here.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};

/// The bounds of the buckets of a histogram, in the integer unit of its observations.
#[derive(Debug, Clone, Copy)]
pub struct Buckets {
    /// The upper bounds in ascending order. Each bound belongs to its bucket.
    bounds: &'static [u64],
    /// The number of integer units in the unit of the metric.
    units_per_one: f64,
}

const NANOS_PER_SECOND: f64 = 1e9;
const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// Buckets for delays inside the server: 100 µs to 30 s.
pub(super) const DELAYS: Buckets = Buckets {
    bounds: &[
        100 * MICROSECOND,
        250 * MICROSECOND,
        500 * MICROSECOND,
        MILLISECOND,
        2_500 * MICROSECOND,
        5 * MILLISECOND,
        10 * MILLISECOND,
        25 * MILLISECOND,
        50 * MILLISECOND,
        100 * MILLISECOND,
        250 * MILLISECOND,
        500 * MILLISECOND,
        SECOND,
        2_500 * MILLISECOND,
        5 * SECOND,
        10 * SECOND,
        30 * SECOND,
    ],
    units_per_one: NANOS_PER_SECOND,
};

/// Buckets for the number of commands in a transaction.
pub(super) const BATCH_SIZES: Buckets = Buckets {
    bounds: &[1, 2, 4, 8, 16, 32, 64, 128, 256],
    units_per_one: 1.0,
};

/// A histogram. Clones share the observations.
#[derive(Clone)]
pub struct Histogram(Arc<HistogramState>);

struct HistogramState {
    buckets: Buckets,
    /// The number of observations of each bucket, and of those above the last bound.
    counts: Box<[AtomicU64]>,
    /// The sum of all observations, in integer units.
    sum: AtomicU64,
}

impl Histogram {
    /// A histogram without observations.
    pub(super) fn new(buckets: Buckets) -> Self {
        Self(Arc::new(HistogramState {
            buckets,
            counts: (0..=buckets.bounds.len())
                .map(|_| AtomicU64::new(0))
                .collect(),
            sum: AtomicU64::new(0),
        }))
    }

    /// Observes a delay.
    pub fn observe(&self, delay: Duration) {
        self.observe_n(delay, 1);
    }

    /// Observes `count` equal delays in one step.
    pub fn observe_n(&self, delay: Duration, count: u64) {
        self.record(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX), count);
    }

    /// Observes a number.
    pub fn observe_count(&self, value: usize) {
        self.record(u64::try_from(value).unwrap_or(u64::MAX), 1);
    }

    /// The number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    fn record(&self, value: u64, count: u64) {
        self.add(self.bucket_of(value), count, value.wrapping_mul(count));
    }

    /// The index of the bucket of a value.
    fn bucket_of(&self, value: u64) -> usize {
        let bounds = self.0.buckets.bounds;
        bounds.partition_point(|bound| *bound < value)
    }

    fn add(&self, bucket: usize, count: u64, sum: u64) {
        let state = &*self.0;
        if let Some(bucket) = state.counts.get(bucket) {
            bucket.fetch_add(count, Ordering::Relaxed);
        }
        // The sum wraps around after 584 years of delays.
        state.sum.fetch_add(sum, Ordering::Relaxed);
    }
}

/// Equal observations that follow each other, before they are added to their histogram.
///
/// All cores share the counts of a histogram. Each addition to them costs much more than an addition here.
#[derive(Default)]
pub struct PendingObservations<'a>(Option<PendingBucket<'a>>);

struct PendingBucket<'a> {
    histogram: &'a Histogram,
    bucket: usize,
    count: u64,
    sum: u64,
}

impl<'a> PendingObservations<'a> {
    /// Observes `count` equal delays.
    pub fn observe_n(&mut self, histogram: &'a Histogram, delay: Duration, count: u64) {
        let value = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        let bucket = histogram.bucket_of(value);
        let sum = value.wrapping_mul(count);
        match &mut self.0 {
            Some(pending)
                if pending.bucket == bucket && Arc::ptr_eq(&pending.histogram.0, &histogram.0) =>
            {
                pending.count += count;
                pending.sum = pending.sum.wrapping_add(sum);
            }
            _ => {
                self.flush();
                self.0 = Some(PendingBucket {
                    histogram,
                    bucket,
                    count,
                    sum,
                });
            }
        }
    }

    fn flush(&mut self) {
        if let Some(pending) = self.0.take() {
            pending
                .histogram
                .add(pending.bucket, pending.count, pending.sum);
        }
    }
}

impl Drop for PendingObservations<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Histogram").field(&self.count()).finish()
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Buckets {
            bounds,
            units_per_one,
        } = self.0.buckets;
        let bounds = bounds.iter().map(|bound| to_f64(*bound) / units_per_one);
        let counts = self
            .0
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(counts).collect();
        // The count is the sum of the buckets that were just read, so that the output is consistent.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = to_f64(self.0.sum.load(Ordering::Relaxed)) / units_per_one;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// Converts a number to a float. Above 2^53 the result is the nearest float.
#[allow(
    clippy::cast_precision_loss,
    reason = "the values of metrics are floats"
)]
pub const fn to_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::{encoding::prometheus_text, registry::Registry};

    use super::{BATCH_SIZES, DELAYS, Histogram};

    fn encode(histogram: Histogram) -> String {
        let mut registry = Registry::default();
        registry.register("test", "Test", histogram);
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).expect("a string accepts all text");
        text
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::new(BATCH_SIZES);
        for value in [0, 1, 2, 3, 256, 257] {
            histogram.observe_count(value);
        }
        let text = encode(histogram);
        for line in [
            r#"test_bucket{le="1"} 2"#,
            r#"test_bucket{le="2"} 3"#,
            r#"test_bucket{le="4"} 4"#,
            r#"test_bucket{le="256"} 5"#,
            r#"test_bucket{le="+Inf"} 6"#,
            "test_sum 519.0",
            "test_count 6",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}:\n{text}");
        }
    }

    #[test]
    fn equal_observations_count_in_one_step() {
        let histogram = Histogram::new(DELAYS);
        histogram.observe_n(Duration::from_millis(2), 1000);
        histogram.observe(Duration::MAX);
        let text = encode(histogram.clone());
        assert_eq!(histogram.count(), 1001);
        assert!(text.contains("test_bucket{le=\"0.0025\"} 1000\n"), "{text}");
        assert!(text.contains("test_bucket{le=\"30\"} 1000\n"), "{text}");
        assert!(text.contains("test_bucket{le=\"+Inf\"} 1001\n"), "{text}");
    }
}
