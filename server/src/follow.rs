//! The access logs of edges on this machine, followed while they are written.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pilothouse_access_log as log;
use pilothouse_access_log::city::CityDatabase;
use pilothouse_access_log::{Domains, Follower, IngestError, Lag, Rules};
use pilothouse_core::cdn::EdgeRef;
use pilothouse_core::{Error, Pilothouse};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::archive::LogFolder;
use crate::reader::Layout;
use crate::recorder::Recorder;

/// How often a log is looked at. What was written is in the statistics at most about this much later.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long one stands back from a log that another server follows, once that no longer goes on.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// A log to be followed.
#[derive(Clone, Debug)]
pub(crate) struct FollowedLog {
    pub(crate) cdn: String,
    pub(crate) edge: String,
    pub(crate) path: PathBuf,
    pub(crate) layout: Layout,
}

/// Where lines go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) pilothouse: Pilothouse,
    pub(crate) folder: LogFolder,
    pub(crate) cities: Option<Arc<CityDatabase>>,
}

/// Follows each log on a thread of its own, until cancelled.
pub(crate) fn follow(logs: Vec<FollowedLog>, target: &Target, ended: &CancellationToken) {
    for log in logs {
        let (target, ended, runtime) = (target.clone(), ended.clone(), Handle::current());
        tokio::task::spawn_blocking(move || Following { log, target, ended, runtime }.run());
    }
}

struct Following {
    log: FollowedLog,
    target: Target,
    ended: CancellationToken,
    runtime: Handle,
}

type Failed = IngestError<Error>;

impl Following {
    fn run(&self) {
        let mut follower = Follower::new(&self.log.path);
        let mut is_failing = false;
        while !self.ended.is_cancelled() {
            let failed = match self.look(&mut follower) {
                Ok(more) => {
                    is_failing = false;
                    if !more {
                        self.sleep(INTERVAL);
                    }
                    continue;
                }
                Err(error) => error,
            };
            if matches!(failed, IngestError::Ledger(Error::Conflict(_))) {
                self.stand_back(&follower);
                follower = Follower::new(&self.log.path);
                continue;
            }
            if !is_failing && !self.ended.is_cancelled() {
                let (error, edge): (&dyn std::error::Error, _) = (&failed, &self.log.edge);
                tracing::warn!(
                    error,
                    cdn = self.log.cdn,
                    edge,
                    "a log cannot be followed; it is tried again"
                );
            }
            is_failing = true;
            self.sleep(AGAIN);
        }
    }

    /// Reads what is new; whether there is more.
    fn look(&self, follower: &mut Follower) -> Result<bool, Failed> {
        let now = Instant::now();
        if !follower.has_news(now) {
            return Ok(false);
        }
        let traffic = self.target.pilothouse.traffic();
        let (edge, domains) = self.wait(traffic.edge(&self.log.cdn, &self.log.edge))?;
        let known = self.wait(traffic.sources(&edge, &[]))?;
        // Asked anew every time: a domain counts from when a customer is given it.
        let domains = Domains::new(domains.iter().map(|domain| (&domain.name, domain.id)));
        let rules = Rules {
            format: self.log.layout.format,
            domains: &domains,
            default_domain: self.log.layout.domain.as_deref(),
            cities: self.target.cities.as_deref().map(|cities| cities as &dyn log::Cities),
            timezone: self.target.pilothouse.settings().timezone,
        };
        let mut recorder = self.recorder(edge);
        let options = log::Options::default();
        let looked = follower.look(&rules, &options, &mut recorder, known.knows_edge(), now)?;
        for (path, error) in looked.unreadable {
            tracing::warn!(%error, path = %path.display(), "a log that was put aside cannot be read");
        }
        Ok(looked.more)
    }

    /// Waits for as long as somebody else follows the log.
    fn stand_back(&self, follower: &Follower) {
        tracing::info!(cdn = self.log.cdn, edge = self.log.edge, "another server follows this log");
        let (mut last, mut since) = (None, Instant::now());
        while !self.ended.is_cancelled() && since.elapsed() < PATIENCE {
            self.sleep(INTERVAL);
            let lag = self.lag(follower);
            let is_behind = lag.is_some_and(|lag| lag.recorded < lag.size);
            let recorded = lag.map(|lag| lag.recorded);
            if !is_behind || recorded != last {
                (last, since) = (recorded, Instant::now());
            }
        }
    }

    /// Nothing where it cannot be told.
    fn lag(&self, follower: &Follower) -> Option<Lag> {
        let (edge, _) =
            self.wait(self.target.pilothouse.traffic().edge(&self.log.cdn, &self.log.edge)).ok()?;
        follower.lag(&mut self.recorder(edge)).ok()?
    }

    fn recorder(&self, edge: EdgeRef) -> Recorder {
        let Target { pilothouse, folder, cities } = self.target.clone();
        Recorder::new(pilothouse, folder, edge, cities, self.ended.clone())
    }

    fn wait<T>(&self, query: impl Future<Output = Result<T, Error>>) -> Result<T, Failed> {
        self.runtime.block_on(query).map_err(IngestError::Ledger)
    }

    fn sleep(&self, time: Duration) {
        self.runtime.block_on(async {
            // Either way it is time to look again, or to end.
            let _ = tokio::time::timeout(time, self.ended.cancelled()).await;
        });
    }
}
