//! Chance that comes out the same in every run: SplitMix64, all of whose state is one number.

use std::iter::successors;

pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from 0 on that is less than `end`; 0 where there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        scale_below(self.next_u64(), end)
    }

    /// From 0 to 1.
    pub fn unit_interval(&mut self) -> f64 {
        // 53 bits are all that fit.
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn bernoulli(&mut self, probability: f64) -> bool {
        self.unit_interval() < probability
    }

    /// How long it is until something happens that happens so often on average.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit_interval()).ln()
    }

    /// How often something has happened that was to be expected so many times.
    pub fn poisson(&mut self, expected: f64) -> u64 {
        let none = (-expected).exp();
        // As many as numbers may be multiplied before they are less likely than nothing at all.
        let mut left = self.unit_interval();
        let mut count = 0;
        while left > none {
            left *= self.unit_interval();
            count += 1;
        }
        count
    }
}

/// Scatters the bits of a number: neighbours have nothing in common afterwards.
pub fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Brings a number of 64 bits into 0 to `end`, without the detour of a division.
pub fn scale_below(number: u64, end: u64) -> u64 {
    let scaled = (u128::from(number) * u128::from(end)) >> 64;
    u64::try_from(scaled).unwrap_or(0)
}

/// What the first, the second … have of the whole where each has so much less than the one before
/// (Zipf's law), the first of them 1.
pub fn zipf(exponent: f64) -> impl Iterator<Item = f64> {
    successors(Some(1_u64), |rank| Some(rank + 1)).map(move |rank| (rank as f64).powf(-exponent))
}
