//! Throwaway services for tests: a real Postgres, real edges, free ports, and child processes that end with the test.
//!
//! `cargo test` works on any machine: a test of a service that is not installed is left out and says so. With
//! `PILOTHOUSE_TEST_SERVICES=require`, which `./test` sets, such a test fails instead.

mod edge;
mod line;
mod port;
mod postgres;
mod process;
mod services;

pub use edge::{EdgeProgram, EdgeServer};
pub use line::Line;
pub use port::free_port;
pub use postgres::{Database, Postgres};
pub use process::ProcessGuard;
pub use services::{
    durable_postgres_or_skip, edges_or_skip, leave_out, postgres_or_skip, services_required,
    stock_clients_or_skip,
};
