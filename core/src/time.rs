//! The two clocks: the store's, which leases are compared with, and the server zone's calendar, which days of logs follow.

use chrono::{DateTime, NaiveDate, Utc};

use crate::{Pilothouse, Result};

impl Pilothouse {
    /// The store's clock, the only one that leases are compared against. In a transaction of its own: only those tell it,
    /// and those who come to read must not keep writers waiting.
    pub(crate) async fn store_time(&self) -> Result<DateTime<Utc>> {
        let mut work = self.storage().begin().await?;
        let now = work.now().await?;
        work.rollback().await?;
        Ok(now)
    }

    /// Today's date in the server's zone.
    pub(crate) fn today(&self) -> NaiveDate {
        self.clock().now().with_timezone(&self.settings().timezone).date_naive()
    }
}
