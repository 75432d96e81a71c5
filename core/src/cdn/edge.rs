//! The edges of a cdn that answer from their cache only while they are told to: which are in service, and what each owes.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{CellState, Job, cdn_name};
use crate::account::{Caller, Group};
use crate::ports::{Purge, StorageResult};
use crate::{Error, Pilothouse, Result};

/// The most waiting jobs whose URLs are counted, or purged one by one, as what an edge owes. Where there are more, it owes
/// their hosts.
pub(super) const MOST_OWED: i64 = 200;

/// How an edge stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EdgeState {
    /// It does not answer, or nobody has asked it yet. When its lease has ended it sends every request to the origin.
    CutOff,
    /// It answers again, and is told what it missed; until then it sends every request to the origin.
    Paying,
    /// It answers from its cache.
    InService,
}

impl EdgeState {
    /// As a number for a store.
    pub fn id(self) -> i64 {
        match self {
            Self::CutOff => 0,
            Self::Paying => 1,
            Self::InService => 2,
        }
    }

    /// From a store's number; `None` when it is no state.
    pub fn from_id(id: i64) -> Option<Self> {
        [Self::CutOff, Self::Paying, Self::InService].into_iter().find(|state| state.id() == id)
    }

    /// As it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CutOff => "cut off",
            Self::Paying => "paying",
            Self::InService => "in service",
        }
    }
}

/// An edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The name of the cdn.
    pub cdn: String,
    /// Its name, unique within the cdn.
    pub name: String,
    /// Since when the settings name it, in microseconds: what it cached before is not used.
    pub epoch: i64,
    /// How it stands.
    pub state: EdgeState,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When it last answered, to within some seconds while it is in service; `None` where it never did.
    pub heard: Option<DateTime<Utc>>,
    /// Why it is not in service, in one line.
    pub reason: String,
}

/// A refresh that waits, and where it stands on one edge: a cell per URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// The job.
    pub job: Job,
    /// Its progress on the edge, where any is written.
    pub progress: Option<super::EdgeProgress>,
}

impl Owed {
    /// What the edge has not confirmed.
    pub fn purges(&self) -> impl Iterator<Item = Purge> {
        let waits = |n: usize| {
            let state = self.progress.as_ref().map(|progress| progress.cells[n].state);
            state.is_none_or(|state| state == CellState::Pending)
        };
        let urls = self.job.urls.iter().enumerate().filter(move |(n, _)| waits(*n));
        urls.map(|(_, url)| Purge { url: url.clone(), stamp: self.job.stamp })
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
    /// Makes `keeper` the one who looks after the edges of a cdn until a time; false where at `now` another does.
    async fn keep(
        &mut self,
        cdn: &str,
        keeper: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> StorageResult<bool>;
    /// A number for a purge of these hosts, at least `least` and greater than every number given before for one of them.
    /// Until the transaction ends, nobody else is given one for them.
    async fn stamp(&mut self, cdn: &str, hosts: &[String], least: i64) -> StorageResult<i64>;
    /// The last number of every host of a cdn that was given one of at least `least`, by host.
    async fn purged(&mut self, cdn: &str, least: i64) -> StorageResult<Vec<(String, i64)>>;
}

/// An edge as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeInfo {
    /// The edge.
    pub edge: Edge,
    /// How many URLs it has yet to confirm.
    pub owed: usize,
    /// Whether there are more than were counted.
    pub more: bool,
}

/// The use cases of edges.
#[derive(Clone, Copy, Debug)]
pub struct Edges<'a>(pub(crate) &'a Pilothouse);

impl Edges<'_> {
    /// Every edge of a cdn and what it owes; needs group 8. Refuses a cdn that does not exist; one whose edges need no
    /// leases has none.
    pub async fn list(&self, caller: &Caller, cdn: &str) -> Result<Vec<EdgeInfo>> {
        self.0.require(caller, Group::Cdn)?;
        let cdn = cdn_name("cdn", cdn)?;
        let mut snapshot = self.0.storage().read().await?;
        if snapshot.cdns().by_name(&cdn).await?.is_none() {
            return Err(Error::not_found("the cdn"));
        }
        let mut infos = Vec::new();
        for edge in snapshot.edges().list(&cdn).await? {
            let waiting = snapshot.jobs().owed(&cdn, &edge.name, MOST_OWED).await?;
            let owed = waiting.iter().map(|owed| owed.purges().count()).sum();
            let more = i64::try_from(waiting.len()).unwrap_or(i64::MAX) >= MOST_OWED;
            infos.push(EdgeInfo { edge, owed, more });
        }
        Ok(infos)
    }
}
