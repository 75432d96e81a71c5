//! Rate of a vendor's calls, as a bucket of tokens that the vendor may set back.

use std::time::Duration;

use tokio::time::Instant;

use crate::ports::Rate;

/// A bucket that holds a token for each call.
#[derive(Debug)]
pub(super) struct CallBucket {
    rate: Rate,
    /// Tokens there were at a moment.
    tokens: f64,
    at: Instant,
    /// Moment before which the vendor wants no call.
    not_before: Instant,
}

impl CallBucket {
    /// A bucket with one token: whoever spoke before may have used up the others.
    pub(super) fn new(rate: Rate) -> Self {
        let now = Instant::now();
        Self { rate, tokens: 1.0, at: now, not_before: now }
    }

    /// Time until a call may be made; zero where it may be now.
    pub(super) fn wait(&self) -> Duration {
        let missing = (1.0 - self.level()).max(0.0);
        let refill = Duration::from_secs_f64(missing / self.per_second());
        refill.max(self.not_before.saturating_duration_since(Instant::now()))
    }

    /// Takes the token of a call.
    pub(super) fn take(&mut self) {
        self.tokens = self.level() - 1.0;
        self.at = Instant::now();
    }

    /// Empties it, since the vendor asked to slow down, and allows no call for a while where the vendor said so.
    pub(super) fn set_back(&mut self, after: Option<Duration>) {
        self.tokens = 0.0;
        self.at = Instant::now();
        self.not_before = self.at + after.unwrap_or_default();
    }

    fn level(&self) -> f64 {
        let filled = self.at.elapsed().as_secs_f64() * self.per_second();
        (self.tokens + filled).min(f64::from(self.rate.burst.max(1)))
    }

    fn per_second(&self) -> f64 {
        f64::from(self.rate.calls.max(1)) / self.rate.period.as_secs_f64().max(0.001)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_keep_the_rate_and_a_rested_bucket_its_burst() {
        let mut bucket = CallBucket::new(Rate { calls: 1, period: Duration::from_secs(2), burst: 3 });
        assert_eq!(bucket.wait(), Duration::ZERO, "one call at once");
        bucket.take();
        assert_eq!(bucket.wait(), Duration::from_secs(2));
        sleep(Duration::from_mins(1)).await;
        for _ in 0..3 {
            assert_eq!(bucket.wait(), Duration::ZERO);
            bucket.take();
        }
        assert_eq!(bucket.wait(), Duration::from_secs(2));
        bucket.set_back(Some(Duration::from_secs(7)));
        assert_eq!(bucket.wait(), Duration::from_secs(7));
        sleep(Duration::from_secs(7)).await;
        assert_eq!(bucket.wait(), Duration::ZERO);
    }
}
