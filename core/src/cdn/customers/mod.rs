//! Customers of the cdns, the domains they hold, their log-ins, and the cdns there are.

mod cdn;
mod company;
mod customer;
mod domain;
mod login;
mod service;
mod sync;
mod tenure;

pub(super) use cdn::cdn_named;
pub(crate) use cdn::understood_cdn;
pub use cdn::{Cdn, CdnRepository, Cdns, check_cdn_name, misspelt_cdn};
pub use company::{Companies, Company, CompanyId, CompanyOverview, CompanyRepository, NewCompany};
pub(crate) use customer::mapping_digest;
pub use customer::{Customer, CustomerOverview, CustomerRepository, Customers, NewCustomer, UpdateCustomer};
pub(super) use domain::ids;
pub use domain::{CdnDomains, Domain, DomainRepository, DomainState, Domains, domain_name};
pub use login::CdnLogins;
pub use service::{CdnServiceRepository, CdnServices};
pub use sync::Synced;
pub(super) use tenure::domains_since;
pub use tenure::{Tenure, TenureRepository};
