//! Domain repository: the tables `domain` and `domain_holder`.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{CdnId, Domain, DomainId, DomainRepository, DomainState};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::{of_ids, statements};
use crate::transaction::Transaction;
use crate::value::{Value, ids, values};

statements! {
    INSERT =
        "INSERT INTO domain (account_id, cdn_id, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    HOLD = "INSERT INTO domain_holder (cdn_id, name, domain_id, account_id, state) \
         SELECT cdn_id, name, id, account_id, 0 FROM domain WHERE account_id = $1 AND cdn_id = $2 AND name = $3 \
         ON CONFLICT DO NOTHING";
    RELEASE: pair = of_ids!("DELETE FROM domain_holder WHERE domain_id", "");
    OF_ACCOUNT = "SELECT * FROM domain_holder WHERE account_id = $1 AND ($2 IS NULL OR cdn_id = $2) \
         ORDER BY domain_id";
    OF_CDN = "SELECT * FROM domain_holder WHERE cdn_id = $1 ORDER BY domain_id";
    FIND = "SELECT * FROM domain_holder WHERE cdn_id = $1 AND name = $2";
    BY_IDS: pair = of_ids!("SELECT * FROM domain_holder WHERE domain_id", "");
    SET_STATES = "WITH change (id, state) AS (";
}

const SET_STATES_TAIL: &str =
    ") UPDATE domain_holder SET state = change.state FROM change WHERE domain_id = change.id";

impl FromRow for Domain {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let state = DomainState::from_id(row.get("state")?);
        Ok(Self {
            id: row.get("domain_id")?,
            cdn_id: row.get("cdn_id")?,
            account_id: row.get("account_id")?,
            name: row.get("name")?,
            state: state.ok_or(StorageError::Corrupt { what: "domain state" })?,
        })
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

    async fn release(&mut self, domains: &[DomainId]) -> StorageResult<()> {
        self.connection.execute(RELEASE, values![ids(domains)]).await.map(|_| ())
    }

    async fn of_account(&mut self, account_id: AccountId, cdn: Option<CdnId>) -> StorageResult<Vec<Domain>> {
        self.connection.all(OF_ACCOUNT, values![account_id, cdn]).await
    }

    async fn of_cdn(&mut self, cdn_id: CdnId) -> StorageResult<Vec<Domain>> {
        self.connection.all(OF_CDN, values![cdn_id]).await
    }

    async fn find(&mut self, cdn_id: CdnId, name: &str) -> StorageResult<Option<Domain>> {
        self.connection.optional(FIND, values![cdn_id, name]).await
    }

    async fn by_ids(&mut self, domains: &[DomainId]) -> StorageResult<Vec<Domain>> {
        let found: Vec<Domain> = self.connection.all(BY_IDS, values![ids(domains)]).await?;
        let found: HashMap<DomainId, Domain> = found.into_iter().map(|domain| (domain.id, domain)).collect();
        Ok(domains.iter().filter_map(|id| found.get(id).cloned()).collect())
    }

    async fn set_states(&mut self, states: &[(DomainId, DomainState)]) -> StorageResult<()> {
        // One state for each, the last, whatever the order in which the database takes them.
        let states: BTreeMap<DomainId, DomainState> = states.iter().copied().collect();
        let row = |(id, state): (DomainId, DomainState)| [id.into(), state.id().into()];
        let values: Vec<Value<'_>> = states.into_iter().flat_map(row).collect();
        self.connection.execute_rows(SET_STATES, SET_STATES_TAIL, 2, &values).await.map(|_| ())
    }
}
