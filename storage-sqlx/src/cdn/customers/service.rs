//! Service repository: the table `cdn_services`.

use async_trait::async_trait;
use pilothouse_core::cdn::{CdnId, CdnServiceRepository};
use pilothouse_core::ports::{ServedDomain, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    CLEAR = "DELETE FROM cdn_services WHERE cdn_id = $1";
    INSERT = "INSERT INTO cdn_services (cdn_id, domain, group_name, service) VALUES ($1, $2, $3, $4)";
    OF_CDN = "SELECT * FROM cdn_services WHERE cdn_id = $1 ORDER BY domain";
}

impl FromRow for ServedDomain {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { domain: row.get("domain")?, group: row.get("group_name")?, service: row.get("service")? })
    }
}

#[async_trait]
impl CdnServiceRepository for Transaction {
    async fn replace(&mut self, cdn_id: CdnId, served: &[ServedDomain]) -> StorageResult<()> {
        self.connection.execute(CLEAR, values![cdn_id]).await?;
        for ServedDomain { domain, group, service } in served {
            self.connection.execute(INSERT, values![cdn_id, domain, group, service]).await?;
        }
        Ok(())
    }

    async fn of_cdn(&mut self, cdn_id: CdnId) -> StorageResult<Vec<ServedDomain>> {
        let mut served = self.connection.all::<ServedDomain>(OF_CDN, values![cdn_id]).await?;
        // Databases may order texts by a language.
        served.sort_unstable();
        Ok(served)
    }
}
