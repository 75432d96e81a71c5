//! Disabled accounts: nobody acts as them until they are enabled again.

use super::account::keep_an_administrator;
use super::login::find;
use super::{Account, Accounts, Caller, Entry, Group, Groups, Scope};
use crate::ports::LockKey;
use crate::{Error, Result};

impl Accounts<'_> {
    /// Disables an account, or lets it be used again; needs group 7, every group it has, and its grant on `all` apps where
    /// it has one. Disabling ends its log-ins; its API tokens open nothing until it is enabled. One that is as asked stays
    /// so.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn set_disabled(&self, caller: &Caller, name: &str, is_disabled: bool) -> Result<()> {
        self.0.require(caller, Group::WriteAccounts)?;
        let mut work = self.0.write_as(caller).await?;
        work.lock(LockKey::Accounts).await?;
        let account = find(&mut *work, name).await?.ok_or_else(|| Error::not_found("the account"))?;
        self.require_all_of(&mut *work, caller, &account).await?;
        if account.is_disabled == is_disabled {
            return Ok(());
        }
        if is_disabled {
            keep_an_administrator(&mut *work, &account, Groups::NONE).await?;
            for scope in [Scope::Account, Scope::Cdn, Scope::Console, Scope::ConsoleCdn] {
                work.tokens().delete_of_account(account.id, Some(scope)).await?;
            }
        }
        let mut changed = Account { is_disabled, ..account.clone() };
        if !work.accounts().update(&changed).await? {
            return Err(Error::conflict("the account was changed meanwhile"));
        }
        changed.version += 1;
        let action = if is_disabled { "account.disable" } else { "account.enable" };
        let entry = Entry::new(action, &*account.name);
        work.record(entry.old(account.digest()).new_digest(changed.digest())).await?;
        Ok(work.commit().await?)
    }
}
