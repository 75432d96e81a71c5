//! Reader of the logs that edges ship and vendors have: the port of the domain through which it has lines parsed and kept.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono_tz::Tz;
use futures_util::StreamExt as _;
use pilothouse_access_log::archive::{Pack, RepackedLines, Repacker};
use pilothouse_access_log::city::CityDatabase;
use pilothouse_access_log::{DomainIndex, IncrementalParser, IngestOptions};
use pilothouse_core::cdn::{Batch, LogHosts};
use pilothouse_core::ports::{KeptPiece, LogContent, LogReader};
use pilothouse_core::{Error, Result};

use crate::convert::{domain_index, filled, signed};
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

    /// Parses whole lines, writes those to be kept to the archive, and fills the batch with the figures. Of the owners of
    /// before `former_since` not all are among the domains.
    fn fill(
        &self,
        batch: Batch,
        layout: &LogLayout,
        (domains, former_since): (&DomainIndex, i64),
        lines: &[u8],
    ) -> Result<Batch> {
        let rules = layout.rules(domains, self.cities.as_ref(), self.timezone);
        let mut parser = IncrementalParser::new(&rules)
            .map_err(|error| internal("a shipped log cannot be read", &error))?;
        parser.feed(lines);
        let read = parser.take(pack_name()).compress(IngestOptions::default().compression);
        let read = read.map_err(|error| internal("a shipped log cannot be compressed", &error))?;
        if read.first_time.is_some_and(|first| first < former_since) {
            return Ok(Batch { first_line: read.first_time, ..batch });
        }
        write_pack(&self.archive, &read)?;
        count_lines(read.counts);
        Ok(filled(batch, read, self.cities.as_deref()))
    }

    /// Reads a part of a vendor's log, or its end where there is none, and writes the lines that are whole to the archive.
    fn keep_part(&self, repacker: &mut Repacker, part: Option<Vec<u8>>) -> Result<Vec<KeptPiece>> {
        let repacked = match part {
            Some(part) => repacker.feed(&part),
            None => repacker.finish().map(|last| last.into_iter().collect()),
        };
        let repacked = repacked
            .map_err(|_| Error::Unavailable("the vendor's log is not a whole gzip file".to_owned()))?;
        repacked.into_iter().map(|lines| self.keep_lines(lines)).collect()
    }

    fn keep_lines(&self, RepackedLines { data, lines, raw_length }: RepackedLines) -> Result<KeptPiece> {
        let length = signed(data.len() as u64);
        let pack = Pack { name: pack_name(), members: Vec::new(), data };
        self.archive.write(&pack).map_err(|error| internal("the log archive failed", &error))?;
        Ok(KeptPiece { pack: pack.name, length, lines: signed(lines), raw_length: signed(raw_length) })
    }
}

#[async_trait]
impl LogReader for ShippedLogReader {
    #[tracing::instrument(name = "read_shipped_log", skip_all, fields(cdn, edge = batch.edge.edge, bytes = lines.len()))]
    async fn read(&self, cdn: &str, batch: Batch, hosts: &LogHosts, lines: Vec<u8>) -> Result<Batch> {
        let layout = self.layouts.get(&(cdn.to_owned(), batch.edge.edge.clone())).cloned();
        let layout =
            layout.ok_or_else(|| Error::Internal("an edge without a layout shipped its log".to_owned()))?;
        let (domains, former_since, reader) = (domain_index(hosts), hosts.former_since, self.clone());
        let work = move || reader.fill(batch, &layout, (&domains, former_since), &lines);
        let filled = tokio::task::spawn_blocking(work).await;
        filled.map_err(|error| internal("the reading of a shipped log failed", &error))?
    }

    #[tracing::instrument(name = "keep_vendor_log", skip_all)]
    async fn keep(&self, mut content: LogContent) -> Result<Vec<KeptPiece>> {
        let mut repacker = Repacker::new(IngestOptions::default().compression);
        let mut pieces = Vec::new();
        let mut is_over = false;
        while !is_over {
            let part = content.next().await.transpose();
            let part = part.map_err(|error| Error::Unavailable(error.to_string()))?;
            is_over = part.is_none();
            let reader = self.clone();
            let work = move || {
                let kept = reader.keep_part(&mut repacker, part);
                (repacker, kept)
            };
            let (back, kept) = tokio::task::spawn_blocking(work)
                .await
                .map_err(|error| internal("the keeping of a vendor's log failed", &error))?;
            repacker = back;
            pieces.extend(kept?);
        }
        Ok(pieces)
    }
}
