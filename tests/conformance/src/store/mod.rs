//! Transactions, snapshots, locks, wake-ups: what a store does for every repository.

pub(crate) mod identity;
pub(crate) mod pruning;
pub(crate) mod signal;
pub(crate) mod transaction;
