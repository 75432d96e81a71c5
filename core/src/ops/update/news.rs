//! Waiting for news of an order or a batch.

use std::time::Duration;

use crate::ports::Clock;
use crate::{Error, Result};

/// The longest wait in seconds.
const MOST_WAIT: i64 = 60;
/// Interval between looks at the store; the answer comes at most this late.
const LOOK: Duration = Duration::from_millis(500);

/// Wait of a caller for news, look by look.
pub(super) struct NewsWait<'a> {
    clock: &'a dyn Clock,
    end: Duration,
}

impl<'a> NewsWait<'a> {
    /// Begins a wait of 0 to 60 seconds.
    pub(super) fn begin(clock: &'a dyn Clock, seconds: i64) -> Result<Self> {
        if !(0..=MOST_WAIT).contains(&seconds) {
            return Err(Error::invalid("wait", "must be from 0 to 60"));
        }
        Ok(Self { clock, end: clock.monotonic() + Duration::from_secs(seconds.unsigned_abs()) })
    }

    /// Waits until it is time for the next look; whether there is to be one.
    pub(super) async fn goes_on(&self) -> bool {
        let left = self.end.saturating_sub(self.clock.monotonic());
        if left.is_zero() {
            return false;
        }
        tokio::time::sleep(left.min(LOOK)).await;
        true
    }
}
