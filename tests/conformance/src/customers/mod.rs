//! Cdns, customers, domains, companies.

pub(crate) mod cdn;
pub(crate) mod company;
pub(crate) mod customer;
pub(crate) mod domain;
pub(crate) mod service;
pub(crate) mod tenure;
