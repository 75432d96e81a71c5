//! Thresholds and alarms.

mod alarm_row;
mod threshold;
