//! Alarm repository: the tables `alarm` and `alarm_leader`.

use std::sync::LazyLock;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::cdn::{
    Alarm, AlarmFilter, AlarmId, AlarmKind, AlarmOverview, AlarmRepository, AlarmSubject,
};
use pilothouse_core::ports::{StorageError, StorageResult};
use pilothouse_core::{Lease, Page};

use crate::row::{FromRow, Row};
use crate::statement::{ListStatements, is_held, statements};
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    /// The unique index of open alarms refuses a second one.
    INSERT = "INSERT INTO alarm (kind, account_id, domain, cdn, edge, threshold, worst, reason, begun, last_seen, ended) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING RETURNING id";
    UPDATE = "UPDATE alarm SET threshold = $2, worst = $3, reason = $4, last_seen = $5, ended = $6 \
         WHERE id = $1 AND ended IS NULL";
    OPEN = "SELECT * FROM alarm WHERE ended IS NULL ORDER BY id";
    LAST_SEEN = "SELECT MAX(last_seen) FROM alarm WHERE kind = $1 AND account_id = $2 AND domain = $3 \
         AND cdn = $4 AND edge = $5 AND ended IS NOT NULL";
    PRUNE = "DELETE FROM alarm WHERE id IN (SELECT id FROM alarm WHERE ended < $1 ORDER BY id LIMIT $2)";
    /// An empty name is that of one who stepped down.
    LEAD = concat!(
        "INSERT INTO alarm_leader (id, leader, until) VALUES (1, $1, $3) ON CONFLICT (id) DO UPDATE \
         SET leader = excluded.leader, until = excluded.until \
         WHERE alarm_leader.leader IN (excluded.leader, '') OR NOT ",
        is_held!("alarm_leader.until", "$2", "$4")
    );
    STEP_DOWN = "UPDATE alarm_leader SET leader = '' WHERE leader = $1";
}

/// Lists of alarms: of all, of open and of ended ones. The states are literals, for the partial index.
static LISTS: LazyLock<[ListStatements; 3]> = LazyLock::new(|| {
    let columns = "alarm.*, COALESCE(account.mail, '') AS mail";
    let from = "alarm LEFT JOIN account ON account.id = alarm.account_id";
    ["TRUE", "ended IS NULL", "ended IS NOT NULL"].map(|state| {
        let condition = format!(
            "{state} AND ($3 IS NULL OR account_id = $3) AND ($4 IS NULL OR kind = $4) \
             AND ($5 IS NULL OR domain = $5) AND ($6 IS NULL OR cdn = $6) AND ($7 IS NULL OR edge = $7)"
        );
        ListStatements::new(concat!(module_path!(), "::LISTS"), (columns, from, "alarm.id"), &condition, 5)
    })
});

/// The statements that lead to what passes a filter.
fn lists(filter: &AlarmFilter) -> &'static ListStatements {
    match filter.is_open {
        None => &LISTS[0],
        Some(true) => &LISTS[1],
        Some(false) => &LISTS[2],
    }
}

impl FromRow for Alarm {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let kind = AlarmKind::from_id(row.get("kind")?);
        let subject = AlarmSubject::from_columns(
            row.get("account_id")?,
            row.get("domain")?,
            row.get("cdn")?,
            row.get("edge")?,
        );
        Ok(Self {
            id: row.get("id")?,
            kind: kind.ok_or(StorageError::Corrupt { what: "kind of an alarm" })?,
            subject,
            threshold: row.optional("threshold")?,
            value: row.optional("worst")?,
            reason: row.get("reason")?,
            begun: row.get("begun")?,
            last_seen: row.get("last_seen")?,
            ended: row.optional("ended")?,
        })
    }
}

impl FromRow for AlarmOverview {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { alarm: Alarm::from_row(row)?, mail: row.get("mail")? })
    }
}

#[async_trait]
impl AlarmRepository for Transaction {
    async fn insert(&mut self, alarm: &Alarm) -> StorageResult<Option<AlarmId>> {
        let Alarm { kind, subject, threshold, value, reason, begun, last_seen, ended, .. } = alarm;
        let (account_id, domain, cdn, edge) = subject.columns();
        let values = values![
            kind.id(),
            account_id,
            domain,
            cdn,
            edge,
            *threshold,
            *value,
            reason,
            *begun,
            *last_seen,
            *ended
        ];
        self.connection.optional(INSERT, values).await
    }

    async fn update(&mut self, alarm: &Alarm) -> StorageResult<bool> {
        let Alarm { id, threshold, value, reason, last_seen, ended, .. } = alarm;
        let values = values![*id, *threshold, *value, reason, *last_seen, *ended];
        Ok(self.connection.execute(UPDATE, values).await? > 0)
    }

    async fn open(&mut self) -> StorageResult<Vec<Alarm>> {
        self.connection.all(OPEN, values![]).await
    }

    async fn last_seen(
        &mut self,
        kind: AlarmKind,
        subject: &AlarmSubject,
    ) -> StorageResult<Option<DateTime<Utc>>> {
        let (account_id, domain, cdn, edge) = subject.columns();
        self.connection.one(LAST_SEEN, values![kind.id(), account_id, domain, cdn, edge]).await
    }

    async fn list(&mut self, filter: &AlarmFilter, page: Page) -> StorageResult<Vec<AlarmOverview>> {
        let AlarmFilter { account_id, kind, domain, cdn, edge, .. } = filter;
        let values = values![
            page.start,
            page.before,
            *account_id,
            kind.map(AlarmKind::id),
            domain.as_ref(),
            cdn.as_ref(),
            edge.as_ref(),
            page.count
        ];
        self.connection.all(lists(filter).page(page.order), values).await
    }

    async fn count(&mut self, filter: &AlarmFilter, start: i64, before: i64) -> StorageResult<u64> {
        let AlarmFilter { account_id, kind, domain, cdn, edge, .. } = filter;
        let values = values![
            start,
            before,
            *account_id,
            kind.map(AlarmKind::id),
            domain.as_ref(),
            cdn.as_ref(),
            edge.as_ref()
        ];
        self.connection.count(lists(filter).count(), values).await
    }

    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64> {
        self.connection.execute(PRUNE, values![before, count]).await
    }

    async fn lead(&mut self, leader: &str, now: DateTime<Utc>, lease: Lease) -> StorageResult<bool> {
        let values = values![leader, now, lease.end(now), lease.latest_end(now)];
        Ok(self.connection.execute(LEAD, values).await? > 0)
    }

    async fn step_down(&mut self, leader: &str) -> StorageResult<()> {
        self.connection.execute(STEP_DOWN, values![leader]).await.map(|_| ())
    }
}
