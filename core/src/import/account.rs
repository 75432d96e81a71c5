//! Import of accounts, with Django's password hashes.

use std::collections::HashMap;

use super::document::AccountRecord;
use super::row_id::RowKind;
use super::transaction::ImportTransaction;
use crate::Result;
use crate::account::{Account, Entry, NewAccount, check_identity, check_imported_password};
use crate::text::fold_name;

impl ImportTransaction<'_> {
    /// Imports accounts. The caller holds the lock on them. An account that is there is equal whatever its password is: it
    /// may have logged in or chosen another since an earlier import.
    pub(super) async fn import_accounts(&mut self, records: &[AccountRecord]) -> Result<()> {
        let mut ids = self.row_ids(RowKind::Accounts, records.iter().map(|record| record.id)).await?;
        let names = self.work.accounts().names().await?;
        let mut names: HashMap<_, _> = names.into_iter().map(|name| (fold_name(&name), name)).collect();
        for place in ids.order() {
            let account = account(&records[place.index]).map_err(|error| place.refused(error))?;
            let name = &account.name;
            let known = match names.get(&fold_name(name)) {
                Some(known) => self.work.accounts().by_name(known).await?,
                None => self.work.accounts().by_mail(&account.mail).await?,
            };
            if let Some(known) = known {
                self.account_ids.extend(records[place.index].id.map(|wanted| (wanted, known.id)));
                let members = [
                    ("name", known.name == account.name),
                    ("mail", known.mail.to_lowercase() == account.mail.to_lowercase()),
                    ("department", known.department == account.department),
                    ("permissions", known.groups == account.groups),
                ];
                self.skip_equal(place, format_args!("the account {}", known.name), &members)?;
                continue;
            }
            self.reserve(&mut ids, place).await?;
            let inserted = self.work.accounts().insert(&account).await?;
            let id = inserted.ok_or_else(|| place.conflict("the name or the mail is taken"))?;
            self.account_ids.extend(records[place.index].id.map(|wanted| (wanted, id)));
            names.insert(fold_name(name), name.clone());
            self.record(Entry::new("account.import", &**name).new_digest(account.digest())).await?;
            self.imported(&mut ids, place, id.0);
        }
        Ok(())
    }
}

fn account(record: &AccountRecord) -> Result<Account> {
    let AccountRecord { name, mail, department, .. } = record.clone();
    check_identity(&name, &mail, &department)?;
    let groups = record.permissions.parse()?;
    let password = check_imported_password(record.password.as_deref())?;
    Ok(Account::from_new(NewAccount { name, mail, passwd: String::new(), department, groups }, password))
}
