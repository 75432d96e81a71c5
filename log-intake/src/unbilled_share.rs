//! Share of the lines of a log that are not billed, of which the operator is told where it is more than noise.

use std::fmt;
use std::time::{Duration, Instant};

use pilothouse_core::cdn::Counters;

/// Least share that is told, in percent.
const TOLD: i64 = 1;
/// Least number of lines of a followed log that tell anything.
const LINES: i64 = 100;
/// Interval at which the share of a followed log is told.
const INTERVAL: Duration = Duration::from_mins(10);

/// Share of unreadable lines and of lines of hosts that are not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnbilledShare {
    counters: Counters,
}

impl UnbilledShare {
    /// Share of these lines; nothing where it is too small to be told.
    pub(crate) fn of(counters: Counters) -> Option<Self> {
        let unbilled = counters.unreadable + counters.unregistered;
        (unbilled > 0 && unbilled * 100 >= counters.lines * TOLD).then_some(Self { counters })
    }
}

impl fmt::Display for UnbilledShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counters { lines, unreadable, unregistered, .. } = self.counters;
        // Rounded up, so that no part of it is told as nothing.
        let percent = |part: i64| (part * 100 + lines - 1) / lines.max(1);
        write!(
            f,
            "{} % of {lines} lines are unreadable, {} % are of hosts that no customer has",
            percent(unreadable),
            percent(unregistered)
        )
    }
}

/// Share of a followed log over time.
#[derive(Debug)]
pub(crate) struct ShareOverTime {
    counters: Counters,
    since: Instant,
}

impl ShareOverTime {
    pub(crate) fn new(now: Instant) -> Self {
        Self { counters: Counters::default(), since: now }
    }

    pub(crate) fn add(&mut self, counters: Counters) {
        self.counters.add(counters);
    }

    /// Share since it was asked last; nothing where that is not long ago, or the share is too small to be told.
    pub(crate) fn take(&mut self, now: Instant) -> Option<UnbilledShare> {
        if now.saturating_duration_since(self.since) < INTERVAL || self.counters.lines < LINES {
            return None;
        }
        self.since = now;
        UnbilledShare::of(std::mem::take(&mut self.counters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(lines: i64, unreadable: i64, unregistered: i64) -> Counters {
        Counters { lines, unreadable, unregistered, ..Counters::default() }
    }

    #[test]
    fn a_share_is_told_from_one_percent_on() {
        assert_eq!(UnbilledShare::of(counters(0, 0, 0)), None);
        assert_eq!(UnbilledShare::of(counters(1000, 5, 4)), None);
        let told = UnbilledShare::of(counters(1000, 5, 500)).unwrap().to_string();
        assert_eq!(told, "1 % of 1000 lines are unreadable, 50 % are of hosts that no customer has");
    }

    #[test]
    fn a_followed_log_is_told_of_every_ten_minutes() {
        let now = Instant::now();
        let mut share = ShareOverTime::new(now);
        share.add(counters(99, 99, 0));
        assert_eq!(share.take(now + INTERVAL), None, "too few lines");
        share.add(counters(1, 0, 0));
        assert_eq!(share.take(now), None);
        let told = share.take(now + INTERVAL).unwrap().to_string();
        assert!(told.starts_with("99 % of 100 lines are unreadable"), "{told}");
        assert_eq!(share.take(now + INTERVAL * 2), None);
    }
}
