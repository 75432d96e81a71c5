#![doc = include_str!("../README.md")]
#![expect(clippy::unwrap_used, reason = "a failing case panics")]
#![expect(clippy::missing_panics_doc, reason = "whatever the store fails at is a panic, as tests want it")]

mod account;
mod alarm;
mod authoring;
mod customers;
mod delivery;
mod import;
mod ops;
mod purge;
mod store;
mod traffic;
mod webhook;

mod blob_store;
mod cases;
pub mod doubles;
mod fixture;
mod provider;
mod race;
pub mod rows;

pub use blob_store::blob_store_conforms;
pub use cases::{Case, cases, run};
pub use delivery::model;
/// Random number generator with a seed: the same numbers for the same seed.
pub use fastrand::Rng;
pub use fixture::{Fixture, FixtureBuilder};
pub use provider::{Account, provider_conforms};
pub use race::race;
