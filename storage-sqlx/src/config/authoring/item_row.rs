//! Rows of items and their versions, as the statements select them.

use pilothouse_core::config::{Content, Item, ItemHead, ItemVersion, VersionOf, VersionSize, VersionedItem};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};

impl FromRow for ItemVersion {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let content = Content {
            value: row.get("value")?,
            validator: row.get("validator")?,
            description: row.get("description")?,
        };
        Ok(Self {
            version: row.get("version")?,
            content,
            modifier: row.get("modifier")?,
            modify_time: row.get("modify_time")?,
            approver: row.optional("approver")?,
        })
    }
}

impl FromRow for VersionSize {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { version: row.get("version")?, bytes: row.get("bytes")? })
    }
}

impl FromRow for Item {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            id: row.get("id")?,
            app: row.get("app_id")?,
            profile: row.get("profile")?,
            key: row.get("key")?,
            current: ItemVersion::from_row(row)?,
            published_version: row.get("published_version")?,
            published_value: row.optional("published_value")?.unwrap_or_default(),
        })
    }
}

impl FromRow for ItemHead {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            item: row.get("id")?,
            key: row.get("key")?,
            version: row.get("version")?,
            modifier: row.get("modifier")?,
            approver: row.optional("approver")?,
            published_version: row.get("published_version")?,
            is_deleted: row.get("deleted")?,
        })
    }
}

/// An item that was inserted, with the number of its first version.
pub(super) struct Inserted {
    pub(super) key: String,
    pub(super) version: VersionOf,
}

impl FromRow for Inserted {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let version = VersionOf { item: row.get("id")?, version: row.get("version")? };
        Ok(Self { key: row.get("key")?, version })
    }
}

impl FromRow for VersionedItem {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { item: row.get("item_id")?, version: ItemVersion::from_row(row)? })
    }
}
