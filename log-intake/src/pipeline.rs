//! Log pipeline: the domain, the archive and the city database that every way into log intake shares.

use std::sync::Arc;

use pilothouse_access_log::city::CityDatabase;
use pilothouse_core::{Pilothouse, Result};

use crate::convert::domain_index;
use crate::{EdgeIngest, FolderArchive, IntakeSettings, LogLayout};

/// Way of access logs into a [`Pilothouse`]: lines become traffic, and are kept in the archive for download.
#[derive(Clone, Debug)]
pub struct LogPipeline {
    pub(crate) pilothouse: Pilothouse,
    pub(crate) archive: FolderArchive,
    pub(crate) cities: Option<Arc<CityDatabase>>,
    pub(crate) settings: IntakeSettings,
}

impl LogPipeline {
    /// Creates a pipeline. `archive` must be the one that was handed to [`Pilothouse::with_log_archive`].
    pub fn new(pilothouse: Pilothouse, archive: FolderArchive) -> Self {
        Self { pilothouse, archive, cities: None, settings: IntakeSettings::default() }
    }

    /// Sets the city database; without it no traffic by city is recorded.
    #[must_use]
    pub fn cities(mut self, cities: Arc<CityDatabase>) -> Self {
        self.cities = Some(cities);
        self
    }

    /// Replaces the settings.
    #[must_use]
    pub fn settings(mut self, settings: IntakeSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Domain that the figures are recorded in.
    pub fn pilothouse(&self) -> &Pilothouse {
        &self.pilothouse
    }

    /// Prepares the ingest of logs of one edge, with the domains that its cdn serves now. Not found if there is no such cdn.
    pub async fn edge(&self, cdn: &str, edge: &str, layout: LogLayout) -> Result<EdgeIngest> {
        let edge = self.pilothouse.log_intake().edge(cdn, edge).await?;
        let hosts = self.pilothouse.log_intake().hosts(edge.cdn_id).await?;
        Ok(EdgeIngest::new(self.clone(), edge, domain_index(&hosts), layout))
    }
}
