//! What the domain needs from outside, as traits.

mod authenticator;
mod cdn_provider;
mod clock;
mod log_archive;
mod log_reader;
mod storage;

pub use authenticator::Authenticator;
pub use cdn_provider::{
    Capabilities, CdnProvider, EdgeControl, Hello, Outcomes, ProviderError, Providers, Purge,
};
#[cfg(feature = "mock")]
pub use cdn_provider::{MockCdnProvider, MockEdgeControl};
pub use clock::{Clock, Ids, RandomIds, SystemClock};
pub use log_archive::{LogArchive, SealedLog};
pub use log_reader::LogReader;
pub use storage::{LockKey, Repositories, Signal, Storage, StorageError, StorageResult, Topic, UnitOfWork};
