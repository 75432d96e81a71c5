//! Alarms: thresholds that customers set on their domains, and what is out of order with domains, edges and their logs.
//!
//! One server at a time looks: it compares the closed buckets of the last hour with the thresholds, and the states of edges
//! and of their logs with what they should be. An alarm is one row from its begin to its end, and one event of each.

mod alarm_gauge;
mod alarm_list;
mod alarm_row;
mod alarm_worker;
mod edge_watch;
mod episode;
mod survey;
mod threshold;

pub use alarm_list::{AlarmFilter, AlarmOverview, AlarmQuery, Alarms};
pub use alarm_row::{Alarm, AlarmId, AlarmKind, AlarmRepository, AlarmSubject};
pub use alarm_worker::AlarmWorker;
pub use threshold::{MAX_BANDWIDTH, MAX_MIN_REQUESTS, Share, Threshold, ThresholdRepository, Thresholds};
