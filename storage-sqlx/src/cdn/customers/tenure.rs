//! Repository of ended tenures: the table `domain_tenure`.

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{CdnId, Tenure, TenureRepository};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    INSERT = "INSERT INTO domain_tenure (cdn_id, name, since, until, domain_id, account_id) \
         VALUES ($1, $2, $3, $4, $5, $6)";
    LAST_END = "SELECT until FROM domain_tenure WHERE cdn_id = $1 AND name = $2 ORDER BY since DESC LIMIT 1";
    OF_CDN = "SELECT * FROM domain_tenure WHERE cdn_id = $1 AND until > $2 ORDER BY domain_id, since";
    OF_ACCOUNT = "SELECT * FROM domain_tenure WHERE account_id = $1 AND until > $2 ORDER BY domain_id, since";
}

impl FromRow for Tenure {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            domain_id: row.get("domain_id")?,
            account_id: row.get("account_id")?,
            cdn_id: row.get("cdn_id")?,
            name: row.get("name")?,
            since: row.get("since")?,
            until: row.get("until")?,
        })
    }
}

#[async_trait]
impl TenureRepository for Transaction {
    async fn insert(&mut self, tenure: &Tenure) -> StorageResult<()> {
        let &Tenure { domain_id, account_id, cdn_id, ref name, since, until } = tenure;
        let values = values![cdn_id, name, since, until, domain_id, account_id];
        self.connection.execute(INSERT, values).await.map(|_| ())
    }

    async fn last_end(&mut self, cdn_id: CdnId, name: &str) -> StorageResult<Option<i64>> {
        self.connection.optional(LAST_END, values![cdn_id, name]).await
    }

    async fn of_cdn(&mut self, cdn_id: CdnId, after: i64) -> StorageResult<Vec<Tenure>> {
        self.connection.all(OF_CDN, values![cdn_id, after]).await
    }

    async fn of_account(&mut self, account_id: AccountId, after: i64) -> StorageResult<Vec<Tenure>> {
        self.connection.all(OF_ACCOUNT, values![account_id, after]).await
    }
}
