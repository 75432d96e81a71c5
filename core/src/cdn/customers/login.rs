//! Logging in to the cdn family alone, and out of it.

use std::net::IpAddr;

use crate::account::{Access, Account, Caller, Entry, Scope, Token, check_mail, token_digest};
use crate::ports::{LockKey, Repositories};
use crate::{Error, Pilothouse, Result};

/// Logging in to the cdn family.
///
/// Log-out and check take a token as their argument. Whoever holds a token may end it and learn whose it is, so both
/// take any token of this service, not only those that open the cdn family alone. Sessions of the console are no tokens here.
#[derive(Clone, Copy, Debug)]
pub struct CdnLogins<'a>(pub(crate) &'a Pilothouse);

impl CdnLogins<'_> {
    /// Logs in with a customer's mail and its cdn password; the token opens only the cdn family.
    ///
    /// An unknown mail, an account without cdn access and a wrong password get the same answer in the same time:
    /// [`Error::Unauthenticated`]. Throttled like every log-in.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn login(&self, login_email: &str, password: &str, address: Option<IpAddr>) -> Result<Access> {
        self.login_to(Scope::Cdn, login_email, password, address).await
    }

    /// Logs in as [`CdnLogins::login`] does; the token opens what `scope` says.
    pub(crate) async fn login_to(
        &self,
        scope: Scope,
        login_email: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<Access> {
        check_mail("login_email", login_email)?;
        let mut snapshot = self.0.storage().read().await?;
        let account = snapshot.accounts().by_mail(login_email).await?;
        let customer = match &account {
            Some(account) => snapshot.customers().find(account.id).await?,
            None => None,
        };
        drop(snapshot);
        let hash = customer.as_ref().map(|customer| &*customer.password);
        let attempt = self.0.logins().attempt("login_email", login_email, address, password, hash).await;
        self.0.logins().admit(attempt, account.as_ref(), address)?;
        let customer = customer.ok_or(Error::Unauthenticated)?;
        let renewed = self.0.passwords().renewed(password, Some(&customer.password)).await?;
        let mut work = self.0.storage().begin().await?;
        // The password may have changed since it was checked; then the token would outlive its revocation.
        work.lock(LockKey::Customer(customer.account_id)).await?;
        let mut current = work.customers().find(customer.account_id).await?.ok_or(Error::Unauthenticated)?;
        if current.password != customer.password {
            if renewed.is_none() {
                return Err(Error::Unauthenticated);
            }
            // Another log-in may have renewed the hash meanwhile, which then is not renewed again.
            drop(work);
            return Box::pin(self.login_to(scope, login_email, password, address)).await;
        }
        if let Some(hash) = renewed {
            current.password = hash;
            if !work.customers().update(&current).await? {
                return Err(Error::conflict("the customer was changed meanwhile"));
            }
        }
        let account = work.accounts().by_id(customer.account_id).await?;
        let account = account.filter(|account| !account.is_disabled).ok_or(Error::Unauthenticated)?;
        let access = self.0.logins().issue(&mut *work, account, scope, address).await?;
        work.commit().await?;
        Ok(access)
    }

    /// Ends a token. One that has ended already, or never was, is no error.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn logout(&self, token: &str, address: Option<IpAddr>) -> Result<()> {
        let found = self.living(&mut *self.0.storage().peek().await?, token).await?;
        let Some((token, account)) = found else { return Ok(()) };
        let id = token.id;
        let caller = Caller::of_token(token, account, address);
        let mut work = match self.0.write_as(&caller).await {
            // It ended since it was found.
            Err(Error::Unauthenticated) => return Ok(()),
            begun => begun?,
        };
        if !work.tokens().delete(caller.id, id).await? {
            return Ok(());
        }
        work.record(Entry::new("token.revoke", format!("token {id} of {}", caller.name))).await?;
        Ok(work.commit().await?)
    }

    /// The account a token is online for; `None` when the token has ended or never was.
    pub async fn check(&self, token: &str) -> Result<Option<Account>> {
        let mut snapshot = self.0.storage().read().await?;
        Ok(self.living(&mut *snapshot, token).await?.map(|(_, account)| account))
    }

    async fn living(
        &self,
        repositories: &mut dyn Repositories,
        token: &str,
    ) -> Result<Option<(Token, Account)>> {
        let found = repositories.tokens().resolve(&token_digest(token)).await?;
        let now = self.0.clock().now();
        Ok(found.filter(|(token, account)| token.is_open(account, now) && !token.scope.is_console()))
    }
}
