//! Job runner: claims jobs, calls the providers, records what was confirmed, and retries the rest.
//!
//! Every step is in the store before the next begins, and no step is harmed by being done twice. A worker that dies, or
//! whose future is dropped, loses nothing: its lease ends, another worker claims the job, and a late report of the first
//! is refused by its attempt number.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error as StdError;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::StreamExt;
use futures_util::future::{self, Either};
use futures_util::stream::{self, FuturesUnordered};
use tokio::time::Instant;

use super::ability::check_able;
use super::attempt::{Attempt, calls};
use super::call_queue::CallQueues;
use super::edge::EdgeState;
use super::job::{Job, JobKind, JobState, LONGEST_WAIT, cdns_by_domain};
use super::target;
use super::vendor::hand_over;
use crate::ports::{CdnProvider, Repositories, Signal, Topic, UnitOfWork};
use crate::sync::lock;
use crate::webhook::EventKind;
use crate::{Lease, Pilothouse, Result};

/// Lease of a claim: as long as the jobs of a worker that was killed wait for another. Where a
/// living one is that late, its jobs are done twice.
const LEASE: Lease = Lease::of(TimeDelta::seconds(5));
/// Interval between two renewals of the lease.
const HEARTBEAT: Duration = Duration::from_millis(1500);
/// The most jobs one engine works at a time.
const CONCURRENT: usize = 64;
/// Time that confirmed work may stay unwritten while there is more under way.
const UNWRITTEN: Duration = Duration::from_millis(50);
/// Interval between polls for due jobs, which make up for lost signals.
const POLL: Duration = Duration::from_secs(1);
/// Pause of a job that its provider cannot do, or that has none.
const RECHECK: TimeDelta = TimeDelta::seconds(60);
/// The shortest pause between two attempts.
const SHORTEST_PAUSE: TimeDelta = TimeDelta::milliseconds(100);
/// The longest pause between two attempts.
pub(super) const LONGEST_PAUSE: TimeDelta = LONGEST_WAIT.length();

/// Works the jobs of a store. Several may run side by side, in one process or many.
#[derive(Debug)]
pub struct JobRunner {
    pilothouse: Pilothouse,
    /// The last reason logged for each cdn, so that many waiting jobs are one line.
    told: Mutex<HashMap<String, String>>,
    /// Call queues of each cdn's edges.
    queues: BTreeMap<String, Arc<CallQueues>>,
}

/// A job to be worked, who does it, and which edges are not to be asked.
type Ready = (Attempt, Arc<CallQueues>, BTreeMap<String, String>);

/// Result of a claim.
#[derive(Debug)]
struct Claimed {
    /// Number of claimed jobs, with those that only wait.
    count: usize,
    /// Jobs that can be worked.
    ready: Vec<Ready>,
}

/// Decision about a claimed job.
enum Verdict {
    /// The job is worked, except for the URLs of these indices, whose domains the customer gave up.
    Work(Arc<dyn CdnProvider>, BTreeSet<usize>),
    /// The job cannot be done in this process at present.
    Wait(String),
    /// The job may not be done any more, since the account lost the right, or never can be.
    Stop(String),
}

impl JobRunner {
    /// The name under which [`Pilothouse::workers`] lists it.
    pub(crate) const NAME: &'static str = "purge engine";

    /// Over a domain, whose providers it uses.
    pub fn new(pilothouse: Pilothouse) -> Self {
        let (clock, ids) = pilothouse.shared_sources();
        let queues = pilothouse.providers().iter().map(|(cdn, provider)| {
            let queues = CallQueues::new(provider.clone(), clock.clone(), ids.clone());
            (cdn.to_owned(), Arc::new(queues))
        });
        let queues = queues.collect();
        Self { pilothouse, told: Mutex::default(), queues }
    }

    /// Works jobs, as they are announced and as they fall due, until it is dropped.
    pub async fn run(&self) {
        let heard = self.pilothouse.storage().signals();
        let heard = heard
            .filter(|signal| future::ready(matches!(signal, Signal::Changed(Topic::Jobs) | Signal::Lost)));
        // Without signals the polling goes on.
        let mut heard = pin!(heard.map(|_| ()).chain(stream::pending()));
        let mut working = FuturesUnordered::new();
        loop {
            let room = CONCURRENT - working.len();
            let mut pause = POLL;
            match beside(&mut working, self.claim(room)).await {
                Ok(Claimed { count, ready }) => {
                    self.pilothouse.worker_succeeded(Self::NAME);
                    // There may be more, and those that only wait must not hold up those that can be worked.
                    if count > 0 && count == room {
                        pause = Duration::ZERO;
                    }
                    working.extend(ready.into_iter().map(|ready| self.work(ready)));
                }
                Err(error) => tracing::error!(error = &error as &dyn StdError, "cannot claim jobs"),
            }
            let nap = pin!(tokio::time::sleep(pause));
            let woken = future::select(nap, heard.next());
            future::select(pin!(finished(&mut working)), woken).await;
        }
    }

    /// Claims what is due now, works it to the end of the attempt, and says how many jobs that were.
    pub async fn turn(&self) -> Result<usize> {
        let Claimed { count, ready } = self.claim(CONCURRENT).await?;
        future::join_all(ready.into_iter().map(|ready| self.work(ready))).await;
        Ok(count)
    }

    /// Claims at most `room` jobs. Those that cannot be worked are written down as such in the same transaction, so that
    /// thousands of them cost little.
    async fn claim(&self, room: usize) -> Result<Claimed> {
        let mut claimed = Claimed { count: 0, ready: Vec::new() };
        if room == 0 {
            return Ok(claimed);
        }
        let mut work = self.pilothouse.storage().begin().await?;
        let now = work.now().await?;
        let jobs = work.jobs().claim(now, LEASE, i64::try_from(room).unwrap_or(i64::MAX)).await?;
        if jobs.is_empty() {
            work.rollback().await?;
            return Ok(claimed);
        }
        claimed.count = jobs.len();
        let (mut waiting, mut stopped) = (Vec::new(), Vec::new());
        let mut handed_over = Vec::new();
        for mut job in jobs {
            match self.judge(&mut *work, &job).await? {
                Verdict::Work(provider, released) => {
                    let known = work.jobs().progress(&job).await?;
                    let mut attempt = Attempt::new(job, &provider.capabilities().edges, known);
                    attempt.withdraw(&released, RELEASED, now);
                    if provider.capabilities().is_vendor {
                        handed_over.push(hand_over(&self.pilothouse, &mut *work, attempt, now).await?);
                        continue;
                    }
                    let away = self.away(&mut *work, &attempt.job).await?;
                    if let Some(queues) = self.queues.get(&attempt.job.cdn) {
                        claimed.ready.push((attempt, queues.clone(), away));
                    }
                }
                Verdict::Wait(reason) => {
                    // Nobody's failure, so the pause does not grow.
                    (job.reason, job.due, job.is_claimed) = (reason, now + RECHECK, false);
                    work.jobs().report(&job).await?;
                    waiting.push(job);
                }
                Verdict::Stop(reason) => {
                    (job.reason, job.state) = (reason, JobState::Failed);
                    report(&self.pilothouse, &mut *work, &job).await?;
                    stopped.push(job);
                }
            }
        }
        // A claim that a power cut takes back is made again, which loses nothing; a verdict has to stay.
        if claimed.ready.len() == claimed.count {
            work.commit_relaxed().await?;
        } else {
            work.commit().await?;
        }
        stopped.iter().for_each(count_ended);
        if !handed_over.is_empty() {
            handed_over.iter().filter(|job| job.state != JobState::Pending).for_each(count_ended);
            self.pilothouse.storage().announce(&[Topic::Jobs]).await;
        }
        for job in &waiting {
            self.tell(job);
        }
        Ok(claimed)
    }

    /// Decides whether a job may still be worked, and can be.
    async fn judge(&self, repositories: &mut dyn Repositories, job: &Job) -> Result<Verdict> {
        let customer = repositories.customers().find(job.account_id).await?;
        if !customer.is_some_and(|customer| customer.operations) {
            return Ok(Verdict::Stop("the account may no longer refresh and preload".to_owned()));
        }
        let released = released(job, &cdns_by_domain(repositories, job.account_id).await?);
        if released.len() == job.urls.len() {
            return Ok(Verdict::Stop(RELEASED.to_owned()));
        }
        let Some(provider) = self.pilothouse.providers().get(&job.cdn) else {
            return Ok(Verdict::Wait(format!("no provider is set up for {}", job.cdn)));
        };
        Ok(match check_able(provider.capabilities(), job) {
            Ok(()) => Verdict::Work(provider.clone(), released),
            // What a vendor cannot it never can; own edges may be set up anew.
            Err(error) if provider.capabilities().is_vendor => Verdict::Stop(error.to_string()),
            Err(error) => Verdict::Wait(error.to_string()),
        })
    }

    /// Edges that are not called now, with the reason. One that is catching up is sent purges, but caches nothing yet.
    async fn away(&self, repositories: &mut dyn Repositories, job: &Job) -> Result<BTreeMap<String, String>> {
        let mut away = BTreeMap::new();
        if self.pilothouse.providers().control(&job.cdn).is_some() {
            for edge in repositories.edges().list(&job.cdn).await? {
                let skipped = match edge.state {
                    EdgeState::Unreachable => true,
                    EdgeState::CatchingUp => job.kind == JobKind::Preload,
                    EdgeState::InService => false,
                };
                if skipped {
                    away.insert(edge.name, format!("{}: {}", edge.state.as_str(), edge.reason));
                }
            }
        }
        Ok(away)
    }

    /// One attempt at a job. Where the store fails, the lease ends by itself and the job is claimed again.
    async fn work(&self, ready: Ready) {
        let task = ready.0.job.task_id.clone();
        if let Err(error) = self.attempt(ready).await {
            let error = &error as &dyn StdError;
            tracing::error!(task, error, "a job could not be worked; it is tried again when its lease ends");
        }
    }

    async fn attempt(&self, (mut attempt, queues, away): Ready) -> Result<()> {
        let (mut open, answers) = calls(&queues, &attempt, &away);
        let mut answers = pin!(answers.ready_chunks(CONCURRENT));
        let mut write = pin!(tokio::time::sleep(HEARTBEAT));
        while open > 0 {
            match future::select(answers.next(), write.as_mut()).await {
                Either::Left((ready, _)) => {
                    let now = self.pilothouse.clock().now();
                    for answer in ready.into_iter().flatten() {
                        open -= usize::from(answer.last);
                        attempt.merge(answer, now);
                    }
                    let soon = Instant::now() + UNWRITTEN;
                    if write.deadline() > soon {
                        write.as_mut().reset(soon);
                    }
                }
                Either::Right(_) => {
                    if !self.save(&mut attempt, LEASE.length()).await? {
                        return Ok(());
                    }
                    write.as_mut().reset(Instant::now() + HEARTBEAT);
                }
            }
        }
        attempt.settle();
        let pause = pause(attempt.job.failures, self.pilothouse.ids().uuid().as_u128());
        attempt.job.is_claimed = false;
        if self.save(&mut attempt, pause).await? {
            let job = &attempt.job;
            if job.state != JobState::Pending {
                count_ended(job);
            }
            self.tell(job);
        }
        Ok(())
    }

    /// Writes down how a job stands, due again after `pause`; false when the job is no longer this worker's.
    async fn save(&self, attempt: &mut Attempt, pause: TimeDelta) -> Result<bool> {
        let mut work = self.pilothouse.storage().begin().await?;
        attempt.job.due = work.now().await? + pause;
        if !report(&self.pilothouse, &mut *work, &attempt.job).await? {
            work.rollback().await?;
            tracing::info!(task = attempt.job.task_id, "another worker has the job, or it is gone");
            return Ok(false);
        }
        for progress in attempt.changed() {
            work.jobs().record(attempt.job.id, progress).await?;
        }
        work.commit().await?;
        attempt.saved();
        Ok(true)
    }

    /// Logs why a cdn's jobs wait, once until there is another reason.
    fn tell(&self, job: &Job) {
        let mut told = lock(&self.told);
        if job.reason.is_empty() {
            told.remove(&job.cdn);
        } else if told.get(&job.cdn) != Some(&job.reason) {
            tracing::warn!(cdn = job.cdn, task = job.task_id, reason = job.reason, "a job is not done");
            told.insert(job.cdn.clone(), job.reason.clone());
        }
    }
}

/// Writes down how a job stands, with the event of one that failed; false when it is no longer this worker's.
pub(super) async fn report(pilothouse: &Pilothouse, work: &mut dyn UnitOfWork, job: &Job) -> Result<bool> {
    if !work.jobs().report(job).await? {
        return Ok(false);
    }
    if job.state == JobState::Failed {
        pilothouse.queue_event(work, EventKind::JobFailed, job.failed_data()).await?;
    }
    Ok(true)
}

/// Counts a job that has ended.
pub(super) fn count_ended(job: &Job) {
    let (kind, state) = (job.kind.as_str(), job.state.as_str());
    metrics::counter!("pilothouse_jobs_ended_total", "kind" => kind, "state" => state).increment(1);
}

/// Waits until one of the jobs that are being worked is not any more.
async fn finished(working: &mut FuturesUnordered<impl Future<Output = ()>>) {
    if working.next().await.is_none() {
        future::pending::<()>().await;
    }
}

/// Does something while the jobs go on: one of them may hold what it waits for.
async fn beside<T>(
    working: &mut FuturesUnordered<impl Future<Output = ()>>,
    deed: impl Future<Output = T>,
) -> T {
    let mut deed = pin!(deed);
    loop {
        if let Either::Left((done, _)) = future::select(deed.as_mut(), pin!(finished(working))).await {
            return done;
        }
    }
}

/// Reason of URLs whose domain the customer gave up meanwhile.
const RELEASED: &str = "the domain is no longer the account's";

/// Indices of a job's URLs whose domains its account no longer holds on the job's cdn.
fn released(job: &Job, domains: &BTreeMap<String, Vec<String>>) -> BTreeSet<usize> {
    let held = |url: &str| {
        let cdns = target::item_host(url).and_then(|host| domains.get(&host));
        cdns.is_some_and(|cdns| cdns.contains(&job.cdn))
    };
    job.urls.iter().enumerate().filter(|(_, url)| !held(url)).map(|(n, _)| n).collect()
}

/// The pause before the next attempt: up to 1 s after an attempt that got anything confirmed, doubled for every attempt in a
/// row that did not, at most 5 minutes. How much of it is chance, so that jobs that failed together do not return together;
/// but never less than a tenth of a second.
fn pause(failures: i64, random: u128) -> TimeDelta {
    let doublings = u32::try_from(failures.clamp(0, 16)).unwrap_or(16);
    let most = (TimeDelta::seconds(1) * 2_i32.pow(doublings)).min(LONGEST_PAUSE);
    let micros = (most - SHORTEST_PAUSE).num_microseconds().unwrap_or(i64::MAX).unsigned_abs();
    let jitter = i64::try_from(random % (u128::from(micros) + 1)).unwrap_or(0);
    SHORTEST_PAUSE + TimeDelta::microseconds(jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes_and_differ() {
        for (failures, seconds) in [(0, 1), (1, 2), (2, 4), (3, 8), (8, 256), (9, 300), (1_000_000, 300)] {
            let full = TimeDelta::seconds(seconds);
            let pauses = [0, 1, 77_777_777, u128::MAX].map(|random| pause(failures, random));
            assert!(
                pauses.iter().all(|pause| (SHORTEST_PAUSE..=full).contains(pause)),
                "{failures}: {pauses:?}"
            );
            assert_ne!(pauses[0], pauses[2]);
        }
    }
}
