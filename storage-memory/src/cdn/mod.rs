//! Cdns, customers, their domains, companies, jobs, traffic, and the logs it is read from.

#[expect(clippy::module_inception, reason = "the aggregate carries the family's name")]
mod cdn;
mod city;
mod company;
mod customer;
mod domain;
mod edge;
mod job;
mod log;
mod source;
mod traffic;

use std::collections::BTreeSet;

use imbl::{OrdMap, OrdSet};
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{
    Cdn, CdnId, Company, Customer, DomainId, EdgeProgress, Job, JobId, LogChunk, LogSource,
};

use crate::state::Table;
use city::CityState;
use domain::Holding;
use edge::EdgesState;
use traffic::TrafficState;

#[derive(Clone, Debug, Default)]
pub(crate) struct CdnState {
    cdns: Table<Cdn>,
    customers: OrdMap<AccountId, Customer>,
    mappings: OrdSet<(AccountId, CdnId)>,
    domains: Table<Holding>,
    companies: Table<Company>,
    traffic: TrafficState,
    cities: CityState,
    log_sources: Table<LogSource>,
    log_chunks: Table<LogChunk>,
    jobs: Table<Job>,
    progress: OrdMap<(JobId, String), EdgeProgress>,
    edges: EdgesState,
}

impl CdnState {
    /// Ends an account's access; whether there was any.
    fn end_access(&mut self, account_id: AccountId) -> bool {
        self.mappings = self.mappings.iter().filter(|(account, _)| *account != account_id).copied().collect();
        self.release(|domain| domain.account_id == account_id);
        self.customers.remove(&account_id).is_some()
    }

    /// What goes with an account.
    pub(crate) fn account_deleted(&mut self, account_id: AccountId) {
        self.end_access(account_id);
        self.disown_companies(account_id);
        self.remove_jobs(|job| job.account_id == account_id);
    }
}

/// Domains in order, each once, as a statement would find them.
fn each(domains: &[DomainId]) -> BTreeSet<DomainId> {
    domains.iter().copied().collect()
}
