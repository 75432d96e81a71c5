//! Thresholds and alarms.

mod alarm_row;
mod threshold;

pub(super) use alarm_row::AlarmState;
