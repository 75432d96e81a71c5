//! The data folder and the secret key in it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::failure::Failure;
use crate::settings::{Database, Settings};

/// The fewest bytes of a secret key.
const SECRET_LENGTH: usize = 32;

/// Makes the data folder (mode 0700) where it is missing; refuses one that is open to group or others.
pub(crate) fn prepare(path: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Failure::failed(format!("data_dir {}", path.display()), error))?;
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

/// The secret key: from where the setting says; made in the data folder where no other server shares the store.
pub(crate) fn secret(settings: &Settings, database: &Database) -> Result<Vec<u8>, Failure> {
    let secret = match &settings.secret_key {
        Some(source) => source.read("secret_key")?,
        None if matches!(database, Database::Postgres(_)) => {
            return Err(Failure::usage(
                "secret_key: is required with Postgres, the same for every server on it",
            ));
        }
        None => own_secret(&settings.data_dir.join("secret_key"))?,
    };
    if secret.len() < SECRET_LENGTH {
        return Err(Failure::usage("secret_key: must be at least 32 bytes"));
    }
    Ok(secret.into_bytes())
}

fn own_secret(path: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::failed(format!("secret key {}", path.display()), error);
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        read => return read.map(|text| text.trim_end().to_owned()).map_err(failed),
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::failed("the operating system's randomness", error))?;
    let secret = hex::encode(random);
    // Written whole under another name: a process that is killed here leaves no half key behind.
    let draft = path.with_extension(std::process::id().to_string());
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(secret.as_bytes())?;
        file.sync_all()?;
        // A link fails where another process was faster; then its key holds.
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => fs::remove_file(&draft)?,
        }
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(failed)?;
    fs::read_to_string(path).map(|text| text.trim_end().to_owned()).map_err(failed)
}
