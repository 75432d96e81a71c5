//! API tokens: named, limited, with an expiry, for programs that act for an account.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::token::token_digest;
use super::{Caller, Entry, NewToken, Scope, TokenId, TokenLimits, Tokens};
use crate::config::check_limits;
use crate::ports::LockKey;
use crate::text::check_visible;
use crate::{Error, Result, check_text};

/// Beginning of the text of an API token, by which scanners know a leaked one.
const PREFIX: &str = "ph_";
/// The longest life of an API token in days.
const MOST_DAYS: i64 = 366;

/// An API token to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApiToken {
    /// Name among the tokens of its owner: 1 to 64 bytes.
    pub name: String,
    /// Limits on what its owner may.
    pub limits: TokenLimits,
    /// Days until it expires: 1 to 366.
    pub days: i64,
}

/// An API token that was made.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// Identifies it in lists; not a secret.
    pub id: TokenId,
    /// The bearer token, shown once: `ph_` and 64 hexadecimal digits.
    pub token: String,
    /// Expiry of the token.
    pub expires: DateTime<Utc>,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken")
            .field("id", &self.id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl Tokens<'_> {
    /// Makes an API token of the caller's, who must have logged in. It opens what its owner may at the moment of use,
    /// within its limits, and no more than the caller may now: groups that the caller does not hold are refused.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn issue(&self, caller: &Caller, new: NewApiToken) -> Result<IssuedToken> {
        self.0.require_log_in(caller)?;
        let NewApiToken { name, limits, days } = new;
        check_text("name", &name, 1, 64, false)?;
        check_visible("name", &name)?;
        check_limits(&limits)?;
        if !(1..=MOST_DAYS).contains(&days) {
            return Err(Error::invalid("days", format!("must be from 1 to {MOST_DAYS}")));
        }
        if !caller.groups.covers(limits.groups) {
            return Err(self.0.refuse(caller, "to make a token with groups it does not hold"));
        }
        let token = format!("{PREFIX}{}", hex::encode(self.0.ids().secret()));
        let created = self.0.clock().now();
        let expires = created + TimeDelta::days(days);
        let mut work = self.0.write_as(caller).await?;
        work.lock(LockKey::Accounts).await?;
        let tokens = work.tokens().of_account(caller.id).await?;
        let own: Vec<_> =
            tokens.iter().filter(|token| token.scope == Scope::Api && token.expires > created).collect();
        if own.iter().any(|token| token.name == name) {
            return Err(Error::exists("an API token of this name"));
        }
        let most = self.0.settings().tokens_per_account;
        if own.len() >= most {
            return Err(Error::conflict(format!(
                "the account has {most} API tokens, the most there may be (tokens_per_account)"
            )));
        }
        let entry = Entry::new("token.create", &*name);
        let new = NewToken {
            account: caller.id,
            scope: Scope::Api,
            name,
            limits: Some(Arc::new(limits)),
            digest: token_digest(&token),
            created,
            expires,
            address: caller.address,
        };
        let id = work.tokens().insert(&new).await?;
        work.record(entry).await?;
        work.commit().await?;
        Ok(IssuedToken { id, token, expires })
    }
}
