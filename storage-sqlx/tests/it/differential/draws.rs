//! Values drawn from random numbers.

use chrono::{DateTime, Utc};
use pilothouse_conformance::{Rng, rows};

pub(super) trait Draws {
    /// True in so many of a hundred cases.
    fn chance(&mut self, percent: u8) -> bool;

    fn pick<T: Copy>(&mut self, from: &[T]) -> T;

    /// The value or nothing, equally often.
    fn perhaps<T>(&mut self, value: T) -> Option<T>;

    /// One of a few moments, so that many are equal.
    fn moment(&mut self) -> DateTime<Utc>;

    /// A short text, often one that was used before.
    fn word(&mut self) -> &'static str;
}

impl Draws for Rng {
    fn chance(&mut self, percent: u8) -> bool {
        self.u8(..100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.usize(..from.len())]
    }

    fn perhaps<T>(&mut self, value: T) -> Option<T> {
        self.bool().then_some(value)
    }

    fn moment(&mut self) -> DateTime<Utc> {
        rows::moment(self.i64(0..8))
    }

    fn word(&mut self) -> &'static str {
        self.pick(&["a", "A", "b", "a.b", "a_b", "ä", "Ä", "更新", "🚀", "%", "it's", "$1"])
    }
}
