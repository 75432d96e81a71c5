//! Access tokens: 256 random bits, kept only as a hash, expiring, revocable, checked afresh on every request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{Account, AccountId, Caller, CallerTransaction, Entry, Group, Scope, TokenLimits};
use crate::id::id;
use crate::ports::{Authenticator, Repositories, StorageResult};
use crate::sync::lock;
use crate::{Error, Pilothouse, Result};

id! {
    /// The id of a token; not a secret.
    TokenId
}

/// A token as it is listed: never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Identifies the token in lists; not a secret.
    pub id: TokenId,
    /// Account the token acts for.
    pub account: AccountId,
    /// Scope of what the token opens.
    pub scope: Scope,
    /// Name of an API token; of a log-in empty.
    pub name: String,
    /// Limits of an API token.
    pub limits: Option<Arc<TokenLimits>>,
    /// Time of the log-in.
    pub created: DateTime<Utc>,
    /// Expiry; the token opens nothing from then on.
    pub expires: DateTime<Utc>,
    /// Time of its last use, to the minute.
    pub last_used: Option<DateTime<Utc>>,
    /// Client address of the log-in.
    pub address: Option<IpAddr>,
}

impl Token {
    /// Whether it opens something of its account at this moment: it has not expired, and the account is not disabled.
    pub(crate) fn is_open(&self, account: &Account, now: DateTime<Utc>) -> bool {
        self.expires > now && !account.is_disabled
    }
}

/// A token to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Account the token acts for.
    pub account: AccountId,
    /// Scope of what the token opens.
    pub scope: Scope,
    /// Name of an API token; of a log-in empty.
    pub name: String,
    /// Limits of an API token.
    pub limits: Option<Arc<TokenLimits>>,
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    /// Time of the log-in.
    pub created: DateTime<Utc>,
    /// Expiry; the token opens nothing from then on.
    pub expires: DateTime<Utc>,
    /// Client address of the log-in.
    pub address: Option<IpAddr>,
}

/// Tokens in a store.
#[async_trait]
pub trait TokenRepository: Send {
    /// Stores a token's digest; the text is never stored.
    async fn insert(&mut self, token: &NewToken) -> StorageResult<TokenId>;
    /// The token with this digest and its account, in one look-up; expired or not.
    async fn resolve(&mut self, digest: &[u8; 32]) -> StorageResult<Option<(Token, Account)>>;
    /// The token with this id and its account, in one look-up; expired or not.
    async fn find(&mut self, id: TokenId) -> StorageResult<Option<(Token, Account)>>;
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

/// The use cases of tokens.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a>(pub(crate) &'a Pilothouse);

impl Tokens<'_> {
    /// Lists the caller's own tokens, or those of the account of that name, which needs what [`Tokens::revoke`] needs.
    pub async fn list(&self, caller: &Caller, of: Option<&str>) -> Result<Vec<Token>> {
        self.0.require_log_in(caller)?;
        // Who was stopped meanwhile has nothing written.
        self.0.require_current(&mut *self.0.storage().read().await?, caller).await?;
        self.0.flush_last_used().await?;
        let mut snapshot = self.0.storage().read().await?;
        let owner = self.owner(&mut *snapshot, caller, of).await?;
        Ok(snapshot.tokens().of_account(owner.0).await?)
    }

    /// Revokes one of the caller's own tokens, or of the account of that name; the latter needs group 7, every group that
    /// account has, and its grant on `all` apps where it has one.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn revoke(&self, caller: &Caller, of: Option<&str>, id: TokenId) -> Result<()> {
        self.0.require_log_in(caller)?;
        let mut work = self.0.write_as(caller).await?;
        let (owner, name) = self.owner(&mut *work, caller, of).await?;
        self.delete(work, owner, id, &name).await
    }

    /// Revokes the token the caller came with.
    pub async fn logout(&self, caller: &Caller) -> Result<()> {
        let Some(id) = caller.token else {
            return Err(Error::invalid("Authorization", "holds no token that could be revoked"));
        };
        let work = self.0.write_as(caller).await?;
        self.delete(work, caller.id, id, &caller.name).await
    }

    async fn delete(
        &self,
        mut work: CallerTransaction<'_>,
        owner: AccountId,
        id: TokenId,
        name: &str,
    ) -> Result<()> {
        if !work.tokens().delete(owner, id).await? {
            return Err(Error::not_found("the token"));
        }
        work.record(Entry::new("token.revoke", format!("token {id} of {name}"))).await?;
        Ok(work.commit().await?)
    }

    /// The account whose tokens are asked for, and its name.
    async fn owner(
        &self,
        repositories: &mut dyn Repositories,
        caller: &Caller,
        of: Option<&str>,
    ) -> Result<(AccountId, String)> {
        let Some(name) = of.filter(|name| *name != caller.name) else {
            return Ok((caller.id, caller.name.clone()));
        };
        self.0.require(caller, Group::WriteAccounts)?;
        let found = repositories.accounts().by_name(name).await?;
        let account = found.ok_or_else(|| Error::not_found("the account"))?;
        self.0.accounts().require_all_of(repositories, caller, &account).await?;
        Ok((account.id, account.name))
    }
}

/// Last uses of tokens that are not in the store yet: a request must not cost a write.
#[derive(Debug, Default)]
pub(crate) struct LastUsedBuffer(Mutex<HashMap<TokenId, DateTime<Utc>>>);

impl Pilothouse {
    pub(crate) fn note_use(&self, token: TokenId, at: DateTime<Utc>) {
        lock(&self.last_used().0).insert(token, at);
    }

    /// Last use of a token that is not in the store yet.
    pub(crate) fn noted_use(&self, token: TokenId) -> Option<DateTime<Utc>> {
        lock(&self.last_used().0).get(&token).copied()
    }

    /// Flushes last uses to the store. They are forgotten after the commit: one that fails loses none.
    pub(crate) async fn flush_last_used(&self) -> Result<()> {
        let used: Vec<_> = lock(&self.last_used().0).iter().map(|(token, at)| (*token, *at)).collect();
        if used.is_empty() {
            return Ok(());
        }
        let mut work = self.storage().begin().await?;
        work.tokens().touch(&used).await?;
        work.commit().await?;
        let mut pending = lock(&self.last_used().0);
        for (token, at) in used {
            if pending.get(&token) == Some(&at) {
                pending.remove(&token);
            }
        }
        Ok(())
    }
}

/// Pilothouse's own [`Authenticator`]: bearer tokens of its own accounts. A check is one read: no write, no password hash.
#[derive(Clone, Debug)]
pub struct TokenAuthenticator(Pilothouse);

impl TokenAuthenticator {
    /// Creates an authenticator of the tokens that this `pilothouse` issued.
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
        // A session of the console comes as a cookie there; stolen, it must not open the API.
        let open = found.filter(|(token, account)| token.is_open(account, now) && !token.scope.is_console());
        let (token, account) = open.ok_or(Error::Unauthenticated)?;
        self.0.note_use(token.id, now);
        Ok(Caller::of_token(token, account, address))
    }
}
