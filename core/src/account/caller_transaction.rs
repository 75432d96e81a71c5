//! Write transaction of a caller, whose token and groups are read again in it.

use std::ops::{Deref, DerefMut};

use super::Caller;
use super::audit::Entry;
use crate::ports::{LockKey, Repositories, StorageResult, UnitOfWork};
use crate::{Error, Pilothouse, Result};

/// Write transaction on behalf of a caller.
///
/// A caller is authenticated before its body arrives and before its password waits to be hashed, and may have been stopped
/// since. So its token and groups are read again in the transaction, when it begins and after every lock that it waited
/// for. Only [`Pilothouse::write_as`] makes one, and only [`CallerTransaction::record`] puts a caller into the audit trail:
/// a use case that records who acted has asked whether they still may.
pub(crate) struct CallerTransaction<'a> {
    pilothouse: &'a Pilothouse,
    caller: &'a Caller,
    work: Box<dyn UnitOfWork>,
}

impl CallerTransaction<'_> {
    /// Waits for a lock as [`UnitOfWork::lock`] does, and refuses a caller that was stopped meanwhile.
    pub(crate) async fn lock(&mut self, key: LockKey) -> Result<()> {
        self.work.lock(key).await?;
        self.pilothouse.require_current(&mut *self.work, self.caller).await
    }

    /// The caller.
    pub(crate) fn caller(&self) -> &Caller {
        self.caller
    }

    /// Domain and transaction, for what follows from the caller's deed.
    pub(crate) fn parts(&mut self) -> (&Pilothouse, &mut dyn UnitOfWork) {
        (self.pilothouse, &mut *self.work)
    }

    /// Appends the caller's deed to the audit trail.
    pub(crate) async fn record(&mut self, entry: Entry) -> Result<()> {
        self.pilothouse.append_audit(&mut *self.work, Some(self.caller), entry).await
    }

    /// Appends the caller's deeds to the audit trail, in their order.
    pub(crate) async fn record_all(&mut self, entries: Vec<Entry>) -> Result<()> {
        self.pilothouse.append_audit_of_many(&mut *self.work, self.caller, entries).await
    }

    /// Commits, as [`UnitOfWork::commit`] does.
    pub(crate) async fn commit(self) -> StorageResult<()> {
        self.work.commit().await
    }
}

impl Deref for CallerTransaction<'_> {
    type Target = dyn UnitOfWork;

    fn deref(&self) -> &Self::Target {
        &*self.work
    }
}

impl DerefMut for CallerTransaction<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.work
    }
}

impl Pilothouse {
    /// Begins a write transaction of a caller, unless its token ended or its account lost a group since it was
    /// authenticated.
    pub(crate) async fn write_as<'a>(&'a self, caller: &'a Caller) -> Result<CallerTransaction<'a>> {
        let mut work = self.storage().begin().await?;
        self.require_current(&mut *work, caller).await?;
        Ok(CallerTransaction { pilothouse: self, caller, work })
    }

    /// Refuses a caller whose token has ended as not authenticated, and one whose account lost a group as not permitted.
    /// A host that authenticates by itself also answers for how long its callers may act.
    pub(crate) async fn require_current(
        &self,
        repositories: &mut dyn Repositories,
        caller: &Caller,
    ) -> Result<()> {
        let Some(id) = caller.token else { return Ok(()) };
        let found = repositories.tokens().find(id).await?;
        let now = self.clock().now();
        let current =
            found.filter(|(token, account)| token.account == caller.id && token.is_open(account, now));
        let (_, account) = current.ok_or(Error::Unauthenticated)?;
        if account.groups.covers(caller.groups) {
            Ok(())
        } else {
            Err(self.refuse(caller, "groups that its account has lost"))
        }
    }
}
