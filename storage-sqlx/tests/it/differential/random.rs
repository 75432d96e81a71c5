//! Random numbers that are the same for the same seed.

use chrono::{DateTime, Utc};
use pilothouse_core::conformance::moment;

/// Sebastiano Vigna's splitmix64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is small.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// The same as a number of a database.
    pub(super) fn number(&mut self, bound: usize) -> i64 {
        i64::try_from(self.below(bound)).unwrap()
    }

    /// True in so many of a hundred cases.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// The value or nothing.
    pub(super) fn perhaps<T>(&mut self, value: T) -> Option<T> {
        self.chance(50).then_some(value)
    }

    /// One of a few moments, so that many are equal.
    pub(super) fn moment(&mut self) -> DateTime<Utc> {
        moment(self.number(8))
    }

    /// A short text, often one that was used before.
    pub(super) fn word(&mut self) -> &'static str {
        self.pick(&["a", "A", "b", "a.b", "a_b", "ä", "Ä", "更新", "🚀", "%", "it's", "$1"])
    }
}
