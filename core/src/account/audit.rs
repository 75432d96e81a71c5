//! The audit trail: who did what to what, when and from where. Append-only, and never a value: digests only.

use std::net::IpAddr;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{AccountId, Caller, Group};
use crate::id::id;
use crate::ports::{StorageResult, UnitOfWork};
use crate::{Listing, Page, Pilothouse, Result};

/// An audit entry of one use case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `family.verb`, such as `task.add`.
    pub(crate) action: &'static str,
    /// Object of the action, by its name on the wire.
    pub(crate) object: String,
    /// Digest of the object before.
    pub(crate) old: Option<String>,
    /// Digest of the object after.
    pub(crate) new: Option<String>,
}

impl Entry {
    /// An entry without digests.
    pub(crate) fn new(action: &'static str, object: impl Into<String>) -> Self {
        Self { action, object: object.into(), old: None, new: None }
    }

    /// Sets the digest of the object before the change.
    #[must_use]
    pub(crate) fn old(mut self, digest: String) -> Self {
        self.old = Some(digest);
        self
    }

    /// Sets the digest of the object after the change.
    #[must_use]
    pub(crate) fn new_digest(mut self, digest: String) -> Self {
        self.new = Some(digest);
        self
    }
}

/// SHA-256 over the parts, as hexadecimal digits. No part may be a secret that could be guessed from it.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

id! {
    /// The id of an audit row.
    AuditId
}

/// A row of the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Id; given by the store, ignored when inserting.
    pub id: AuditId,
    /// Time of the action; of a refusal the minute.
    pub at: DateTime<Utc>,
    /// The account that acted; `None` for the command line.
    pub actor: Option<AccountId>,
    /// Name at the time.
    pub actor_name: String,
    /// Client address; `None` for the command line.
    pub address: Option<IpAddr>,
    /// Action as `family.verb`, `login`, or of a refusal `refused` or `login.refused`.
    pub action: String,
    /// Object of the action; of a refusal the missing right, or why a log-in was refused.
    pub object: String,
    /// Digest of the object before the action.
    pub old: Option<String>,
    /// Digest of the object after the action.
    pub new: Option<String>,
    /// Number of occurrences: above 1 only for refusals, which are summed per actor, right and minute.
    pub count: i64,
}

/// Filter of a listing of the audit trail; an absent field matches every row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only those of this actor name.
    pub actor: Option<String>,
    /// Only those about this object.
    pub object: Option<String>,
    /// Only those at or after this moment.
    pub since: Option<DateTime<Utc>>,
    /// Only those before this moment.
    pub until: Option<DateTime<Utc>>,
}

impl AuditFilter {
    /// Whether a row passes.
    pub fn accepts(&self, row: &AuditRow) -> bool {
        let Self { actor, object, since, until } = self;
        actor.as_ref().is_none_or(|actor| row.actor_name == *actor)
            && object.as_ref().is_none_or(|object| row.object == *object)
            && since.is_none_or(|since| row.at >= since)
            && until.is_none_or(|until| row.at < until)
    }
}

/// The trail in a store.
#[async_trait]
pub trait AuditRepository: Send {
    /// Appends a row; its `id` is ignored.
    async fn append(&mut self, row: &AuditRow) -> StorageResult<()>;
    /// Appends rows in their order; their ids are ignored.
    async fn append_all(&mut self, rows: &[AuditRow]) -> StorageResult<()>;
    /// Rows that pass the filter, by id.
    async fn list(&mut self, filter: &AuditFilter, page: Page) -> StorageResult<Vec<AuditRow>>;
    /// Counts the rows that pass the filter.
    async fn count(&mut self, filter: &AuditFilter) -> StorageResult<u64>;
}

/// The use cases of the audit trail.
#[derive(Clone, Copy, Debug)]
pub struct Audit<'a>(pub(crate) &'a Pilothouse);

impl Audit<'_> {
    /// Lists rows; needs group 9.
    pub async fn list(&self, caller: &Caller, filter: &AuditFilter, page: Page) -> Result<Listing<AuditRow>> {
        self.0.require(caller, Group::ReadAudit)?;
        self.0.flush_refusals().await?;
        let mut snapshot = self.0.storage().read().await?;
        let rows = snapshot.audit().list(filter, page).await?;
        let total = if page.total { Some(snapshot.audit().count(filter).await?) } else { None };
        Ok(Listing::new(rows, total))
    }
}

impl Pilothouse {
    /// Writes an entry of the command line.
    pub(crate) async fn audit_command(&self, work: &mut dyn UnitOfWork, entry: Entry) -> Result<()> {
        self.append_audit(work, None, entry).await
    }

    /// Writes an entry of what acts without an account, such as an agent.
    pub(crate) async fn audit_process(
        &self,
        work: &mut dyn UnitOfWork,
        name: &str,
        entry: Entry,
    ) -> Result<()> {
        let row = self.audit_row(None, entry);
        Ok(work.audit().append(&AuditRow { actor_name: name.to_owned(), ..row }).await?)
    }

    /// Writes entries of what acts without an account, as [`Pilothouse::audit_process`] does one.
    pub(crate) async fn audit_process_all(
        &self,
        work: &mut dyn UnitOfWork,
        name: &str,
        entries: Vec<Entry>,
    ) -> Result<()> {
        let row = |entry| AuditRow { actor_name: name.to_owned(), ..self.audit_row(None, entry) };
        let rows: Vec<_> = entries.into_iter().map(row).collect();
        Ok(work.audit().append_all(&rows).await?)
    }

    /// Appends an entry within the transaction of the deed itself. Of a caller only
    /// [`super::CallerTransaction::record`] writes one.
    pub(super) async fn append_audit(
        &self,
        work: &mut dyn UnitOfWork,
        caller: Option<&Caller>,
        entry: Entry,
    ) -> Result<()> {
        let row = self.audit_row(caller, entry);
        Ok(work.audit().append(&row).await?)
    }

    /// Appends entries of a caller, as [`Pilothouse::append_audit`] does one.
    pub(super) async fn append_audit_of_many(
        &self,
        work: &mut dyn UnitOfWork,
        caller: &Caller,
        entries: Vec<Entry>,
    ) -> Result<()> {
        let rows: Vec<_> = entries.into_iter().map(|entry| self.audit_row(Some(caller), entry)).collect();
        Ok(work.audit().append_all(&rows).await?)
    }

    fn audit_row(&self, caller: Option<&Caller>, entry: Entry) -> AuditRow {
        let Entry { action, object, old, new } = entry;
        AuditRow {
            id: AuditId::UNSAVED,
            at: self.clock().now(),
            actor: caller.map(|caller| caller.id),
            actor_name: caller.map_or("command line", |caller| &caller.name).to_owned(),
            address: caller.and_then(|caller| caller.address),
            action: action.to_owned(),
            object,
            old,
            new,
            count: 1,
        }
    }
}
