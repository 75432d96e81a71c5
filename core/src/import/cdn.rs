//! Import of cdns.

use super::document::CdnRecord;
use super::row_id::RowKind;
use super::transaction::ImportTransaction;
use crate::Result;
use crate::account::{Entry, digest};
use crate::cdn::{check_cdn_name, understood_cdn};

impl ImportTransaction<'_> {
    /// Imports cdns. The caller holds the lock on them. One that the settings name is there already, under its own id.
    pub(super) async fn import_cdns(&mut self, records: &[CdnRecord]) -> Result<()> {
        let mut ids = self.row_ids(RowKind::Cdns, records.iter().map(|record| record.id)).await?;
        for place in ids.order() {
            let name = &records[place.index].name;
            check_cdn_name("name", name).map_err(|error| place.refused(error))?;
            if let Some(known) = understood_cdn(&mut *self.work, name).await? {
                let has_wanted = records[place.index].id.is_none_or(|wanted| wanted == known.id.0);
                self.skip_equal(place, format_args!("the cdn {name}"), &[])?;
                if !has_wanted {
                    self.note(place, format_args!("the cdn {name} has the id {}", known.id));
                }
                continue;
            }
            self.reserve(&mut ids, place).await?;
            let inserted = self.work.cdns().insert(name).await?;
            let id = inserted.ok_or_else(|| place.conflict("the name is taken"))?;
            self.record(Entry::new("cdn.import", &**name).new_digest(digest(&[name]))).await?;
            self.imported(&mut ids, place, id.0);
        }
        Ok(())
    }
}
