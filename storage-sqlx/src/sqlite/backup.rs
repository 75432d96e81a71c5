//! Backups of an SQLite store: checking them, and putting one in the place of the database.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use pilothouse_core::ports::{Clock as _, StorageError, StorageResult, SystemClock};
use pilothouse_core::{Epoch, StoreIdentity};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePoolOptions};

use super::lock::DatabaseLock;
use super::mark::path_of as mark_of;
use super::{SqliteSettings, with_suffix};
use crate::connection::Connection;
use crate::error::refused;
use crate::migrate;
use crate::session::Session;
use crate::statement::statements;
use crate::value::values;

statements! {
    IS_INTACT = "SELECT integrity_check = 'ok' FROM pragma_integrity_check LIMIT 1";
    HAS_TABLE = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1)";
    IDENTITY = "SELECT store_id, epoch, renewed, secret_check FROM store_identity";
}

/// Backup that passed its check: intact, and of a schema that this version serves or can migrate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckedBackup {
    /// Identity of the store; `None` of a backup from before stores had one.
    pub identity: Option<StoreIdentity>,
}

impl CheckedBackup {
    /// Checks a backup, which nobody may write to meanwhile.
    pub async fn of(file: &Path) -> StorageResult<Self> {
        // Without locks and without a log beside it.
        let options = SqliteConnectOptions::new().filename(file).read_only(true).immutable(true);
        let pool =
            SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(refused)?;
        let session = Session::Sqlite(pool.acquire().await.map_err(refused)?);
        let mut connection = Connection::new(session);
        let checked = Self::check(&mut connection).await;
        drop(connection);
        pool.close().await;
        checked
    }

    async fn check(connection: &mut Connection) -> StorageResult<Self> {
        if !connection.one::<bool>(IS_INTACT, values![]).await? {
            return Err(StorageError::backend("the file is damaged: it fails the integrity check"));
        }
        if !has_table(connection, "pilothouse_migration").await? {
            return Err(StorageError::backend("the file is no store of Pilothouse"));
        }
        if has_table(connection, "pilothouse_schema").await? {
            migrate::check_known(connection).await?;
        }
        let identity = if has_table(connection, "store_identity").await? {
            Some(connection.one(IDENTITY, values![]).await?)
        } else {
            None
        };
        Ok(Self { identity })
    }
}

async fn has_table(connection: &mut Connection, name: &'static str) -> StorageResult<bool> {
    connection.one(HAS_TABLE, values![name]).await
}

/// Reason why a backup was not restored. The database is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// A server or command uses the database.
    #[error("{} is in use by a server or a command: stop it first", .0.display())]
    InUse(PathBuf),
    /// There is a database already.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// The copy of the backup could not be opened or migrated.
    #[error("the backup cannot be used")]
    Store(#[from] StorageError),
    /// Refusal of the file system.
    #[error("the file system refused")]
    Io(#[from] io::Error),
}

/// Outcome of a restore.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Restored {
    /// Epoch of the store from now on.
    pub epoch: Epoch,
    /// The database that was there before, under its new name.
    pub put_aside: Option<PathBuf>,
}

/// Draft of the restored database, deleted with what belongs to it unless it took its place.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", "-lock", "-mark"] {
            let _ = fs::remove_file(with_suffix(&self.0, suffix));
        }
    }
}

impl SqliteSettings {
    /// Puts a copy of a checked backup in the place of the database, brings it to this version's schema, and renews its
    /// epoch. An existing database is refused unless `replace`; then it is put aside. Refused while a process uses it.
    pub async fn restore(&self, backup: &Path, replace: bool) -> Result<Restored, RestoreError> {
        let path = &self.path;
        let lock = DatabaseLock::alone(path)?.ok_or_else(|| RestoreError::InUse(path.clone()))?;
        let exists = fs::metadata(path).is_ok_and(|file| file.len() > 0);
        if exists && !replace {
            return Err(RestoreError::Exists(path.clone()));
        }
        let known = if exists { settle(path).await } else { Epoch::default() };
        let draft = Draft(with_suffix(path, ".restoring"));
        copy(backup, &draft.0)?;
        let epoch = Self::prepare(&draft.0, known).await?;
        let put_aside = if exists { Some(put_aside(path, SystemClock.now())?) } else { None };
        for log in ["-wal", "-shm"] {
            remove(&with_suffix(path, log))?;
        }
        // Before the database: a mark that is newer than the file costs one more renewal, one of a lost history hides it.
        if fs::rename(mark_of(&draft.0), mark_of(path)).is_err() {
            remove(&mark_of(path))?;
        }
        fs::rename(&draft.0, path)?;
        File::open(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?
            .sync_all()?;
        drop(lock);
        Ok(Restored { epoch, put_aside })
    }

    /// Migrates the draft and renews its epoch; everything is in the one file afterwards, and durable.
    async fn prepare(draft: &Path, known: Epoch) -> StorageResult<Epoch> {
        let storage = Self::new(draft).open().await?;
        let epoch = storage.migrate_restored(known).await;
        storage.close().await;
        let epoch = epoch?;
        File::open(draft).and_then(|file| file.sync_all()).map_err(StorageError::backend)?;
        Ok(epoch)
    }
}

/// Copies the log of a database into it, and reads its epoch. A database that is damaged has none.
async fn settle(path: &Path) -> Epoch {
    let settled = async {
        let options = SqliteConnectOptions::new().filename(path);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
        let epoch = sqlx::query_scalar("SELECT epoch FROM store_identity").fetch_one(&mut connection).await;
        connection.close().await?;
        epoch
    };
    let settled: sqlx::Result<i64> = settled.await;
    Epoch(settled.unwrap_or_default())
}

fn copy(backup: &Path, draft: &Path) -> io::Result<()> {
    remove(draft)?;
    super::file::create_private(draft).map_err(io::Error::other)?;
    let mut to = fs::OpenOptions::new().write(true).truncate(true).open(draft)?;
    io::copy(&mut File::open(backup)?, &mut to)?;
    to.sync_all()
}

/// Gives the database, and what is left of its log, another name; the database keeps the old one, too, until another takes
/// its place.
fn put_aside(path: &Path, now: DateTime<Utc>) -> io::Result<PathBuf> {
    let aside = with_suffix(path, &format!(".replaced-{}", now.format("%Y%m%dT%H%M%S%fZ")));
    let log = with_suffix(path, "-wal");
    if log.exists() {
        fs::rename(log, with_suffix(&aside, "-wal"))?;
    }
    fs::hard_link(path, &aside)?;
    Ok(aside)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
