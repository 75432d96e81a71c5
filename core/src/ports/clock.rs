//! Time and identifiers, injected so that tests decide both.

use std::fmt::Debug;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Source of the present time, so that tests decide it.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The present, to the microsecond.
    fn now(&self) -> DateTime<Utc>;
    /// Time since a fixed moment by a clock that is never set, which tells how long something took.
    fn monotonic(&self) -> Duration;
}

/// The operating system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> DateTime<Utc> {
        let now = Utc::now();
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }

    fn monotonic(&self) -> Duration {
        static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGIN.elapsed()
    }
}

/// Source of unpredictable identifiers and secrets.
pub trait Ids: Debug + Send + Sync + 'static {
    /// A fresh random UUID (version 4).
    fn uuid(&self) -> Uuid;
    /// 256 fresh random bits, for a secret.
    fn secret(&self) -> [u8; 32];
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "the one place that makes random identifiers")]
    fn uuid(&self) -> Uuid {
        Uuid::new_v4()
    }

    #[expect(
        clippy::expect_used,
        reason = "without randomness no secret may be made; there is nothing to fall back on"
    )]
    fn secret(&self) -> [u8; 32] {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).expect("the operating system provides randomness");
        secret
    }
}
