//! Tests of the agent as a program and as a library, on real files.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like the tests")]

mod broken_network;
mod fault_points;
mod journal;
mod machine;
mod meanwhile;
mod metadata;
mod online;
mod policy;
mod procedure;
mod program;
mod proxy;
mod refusals;
mod revert;
mod strace;
mod symlink_race;
mod tls;
mod unit;
