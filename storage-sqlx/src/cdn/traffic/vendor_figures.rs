//! Vendor figures repository: the table `vendor_figures`.

use async_trait::async_trait;
use pilothouse_core::cdn::{VendorFigures, VendorFiguresRepository};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    PUT = "INSERT INTO vendor_figures (cdn, known_until, is_estimated, pulled_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (cdn) DO UPDATE SET known_until = excluded.known_until, \
         is_estimated = excluded.is_estimated, pulled_at = excluded.pulled_at";
    FIND = "SELECT * FROM vendor_figures WHERE cdn = $1";
}

impl FromRow for VendorFigures {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            cdn: row.get("cdn")?,
            known_until: row.get("known_until")?,
            is_estimated: row.get("is_estimated")?,
            pulled_at: row.get("pulled_at")?,
        })
    }
}

#[async_trait]
impl VendorFiguresRepository for Transaction {
    async fn put(&mut self, figures: &VendorFigures) -> StorageResult<()> {
        let &VendorFigures { known_until, is_estimated, pulled_at, .. } = figures;
        let values = values![&figures.cdn, known_until, is_estimated, pulled_at];
        self.connection.execute(PUT, values).await.map(|_| ())
    }

    async fn find(&mut self, cdn: &str) -> StorageResult<Option<VendorFigures>> {
        self.connection.optional(FIND, values![cdn]).await
    }
}
