//! Merging of kept-aside lines: a followed log brings a row of each host every moment, so rows of one host and day are put
//! together, their lines into one file of the archive and their figures into one sum.
//!
//! Rows of packs are merged by themselves, and what was merged again once there is a crowd of that, so that a line is written
//! anew a few times a day at the most. So hosts that are asked for all the time stay within the rows of a cdn for as long as
//! they are kept.

use std::collections::BTreeMap;

use super::bucket::{Bucket, Figures};
use super::city::CityId;
use super::log_chunk::LogFile;
use super::log_source::LogSourceId;
use super::unregistered::{UnregisteredKey, UnregisteredLines, UnregisteredLinesId, chunk};
use super::unregistered_figures::{RowCityCell, RowFigures};
use crate::cdn::identifier::DomainId;
use crate::ports::{LockKey, LogArchive, StorageError};
use crate::{Error, Pilothouse, Result};

/// Rows of a key that are merged.
const CROWD: i64 = 32;
/// Most rows merged at once.
const ROWS_AT_ONCE: i64 = 1024;
/// Keys that are looked at together.
const KEYS_AT_ONCE: i64 = 256;

/// Merges rows of kept-aside lines until no key has a crowd of them; how many rows went.
pub(super) async fn merge_crowds(pilothouse: &Pilothouse, archive: &dyn LogArchive) -> Result<u64> {
    let mut gone = 0;
    loop {
        let mut snapshot = pilothouse.storage().read().await?;
        let keys = snapshot.unregistered().crowded(CROWD, KEYS_AT_ONCE).await?;
        drop(snapshot);
        let before = gone;
        for key in keys {
            match merge(pilothouse, archive, &key).await {
                Ok(rows) => gone += rows,
                // A host that lacks a pack must not keep the others from being merged.
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, host = key.host, day = %key.day, "kept-aside lines were not merged");
                }
            }
        }
        if gone == before {
            return Ok(gone);
        }
    }
}

/// Merges the first rows of a key; how many went. Another server that does the same at the same time writes the same file, and
/// one of both records it.
async fn merge(pilothouse: &Pilothouse, archive: &dyn LogArchive, key: &UnregisteredKey) -> Result<u64> {
    let mut snapshot = pilothouse.storage().read().await?;
    let rows = snapshot.unregistered().of_key(key, ROWS_AT_ONCE).await?;
    drop(snapshot);
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(0) };
    let name = format!("u{}-{}-{}-{}", key.cdn_id, first.id, last.id, rows.len());
    let chunks: Vec<_> = rows.iter().map(|row| chunk(row, DomainId::UNSAVED)).collect();
    let file = archive.seal(&name, key.day, &chunks).await;
    let file = file.map_err(|error| Error::Internal(format!("the archive of logs failed: {error}")))?;
    let merged = merged(&rows, LogFile::Sealed(name), file.length)?;
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut work = pilothouse.storage().begin().await?;
    work.lock(LockKey::Traffic).await?;
    // First the new one, so that the host has lines all the time.
    work.unregistered().insert(&[merged]).await?;
    if work.unregistered().delete(&ids).await? != ids.len() as u64 {
        // Some were counted, dropped or merged by somebody else meanwhile.
        work.rollback().await?;
        return Ok(0);
    }
    work.commit().await?;
    Ok(ids.len() as u64 - 1)
}

/// Row of the lines of several of one host and day.
fn merged(rows: &[UnregisteredLines], file: LogFile, length: i64) -> Result<UnregisteredLines> {
    let first = rows.first().ok_or(StorageError::Corrupt { what: "unregistered lines" })?;
    let sum = |part: fn(&UnregisteredLines) -> i64| rows.iter().map(part).sum();
    Ok(UnregisteredLines {
        id: UnregisteredLinesId::UNSAVED,
        // Of several logs, none of which can be forgotten.
        source_id: LogSourceId::UNSAVED,
        recorded: rows.iter().map(|row| row.recorded).max().unwrap_or(first.recorded),
        first: rows.iter().map(|row| row.first).min().unwrap_or(first.first),
        last: rows.iter().map(|row| row.last).max().unwrap_or(first.last),
        kept_from: rows.iter().map(|row| row.kept_from).max().unwrap_or(first.kept_from),
        file,
        offset: 0,
        length,
        lines: sum(|row| row.lines),
        raw_length: sum(|row| row.raw_length),
        is_open: false,
        figures: figures(rows)?.encode(),
        ..first.clone()
    })
}

fn figures(rows: &[UnregisteredLines]) -> Result<RowFigures> {
    let mut cells = BTreeMap::<Bucket, Figures>::new();
    let mut city_cells = BTreeMap::<(Bucket, CityId), i64>::new();
    for row in rows {
        let figures = RowFigures::decode(&row.figures);
        let figures = figures.ok_or(StorageError::Corrupt { what: "figures of unregistered lines" })?;
        for (bucket, figures) in figures.cells {
            cells.entry(bucket).or_default().add(figures);
        }
        for RowCityCell { bucket, city_id, flux } in figures.city_cells {
            let sum = city_cells.entry((bucket, city_id)).or_default();
            *sum = sum.saturating_add(flux);
        }
    }
    let city_cell = |((bucket, city_id), flux)| RowCityCell { bucket, city_id, flux };
    Ok(RowFigures {
        cells: cells.into_iter().collect(),
        city_cells: city_cells.into_iter().map(city_cell).collect(),
    })
}
