//! Cdns, customers, their domains, companies, and jobs.

#[expect(clippy::module_inception, reason = "the aggregate carries the family's name")]
mod cdn;
mod company;
mod customer;
mod domain;
mod job;
