//! Accounts, their tokens, failed log-ins, the audit trail.

#[expect(clippy::module_inception, reason = "the aggregate carries the room's name")]
pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod login;
pub(crate) mod stopped;
pub(crate) mod token;
