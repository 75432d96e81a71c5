//! Repository of failed log-ins: the table `login_failure`.

use std::net::IpAddr;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::account::LoginFailureRepository;
use pilothouse_core::ports::StorageResult;

use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

/// An aggregate over the failures of a name, of an address, or of both together.
macro_rules! matching {
    ($aggregate:literal) => {
        concat!(
            "SELECT ",
            $aggregate,
            " FROM login_failure WHERE ($1 IS NULL OR name = $1) AND ($2 IS NULL OR address = $2) AND at > $3 AND at <= $4"
        )
    };
}

statements! {
    INSERT = "INSERT INTO login_failure (name, address, at) VALUES ($1, $2, $3)";
    COUNT = matching!("COUNT(*)");
    OLDEST = matching!("MIN(at)");
    PRUNE = "DELETE FROM login_failure WHERE at <= $1 OR at > $2";
}

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
        until: DateTime<Utc>,
    ) -> StorageResult<u64> {
        let count: i64 = self.connection.one(COUNT, values![name, address, since, until]).await?;
        Ok(count.unsigned_abs())
    }

    async fn oldest(
        &mut self,
        name: Option<&str>,
        address: Option<IpAddr>,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> StorageResult<Option<DateTime<Utc>>> {
        self.connection.one(OLDEST, values![name, address, since, until]).await
    }

    async fn prune(&mut self, since: DateTime<Utc>, until: DateTime<Utc>) -> StorageResult<()> {
        self.connection.execute(PRUNE, values![since, until]).await.map(|_| ())
    }
}
