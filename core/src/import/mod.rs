//! Import of what other systems knew: one document, applied as a whole in one transaction, or not at all.
//!
//! Objects refer to each other by name, so the ids of the document are needed by nothing in it. An id is kept where this
//! store has given neither it nor a greater one, so that programs that remember ids, such as those of config items, keep
//! working; otherwise the object gets a new one. An object that the store has already, equal to the document's, is skipped;
//! one that differs refuses the whole document.

mod account;
mod app;
mod cdn;
mod company;
mod customer;
mod document;
mod figures;
mod grant;
mod item;
mod json;
mod machine;
mod place;
mod report;
mod row_id;
mod transaction;

pub use document::{
    AccountRecord, AppRecord, CdnRecord, CompanyRecord, CustomerRecord, DomainRecord, FiguresRecord,
    GrantRecord, ImportDocument, ItemRecord, MachineRecord, PointRecord, ReleaseRecord, VersionRecord,
};
pub use report::{ImportCounts, ImportKind, ImportProgress, ImportReport};
pub use row_id::{RowIdRepository, RowKind};

use transaction::ImportTransaction;

use crate::ports::LockKey;
use crate::{Pilothouse, Result};

/// End of an import: commit, or rollback after a rehearsal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportMode {
    /// Everything is committed at the end.
    Commit,
    /// Everything is done, reported and rolled back.
    DryRun,
}

/// The use cases of imports.
#[derive(Clone, Copy, Debug)]
pub struct Imports<'a>(pub(crate) &'a Pilothouse);

impl Imports<'_> {
    /// Imports a document, or nothing of it. Of the command line, which needs no permission.
    ///
    /// A record that breaks a limit is [`crate::ErrorKind::Invalid`], one that contradicts what the store holds
    /// [`crate::ErrorKind::Conflict`]; both errors begin with the place in the document, as `accounts[3].mail`.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn run(
        &self,
        document: &ImportDocument,
        mode: ImportMode,
        progress: &mut dyn ImportProgress,
    ) -> Result<ImportReport> {
        let days = figures::days(&document.figures)?;
        let mut transaction = ImportTransaction::begin(self.0, document.counts(), progress).await?;
        transaction.lock(LockKey::Accounts).await?;
        transaction.import_accounts(&document.accounts).await?;
        transaction.import_companies(&document.companies).await?;
        let customers = transaction.lock_customers(&document.customers).await?;
        transaction.lock(LockKey::Cdns).await?;
        transaction.import_cdns(&document.cdns).await?;
        transaction.import_customers(&document.customers, &customers).await?;
        transaction.lock(LockKey::Traffic).await?;
        transaction.import_figures(&document.figures, &days).await?;
        transaction.import_apps(&document.apps).await?;
        transaction.import_grants(&document.grants).await?;
        transaction.import_items(&document.items).await?;
        transaction.lock(LockKey::Machines).await?;
        transaction.import_machines(&document.machines).await?;
        transaction.end(mode).await
    }
}
