//! Questions to a vendor: the look for a batch whose answer was lost, and the states of tasks.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::batch::VendorBatch;
use super::outcome::{Effect, LOOK_WAIT, found, polled, retry_wait, waits};
use super::speaker::Speaker;
use crate::Result;
use crate::ports::{ItemState, RemoteTask};
use crate::sync::lock;

impl Speaker<'_> {
    /// Looks for a batch whose answer was lost in the vendor's tasks.
    pub(super) async fn look(&self, row: &VendorBatch) -> Result<()> {
        let edge = self.can().edges.first().map_or(self.cdn, String::as_str);
        let batch = row.to_batch(edge);
        let Some(answer) = self.call(self.provider.find(&batch)).await else { return Ok(()) };
        let moment = self.moment().await?;
        match answer {
            Ok(tasks) if tasks.len() == row.items.len() => {
                lock(self.memory).forget_quotas();
                self.write(row, found(row, tasks, moment)).await
            }
            Ok(_) => self.look_later(row, "the vendor's list of tasks could not be read", moment.now).await,
            Err(error) => {
                self.note(&error, moment.now);
                self.look_later(row, &error.to_string(), moment.now).await
            }
        }
    }

    async fn look_later(&self, row: &VendorBatch, reason: &str, now: DateTime<Utc>) -> Result<()> {
        let wait = LOOK_WAIT + retry_wait(row.tries);
        let next = VendorBatch { due: now + wait, tries: row.tries + 1, ..row.clone() };
        self.tell(reason);
        self.write(row, waits(row, next, reason, now)).await
    }

    /// Asks about the tasks of batches.
    pub(super) async fn poll(&self, rows: &[&VendorBatch]) -> Result<()> {
        let mut tasks: Vec<RemoteTask> = Vec::new();
        let mut ends = Vec::new();
        for row in rows {
            tasks.extend(row.tasks());
            ends.push(tasks.len());
        }
        let Some(answer) = self.call(self.provider.poll(&tasks)).await else { return Ok(()) };
        let moment = self.moment().await?;
        let mut states = match answer {
            Ok(states) if states.len() == tasks.len() => states.into_iter(),
            Ok(_) => {
                return self.poll_later(rows, "the vendor did not answer for every task", moment.now).await;
            }
            Err(error) => {
                self.note(&error, moment.now);
                return self.poll_later(rows, &error.to_string(), moment.now).await;
            }
        };
        let mut tasks = tasks.into_iter();
        let mut begin = 0;
        for (row, end) in rows.iter().zip(ends) {
            let mut of_row: HashMap<String, ItemState> = HashMap::new();
            for (task, states) in tasks.by_ref().zip(states.by_ref()).take(end - begin) {
                of_row.extend(task.items.into_iter().zip(states));
            }
            begin = end;
            self.write(row, polled(row, of_row, moment)).await?;
        }
        Ok(())
    }

    /// Asks later. What runs does not wait for it, so the jobs are told nothing.
    async fn poll_later(&self, rows: &[&VendorBatch], reason: &str, now: DateTime<Utc>) -> Result<()> {
        self.tell(reason);
        for row in rows {
            let wait = retry_wait(row.tries).clamp(TimeDelta::seconds(5), TimeDelta::seconds(60));
            let next = VendorBatch { due: now + wait, tries: row.tries + 1, ..(*row).clone() };
            self.write(row, Effect { next: Some(next), ..Effect::default() }).await?;
        }
        Ok(())
    }
}
