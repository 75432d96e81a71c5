//! Edges of a cdn that serve under a lease: their states, and the purges each has missed.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use crate::account::{Caller, Group};
use crate::cdn::customers::cdn_named;
use crate::cdn::traffic::{LogGap, STREAM, last_gap};
use crate::ports::{Repositories, StorageResult};
use crate::webhook::EventKind;
use crate::{Lease, Pilothouse, Result};

/// The most waiting jobs whose URLs are counted, or purged one by one, as what an edge owes. Where there are more, it owes
/// their hosts.
pub(super) const MAX_LISTED_PURGES: i64 = 200;

/// State of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EdgeState {
    /// The edge does not answer, or was not asked yet. Once its lease has ended it sends every request to the origin.
    Unreachable,
    /// The edge answers again, and missed purges are replayed; until then it sends every request to the origin.
    CatchingUp,
    /// The edge answers from its cache.
    InService,
}

impl EdgeState {
    /// Number that stores keep.
    pub fn id(self) -> i64 {
        match self {
            Self::Unreachable => 0,
            Self::CatchingUp => 1,
            Self::InService => 2,
        }
    }

    /// State of a number that stores keep; `None` of any other.
    pub fn from_id(id: i64) -> Option<Self> {
        [Self::Unreachable, Self::CatchingUp, Self::InService].into_iter().find(|state| state.id() == id)
    }

    /// Name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::CatchingUp => "catching_up",
            Self::InService => "in_service",
        }
    }

    /// Event that an edge which comes into this state is told by. Catching up is none: each start of a server begins it.
    pub(super) fn event(self) -> Option<EventKind> {
        match self {
            Self::Unreachable => Some(EventKind::EdgeUnreachable),
            Self::CatchingUp => None,
            Self::InService => Some(EventKind::EdgeInService),
        }
    }
}

/// An edge with its state, as its lease manager stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The name of the cdn.
    pub cdn: String,
    /// Name, unique within the cdn.
    pub name: String,
    /// Time since which the settings name it, in microseconds: objects cached before are not used.
    pub epoch: i64,
    /// In service, catching up, or unreachable.
    pub state: EdgeState,
    /// Time of the last change of state.
    pub since: DateTime<Utc>,
    /// Time of its last answer, to within some seconds while it is in service; `None` where it never answered.
    pub last_seen: Option<DateTime<Utc>>,
    /// Reason why it is not in service, in one line.
    pub reason: String,
}

impl Edge {
    /// Members of the event that webhooks are sent.
    pub(super) fn event_data(&self) -> serde_json::Value {
        serde_json::json!({"cdn": self.cdn, "edge": self.name, "reason": self.reason})
    }
}

/// Edges in a store, who looks after them, and the last purge of every host.
#[async_trait]
pub trait EdgeRepository: Send {
    /// Adds an edge; false when there is one of this cdn and name.
    async fn insert(&mut self, edge: &Edge) -> StorageResult<bool>;
    /// Replaces all but the epoch; false when there is none of this cdn and name.
    async fn update(&mut self, edge: &Edge) -> StorageResult<bool>;
    /// Forgets an edge; whether there was one.
    async fn remove(&mut self, cdn: &str, name: &str) -> StorageResult<bool>;
    /// The edges of a cdn, by name.
    async fn list(&mut self, cdn: &str) -> StorageResult<Vec<Edge>>;
    /// Makes `leader` the manager of a cdn's edges for the length of a lease; false where another one leads at `now`.
    async fn lead(
        &mut self,
        cdn: &str,
        leader: &str,
        now: DateTime<Utc>,
        lease: Lease,
    ) -> StorageResult<bool>;
    /// Ends the leadership of `leader`, where it leads, so that another takes over at once.
    async fn step_down(&mut self, cdn: &str, leader: &str) -> StorageResult<()>;
    /// End of the newest lease of a leader, also of one that stepped down.
    async fn led_until(&mut self, cdn: &str) -> StorageResult<Option<DateTime<Utc>>>;
    /// A number for a purge of these hosts, at least `least` and greater than every number given before for one of them.
    /// Until the transaction ends, nobody else is given one for them.
    async fn stamp(&mut self, cdn: &str, hosts: &[String], least: i64) -> StorageResult<i64>;
    /// The last number of every host of a cdn that was given one of at least `least`, by host.
    async fn purged(&mut self, cdn: &str, least: i64) -> StorageResult<Vec<(String, i64)>>;
}

/// An edge as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeInfo {
    /// Stored state of the edge.
    pub edge: Edge,
    /// URLs that it has not confirmed yet.
    pub owed: usize,
    /// Whether there are more than were counted.
    pub more: bool,
    /// Its shipped log, where any of it was taken in.
    pub shipped: Option<ShippedLog>,
    /// Age of all that is said of the edge: the time since a server last looked after the cdn's edges, to within a
    /// second or two. `None` where none has, or its clock was ahead of the store's.
    pub age: Option<TimeDelta>,
    /// Last gap of its log, as long as traffic of that time is kept.
    pub log_gap: Option<LogGap>,
}

/// Intake of the log that an edge ships.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShippedLog {
    /// Offset wanted next.
    pub offset: i64,
    /// Bytes that operators gave up.
    pub skipped: i64,
}

/// Leadership of a cdn's edges without renewal.
pub(super) const LEADERSHIP: Lease = Lease::of(TimeDelta::seconds(5));

/// Age of the stored states of a cdn's edges: the time since a server last looked after them, to within a second or two.
/// `None` where none has, or its clock was ahead of the store's.
pub(in crate::cdn) async fn age_of_states(
    repositories: &mut dyn Repositories,
    cdn: &str,
    now: DateTime<Utc>,
) -> StorageResult<Option<TimeDelta>> {
    let led_until = repositories.edges().led_until(cdn).await?;
    let led_until = led_until.filter(|until| !LEADERSHIP.is_void(*until, now));
    Ok(led_until.map(|until| (LEADERSHIP.end(now) - until).max(TimeDelta::zero())))
}

/// The use cases of edges.
#[derive(Clone, Copy, Debug)]
pub struct Edges<'a>(pub(crate) &'a Pilothouse);

impl Edges<'_> {
    /// Every edge of a cdn and what it owes; needs group 8. Refuses a cdn that does not exist; one whose edges need no
    /// leases has none.
    pub async fn list(&self, caller: &Caller, cdn: &str) -> Result<Vec<EdgeInfo>> {
        self.0.require(caller, Group::Cdn)?;
        let now = self.0.store_time().await?;
        let mut snapshot = self.0.storage().read().await?;
        let found = cdn_named(&mut *snapshot, "cdn", cdn).await?;
        let cdn = &found.name;
        let age = age_of_states(&mut *snapshot, cdn, now).await?;
        let mut infos = Vec::new();
        for edge in snapshot.edges().list(cdn).await? {
            let waiting = snapshot.jobs().missed_purges(cdn, &edge.name, MAX_LISTED_PURGES).await?;
            let owed = waiting.iter().map(|owed| owed.purges().count()).sum();
            let more = i64::try_from(waiting.len()).unwrap_or(i64::MAX) >= MAX_LISTED_PURGES;
            let logs = snapshot.log_sources().find(found.id, &edge.name, &[STREAM]).await?;
            let shipped = logs.first().map(|log| ShippedLog { offset: log.length, skipped: log.skipped });
            let log_gap = last_gap(&mut *snapshot, found.id, &edge.name).await?;
            infos.push(EdgeInfo { edge, owed, more, shipped, age, log_gap });
        }
        Ok(infos)
    }
}
