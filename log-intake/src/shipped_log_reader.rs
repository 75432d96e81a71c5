//! Reader of the logs that edges ship: the port of the domain through which it has lines parsed.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono_tz::Tz;
use pilothouse_access_log::city::CityDatabase;
use pilothouse_access_log::{DomainIndex, IncrementalParser, IngestOptions};
use pilothouse_core::cdn::{Batch, Domain};
use pilothouse_core::ports::LogReader;
use pilothouse_core::{Error, Result};

use crate::convert::{domain_index, filled};
use crate::recorder::{count_lines, internal, pack_name, write_pack};
use crate::{FolderArchive, LogLayout};

/// Parser of shipped logs, by the layouts of their edges; handed to [`pilothouse_core::Pilothouse::with_log_reader`].
#[derive(Clone, Debug)]
pub struct ShippedLogReader {
    archive: FolderArchive,
    cities: Option<Arc<CityDatabase>>,
    timezone: Tz,
    /// By names of cdn and edge.
    layouts: Arc<HashMap<(String, String), LogLayout>>,
}

impl ShippedLogReader {
    /// Creates a reader that knows no edge. `archive` must be the one that was handed to
    /// [`pilothouse_core::Pilothouse::with_log_archive`], and `timezone` that of [`pilothouse_core::Settings`].
    pub fn new(archive: FolderArchive, timezone: Tz) -> Self {
        Self { archive, cities: None, timezone, layouts: Arc::default() }
    }

    /// Sets the city database; without it no traffic by city is recorded.
    #[must_use]
    pub fn cities(mut self, cities: Arc<CityDatabase>) -> Self {
        self.cities = Some(cities);
        self
    }

    /// Adds an edge of a cdn. Logs of other edges are refused.
    #[must_use]
    pub fn edge(mut self, cdn: impl Into<String>, edge: impl Into<String>, layout: LogLayout) -> Self {
        Arc::make_mut(&mut self.layouts).insert((cdn.into(), edge.into()), layout);
        self
    }

    /// Parses whole lines, writes those to be kept to the archive, and fills the batch with the figures.
    fn fill(&self, batch: Batch, layout: &LogLayout, domains: &DomainIndex, lines: &[u8]) -> Result<Batch> {
        let rules = layout.rules(domains, self.cities.as_ref(), self.timezone);
        let mut parser = IncrementalParser::new(&rules)
            .map_err(|error| internal("a shipped log cannot be read", &error))?;
        parser.feed(lines);
        let read = parser.take(pack_name()).compress(IngestOptions::default().compression);
        let read = read.map_err(|error| internal("a shipped log cannot be compressed", &error))?;
        write_pack(&self.archive, &read)?;
        count_lines(read.counts);
        Ok(filled(batch, read, self.cities.as_deref()))
    }
}

#[async_trait]
impl LogReader for ShippedLogReader {
    #[tracing::instrument(name = "read_shipped_log", skip_all, fields(cdn, edge = batch.edge.edge, bytes = lines.len()))]
    async fn read(&self, cdn: &str, batch: Batch, domains: &[Domain], lines: Vec<u8>) -> Result<Batch> {
        let layout = self.layouts.get(&(cdn.to_owned(), batch.edge.edge.clone())).cloned();
        let layout =
            layout.ok_or_else(|| Error::Internal("an edge without a layout shipped its log".to_owned()))?;
        let (domains, reader) = (domain_index(domains), self.clone());
        let work = move || reader.fill(batch, &layout, &domains, &lines);
        let filled = tokio::task::spawn_blocking(work).await;
        filled.map_err(|error| internal("the reading of a shipped log failed", &error))?
    }
}
