//! Agent of a server: enrolment, the long poll for orders, downloads and reports.

mod attempt;
mod download;
mod identity;
mod reachability;
mod server;
mod worker;

pub use identity::enroll;
pub(crate) use reachability::examine;
pub use worker::run;
