#![doc = include_str!("../README.md")]

#[cfg(test)]
mod archive_test;
mod convert;
mod edge_ingest;
mod folder_archive;
mod follow;
mod gap_gauge;
mod layout;
mod log_health;
mod object_archive;
mod pipeline;
mod recorder;
mod settings;
mod ship;
mod shipped_log_reader;
mod superfluous;
mod unbilled_share;

pub use edge_ingest::{EdgeIngest, IngestFileError, IngestSummary};
pub use folder_archive::FolderArchive;
pub use follow::FollowedLog;
pub use layout::LogLayout;
pub use object_archive::{ObjectArchive, ObjectArchiveError};
pub use pilothouse_access_log::archive::ArchiveError;
pub use pilothouse_access_log::city::{CityDatabase, CityDatabaseError};
pub use pilothouse_access_log::{Format, IngestError, IngestOptions, Notice, Progress, RulesError, Stamp};
pub use pipeline::LogPipeline;
pub use settings::IntakeSettings;
pub use ship::{LogServer, SendError, ShipError, ShipEvent, ShipFrom, ShippedLog, Unavailable};
pub use shipped_log_reader::ShippedLogReader;
