//! Cdns, customers, their domains, companies, traffic, and the logs it is read from.
//! Cdns, customers, their domains, companies, and jobs.

#[expect(clippy::module_inception, reason = "the aggregate carries the family's name")]
mod cdn;
mod city;
mod company;
mod customer;
mod domain;
mod log;
mod source;
mod traffic;
mod job;
