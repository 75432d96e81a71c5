//! Following of logs on this machine: each on a thread of its own, across rotation and restarts.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pilothouse_access_log::{Follower, IngestError, Lag, Notice};
use pilothouse_core::cdn::{EdgeRef, LogHosts};
use pilothouse_core::{Error, error_chain};
use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::convert::{counters, domain_index, signed};
use crate::gap_gauge::GapGauge;
use crate::log_health::{HealthReport, LogHealth};
use crate::recorder::Recorder;
use crate::unbilled_share::ShareOverTime;
use crate::{LogLayout, LogPipeline};

/// Interval at which it is told that a log is followed.
const SEEN_INTERVAL: Duration = Duration::from_mins(1);

/// Log to be followed.
#[derive(Clone, Debug)]
pub struct FollowedLog {
    cdn: String,
    edge: String,
    path: PathBuf,
    rotated_folder: Option<PathBuf>,
    layout: LogLayout,
}

impl FollowedLog {
    /// Names the log of an edge of a cdn. The file at `path` need not exist yet; rotated files are looked for beside it, and
    /// beside the file that it is a symbolic link to.
    pub fn new(
        cdn: impl Into<String>,
        edge: impl Into<String>,
        path: impl Into<PathBuf>,
        layout: LogLayout,
    ) -> Self {
        Self { cdn: cdn.into(), edge: edge.into(), path: path.into(), rotated_folder: None, layout }
    }

    /// Sets a folder in which rotated files are looked for too.
    #[must_use]
    pub fn rotated_folder(self, folder: impl Into<PathBuf>) -> Self {
        Self { rotated_folder: Some(folder.into()), ..self }
    }
}

impl LogPipeline {
    /// Follows logs until `stop` is cancelled; the host spawns the future. Dropping it stops the following too, and is safe
    /// at any moment: what was not recorded is read again by the next start.
    ///
    /// No log is taken for a rotated file of another. Several servers may be given the same log: one follows it, and another takes over when that makes no progress any more.
    pub async fn follow(self, logs: Vec<FollowedLog>, stop: CancellationToken) {
        let stop = stop.child_token();
        let _stop_when_dropped = stop.clone().drop_guard();
        let paths: Arc<[PathBuf]> = logs.iter().map(|log| log.path.clone()).collect();
        let following = logs.into_iter().map(|log| {
            let (paths, pipeline) = (paths.clone(), self.clone());
            let (stop, runtime) = (stop.clone(), Handle::current());
            Following { log, paths, pipeline, stop, runtime }.supervise()
        });
        join_all(following).await;
    }
}

#[derive(Clone)]
struct Following {
    log: FollowedLog,
    /// Paths of all followed logs.
    paths: Arc<[PathBuf]>,
    pipeline: LogPipeline,
    stop: CancellationToken,
    runtime: Handle,
}

/// Gap gauge, unbilled share and health of a followed log.
struct Watched {
    /// None before the first poll.
    gaps: Option<GapGauge>,
    share: ShareOverTime,
    health: LogHealth,
    /// Time at which it was last told that the log is followed.
    seen: Option<Instant>,
}

type PollError = IngestError<Error>;

impl Following {
    /// Follows on a thread of its own until stopped; a panic is logged, and the log is followed again from what is recorded.
    async fn supervise(self) {
        while !self.stop.is_cancelled() {
            let following = self.clone();
            let Err(error) = tokio::task::spawn_blocking(move || following.run()).await else { return };
            if !error.is_panic() {
                return;
            }
            self.log_panic(&error);
            let retry = tokio::time::sleep(self.pipeline.settings.retry_interval);
            self.stop.run_until_cancelled(retry).await;
        }
    }

    fn log_panic(&self, error: &JoinError) {
        let (error, FollowedLog { cdn, edge, .. }) = (error as &dyn std::error::Error, &self.log);
        tracing::error!(error, cdn, edge, "the following of a log panicked; it is started again");
    }

    fn run(&self) {
        let mut follower = self.follower();
        let begin = Instant::now();
        let (share, health) = (ShareOverTime::new(begin), LogHealth::new(begin));
        let mut watched = Watched { gaps: None, share, health, seen: None };
        let mut is_failing = false;
        let mut lag = Unread::new();
        while !self.stop.is_cancelled() {
            let now = Instant::now();
            let polled = if follower.has_changed(now) {
                self.poll(&mut follower, &mut watched, now)
            } else {
                Ok(false)
            };
            match polled {
                Ok(has_more) => {
                    is_failing = false;
                    lag.update(!has_more);
                    self.tell(&mut watched, now);
                    self.tell_seen(&follower, &mut watched, now);
                    self.report(watched.health.idle(now));
                    if !has_more {
                        self.sleep(self.pipeline.settings.poll_interval);
                    }
                }
                Err(IngestError::Ledger(Error::Conflict(_))) => {
                    // Whoever follows it counts it.
                    lag.update(true);
                    self.wait_for_takeover(&follower);
                    follower = self.follower();
                }
                Err(error) => {
                    if !is_failing && !self.stop.is_cancelled() {
                        let error = &error as &dyn std::error::Error;
                        let FollowedLog { cdn, edge, .. } = &self.log;
                        tracing::warn!(error, cdn, edge, "a log cannot be followed; it is tried again");
                    }
                    is_failing = true;
                    lag.update(false);
                    // What ails the store says nothing of the log.
                    if !matches!(error, IngestError::Ledger(_)) {
                        self.report(watched.health.failed(now, &error_chain(&error)));
                    }
                    self.sleep(self.pipeline.settings.retry_interval);
                }
            }
        }
    }

    /// Reads what is new, up to a batch of every file; whether there is more.
    #[tracing::instrument(name = "follow_log", skip_all, fields(cdn = self.log.cdn, edge = self.log.edge))]
    fn poll(&self, follower: &mut Follower, watched: &mut Watched, now: Instant) -> Result<bool, PollError> {
        let intake = self.pipeline.pilothouse.log_intake();
        let edge = self.wait(intake.edge(&self.log.cdn, &self.log.edge))?;
        let hosts = self.wait(intake.recent_hosts(edge.cdn_id))?;
        let known = self.wait(intake.sources(&edge, &[]))?;
        if watched.gaps.is_none() {
            watched.gaps = Some(self.gap_gauge(&edge)?);
        }
        let mut recorder = self.recorder(edge.clone());
        let mut poll = |recorder: &mut Recorder<'_>, hosts: &LogHosts| {
            recorder.refuse_before(hosts.former_since);
            // Built anew at every poll: a domain counts from when a customer is given it.
            let domains = domain_index(hosts);
            let timezone = self.pipeline.pilothouse.settings().timezone;
            let rules = self.log.layout.rules(&domains, self.pipeline.cities.as_ref(), timezone);
            follower.poll(&rules, &recorder.options(), recorder, known.knows_edge(), now)
        };
        let mut polled = poll(&mut recorder, &hosts);
        if recorder.has_met_older() {
            polled = poll(&mut recorder, &self.wait(intake.hosts(edge.cdn_id))?);
        }
        let counted = counters(recorder.counts());
        watched.share.add(counted);
        let report = polled?;
        self.report(watched.health.read(now, counted));
        for notice in &report.notices {
            self.log_notice(notice);
            if notice.is_gap() {
                if let Some(gaps) = &mut watched.gaps {
                    gaps.show(now);
                }
                self.wait(intake.record_gap(&edge, &notice.to_string()))?;
            }
        }
        Ok(report.has_more)
    }

    /// Tells how much is not billed, and ends showing a gap that is too old.
    fn tell(&self, watched: &mut Watched, now: Instant) {
        if let Some(gaps) = &mut watched.gaps {
            gaps.update(now);
        }
        if let Some(share) = watched.share.take(now) {
            let FollowedLog { cdn, edge, .. } = &self.log;
            tracing::warn!(cdn, edge, %share, "lines of a followed log are not billed");
        }
    }

    /// Tells once a minute that the log is followed, and how much of it is yet to be read.
    fn tell_seen(&self, follower: &Follower, watched: &mut Watched, now: Instant) {
        if watched.seen.is_some_and(|seen| now.saturating_duration_since(seen) < SEEN_INTERVAL) {
            return;
        }
        watched.seen = Some(now);
        let intake = self.pipeline.pilothouse.log_intake();
        let FollowedLog { cdn, edge, .. } = &self.log;
        let unread = self.lag(follower).map(|lag| signed(lag.size.saturating_sub(lag.recorded)));
        let told =
            self.wait(intake.edge(cdn, edge)).and_then(|edge| self.wait(intake.log_seen(&edge, unread)));
        if let Err(error) = told {
            let error = &error as &dyn StdError;
            tracing::warn!(error, cdn, edge, "it was not recorded that a log is followed");
        }
    }

    /// Begins or ends the alarm of a log that cannot be read.
    fn report(&self, report: Option<HealthReport>) {
        let alarms = self.pipeline.pilothouse.alarms();
        let FollowedLog { cdn, edge, .. } = &self.log;
        let reported = match report {
            None => return,
            Some(HealthReport::Unreadable(reason)) => self.wait(alarms.log_unreadable(cdn, edge, &reason)),
            Some(HealthReport::Readable) => self.wait(alarms.log_readable(cdn, edge)),
        };
        if let Err(error) = reported {
            let error = &error as &dyn StdError;
            tracing::warn!(error, cdn, edge, "the alarm of a followed log was not written");
        }
    }

    fn follower(&self) -> Follower {
        let follower = Follower::new(&self.log.path).neighbours(self.paths.iter().cloned());
        self.log
            .rotated_folder
            .iter()
            .fold(follower, |follower, folder| follower.rotated_folder(folder.clone()))
    }

    fn gap_gauge(&self, edge: &EdgeRef) -> Result<GapGauge, PollError> {
        let pilothouse = &self.pipeline.pilothouse;
        let last = self.wait(pilothouse.log_intake().gap(edge))?;
        Ok(GapGauge::new(last.map(|last| pilothouse.clock().now() - last.noticed)))
    }

    fn log_notice(&self, notice: &Notice) {
        let FollowedLog { cdn, edge, .. } = &self.log;
        let error = match notice {
            Notice::Unreadable { error, .. } => Some(error as &dyn StdError),
            _ => None,
        };
        if notice.is_gap() {
            tracing::warn!(error, cdn, edge, reason = %notice, "lines of a followed log are missing");
        } else {
            tracing::warn!(error, cdn, edge, reason = %notice, "a followed log is not as it was expected");
        }
    }

    /// Waits for as long as another server follows the log and makes progress.
    fn wait_for_takeover(&self, follower: &Follower) {
        tracing::info!(cdn = self.log.cdn, edge = self.log.edge, "another server follows this log");
        let settings = &self.pipeline.settings;
        let (mut last, mut since) = (None, Instant::now());
        while !self.stop.is_cancelled() && since.elapsed() < settings.takeover_after {
            self.sleep(settings.poll_interval);
            let lag = self.lag(follower);
            let is_behind = lag.is_some_and(|lag| lag.recorded < lag.size);
            let recorded = lag.map(|lag| lag.recorded);
            if !is_behind || recorded != last {
                (last, since) = (recorded, Instant::now());
            }
        }
    }

    /// Distance of the record from the end of the log; nothing if it cannot be told.
    fn lag(&self, follower: &Follower) -> Option<Lag> {
        let intake = self.pipeline.pilothouse.log_intake();
        let edge = self.wait(intake.edge(&self.log.cdn, &self.log.edge)).ok()?;
        follower.lag(&mut self.recorder(edge)).ok()?
    }

    fn recorder(&self, edge: EdgeRef) -> Recorder<'_> {
        Recorder::new(self.runtime.clone(), &self.pipeline, edge, self.stop.clone())
    }

    fn wait<T>(&self, query: impl Future<Output = Result<T, Error>>) -> Result<T, PollError> {
        self.runtime.block_on(query).map_err(IngestError::Ledger)
    }

    /// Sleeps until the time is over or following is stopped.
    fn sleep(&self, time: Duration) {
        self.runtime.block_on(async {
            // Which of both happened does not matter: the caller looks at `stop` itself.
            let _ = tokio::time::timeout(time, self.stop.cancelled()).await;
        });
    }
}

/// Time for which a log has not been read to its end, as a part of the metric of all logs that this process follows.
struct Unread {
    caught_up: Instant,
    counted: f64,
}

impl Unread {
    fn new() -> Self {
        Self { caught_up: Instant::now(), counted: 0.0 }
    }

    fn update(&mut self, caught_up: bool) {
        if caught_up {
            self.caught_up = Instant::now();
        }
        self.count(self.caught_up.elapsed().as_secs_f64());
    }

    fn count(&mut self, seconds: f64) {
        // Below a second it is the interval of looking.
        let seconds = if seconds < 1.0 { 0.0 } else { seconds };
        metrics::gauge!("pilothouse_log_lag_seconds").increment(seconds - self.counted);
        self.counted = seconds;
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.count(0.0);
    }
}
