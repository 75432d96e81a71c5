//! Accounts, the groups that say what they may do, their tokens, and the audit trail: the one identity of all families.

#[expect(clippy::module_inception, reason = "the aggregate carries the family's name")]
mod account;
mod api_token;
mod audit;
mod caller;
mod caller_transaction;
mod changeable;
mod client_address;
mod console_session;
mod disabling;
mod django_hash;
mod groups;
mod identity;
mod lockout;
mod login;
mod names;
mod password;
mod refusal;
mod superuser;
mod token;

pub(crate) use account::insert_account;
pub use account::{Account, AccountId, AccountRepository, Accounts, NewAccount, UpdateAccount};
pub use api_token::{IssuedToken, NewApiToken};
pub use audit::{Audit, AuditFilter, AuditId, AuditRepository, AuditRow};
pub(crate) use audit::{Entry, digest};
pub(crate) use caller::Reach;
pub use caller::{Caller, Scope, TokenLimits};
pub(crate) use caller_transaction::CallerTransaction;
pub use changeable::Changeable;
pub use client_address::client_address;
pub use console_session::ConsoleSessions;
pub(crate) use django_hash::{UNUSABLE_PASSWORD, check_imported_password};
pub use groups::{Group, Groups};
pub(crate) use identity::{check_identity, check_mail};
pub(crate) use login::Gates;
pub use login::{Access, LoginFailureRepository, Logins, client_network};
pub use names::AccountName;
pub(crate) use password::Passwords;
pub(crate) use refusal::RefusalBuffer;
pub(crate) use token::{LastUsedBuffer, token_digest};
pub use token::{NewToken, Token, TokenAuthenticator, TokenId, TokenRepository, Tokens};
