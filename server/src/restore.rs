//! `pilothouse restore` and `pilothouse renew-epoch`: going back to an older state without nodes keeping a newer one.

use std::path::Path;

use pilothouse_core::{Epoch, SecretKey};
use pilothouse_storage_sqlx::{CheckedBackup, RestoreError, SqliteSettings};

use crate::failure::Failure;
use crate::settings::{Database, Settings};
use crate::terminal::print;
use crate::{compose, data_folder};

/// Puts a backup in the place of the stopped embedded store.
pub(crate) async fn restore(settings: Settings, file: &Path, replace: bool) -> Result<(), Failure> {
    let database = settings.database()?;
    let Database::Sqlite(path) = &database else {
        return Err(Failure::usage(
            "restore: is for the embedded store; with Postgres use pg_restore, then pilothouse renew-epoch",
        ));
    };
    data_folder::prepare(&settings.data_dir)?;
    let checked = CheckedBackup::of(file).await;
    let checked = checked.map_err(|error| Failure::failed(format!("restore {}", file.display()), error))?;
    let origin = data_folder::secret_origin(&settings);
    if let Some(check) = checked.identity.as_ref().and_then(|identity| identity.secret_check) {
        let secret = data_folder::existing_secret_key(&settings)?.ok_or_else(|| {
            Failure::usage(format!("restore: put the secret of the backup's store first into {origin}"))
        })?;
        if SecretKey::new(&secret)?.check_value() != check {
            return Err(Failure::usage(format!(
                "restore: {origin} is not the secret that the backup's store was used with"
            )));
        }
    }
    let restored = SqliteSettings::new(path).restore(file, replace).await.map_err(|error| match error {
        RestoreError::Exists(path) => {
            Failure::usage(format!("restore: {} exists; with --replace it is put aside", path.display()))
        }
        RestoreError::InUse(_) => Failure::usage(format!("restore: {error}")),
        error => Failure::failed(format!("restore {}", file.display()), error),
    })?;
    print(&format!("restored {} from {}", path.display(), file.display()))?;
    if let Some(aside) = restored.put_aside {
        print(&format!("the store that was there is {} now", aside.display()))?;
    }
    print(&format!("its epoch is {}: every node reads its configuration again", restored.epoch.0))?;
    print("copy from where the backup was made, unless they are there already:")?;
    print(&format!("  the secret:         {origin}"))?;
    print(&format!("  kept log lines:     {}", settings.log_folder().display()))?;
    print("  the settings file, and the TLS certificate and key that it names")
}

/// Renews the epoch, after the database was restored in a way that the server cannot notice.
pub(crate) async fn renew_epoch(settings: Settings) -> Result<(), Failure> {
    compose::with_store(&settings, async |opened| {
        let pilothouse = compose::domain(&settings, opened).await?;
        let epoch = pilothouse.renew_epoch(Epoch::default()).await?;
        print(&format!("the epoch is {}: every node reads its configuration again", epoch.0))
    })
    .await
}
