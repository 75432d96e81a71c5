//! Agent repository: the table `agent`.

use async_trait::async_trait;
use pilothouse_core::ops::{Agent, AgentFacts, AgentRepository, BatchId, MachineNumber};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::{Value, values};

statements! {
    FIND = "SELECT * FROM agent WHERE machine = $1";
    BY_TOKEN = "SELECT * FROM agent WHERE token = $1 OR next_token = $1";
    BY_CODE = "SELECT * FROM agent WHERE code = $1";
    SAVE = "INSERT INTO agent (machine, token, code, code_expires, instance, last_seen, duplicate_seen, hostname, os, \
         kernel, version, addresses, next_token) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         ON CONFLICT (machine) DO UPDATE SET token = excluded.token, code = excluded.code, \
         code_expires = excluded.code_expires, instance = excluded.instance, last_seen = excluded.last_seen, \
         duplicate_seen = excluded.duplicate_seen, hostname = excluded.hostname, os = excluded.os, \
         kernel = excluded.kernel, version = excluded.version, addresses = excluded.addresses, \
         next_token = excluded.next_token";
    REDEEM = "UPDATE agent SET token = $2, code = $3, code_expires = $4, instance = $5, last_seen = $6, \
         duplicate_seen = $7, hostname = $8, os = $9, kernel = $10, version = $11, addresses = $12, \
         next_token = $13 WHERE machine = $1 AND code = $14";
    SET_NEXT_TOKEN = "UPDATE agent SET next_token = $2 WHERE token = $1";
    PROMOTE_TOKEN = "UPDATE agent SET token = next_token, next_token = NULL WHERE next_token = $1";
    TOUCH = "UPDATE agent SET instance = $2, last_seen = $3, duplicate_seen = $4 WHERE machine = $1 \
         AND (token = $5 OR next_token = $5)";
    OF_BATCH = "SELECT * FROM agent WHERE machine IN (SELECT machine FROM file_order \
         JOIN task ON task.task_id = file_order.task_id WHERE task.batch = $1) ORDER BY machine";
    DELETE = "DELETE FROM agent WHERE machine = $1";
}

impl FromRow for Agent {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            machine: row.get("machine")?,
            token: row.optional("token")?,
            next_token: row.optional("next_token")?,
            code: row.optional("code")?,
            code_expires: row.optional("code_expires")?,
            instance: row.get("instance")?,
            last_seen: row.optional("last_seen")?,
            duplicate_seen: row.optional("duplicate_seen")?,
            facts: AgentFacts {
                hostname: row.get("hostname")?,
                os: row.get("os")?,
                kernel: row.get("kernel")?,
                version: row.get("version")?,
                addresses: row.get("addresses")?,
            },
        })
    }
}

/// Every column, in the order of the statements.
fn columns(agent: &Agent) -> [Value<'_>; 13] {
    let Agent { machine, token, next_token, code, code_expires, instance, last_seen, duplicate_seen, facts } =
        agent;
    let AgentFacts { hostname, os, kernel, version, addresses } = facts;
    [
        Value::from(*machine),
        Value::from(token.as_ref().map(|digest| &digest[..])),
        Value::from(code.as_ref().map(|digest| &digest[..])),
        Value::from(*code_expires),
        Value::from(instance),
        Value::from(*last_seen),
        Value::from(*duplicate_seen),
        Value::from(hostname),
        Value::from(os),
        Value::from(kernel),
        Value::from(version),
        Value::from(addresses),
        Value::from(next_token.as_ref().map(|digest| &digest[..])),
    ]
}

#[async_trait]
impl AgentRepository for Transaction {
    async fn find(&mut self, machine: MachineNumber) -> StorageResult<Option<Agent>> {
        self.connection.optional(FIND, values![machine]).await
    }

    async fn by_token(&mut self, digest: &[u8; 32]) -> StorageResult<Option<Agent>> {
        self.connection.optional(BY_TOKEN, values![&digest[..]]).await
    }

    async fn by_code(&mut self, digest: &[u8; 32]) -> StorageResult<Option<Agent>> {
        self.connection.optional(BY_CODE, values![&digest[..]]).await
    }

    async fn save(&mut self, agent: &Agent) -> StorageResult<()> {
        self.connection.execute(SAVE, &columns(agent)).await.map(|_| ())
    }

    async fn redeem(&mut self, code: &[u8; 32], agent: &Agent) -> StorageResult<bool> {
        let mut values = columns(agent).to_vec();
        values.push(Value::from(&code[..]));
        Ok(self.connection.execute(REDEEM, &values).await? > 0)
    }

    async fn set_next_token(&mut self, token: &[u8; 32], next: &[u8; 32]) -> StorageResult<bool> {
        Ok(self.connection.execute(SET_NEXT_TOKEN, values![&token[..], &next[..]]).await? > 0)
    }

    async fn promote_token(&mut self, next: &[u8; 32]) -> StorageResult<bool> {
        Ok(self.connection.execute(PROMOTE_TOKEN, values![&next[..]]).await? > 0)
    }

    async fn touch(&mut self, token: &[u8; 32], agent: &Agent) -> StorageResult<bool> {
        let Agent { machine, instance, last_seen, duplicate_seen, .. } = agent;
        let values = values![*machine, instance, *last_seen, *duplicate_seen, &token[..]];
        Ok(self.connection.execute(TOUCH, values).await? > 0)
    }

    async fn of_batch(&mut self, batch: BatchId) -> StorageResult<Vec<Agent>> {
        self.connection.all(OF_BATCH, values![&batch.0.as_bytes()[..]]).await
    }

    async fn delete(&mut self, machine: MachineNumber) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![machine]).await? > 0)
    }
}
