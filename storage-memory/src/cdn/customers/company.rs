//! Company repository over the state in memory.

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{Company, CompanyId, CompanyOverview, CompanyRepository};
use pilothouse_core::ports::StorageResult;
use pilothouse_core::{Order, Page};

use crate::cdn::CdnState;
use crate::storage::Transaction;

impl CdnState {
    pub(crate) fn disown_companies(&mut self, account_id: AccountId) {
        let owned = self.companies.iter().filter(|company| company.owner_id == Some(account_id));
        let owned: Vec<CompanyId> = owned.map(|company| company.id).collect();
        for id in owned {
            if let Some(company) = self.companies.get_mut(id) {
                company.owner_id = None;
            }
        }
    }
}

#[async_trait]
impl CompanyRepository for Transaction {
    async fn insert(&mut self, company: &Company) -> StorageResult<Option<CompanyId>> {
        let companies = &mut self.state_mut()?.cdn.companies;
        if companies.iter().any(|held| held.name == company.name) {
            return Ok(None);
        }
        Ok(Some(companies.insert(|id| Company { id, ..company.clone() })))
    }

    async fn by_name(&mut self, name: &str) -> StorageResult<Option<Company>> {
        Ok(self.state().cdn.companies.iter().find(|company| company.name == name).cloned())
    }

    async fn list(&mut self, page: Page) -> StorageResult<Vec<CompanyOverview>> {
        let state = self.state();
        let mut asked: Vec<_> =
            state.cdn.companies.iter().filter(|company| page.has(company.id)).cloned().collect();
        if page.order == Order::Newest {
            asked.reverse();
        }
        asked.truncate(usize::try_from(page.count).unwrap_or(0));
        let overview = |company: Company| {
            let owner = company.owner_id.and_then(|id| state.account.accounts.get(id));
            let (account, mail) = owner.map(|owner| (owner.name.clone(), owner.mail.clone())).unzip();
            CompanyOverview { company, account, mail }
        };
        Ok(asked.into_iter().map(overview).collect())
    }

    async fn count(&mut self) -> StorageResult<u64> {
        Ok(self.state().cdn.companies.iter().count() as u64)
    }
}
