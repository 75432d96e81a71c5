//! Formats beside what other programs make of the same files.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod apollo;
mod hostile;
mod nacos;
mod round_trip;
mod yaml;
