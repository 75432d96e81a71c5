//! Thresholds and alarms.

pub(crate) mod alarm_row;
pub(crate) mod threshold;
