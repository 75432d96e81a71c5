//! Port of CDN providers: capabilities, batches of purges and preloads, figures, and the leases of own edges.

mod batch;
mod capabilities;
mod checked;
mod edge_control;
mod error;
mod figures;
mod providers;

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};

pub use batch::{Batch, ItemState, Operation, Purge, RemoteTask, Submission, Submissions, TaskState};
pub use capabilities::{CallLimits, Capabilities, Prefix, Rate, Repeat};
pub use edge_control::{EdgeControl, SessionStart};
pub use error::ProviderError;
pub use figures::{AreaFigure, AreaLevel, Figure, Figures, LogContent, LogFile, Quota, ServedDomain};
pub use providers::Providers;

/// One content delivery network.
///
/// A provider only speaks: the engine cuts batches, keeps limits, tries again and remembers. What [`CdnProvider::capabilities`]
/// does not name, [`Providers`] refuse by name before the provider is called. A call should end by itself; after two minutes
/// the engine drops it.
///
/// Two kinds differ by [`Capabilities::is_vendor`]. Own edges are called side by side, answer [`Submission::Done`] when the
/// edge has confirmed an item, and are not asked for anything else; every call may be repeated, so doing it twice must do no
/// harm. A vendor's calls are made by one server at a time, batches and one question beside each other; it may answer with a
/// task, is asked about it by [`CdnProvider::poll`], and after a lost answer is treated as [`Capabilities::repeat`] says.
#[async_trait]
pub trait CdnProvider: Debug + Send + Sync + 'static {
    /// Capabilities, which do not change during the provider's life.
    fn capabilities(&self) -> &Capabilities;

    /// Does a batch, or begins to; answers for each item in its order. The outer error means that no item of the batch was
    /// dealt with, except for [`ProviderError::Ambiguous`].
    ///
    /// A purge is done when the edge will not answer with what it held or was fetching before; a preload when it holds the
    /// URL.
    async fn submit(&self, batch: &Batch) -> Result<Submissions, ProviderError>;

    /// Asks about tasks; answers for each in their order.
    async fn poll(&self, tasks: &[RemoteTask]) -> Result<Vec<TaskState>, ProviderError> {
        let _ = tasks;
        Err(self.unsupported("tell the state of tasks"))
    }

    /// Looks in the vendor's task list for tasks that were made after [`Batch::accepted_at`] and have items of the batch,
    /// also tasks of somebody else. Answers with the task's id for each item, or `None`, in their order. Only asked after
    /// an ambiguous outcome, and only where [`Repeat::LookFirst`] says so.
    async fn find(&self, batch: &Batch) -> Result<Vec<Option<String>>, ProviderError> {
        let _ = batch;
        Err(self.unsupported("list tasks"))
    }

    /// Groups of hosts that a call may not mix, such as zones or distributions: a name for each host, in their order.
    /// [`ProviderError::NotYours`] for a host that is in none.
    async fn groups(&self, hosts: &[String]) -> Result<Vec<Result<String, ProviderError>>, ProviderError> {
        Ok(vec![Ok(String::new()); hosts.len()])
    }

    /// The domains it serves, in lower case, with their groups and services where it has any.
    async fn services(&self) -> Result<Vec<ServedDomain>, ProviderError> {
        Err(self.unsupported("list domains"))
    }

    /// The names of [`CdnProvider::services`].
    async fn domains(&self) -> Result<Vec<String>, ProviderError> {
        Ok(self.services().await?.into_iter().map(|served| served.domain).collect())
    }

    /// Traffic of domains by 5 minutes, of the buckets that begin from `from` on and before `to`.
    async fn series(
        &self,
        domains: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Figures, ProviderError> {
        let _ = (domains, from, to);
        Err(self.unsupported("tell traffic by 5 minutes"))
    }

    /// Traffic of a domain by region, from `from` on and before `to`.
    async fn areas(
        &self,
        domain: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<AreaFigure>, ProviderError> {
        let _ = (domain, from, to);
        Err(self.unsupported("tell traffic by region"))
    }

    /// Access logs of a domain that begin on a day of UTC.
    async fn logs(&self, domain: &str, day: NaiveDate) -> Result<Vec<LogFile>, ProviderError> {
        let _ = (domain, day);
        Err(self.unsupported("list logs"))
    }

    /// Content of a file that [`CdnProvider::logs`] listed a short time ago. The engine gives up one of which no piece comes
    /// for a minute.
    async fn log_content(&self, file: &LogFile) -> Result<LogContent, ProviderError> {
        let _ = file;
        Err(self.unsupported("fetch logs"))
    }

    /// Rest of each of its quotas.
    async fn quota(&self) -> Result<Vec<Quota>, ProviderError> {
        Err(self.unsupported("tell quotas"))
    }

    /// Error of an operation that this provider never can, in the name of its first edge.
    fn unsupported(&self, operation: &'static str) -> ProviderError {
        let provider = self.capabilities().edges.first().cloned().unwrap_or_default();
        ProviderError::Unsupported { provider, operation }
    }
}
