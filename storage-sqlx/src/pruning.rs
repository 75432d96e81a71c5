//! Limits of pruning.

use async_trait::async_trait;
use pilothouse_core::cdn::BlockKind;
use pilothouse_core::ports::StorageResult;
use pilothouse_core::{Allowance, ClockMark, Prunable, PruningRepository};

use crate::row::{FromRow, Row};
use crate::statement::{Statement, statements};
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    COUNT_NODES = "SELECT COUNT(*) FROM config_node";
    COUNT_DELIVERIES = "SELECT COUNT(*) FROM config_delivery";
    COUNT_JOBS = "SELECT COUNT(*) FROM job";
    COUNT_SOURCES = "SELECT COUNT(*) FROM log_source";
    COUNT_CHUNKS = "SELECT COUNT(*) FROM log_chunk";
    COUNT_UNREGISTERED = "SELECT COUNT(*) FROM unregistered_lines";
    COUNT_TOP_URLS = "SELECT COUNT(*) FROM top_urls";
    COUNT_ALARMS = "SELECT COUNT(*) FROM alarm";
    COUNT_BLOCKS = "SELECT COUNT(*) FROM traffic_block WHERE part = $1";
    ALLOWANCE = "SELECT since, remaining FROM pruning WHERE kind = $1";
    SET_ALLOWANCE = "INSERT INTO pruning (kind, since, remaining) VALUES ($1, $2, $3) \
         ON CONFLICT (kind) DO UPDATE SET since = excluded.since, remaining = excluded.remaining";
    MARK = "SELECT seen, hold_until FROM clock_mark WHERE id = 1";
    SET_MARK = "INSERT INTO clock_mark (id, seen, hold_until) VALUES (1, $1, $2) \
         ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, hold_until = excluded.hold_until";
}

impl FromRow for Allowance {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { since: row.get("since")?, left: row.get("remaining")? })
    }
}

impl FromRow for ClockMark {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { seen: row.get("seen")?, hold_until: row.optional("hold_until")? })
    }
}

#[async_trait]
impl PruningRepository for Transaction {
    async fn count(&mut self, kind: Prunable) -> StorageResult<i64> {
        let rows =
            async |work: &mut Self, statement: Statement| work.connection.one(statement, values![]).await;
        let part = match kind {
            Prunable::Nodes => return rows(self, COUNT_NODES).await,
            Prunable::Deliveries => return rows(self, COUNT_DELIVERIES).await,
            Prunable::Jobs => return rows(self, COUNT_JOBS).await,
            Prunable::LogSources => return rows(self, COUNT_SOURCES).await,
            Prunable::LogChunks => return rows(self, COUNT_CHUNKS).await,
            Prunable::UnregisteredLines => return rows(self, COUNT_UNREGISTERED).await,
            Prunable::TopUrls => return rows(self, COUNT_TOP_URLS).await,
            Prunable::Alarms => return rows(self, COUNT_ALARMS).await,
            Prunable::FluxBlocks => BlockKind::Flux,
            Prunable::CountBlocks => BlockKind::Counts,
            Prunable::CityBlocks => BlockKind::Cities,
        };
        self.connection.one(COUNT_BLOCKS, values![part.id()]).await
    }

    async fn allowance(&mut self, kind: Prunable) -> StorageResult<Option<Allowance>> {
        self.connection.optional(ALLOWANCE, values![kind.id()]).await
    }

    async fn set_allowance(&mut self, kind: Prunable, allowance: &Allowance) -> StorageResult<()> {
        let values = values![kind.id(), allowance.since, allowance.left];
        self.connection.execute(SET_ALLOWANCE, values).await.map(|_| ())
    }

    async fn clock_mark(&mut self) -> StorageResult<Option<ClockMark>> {
        self.connection.optional(MARK, values![]).await
    }

    async fn set_clock_mark(&mut self, mark: &ClockMark) -> StorageResult<()> {
        self.connection.execute(SET_MARK, values![mark.seen, mark.hold_until]).await.map(|_| ())
    }
}
