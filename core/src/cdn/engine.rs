//! The job engine: claims jobs, has the providers do them, remembers what was confirmed, and tries the rest again.
//!
//! Every step is in the store before the next begins, and no step is harmed by being done twice. A worker that dies, or
//! whose future is dropped, loses nothing: its lease ends, another worker claims the job, and a late report of the first
//! is refused by its attempt number.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error as StdError;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::StreamExt;
use futures_util::future::{self, Either};
use futures_util::stream::{self, FuturesUnordered};
use tokio::time::Instant;

use super::attempt::{Attempt, calls};
use super::job::cdns_by_domain;
use super::queue::Queues;
use super::{EdgeState, Job, JobKind, JobState, path};
use crate::ports::{Capabilities, CdnProvider, ProviderError, Repositories, Signal, Topic};
use crate::{Pilothouse, Result};

/// How long a claim holds without a sign of life: as long as the jobs of a worker that was killed wait for another. Where a
/// living one is that late, its jobs are done twice.
const LEASE: TimeDelta = TimeDelta::seconds(5);
/// How often a working worker gives one.
const HEARTBEAT: Duration = Duration::from_millis(1500);
/// The most jobs one engine works at a time.
const CONCURRENT: usize = 64;
/// How long confirmed work may stay unwritten while there is more under way.
const UNWRITTEN: Duration = Duration::from_millis(50);
/// How often the store is asked for due jobs without having been announced any.
const POLL: Duration = Duration::from_secs(1);
/// When a job is looked at again that its provider cannot do, or that has none.
const RECHECK: TimeDelta = TimeDelta::seconds(60);
/// The shortest pause between two attempts.
const SHORTEST_PAUSE: TimeDelta = TimeDelta::milliseconds(100);
/// The longest.
const LONGEST_PAUSE: TimeDelta = TimeDelta::seconds(300);

/// Works the jobs of a store. Several may run side by side, in one process or many.
#[derive(Debug)]
pub struct JobEngine {
    pilothouse: Pilothouse,
    /// The last reason logged for each cdn, so that many waiting jobs are one line.
    told: Mutex<HashMap<String, String>>,
    /// What waits for the edges of each cdn.
    queues: BTreeMap<String, Arc<Queues>>,
}

/// A job to be worked, who does it, and which edges are not to be asked.
type Ready = (Attempt, Arc<Queues>, BTreeMap<String, String>);

/// What a claim brought.
#[derive(Debug)]
struct Claimed {
    /// How many jobs.
    count: usize,
    /// Those that can be worked.
    ready: Vec<Ready>,
}

/// What is to be done about a claimed job.
enum Verdict {
    /// It is worked, all but the URLs of these numbers, whose domains the customer gave up.
    Work(Arc<dyn CdnProvider>, BTreeSet<usize>),
    /// It cannot be done here and now.
    Wait(String),
    /// It may not be done any more.
    Stop(&'static str),
}

impl JobEngine {
    /// Over a domain, whose providers it uses.
    pub fn new(pilothouse: Pilothouse) -> Self {
        let queues = pilothouse.providers().iter();
        let queues =
            queues.map(|(cdn, provider)| (cdn.to_owned(), Arc::new(Queues::new(provider.clone())))).collect();
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
        let mut waiting = Vec::new();
        for mut job in jobs {
            match self.judge(&mut *work, &job).await? {
                Verdict::Work(provider, released) => {
                    let known = work.jobs().progress(&job).await?;
                    let mut attempt = Attempt::new(job, &provider.capabilities().edges, known);
                    attempt.withdraw(&released, RELEASED, now);
                    let away = self.away(&mut *work, &attempt.job).await?;
                    if let Some(queues) = self.queues.get(&attempt.job.cdn) {
                        claimed.ready.push((attempt, queues.clone(), away));
                    }
                }
                Verdict::Wait(reason) => {
                    // Nobody's failure, so the pause does not grow.
                    (job.reason, job.due) = (reason, now + RECHECK);
                    work.jobs().report(&job).await?;
                    waiting.push(job);
                }
                Verdict::Stop(reason) => {
                    (job.reason, job.state) = (reason.to_owned(), JobState::Failed);
                    work.jobs().report(&job).await?;
                }
            }
        }
        // A claim that a power cut takes back is made again, which loses nothing; a verdict has to stay.
        if claimed.ready.len() == claimed.count {
            work.commit_unflushed().await?;
        } else {
            work.commit().await?;
        }
        for job in &waiting {
            self.tell(job);
        }
        Ok(claimed)
    }

    /// Whether a job may still be worked, and can be.
    async fn judge(&self, repositories: &mut dyn Repositories, job: &Job) -> Result<Verdict> {
        let customer = repositories.customers().find(job.account_id).await?;
        if !customer.is_some_and(|customer| customer.operations) {
            return Ok(Verdict::Stop("the account may no longer refresh and preload"));
        }
        let released = released(job, &cdns_by_domain(repositories, job.account_id).await?);
        if released.len() == job.urls.len() {
            return Ok(Verdict::Stop(RELEASED));
        }
        let Some(provider) = self.pilothouse.providers().get(&job.cdn) else {
            return Ok(Verdict::Wait(format!("no provider is set up for {}", job.cdn)));
        };
        Ok(match check_able(provider.capabilities(), job) {
            Ok(()) => Verdict::Work(provider.clone(), released),
            Err(error) => Verdict::Wait(error.to_string()),
        })
    }

    /// The edges that are not to be asked now, and why. One that pays what it owes is told of purges, but keeps nothing yet.
    async fn away(&self, repositories: &mut dyn Repositories, job: &Job) -> Result<BTreeMap<String, String>> {
        let mut away = BTreeMap::new();
        if self.pilothouse.providers().control(&job.cdn).is_some() {
            for edge in repositories.edges().list(&job.cdn).await? {
                let skipped = match edge.state {
                    EdgeState::CutOff => true,
                    EdgeState::Paying => job.kind == JobKind::Preload,
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
                    if !self.save(&mut attempt, LEASE).await? {
                        return Ok(());
                    }
                    write.as_mut().reset(Instant::now() + HEARTBEAT);
                }
            }
        }
        attempt.settle();
        let pause = pause(attempt.job.failures, self.pilothouse.ids().uuid().as_u128());
        if self.save(&mut attempt, pause).await? {
            self.tell(&attempt.job);
        }
        Ok(())
    }

    /// Writes down how a job stands, due again after `pause`; false when the job is no longer this worker's.
    async fn save(&self, attempt: &mut Attempt, pause: TimeDelta) -> Result<bool> {
        let mut work = self.pilothouse.storage().begin().await?;
        attempt.job.due = work.now().await? + pause;
        if !work.jobs().report(&attempt.job).await? {
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
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if job.reason.is_empty() {
            told.remove(&job.cdn);
        } else if told.get(&job.cdn) != Some(&job.reason) {
            tracing::warn!(cdn = job.cdn, task = job.task_id, reason = job.reason, "a job is not done");
            told.insert(job.cdn.clone(), job.reason.clone());
        }
    }
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

/// Why URLs are no longer worked whose domain the customer gave up.
const RELEASED: &str = "the domain is no longer the account's";

/// Which of a job's URLs are of domains that its account no longer holds on its cdn.
fn released(job: &Job, domains: &BTreeMap<String, Vec<String>>) -> BTreeSet<usize> {
    let held = |url: &str| {
        let cdns = path::host_of(url).ok().and_then(|host| domains.get(&host));
        cdns.is_some_and(|cdns| cdns.contains(&job.cdn))
    };
    job.urls.iter().enumerate().filter(|(_, url)| !held(url)).map(|(n, _)| n).collect()
}

/// Refuses what the provider cannot do. It was asked when the job was accepted; since then it may have been set up anew.
fn check_able(can: &Capabilities, job: &Job) -> Result<(), ProviderError> {
    let operation = match job.kind {
        JobKind::Refresh if !can.purge_urls => "purge",
        JobKind::Refresh if !can.purge_prefix && job.urls.iter().any(|url| url.ends_with('*')) => {
            "purge by prefix"
        }
        JobKind::Preload if !can.preload => "preload",
        _ if can.edges.is_empty() => "reach any edge",
        _ => return Ok(()),
    };
    Err(ProviderError::Unsupported { provider: job.cdn.clone(), operation })
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
