//! CDN management: the cdns there are, the customers who may use them, and the domains each customer holds.

#[expect(clippy::module_inception, reason = "the aggregate carries the family's name")]
mod cdn;
mod company;
mod customer;
mod domain;
mod login;

pub use cdn::{Cdn, CdnId, CdnRepository, Cdns, cdn_name};
pub use company::{Companies, Company, CompanyRepository, NewCompany};
pub use customer::{Customer, CustomerRepository, Customers, NewCustomer, UpdateCustomer};
pub use domain::{CdnDomains, Domain, DomainId, DomainRepository, DomainState, Domains, domain_name};
pub use login::CdnLogins;
