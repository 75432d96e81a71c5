//! Handing over of a job to its vendor: what is pending becomes a row that waits for a batch.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::batch::{BatchItem, BatchState, VendorBatch};
use super::cut::purge_operation;
use crate::cdn::purge::attempt::Attempt;
use crate::cdn::purge::job::{Job, JobKind};
use crate::cdn::purge::job_runner::{LONGEST_PAUSE, report};
use crate::ports::{Operation, UnitOfWork};
use crate::{Pilothouse, Result};

/// Hands what is pending of a job over to its vendor. Until that has done it, the job is looked at again only to find out
/// whether the vendor's batches still have it.
pub(in crate::cdn::purge) async fn hand_over(
    pilothouse: &Pilothouse,
    work: &mut dyn UnitOfWork,
    mut attempt: Attempt,
    now: DateTime<Utc>,
) -> Result<Job> {
    let mut held = HashSet::new();
    if attempt.is_running() {
        let rows = work.vendor_batches().list(&attempt.job.cdn).await?;
        let own = rows.into_iter().filter(|row| row.jobs.contains(&attempt.job.task_id));
        held.extend(own.flat_map(|row| row.items).map(|item| item.url));
    }
    let urls = attempt.hand_over(&held, now);
    let of = |url: &str| match attempt.job.kind {
        JobKind::Refresh => purge_operation(url),
        JobKind::Preload => Operation::Preload,
    };
    for operation in Operation::ALL {
        let items = urls.iter().filter(|url| of(url) == operation).map(|url| BatchItem::new(&**url));
        let items: Vec<_> = items.collect();
        if items.is_empty() {
            continue;
        }
        let batch = VendorBatch {
            id: pilothouse.ids().uuid().to_string(),
            cdn: attempt.job.cdn.clone(),
            operation,
            group: String::new(),
            state: BatchState::Waiting,
            accepted_at: now,
            due: now,
            tries: 0,
            items,
            jobs: vec![attempt.job.task_id.clone()],
        };
        work.vendor_batches().insert(&batch).await?;
    }
    attempt.settle();
    (attempt.job.due, attempt.job.is_claimed) = (now + LONGEST_PAUSE, false);
    if report(pilothouse, work, &attempt.job).await? {
        for progress in attempt.changed() {
            work.jobs().record(attempt.job.id, progress).await?;
        }
    }
    Ok(attempt.job)
}
