//! Accounts, tokens, failed log-ins and the audit trail.

#[expect(clippy::module_inception, reason = "the aggregate carries the family's name")]
mod account;
mod audit;
mod login;
mod token;

use pilothouse_core::account::{Account, AccountId, AuditId, AuditRow, Token, TokenId};

use crate::state::Table;
use login::LoginFailure;

#[derive(Clone, Debug, Default)]
pub(crate) struct AccountState {
    pub(crate) accounts: Table<AccountId, Account>,
    pub(crate) tokens: Table<TokenId, (Token, [u8; 32])>,
    login_failures: Table<i64, LoginFailure>,
    audit: Table<AuditId, AuditRow>,
}
