//! Repository of access tokens: the table `token`.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::account::{
    Account, AccountId, Groups, NewToken, Scope, Token, TokenId, TokenLimits, TokenRepository,
};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::{Value, values};

// Tokens of greater scopes than the last of `Scope::ALL` are of a later version beside this one: they open nothing here, and
// must not keep their account from logging in.
statements! {
    INSERT = "INSERT INTO token (account_id, scope, digest, created, expires, address, name, group_bits, apps, \
         profiles, opens_cdn) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id";
    RESOLVE = "SELECT token.id AS token_id, token.name AS token_name, account_id, scope, group_bits, apps, profiles, \
         opens_cdn, created, expires, last_used, address, account.* \
         FROM token JOIN account ON account.id = account_id WHERE digest = $1 AND scope <= 4";
    FIND = "SELECT token.id AS token_id, token.name AS token_name, account_id, scope, group_bits, apps, profiles, \
         opens_cdn, created, expires, last_used, address, account.* \
         FROM token JOIN account ON account.id = account_id WHERE token.id = $1 AND scope <= 4";
    OF_ACCOUNT = "SELECT id AS token_id, name AS token_name, account_id, scope, group_bits, apps, profiles, \
         opens_cdn, created, expires, last_used, address \
         FROM token WHERE account_id = $1 AND scope <= 4 ORDER BY id";
    DELETE = "DELETE FROM token WHERE account_id = $1 AND id = $2";
    DELETE_OF_ACCOUNT = "DELETE FROM token WHERE account_id = $1 AND ($2 IS NULL OR scope = $2)";
    TOUCH = "WITH used (id, at) AS (";
    PRUNE = "DELETE FROM token WHERE expires <= $1";
}

const TOUCH_TAIL: &str = ") UPDATE token SET last_used = used.at FROM used WHERE token.id = used.id";

impl FromRow for Token {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let scope = Scope::from_id(row.get("scope")?).ok_or(StorageError::Corrupt { what: "scope" })?;
        Ok(Self {
            id: row.get("token_id")?,
            account: row.get("account_id")?,
            scope,
            name: row.get("token_name")?,
            limits: if scope == Scope::Api { Some(Arc::new(limits(row)?)) } else { None },
            created: row.get("created")?,
            expires: row.get("expires")?,
            last_used: row.optional("last_used")?,
            address: row.optional("address")?,
        })
    }
}

impl FromRow for (Token, Account) {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok((Token::from_row(row)?, Account::from_row(row)?))
    }
}

fn limits(row: &Row) -> StorageResult<TokenLimits> {
    let groups = Groups::from_bits(row.get("group_bits")?);
    Ok(TokenLimits {
        groups: groups.ok_or(StorageError::Corrupt { what: "token's groups" })?,
        apps: row.optional::<String>("apps")?.as_deref().map(names),
        profiles: row.optional::<String>("profiles")?.as_deref().map(names),
        cdn: row.get("opens_cdn")?,
    })
}

/// Names as the table has them, with commas between them.
fn names(stored: &str) -> Vec<String> {
    stored.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[async_trait]
impl TokenRepository for Transaction {
    async fn insert(&mut self, token: &NewToken) -> StorageResult<TokenId> {
        let NewToken { account, scope, name, limits, digest, created, expires, address } = token;
        let TokenLimits { groups, apps, profiles, cdn } = limits.as_deref().cloned().unwrap_or_default();
        let [apps, profiles] = [apps, profiles].map(|names| names.map(|names| names.join(",")));
        let values = values![
            *account,
            scope.id(),
            &digest[..],
            *created,
            *expires,
            *address,
            name,
            groups.bits(),
            apps,
            profiles,
            cdn
        ];
        self.connection.one(INSERT, values).await
    }

    async fn resolve(&mut self, digest: &[u8; 32]) -> StorageResult<Option<(Token, Account)>> {
        self.connection.optional(RESOLVE, values![&digest[..]]).await
    }

    async fn find(&mut self, id: TokenId) -> StorageResult<Option<(Token, Account)>> {
        self.connection.optional(FIND, values![id]).await
    }

    async fn of_account(&mut self, account: AccountId) -> StorageResult<Vec<Token>> {
        self.connection.all(OF_ACCOUNT, values![account]).await
    }

    async fn delete(&mut self, account: AccountId, id: TokenId) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![account, id]).await? > 0)
    }

    async fn delete_of_account(&mut self, account: AccountId, scope: Option<Scope>) -> StorageResult<()> {
        let values = values![account, scope.map(Scope::id)];
        self.connection.execute(DELETE_OF_ACCOUNT, values).await.map(|_| ())
    }

    async fn touch(&mut self, used: &[(TokenId, DateTime<Utc>)]) -> StorageResult<()> {
        // One time for each, the last, whatever the order in which the database takes them.
        let used: BTreeMap<TokenId, DateTime<Utc>> = used.iter().copied().collect();
        let row = |(id, at): (TokenId, DateTime<Utc>)| [id.into(), at.into()];
        let values: Vec<Value<'_>> = used.into_iter().flat_map(row).collect();
        self.connection.execute_rows(TOUCH, TOUCH_TAIL, 2, &values).await.map(|_| ())
    }

    async fn prune(&mut self, now: DateTime<Utc>) -> StorageResult<()> {
        self.connection.execute(PRUNE, values![now]).await.map(|_| ())
    }
}
