//! Tests of log intake into a domain over the memory store.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod follow;
mod forget;
mod former_owners;
mod ingest;
mod ship;
mod ship_schedules;
mod shipped;
mod support;
mod test_domain;
mod unregistered;
mod vendor_logs;
