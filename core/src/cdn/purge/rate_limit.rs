//! Rate limit of a provider, as a token bucket.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::sync::lock;

/// A bucket of tokens that fills by so many a second, and holds as many as one second brings.
#[derive(Debug)]
pub(super) struct RateLimit {
    per_second: f64,
    /// The tokens there were at a moment; fewer than none where they were promised ahead.
    level: Mutex<(f64, Instant)>,
}

impl RateLimit {
    /// A full token bucket.
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self { per_second, level: Mutex::new((per_second, Instant::now())) }
    }

    /// Takes tokens, and waits until they are there. Whoever comes later waits longer.
    pub(super) async fn take(&self, tokens: usize) {
        sleep(self.reserve(u32::try_from(tokens).unwrap_or(u32::MAX))).await;
    }

    fn reserve(&self, tokens: u32) -> Duration {
        let mut level = lock(&self.level);
        let (held, at) = *level;
        let now = Instant::now();
        let held = (held + (now - at).as_secs_f64() * self.per_second).min(self.per_second);
        let left = held - f64::from(tokens);
        *level = (left, now);
        Duration::from_secs_f64((-left).max(0.0) / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_brings_so_many_tokens() {
        let rate = RateLimit::new(100);
        let begun = Instant::now();
        rate.take(100).await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "the bucket was full");
        rate.take(50).await;
        rate.take(250).await;
        assert!(begun.elapsed().abs_diff(Duration::from_secs(3)) < Duration::from_millis(5));
        sleep(Duration::from_mins(1)).await;
        let begun = Instant::now();
        rate.take(100).await;
        rate.take(1).await;
        assert!(begun.elapsed() >= Duration::from_millis(10), "it holds no more than a second's");
    }
}
