//! Attempt at a job: the calls still to be made, and their outcomes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::call_queue::{CALL_URLS, CallQueues, Outcomes};
use super::job::{Job, JobKind, JobState};
use super::progress::{CellState, EdgeProgress, JobCell};
use crate::ports::{ProviderError, Purge};

/// A job, a row of progress for each edge it has to reach, and which rows are not yet stored.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) job: Job,
    rows: Vec<EdgeProgress>,
    changed: BTreeSet<usize>,
    confirmed: bool,
}

/// Outcomes of one call on one edge.
#[derive(Debug)]
pub(super) struct Answer {
    /// Index into [`Attempt::rows`].
    row: usize,
    /// Indices into the URLs of the job.
    urls: Vec<usize>,
    outcomes: Result<Outcomes, ProviderError>,
    /// Whether this was the last call on the edge.
    pub(super) last: bool,
}

impl Attempt {
    /// Begins an attempt at the unconfirmed rest of a job on these edges, from its stored progress.
    pub(super) fn new(job: Job, edges: &[String], mut known: Vec<EdgeProgress>) -> Self {
        let rows = edges.iter().map(|edge| match known.iter().position(|row| row.edge == *edge) {
            Some(n) => known.swap_remove(n),
            None => EdgeProgress::pending(edge, job.urls.len()),
        });
        let rows = rows.collect();
        Self { job, rows, changed: BTreeSet::new(), confirmed: false }
    }

    /// Gives up URLs where they are still pending.
    pub(super) fn withdraw(&mut self, urls: &BTreeSet<usize>, reason: &str, now: DateTime<Utc>) {
        for (n, row) in self.rows.iter_mut().enumerate() {
            for url in urls {
                if row.cells[*url].state == CellState::Pending {
                    row.cells[*url] = JobCell::failed(reason, now);
                    self.changed.insert(n);
                }
            }
        }
    }

    /// Notes what a call brought.
    pub(super) fn merge(&mut self, answer: Answer, now: DateTime<Utc>) {
        let Answer { row, urls, outcomes, .. } = answer;
        for (n, url) in urls.into_iter().enumerate() {
            let outcome = match &outcomes {
                Ok(outcomes) => outcomes[n].as_ref().copied(),
                Err(error) => Err(error),
            };
            self.confirmed |= outcome.is_ok();
            self.rows[row].cells[url] = JobCell::after(outcome, now);
        }
        self.changed.insert(row);
        self.advance();
    }

    /// Hands what is pending, and what no batch of a vendor has any more, over to the vendor; the URLs, in order.
    /// `held` are those that its batches have.
    pub(super) fn hand_over(&mut self, held: &HashSet<String>, now: DateTime<Utc>) -> Vec<String> {
        let mut urls = Vec::new();
        for (n, row) in self.rows.iter_mut().enumerate() {
            for (cell, url) in row.cells.iter_mut().zip(&self.job.urls) {
                let is_lost = cell.state.is_running() && !held.contains(url);
                if cell.state == CellState::Pending || is_lost {
                    *cell = JobCell::running(0, "", now);
                    urls.push(url.clone());
                    self.changed.insert(n);
                }
            }
        }
        urls
    }

    /// Whether a vendor has any of its URLs.
    pub(super) fn is_running(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.cells).any(|cell| cell.state.is_running())
    }

    /// Sets what a vendor has of these URLs. A percentage never falls.
    pub(super) fn set_running(&mut self, cells: &HashMap<String, JobCell>) {
        for (n, row) in self.rows.iter_mut().enumerate() {
            for (cell, url) in row.cells.iter_mut().zip(&self.job.urls) {
                let Some(new) = cells.get(url).filter(|new| cell.state.is_running() && *new != cell) else {
                    continue;
                };
                let percent = cell.state.percent();
                *cell = new.clone();
                if let CellState::Running(new) = &mut cell.state {
                    *new = (*new).max(u8::try_from(percent).unwrap_or(0));
                }
                self.changed.insert(n);
            }
        }
        self.advance();
    }

    /// Whether there is anything that is not yet stored.
    pub(super) fn is_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Ends the attempt: the job is done, or failed, or waits for the next one.
    pub(super) fn settle(&mut self) {
        let count = |state| self.rows.iter().map(|row| row.count(state)).sum::<usize>();
        let (pending, failed) = (count(CellState::Pending), count(CellState::Failed));
        let is_running = self.is_running();
        let job = &mut self.job;
        if pending > 0 {
            job.failures = if self.confirmed { 0 } else { job.failures + 1 };
            job.reason = first(&self.rows, |state| state == CellState::Pending);
        } else if is_running {
            job.failures = 0;
            job.reason = first(&self.rows, CellState::is_running);
        } else if failed > 0 {
            job.state = JobState::Failed;
            job.reason = first(&self.rows, |state| state == CellState::Failed);
        } else {
            job.state = JobState::Done;
            job.percent = 100;
            job.reason.clear();
        }
    }

    /// Raises the percentage to what is confirmed now. An edge that was added since cannot lower it.
    fn advance(&mut self) {
        let cells = self.rows.iter().flat_map(|row| &row.cells);
        let percents: usize = cells.map(|cell| cell.state.percent()).sum();
        let all = self.rows.len() * self.job.urls.len();
        let percent = i64::try_from(percents / all.max(1)).unwrap_or(0).min(99);
        self.job.percent = self.job.percent.max(percent);
    }

    /// The rows that are not yet stored.
    pub(super) fn changed(&self) -> impl Iterator<Item = &EdgeProgress> {
        self.changed.iter().map(|n| &self.rows[*n])
    }

    /// Marks all progress as stored.
    pub(super) fn saved(&mut self) {
        self.changed.clear();
    }
}

/// The first reason given for such a state, with its edge.
fn first(rows: &[EdgeProgress], wanted: impl Fn(CellState) -> bool) -> String {
    let cells = rows.iter().flat_map(|row| row.cells.iter().map(move |cell| (row, cell)));
    let mut said = cells.filter(|(_, cell)| wanted(cell.state) && !cell.reason.is_empty());
    said.next().map(|(row, cell)| format!("{}: {}", row.edge, cell.reason)).unwrap_or_default()
}

/// The calls that an attempt takes, side by side on all edges, and on how many edges there is anything to do. `away` are
/// the edges that are not to be asked now, and why.
pub(super) fn calls<'a>(
    queues: &Arc<CallQueues>,
    attempt: &Attempt,
    away: &BTreeMap<String, String>,
) -> (usize, impl stream::Stream<Item = Answer> + Send + use<'a>) {
    let edges: Vec<BoxStream<'a, Answer>> = attempt
        .rows
        .iter()
        .enumerate()
        .filter_map(|(row, progress)| {
            let pending = progress.cells.iter().enumerate();
            let pending = pending.filter(|(_, cell)| cell.state == CellState::Pending).map(|(n, _)| n);
            let urls: Vec<usize> = pending.collect();
            if urls.is_empty() {
                return None;
            }
            Some(match away.get(&progress.edge) {
                Some(reason) => {
                    let outcomes = Err(ProviderError::Unavailable(reason.clone()));
                    stream::iter([Answer { row, urls, outcomes, last: true }]).boxed()
                }
                None => {
                    let Job { kind, stamp, urls: ref all, .. } = attempt.job;
                    let purges = all.iter().map(|url| Purge { url: url.clone(), stamp }).collect();
                    calls_on_edge(queues.clone(), (kind, purges), progress.edge.clone(), row, urls).boxed()
                }
            })
        })
        .collect();
    (edges.len(), stream::select_all(edges))
}

/// The calls on one edge, one after the other. One that failed as a whole speaks for those after it: an edge that is down
/// is not asked again in this attempt.
fn calls_on_edge(
    queues: Arc<CallQueues>,
    (kind, all): (JobKind, Vec<Purge>),
    edge: String,
    row: usize,
    pending: Vec<usize>,
) -> impl stream::Stream<Item = Answer> {
    stream::unfold((queues, all, edge, pending), move |(queues, all, edge, mut urls)| async move {
        if urls.is_empty() {
            return None;
        }
        let mut rest = urls.split_off(urls.len().min(CALL_URLS));
        let batch = urls.iter().map(|n| all[*n].clone()).collect();
        let outcomes = queues.call(kind, &edge, batch).await;
        if outcomes.is_err() {
            urls.append(&mut rest);
        }
        let answer = Answer { row, urls, outcomes, last: rest.is_empty() };
        Some((answer, (queues, all, edge, rest)))
    })
}
