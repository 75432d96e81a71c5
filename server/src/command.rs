//! The commands that do one thing and end.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use pilothouse_core::Pilothouse;
use pilothouse_http_axum::{ApiState, router};
use pilothouse_storage_memory::MemoryStorage;

use crate::args::{Ingest, Superuser};
use crate::compose;
use crate::failure::Failure;
use crate::ingest;
use crate::settings::Settings;
use crate::terminal::{password, print};

/// Says what was applied.
pub(crate) async fn migrate(settings: Settings) -> Result<(), Failure> {
    let opened = compose::open(&settings).await?;
    if opened.applied.is_empty() {
        return print("the schema is current");
    }
    opened.applied.iter().try_for_each(|name| print(&format!("applied {name}")))
}

/// Makes an account with every right.
pub(crate) async fn create_superuser(settings: Settings, account: Superuser) -> Result<(), Failure> {
    let password = password()?;
    let opened = compose::open(&settings).await?;
    let pilothouse = compose::domain(&settings, opened.storage).await?;
    pilothouse.accounts().create_superuser(&account.name, &account.mail, &password).await?;
    print(&format!("made the account {} with every right", account.name))
}

/// Asks every provider for its domains and records them.
pub(crate) async fn sync(settings: Settings) -> Result<(), Failure> {
    let opened = compose::open(&settings).await?;
    let pilothouse = compose::domain(&settings, opened.storage).await?;
    let mut failed = None;
    for synced in pilothouse.sync().await? {
        match synced.changed {
            Ok(changed) => print(&format!("{}: {changed} domains changed their state", synced.cdn))?,
            Err(error) => failed = Some(Failure::failed(synced.cdn, error)),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Takes access logs into the statistics.
pub(crate) async fn ingest(settings: Settings, options: Ingest) -> Result<(), Failure> {
    let opened = compose::open(&settings).await?;
    let pilothouse = compose::domain(&settings, opened.storage).await?;
    let (folder, cities) = (compose::log_folder(&settings)?, compose::cities(&settings)?);
    ingest::ingest(pilothouse, folder, cities, options).await.map(|_| ())
}

/// Copies the embedded store.
pub(crate) async fn backup(settings: Settings, file: &Path) -> Result<(), Failure> {
    let opened = compose::open(&settings).await?;
    let Some(file_name) = file.to_str() else {
        return Err(Failure::usage("the backup's name must be UTF-8"));
    };
    let Some(database) = opened.database else {
        return Err(Failure::usage("backup: the memory store has nothing to copy"));
    };
    // Made before the store writes to it, so that nobody else may read the password hashes in it at any moment.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    made.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!("backup: {} exists", file.display())),
        _ => Failure::failed(format!("backup {}", file.display()), error),
    })?;
    if let Err(error) = database.backup(file_name).await {
        // What is half a backup must not be taken for one.
        let _ = fs::remove_file(file);
        return Err(error.into());
    }
    print(&format!("wrote {}", file.display()))
}

/// Prints the API description.
pub(crate) fn openapi() -> Result<(), Failure> {
    let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new()), pilothouse_core::Settings::default())?;
    let (_, document) = router::<()>(ApiState::new(pilothouse));
    let text = serde_json::to_string_pretty(&document);
    print(&text.map_err(|error| Failure::failed("the API description", error))?)
}
