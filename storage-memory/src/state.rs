//! Everything the store holds.

use imbl::OrdMap;
use pilothouse_core::Page;

use crate::account::AccountState;
use crate::cdn::CdnState;
use crate::config::ConfigState;
use crate::ops::OpsState;

/// Cloning shares everything, so it costs next to nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) account: AccountState,
    pub(crate) config: ConfigState,
    pub(crate) ops: OpsState,
    pub(crate) cdn: CdnState,
}

/// Rows by an id that this table gives out, never twice.
#[derive(Clone, Debug)]
pub(crate) struct Table<T: Clone> {
    last: i64,
    rows: OrdMap<i64, T>,
}

impl<T: Clone> Default for Table<T> {
    fn default() -> Self {
        Self { last: 0, rows: OrdMap::new() }
    }
}

impl<T: Clone> Table<T> {
    /// Adds the row that `make` builds around its new id.
    pub(crate) fn insert(&mut self, make: impl FnOnce(i64) -> T) -> i64 {
        self.last += 1;
        self.rows.insert(self.last, make(self.last));
        self.last
    }

    pub(crate) fn get(&self, id: i64) -> Option<&T> {
        self.rows.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: i64) -> Option<&mut T> {
        self.rows.get_mut(&id)
    }

    pub(crate) fn remove(&mut self, id: i64) -> bool {
        self.rows.remove(&id).is_some()
    }

    /// Keeps the rows that pass; how many went.
    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) -> u64 {
        let gone: Vec<i64> = self.rows.iter().filter(|(_, row)| !keep(row)).map(|(id, _)| *id).collect();
        for id in &gone {
            self.rows.remove(id);
        }
        gone.len() as u64
    }

    /// Rows from `start` on, by id.
    pub(crate) fn from(&self, start: i64) -> impl Iterator<Item = &T> {
        self.rows.range(start..).map(|(_, row)| row)
    }

    /// All rows, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.rows.values()
    }
}

/// The first rows of a page.
pub(crate) fn page_of<'a, T: Clone + 'a>(rows: impl Iterator<Item = &'a T>, page: Page) -> Vec<T> {
    rows.take(usize::try_from(page.count).unwrap_or(0)).cloned().collect()
}
