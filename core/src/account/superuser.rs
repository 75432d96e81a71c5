//! The first account, which the command line makes.

use super::account::insert;
use super::identity::check_identity;
use super::{Account, AccountId, Accounts, Entry, Groups, NewAccount};
use crate::config::{Grant, GrantId, Permission};
use crate::ports::LockKey;
use crate::{Page, Result};

impl Accounts<'_> {
    /// Adds an account with every group and a grant on `all` apps, for the command line. Needs no caller: whoever runs it holds the store.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn create_superuser(&self, name: &str, mail: &str, password: &str) -> Result<AccountId> {
        let new = NewAccount {
            name: name.into(),
            mail: mail.into(),
            passwd: password.into(),
            department: String::new(),
            groups: Groups::all(),
        };
        check_identity(&new.name, &new.mail, &new.department)?;
        self.0.passwords().check("password", password)?;
        let hash = self.0.passwords().hash(password).await?;
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Accounts).await?;
        let account = Account::from_new(new, Some(hash));
        let id = insert(&mut *work, &account).await?;
        let (uname, permission) = (account.name.clone(), Permission::Manage);
        work.grants()
            .insert(&Grant { id: GrantId::UNSAVED, account: id, uname, app: None, profile: None, permission })
            .await?;
        let entry = Entry::new("account.create-superuser", name).new_digest(account.digest());
        self.0.audit_command(&mut *work, entry).await?;
        work.commit().await?;
        Ok(id)
    }

    /// Whether there is any account; without one nobody can log in.
    pub async fn any(&self) -> Result<bool> {
        let mut snapshot = self.0.storage().read().await?;
        Ok(!snapshot.accounts().list(None, Page::at(0, 1)).await?.is_empty())
    }
}
