//! Cdns, customers, companies and domains.

mod cdn;
mod company;
mod customer;
pub(super) mod domain;
mod service;
pub(super) mod tenure;
