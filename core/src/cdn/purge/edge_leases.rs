//! Edge lease manager: renews each edge's serving lease and replays missed purges before re-admitting it.
//!
//! Of several servers on one store, one at a time leads the edges of a cdn. It renews the lease of each edge a few times a
//! second. An edge that missed heartbeats, or says that its lease has ended, begins a new session: every purge that it
//! missed is replayed, and only then is it granted a lease again. The missed purges are read after the edge has answered,
//! so whatever is accepted later finds it reachable.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::call_queue::{done, edge_batch};
use super::counted_edge::CountedEdge;
use super::edge::{Edge, EdgeState, LEADERSHIP, MAX_LISTED_PURGES};
use super::job::MissedPurges;
use super::progress::one_line;
use crate::ports::{CdnProvider, EdgeControl, Operation, ProviderError, Purge, SessionStart, Topic};
use crate::sync::lock;
use crate::webhook::EventKind;
use crate::{Pilothouse, Result};

/// Interval between two heartbeats of an edge.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(300);
/// Time limit of a heartbeat. An edge that exceeds it twice in a row is unreachable.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_millis(300);
/// Interval between two renewals of leadership, or two attempts to take it over.
const LEADER_RENEWAL: Duration = Duration::from_secs(1);
/// Granularity of the stored time at which an edge in service last answered, which keeps writes few.
const LAST_SEEN_GRANULARITY: Duration = Duration::from_secs(5);
/// Time limit of one call that replays missed purges.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(30);
/// The most URLs of such a call.
const REPLAY_BATCH: usize = 1000;
/// The most URLs that are replayed one by one; beyond them their whole hosts are purged.
const MAX_REPLAYED_URLS: usize = 10_000;

/// Leases of the edges of a store's cdns. Several managers may run side by side, in one process or many.
#[derive(Debug)]
pub struct EdgeLeases {
    pilothouse: Pilothouse,
    /// Random name that tells this manager from others.
    name: String,
}

/// The edges of one cdn.
struct Fleet<'a> {
    manager: &'a EdgeLeases,
    cdn: &'a str,
    provider: &'a Arc<dyn CdnProvider>,
    control: &'a Arc<dyn EdgeControl>,
    /// The end of this manager's leadership, unless it is renewed.
    leads_until: Mutex<Instant>,
}

/// State of one edge between heartbeats.
#[derive(Default)]
struct Session {
    /// The stored edge; `None` before it was read.
    row: Option<Edge>,
    /// Last event about it, as far as the row tells.
    event: Option<EventKind>,
    /// Number of the newest session.
    number: i64,
    /// Whether the edge is in that session and holds a lease.
    leased: bool,
    /// Heartbeats in a row that took too long.
    missed: u32,
    /// Time at which the row was last stored in this session.
    stored: Option<Instant>,
    counted: CountedEdge,
}

impl EdgeLeases {
    /// The name under which [`Pilothouse::workers`] lists it.
    pub(crate) const NAME: &'static str = "edge leases";

    /// The leases of the edges of a domain's providers.
    pub fn new(pilothouse: Pilothouse) -> Self {
        let name = pilothouse.ids().uuid().simple().to_string();
        Self { pilothouse, name }
    }

    /// Renews leases until it is dropped.
    pub async fn run(&self) {
        let cdns = self.fleets().map(|fleet| async move {
            let edges = &fleet.provider.capabilities().edges;
            let monitors = edges.iter().map(|edge| fleet.monitor(edge));
            future::join(fleet.lead(edges), future::join_all(monitors)).await
        });
        future::join(self.report_health(), future::join_all(cdns)).await;
    }

    /// Records that this job is alive, also where no cdn has edges with leases.
    async fn report_health(&self) {
        loop {
            self.pilothouse.worker_succeeded(Self::NAME);
            sleep(LEADER_RENEWAL).await;
        }
    }

    /// Gives up leadership, so that another server takes over at once.
    pub async fn leave(&self) {
        for fleet in self.fleets() {
            if let Err(error) = fleet.step_down().await {
                tracing::warn!(
                    cdn = fleet.cdn,
                    error = &error as &dyn StdError,
                    "edge leadership could not be given up"
                );
            }
        }
    }

    fn fleets(&self) -> impl Iterator<Item = Fleet<'_>> {
        let providers = self.pilothouse.providers();
        providers.iter().filter_map(move |(cdn, provider)| {
            let control = providers.control(cdn)?;
            Some(Fleet { manager: self, cdn, provider, control, leads_until: Mutex::new(Instant::now()) })
        })
    }
}

impl Fleet<'_> {
    /// Renews leadership, or waits to take it over.
    async fn lead(&self, edges: &[String]) {
        let mut leads = false;
        loop {
            let begun = Instant::now();
            match self.renew_leadership().await {
                Ok(true) => {
                    if !leads && let Err(error) = self.take_over(edges).await {
                        self.log(&error);
                    } else {
                        leads = true;
                        *lock(&self.leads_until) = begun + LEADERSHIP.length().to_std().unwrap_or_default();
                    }
                }
                Ok(false) => leads = false,
                Err(error) => self.log(&error),
            }
            sleep(LEADER_RENEWAL).await;
        }
    }

    fn log(&self, error: &crate::Error) {
        tracing::error!(
            cdn = self.cdn,
            error = error as &dyn StdError,
            "edge leases could not be managed; it is retried"
        );
    }

    fn leads(&self) -> bool {
        Instant::now() < *lock(&self.leads_until)
    }

    /// Takes or extends leadership; false where another manager leads.
    async fn renew_leadership(&self) -> Result<bool> {
        let mut work = self.manager.pilothouse.storage().begin().await?;
        let now = work.now().await?;
        let leads = work.edges().lead(self.cdn, &self.manager.name, now, LEADERSHIP).await?;
        work.commit().await?;
        Ok(leads)
    }

    async fn step_down(&self) -> Result<()> {
        let mut work = self.manager.pilothouse.storage().begin().await?;
        work.edges().step_down(self.cdn, &self.manager.name).await?;
        Ok(work.commit().await?)
    }

    /// Stores which edges there are. One that is new, or is back in the settings, begins with nothing cached.
    async fn take_over(&self, edges: &[String]) -> Result<()> {
        let mut work = self.manager.pilothouse.storage().begin().await?;
        let now = work.now().await?;
        for known in work.edges().list(self.cdn).await? {
            if !edges.contains(&known.name) {
                work.edges().remove(self.cdn, &known.name).await?;
            }
        }
        for name in edges {
            let (cdn, name, reason) = (self.cdn.to_owned(), name.clone(), "no heartbeat yet".to_owned());
            let (epoch, state) = (now.timestamp_micros(), EdgeState::Unreachable);
            work.edges()
                .insert(&Edge { cdn, name, epoch, state, since: now, last_seen: None, reason })
                .await?;
        }
        Ok(work.commit().await?)
    }

    /// Sends heartbeats to one edge, for ever.
    async fn monitor(&self, edge: &str) {
        let mut session = Session::default();
        let mut ticks = interval(HEARTBEAT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !self.leads() {
                session = Session::default();
            } else if let Err(error) = self.heartbeat(edge, &mut session).await {
                self.log(&error);
            }
        }
    }

    async fn heartbeat(&self, edge: &str, session: &mut Session) -> Result<()> {
        if session.row.is_none() {
            let mut snapshot = self.manager.pilothouse.storage().read().await?;
            let rows = snapshot.edges().list(self.cdn).await?;
            session.row = rows.into_iter().find(|row| row.name == edge);
            session.event = session.row.as_ref().and_then(|row| row.state.event());
        }
        let Some(epoch) = session.row.as_ref().map(|row| row.epoch) else { return Ok(()) };
        if session.leased {
            match answer(self.control.renew(edge, session.number)).await {
                Ok(true) => {
                    session.missed = 0;
                    return self.record_state(session, EdgeState::InService, "").await;
                }
                Ok(false) => session.leased = false,
                Err(HeartbeatError(error)) => {
                    session.missed += 1;
                    // Whatever it missed meanwhile is replayed before its lease goes on.
                    if error.is_some() || session.missed > 1 {
                        session.leased = false;
                        return self.record_state(session, EdgeState::Unreachable, &reason(error)).await;
                    }
                    return Ok(());
                }
            }
        }
        self.begin_session(edge, session, epoch).await
    }

    /// Begins a session: replays what the edge missed, and grants it a lease.
    async fn begin_session(&self, edge: &str, session: &mut Session, epoch: i64) -> Result<()> {
        let now = self.manager.pilothouse.clock().now().timestamp_millis();
        session.number = now.max(session.number + 1);
        let started = match answer(self.control.begin_session(edge, session.number, epoch)).await {
            Ok(SessionStart::Deferred(last)) => {
                // Another server was here, whose clock is ahead of this one's.
                session.number = last + 1;
                answer(self.control.begin_session(edge, session.number, epoch)).await
            }
            started => started,
        };
        let lost_state = match started {
            Ok(SessionStart::Deferred(_)) => return Ok(()),
            Ok(started) => started == SessionStart::Fresh,
            Err(HeartbeatError(error)) => {
                return self.record_state(session, EdgeState::Unreachable, &reason(error)).await;
            }
        };
        if session.row.as_ref().is_none_or(|row| row.state != EdgeState::CatchingUp) {
            self.record_state(session, EdgeState::CatchingUp, "missed purges are replayed").await?;
        }
        if let Err(error) = self.replay_missed_purges(edge, lost_state).await? {
            return self.record_state(session, EdgeState::CatchingUp, &error.to_string()).await;
        }
        match answer(self.control.grant(edge, session.number)).await {
            Ok(true) => {
                session.leased = true;
                session.missed = 0;
                self.record_state(session, EdgeState::InService, "").await?;
                self.wake_jobs().await
            }
            Ok(false) => Ok(()),
            Err(HeartbeatError(error)) => {
                self.record_state(session, EdgeState::Unreachable, &reason(error)).await
            }
        }
    }

    /// Replays every purge that an edge has not confirmed, or may have forgotten.
    async fn replay_missed_purges(&self, edge: &str, lost_state: bool) -> Result<Result<(), ProviderError>> {
        let purges = self.missed_purges(edge, lost_state).await?;
        for purges in purges.chunks(REPLAY_BATCH) {
            let pilothouse = &self.manager.pilothouse;
            let (clock, ids, items) = (pilothouse.clock(), pilothouse.ids(), purges.to_vec());
            let batch = edge_batch(clock, ids, Operation::PurgeUrls, edge, items);
            let Ok(replayed) = timeout(REPLAY_TIMEOUT, self.provider.submit(&batch)).await else {
                return Ok(Err(ProviderError::Unavailable("replaying missed purges takes long".into())));
            };
            let outcomes = match replayed {
                Ok(outcomes) => outcomes,
                Err(error) => return Ok(Err(error)),
            };
            // What it will never do is the failure of that job, and not waited for here.
            if let Some(error) =
                done(outcomes).into_iter().filter_map(Result::err).find(ProviderError::may_be_retried)
            {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// The purges that an edge missed: the URLs that it has not confirmed; their whole hosts where these are many; and every
    /// host that was ever purged where the edge has forgotten what it confirmed.
    async fn missed_purges(&self, edge: &str, lost_state: bool) -> Result<Vec<Purge>> {
        let mut snapshot = self.manager.pilothouse.storage().read().await?;
        let mut hosts_since = lost_state.then_some(0);
        let mut purges: Vec<Purge> = Vec::new();
        if hosts_since.is_none() {
            let waiting = snapshot.jobs().missed_purges(self.cdn, edge, MAX_LISTED_PURGES).await?;
            let mut seen = HashSet::new();
            let all = waiting.iter().rev().flat_map(MissedPurges::purges);
            purges = all.filter(|purge| seen.insert(purge.url.clone())).collect();
            let jobs = i64::try_from(waiting.len()).unwrap_or(i64::MAX);
            if jobs >= MAX_LISTED_PURGES || purges.len() > MAX_REPLAYED_URLS {
                hosts_since = snapshot.jobs().least_stamp(self.cdn).await?;
            }
        }
        if let Some(least) = hosts_since {
            let hosts = snapshot.edges().purged(self.cdn, least).await?.into_iter();
            purges = hosts.map(|(host, stamp)| Purge { url: format!("http://{host}/*"), stamp }).collect();
        }
        Ok(purges)
    }

    /// Makes jobs due that wait for an edge.
    async fn wake_jobs(&self) -> Result<()> {
        let storage = self.manager.pilothouse.storage();
        let mut work = storage.begin().await?;
        let now = work.now().await?;
        work.jobs().wake(self.cdn, now).await?;
        work.commit().await?;
        storage.announce(&[Topic::Jobs]).await;
        Ok(())
    }

    /// Stores the state of an edge, where it has changed.
    async fn record_state(&self, session: &mut Session, state: EdgeState, reason: &str) -> Result<()> {
        let Some(row) = &mut session.row else { return Ok(()) };
        session.counted.set(Some(state));
        let is_same = row.state == state && row.reason == reason;
        // Measured without the wall clocks: one that was ahead would keep the row as it is for as long.
        let is_recent = session.stored.is_some_and(|stored| stored.elapsed() < LAST_SEEN_GRANULARITY);
        if is_same && (is_recent || state == EdgeState::Unreachable) {
            return Ok(());
        }
        let mut work = self.manager.pilothouse.storage().begin().await?;
        let now = work.now().await?;
        let last_seen = if state == EdgeState::Unreachable { row.last_seen } else { Some(now) };
        let since = if row.state == state { row.since } else { now };
        let next = Edge { state, since, last_seen, reason: one_line(reason), ..row.clone() };
        let is_there = work.edges().update(&next).await?;
        if let Some(event) = state.event().filter(|event| is_there && session.event != Some(*event)) {
            self.manager.pilothouse.queue_event(&mut *work, event, next.event_data()).await?;
        }
        work.commit().await?;
        session.event = state.event().or(session.event);
        if row.state != state {
            let (from, to) = (row.state.as_str(), state.as_str());
            tracing::info!(cdn = row.cdn, edge = row.name, from, to, reason, "edge state changed");
        }
        // Where it is gone, another server has other settings; it is read again.
        session.row = is_there.then_some(next);
        session.stored = Some(Instant::now());
        Ok(())
    }
}

/// A heartbeat without an answer, or without one in time.
struct HeartbeatError(Option<ProviderError>);

async fn answer<T>(call: impl Future<Output = Result<T, ProviderError>>) -> Result<T, HeartbeatError> {
    match timeout(HEARTBEAT_TIMEOUT, call).await {
        Ok(answer) => answer.map_err(|error| HeartbeatError(Some(error))),
        Err(_) => Err(HeartbeatError(None)),
    }
}

fn reason(error: Option<ProviderError>) -> String {
    error.map_or_else(
        || format!("no answer within {} ms", HEARTBEAT_TIMEOUT.as_millis()),
        |error| error.to_string(),
    )
}
