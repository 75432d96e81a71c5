//! Order repository: orders and contents of tasks in a store, and the removals of blobs that they could name.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{BatchId, BlobRemoval, FileContent, FileOrder, OrderState, Sha256Digest};
use crate::Lease;
use crate::ops::{MachineNumber, TaskId};
use crate::ports::StorageResult;

/// Orders and contents of tasks in a store. They go with their task.
#[async_trait]
pub trait OrderRepository: Send {
    /// Adds the content of a task with an order that is pending, and bound to a machine where one is given.
    async fn insert(&mut self, content: &FileContent, machine: Option<MachineNumber>) -> StorageResult<()>;
    /// The content of a task, where it has one.
    async fn find_content(&mut self, task_id: TaskId) -> StorageResult<Option<FileContent>>;
    /// The order of a task, where it has a content.
    async fn find(&mut self, task_id: TaskId) -> StorageResult<Option<FileOrder>>;
    /// Replaces an order that is still in the state, attempt and version of `old`; its version then grows by one.
    async fn update(&mut self, old: &FileOrder, new: &FileOrder) -> StorageResult<bool>;
    /// The order of a machine that has been due the longest at `now`.
    async fn next_due(
        &mut self,
        machine: MachineNumber,
        now: DateTime<Utc>,
    ) -> StorageResult<Option<FileOrder>>;
    /// The orders of a machine that are leased or unknown, by task.
    async fn held(&mut self, machine: MachineNumber) -> StorageResult<Vec<FileOrder>>;
    /// The orders of a machine that were given and have not ended, by task.
    async fn open(&mut self, machine: MachineNumber) -> StorageResult<Vec<FileOrder>>;
    /// Orders whose lease is over at `now` or void, that are due and past their deadline, or that are due later than `latest`
    /// and not by the `not_before` of their content; at most `count`.
    async fn lapsed(
        &mut self,
        now: DateTime<Utc>,
        lease: Lease,
        latest: DateTime<Utc>,
        count: i64,
    ) -> StorageResult<Vec<FileOrder>>;
    /// The orders of a batch without their logs, by the number of their task.
    async fn of_batch(&mut self, batch: BatchId) -> StorageResult<Vec<FileOrder>>;
    /// The newest `count` orders that are in a state, without their logs, newest task first.
    async fn in_state(&mut self, state: OrderState, count: i64) -> StorageResult<Vec<FileOrder>>;
    /// Whether any task names a blob.
    async fn names_blob(&mut self, sha256: Sha256Digest) -> StorageResult<bool>;
    /// The last removal of a blob that is known.
    async fn blob_removal(&mut self, sha256: Sha256Digest) -> StorageResult<Option<BlobRemoval>>;
    /// Adds the removal of a blob, or replaces it.
    async fn set_blob_removal(&mut self, removal: &BlobRemoval) -> StorageResult<()>;
    /// Forgets removals that began before a time.
    async fn forget_blob_removals(&mut self, before: DateTime<Utc>) -> StorageResult<()>;
}
