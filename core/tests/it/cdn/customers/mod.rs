//! Customers of cdns: access, domains, log-ins.

mod audit;
mod cdn;
mod customer;
mod domain;
mod fixture;
mod login;
mod sync;
