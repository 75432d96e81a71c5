//! Ports: the traits through which the domain reaches the outside.

mod authenticator;
mod blob_store;
mod cdn_provider;
mod clock;
mod log_archive;
mod log_reader;
mod release_source;
mod repositories;
mod storage;
mod webhook_sender;

pub use authenticator::Authenticator;
pub use blob_store::{BlobState, BlobStore};
pub use cdn_provider::{
    AreaFigure, AreaLevel, Batch, CallLimits, Capabilities, CdnProvider, EdgeControl, Figure, Figures,
    ItemState, LogContent, LogFile, Operation, Prefix, ProviderError, Providers, Purge, Quota, Rate,
    RemoteTask, Repeat, ServedDomain, SessionStart, Submission, Submissions, TaskState,
};
pub use clock::{Clock, Ids, RandomIds, SystemClock};
pub use log_archive::{LogArchive, SealedLog};
pub use log_reader::{KeptPiece, LogReader};
pub use release_source::{Release, ReleaseSource};
pub use repositories::Repositories;
pub use storage::{LockKey, Signal, Storage, StorageError, StorageResult, StoreInfo, Topic, UnitOfWork};
pub use webhook_sender::{WebhookError, WebhookSender};
