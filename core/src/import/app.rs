//! Import of apps.

use super::document::AppRecord;
use super::row_id::RowKind;
use super::transaction::ImportTransaction;
use crate::account::Entry;
use crate::config::{App, AppId, check_app_name};
use crate::{Epoch, Result};

impl ImportTransaction<'_> {
    /// Imports apps. The caller holds the lock on the accounts.
    pub(super) async fn import_apps(&mut self, records: &[AppRecord]) -> Result<()> {
        let mut ids = self.row_ids(RowKind::Apps, records.iter().map(|record| record.id)).await?;
        for place in ids.order() {
            let AppRecord { app, app_type, name, charger, create_time, .. } = records[place.index].clone();
            let create_time = self.time(place, "create_time", create_time)?;
            let (id, epoch) = (AppId::UNSAVED, Epoch::default());
            let app = App { id, app, app_type, name, charger, create_time, epoch, revision: 0 };
            check_app_name(&app.app).and_then(|()| app.check()).map_err(|error| place.refused(error))?;
            if let Some(known) = self.work.apps().by_name(&app.app).await? {
                let members = [
                    ("app_type", known.app_type == app.app_type),
                    ("name", known.name == app.name),
                    ("charger", known.charger == app.charger),
                ];
                self.skip_equal(place, format_args!("the app {}", app.app), &members)?;
                continue;
            }
            self.reserve(&mut ids, place).await?;
            let inserted = self.work.apps().insert(&app).await?;
            let id = inserted.ok_or_else(|| place.conflict("the app is taken"))?;
            self.record(Entry::new("app.import", &*app.app).new_digest(app.digest())).await?;
            self.imported(&mut ids, place, id.0);
        }
        Ok(())
    }
}
