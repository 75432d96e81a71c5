//! State of this server for operators: version, store, background jobs, and what is not set up.

use crate::account::{Caller, Group};
use crate::ports::StoreInfo;
use crate::{Pilothouse, Readiness, Result, WorkerStatus};

/// State of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SystemInfo {
    /// Version of the program; empty where the host gave none.
    pub version: String,
    /// Commit of its sources; empty where it is not known.
    pub commit: String,
    /// Kind and schema of the store.
    pub store: StoreInfo,
    /// Whether it can serve, as its readiness probe answers.
    pub readiness: Readiness,
    /// Background jobs of this process, by name.
    pub workers: Vec<WorkerStatus>,
    /// Parts that are not set up, in the order of [`Unset::ALL`].
    pub unset: Vec<Unset>,
}

/// Part of a server that works without, and does less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unset {
    /// No cdn is configured: nothing can be refreshed.
    Cdns,
    /// No city database: traffic has no regions.
    GeoCityDatabase,
    /// No archive of log lines: nothing can be downloaded.
    LogArchive,
    /// No store of contents: agents replace no files.
    BlobStore,
    /// No webhook: nobody is told of alarms and failures.
    Webhooks,
    /// No profile is under four eyes: everybody approves their own changes.
    FourEyesProfiles,
}

impl Unset {
    /// Every part, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Cdns,
        Self::GeoCityDatabase,
        Self::LogArchive,
        Self::BlobStore,
        Self::Webhooks,
        Self::FourEyesProfiles,
    ];

    /// Name on the wire, which is that of the setting.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cdns => "cdn",
            Self::GeoCityDatabase => "geo_city_database",
            Self::LogArchive => "log_dir",
            Self::BlobStore => "blob_dir",
            Self::Webhooks => "webhook",
            Self::FourEyesProfiles => "four_eyes_profiles",
        }
    }

    fn is_unset(self, pilothouse: &Pilothouse) -> bool {
        let settings = pilothouse.settings();
        match self {
            Self::Cdns => settings.cdns.is_empty(),
            Self::GeoCityDatabase => !settings.geo_city_database,
            Self::LogArchive => pilothouse.log_archive().is_err(),
            Self::BlobStore => pilothouse.blob_store().is_err(),
            Self::Webhooks => settings.webhooks.is_empty(),
            Self::FourEyesProfiles => settings.four_eyes_profiles.is_empty(),
        }
    }
}

/// The use cases of a server's state.
#[derive(Clone, Copy, Debug)]
pub struct System<'a>(pub(crate) &'a Pilothouse);

impl System<'_> {
    /// State of the server that answers; needs group 9.
    pub async fn info(&self, caller: &Caller) -> Result<SystemInfo> {
        self.0.require(caller, Group::ReadAudit)?;
        let settings = self.0.settings();
        Ok(SystemInfo {
            version: settings.version.clone(),
            commit: settings.commit.clone(),
            store: self.0.storage().info(),
            readiness: self.0.readiness().await,
            workers: self.0.workers(),
            unset: Unset::ALL.into_iter().filter(|part| part.is_unset(self.0)).collect(),
        })
    }
}
