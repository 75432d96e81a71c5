//! Test fixtures shared by the workspace: throwaway Postgres servers and CDN edges, fake CDN vendors, an S3 server, a TCP proxy
//! that simulates a network partition, free ports, child processes that end with the test, and seeded random numbers.
//!
//! `cargo test` works on any machine: a test that needs a service which is not installed is skipped with a message. With
//! `PILOTHOUSE_TEST_SERVICES=require`, which `./test` sets, such a test fails instead.

mod edge;
mod port;
mod postgres;
mod process;
mod random;
mod s3;
mod services;
mod tcp_proxy;
mod vendor;
mod vendors;

pub use edge::{EdgeProgram, EdgeServer};
pub use port::free_port;
pub use postgres::{Database, Postgres};
pub use process::{ProcessGuard, Signal};
pub use random::{Rng, env_number};
pub use s3::S3Server;
pub use services::{
    durable_postgres_or_skip, edges_or_skip, postgres_or_skip, services_required, skip_test,
    stock_clients_or_skip,
};
pub use tcp_proxy::TcpProxy;
pub use vendor::FakeVendor;
pub use vendors::FakeVendors;
