//! Mark: a small file beside the database that names the newest state it was seen in, so that an older copy put in its
//! place is noticed.
//!
//! The state is the last row of the audit trail, to which every publish adds. The file is written at most once a second and
//! not flushed: one that lags behind names a state that the database has passed.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, process};

use chrono::{DateTime, Utc};
use pilothouse_core::Epoch;
use pilothouse_core::ports::StorageResult;
use sqlx::sqlite::SqlitePool;
use tokio::sync::Mutex;

use super::file::DatabaseFile;
use super::with_suffix;
use crate::connection::Connection;
use crate::history::renew;
use crate::statement::statements;
use crate::value::values;

/// Interval of writing the mark.
const PERIOD: Duration = Duration::from_secs(1);

const STATE: &str = "SELECT store_id, epoch, COALESCE(newest.id, 0), COALESCE(newest.at, 0) FROM store_identity \
     LEFT JOIN (SELECT id, at FROM audit ORDER BY id DESC LIMIT 1) AS newest ON TRUE";

statements! {
    STORE = "SELECT store_id, epoch FROM store_identity";
    HAS_ROW = "SELECT EXISTS (SELECT 1 FROM audit WHERE id = $1 AND at = $2)";
    HAS_REVISIONS = "SELECT EXISTS (SELECT 1 FROM app WHERE revision > 0)";
}

/// State of a store at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    store: String,
    epoch: Epoch,
    /// Id and time, in microseconds, of the last row of the audit trail; 0 without one.
    row: i64,
    at: i64,
}

impl Mark {
    /// The state of the store now.
    async fn of(readers: &SqlitePool) -> sqlx::Result<Self> {
        let (store, epoch, row, at) = sqlx::query_as(STATE).fetch_one(readers).await?;
        Ok(Self { store, epoch: Epoch(epoch), row, at })
    }

    /// Reads the file; `None` where there is none, or it cannot be understood.
    fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let mut words = text.split_ascii_whitespace();
        let store = words.next()?.to_owned();
        let mut number = || words.next()?.parse().ok();
        Some(Self { store, epoch: Epoch(number()?), row: number()?, at: number()? })
    }

    /// Replaces the file, readable only by its owner.
    fn write(&self, path: &Path) -> io::Result<()> {
        let draft = with_suffix(path, &format!(".{}", process::id()));
        let written = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft);
        let written = written.and_then(|mut file| {
            writeln!(file, "{} {} {} {}", self.store, self.epoch.0, self.row, self.at)?;
            fs::rename(&draft, path)
        });
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written
    }
}

/// Path of the mark of a database.
pub(super) fn path_of(database: &Path) -> PathBuf {
    with_suffix(database, "-mark")
}

/// Compares the store with the mark beside it, in a write transaction, and renews the epoch where the store may be older or
/// another one.
pub(super) async fn verify(
    connection: &mut Connection,
    database: &Path,
    now: DateTime<Utc>,
) -> StorageResult<()> {
    let Some(mark) = Mark::read(&path_of(database)) else {
        if connection.one(HAS_REVISIONS, values![]).await? {
            renew(connection, Epoch(0), now, "there is no mark beside the database file").await?;
        }
        return Ok(());
    };
    let (store, epoch): (String, Epoch) = connection.one(STORE, values![]).await?;
    let reason = if store != mark.store {
        "the database file is another store's"
    } else if epoch < mark.epoch
        || mark.row > 0 && !connection.one::<bool>(HAS_ROW, values![mark.row, mark.at]).await?
    {
        "the database file is older than the mark beside it"
    } else {
        return Ok(());
    };
    renew(connection, mark.epoch, now, reason).await?;
    Ok(())
}

/// Mark of an open database.
///
/// Nothing is written before the database was compared with the mark that was there, and later only a newer state of the same
/// store: an older copy that was put over the file meanwhile must be found out by the mark, not agree with it.
#[derive(Clone, Debug)]
pub(super) struct MarkFile {
    readers: SqlitePool,
    file: DatabaseFile,
    /// Newest state since the comparison, and whether the file names it.
    newest: Arc<Mutex<Option<(Mark, bool)>>>,
}

impl MarkFile {
    /// Of the database that these connections read.
    pub(super) fn new(readers: SqlitePool, file: DatabaseFile) -> Self {
        Self { readers, file, newest: Arc::default() }
    }

    /// Writes the state of a store that was just compared with its mark.
    pub(super) async fn begin(&self) {
        let mut newest = self.newest.lock().await;
        if let Ok(mark) = Mark::of(&self.readers).await {
            let is_saved = self.save(mark.clone()).await;
            *newest = Some((mark, is_saved));
        }
    }

    /// Writes the state of now, if it is newer than the last one.
    pub(super) async fn advance(&self) {
        let mut newest = self.newest.lock().await;
        let Some((last, is_saved)) = &*newest else { return };
        let Ok(mark) = Mark::of(&self.readers).await else { return };
        let is_newer = (mark.epoch, mark.row) > (last.epoch, last.row);
        if mark.store == last.store && (is_newer || !is_saved && mark == *last) {
            let is_saved = self.save(mark.clone()).await;
            *newest = Some((mark, is_saved));
        }
    }

    /// Writes the mark after every change, at most once a second.
    pub(super) async fn keep(self) {
        loop {
            tokio::time::sleep(PERIOD).await;
            self.advance().await;
        }
    }

    /// Whether the mark was written. A failure is only logged: the file then lags behind.
    async fn save(&self, mark: Mark) -> bool {
        let file = self.file.clone();
        let saved = tokio::task::spawn_blocking(move || {
            // A file that took this one's place has another state.
            file.check().is_ok() && mark.write(&path_of(file.path())).is_ok()
        });
        let saved = saved.await.unwrap_or(false);
        if !saved {
            tracing::debug!("the mark beside the database file was not written; it is tried again");
        }
        saved
    }
}
