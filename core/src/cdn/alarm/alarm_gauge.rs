//! Gauge of open alarms by their kind.

use super::alarm_row::{Alarm, AlarmKind};

/// Counts of the open alarms that this process shows: only the server that looks for alarms shows any, so that figures of
/// several servers can be added.
#[derive(Debug, Default)]
pub(super) struct AlarmGauge([u32; AlarmKind::ALL.len()]);

impl AlarmGauge {
    /// Shows these alarms in place of those that were shown.
    pub(super) fn show<'a>(&mut self, open: impl IntoIterator<Item = &'a Alarm>) {
        let mut counts = [0; AlarmKind::ALL.len()];
        for alarm in open {
            if let Some(place) = AlarmKind::ALL.into_iter().position(|kind| kind == alarm.kind) {
                counts[place] += 1;
            }
        }
        for (kind, (now, before)) in AlarmKind::ALL.into_iter().zip(counts.into_iter().zip(self.0)) {
            let change = f64::from(now) - f64::from(before);
            metrics::gauge!("pilothouse_alarms", "kind" => kind.as_str()).increment(change);
        }
        self.0 = counts;
    }
}

impl Drop for AlarmGauge {
    fn drop(&mut self) {
        self.show([]);
    }
}
