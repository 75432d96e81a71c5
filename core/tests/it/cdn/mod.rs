//! Use cases of CDN management.

mod alarm;
mod customers;
mod fixture;
mod purge;
mod traffic;

pub(crate) use fixture::{CdnFixture, OTHER_MAIL, USER_MAIL};
