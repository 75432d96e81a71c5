//! Repository of answers to requests with an idempotency key: the table `kept_answer`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::ports::StorageResult;
use pilothouse_core::{KeptAnswer, KeptAnswerRepository};

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    KEEP = "INSERT INTO kept_answer (account_id, key, digest, answer, at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT DO NOTHING";
    FIND = "SELECT * FROM kept_answer WHERE account_id = $1 AND key = $2";
    PRUNE = "DELETE FROM kept_answer WHERE at < $1";
}

impl FromRow for KeptAnswer {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            account: row.get("account_id")?,
            key: row.get("key")?,
            digest: row.get("digest")?,
            answer: row.get("answer")?,
            at: row.get("at")?,
        })
    }
}

#[async_trait]
impl KeptAnswerRepository for Transaction {
    async fn keep(&mut self, kept: &KeptAnswer) -> StorageResult<Option<KeptAnswer>> {
        let KeptAnswer { account, key, digest, answer, at } = kept;
        if self.connection.execute(KEEP, values![*account, key, digest, answer, *at]).await? > 0 {
            return Ok(None);
        }
        self.connection.optional(FIND, values![*account, key]).await
    }

    async fn prune(&mut self, before: DateTime<Utc>) -> StorageResult<()> {
        self.connection.execute(PRUNE, values![before]).await.map(|_| ())
    }
}
