//! Random numbers that are the same in every run: SplitMix64, whose state is one number.

use std::iter::successors;

/// A generator of random numbers.
pub struct Rng(u64);

impl Rng {
    /// Creates a generator from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Returns a number from 0 to `end`, `end` excluded. Returns 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        scale_below(self.next_u64(), end)
    }

    /// Returns a number from 0 to 1, 1 excluded.
    pub fn unit_interval(&mut self) -> f64 {
        // An `f64` holds 53 bits.
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns `true` with a probability.
    pub fn bernoulli(&mut self, probability: f64) -> bool {
        self.unit_interval() < probability
    }

    /// Returns the time until the next event, for events with a mean interval.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit_interval()).ln()
    }

    /// Returns the number of events, for an expected number.
    pub fn poisson(&mut self, expected: f64) -> u64 {
        let threshold = (-expected).exp();
        // Multiplies random numbers until their product is less likely than no event at all.
        let mut product = self.unit_interval();
        let mut count = 0;
        while product > threshold {
            product *= self.unit_interval();
            count += 1;
        }
        count
    }
}

/// Mixes the bits of a number, so that neighbouring numbers yield unrelated results.
pub fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Scales a 64-bit number to the range from 0 to `end`, without a division.
pub fn scale_below(number: u64, end: u64) -> u64 {
    let scaled = (u128::from(number) * u128::from(end)) >> 64;
    u64::try_from(scaled).unwrap_or(0)
}

/// Returns the shares of the first, second … item by Zipf's law, relative to the first.
pub fn zipf(exponent: f64) -> impl Iterator<Item = f64> {
    successors(Some(1_u64), |rank| Some(rank + 1)).map(move |rank| (rank as f64).powf(-exponent))
}
