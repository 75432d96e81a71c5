//! Logging in to the cdn family alone, and out of it.

use std::net::IpAddr;

use crate::account::{Access, Account, Caller, Entry, Scope, Token, check_mail, token_digest};
use crate::ports::{LockKey, Repositories};
use crate::{Error, Pilothouse, Result};

/// Logging in to the cdn family.
///
/// Log-out and check take a token as their argument. Whoever holds a token may end it and learn whose it is, so both
/// take any token of this service, not only those that open the cdn family alone.
#[derive(Clone, Copy, Debug)]
pub struct CdnLogins<'a>(pub(crate) &'a Pilothouse);

impl CdnLogins<'_> {
    /// Logs in with a customer's mail and its cdn password; the token opens only the cdn family.
    ///
    /// An unknown mail, an account without cdn access and a wrong password get the same answer in the same time:
    /// [`Error::Unauthenticated`]. Throttled like every log-in.
    pub async fn login(&self, login_email: &str, password: &str, address: Option<IpAddr>) -> Result<Access> {
        check_mail("login_email", login_email)?;
        let mut snapshot = self.0.storage().read().await?;
        let account = snapshot.accounts().by_mail(login_email).await?;
        let account_id = account.map(|account| account.id);
        let customer = match account_id {
            Some(id) => snapshot.customers().find(id).await?,
            None => None,
        };
        drop(snapshot);
        let hash = customer.as_ref().map(|customer| &*customer.password);
        if !self.0.logins().attempt("login_email", login_email, address, password, hash).await? {
            return Err(Error::Unauthenticated);
        }
        let customer = customer.ok_or(Error::Unauthenticated)?;
        let mut work = self.0.storage().begin().await?;
        // The password may have changed since it was checked; then the token would outlive its revocation.
        work.lock(LockKey::Customer(customer.account_id)).await?;
        let current = work.customers().find(customer.account_id).await?.ok_or(Error::Unauthenticated)?;
        if current.password != customer.password {
            return Err(Error::Unauthenticated);
        }
        let account = work.accounts().by_id(customer.account_id).await?.ok_or(Error::Unauthenticated)?;
        let access = self.0.logins().issue(&mut *work, account, Scope::Cdn, address).await?;
        work.commit().await?;
        Ok(access)
    }

    /// Ends a token. One that has ended already, or never was, is no error.
    pub async fn logout(&self, token: &str, address: Option<IpAddr>) -> Result<()> {
        let mut work = self.0.storage().begin().await?;
        let Some((token, account)) = self.living(&mut *work, token).await? else { return Ok(()) };
        if !work.tokens().delete(account.id, token.id).await? {
            return Ok(());
        }
        let Account { id, name, mail, groups, .. } = account;
        let caller = Caller { id, name, mail, groups, scope: token.scope, token: Some(token.id), address };
        self.0.audit(&mut *work, &caller, Entry::new("token.revoke", format!("token {}", token.id))).await?;
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
        Ok(found.filter(|(token, _)| token.expires > now))
    }
}
