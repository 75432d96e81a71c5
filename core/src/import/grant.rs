//! Import of grants on apps.

use super::document::GrantRecord;
use super::place::Place;
use super::row_id::RowKind;
use super::transaction::{ImportTransaction, unknown};
use crate::account::Entry;
use crate::config::{ALL, Grant, GrantId, Permission, check_reach};
use crate::{Result, check_text};

impl ImportTransaction<'_> {
    /// Imports grants. The caller holds the lock on the accounts, under which nobody else gives or takes one.
    pub(super) async fn import_grants(&mut self, records: &[GrantRecord]) -> Result<()> {
        let mut ids = self.row_ids(RowKind::Grants, records.iter().map(|record| record.id)).await?;
        for place in ids.order() {
            let record = &records[place.index];
            let grant = self.grant(place, record).await?;
            let on = match &record.profile {
                Some(profile) => format!("{}/{profile}", record.app),
                None => record.app.clone(),
            };
            let name = format!("{on} of {}", record.account);
            let known = self.work.grants().list(grant.app).await?;
            let same = |known: &&Grant| known.account == grant.account && known.profile == grant.profile;
            if let Some(known) = known.iter().find(same) {
                let members = [("permission", known.permission == grant.permission)];
                self.skip_equal(place, format_args!("the grant on {name}"), &members)?;
                continue;
            }
            self.reserve(&mut ids, place).await?;
            let inserted = self.work.grants().insert(&grant).await?;
            let id =
                inserted.ok_or_else(|| place.conflict("the account has a grant on this app and profile"))?;
            self.record(Entry::new("grant.import", name).new_digest(grant.digest())).await?;
            self.imported(&mut ids, place, id.0);
        }
        Ok(())
    }

    async fn grant(&mut self, place: Place, record: &GrantRecord) -> Result<Grant> {
        let account = self.account(&record.account).await?;
        let account = account.ok_or_else(|| unknown(place, "account", "account", &record.account))?;
        let app = match &*record.app {
            ALL => None,
            name => {
                let app = self.work.apps().by_name(name).await?;
                Some(app.ok_or_else(|| unknown(place, "app", "app", name))?.id)
            }
        };
        let permission = Permission::from_id(record.permission);
        let permission = permission.ok_or_else(|| place.invalid("permission", "must be 0, 1 or 9"))?;
        let uname = record.username.clone().unwrap_or(account.name);
        check_text("username", &uname, 0, 128, false)
            .and_then(|()| check_reach(app, record.profile.as_deref(), permission))
            .map_err(|error| place.refused(error))?;
        let profile = record.profile.clone();
        Ok(Grant { id: GrantId::UNSAVED, account: account.id, uname, app, profile, permission })
    }
}
