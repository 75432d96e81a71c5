//! The domain of Pilothouse: what a thing is, what may happen to it, and who may do it.
//!
//! This crate knows no SQL, no HTTP and no files. It is used through [`Pilothouse`], which holds the use cases of
//! four families, [`account`], [`ops`], [`config`] and [`cdn`], and reaches the outside through [`ports`]. One use
//! case is one method and one transaction.
//!
//! | to learn | read |
//! |---|---|
//! | what a use case may answer | [`Error`] |
//! | what a store must do | [`ports::Storage`], and the suite in `conformance` (feature of that name) |
//! | who is calling | [`account::Caller`] |

pub mod account;
pub mod cdn;
pub mod config;
pub mod ops;
pub mod ports;

mod error;
mod pilothouse;
mod secret;
mod shared;
mod text;
mod workers;

#[cfg(feature = "conformance")]
#[expect(clippy::unwrap_used, reason = "a failing case panics")]
#[expect(clippy::missing_panics_doc, reason = "every case panics where the store fails it")]
pub mod conformance;

pub use error::{Error, ErrorKind, Result};
pub use pilothouse::{Pilothouse, Settings};
pub use secret::SecretKey;
pub use text::{Page, check_text, check_token};
pub use workers::Workers;
