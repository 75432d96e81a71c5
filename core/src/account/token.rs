//! Access tokens: 256 random bits, kept only as a hash, expiring, revocable, checked afresh on every request.

use std::net::IpAddr;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{Account, AccountId, Caller, Entry, Scope};
use crate::ports::{Authenticator, StorageResult};
use crate::{Error, Pilothouse, Result};

/// The id of a token; not a secret.
pub type TokenId = i64;

/// A token as it is listed: never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// Whose it is.
    pub account: AccountId,
    /// How far it reaches.
    pub scope: Scope,
    /// When it was issued.
    pub created: DateTime<Utc>,
    /// When it ends.
    pub expires: DateTime<Utc>,
    /// When it last opened a request, to the minute.
    pub last_used: Option<DateTime<Utc>>,
    /// Where it was issued to.
    pub address: Option<IpAddr>,
}

/// A token to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Whose it is.
    pub account: AccountId,
    /// How far it reaches.
    pub scope: Scope,
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    /// When it was issued.
    pub created: DateTime<Utc>,
    /// When it ends.
    pub expires: DateTime<Utc>,
    /// Where it was issued to.
    pub address: Option<IpAddr>,
}

/// Tokens in a store.
#[async_trait]
pub trait TokenRepository: Send {
    /// Keeps a token.
    async fn insert(&mut self, token: &NewToken) -> StorageResult<TokenId>;
    /// The token with this digest and its account, in one look-up; expired or not.
    async fn resolve(&mut self, digest: &[u8; 32]) -> StorageResult<Option<(Token, Account)>>;
    /// An account's tokens, by id.
    async fn of_account(&mut self, account: AccountId) -> StorageResult<Vec<Token>>;
    /// Removes one token of an account; whether there was one.
    async fn delete(&mut self, account: AccountId, id: TokenId) -> StorageResult<bool>;
    /// Removes an account's tokens of one scope, or of every scope.
    async fn delete_of_account(&mut self, account: AccountId, scope: Option<Scope>) -> StorageResult<()>;
    /// Notes when tokens were last used; those gone meanwhile are passed over.
    async fn touch(&mut self, used: &[(TokenId, DateTime<Utc>)]) -> StorageResult<()>;
    /// Removes tokens that ended before `now`.
    async fn prune(&mut self, now: DateTime<Utc>) -> StorageResult<()>;
}

/// SHA-256 of a token's text, which is all a store ever sees of it.
pub(crate) fn token_digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// One's own tokens.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a>(pub(crate) &'a Pilothouse);

impl Tokens<'_> {
    /// Lists the caller's own tokens.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<Token>> {
        self.0.require_account_scope(caller)?;
        self.0.flush_last_used().await?;
        Ok(self.0.storage().read().await?.tokens().of_account(caller.id).await?)
    }

    /// Revokes one of the caller's own tokens.
    pub async fn revoke(&self, caller: &Caller, id: TokenId) -> Result<()> {
        self.0.require_account_scope(caller)?;
        let mut work = self.0.storage().begin().await?;
        if !work.tokens().delete(caller.id, id).await? {
            return Err(Error::not_found("the token"));
        }
        self.0.audit(&mut *work, caller, Entry::new("token.revoke", format!("token {id}"))).await?;
        Ok(work.commit().await?)
    }

    /// Revokes the token the caller came with.
    pub async fn logout(&self, caller: &Caller) -> Result<()> {
        match caller.token {
            Some(id) => self.revoke(caller, id).await,
            None => Err(Error::invalid("Authorization", "holds no token that could be revoked")),
        }
    }
}

/// Pilothouse's own [`Authenticator`]: bearer tokens of its own accounts. A check is one read: no write, no password hash.
#[derive(Clone, Debug)]
pub struct TokenAuthenticator(Pilothouse);

impl TokenAuthenticator {
    /// For the tokens this `pilothouse` issued.
    pub fn new(pilothouse: Pilothouse) -> Self {
        Self(pilothouse)
    }
}

#[async_trait]
impl Authenticator for TokenAuthenticator {
    async fn authenticate(&self, bearer: &str, address: Option<IpAddr>) -> Result<Caller> {
        let mut snapshot = self.0.storage().peek().await?;
        let found = snapshot.tokens().resolve(&token_digest(bearer)).await?;
        let now = self.0.clock().now();
        let (token, account) =
            found.filter(|(token, _)| token.expires > now).ok_or(Error::Unauthenticated)?;
        self.0.note_use(token.id, now);
        Ok(Caller {
            id: account.id,
            name: account.name,
            mail: account.mail,
            groups: account.groups,
            scope: token.scope,
            token: Some(token.id),
            address,
        })
    }
}
