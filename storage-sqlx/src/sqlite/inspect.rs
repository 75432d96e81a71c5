//! Look at a database file that writes nothing.

use std::path::Path;

use pilothouse_core::ports::StorageResult;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::settings::BUSY;
use crate::connection::Connection;
use crate::error::refused;
use crate::session::Session;
use crate::{SqlxStorage, migrate};

impl SqlxStorage {
    /// Checks that an existing SQLite file holds a store with the schema of this version. The file is opened for reading
    /// only, beside whoever uses it, and not created where it is missing.
    pub async fn inspect_sqlite(path: impl AsRef<Path>) -> StorageResult<()> {
        let path = path.as_ref();
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            // Without a log nobody uses the file, and there is none to be created either.
            .immutable(!Path::new(&log).exists())
            .busy_timeout(BUSY);
        let pool =
            SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(refused)?;
        let connection = pool.acquire().await.map_err(refused)?;
        let checked = migrate::check(&mut Connection::new(Session::Sqlite(connection))).await;
        pool.close().await;
        checked
    }
}
