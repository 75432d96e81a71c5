//! Import of companies.

use super::document::CompanyRecord;
use super::place::Place;
use super::row_id::RowKind;
use super::transaction::{ImportTransaction, unknown};
use crate::account::{Entry, digest};
use crate::cdn::{Company, CompanyId};
use crate::{Result, check_text};

impl ImportTransaction<'_> {
    /// Imports companies, whose owners are accounts of the document or of the store.
    pub(super) async fn import_companies(&mut self, records: &[CompanyRecord]) -> Result<()> {
        let mut ids = self.row_ids(RowKind::Companies, records.iter().map(|record| record.id)).await?;
        for place in ids.order() {
            let company = self.company(place, &records[place.index]).await?;
            let name = &company.name;
            if let Some(known) = self.work.companies().by_name(name).await? {
                let members = [
                    ("company_alias", known.alias == company.alias),
                    ("owner_email", known.owner_id == company.owner_id),
                    ("owner_name", known.owner_name == company.owner_name),
                ];
                self.skip_equal(place, format_args!("the company {name}"), &members)?;
                continue;
            }
            self.reserve(&mut ids, place).await?;
            let inserted = self.work.companies().insert(&company).await?;
            let id = inserted.ok_or_else(|| place.conflict("the name is taken"))?;
            let owner = records[place.index].owner_email.as_deref().unwrap_or_default();
            let digest = digest(&[name, &company.alias, owner, &company.owner_name]);
            self.record(Entry::new("company.import", &**name).new_digest(digest)).await?;
            self.imported(&mut ids, place, id.0);
        }
        Ok(())
    }

    async fn company(&mut self, place: Place, record: &CompanyRecord) -> Result<Company> {
        let CompanyRecord { company_name: name, company_alias: alias, owner_email, owner_name, .. } =
            record.clone();
        check_text("company_name", &name, 1, 128, false).map_err(|error| place.refused(error))?;
        check_text("company_alias", &alias, 0, 128, false).map_err(|error| place.refused(error))?;
        let owner = match owner_email {
            Some(mail) => match self.work.accounts().by_mail(&mail).await? {
                Some(owner) => Some(owner),
                None => return Err(unknown(place, "owner_email", "account", &mail)),
            },
            None => None,
        };
        let owner_id = owner.as_ref().map(|owner| owner.id);
        let owner_name = owner_name.or_else(|| owner.map(|owner| owner.name)).unwrap_or_default();
        check_text("owner_name", &owner_name, 0, 254, false).map_err(|error| place.refused(error))?;
        Ok(Company { id: CompanyId::UNSAVED, name, alias, owner_id, owner_name })
    }
}
