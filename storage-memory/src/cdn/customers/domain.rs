//! Domain repository over the state in memory.

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{CdnId, Domain, DomainId, DomainRepository, DomainState};
use pilothouse_core::ports::StorageResult;

use crate::cdn::CdnState;
use crate::storage::Transaction;

/// A domain that its customer holds, or once held: then only its id is still of use.
#[derive(Clone, Debug)]
pub(crate) struct DomainRow {
    domain: Domain,
    held: bool,
}

impl CdnState {
    pub(crate) fn held(&self) -> impl Iterator<Item = &Domain> {
        self.domains.iter().filter(|holding| holding.held).map(|holding| &holding.domain)
    }

    /// The ids of the holdings, released ones too, that pass.
    fn ids(&self, pass: impl Fn(&Domain) -> bool) -> Vec<DomainId> {
        let domains = self.domains.iter().map(|holding| &holding.domain);
        domains.filter(|domain| pass(domain)).map(|domain| domain.id).collect()
    }

    pub(crate) fn release(&mut self, pass: impl Fn(&Domain) -> bool) {
        for id in self.ids(pass) {
            if let Some(holding) = self.domains.get_mut(id) {
                holding.held = false;
            }
        }
    }
}

#[async_trait]
impl DomainRepository for Transaction {
    async fn claim(&mut self, account_id: AccountId, cdn_id: CdnId, name: &str) -> StorageResult<bool> {
        let cdn = &mut self.state_mut()?.cdn;
        if let Some(held) = cdn.held().find(|held| held.cdn_id == cdn_id && held.name == name) {
            return Ok(held.account_id == account_id);
        }
        let before =
            cdn.ids(|held| held.account_id == account_id && held.cdn_id == cdn_id && held.name == name);
        let state = DomainState::Pending;
        match before.first().and_then(|id| cdn.domains.get_mut(*id)) {
            Some(holding) => {
                holding.held = true;
                holding.domain.state = state;
            }
            None => {
                let name = name.to_owned();
                cdn.domains.insert(|id| DomainRow {
                    domain: Domain { id, cdn_id, account_id, name, state },
                    held: true,
                });
            }
        }
        Ok(true)
    }

    async fn release(&mut self, ids: &[DomainId]) -> StorageResult<()> {
        self.state_mut()?.cdn.release(|domain| ids.contains(&domain.id));
        Ok(())
    }

    async fn of_account(&mut self, account_id: AccountId, cdn: Option<CdnId>) -> StorageResult<Vec<Domain>> {
        let held = self.state().cdn.held().filter(|domain| domain.account_id == account_id);
        Ok(held.filter(|domain| cdn.is_none_or(|cdn| domain.cdn_id == cdn)).cloned().collect())
    }

    async fn of_cdn(&mut self, cdn_id: CdnId) -> StorageResult<Vec<Domain>> {
        Ok(self.state().cdn.held().filter(|domain| domain.cdn_id == cdn_id).cloned().collect())
    }

    async fn find(&mut self, cdn_id: CdnId, name: &str) -> StorageResult<Option<Domain>> {
        let mut held = self.state().cdn.held();
        Ok(held.find(|domain| domain.cdn_id == cdn_id && domain.name == name).cloned())
    }

    async fn by_ids(&mut self, ids: &[DomainId]) -> StorageResult<Vec<Domain>> {
        let domains = &self.state().cdn.domains;
        let found = ids.iter().filter_map(|id| domains.get(*id)).filter(|holding| holding.held);
        Ok(found.map(|holding| holding.domain.clone()).collect())
    }

    async fn set_states(&mut self, states: &[(DomainId, DomainState)]) -> StorageResult<()> {
        let domains = &mut self.state_mut()?.cdn.domains;
        for (id, state) in states {
            if let Some(holding) = domains.get_mut(*id) {
                holding.domain.state = *state;
            }
        }
        Ok(())
    }
}
