//! Log-in with a password, throttled by name and by address.
//!
//! In a window of five minutes: five failures for a name from one address shut that name out from that address;
//! twenty failures from an address shut every name out from it. A right password does not get through then, and
//! refused attempts do not count. Beyond a hundred failures for one name from anywhere each attempt that is not refused waits a second.
//! An IPv6 address is counted by its /64.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::token::token_digest;
use super::{Account, Caller, Entry, NewToken, Scope};
use crate::ports::{LockKey, Repositories, StorageResult, UnitOfWork};
use crate::sync::lock;
use crate::{Error, Pilothouse, Result};

/// The window failures are counted in.
pub(super) const WINDOW: TimeDelta = TimeDelta::minutes(5);
pub(super) const FAILURES_PER_NAME_AND_ADDRESS: u64 = 5;
pub(super) const FAILURES_PER_ADDRESS: u64 = 20;
const FAILURES_PER_NAME: u64 = 100;
const DELAY: Duration = Duration::from_secs(1);

/// Access token issued by a log-in.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// The bearer token, shown once: 64 hexadecimal digits.
    pub token: String,
    /// Account that logged in.
    pub account: Account,
    /// Expiry of the token.
    pub expires: DateTime<Utc>,
}

/// Failed log-ins in a store.
#[async_trait]
pub trait LoginFailureRepository: Send {
    /// Records a failed attempt.
    async fn insert(&mut self, name: &str, address: IpAddr, at: DateTime<Utc>) -> StorageResult<()>;
    /// Failures after one moment and up to another, of a name, an address, or both.
    async fn count(
        &mut self,
        name: Option<&str>,
        address: Option<IpAddr>,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> StorageResult<u64>;
    /// The oldest failure between two moments, as [`LoginFailureRepository::count`] counts them.
    async fn oldest(
        &mut self,
        name: Option<&str>,
        address: Option<IpAddr>,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> StorageResult<Option<DateTime<Utc>>>;
    /// Forgets the failures that are not after one moment and up to another.
    async fn prune(&mut self, since: DateTime<Utc>, until: DateTime<Utc>) -> StorageResult<()>;
}

/// One attempt at a time per address, so that the limits hold exactly however many attempts arrive at once.
#[derive(Debug, Default)]
pub(crate) struct Gates(Mutex<HashMap<IpAddr, Arc<tokio::sync::Mutex<()>>>>);

impl Gates {
    async fn enter(&self, address: IpAddr) -> tokio::sync::OwnedMutexGuard<()> {
        let gate = {
            let mut gates = lock(&self.0);
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
            gates.entry(address).or_default().clone()
        };
        gate.lock_owned().await
    }
}

/// The use cases of logging in.
#[derive(Clone, Copy, Debug)]
pub struct Logins<'a>(pub(crate) &'a Pilothouse);

impl Logins<'_> {
    /// Logs in with a name or mail and a password; the token reaches the whole account.
    ///
    /// An unknown name and a wrong password get the same answer in the same time: [`Error::Unauthenticated`].
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn login(&self, name: &str, password: &str, address: Option<IpAddr>) -> Result<Access> {
        self.login_to(Scope::Account, name, password, address).await
    }

    /// Logs in as [`Logins::login`] does; the token opens what `scope` says.
    pub(super) async fn login_to(
        &self,
        scope: Scope,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<Access> {
        let account = find(&mut *self.0.storage().read().await?, name).await?;
        let hash = account.as_ref().and_then(|account| account.password.as_deref());
        // Counted by what was given: an account's name in the place of its mail would tell that both are of one account.
        let attempt = self.attempt("name", name, address, password, hash).await;
        let account = self.admit(attempt, account.as_ref(), address)?.clone();
        let renewed = self.0.passwords().renewed(password, account.password.as_deref()).await?;
        let mut work = self.0.storage().begin().await?;
        // The password may have changed since it was checked; then the token would outlive its revocation.
        work.lock(LockKey::Accounts).await?;
        let current = work.accounts().by_id(account.id).await?;
        let mut current = current.filter(|current| !current.is_disabled).ok_or(Error::Unauthenticated)?;
        if current.password != account.password {
            if renewed.is_none() {
                return Err(Error::Unauthenticated);
            }
            // Another log-in may have renewed the hash meanwhile, which then is not renewed again.
            drop(work);
            return Box::pin(self.login_to(scope, name, password, address)).await;
        }
        if let Some(hash) = renewed {
            current.password = Some(hash);
            if !work.accounts().update(&current).await? {
                return Err(Error::conflict("the account was changed meanwhile"));
            }
            current.version += 1;
        }
        let access = self.issue(&mut *work, current, scope, address).await?;
        work.commit().await?;
        Ok(access)
    }

    /// The account that an attempt to log in was for, if it may; who may not is counted for the audit trail.
    pub(crate) fn admit(
        self,
        attempt: Result<bool>,
        account: Option<&Account>,
        address: Option<IpAddr>,
    ) -> Result<&Account> {
        let refused = match (attempt, account) {
            (Ok(true), Some(account)) if !account.is_disabled => return Ok(account),
            (Ok(_), _) => Error::Unauthenticated,
            (Err(error), _) => error,
        };
        if matches!(refused, Error::Unauthenticated | Error::TooMany { .. }) {
            self.0.refuse_login(account, address, &refused);
        }
        Err(refused)
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
        let name = name.to_lowercase();
        let network = client_network(address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
        // A refused attempt neither waits for its turn nor pays the delay.
        if self.refuse_beyond_limits(&name, network).await? > FAILURES_PER_NAME {
            tokio::time::sleep(DELAY).await;
        }
        let _turn = self.0.gates().enter(network).await;
        self.refuse_beyond_limits(&name, network).await?;
        let right = self.0.passwords().verify(password, hash).await?;
        count_attempt(if right { "right" } else { "wrong" });
        if !right {
            let mut work = self.0.storage().begin().await?;
            self.record_failure(&mut *work, &name, network).await?;
            work.commit().await?;
        }
        Ok(right)
    }

    /// The failures of a name from anywhere, unless too many came from this network.
    async fn refuse_beyond_limits(&self, name: &str, network: IpAddr) -> Result<u64> {
        let now = self.0.clock().now();
        let (since, until) = (now - WINDOW, now + WINDOW);
        let mut snapshot = self.0.storage().read().await?;
        let failures = snapshot.login_failures();
        for (name, limit) in [(Some(name), FAILURES_PER_NAME_AND_ADDRESS), (None, FAILURES_PER_ADDRESS)] {
            if failures.count(name, Some(network), since, until).await? >= limit {
                let oldest = failures.oldest(name, Some(network), since, until).await?.unwrap_or(now);
                let wait = (oldest + WINDOW - now).to_std().unwrap_or_default();
                count_attempt("throttled");
                return Err(Error::TooMany { retry_after: wait.max(Duration::from_secs(1)) });
            }
        }
        Ok(failures.count(Some(name), None, since, until).await?)
    }

    /// Issues a token within a transaction, of which the audit trail tells. One beyond [`crate::Settings::tokens_per_account`] ends the oldest of its scope.
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
        let tokens = work.tokens().of_account(account.id).await?;
        let tokens: Vec<_> = tokens.into_iter().filter(|token| token.scope == scope).collect();
        let surplus = (tokens.len() + 1).saturating_sub(self.0.settings().tokens_per_account.max(1));
        for oldest in tokens.iter().take(surplus) {
            work.tokens().delete(account.id, oldest.id).await?;
        }
        let digest = token_digest(&token);
        let new = NewToken {
            account: account.id,
            scope,
            name: String::new(),
            limits: None,
            digest,
            created,
            expires,
            address,
        };
        let id = work.tokens().insert(&new).await?;
        let caller = Caller {
            id: account.id,
            name: account.name.clone(),
            mail: account.mail.clone(),
            groups: account.groups,
            scope,
            limits: None,
            token: Some(id),
            address,
        };
        let action = match scope {
            Scope::Cdn | Scope::ConsoleCdn => "login.cdn",
            Scope::Account | Scope::Api | Scope::Console => "login",
        };
        self.0.append_audit(work, Some(&caller), Entry::new(action, &*account.name)).await?;
        Ok(Access { token, account, expires })
    }

    /// Forgets failures that no longer count.
    pub(crate) async fn prune(&self, work: &mut dyn UnitOfWork) -> Result<()> {
        let now = self.0.clock().now();
        Ok(work.login_failures().prune(now - WINDOW, now + WINDOW).await?)
    }
}

/// Network that counts as one client: an IPv4 address, or the /64 of an IPv6 address, which is as much as one host is
/// given.
pub fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// Counts an attempt to show a password: a log-in, or `old_passwd`.
fn count_attempt(outcome: &'static str) {
    metrics::counter!("pilothouse_login_attempts_total", "outcome" => outcome).increment(1);
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("account", &self.account.id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// The account with this name or mail. A name with an `@` is the mail itself, so a text is one or the other.
pub(super) async fn find(snapshot: &mut dyn Repositories, name: &str) -> StorageResult<Option<Account>> {
    if name.contains('@') {
        snapshot.accounts().by_mail(name).await
    } else {
        snapshot.accounts().by_name(name).await
    }
}
