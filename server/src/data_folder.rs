//! Data folder, and the secret key that is kept in it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use pilothouse_cdn_providers::SecretSource;
use pilothouse_core::SecretKey;
use pilothouse_log_intake::FolderArchive;

use crate::failure::Failure;
use crate::settings::{Database, Settings};

/// Creates the data folder (mode 0700) if it does not exist; refuses one that is open to group or others.
pub(crate) fn prepare(path: &Path) -> Result<(), Failure> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(|error| Failure::failed(format!("data_dir {}", path.display()), error))?;
    let metadata = fs::metadata(path);
    let metadata =
        metadata.map_err(|error| Failure::failed(format!("data_dir {}", path.display()), error))?;
    if metadata.mode() & 0o077 != 0 {
        let path = path.display();
        return Err(Failure::usage(format!(
            "data_dir: {path} is open to group or others; chmod 0700 {path}"
        )));
    }
    Ok(())
}

/// Reads the secret key: from where the setting says, or else from a file in the data folder, which is created if no other
/// server can share the store.
pub(crate) fn secret_key(settings: &Settings, database: &Database) -> Result<Vec<u8>, Failure> {
    let secret = match &settings.secret_key {
        Some(source) => {
            if let SecretSource::File(path) = source {
                refuse_open_secret(path)?;
            }
            source.read("secret_key")?
        }
        None if matches!(database, Database::Postgres(_)) => {
            return Err(Failure::usage(
                "secret_key: is required with Postgres, the same for every server on it",
            ));
        }
        None => own_secret_key(&own_secret_path(settings))?,
    };
    if secret.len() < SecretKey::MIN_BYTES {
        return Err(Failure::usage("secret_key: must be at least 32 bytes"));
    }
    Ok(secret.into_bytes())
}

/// The secret key, if there is one: none is created.
pub(crate) fn existing_secret_key(settings: &Settings) -> Result<Option<Vec<u8>>, Failure> {
    if settings.secret_key.is_none() && !own_secret_path(settings).exists() {
        return Ok(None);
    }
    secret_key(settings, &settings.database()?).map(Some)
}

/// Origin of the secret key, for people.
pub(crate) fn secret_origin(settings: &Settings) -> String {
    match &settings.secret_key {
        Some(SecretSource::Env(name)) => format!("the environment variable {name}"),
        Some(SecretSource::File(path)) => path.display().to_string(),
        _ => own_secret_path(settings).display().to_string(),
    }
}

fn own_secret_path(settings: &Settings) -> PathBuf {
    settings.data_dir.join("secret_key")
}

/// Refuses to begin a new store where one was lost: its kept log lines are still there.
pub(crate) fn refuse_lost_database(settings: &Settings, database: &Path) -> Result<(), Failure> {
    let state = match fs::metadata(database) {
        Ok(file) if file.len() > 0 => return Ok(()),
        Ok(_) => "is empty",
        Err(error) if error.kind() == ErrorKind::NotFound => "is missing",
        // Opening it says what is wrong.
        Err(_) => return Ok(()),
    };
    let (folder, database) = (settings.log_folder(), database.display());
    let failed = |error| Failure::failed(format!("log_dir {}", folder.display()), error);
    let Some(store) = FolderArchive::owner(&folder).map_err(failed)? else { return Ok(()) };
    let (folder, secret) = (folder.display(), secret_origin(settings));
    Err(Failure::usage(format!(
        "database_url: {database} {state}, but log_dir {folder} holds log lines of the store {store}. Restore a backup of \
         it with pilothouse restore; for a new store move {folder} and the secret in {secret} away"
    )))
}

/// Refuses a file of the secret that group or others may read: who has it can sign as the server, and make app keys.
///
/// A credential of systemd has a list of its readers, which looks like a right of its group.
fn refuse_open_secret(path: &Path) -> Result<(), Failure> {
    if std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|folder| path.starts_with(folder)) {
        return Ok(());
    }
    // One that cannot be looked at cannot be read either, and reading says why.
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.mode() & 0o777);
    if mode & 0o077 != 0 {
        let path = path.display();
        return Err(Failure::usage(format!(
            "secret_key: {path} is open to group or others (mode {mode:04o}); chmod 0600 {path}"
        )));
    }
    Ok(())
}

fn own_secret_key(path: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::failed(format!("secret key {}", path.display()), error);
    refuse_open_secret(path)?;
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        read => return read.map(|text| text.trim_end().to_owned()).map_err(failed),
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::failed("the operating system's randomness", error))?;
    let secret = hex::encode(random);
    // Written under another name and then linked: a process that is killed here leaves no half of a key behind.
    let draft = path.with_extension(std::process::id().to_string());
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(secret.as_bytes())?;
        file.sync_all()?;
        // A link fails if another process was faster; then that one's key is used.
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => fs::remove_file(&draft)?,
        }
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(failed)?;
    fs::read_to_string(path).map(|text| text.trim_end().to_owned()).map_err(failed)
}
