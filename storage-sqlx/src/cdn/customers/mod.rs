//! Cdns, customers, companies and domains.

mod cdn;
mod company;
mod customer;
mod domain;
mod service;
mod tenure;
