//! Agent of a server: enrolment, the long poll for orders, downloads and reports.

mod attempt;
mod download;
mod identity;
mod server;
mod worker;

pub use identity::enroll;
pub use worker::run;
