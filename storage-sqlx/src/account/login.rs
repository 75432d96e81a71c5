//! Failed log-ins.

use std::net::IpAddr;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::account::LoginFailureRepository;
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;
use crate::value::{time, values};

const INSERT: &str = "INSERT INTO login_failure (name, address, at) VALUES ($1, $2, $3)";
const COUNT: &str = "SELECT COUNT(*), MIN(at) FROM login_failure \
     WHERE ($1 IS NULL OR name = $1) AND ($2 IS NULL OR address = $2) AND at > $3";
const PRUNE: &str = "DELETE FROM login_failure WHERE at <= $1";

#[async_trait]
impl LoginFailureRepository for Transaction {
    async fn insert(&mut self, name: &str, address: IpAddr, at: DateTime<Utc>) -> StorageResult<()> {
        self.connection.execute(INSERT, values![name, address, at]).await.map(|_| ())
    }

    async fn count(
        &mut self,
        name: Option<&str>,
        address: Option<IpAddr>,
        since: DateTime<Utc>,
    ) -> StorageResult<u64> {
        let (count, _): (i64, Option<i64>) =
            self.connection.one(COUNT, values![name, address, since]).await?;
        Ok(count.unsigned_abs())
    }

    async fn oldest(
        &mut self,
        name: Option<&str>,
        address: Option<IpAddr>,
        since: DateTime<Utc>,
    ) -> StorageResult<Option<DateTime<Utc>>> {
        let (_, oldest): (i64, Option<i64>) =
            self.connection.one(COUNT, values![name, address, since]).await?;
        oldest.map(time).transpose()
    }

    async fn prune(&mut self, before: DateTime<Utc>) -> StorageResult<()> {
        self.connection.execute(PRUNE, values![before]).await.map(|_| ())
    }
}
