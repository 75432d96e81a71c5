//! Accounts, the groups that say what they may do, their tokens, and the audit trail: the one identity of all families.

#[expect(clippy::module_inception, reason = "the aggregate carries the family's name")]
mod account;
mod audit;
mod caller;
mod groups;
mod login;
mod password;
mod token;

pub use account::{Account, AccountId, AccountRepository, Accounts, NewAccount, UpdateAccount};
pub(crate) use account::{check_mail, check_name};
pub use audit::{Audit, AuditFilter, AuditRepository, AuditRow, Entry, digest};
pub use caller::{Caller, Scope};
pub use groups::{Group, Groups};
pub(crate) use login::Gates;
pub use login::{Access, LoginFailureRepository, Logins};
pub use password::Passwords;
pub(crate) use token::token_digest;
pub use token::{NewToken, Token, TokenAuthenticator, TokenId, TokenRepository, Tokens};
