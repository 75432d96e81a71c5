//! CDN management: the cdns there are, the customers who may use them, the domains each customer holds, and what
//! traffic these had.

mod block;
//! CDN management: the cdns there are, the customers who may use them, the domains each customer holds, and the jobs that
//! refresh and preload what the edges keep.

mod attempt;
#[expect(clippy::module_inception, reason = "the aggregate carries the family's name")]
mod cdn;
mod city;
mod company;
mod customer;
mod domain;
mod ingest;
mod log;
mod login;
mod maintain;
mod source;
mod traffic;
mod engine;
mod job;
mod login;
mod path;
mod progress;
mod sync;

pub use cdn::{Cdn, CdnId, CdnRepository, Cdns, cdn_name};
pub use city::{AreaRow, City, CityCell, CityId, CityRepository};
pub use company::{Companies, Company, CompanyRepository, NewCompany};
pub use customer::{Customer, CustomerRepository, Customers, NewCustomer, UpdateCustomer};
pub use domain::{CdnDomains, Domain, DomainId, DomainRepository, DomainState, Domains, domain_name};
pub use ingest::{Batch, EdgeRef, KeptLines, KnownSources, Seen, SourceChange};
pub use log::{LogChunk, LogChunkRepository, LogDay, LogDownload, LogFile};
pub use login::CdnLogins;
pub use maintain::Maintained;
pub use source::{Counters, LogSource, LogSourceRepository, SourceKey};
pub use traffic::{
    BUCKET_SECONDS, BUCKETS_OF_DAY, Block, Bucket, Cell, Day, Figures, Part, Point, Traffic, TrafficQuery,
    TrafficRepository, bandwidth,
};
pub use engine::JobEngine;
pub use job::{Job, JobDetails, JobId, JobKind, JobRepository, JobState, Jobs};
pub use login::CdnLogins;
pub use progress::{Cell, CellState, EdgeProgress};
pub use sync::Synced;
