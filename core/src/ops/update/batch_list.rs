//! List of batches, the newest first.

use std::cmp::Reverse;

use super::{Batch, BatchId, BatchNumber, BatchState, Batches};
use crate::account::{Caller, Group};
use crate::ops::TaskFilter;
use crate::{Error, Page, Result};

/// A batch as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOverview {
    /// The batch itself.
    pub batch: Batch,
    /// Path of the file that its tasks replace; empty where they were deleted meanwhile.
    pub path: String,
    /// Description for people.
    pub description: String,
    /// Number of its tasks, one for each machine.
    pub tasks: u64,
}

impl Batches<'_> {
    /// The newest `count` batches, 1 to 1000, of one state or of all of them, newest first, or those after a batch that ended
    /// such a page; needs group 1.
    pub async fn list(
        &self,
        caller: &Caller,
        state: Option<BatchState>,
        after: Option<BatchId>,
        count: i64,
    ) -> Result<Vec<BatchOverview>> {
        self.0.require(caller, Group::ReadTasks)?;
        if !(1..=1000).contains(&count) {
            return Err(Error::invalid("count", "must be from 1 to 1000"));
        }
        let mut snapshot = self.0.storage().read().await?;
        let before = match after {
            Some(id) => {
                let last = snapshot.batches().find(id).await?;
                last.ok_or_else(|| Error::not_found("the batch"))?.id
            }
            None => BatchNumber(i64::MAX),
        };
        let mut batches = Vec::new();
        for of_state in BatchState::ALL.iter().copied().filter(|one| state.is_none_or(|state| state == *one))
        {
            batches.extend(snapshot.batches().in_state(of_state, before, count).await?);
        }
        batches.sort_by_key(|batch| Reverse(batch.id));
        batches.truncate(usize::try_from(count).unwrap_or_default());
        let mut rows = Vec::with_capacity(batches.len());
        for batch in batches {
            let filter = TaskFilter { batch: Some(batch.batch_id), ..TaskFilter::default() };
            let first = snapshot.tasks().list(&filter, Page::at(0, 1)).await?.pop();
            let tasks = snapshot.tasks().count(&filter, 0, i64::MAX).await?;
            let (path, description) = first.map(|task| (task.content, task.description)).unwrap_or_default();
            rows.push(BatchOverview { batch, path, description, tasks });
        }
        Ok(rows)
    }
}
