//! Ids that imported rows keep.

use std::collections::HashMap;

use async_trait::async_trait;

use super::place::Place;
use super::report::ImportKind;
use crate::Result;
use crate::ports::{StorageResult, UnitOfWork};

/// The greatest id that a document may give. Ids only grow, so a greater one could use them up.
const MAX_ID: i64 = 1_000_000_000_000;

/// Table whose rows keep their ids when they are imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowKind {
    /// Accounts, by `account.id`: the uid of the config family.
    Accounts,
    /// Companies, by `company.id`.
    Companies,
    /// Cdns, by `cdn.id`, which programs send as `id`.
    Cdns,
    /// Apps, by `app.id`.
    Apps,
    /// Grants of accounts on apps, by `Id` of `/userauth/list`.
    Grants,
    /// Configuration items, by the `id` that programs publish.
    Items,
    /// Machines, by their number in the inventory.
    Machines,
}

impl RowKind {
    /// List of a document that holds such rows.
    fn list(self) -> ImportKind {
        match self {
            Self::Accounts => ImportKind::Accounts,
            Self::Companies => ImportKind::Companies,
            Self::Cdns => ImportKind::Cdns,
            Self::Apps => ImportKind::Apps,
            Self::Grants => ImportKind::Grants,
            Self::Items => ImportKind::Items,
            Self::Machines => ImportKind::Machines,
        }
    }
}

/// Numbering of a store's tables.
#[async_trait]
pub trait RowIdRepository: Send {
    /// The greatest id that a table has given, also to rows that are gone, or was raised to; 0 before the first.
    async fn last_id(&mut self, kind: RowKind) -> StorageResult<i64>;
    /// Goes on behind `last`, which is not below the greatest id given: the next row gets the id after it. A rollback undoes
    /// that, and gives back the ids that the transaction gave since.
    async fn raise_last_id(&mut self, kind: RowKind, last: i64) -> StorageResult<()>;
}

/// Numbering of the records of one kind during an import.
///
/// Records that keep their ids come first, in the order of their ids, so that no other takes one of those.
pub(super) struct RowIds {
    kind: RowKind,
    /// Ids that the document gives, by the index of the record.
    wanted: Vec<Option<i64>>,
    last: i64,
    /// Whether a rollback gives back the ids from here on.
    is_begun: bool,
}

impl RowIds {
    /// The numbering for records that want these ids. Refuses an id outside 1 to 10^12, and one that occurs twice.
    pub(super) async fn new(
        work: &mut dyn UnitOfWork,
        kind: RowKind,
        wanted: Vec<Option<i64>>,
    ) -> Result<Self> {
        let place = |index| Place { kind: kind.list(), index };
        let mut seen = HashMap::new();
        for (index, id) in wanted.iter().enumerate() {
            let Some(id) = *id else { continue };
            if !(1..=MAX_ID).contains(&id) {
                return Err(place(index).invalid("id", format!("must be from 1 to {MAX_ID}")));
            }
            if let Some(first) = seen.insert(id, index) {
                let first = place(first);
                return Err(place(index).invalid("id", format!("is the id of {first}, too")));
            }
        }
        let last = work.row_ids().last_id(kind).await?;
        Ok(Self { kind, wanted, last, is_begun: false })
    }

    /// Places of the records, in the order in which they are to be imported.
    pub(super) fn order(&self) -> Vec<Place> {
        let place = |index| Place { kind: self.kind.list(), index };
        let mut order: Vec<_> = (0..self.wanted.len()).map(place).collect();
        order.sort_by_key(|place| self.wanted(*place).filter(|id| *id > self.last).unwrap_or(i64::MAX));
        order
    }

    /// Id that the document gives to a record.
    pub(super) fn wanted(&self, place: Place) -> Option<i64> {
        self.wanted[place.index]
    }

    /// Has the next row get the id that is wanted, if it is still free.
    pub(super) async fn reserve(&mut self, work: &mut dyn UnitOfWork, place: Place) -> StorageResult<()> {
        let before = self.wanted(place).map_or(self.last, |id| self.last.max(id - 1));
        if !self.is_begun || before > self.last {
            work.row_ids().raise_last_id(self.kind, before).await?;
            self.last = before;
            self.is_begun = true;
        }
        Ok(())
    }

    /// Notes the id that a row got.
    pub(super) fn given(&mut self, id: i64) {
        self.last = self.last.max(id);
    }
}
