//! Health of a followed log, of which there is an alarm where it cannot be read or many of its lines cannot.

use std::time::{Duration, Instant};

use pilothouse_core::cdn::Counters;

/// Time for which reading has to fail before it is told: a rotation may take a moment.
const FAILING: Duration = Duration::from_secs(30);
/// Interval at which lines are looked at, and at which what is out of order is told again.
const INTERVAL: Duration = Duration::from_mins(1);
/// Least number of lines that tell anything.
const LINES: i64 = 100;
/// Least share of unreadable lines that is told, in percent.
const GARBLED: i64 = 10;

/// News of a log to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HealthReport {
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// It can be read.
    Readable,
}

/// Reading that fails.
#[derive(Clone, Debug)]
struct Failing {
    since: Instant,
    reason: String,
}

/// Health of one log between polls.
#[derive(Debug)]
pub(crate) struct LogHealth {
    failing: Option<Failing>,
    /// Reason why the log that is read is out of order.
    garbled: Option<String>,
    counters: Counters,
    since: Instant,
    /// Whether it was last told to be readable, and when; `None` before anything was told.
    told: Option<(bool, Instant)>,
}

impl LogHealth {
    pub(crate) fn new(now: Instant) -> Self {
        Self { failing: None, garbled: None, counters: Counters::default(), since: now, told: None }
    }

    /// Notes that reading failed; what is to be told of it.
    pub(crate) fn failed(&mut self, now: Instant, reason: &str) -> Option<HealthReport> {
        let since = self.failing.take().map_or(now, |failing| failing.since);
        let is_told = now.saturating_duration_since(since) >= FAILING;
        self.failing = Some(Failing { since, reason: reason.to_owned() });
        if is_told { self.tell(now, Some(reason)) } else { None }
    }

    /// Notes that there was nothing to read, which does not mend what failed; what is to be told of the log.
    pub(crate) fn idle(&mut self, now: Instant) -> Option<HealthReport> {
        match self.failing.clone() {
            Some(failing) => self.failed(now, &failing.reason),
            None => self.read(now, Counters::default()),
        }
    }

    /// Notes the lines of a poll; what is to be told of the log.
    pub(crate) fn read(&mut self, now: Instant, counters: Counters) -> Option<HealthReport> {
        let had_failed = self.failing.take().is_some();
        self.counters.add(counters);
        if now.saturating_duration_since(self.since) < INTERVAL {
            return if had_failed { self.tell(now, self.garbled.clone().as_deref()) } else { None };
        }
        self.since = now;
        if self.counters.lines >= LINES {
            let Counters { lines, unreadable, .. } = std::mem::take(&mut self.counters);
            let is_garbled = unreadable * 100 >= lines * GARBLED;
            let percent = unreadable * 100 / lines;
            self.garbled = is_garbled.then(|| format!("{percent} % of {lines} lines cannot be read"));
        }
        self.tell(now, self.garbled.clone().as_deref())
    }

    fn tell(&mut self, now: Instant, wrong: Option<&str>) -> Option<HealthReport> {
        let is_readable = wrong.is_none();
        let is_known = self.told.is_some_and(|(told, at)| {
            told == is_readable && (is_readable || now.saturating_duration_since(at) < INTERVAL)
        });
        if is_known {
            return None;
        }
        self.told = Some((is_readable, now));
        Some(wrong.map_or(HealthReport::Readable, |reason| HealthReport::Unreadable(reason.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(lines: i64, unreadable: i64) -> Counters {
        Counters { lines, unreadable, ..Counters::default() }
    }

    fn unreadable(reason: &str) -> HealthReport {
        HealthReport::Unreadable(reason.to_owned())
    }

    #[test]
    fn a_log_that_cannot_be_read_is_told_of_every_minute() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut health = LogHealth::new(begin);
        assert_eq!(health.failed(at(0), "no entry"), None);
        assert_eq!(health.failed(at(29), "no entry"), None, "it may be rotated just now");
        assert_eq!(health.failed(at(30), "no entry"), Some(unreadable("no entry")));
        assert_eq!(health.idle(at(89)), None);
        assert_eq!(health.idle(at(90)), Some(unreadable("no entry")));
        assert_eq!(health.read(at(91), counters(1, 0)), Some(HealthReport::Readable));
        assert_eq!(health.read(at(200), counters(1, 0)), None, "it was told");
    }

    #[test]
    fn a_tenth_of_unreadable_lines_is_told() {
        let begin = Instant::now();
        let at = |minutes| begin + INTERVAL * minutes;
        let mut health = LogHealth::new(begin);
        assert_eq!(health.read(begin, counters(100, 100)), None, "after a minute");
        assert_eq!(
            health.read(at(1), counters(900, 0)),
            Some(unreadable("10 % of 1000 lines cannot be read"))
        );
        assert_eq!(
            health.read(at(2), counters(50, 0)),
            Some(unreadable("10 % of 1000 lines cannot be read"))
        );
        assert_eq!(health.read(at(3), counters(949, 99)), Some(HealthReport::Readable));
    }

    #[test]
    fn what_an_earlier_process_told_is_taken_back_after_a_minute() {
        let begin = Instant::now();
        let mut health = LogHealth::new(begin);
        assert_eq!(health.read(begin + INTERVAL / 2, counters(0, 0)), None);
        assert_eq!(health.read(begin + INTERVAL, counters(0, 0)), Some(HealthReport::Readable));
    }
}
