//! Import of customers: their cdn access, cdns and domains.

use std::collections::BTreeMap;

use super::document::{CustomerRecord, DomainRecord};
use super::place::Place;
use super::report::ImportKind;
use super::transaction::{ImportTransaction, unknown};
use crate::Result;
use crate::account::{Account, Entry, UNUSABLE_PASSWORD, check_imported_password, digest};
use crate::cdn::{Cdn, CdnId, Customer, domain_name, mapping_digest, understood_cdn};
use crate::ports::LockKey;

impl ImportTransaction<'_> {
    /// The accounts of customers, locked. They come before the lock on the cdns.
    pub(super) async fn lock_customers(&mut self, records: &[CustomerRecord]) -> Result<Vec<Account>> {
        let mut accounts = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let place = Place { kind: ImportKind::Customers, index };
            let account = self.work.accounts().by_mail(&record.login_email).await?;
            let account =
                account.ok_or_else(|| unknown(place, "login_email", "account", &record.login_email))?;
            accounts.push(account);
        }
        let mut ids: Vec<_> = accounts.iter().map(|account| account.id).collect();
        ids.sort_unstable();
        for id in ids {
            self.lock(LockKey::Customer(id)).await?;
        }
        Ok(accounts)
    }

    /// Imports customers, whose accounts [`Self::lock_customers`] found. The caller holds the lock on the cdns. Access that
    /// is there is equal whatever its password is.
    pub(super) async fn import_customers(
        &mut self,
        records: &[CustomerRecord],
        accounts: &[Account],
    ) -> Result<()> {
        for (index, (record, account)) in records.iter().zip(accounts).enumerate() {
            let place = Place { kind: ImportKind::Customers, index };
            let password = check_imported_password(record.password.as_deref());
            let password = password.map_err(|error| place.refused(error))?;
            let customer = Customer {
                account_id: account.id,
                mail: account.mail.clone(),
                password: password.unwrap_or_else(|| UNUSABLE_PASSWORD.to_owned()),
                operations: record.operations,
                version: 1,
            };
            let before = self.work.customers().cdns(account.id).await?;
            let known = self.work.customers().find(account.id).await?;
            if let Some(known) = &known {
                let members = [("operations", known.operations == customer.operations)];
                self.skip_equal(place, format_args!("the customer {}", customer.mail), &members)?;
            } else {
                self.work.customers().insert(&customer).await?;
                let entry = Entry::new("customer.import", &*customer.mail).new_digest(customer.digest());
                self.record(entry).await?;
                self.imported_many(ImportKind::Customers, 1);
            }
            for (n, name) in record.cdns.iter().enumerate() {
                let cdn = self.known_cdn(place, &format!("cdns[{n}]"), name).await?;
                self.map(&customer, &cdn, name).await?;
            }
            self.import_domains(place, &customer, &record.domains).await?;
            let after = self.work.customers().cdns(account.id).await?;
            if known.is_some() && after != before {
                let entry = Entry::new("customer.map", &*customer.mail);
                let entry = entry.old(mapping_digest(&before)).new_digest(mapping_digest(&after));
                self.record(entry).await?;
            }
        }
        Ok(())
    }

    async fn import_domains(
        &mut self,
        place: Place,
        customer: &Customer,
        records: &[DomainRecord],
    ) -> Result<()> {
        let mut claimed: BTreeMap<CdnId, (Cdn, Vec<String>)> = BTreeMap::new();
        for (n, record) in records.iter().enumerate() {
            let field = format!("domains[{n}]");
            let cdn = self.known_cdn(place, &format!("{field}.cdn"), &record.cdn).await?;
            let name =
                domain_name("domain", &record.domain).map_err(|error| place.refused_in(&field, error))?;
            self.map(customer, &cdn, &record.cdn).await?;
            if let Some(known) = self.work.domains().find(cdn.id, &name).await? {
                if known.account_id != customer.account_id {
                    let why = format!("{field}: another customer holds {name} on {}", record.cdn);
                    return Err(place.conflict(why));
                }
                let note = format!("{place}.{field}: the customer holds {name} already");
                self.skipped_many(ImportKind::Domains, 1, note);
                continue;
            }
            if !self.work.domains().claim(customer.account_id, cdn.id, &name).await? {
                return Err(place.conflict(format!("{field}: another customer holds {name}")));
            }
            self.imported_many(ImportKind::Domains, 1);
            claimed.entry(cdn.id).or_insert_with(|| (cdn, Vec::new())).1.push(name);
        }
        for (cdn, names) in claimed.values() {
            self.pilothouse.activate_served(&mut *self.work, customer.account_id, cdn, names).await?;
        }
        let names: Vec<&str> = claimed.values().flat_map(|(_, names)| names).map(String::as_str).collect();
        if !names.is_empty() {
            self.record(Entry::new("domain.import", &*customer.mail).new_digest(digest(&names))).await?;
        }
        Ok(())
    }

    /// Maps a customer to a cdn, which is answered under the name that the document gives it.
    async fn map(&mut self, customer: &Customer, cdn: &Cdn, name: &str) -> Result<()> {
        let alias = (name != cdn.name).then_some(name);
        Ok(self.work.customers().map(customer.account_id, cdn.id, alias).await?)
    }

    /// A cdn of the document or of the store.
    pub(super) async fn known_cdn(&mut self, place: Place, field: &str, name: &str) -> Result<Cdn> {
        let found = understood_cdn(&mut *self.work, name).await?;
        found.ok_or_else(|| unknown(place, field, "cdn", name))
    }
}
