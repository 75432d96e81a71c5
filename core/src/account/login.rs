//! Logging in, throttled.
//!
//! In a window of five minutes: five failures for a name from one address shut that name out from that address;
//! twenty failures from an address shut every name out from it. A right password does not get through then, and
//! refused attempts do not count. Beyond a hundred failures for one name from anywhere each attempt waits a second.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::token::token_digest;
use super::{Account, NewToken, Scope};
use crate::ports::{LockKey, StorageResult, UnitOfWork};
use crate::{Error, Pilothouse, Result};

/// The window failures are counted in.
const WINDOW: TimeDelta = TimeDelta::minutes(5);
const FAILURES_PER_NAME_AND_ADDRESS: u64 = 5;
const FAILURES_PER_ADDRESS: u64 = 20;
const FAILURES_PER_NAME: u64 = 100;
const DELAY: Duration = Duration::from_secs(1);

/// What a log-in yields.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// The bearer token, shown once: 64 hexadecimal digits.
    pub token: String,
    /// Whose it is.
    pub account: Account,
    /// When it ends.
    pub expires: DateTime<Utc>,
}

/// Failed log-ins in a store.
#[async_trait]
pub trait LoginFailureRepository: Send {
    /// Notes a failure.
    async fn insert(&mut self, name: &str, address: IpAddr, at: DateTime<Utc>) -> StorageResult<()>;
    /// Failures since a moment, of a name, an address, or both.
    async fn count(
        &mut self,
        name: Option<&str>,
        address: Option<IpAddr>,
        since: DateTime<Utc>,
    ) -> StorageResult<u64>;
    /// The oldest failure since a moment, as [`LoginFailureRepository::count`] counts them.
    async fn oldest(
        &mut self,
        name: Option<&str>,
        address: Option<IpAddr>,
        since: DateTime<Utc>,
    ) -> StorageResult<Option<DateTime<Utc>>>;
    /// Forgets failures before a moment.
    async fn prune(&mut self, before: DateTime<Utc>) -> StorageResult<()>;
}

/// One attempt at a time per address, so that the limits hold exactly however many attempts arrive at once.
#[derive(Debug, Default)]
pub(crate) struct Gates(Mutex<HashMap<IpAddr, Arc<tokio::sync::Mutex<()>>>>);

impl Gates {
    async fn enter(&self, address: IpAddr) -> tokio::sync::OwnedMutexGuard<()> {
        let gate = {
            let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
            gates.entry(address).or_default().clone()
        };
        gate.lock_owned().await
    }
}

/// Logging in.
#[derive(Clone, Copy, Debug)]
pub struct Logins<'a>(pub(crate) &'a Pilothouse);

impl Logins<'_> {
    /// Logs in with a name or mail and a password; the token reaches the whole account.
    ///
    /// An unknown name and a wrong password get the same answer in the same time: [`Error::Unauthenticated`].
    pub async fn login(&self, name: &str, password: &str, address: Option<IpAddr>) -> Result<Access> {
        let account = find(&mut *self.0.storage().read().await?, name).await?;
        let hash = account.as_ref().and_then(|account| account.password.as_deref());
        let key = account.as_ref().map_or(name, |account| &account.name);
        if !self.attempt("name", key, address, password, hash).await? {
            return Err(Error::Unauthenticated);
        }
        let account = account.ok_or(Error::Unauthenticated)?;
        let mut work = self.0.storage().begin().await?;
        // The password may have changed since it was checked; then the token would outlive its revocation.
        work.lock(LockKey::Accounts).await?;
        let current = work.accounts().by_id(account.id).await?.ok_or(Error::Unauthenticated)?;
        if current.password != account.password {
            return Err(Error::Unauthenticated);
        }
        let access = self.issue(&mut *work, current, Scope::Account, address).await?;
        work.commit().await?;
        Ok(access)
    }

    /// Compares a password under the limits above; `field` names the parameter in an error.
    pub(crate) async fn attempt(
        &self,
        field: &'static str,
        name: &str,
        address: Option<IpAddr>,
        password: &str,
        hash: Option<&str>,
    ) -> Result<bool> {
        if name.is_empty() || name.len() > 254 {
            return Err(Error::invalid(field, "must be 1 to 254 bytes"));
        }
        let (name, address) = (name.to_lowercase(), address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
        let since = self.0.clock().now() - WINDOW;
        let mut snapshot = self.0.storage().read().await?;
        if snapshot.login_failures().count(Some(&name), None, since).await? > FAILURES_PER_NAME {
            tokio::time::sleep(DELAY).await;
        }
        drop(snapshot);

        let _turn = self.0.gates().enter(address).await;
        self.refuse_beyond(Some(&name), address, FAILURES_PER_NAME_AND_ADDRESS).await?;
        self.refuse_beyond(None, address, FAILURES_PER_ADDRESS).await?;
        let right = self.0.passwords().verify(password, hash).await?;
        if !right {
            let mut work = self.0.storage().begin().await?;
            work.login_failures().insert(&name, address, self.0.clock().now()).await?;
            work.commit().await?;
        }
        Ok(right)
    }

    async fn refuse_beyond(&self, name: Option<&str>, address: IpAddr, limit: u64) -> Result<()> {
        let now = self.0.clock().now();
        let mut snapshot = self.0.storage().read().await?;
        let failures = snapshot.login_failures();
        if failures.count(name, Some(address), now - WINDOW).await? < limit {
            return Ok(());
        }
        let oldest = failures.oldest(name, Some(address), now - WINDOW).await?.unwrap_or(now);
        let wait = (oldest + WINDOW - now).to_std().unwrap_or_default();
        Err(Error::TooMany { retry_after: wait.max(Duration::from_secs(1)) })
    }

    /// Issues a token within a transaction.
    pub(crate) async fn issue(
        &self,
        work: &mut dyn UnitOfWork,
        account: Account,
        scope: Scope,
        address: Option<IpAddr>,
    ) -> Result<Access> {
        let token = hex::encode(self.0.ids().secret());
        let created = self.0.clock().now();
        let expires = created + self.0.settings().token_life;
        let digest = token_digest(&token);
        work.tokens()
            .insert(&NewToken { account: account.id, scope, digest, created, expires, address })
            .await?;
        Ok(Access { token, account, expires })
    }

    /// Forgets failures that no longer count.
    pub(crate) async fn prune(&self, work: &mut dyn UnitOfWork) -> Result<()> {
        Ok(work.login_failures().prune(self.0.clock().now() - WINDOW).await?)
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("account", &self.account.id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// The account with this name or mail. Names hold no `@`, so a text is one or the other.
async fn find(snapshot: &mut dyn crate::ports::Repositories, name: &str) -> StorageResult<Option<Account>> {
    if name.contains('@') {
        snapshot.accounts().by_mail(name).await
    } else {
        snapshot.accounts().by_name(name).await
    }
}
