//! Alarms in a store: one row from begin to end, of which one at a time is open for each kind and subject.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::alarm_list::{AlarmFilter, AlarmOverview};
use super::threshold::Share;
use crate::account::AccountId;
use crate::id::id;
use crate::ports::StorageResult;
use crate::{Error, Lease, Page, Result};

id! {
    /// The id of an alarm; later ones are greater.
    AlarmId
}

/// Kind of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmKind {
    /// The bandwidth of a domain is above its threshold.
    Bandwidth,
    /// The share of 5xx answers of a domain is above its threshold.
    ErrorRatio,
    /// The share of a domain's requests answered from the cache is below its threshold.
    HitRatio,
    /// An own edge does not answer.
    SilentEdge,
    /// The log of an edge cannot be read, or many of its lines cannot.
    UnreadableLog,
    /// Lines of an edge's log are missing.
    LogGap,
}

impl AlarmKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Bandwidth,
        Self::ErrorRatio,
        Self::HitRatio,
        Self::SilentEdge,
        Self::UnreadableLog,
        Self::LogGap,
    ];

    /// Number that stores keep.
    pub fn id(self) -> i64 {
        match self {
            Self::Bandwidth => 0,
            Self::ErrorRatio => 1,
            Self::HitRatio => 2,
            Self::SilentEdge => 3,
            Self::UnreadableLog => 4,
            Self::LogGap => 5,
        }
    }

    /// Kind of a number that stores keep; `None` of any other.
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.id() == id)
    }

    /// Name on the wire and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth",
            Self::ErrorRatio => "error_ratio",
            Self::HitRatio => "hit_ratio",
            Self::SilentEdge => "silent_edge",
            Self::UnreadableLog => "unreadable_log",
            Self::LogGap => "log_gap",
        }
    }

    /// Kind of a name on the wire. Refuses any other.
    pub fn from_name(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        found.ok_or_else(|| {
            let [others @ .., last] = Self::ALL.map(Self::as_str);
            Error::invalid("kind", format!("must be {} or {last}", others.join(", ")))
        })
    }

    /// Whether a value is out of order where the limit is this one.
    pub(super) fn exceeds(self, value: i64, limit: i64) -> bool {
        match self {
            Self::HitRatio => value < limit,
            _ => value > limit,
        }
    }

    /// The value of both that is further out of order.
    pub(super) fn worse(self, one: i64, other: i64) -> i64 {
        match self {
            Self::HitRatio => one.min(other),
            _ => one.max(other),
        }
    }

    /// Whether its values are shares, in millionths, and not bits per second.
    pub fn is_share(self) -> bool {
        matches!(self, Self::ErrorRatio | Self::HitRatio)
    }
}

/// Domain or edge that an alarm is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmSubject {
    /// Domain of a customer, by name; on several cdns it is one.
    Domain {
        /// Account of the customer.
        account_id: AccountId,
        /// Name of the domain.
        domain: String,
    },
    /// Edge of a cdn.
    Edge {
        /// Name of the cdn.
        cdn: String,
        /// Name of the edge.
        edge: String,
    },
}

impl AlarmSubject {
    /// Account, domain, cdn and edge, in the columns of a store: 0 and empty where they are not named.
    pub fn columns(&self) -> (AccountId, &str, &str, &str) {
        match self {
            Self::Domain { account_id, domain } => (*account_id, domain, "", ""),
            Self::Edge { cdn, edge } => (AccountId::UNSAVED, "", cdn, edge),
        }
    }

    /// Subject of these columns.
    pub fn from_columns(account_id: AccountId, domain: String, cdn: String, edge: String) -> Self {
        if account_id == AccountId::UNSAVED {
            Self::Edge { cdn, edge }
        } else {
            Self::Domain { account_id, domain }
        }
    }
}

/// An alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Unique within the store; orders lists.
    pub id: AlarmId,
    /// Kind of the alarm.
    pub kind: AlarmKind,
    /// Domain or edge that it is of.
    pub subject: AlarmSubject,
    /// Threshold when it was last compared with: bits per second, or millionths. `None` of edges.
    pub threshold: Option<i64>,
    /// Worst value so far, in the unit of the threshold. `None` of edges.
    pub value: Option<i64>,
    /// Reason in one line; empty of domains.
    pub reason: String,
    /// Time since which it is out of order: the begin of the first bucket, or when it was noticed.
    pub begun: DateTime<Utc>,
    /// Time up to which it was out of order, as far as is known: the end of the last such bucket, or when it was last noticed.
    pub last_seen: DateTime<Utc>,
    /// Time of its end; `None` while it is open.
    pub ended: Option<DateTime<Utc>>,
}

impl Alarm {
    /// Members of the event that webhooks are sent. `mail` is that of the customer.
    pub(super) fn event_data(&self, mail: Option<&str>) -> Value {
        let (_, domain, cdn, edge) = self.subject.columns();
        let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        json!({
            "alarm": self.id.0,
            "kind": self.kind.as_str(),
            "login_email": mail,
            "domain": named(domain),
            "cdn": named(cdn),
            "edge": named(edge),
            "threshold": self.shown(self.threshold),
            "value": self.shown(self.value),
            "reason": self.reason,
            "begin": self.begun.timestamp(),
            "end": self.ended.map(|at| at.timestamp()),
        })
    }

    /// A threshold or value as callers see it: bits per second, or a fraction.
    pub fn shown(&self, value: Option<i64>) -> Option<serde_json::Number> {
        let value = value?;
        if self.kind.is_share() {
            serde_json::Number::from_f64(Share(value).fraction())
        } else {
            Some(value.into())
        }
    }
}

/// Alarms in a store. Every write but pruning and leading happens under [`crate::ports::LockKey::Alarms`].
#[async_trait]
pub trait AlarmRepository: Send {
    /// Adds an alarm, ignoring `id`; `None` where one of its kind and subject is open.
    async fn insert(&mut self, alarm: &Alarm) -> StorageResult<Option<AlarmId>>;
    /// Writes threshold, value, reason, last sight and end of an alarm that is open; whether it was.
    async fn update(&mut self, alarm: &Alarm) -> StorageResult<bool>;
    /// The open alarms, by id.
    async fn open(&mut self) -> StorageResult<Vec<Alarm>>;
    /// Latest last sight among the ended alarms of a kind and subject.
    async fn last_seen(
        &mut self,
        kind: AlarmKind,
        subject: &AlarmSubject,
    ) -> StorageResult<Option<DateTime<Utc>>>;
    /// A page of the alarms that pass a filter.
    async fn list(&mut self, filter: &AlarmFilter, page: Page) -> StorageResult<Vec<AlarmOverview>>;
    /// Counts the alarms that pass a filter and have an id of at least `start` and less than `before`.
    async fn count(&mut self, filter: &AlarmFilter, start: i64, before: i64) -> StorageResult<u64>;
    /// Forgets the first `count` alarms, by id, that ended before a time; how many.
    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64>;
    /// Makes `leader` the one that looks for alarms for the length of a lease; false where another one leads at `now`.
    async fn lead(&mut self, leader: &str, now: DateTime<Utc>, lease: Lease) -> StorageResult<bool>;
    /// Ends the leadership of `leader`, where it leads, so that another takes over at once.
    async fn step_down(&mut self, leader: &str) -> StorageResult<()>;
}
