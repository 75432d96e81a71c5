//! Stories that cross crates: the real program, in processes of its own, over each of its stores.
//!
//! `PILOTHOUSE_TEST_KILLS` says how often the tests of `kill` and `trials` end a server in the midst of its work, and how many
//! sequences those of `sequences` have: where it is unset 5 and 3, or 2 where each costs the lease of a job.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod apollo;
mod client;
mod commands;
mod delivery;
mod edges;
mod fleet;
mod follow;
mod follower;
mod full;
mod handover;
mod https;
mod kill;
mod load;
mod place;
mod publisher;
mod random;
mod released;
mod sequences;
mod stock;
mod story;
mod takeover;
mod traffic;
mod trials;
mod writer;
