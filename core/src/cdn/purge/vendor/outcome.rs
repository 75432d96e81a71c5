//! Outcomes of a vendor's calls: what becomes of a batch, and of the URLs of the jobs that wait for it.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::batch::{BatchItem, BatchState, VendorBatch};
use super::cut::halve;
use super::poll_times::poll_wait;
use crate::cdn::purge::progress::JobCell;
use crate::ports::{Ids, ItemState, ProviderError, Repeat, Submission, Submissions};

/// Wait after a lost answer for the look at what the vendor has: its list is not up to date at once.
pub(super) const LOOK_WAIT: TimeDelta = TimeDelta::seconds(10);
/// Shortest and longest wait after a call that failed.
const SHORTEST_RETRY: TimeDelta = TimeDelta::seconds(1);
const LONGEST_RETRY: TimeDelta = TimeDelta::minutes(5);
/// Pause of a vendor that does not accept the credentials.
pub(super) const CREDENTIALS_PAUSE: TimeDelta = TimeDelta::minutes(5);
/// Times that a vendor's failure of a URL is tried again, the first time counted.
const MAX_FAILURES: u8 = 3;
/// Time that a vendor may take for a task, and in which it may not know a new one yet.
const LONGEST_TASK: TimeDelta = TimeDelta::hours(24);
const NEW_TASK: TimeDelta = TimeDelta::minutes(2);
/// Reason of a URL whose task ended without a word.
const UNSAID: &str = "the vendor did not say what became of it";

/// Effect of an answer: what is to be written in one transaction.
#[derive(Debug, Default)]
pub(super) struct Effect {
    /// Cells of the URLs, for all jobs of the batch.
    pub(super) cells: HashMap<String, JobCell>,
    /// Batch in the place of the one that was called; `None` where nothing is left of it.
    pub(super) next: Option<VendorBatch>,
    /// New batches: what is tried again.
    pub(super) more: Vec<VendorBatch>,
}

/// Effect of an answer on all calls of the vendor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Aftermath {
    /// None.
    Nothing,
    /// The rate was exceeded; the time is that after which the vendor wants to be called again.
    SlowDown(Option<Duration>),
    /// So many items are too many for a call.
    TooMany(usize),
    /// The credentials are not accepted.
    Pause(String),
}

/// Source of what outcomes need.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) now: DateTime<Utc>,
    pub(super) ids: &'a dyn Ids,
}

impl Moment<'_> {
    pub(super) fn id(&self) -> String {
        self.ids.uuid().to_string()
    }
}

/// Wait after so many calls in a row that failed.
pub(super) fn retry_wait(tries: i64) -> TimeDelta {
    let doublings = u32::try_from(tries.clamp(0, 12)).unwrap_or(12);
    (SHORTEST_RETRY * 2_i32.pow(doublings)).min(LONGEST_RETRY)
}

/// Collects what becomes of each item of a batch.
struct Sorting<'a> {
    moment: Moment<'a>,
    effect: Effect,
    running: Vec<BatchItem>,
    again: Vec<BatchItem>,
}

impl<'a> Sorting<'a> {
    fn new(moment: Moment<'a>) -> Self {
        Self { moment, effect: Effect::default(), running: Vec::new(), again: Vec::new() }
    }

    fn cell(&mut self, url: &str, cell: JobCell) {
        self.effect.cells.insert(url.to_owned(), cell);
    }

    fn done(&mut self, item: &BatchItem) {
        self.cell(&item.url, JobCell::after(Ok(()), self.moment.now));
    }

    fn failed(&mut self, item: &BatchItem, reason: &str) {
        self.cell(&item.url, JobCell::failed(reason, self.moment.now));
    }

    fn runs(&mut self, item: BatchItem) {
        self.cell(&item.url, JobCell::running(item.percent, "", self.moment.now));
        self.running.push(item);
    }

    /// Tries an item again, except where it failed too often.
    fn try_again(&mut self, item: &BatchItem, reason: &str) {
        let failures = item.failures + 1;
        if failures >= MAX_FAILURES {
            return self.failed(item, reason);
        }
        self.cell(&item.url, JobCell::running(0, reason, self.moment.now));
        self.again.push(BatchItem { failures, ..BatchItem::new(&*item.url) });
    }

    fn finish(mut self, batch: &VendorBatch) -> Effect {
        let now = self.moment.now;
        if !self.running.is_empty() {
            let due = now + poll_wait(now - batch.accepted_at);
            let (state, items) = (BatchState::Running, self.running);
            self.effect.next = Some(VendorBatch { state, due, tries: 0, items, ..batch.clone() });
        }
        if let Some(failures) = self.again.iter().map(|item| item.failures).max() {
            let due = if failures == 0 { now } else { now + retry_wait(i64::from(failures)) };
            self.effect.more.push(waiting(batch, self.moment.id(), self.again, due));
        }
        self.effect
    }
}

/// Items of a batch that wait to be cut anew.
fn waiting(batch: &VendorBatch, id: String, items: Vec<BatchItem>, due: DateTime<Utc>) -> VendorBatch {
    let group = String::new();
    VendorBatch { id, group, state: BatchState::Waiting, due, tries: 0, items, ..batch.clone() }
}

/// Effect of an answer to a submit for each item.
pub(super) fn submitted(batch: &VendorBatch, answers: Submissions, moment: Moment<'_>) -> Effect {
    let mut sorting = Sorting::new(moment);
    for (item, answer) in batch.items.iter().zip(answers) {
        match answer {
            Ok(Submission::Done) => sorting.done(item),
            Ok(Submission::Running(task)) => sorting.runs(item.clone().of_task(&task)),
            Err(error) if error.may_be_retried() => sorting.try_again(item, &error.to_string()),
            Err(error) => sorting.failed(item, &error.to_string()),
        }
    }
    sorting.finish(batch)
}

/// Effect of a look at what the vendor has, after a lost answer. What it does not have was not done, and is sent again.
pub(super) fn found(batch: &VendorBatch, tasks: Vec<Option<String>>, moment: Moment<'_>) -> Effect {
    let mut sorting = Sorting::new(moment);
    for (item, task) in batch.items.iter().zip(tasks) {
        match task {
            Some(task) => sorting.runs(item.clone().of_task(&task)),
            None => sorting.again.push(item.clone()),
        }
    }
    sorting.finish(batch)
}

/// Effect of a look at a batch's tasks; `states` are those of its URLs.
pub(super) fn polled(
    batch: &VendorBatch,
    mut states: HashMap<String, ItemState>,
    moment: Moment<'_>,
) -> Effect {
    let mut sorting = Sorting::new(moment);
    let age = moment.now - batch.accepted_at;
    for item in &batch.items {
        match states.remove(&item.url).unwrap_or(ItemState::Unknown) {
            ItemState::Done => sorting.done(item),
            ItemState::Refused(reason) => sorting.failed(item, &reason),
            ItemState::Failed(reason) => sorting.try_again(item, &reason),
            ItemState::Running(percent) if age < LONGEST_TASK => {
                let percent = percent.unwrap_or(0).min(99).max(item.percent);
                sorting.runs(BatchItem { percent, ..item.clone() });
            }
            ItemState::Unknown if age < NEW_TASK => sorting.runs(item.clone()),
            ItemState::Running(_) | ItemState::Unknown => sorting.failed(item, UNSAID),
        }
    }
    sorting.finish(batch)
}

/// Effect of a submit that failed as a whole.
pub(super) fn refused(
    batch: &VendorBatch,
    error: &ProviderError,
    repeat: Repeat,
    moment: Moment<'_>,
) -> (Effect, Aftermath) {
    let (now, tries) = (moment.now, batch.tries + 1);
    let reason = error.to_string();
    let after =
        |wait: TimeDelta| VendorBatch { state: BatchState::Cut, due: now + wait, tries, ..batch.clone() };
    match error {
        ProviderError::Throttled { after: said, .. } => {
            let wait =
                said.and_then(|said| TimeDelta::from_std(said).ok()).unwrap_or(retry_wait(batch.tries));
            (waits(batch, after(wait), &reason, now), Aftermath::SlowDown(*said))
        }
        ProviderError::QuotaUsed { until, .. } => {
            let row =
                waiting(batch, batch.id.clone(), batch.items.clone(), (*until).max(now + SHORTEST_RETRY));
            (waits(batch, row, &reason, now), Aftermath::Nothing)
        }
        ProviderError::Credentials(_) => {
            (waits(batch, after(CREDENTIALS_PAUSE), &reason, now), Aftermath::Pause(reason.clone()))
        }
        ProviderError::Ambiguous(_) => {
            let wait = if repeat == Repeat::LookFirst { LOOK_WAIT } else { retry_wait(batch.tries) };
            let row = VendorBatch { state: BatchState::Sent, ..after(wait) };
            (waits(batch, row, &reason, now), Aftermath::Nothing)
        }
        ProviderError::TooBig(_) if batch.items.len() > 1 => {
            (halved(batch, moment), Aftermath::TooMany(batch.items.len()))
        }
        ProviderError::NotYours(_) | ProviderError::Refused(_) if batch.items.len() > 1 => {
            (halved(batch, moment), Aftermath::Nothing)
        }
        ProviderError::NotYours(_)
        | ProviderError::Refused(_)
        | ProviderError::TooBig(_)
        | ProviderError::Unsupported { .. } => (all_failed(batch, &reason, moment), Aftermath::Nothing),
        ProviderError::Unavailable(_) => {
            (waits(batch, after(retry_wait(batch.tries)), &reason, now), Aftermath::Nothing)
        }
    }
}

fn halved(batch: &VendorBatch, moment: Moment<'_>) -> Effect {
    let more = halve(batch, [moment.id(), moment.id()], moment.now).into();
    Effect { more, ..Effect::default() }
}

/// Effect of a failure of all items.
pub(super) fn all_failed(batch: &VendorBatch, reason: &str, moment: Moment<'_>) -> Effect {
    let cell = |item: &BatchItem| (item.url.clone(), JobCell::failed(reason, moment.now));
    Effect { cells: batch.items.iter().map(cell).collect(), ..Effect::default() }
}

/// Effect of a wait, whose reason the jobs show.
pub(super) fn waits(batch: &VendorBatch, next: VendorBatch, reason: &str, now: DateTime<Utc>) -> Effect {
    let cell = |item: &BatchItem| (item.url.clone(), JobCell::running(item.percent, reason, now));
    Effect { cells: batch.items.iter().map(cell).collect(), next: Some(next), more: Vec::new() }
}
