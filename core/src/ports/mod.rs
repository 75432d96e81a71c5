//! What the domain needs from outside, as traits.

mod authenticator;
mod clock;
mod log_archive;
mod storage;

pub use authenticator::Authenticator;
pub use clock::{Clock, Ids, RandomIds, SystemClock};
pub use log_archive::LogArchive;
pub use storage::{LockKey, Repositories, Signal, Storage, StorageError, StorageResult, Topic, UnitOfWork};
