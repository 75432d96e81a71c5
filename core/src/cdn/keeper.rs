//! Looks after edges that answer from their cache only while they are told to.
//!
//! Of several servers on one store, one at a time looks after the edges of a cdn. It renews the lease of each edge a few
//! times a second. An edge that was not heard, or says that its lease has ended, begins a new session: it is told every
//! purge that it has missed, and only then granted a lease again. What it missed is read after it was heard, so whatever
//! is accepted later finds it listening.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::edge::MOST_OWED;
use super::progress::one_line;
use super::{Edge, EdgeState};
use crate::ports::{CdnProvider, EdgeControl, Hello, ProviderError, Purge, Topic};
use crate::{Pilothouse, Result};

/// How often an edge is heard.
const BEAT: Duration = Duration::from_millis(300);
/// How long it may take to answer. The second time in a row that it takes longer, it is cut off.
const ANSWER: Duration = Duration::from_millis(300);
/// How long one who looks after edges does so without a sign of life.
const HOLD: Duration = Duration::from_secs(5);
/// How often a sign is given, or awaited from another.
const SIGN: Duration = Duration::from_secs(1);
/// How exactly it is written down when an edge in service was last heard.
const HEARD: TimeDelta = TimeDelta::seconds(5);
/// How long a call may take that tells an edge what it missed.
const PAYMENT: Duration = Duration::from_secs(30);
/// The most URLs of such a call, and how many are told one by one.
const PAYMENT_URLS: usize = 1000;
const MOST_URLS: usize = 10_000;

/// Looks after the edges of a store's cdns. Several may run side by side, in one process or many.
#[derive(Debug)]
pub struct EdgeKeeper {
    pilothouse: Pilothouse,
    /// What tells this one from others.
    name: String,
}

/// The edges of one cdn.
struct Fleet<'a> {
    keeper: &'a EdgeKeeper,
    cdn: &'a str,
    provider: &'a Arc<dyn CdnProvider>,
    control: &'a Arc<dyn EdgeControl>,
    /// Until when they are this keeper's.
    held: Mutex<Instant>,
}

/// What is known of one edge.
#[derive(Default)]
struct Watched {
    /// As it is written down; `None` before it was read.
    row: Option<Edge>,
    /// The number of the last session.
    last: i64,
    /// Whether the edge is in it, with a lease.
    leased: bool,
    /// How often in a row it took too long.
    late: u32,
}

impl EdgeKeeper {
    /// Over a domain, whose providers' edges it looks after.
    pub fn new(pilothouse: Pilothouse) -> Self {
        let name = pilothouse.ids().uuid().simple().to_string();
        Self { pilothouse, name }
    }

    /// Looks after edges until it is dropped.
    pub async fn run(&self) {
        let cdns = self.fleets().map(|fleet| async move {
            let edges = &fleet.provider.capabilities().edges;
            let watches = edges.iter().map(|edge| fleet.watch(edge));
            future::join(fleet.hold(edges), future::join_all(watches)).await
        });
        future::join_all(cdns).await;
    }

    /// Lets another one look after the edges at once.
    pub async fn leave(&self) {
        for fleet in self.fleets() {
            if let Err(error) = fleet.sign(Duration::ZERO).await {
                tracing::warn!(
                    cdn = fleet.cdn,
                    error = &error as &dyn StdError,
                    "cannot hand over the edges"
                );
            }
        }
    }

    fn fleets(&self) -> impl Iterator<Item = Fleet<'_>> {
        let providers = self.pilothouse.providers();
        providers.iter().filter_map(move |(cdn, provider)| {
            let control = providers.control(cdn)?;
            Some(Fleet { keeper: self, cdn, provider, control, held: Mutex::new(Instant::now()) })
        })
    }
}

impl Fleet<'_> {
    /// Gives signs of life, or waits until another no longer does.
    async fn hold(&self, edges: &[String]) {
        let mut held = false;
        loop {
            let begun = Instant::now();
            match self.sign(HOLD).await {
                Ok(true) => {
                    if !held && let Err(error) = self.take_over(edges).await {
                        self.log(&error);
                    } else {
                        held = true;
                        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = begun + HOLD;
                    }
                }
                Ok(false) => held = false,
                Err(error) => self.log(&error),
            }
            sleep(SIGN).await;
        }
    }

    fn log(&self, error: &crate::Error) {
        tracing::error!(cdn = self.cdn, error = error as &dyn StdError, "edges cannot be looked after");
    }

    fn is_held(&self) -> bool {
        Instant::now() < *self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that this keeper goes on for so long; false where another looks after the edges.
    async fn sign(&self, hold: Duration) -> Result<bool> {
        let mut work = self.keeper.pilothouse.storage().begin().await?;
        let now = work.now().await?;
        let mine = work.edges().keep(self.cdn, &self.keeper.name, now, now + hold).await?;
        work.commit().await?;
        Ok(mine)
    }

    /// Writes down which edges there are. One that is new, or is back in the settings, begins with nothing cached.
    async fn take_over(&self, edges: &[String]) -> Result<()> {
        let mut work = self.keeper.pilothouse.storage().begin().await?;
        let now = work.now().await?;
        for known in work.edges().list(self.cdn).await? {
            if !edges.contains(&known.name) {
                work.edges().remove(self.cdn, &known.name).await?;
            }
        }
        for name in edges {
            let (cdn, name, reason) = (self.cdn.to_owned(), name.clone(), "not heard yet".to_owned());
            let (epoch, state) = (now.timestamp_micros(), EdgeState::CutOff);
            work.edges().insert(&Edge { cdn, name, epoch, state, since: now, heard: None, reason }).await?;
        }
        Ok(work.commit().await?)
    }

    /// Hears one edge again and again.
    async fn watch(&self, edge: &str) {
        let mut watched = Watched::default();
        let mut ticks = interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !self.is_held() {
                watched = Watched::default();
            } else if let Err(error) = self.beat(edge, &mut watched).await {
                self.log(&error);
            }
        }
    }

    async fn beat(&self, edge: &str, watched: &mut Watched) -> Result<()> {
        if watched.row.is_none() {
            let mut snapshot = self.keeper.pilothouse.storage().read().await?;
            let rows = snapshot.edges().list(self.cdn).await?;
            watched.row = rows.into_iter().find(|row| row.name == edge);
        }
        let Some(epoch) = watched.row.as_ref().map(|row| row.epoch) else { return Ok(()) };
        if watched.leased {
            match answer(self.control.renew(edge, watched.last)).await {
                Ok(true) => {
                    watched.late = 0;
                    return self.show(watched, EdgeState::InService, "").await;
                }
                Ok(false) => watched.leased = false,
                Err(Late(error)) => {
                    watched.late += 1;
                    // Whatever it missed meanwhile, it is told before its lease goes on.
                    if error.is_some() || watched.late > 1 {
                        watched.leased = false;
                        return self.show(watched, EdgeState::CutOff, &reason(error)).await;
                    }
                    return Ok(());
                }
            }
        }
        self.begin(edge, watched, epoch).await
    }

    /// Begins a session: tells the edge what it missed, and grants it a lease.
    async fn begin(&self, edge: &str, watched: &mut Watched, epoch: i64) -> Result<()> {
        let now = self.keeper.pilothouse.clock().now().timestamp_millis();
        watched.last = now.max(watched.last + 1);
        let hello = match answer(self.control.hello(edge, watched.last, epoch)).await {
            Ok(Hello::Later(last)) => {
                // Another server was here, whose clock is ahead of this one's.
                watched.last = last + 1;
                answer(self.control.hello(edge, watched.last, epoch)).await
            }
            hello => hello,
        };
        let forgot = match hello {
            Ok(Hello::Later(_)) => return Ok(()),
            Ok(hello) => hello == Hello::Forgot,
            Err(Late(error)) => return self.show(watched, EdgeState::CutOff, &reason(error)).await,
        };
        if watched.row.as_ref().is_none_or(|row| row.state != EdgeState::Paying) {
            self.show(watched, EdgeState::Paying, "it is told what it missed").await?;
        }
        if let Err(error) = self.pay(edge, forgot).await? {
            return self.show(watched, EdgeState::Paying, &error.to_string()).await;
        }
        match answer(self.control.grant(edge, watched.last)).await {
            Ok(true) => {
                watched.leased = true;
                watched.late = 0;
                self.show(watched, EdgeState::InService, "").await?;
                self.wake().await
            }
            Ok(false) => Ok(()),
            Err(Late(error)) => self.show(watched, EdgeState::CutOff, &reason(error)).await,
        }
    }

    /// Tells an edge every purge that it has not confirmed, or may have forgotten.
    async fn pay(&self, edge: &str, forgot: bool) -> Result<Result<(), ProviderError>> {
        let purges = self.debt(edge, forgot).await?;
        for purges in purges.chunks(PAYMENT_URLS) {
            let Ok(paid) = timeout(PAYMENT, self.provider.purge(edge, purges)).await else {
                return Ok(Err(ProviderError::Unavailable("it takes long to be told what it missed".into())));
            };
            let outcomes = match paid {
                Ok(outcomes) => outcomes,
                Err(error) => return Ok(Err(error)),
            };
            // What it will never do is the failure of that job, and not waited for here.
            if let Some(error) =
                outcomes.into_iter().filter_map(Result::err).find(ProviderError::may_be_retried)
            {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// What an edge owes: the URLs that it has not confirmed; their whole hosts where these are many; and every host that
    /// was ever purged where it has forgotten.
    async fn debt(&self, edge: &str, forgot: bool) -> Result<Vec<Purge>> {
        let mut snapshot = self.keeper.pilothouse.storage().read().await?;
        let mut hosts_since = forgot.then_some(0);
        let mut purges: Vec<Purge> = Vec::new();
        if hosts_since.is_none() {
            let waiting = snapshot.jobs().owed(self.cdn, edge, MOST_OWED).await?;
            let mut seen = HashSet::new();
            let all = waiting.iter().rev().flat_map(super::Owed::purges);
            purges = all.filter(|purge| seen.insert(purge.url.clone())).collect();
            let jobs = i64::try_from(waiting.len()).unwrap_or(i64::MAX);
            if jobs >= MOST_OWED || purges.len() > MOST_URLS {
                hosts_since = snapshot.jobs().least_stamp(self.cdn).await?;
            }
        }
        if let Some(least) = hosts_since {
            let hosts = snapshot.edges().purged(self.cdn, least).await?.into_iter();
            purges = hosts.map(|(host, stamp)| Purge { url: format!("http://{host}/*"), stamp }).collect();
        }
        Ok(purges)
    }

    /// Has jobs tried again that wait for an edge.
    async fn wake(&self) -> Result<()> {
        let storage = self.keeper.pilothouse.storage();
        let mut work = storage.begin().await?;
        let now = work.now().await?;
        work.jobs().wake(self.cdn, now).await?;
        work.commit().await?;
        storage.announce(&[Topic::Jobs]).await;
        Ok(())
    }

    /// Writes down how an edge stands, where that is news.
    async fn show(&self, watched: &mut Watched, state: EdgeState, reason: &str) -> Result<()> {
        let Some(row) = &mut watched.row else { return Ok(()) };
        let now = self.keeper.pilothouse.clock().now();
        let heard = if state == EdgeState::CutOff { row.heard } else { Some(now) };
        let up = if state == EdgeState::InService { 1.0 } else { 0.0 };
        metrics::gauge!("pilothouse_edge_in_service", "cdn" => row.cdn.clone(), "edge" => row.name.clone())
            .set(up);
        let is_same = row.state == state && row.reason == reason;
        let is_recent = row.heard == heard || row.heard.is_some_and(|last| now - last < HEARD);
        if is_same && is_recent {
            return Ok(());
        }
        let since = if row.state == state { row.since } else { now };
        let next = Edge { state, since, heard, reason: one_line(reason), ..row.clone() };
        let mut work = self.keeper.pilothouse.storage().begin().await?;
        let is_there = work.edges().update(&next).await?;
        work.commit().await?;
        if row.state != state {
            tracing::info!(cdn = row.cdn, edge = row.name, state = state.as_str(), reason, "an edge");
        }
        // Where it is gone, another server has other settings; it is read again.
        watched.row = is_there.then_some(next);
        Ok(())
    }
}

/// No answer, or not in time.
struct Late(Option<ProviderError>);

async fn answer<T>(call: impl Future<Output = Result<T, ProviderError>>) -> Result<T, Late> {
    match timeout(ANSWER, call).await {
        Ok(answer) => answer.map_err(|error| Late(Some(error))),
        Err(_) => Err(Late(None)),
    }
}

fn reason(error: Option<ProviderError>) -> String {
    error.map_or_else(|| format!("no answer within {} ms", ANSWER.as_millis()), |error| error.to_string())
}
