//! Parts of lists.

use crate::{Error, Result};

/// Order of a list by the ids of its rows, which ascend in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The smallest id first.
    #[default]
    Oldest,
    /// The greatest id first.
    Newest,
}

/// Part of a list: rows with an id of at least `start` and less than `before`, at most `count` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The smallest id returned.
    pub start: i64,
    /// An id greater than all that are returned.
    pub before: i64,
    /// The most rows returned, 1 to 1000.
    pub count: i64,
    /// Order in which rows are returned, and from which end the first `count` of them are taken.
    pub order: Order,
    /// Whether to count how many rows the whole list has.
    pub total: bool,
}

impl Page {
    /// The most rows one page may hold.
    pub const MAX: i64 = 1000;

    /// The first `count` rows from the id `start` on.
    pub const fn at(start: i64, count: i64) -> Self {
        Self { start, before: i64::MAX, count, order: Order::Oldest, total: false }
    }

    /// The first rows from the id `start` on. Refuses a negative start, and a count outside 1 to 1000. The defaults are 0
    /// and 10.
    pub fn new(start: Option<i64>, count: Option<i64>) -> Result<Self> {
        let page = Self::at(start.unwrap_or(0), count.unwrap_or(10));
        if page.start < 0 {
            return Err(Error::invalid("start", "must not be negative"));
        }
        if !(1..=Self::MAX).contains(&page.count) {
            return Err(Error::invalid("count", "must be from 1 to 1000"));
        }
        Ok(page)
    }

    /// Only rows with an id less than `before`, where it is given. Refuses a negative one.
    pub fn before(self, before: Option<i64>) -> Result<Self> {
        match before {
            Some(before) if before < 0 => Err(Error::invalid("before", "must not be negative")),
            before => Ok(Self { before: before.unwrap_or(i64::MAX), ..self }),
        }
    }

    /// Whether a row of this id is between `start` and `before`.
    pub fn has(&self, id: impl Into<i64>) -> bool {
        (self.start..self.before).contains(&id.into())
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::at(0, 10)
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing<T> {
    /// Its rows.
    pub rows: Vec<T>,
    /// Number of rows of the whole list, where [`Page::total`] asks for it; of a search, of what it has looked at.
    pub total: Option<u64>,
    /// Of a search that has not looked at everything: the [`Page::before`] with which to go on.
    pub search_before: Option<i64>,
}

impl<T> Listing<T> {
    /// A list that is one page.
    pub fn whole(rows: Vec<T>) -> Self {
        let total = Some(rows.len() as u64);
        Self { rows, total, search_before: None }
    }

    pub(crate) fn new(rows: Vec<T>, total: Option<u64>) -> Self {
        Self { rows, total, search_before: None }
    }

    /// The same page with each row made into another.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Listing<U> {
        let Self { rows, total, search_before } = self;
        Listing { rows: rows.into_iter().map(change).collect(), total, search_before }
    }
}
