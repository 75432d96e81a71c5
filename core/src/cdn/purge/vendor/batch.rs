//! Batches of a vendor as durable rows: what waits, what was sent, and which tasks have it.

use std::fmt::Write as _;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::cdn::purge::progress::one_line;
use crate::ports::{Batch, Operation, Purge, RemoteTask, StorageResult};

/// State of a vendor's batch. One that has ended has no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BatchState {
    /// URLs of one job that wait to be put into a batch, with those of other jobs.
    Waiting,
    /// Cut: its items do not change any more.
    Cut,
    /// Sent, or about to be: written before the call, and left when an answer is written. Whoever finds one so does not know
    /// whether the vendor has it.
    Sent,
    /// The vendor has tasks of all its items, to be asked about.
    Running,
}

impl BatchState {
    /// Number that stores keep.
    pub fn id(self) -> i64 {
        match self {
            Self::Waiting => 0,
            Self::Cut => 1,
            Self::Sent => 2,
            Self::Running => 3,
        }
    }

    /// State of a number that stores keep; `None` of any other.
    pub fn from_id(id: i64) -> Option<Self> {
        let states = [Self::Waiting, Self::Cut, Self::Sent, Self::Running];
        states.into_iter().find(|state| state.id() == id)
    }
}

/// One URL of a vendor's batch, until it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchItem {
    /// URL, or prefix that ends in `*`.
    pub url: String,
    /// Id of the vendor's task that has it; empty before there is one.
    pub task: String,
    /// Percentage of 0 to 99, where the vendor tells one.
    pub percent: u8,
    /// Times that the vendor said it failed.
    pub failures: u8,
}

impl BatchItem {
    /// One that was not sent yet.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), task: String::new(), percent: 0, failures: 0 }
    }

    /// The same with the task of a vendor, whose id is kept in one line.
    pub(super) fn of_task(self, task: &str) -> Self {
        Self { task: one_line(task), ..self }
    }

    /// The items as a store keeps them: a line for each, of failures, percent, URL and task.
    pub fn encode(items: &[Self]) -> String {
        let mut text = String::new();
        for Self { url, task, percent, failures } in items {
            // Writing into a string does not fail.
            let _ = writeln!(text, "{failures} {percent} {url} {task}");
        }
        text
    }

    /// Decodes what [`BatchItem::encode`] wrote; `None` for anything else.
    pub fn decode(text: &str) -> Option<Vec<Self>> {
        let decode = |line: &str| {
            let mut words = line.splitn(4, ' ');
            let failures = words.next()?.parse().ok()?;
            let percent = words.next()?.parse().ok()?;
            let url = words.next()?.to_owned();
            Some(Self { url, task: words.next()?.to_owned(), percent, failures })
        };
        text.lines().map(decode).collect()
    }
}

/// A vendor's batch with the jobs that wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorBatch {
    /// Unique id: 36 letters, digits and hyphens.
    pub id: String,
    /// Name of the cdn.
    pub cdn: String,
    /// Operation of all its items.
    pub operation: Operation,
    /// Group of all its hosts; empty while it waits, and without groups.
    pub group: String,
    /// Waiting, cut, sent or running.
    pub state: BatchState,
    /// Time at which its jobs were accepted at the latest.
    pub accepted_at: DateTime<Utc>,
    /// Time of the next step.
    pub due: DateTime<Utc>,
    /// Steps in a row that brought nothing: the next waits longer.
    pub tries: i64,
    /// Items that have not ended, at least one.
    pub items: Vec<BatchItem>,
    /// Task ids of the jobs that wait for it.
    pub jobs: Vec<String>,
}

impl VendorBatch {
    /// The batch as its provider gets it.
    pub(super) fn to_batch(&self, edge: &str) -> Batch {
        let items = self.items.iter().map(|item| Purge { url: item.url.clone(), stamp: 0 }).collect();
        Batch {
            id: self.id.clone(),
            operation: self.operation,
            edge: edge.to_owned(),
            group: self.group.clone(),
            items,
            accepted_at: self.accepted_at,
        }
    }

    /// The tasks that have its items.
    pub(super) fn tasks(&self) -> Vec<RemoteTask> {
        let mut tasks: Vec<RemoteTask> = Vec::new();
        for item in &self.items {
            match tasks.iter_mut().find(|task| task.id == item.task) {
                Some(task) => task.items.push(item.url.clone()),
                None => tasks.push(RemoteTask {
                    id: item.task.clone(),
                    operation: self.operation,
                    group: self.group.clone(),
                    items: vec![item.url.clone()],
                    accepted_at: self.accepted_at,
                }),
            }
        }
        tasks
    }
}

/// Batches of vendors in a store. Only the server that leads a cdn writes those of it, except for new ones that wait.
#[async_trait]
pub trait VendorBatchRepository: Send {
    /// Adds a batch; false when there is one of this id.
    async fn insert(&mut self, batch: &VendorBatch) -> StorageResult<bool>;
    /// Replaces all but id and cdn; false when there is none of this id.
    async fn update(&mut self, batch: &VendorBatch) -> StorageResult<bool>;
    /// Forgets a batch; whether there was one.
    async fn remove(&mut self, id: &str) -> StorageResult<bool>;
    /// The batches of a cdn in the order of their acceptance, then by id.
    async fn list(&mut self, cdn: &str) -> StorageResult<Vec<VendorBatch>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_survive_a_store() {
        let items = [
            BatchItem::new("https://a.test/更?a='\"\\"),
            BatchItem {
                percent: 37,
                failures: 2,
                ..BatchItem::new("https://a.test/*").of_task("a task\nof two")
            },
        ];
        let text = BatchItem::encode(&items);
        assert_eq!(text.lines().count(), 2);
        assert_eq!(BatchItem::decode(&text).unwrap(), items);
        for text in ["0 0 https://a.test/", "x 0 https://a.test/ ", "0 256 https://a.test/ ", "\n"] {
            assert_eq!(BatchItem::decode(text), None, "{text:?}");
        }
    }
}
