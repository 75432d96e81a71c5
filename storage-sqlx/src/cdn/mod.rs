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
