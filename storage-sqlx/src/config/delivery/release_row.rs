//! Rows of releases and of their parts.

use std::sync::Arc;

use pilothouse_core::config::{
    Deliverable, GreysBeside, PartId, Release, ReleaseId, ReleaseKind, ReleasePart, ReleaseSize,
    ReleaseState, ReleaseSummary, ReleasedItem,
};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::row::{FromRow, Row};

fn node_ids(text: &str) -> Vec<String> {
    text.split(',').filter(|node| !node.is_empty()).map(str::to_owned).collect()
}

impl FromRow for Release {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let kind = ReleaseKind::from_id(row.get("kind")?);
        let state = ReleaseState::from_id(row.get("state")?);
        let nodes: String = row.get("nodes")?;
        Ok(Self {
            id: row.get("id")?,
            set: row.optional("set_id")?,
            title: row.get("title")?,
            change_set: row.optional("change_set_id")?,
            item: row.get("item_id")?,
            version: row.get("version")?,
            kind: kind.ok_or(StorageError::Corrupt { what: "release kind" })?,
            state: state.ok_or(StorageError::Corrupt { what: "release state" })?,
            publisher: row.get("publisher")?,
            publish_time: row.get("publish_time")?,
            revision: row.get("revision")?,
            end_revision: row.optional("end_revision")?,
            nodes: node_ids(&nodes),
            origin: row.optional("origin")?,
        })
    }
}

impl FromRow for ReleaseSummary {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let first = Release::from_row(row)?;
        let mut parts = [0; 4];
        parts[first.state as usize] = 1;
        Ok(Self { first, key: row.get("key")?, parts })
    }
}

/// Number of the parts of a release, without the first, in a state.
pub(super) struct PartState {
    pub(super) release: ReleaseId,
    pub(super) state: ReleaseState,
    pub(super) parts: i64,
}

impl FromRow for PartState {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let state = ReleaseState::from_id(row.get("state")?);
        let state = state.ok_or(StorageError::Corrupt { what: "release state" })?;
        Ok(Self { release: row.get("set_id")?, state, parts: row.get("parts")? })
    }
}

impl FromRow for ReleasedItem {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { item: row.get("item_id")?, key: row.get("key")?, version: row.get("version")? })
    }
}

impl FromRow for ReleaseSize {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { release: row.get("set_id")?, parts: row.get("parts")?, versions: row.get("versions")? })
    }
}

impl FromRow for ReleasePart {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let origin = Option::zip(row.optional("origin_head_id")?, row.optional("origin_id")?);
        Ok(Self {
            release: row.get("head_id")?,
            part: row.get("id")?,
            version: row.get("version")?,
            origin: origin.map(|(release, part)| PartId { release, part }),
        })
    }
}

impl FromRow for GreysBeside {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { release: row.get("head_id")?, nodes: node_ids(&row.get::<String>("nodes")?) })
    }
}

/// A release with the key of its item.
impl FromRow for (Release, String) {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok((Release::from_row(row)?, row.get("key")?))
    }
}

impl FromRow for Deliverable {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            release: Release::from_row(row)?,
            profile: row.get("profile")?,
            key: row.get("key")?,
            value: row.optional::<String>("value")?.map(Arc::from),
        })
    }
}
