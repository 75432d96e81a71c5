//! Customer repository: the tables `customer` and `customer_cdn`.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{Cdn, CdnId, Customer, CustomerOverview, CustomerRepository};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::{ListStatements, of_ids, statements};
use crate::transaction::Transaction;
use crate::value::{ids, values};

statements! {
    INSERT = "INSERT INTO customer (account_id, password, operations, version) VALUES ($1, $2, $3, 1) \
         ON CONFLICT DO NOTHING";
    FIND = "SELECT customer.*, account.mail FROM customer JOIN account ON account.id = account_id \
         WHERE account_id = $1";
    UPDATE = "UPDATE customer SET password = $1, operations = $2, version = version + 1 \
         WHERE account_id = $3 AND version = $4";
    DELETE = "DELETE FROM customer WHERE account_id = $1";
    CDNS =
        "SELECT id, COALESCE(alias, name) AS name FROM cdn JOIN customer_cdn ON cdn_id = id \
         WHERE account_id = $1 ORDER BY id";
    CDNS_OF: pair = of_ids!(
        "SELECT account_id, id, COALESCE(alias, name) AS name FROM cdn JOIN customer_cdn ON cdn_id = id WHERE account_id",
        "ORDER BY account_id, id"
    );
    MAP = "INSERT INTO customer_cdn (account_id, cdn_id, alias) VALUES ($1, $2, $3) \
         ON CONFLICT (account_id, cdn_id) DO UPDATE SET alias = excluded.alias";
}

static LIST: LazyLock<ListStatements> = LazyLock::new(|| {
    let domains = "SELECT COUNT(DISTINCT name) FROM domain_holder \
         WHERE domain_holder.account_id = customer.account_id";
    let columns = format!("customer.*, account.mail, ({domains}) AS domains");
    let from = "customer JOIN account ON account.id = customer.account_id";
    let name = concat!(module_path!(), "::LIST");
    ListStatements::new(name, (&columns, from, "customer.account_id"), "TRUE", 0)
});

impl FromRow for CustomerOverview {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { customer: Customer::from_row(row)?, cdns: Vec::new(), domains: row.get("domains")? })
    }
}

/// A cdn that a customer is mapped to.
struct MappedCdn {
    account_id: AccountId,
    cdn: Cdn,
}

impl FromRow for MappedCdn {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { account_id: row.get("account_id")?, cdn: Cdn::from_row(row)? })
    }
}

impl FromRow for Customer {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            account_id: row.get("account_id")?,
            mail: row.get("mail")?,
            password: row.get("password")?,
            operations: row.get("operations")?,
            version: row.get("version")?,
        })
    }
}

#[async_trait]
impl CustomerRepository for Transaction {
    async fn insert(&mut self, customer: &Customer) -> StorageResult<bool> {
        let Customer { account_id, password, operations, .. } = customer;
        Ok(self.connection.execute(INSERT, values![*account_id, password, *operations]).await? > 0)
    }

    async fn list(&mut self, page: Page) -> StorageResult<Vec<CustomerOverview>> {
        let values = values![page.start, page.before, page.count];
        let mut rows: Vec<CustomerOverview> = self.connection.all(LIST.page(page.order), values).await?;
        let accounts: Vec<AccountId> = rows.iter().map(|row| row.customer.account_id).collect();
        let mapped: Vec<MappedCdn> = self.connection.all(CDNS_OF, values![ids(&accounts)]).await?;
        let mut cdns: HashMap<AccountId, Vec<Cdn>> = HashMap::new();
        for MappedCdn { account_id, cdn } in mapped {
            cdns.entry(account_id).or_default().push(cdn);
        }
        for row in &mut rows {
            row.cdns = cdns.remove(&row.customer.account_id).unwrap_or_default();
        }
        Ok(rows)
    }

    async fn count(&mut self) -> StorageResult<u64> {
        self.connection.count(LIST.count(), values![0, i64::MAX]).await
    }

    async fn find(&mut self, account_id: AccountId) -> StorageResult<Option<Customer>> {
        self.connection.optional(FIND, values![account_id]).await
    }

    async fn update(&mut self, customer: &Customer) -> StorageResult<bool> {
        let Customer { account_id, password, operations, version, .. } = customer;
        let values = values![password, *operations, *account_id, *version];
        Ok(self.connection.execute(UPDATE, values).await? > 0)
    }

    async fn delete(&mut self, account_id: AccountId) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![account_id]).await? > 0)
    }

    async fn cdns(&mut self, account_id: AccountId) -> StorageResult<Vec<Cdn>> {
        self.connection.all(CDNS, values![account_id]).await
    }

    async fn map(&mut self, account_id: AccountId, cdn_id: CdnId, alias: Option<&str>) -> StorageResult<()> {
        self.connection.execute(MAP, values![account_id, cdn_id, alias]).await.map(|_| ())
    }
}
