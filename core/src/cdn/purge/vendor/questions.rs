//! Questions to a vendor: the look for a batch whose answer was lost, and the states of tasks.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt as _;

use super::batch::{BatchState, VendorBatch};
use super::open_calls::Purpose;
use super::outcome::{Effect, LOOK_WAIT, found, polled, retry_wait, waits};
use super::speaker::{Call, Speaker};
use crate::Result;
use crate::ports::{ItemState, RemoteTask, Repeat};
use crate::sync::lock;

/// Batches whose tasks are asked about in one call, so that it ends long before its time limit.
const POLLED: usize = 20;

impl<'a> Speaker<'a> {
    /// Most urgent question among what is due: about a batch whose answer was lost, or about tasks that run. One is asked at a
    /// time, beside the batches that are sent.
    pub(super) fn question(&self, due: &[&VendorBatch], now: DateTime<Utc>) -> Option<Call<'a>> {
        if self.open.has(Purpose::Ask) {
            return None;
        }
        let speaker = *self;
        let mut memory = lock(self.memory);
        let of_state = |state| due.iter().copied().filter(move |row| row.state == state).cloned();
        // First, since tasks that run are due all the time.
        let looks_first = self.can().repeat == Repeat::LookFirst;
        if let Some(lost) = of_state(BatchState::Sent).next().filter(|_| looks_first) {
            memory.poll_times.ask(&lost, now);
            let open = self.open.open(Purpose::Ask, [lost.id.clone()]);
            let call = async move {
                let _open = open;
                speaker.look(&lost).await
            };
            return Some(call.boxed());
        }
        let mut running: Vec<_> = of_state(BatchState::Running).collect();
        if running.is_empty() {
            return None;
        }
        running.sort_by_cached_key(|row| memory.poll_times.due(row, now));
        running.truncate(POLLED);
        for row in &running {
            memory.poll_times.ask(row, now);
        }
        let open = self.open.open(Purpose::Ask, running.iter().map(|row| row.id.clone()));
        let call = async move {
            let _open = open;
            speaker.poll(&running).await
        };
        Some(call.boxed())
    }

    /// Looks for a batch whose answer was lost in the vendor's tasks.
    async fn look(&self, row: &VendorBatch) -> Result<()> {
        let edge = self.can().edges.first().map_or(self.cdn, String::as_str);
        let batch = row.to_batch(edge);
        let Some(answer) = self.call(self.provider.find(&batch)).await else { return Ok(()) };
        let moment = self.moment().await?;
        match answer {
            Ok(tasks) if tasks.len() == row.items.len() => {
                self.forget_lost(row);
                self.write(row, found(row, tasks, moment)).await
            }
            Ok(_) => self.look_later(row, "the vendor's list of tasks could not be read", moment.now).await,
            Err(error) => {
                self.note(&error, moment.now);
                self.look_later(row, &error.to_string(), moment.now).await
            }
        }
    }

    /// Forgets what was asked of a batch that was lost, and quotas, which it may have spent.
    fn forget_lost(&self, row: &VendorBatch) {
        let mut memory = lock(self.memory);
        memory.forget_quotas();
        memory.poll_times.forget(row);
    }

    async fn look_later(&self, row: &VendorBatch, reason: &str, now: DateTime<Utc>) -> Result<()> {
        let wait = LOOK_WAIT + retry_wait(row.tries);
        let next = VendorBatch { due: now + wait, tries: row.tries + 1, ..row.clone() };
        self.tell(reason);
        self.write(row, waits(row, next, reason, now)).await
    }

    /// Asks about the tasks of batches.
    async fn poll(&self, rows: &[VendorBatch]) -> Result<()> {
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
            let effect = polled(row, of_row, moment);
            let is_news = lock(self.memory).poll_times.is_news(row, &effect, moment.now);
            if is_news {
                self.write(row, effect).await?;
            }
        }
        Ok(())
    }

    /// Asks later. What runs does not wait for it, so the jobs are told nothing.
    async fn poll_later(&self, rows: &[VendorBatch], reason: &str, now: DateTime<Utc>) -> Result<()> {
        self.tell(reason);
        for row in rows {
            let wait = retry_wait(row.tries).clamp(TimeDelta::seconds(5), TimeDelta::seconds(60));
            let next = VendorBatch { due: now + wait, tries: row.tries + 1, ..row.clone() };
            self.write(row, Effect { next: Some(next), ..Effect::default() }).await?;
        }
        Ok(())
    }
}
