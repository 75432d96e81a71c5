//! What a caller may change of other accounts, for those who show it.

use super::{Account, Accounts, Caller, Group, Reach};
use crate::Result;
use crate::config::{Permission, permission_on_all};
use crate::ports::Repositories;

/// Members of an account that a caller may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changeable {
    /// Whether it may change and delete the account.
    pub account: bool,
    /// Whether it may set the password, whatever grants and cdn access the account has.
    pub password: bool,
}

impl Accounts<'_> {
    /// Members of some accounts that the caller may change, by the rules of [`Accounts::update`]. Refuses nobody, and counts
    /// no refusal.
    pub async fn changeable(&self, caller: &Caller, accounts: &[Account]) -> Result<Vec<Changeable>> {
        let mut snapshot = self.0.storage().read().await?;
        let held = held_on_all(&mut *snapshot, caller).await?;
        let manages_all = held >= Some(Permission::Manage) && caller.holds(Group::Cdn);
        let mut changeable = Vec::with_capacity(accounts.len());
        for account in accounts {
            let covered = caller.holds(Group::WriteAccounts) && caller.groups.covers(account.groups);
            let reaches = permission_on_all(&mut *snapshot, account.id).await? <= held;
            let may = covered && reaches;
            changeable.push(Changeable { account: may, password: may && manages_all });
        }
        Ok(changeable)
    }
}

/// Rights of the caller on `all` apps, where its token opens them.
pub(super) async fn held_on_all(
    repositories: &mut dyn Repositories,
    caller: &Caller,
) -> Result<Option<Permission>> {
    if !caller.opens_app(None, Reach::App) {
        return Ok(None);
    }
    permission_on_all(repositories, caller.id).await
}
