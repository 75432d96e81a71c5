//! Vendor log repository: the tables `vendor_log_pulls` and `vendor_log_files`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::cdn::{CdnId, VendorLogFile, VendorLogPull, VendorLogRepository};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    PUT = "INSERT INTO vendor_log_pulls (cdn_id, domain, domain_id, since, pulled_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (cdn_id, domain) DO UPDATE SET domain_id = excluded.domain_id, since = excluded.since, \
         pulled_at = excluded.pulled_at";
    OF_CDN = "SELECT * FROM vendor_log_pulls WHERE cdn_id = $1";
    INSERT = "INSERT INTO vendor_log_files (cdn_id, domain, name, begins) VALUES ($1, $2, $3, $4) \
         ON CONFLICT DO NOTHING";
    NAMES = "SELECT name FROM vendor_log_files WHERE cdn_id = $1 AND domain = $2";
    FORGET = "DELETE FROM vendor_log_files WHERE begins < $1";
}

impl FromRow for VendorLogPull {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            cdn_id: row.get("cdn_id")?,
            domain: row.get("domain")?,
            domain_id: row.get("domain_id")?,
            since: row.get("since")?,
            pulled_at: row.get("pulled_at")?,
        })
    }
}

#[async_trait]
impl VendorLogRepository for Transaction {
    async fn put(&mut self, pull: &VendorLogPull) -> StorageResult<()> {
        let &VendorLogPull { cdn_id, domain_id, since, pulled_at, .. } = pull;
        let values = values![cdn_id, &pull.domain, domain_id, since, pulled_at];
        self.connection.execute(PUT, values).await.map(|_| ())
    }

    async fn of_cdn(&mut self, cdn_id: CdnId) -> StorageResult<Vec<VendorLogPull>> {
        let mut pulls = self.connection.all::<VendorLogPull>(OF_CDN, values![cdn_id]).await?;
        // Postgres orders texts by the language of the database.
        pulls.sort_by(|one, other| one.domain.cmp(&other.domain));
        Ok(pulls)
    }

    async fn insert(&mut self, file: &VendorLogFile) -> StorageResult<bool> {
        let VendorLogFile { cdn_id, domain, name, from } = file;
        Ok(self.connection.execute(INSERT, values![*cdn_id, domain, name, *from]).await? == 1)
    }

    async fn names(&mut self, cdn_id: CdnId, domain: &str) -> StorageResult<Vec<String>> {
        self.connection.all(NAMES, values![cdn_id, domain]).await
    }

    async fn forget(&mut self, before: DateTime<Utc>) -> StorageResult<u64> {
        self.connection.execute(FORGET, values![before]).await
    }
}
