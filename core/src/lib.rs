#![doc = include_str!("../README.md")]

pub mod account;
pub mod cdn;
pub mod config;
pub mod import;
pub mod ops;
pub mod ports;
pub mod webhook;

mod epoch;
mod error;
mod id;
mod idempotency;
mod lease;
mod page;
mod pilothouse;
mod pruning;
mod readiness;
mod secret;
mod settings;
mod store_identity;
mod sync;
mod system;
mod text;
mod time;
mod worker_health;
mod workers;

pub use epoch::Epoch;
pub use error::{Error, ErrorKind, Result, error_chain};
pub use idempotency::{IdempotencyKey, KeptAnswer, KeptAnswerRepository};
pub use lease::Lease;
pub use page::{Listing, Order, Page};
pub use pilothouse::Pilothouse;
pub use pruning::{Allowance, ClockMark, Prunable, PruningRepository};
pub use readiness::Readiness;
pub use secret::SecretKey;
pub use settings::Settings;
pub use store_identity::{StoreIdentity, StoreIdentityRepository};
pub use system::{System, SystemInfo, Unset};
pub use text::check_text;
pub(crate) use text::check_token;
pub use worker_health::{WorkerStatus, panic_text};
pub use workers::Workers;
