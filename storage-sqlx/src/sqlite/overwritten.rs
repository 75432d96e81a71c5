//! Detection of a database file that was overwritten in place, as by `cp`: its inode stays, so that only its content tells.
//!
//! The header of the file carries a random number of ours, which every checkpoint writes unchanged, and a counter of changes,
//! which never falls. A backup has no such number, and an older copy a lower counter.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use pilothouse_core::ports::{Ids, RandomIds};
use sqlx::Connection as _;
use sqlx::sqlite::SqlitePool;

/// Bytes of the header that are looked at.
const LENGTH: usize = 64;
/// Offset of the counter of changes, see <https://www.sqlite.org/fileformat.html>.
const COUNTER: usize = 24;
/// Offset of the number that `PRAGMA user_version` sets.
const NUMBER: usize = 60;

/// Content of a database file as the last look found it.
#[derive(Debug)]
pub(super) struct Content {
    /// Never closed: closing any file on the database would release the locks that SQLite holds in this process.
    file: &'static File,
    number: u32,
    /// `None` until the number has reached the file with a checkpoint.
    counter: Option<u32>,
}

impl Content {
    /// Writes a random number into the header, unless it has one, and begins to watch it.
    pub(super) async fn watch(writer: &SqlitePool, path: &Path) -> sqlx::Result<Self> {
        let file = Box::leak(Box::new(File::open(path)?));
        let mut connection = writer.acquire().await?;
        // Two processes that open a new file at once agree on one number.
        let mut work = connection.begin_with("BEGIN IMMEDIATE").await?;
        let known: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *work).await?;
        let number = if known == 0 {
            let [a, b, c, d, ..] = *RandomIds.uuid().as_bytes();
            // Positive and not zero.
            let number = i32::from_be_bytes([a & 0x7f, b, c, d | 1]);
            let set = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {number}"));
            sqlx::raw_sql(set).execute(&mut *work).await?;
            i64::from(number)
        } else {
            known
        };
        work.commit().await?;
        sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut *connection).await?;
        let number = u32::from_be_bytes(i32::try_from(number).unwrap_or_default().to_be_bytes());
        Ok(Self { file, number, counter: None })
    }

    /// Whether the file is another than this process and its peers wrote.
    pub(super) fn is_overwritten(&mut self) -> bool {
        let mut header = [0; LENGTH];
        let found = match self.file.read_exact_at(&mut header, 0) {
            Ok(()) => Some(word(&header, NUMBER)),
            // Emptied: SQLite never does that.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            // Unknown, which is no reason to stop.
            Err(_) => return false,
        };
        let counter = word(&header, COUNTER);
        let is_ours = found == Some(self.number);
        match self.counter {
            None if is_ours => self.counter = Some(counter),
            None => {}
            // It wraps around after four thousand million.
            Some(last) if is_ours && counter.wrapping_sub(last) < u32::MAX / 2 => {
                self.counter = Some(counter);
            }
            Some(_) => return true,
        }
        false
    }
}

fn word(header: &[u8; LENGTH], at: usize) -> u32 {
    u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

/// Takes the number out of a copy, which nobody has open.
pub(super) fn clear_number(copy: &Path) -> io::Result<()> {
    File::options().write(true).open(copy)?.write_all_at(&[0; 4], NUMBER as u64)
}
