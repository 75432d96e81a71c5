//! Cdns, customers, their domains, companies, jobs, traffic, and the logs it is read from.

mod alarm;
mod customers;
mod purge;
mod traffic;

use std::collections::BTreeSet;

use imbl::{OrdMap, Vector};
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{
    BlockKind, Cdn, CdnId, Company, CompanyId, Customer, DomainId, EdgeProgress, Job, JobId, LogChunk,
    LogChunkId, LogSource, LogSourceId, Threshold, UndoRecord,
};
use pilothouse_core::ports::ServedDomain;

use crate::state::Table;
use alarm::AlarmState;
use customers::domain::DomainRow;
use customers::tenure::TenureRows;
use purge::edge::EdgesState;
use purge::vendor_batch::VendorBatches;
use purge::vendor_spending::VendorSpendings;
use traffic::city::CityState;
use traffic::edge_log::EdgeLogRows;
use traffic::series::TrafficState;
use traffic::top_urls::TopUrlsState;
use traffic::unregistered::UnregisteredState;
use traffic::vendor_figures::VendorFigureRows;
use traffic::vendor_logs::VendorLogs;

#[derive(Clone, Debug, Default)]
pub(crate) struct CdnState {
    pub(crate) cdns: Table<CdnId, Cdn>,
    /// Domains that each provider serves, by name.
    services: OrdMap<CdnId, Vec<ServedDomain>>,
    customers: OrdMap<AccountId, Customer>,
    /// The aliases of the cdns that customers are mapped to.
    mappings: OrdMap<(AccountId, CdnId), Option<String>>,
    domains: Table<DomainId, DomainRow>,
    tenures: TenureRows,
    pub(crate) companies: Table<CompanyId, Company>,
    traffic: TrafficState,
    cities: CityState,
    log_sources: Table<LogSourceId, LogSource>,
    edge_logs: EdgeLogRows,
    log_chunks: Table<LogChunkId, LogChunk>,
    unregistered: UnregisteredState,
    /// In the order in which they were added.
    log_undo: Vector<UndoRecord>,
    jobs: Table<JobId, Job>,
    progress: OrdMap<(JobId, String), EdgeProgress>,
    edges: EdgesState,
    thresholds: OrdMap<(AccountId, String), Threshold>,
    alarms: AlarmState,
    vendor_batches: VendorBatches,
    vendor_spending: VendorSpendings,
    vendor_figures: VendorFigureRows,
    vendor_logs: VendorLogs,
    top_urls: TopUrlsState,
}

impl CdnState {
    pub(crate) fn job_rows(&self) -> usize {
        self.jobs.iter().count()
    }

    pub(crate) fn top_url_rows(&self) -> usize {
        self.top_urls.len()
    }

    pub(crate) fn alarm_rows(&self) -> usize {
        self.alarms.rows()
    }

    pub(crate) fn log_source_rows(&self) -> usize {
        self.log_sources.iter().count()
    }

    pub(crate) fn log_chunk_rows(&self) -> usize {
        self.log_chunks.iter().count()
    }

    pub(crate) fn unregistered_rows(&self) -> usize {
        self.unregistered.rows()
    }

    pub(crate) fn block_rows(&self, part: BlockKind) -> usize {
        self.traffic.block_rows(part)
    }

    /// Ends an account's access; whether there was any.
    fn end_access(&mut self, account_id: AccountId) -> bool {
        let of_others = self.mappings.iter().filter(|((account, _), _)| *account != account_id);
        self.mappings = of_others.map(|(key, alias)| (*key, alias.clone())).collect();
        self.release(|domain| domain.account_id == account_id);
        let thresholds = self.thresholds.iter().filter(|((account, _), _)| *account != account_id);
        self.thresholds = thresholds.map(|(key, threshold)| (key.clone(), threshold.clone())).collect();
        self.customers.remove(&account_id).is_some()
    }

    /// Removes the rows that go with an account.
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
