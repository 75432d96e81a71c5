//! Threshold repository: the table `threshold`.

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{Share, Threshold, ThresholdRepository};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    PUT = "INSERT INTO threshold (account_id, domain, bandwidth, error_ratio, hit_ratio, min_requests, changed) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (account_id, domain) DO UPDATE \
         SET bandwidth = excluded.bandwidth, error_ratio = excluded.error_ratio, \
         hit_ratio = excluded.hit_ratio, min_requests = excluded.min_requests, changed = excluded.changed";
    FIND = "SELECT * FROM threshold WHERE account_id = $1 AND domain = $2";
    OF_ACCOUNT = "SELECT * FROM threshold WHERE account_id = $1";
    ACCOUNTS = "SELECT DISTINCT account_id FROM threshold ORDER BY account_id";
    DELETE = "DELETE FROM threshold WHERE account_id = $1 AND domain = $2";
}

impl FromRow for Threshold {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            account_id: row.get("account_id")?,
            domain: row.get("domain")?,
            bandwidth: row.optional("bandwidth")?,
            error_ratio: row.optional("error_ratio")?.map(Share),
            hit_ratio: row.optional("hit_ratio")?.map(Share),
            min_requests: row.get("min_requests")?,
            changed: row.get("changed")?,
        })
    }
}

#[async_trait]
impl ThresholdRepository for Transaction {
    async fn put(&mut self, threshold: &Threshold) -> StorageResult<()> {
        let &Threshold { account_id, bandwidth, error_ratio, hit_ratio, min_requests, changed, .. } =
            threshold;
        let millionths = |share: Option<Share>| share.map(|Share(millionths)| millionths);
        let values = values![
            account_id,
            &threshold.domain,
            bandwidth,
            millionths(error_ratio),
            millionths(hit_ratio),
            min_requests,
            changed
        ];
        self.connection.execute(PUT, values).await.map(|_| ())
    }

    async fn find(&mut self, account_id: AccountId, domain: &str) -> StorageResult<Option<Threshold>> {
        self.connection.optional(FIND, values![account_id, domain]).await
    }

    async fn of_account(&mut self, account_id: AccountId) -> StorageResult<Vec<Threshold>> {
        let mut found: Vec<Threshold> = self.connection.all(OF_ACCOUNT, values![account_id]).await?;
        found.sort_unstable_by(|one, other| one.domain.cmp(&other.domain));
        Ok(found)
    }

    async fn accounts(&mut self) -> StorageResult<Vec<AccountId>> {
        self.connection.all(ACCOUNTS, values![]).await
    }

    async fn delete(&mut self, account_id: AccountId, domain: &str) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![account_id, domain]).await? > 0)
    }
}
