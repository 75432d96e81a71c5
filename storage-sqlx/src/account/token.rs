//! Access tokens.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::account::{Account, AccountId, NewToken, Scope, Token, TokenId, TokenRepository};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use super::account::AccountRow;
use crate::storage::Transaction;
use crate::value::{address, time, values};

const INSERT: &str = "INSERT INTO token (account_id, scope, digest, created, expires, address) \
     VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";
const RESOLVE: &str = "SELECT token.id AS token_id, account_id, scope, created, expires, last_used, address, account.* \
     FROM token JOIN account ON account.id = account_id WHERE digest = $1";
const OF_ACCOUNT: &str = "SELECT id AS token_id, account_id, scope, created, expires, last_used, address \
     FROM token WHERE account_id = $1 ORDER BY id";
const DELETE: &str = "DELETE FROM token WHERE account_id = $1 AND id = $2";
const DELETE_OF_ACCOUNT: &str = "DELETE FROM token WHERE account_id = $1 AND ($2 IS NULL OR scope = $2)";
const TOUCH: &str = "UPDATE token SET last_used = $2 WHERE id = $1";
const PRUNE: &str = "DELETE FROM token WHERE expires <= $1";

#[derive(FromRow)]
struct TokenRow {
    token_id: i64,
    account_id: i64,
    scope: i64,
    created: i64,
    expires: i64,
    last_used: Option<i64>,
    address: Option<String>,
}

#[derive(FromRow)]
struct ResolvedRow {
    #[sqlx(flatten)]
    token: TokenRow,
    #[sqlx(flatten)]
    account: AccountRow,
}

impl TryFrom<TokenRow> for Token {
    type Error = StorageError;

    fn try_from(row: TokenRow) -> StorageResult<Self> {
        Ok(Self {
            id: row.token_id,
            account: row.account_id,
            scope: match row.scope {
                0 => Scope::Account,
                1 => Scope::Cdn,
                _ => return Err(StorageError::Corrupt { what: "scope" }),
            },
            created: time(row.created)?,
            expires: time(row.expires)?,
            last_used: row.last_used.map(time).transpose()?,
            address: row.address.as_deref().map(address).transpose()?,
        })
    }
}

fn scope_number(scope: Scope) -> i64 {
    match scope {
        Scope::Account => 0,
        Scope::Cdn => 1,
    }
}

#[async_trait]
impl TokenRepository for Transaction {
    async fn insert(&mut self, token: &NewToken) -> StorageResult<TokenId> {
        let &NewToken { account, scope, ref digest, created, expires, address } = token;
        let values = values![account, scope_number(scope), &digest[..], created, expires, address];
        let (id,): (i64,) = self.connection.one(INSERT, values).await?;
        Ok(id)
    }

    async fn resolve(&mut self, digest: &[u8; 32]) -> StorageResult<Option<(Token, Account)>> {
        let found: Option<ResolvedRow> = self.connection.optional(RESOLVE, values![&digest[..]]).await?;
        found.map(|row| Ok((row.token.try_into()?, row.account.try_into()?))).transpose()
    }

    async fn of_account(&mut self, account: AccountId) -> StorageResult<Vec<Token>> {
        let rows = self.connection.all::<TokenRow>(OF_ACCOUNT, values![account]).await?;
        rows.into_iter().map(Token::try_from).collect()
    }

    async fn delete(&mut self, account: AccountId, id: TokenId) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![account, id]).await? > 0)
    }

    async fn delete_of_account(&mut self, account: AccountId, scope: Option<Scope>) -> StorageResult<()> {
        let values = values![account, scope.map(scope_number)];
        self.connection.execute(DELETE_OF_ACCOUNT, values).await.map(|_| ())
    }

    async fn touch(&mut self, used: &[(TokenId, DateTime<Utc>)]) -> StorageResult<()> {
        for (id, at) in used {
            self.connection.execute(TOUCH, values![*id, *at]).await?;
        }
        Ok(())
    }

    async fn prune(&mut self, now: DateTime<Utc>) -> StorageResult<()> {
        self.connection.execute(PRUNE, values![now]).await.map(|_| ())
    }
}
