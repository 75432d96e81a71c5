//! Accounts, tokens, failed log-ins and the audit trail.

#[expect(clippy::module_inception, reason = "the aggregate carries the family's name")]
mod account;
mod audit;
mod login;
mod token;
