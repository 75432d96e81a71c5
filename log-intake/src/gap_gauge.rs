//! Gauge of followed logs with gaps: each is counted for a day after lines were found to be missing.

use std::time::{Duration, Instant};

use chrono::TimeDelta;

/// Time for which a gap is shown: long enough to be seen by whoever looks once a day.
const SHOWN: Duration = Duration::from_hours(24);

/// Part of one log in the gauge.
#[derive(Debug)]
pub(crate) struct GapGauge {
    shown_until: Option<Instant>,
    /// Whether the gauge counts it.
    is_counted: bool,
}

impl GapGauge {
    /// Shows the last gap of a log, if it is not too old. `age` is the time since it was noticed; `None` where there is none.
    pub(crate) fn new(age: Option<TimeDelta>) -> Self {
        let shown_for = age.and_then(|age| SHOWN.checked_sub(age.to_std().unwrap_or_default()));
        let mut gauge = Self { shown_until: shown_for.map(|time| Instant::now() + time), is_counted: false };
        gauge.count();
        gauge
    }

    /// Shows a gap that was just noticed.
    pub(crate) fn show(&mut self, now: Instant) {
        self.shown_until = Some(now + SHOWN);
        self.count();
    }

    /// Ends showing a gap that is too old.
    pub(crate) fn update(&mut self, now: Instant) {
        self.shown_until.take_if(|until| *until <= now);
        self.count();
    }

    fn count(&mut self) {
        let is_shown = self.shown_until.is_some();
        if is_shown != self.is_counted {
            metrics::gauge!("pilothouse_log_gaps").increment(if is_shown { 1.0 } else { -1.0 });
            self.is_counted = is_shown;
        }
    }
}

impl Drop for GapGauge {
    fn drop(&mut self) {
        self.shown_until = None;
        self.count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_shown_for_a_day() {
        let new = |hours| GapGauge::new(Some(TimeDelta::hours(hours)));
        assert!(GapGauge::new(None).shown_until.is_none() && new(25).shown_until.is_none());
        let mut gauge = new(23);
        let now = Instant::now();
        gauge.update(now + Duration::from_mins(59));
        assert!(gauge.shown_until.is_some() && gauge.is_counted);
        gauge.update(now + Duration::from_mins(61));
        assert!(gauge.shown_until.is_none() && !gauge.is_counted);
        gauge.show(now);
        gauge.update(now + Duration::from_hours(23));
        assert!(gauge.shown_until.is_some());
    }
}
