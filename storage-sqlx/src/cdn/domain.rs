//! Domains.

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{CdnId, Domain, DomainId, DomainRepository, DomainState};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::storage::Transaction;
use crate::value::values;

const INSERT: &str =
    "INSERT INTO domain (account_id, cdn_id, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
const HOLD: &str = "INSERT INTO domain_holder (cdn_id, name, domain_id, account_id, state) \
     SELECT cdn_id, name, id, account_id, 0 FROM domain WHERE account_id = $1 AND cdn_id = $2 AND name = $3 \
     ON CONFLICT DO NOTHING";
const RELEASE: &str = "DELETE FROM domain_holder WHERE domain_id = $1";
const OF_ACCOUNT: &str = "SELECT * FROM domain_holder WHERE account_id = $1 AND ($2 IS NULL OR cdn_id = $2) \
     ORDER BY domain_id";
const OF_CDN: &str = "SELECT * FROM domain_holder WHERE cdn_id = $1 ORDER BY domain_id";
const FIND: &str = "SELECT * FROM domain_holder WHERE cdn_id = $1 AND name = $2";
const BY_ID: &str = "SELECT * FROM domain_holder WHERE domain_id = $1";
const SET_STATE: &str = "UPDATE domain_holder SET state = $1 WHERE domain_id = $2";

#[derive(FromRow)]
struct DomainRow {
    domain_id: i64,
    cdn_id: i64,
    account_id: i64,
    name: String,
    state: i64,
}

impl TryFrom<DomainRow> for Domain {
    type Error = StorageError;

    fn try_from(row: DomainRow) -> StorageResult<Self> {
        let DomainRow { domain_id: id, cdn_id, account_id, name, state } = row;
        let state = DomainState::from_id(state).ok_or(StorageError::Corrupt { what: "domain state" })?;
        Ok(Self { id, cdn_id, account_id, name, state })
    }
}

#[async_trait]
impl DomainRepository for Transaction {
    async fn claim(&mut self, account_id: AccountId, cdn_id: CdnId, name: &str) -> StorageResult<bool> {
        let values = values![account_id, cdn_id, name];
        self.connection.execute(INSERT, values).await?;
        if self.connection.execute(HOLD, values).await? > 0 {
            return Ok(true);
        }
        let held = DomainRepository::find(self, cdn_id, name).await?;
        Ok(held.is_some_and(|held| held.account_id == account_id))
    }

    async fn release(&mut self, ids: &[DomainId]) -> StorageResult<()> {
        for id in ids {
            self.connection.execute(RELEASE, values![*id]).await?;
        }
        Ok(())
    }

    async fn of_account(&mut self, account_id: AccountId, cdn: Option<CdnId>) -> StorageResult<Vec<Domain>> {
        let rows = self.connection.all::<DomainRow>(OF_ACCOUNT, values![account_id, cdn]).await?;
        rows.into_iter().map(Domain::try_from).collect()
    }

    async fn of_cdn(&mut self, cdn_id: CdnId) -> StorageResult<Vec<Domain>> {
        let rows = self.connection.all::<DomainRow>(OF_CDN, values![cdn_id]).await?;
        rows.into_iter().map(Domain::try_from).collect()
    }

    async fn find(&mut self, cdn_id: CdnId, name: &str) -> StorageResult<Option<Domain>> {
        let found = self.connection.optional::<DomainRow>(FIND, values![cdn_id, name]).await?;
        found.map(Domain::try_from).transpose()
    }

    async fn by_ids(&mut self, ids: &[DomainId]) -> StorageResult<Vec<Domain>> {
        let mut domains = Vec::new();
        for id in ids {
            let found = self.connection.optional::<DomainRow>(BY_ID, values![*id]).await?;
            domains.extend(found.map(Domain::try_from).transpose()?);
        }
        Ok(domains)
    }

    async fn set_states(&mut self, states: &[(DomainId, DomainState)]) -> StorageResult<()> {
        for (id, state) in states {
            self.connection.execute(SET_STATE, values![state.id(), *id]).await?;
        }
        Ok(())
    }
}
