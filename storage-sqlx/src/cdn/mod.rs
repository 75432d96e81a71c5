//! Tables of CDN management.

mod alarm;
mod customers;
mod purge;
mod traffic;
