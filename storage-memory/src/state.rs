//! Everything the store holds.

use imbl::OrdMap;
use pilothouse_core::{Order, Page};

use crate::account::AccountState;
use crate::cdn::CdnState;
use crate::config::ConfigState;
use crate::idempotency::IdempotencyState;
use crate::ops::OpsState;
use crate::pruning::PruningState;
use crate::store_identity::IdentityState;
use crate::webhook::WebhookState;

/// Cloning shares everything, so it costs next to nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) identity: IdentityState,
    pub(crate) account: AccountState,
    pub(crate) config: ConfigState,
    pub(crate) ops: OpsState,
    pub(crate) cdn: CdnState,
    pub(crate) idempotency: IdempotencyState,
    pub(crate) pruning: PruningState,
    pub(crate) webhook: WebhookState,
}

/// Rows by an id that this table gives out, never twice.
#[derive(Clone, Debug)]
pub(crate) struct Table<I: Ord, T> {
    last: i64,
    rows: OrdMap<I, T>,
}

impl<I: Ord, T> Default for Table<I, T> {
    fn default() -> Self {
        Self { last: 0, rows: OrdMap::new() }
    }
}

impl<I: Copy + Ord + From<i64>, T: Clone> Table<I, T> {
    /// Adds the row that `make` builds around its new id.
    pub(crate) fn insert(&mut self, make: impl FnOnce(I) -> T) -> I {
        self.last += 1;
        let id = I::from(self.last);
        self.rows.insert(id, make(id));
        id
    }

    /// The last id given, after which the next follows.
    pub(crate) fn last_mut(&mut self) -> &mut i64 {
        &mut self.last
    }

    pub(crate) fn get(&self, id: I) -> Option<&T> {
        self.rows.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: I) -> Option<&mut T> {
        self.rows.get_mut(&id)
    }

    /// Changes every row.
    pub(crate) fn for_each(&mut self, change: impl Fn(&mut T)) {
        let ids: Vec<I> = self.rows.keys().copied().collect();
        for id in ids {
            self.rows.get_mut(&id).map(&change);
        }
    }

    pub(crate) fn remove(&mut self, id: I) -> bool {
        self.rows.remove(&id).is_some()
    }

    /// Keeps the rows that pass; how many went.
    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) -> u64 {
        let gone: Vec<I> = self.rows.iter().filter(|(_, row)| !keep(row)).map(|(id, _)| *id).collect();
        for id in &gone {
            self.rows.remove(id);
        }
        gone.len() as u64
    }

    /// Rows of a page that pass, in its order.
    pub(crate) fn page(&self, page: Page, passes: impl Fn(&T) -> bool) -> Vec<T> {
        if page.start >= page.before {
            return Vec::new();
        }
        let rows = self.rows.range(I::from(page.start)..I::from(page.before)).map(|(_, row)| row);
        let count = usize::try_from(page.count).unwrap_or(0);
        match page.order {
            Order::Oldest => rows.filter(|row| passes(row)).take(count).cloned().collect(),
            Order::Newest => rows.rev().filter(|row| passes(row)).take(count).cloned().collect(),
        }
    }

    /// Number of rows that pass and have an id of at least `start` and less than `before`.
    pub(crate) fn count(&self, start: i64, before: i64, passes: impl Fn(&T) -> bool) -> u64 {
        if start >= before {
            return 0;
        }
        let rows = self.rows.range(I::from(start)..I::from(before));
        rows.filter(|(_, row)| passes(row)).count() as u64
    }

    /// Id of the `n`th row before an id, counted from the greatest.
    pub(crate) fn nth_before(&self, before: i64, n: i64) -> Option<I> {
        let skipped = usize::try_from(n - 1).ok()?;
        self.rows.range(..I::from(before)).rev().nth(skipped).map(|(id, _)| *id)
    }

    /// Rows from `start` on, by id.
    pub(crate) fn from(&self, start: impl Into<I>) -> impl Iterator<Item = &T> {
        self.rows.range(start.into()..).map(|(_, row)| row)
    }

    /// All rows, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.rows.values()
    }
}
