//! The logs that edges ship.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use pilothouse_access_log as log;
use pilothouse_access_log::city::CityDatabase;
use pilothouse_access_log::{Domains, Feeder, Rules};
use pilothouse_core::cdn::{Batch, Domain};
use pilothouse_core::ports::LogReader;
use pilothouse_core::{Error, Result};

use crate::archive::LogFolder;
use crate::recorder;

/// How a log is laid out.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) format: log::Format,
    /// Whose the lines are, where they do not say so.
    pub(crate) domain: Option<String>,
}

/// Reads what edges ship, as their settings say.
#[derive(Clone, Debug)]
pub(crate) struct ShippedLogs {
    pub(crate) folder: LogFolder,
    pub(crate) cities: Option<Arc<CityDatabase>>,
    pub(crate) timezone: chrono_tz::Tz,
    /// By cdn and edge.
    pub(crate) layouts: Arc<HashMap<(String, String), Layout>>,
}

impl ShippedLogs {
    fn fill(&self, batch: Batch, layout: &Layout, domains: &Domains, lines: &[u8]) -> Result<Batch> {
        let rules = Rules {
            format: layout.format,
            domains,
            default_domain: layout.domain.as_deref(),
            cities: self.cities.as_deref().map(|cities| cities as &dyn log::Cities),
            timezone: self.timezone,
        };
        let failed = |error: &dyn std::error::Error| Error::Internal(format!("a shipped log: {error}"));
        let mut feeder = Feeder::new(&rules).map_err(|error| failed(&error))?;
        feeder.feed(lines);
        let parsed = feeder.take(recorder::pack_name());
        let read = parsed.pack(log::Options::default().compression).map_err(|error| failed(&error))?;
        recorder::write(&self.folder, &read)?;
        Ok(recorder::filled(batch, read, self.cities.as_deref()))
    }
}

#[async_trait]
impl LogReader for ShippedLogs {
    async fn read(&self, cdn: &str, batch: Batch, domains: &[Domain], lines: Vec<u8>) -> Result<Batch> {
        let layout = self.layouts.get(&(cdn.to_owned(), batch.edge.edge.clone())).cloned();
        let layout =
            layout.ok_or_else(|| Error::Internal("an edge without a layout shipped its log".into()))?;
        let domains = Domains::new(domains.iter().map(|domain| (&domain.name, domain.id)));
        let reader = self.clone();
        let work = move || reader.fill(batch, &layout, &domains, &lines);
        let filled = tokio::task::spawn_blocking(work).await;
        filled.map_err(|error| Error::Internal(format!("reading a shipped log: {error}")))?
    }
}
