//! One-shot commands: they do one thing and exit.

use std::sync::Arc;

use pilothouse_core::Pilothouse;
use pilothouse_http_axum::{ApiState, router};
use pilothouse_storage_memory::MemoryStorage;

use crate::args::{Import, Ingest, Superuser};
use crate::compose;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::terminal::{ask_new_password, password, print};
use crate::{edge_logs, import, ingest};

/// Says what was applied.
pub(crate) async fn migrate(settings: Settings) -> Result<(), Failure> {
    compose::with_store(&settings, async |opened| {
        if opened.applied.is_empty() {
            return print("the schema is current");
        }
        opened.applied.iter().try_for_each(|name| print(&format!("applied {name}")))
    })
    .await
}

/// Makes an account with every right.
pub(crate) async fn create_superuser(settings: Settings, account: Superuser) -> Result<(), Failure> {
    let password = if account.password_stdin { password()? } else { ask_new_password().await? };
    compose::with_store(&settings, async |opened| {
        let pilothouse = compose::domain(&settings, opened).await?;
        pilothouse.accounts().create_superuser(&account.name, &account.mail, &password).await?;
        print(&format!("made the account {} with every right", account.name))
    })
    .await
}

/// Asks every provider for its domains and records them.
pub(crate) async fn sync(settings: Settings) -> Result<(), Failure> {
    compose::with_store(&settings, async |opened| {
        let pilothouse = compose::domain(&settings, opened).await?;
        let mut failed = None;
        for synced in pilothouse.sync().await? {
            match synced.changed {
                Ok(changed) => print(&format!("{}: {changed} domains changed their state", synced.cdn))?,
                Err(error) => failed = Some(Failure::failed(synced.cdn, error)),
            }
        }
        failed.map_or(Ok(()), Err)
    })
    .await
}

/// Ingests access log files into the statistics.
pub(crate) async fn ingest(settings: Settings, options: Ingest) -> Result<(), Failure> {
    let stamp = edge_logs::stamp_of(&settings.cdn, &options.cdn, &options.edge)?;
    compose::with_store(&settings, async |opened| {
        let pilothouse = compose::domain(&settings, opened).await?;
        let archive = compose::object_archive(&settings, &pilothouse).await?;
        ingest::ingest(&compose::log_pipeline(&settings, pilothouse)?, options, stamp).await?;
        let Some(archive) = archive else { return Ok(()) };
        archive.upload().await.map(drop).map_err(|error| {
            let what = "the lines were counted, but are only in log_dir so far, from where a server or the next ingest uploads them";
            Failure::failed(what, error)
        })
    })
    .await
}

/// Forgets access log files that were ingested with the same options.
pub(crate) async fn forget_log(settings: Settings, options: Ingest) -> Result<(), Failure> {
    let stamp = edge_logs::stamp_of(&settings.cdn, &options.cdn, &options.edge)?;
    compose::with_store(&settings, async |opened| {
        let pilothouse = compose::domain(&settings, opened).await?;
        ingest::forget(&compose::log_pipeline(&settings, pilothouse)?, options, stamp).await
    })
    .await
}

/// Imports a file of another system's objects.
pub(crate) async fn import(settings: Settings, options: Import) -> Result<(), Failure> {
    let document = import::read(&options.file)?;
    compose::with_store(&settings, async |opened| {
        let pilothouse = compose::domain(&settings, opened).await?;
        import::import(&pilothouse, &document, &options).await
    })
    .await
}

/// Prints the API description.
pub(crate) fn openapi() -> Result<(), Failure> {
    let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new()), pilothouse_core::Settings::default())?;
    let (_, document) = router::<()>(ApiState::new(pilothouse));
    let text = serde_json::to_string_pretty(&document);
    print(&text.map_err(|error| Failure::failed("the API description", error))?)
}
