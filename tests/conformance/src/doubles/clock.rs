//! Clock that a test advances.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_core::ports::Clock;

/// A clock that advances only when a test advances it.
#[derive(Debug)]
pub struct ManualClock(Mutex<Readings>);

#[derive(Debug)]
struct Readings {
    wall: DateTime<Utc>,
    monotonic: Duration,
}

impl ManualClock {
    /// A clock that shows this Unix time.
    pub fn at(seconds: i64) -> Self {
        Self(Mutex::new(Readings { wall: moment(seconds), monotonic: Duration::ZERO }))
    }

    /// Sets the clock to this Unix time, as time that passes does: the monotonic clock advances, too.
    pub fn set(&self, seconds: i64) {
        let by = moment(seconds) - self.now();
        self.advance(by);
    }

    /// Lets time pass; a negative one only turns the wall clock back.
    pub fn advance(&self, by: TimeDelta) {
        let mut readings = self.lock();
        readings.wall += by;
        readings.monotonic += by.to_std().unwrap_or_default();
    }

    /// Sets the wall clock ahead or back while no time passes.
    pub fn jump(&self, by: TimeDelta) {
        self.lock().wall += by;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Readings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn moment(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        self.lock().wall
    }

    fn monotonic(&self) -> Duration {
        self.lock().monotonic
    }
}
