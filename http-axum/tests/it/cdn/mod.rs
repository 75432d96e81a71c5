//! API of the CDN management.

mod alarms;
mod customers;
mod log_intake;
mod operator;
mod overviews;
mod purge;
mod stats;
mod traffic;
pub(crate) mod traffic_api;
