//! CDN management: the cdns there are, the customers who may use them, the domains each customer holds, and the jobs that
//! refresh and preload what the edges keep.

mod attempt;
#[expect(clippy::module_inception, reason = "the aggregate carries the family's name")]
mod cdn;
mod company;
mod customer;
mod domain;
mod engine;
mod job;
mod login;
mod path;
mod progress;
mod sync;

pub use cdn::{Cdn, CdnId, CdnRepository, Cdns, cdn_name};
pub use company::{Companies, Company, CompanyRepository, NewCompany};
pub use customer::{Customer, CustomerRepository, Customers, NewCustomer, UpdateCustomer};
pub use domain::{CdnDomains, Domain, DomainId, DomainRepository, DomainState, Domains, domain_name};
pub use engine::JobEngine;
pub use job::{Job, JobDetails, JobId, JobKind, JobRepository, JobState, Jobs};
pub use login::CdnLogins;
pub use progress::{Cell, CellState, EdgeProgress};
pub use sync::Synced;
