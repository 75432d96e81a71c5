//! Vendor figures repository over the state in memory.

use async_trait::async_trait;
use imbl::OrdMap;
use pilothouse_core::cdn::{VendorFigures, VendorFiguresRepository};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

/// Rows by the name of their cdn.
pub(crate) type VendorFigureRows = OrdMap<String, VendorFigures>;

#[async_trait]
impl VendorFiguresRepository for Transaction {
    async fn put(&mut self, figures: &VendorFigures) -> StorageResult<()> {
        self.state_mut()?.cdn.vendor_figures.insert(figures.cdn.clone(), figures.clone());
        Ok(())
    }

    async fn find(&mut self, cdn: &str) -> StorageResult<Option<VendorFigures>> {
        Ok(self.state().cdn.vendor_figures.get(cdn).cloned())
    }
}
