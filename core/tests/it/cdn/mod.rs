//! Use cases of CDN management.

mod alarm;
mod customers;
mod fixture;
mod purge;
mod shipped_alarm;
mod traffic;

pub(crate) use fixture::{CdnFixture, OTHER_MAIL, USER_MAIL};
