//! Names of accounts by their ids, for those who see ids.

use super::{AccountId, Accounts, Caller};
use crate::{Error, Result};

/// The most names asked for at once.
const MOST: usize = 100;

/// Name of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountName {
    /// The account.
    pub id: AccountId,
    /// Its log-in name.
    pub name: String,
}

impl Accounts<'_> {
    /// Names of at most 100 accounts, in the order of the ids; those that are not there are left out. Any account may ask.
    pub async fn names(&self, caller: &Caller, ids: &[AccountId]) -> Result<Vec<AccountName>> {
        self.0.require_account_scope(caller)?;
        if ids.len() > MOST {
            return Err(Error::invalid("uids", format!("must be at most {MOST}, not {}", ids.len())));
        }
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let mut snapshot = self.0.storage().read().await?;
        let mut names = Vec::new();
        for id in ids {
            names.extend(
                snapshot.accounts().by_id(id).await?.map(|account| AccountName { id, name: account.name }),
            );
        }
        Ok(names)
    }
}
