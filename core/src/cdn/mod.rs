//! CDN management: the cdns there are, the customers who may use them, the domains each customer holds, the jobs that
//! refresh and preload what the edges keep, and the traffic that the edges' logs tell of.

mod attempt;
mod billing;
mod block;
#[expect(clippy::module_inception, reason = "the aggregate carries the family's name")]
mod cdn;
mod city;
mod company;
mod customer;
mod domain;
mod edge;
mod engine;
mod ingest;
mod job;
mod keeper;
mod log;
mod login;
mod maintain;
mod path;
mod progress;
mod queue;
mod rate;
mod ship;
mod source;
mod sync;
mod traffic;

pub use billing::{Bill, BillingQuery, BillingRule};
pub use cdn::{Cdn, CdnId, CdnRepository, Cdns, cdn_name};
pub use city::{AreaRow, City, CityCell, CityId, CityRepository};
pub use company::{Companies, Company, CompanyRepository, NewCompany};
pub use customer::{Customer, CustomerRepository, Customers, NewCustomer, UpdateCustomer};
pub use domain::{CdnDomains, Domain, DomainId, DomainRepository, DomainState, Domains, domain_name};
pub use edge::{Edge, EdgeInfo, EdgeRepository, EdgeState, Edges, Owed};
pub use engine::JobEngine;
pub use ingest::{Batch, EdgeRef, KeptLines, KnownSources, Seen, SourceChange};
pub use job::{Job, JobDetails, JobId, JobKind, JobRepository, JobState, Jobs};
pub use keeper::EdgeKeeper;
pub use log::{LogChunk, LogChunkRepository, LogDay, LogDownload, LogFile};
pub use login::CdnLogins;
pub use maintain::Maintained;
pub use progress::{CellState, EdgeProgress, JobCell};
pub use ship::LogShipper;
pub use source::{Counters, LogSource, LogSourceRepository, SourceKey};
pub use sync::Synced;
pub use traffic::{
    BUCKET_SECONDS, BUCKETS_OF_DAY, Block, Bucket, Cell, Day, Figures, Part, Point, Traffic, TrafficQuery,
    TrafficRepository, bandwidth,
};
