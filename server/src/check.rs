//! `check`: whether the settings and what they name would let a server start, found out without writing anything.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::ObjectStoreExt;
use pilothouse_cdn_providers::{EdgeSettings, providers};
use pilothouse_core::error_chain;
use pilothouse_core::ports::{CdnProvider, Providers, Storage};
use pilothouse_log_intake::CityDatabase;
use pilothouse_storage_sqlx::SqlxStorage;
use rustix::fs::{Access, access};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use crate::failure::Failure;
use crate::object_storage::{self, Location};
use crate::settings::{Database, Settings};
use crate::terminal::print;
use crate::tls::TlsPair;
use crate::{data_folder, edge_logs};

/// Time limit of each look at something outside of this machine.
const LIMIT: Duration = Duration::from_secs(5);

/// Finding about one thing: a word for people, or what is wrong.
type Found = Result<String, String>;

/// Prints a line for each thing that a server needs; fails if one is not as it has to be.
pub(crate) async fn check(settings: Settings) -> Result<(), Failure> {
    let mut report = Report::default();
    report.line("settings", Ok("valid".to_owned()))?;
    let data_dir = &settings.data_dir;
    report.line("data_dir", folder(data_dir, true).map(|found| at(data_dir, &found)))?;
    let log_dir = settings.log_folder();
    report.line("log_dir", folder(&log_dir, false).map(|found| at(&log_dir, &found)))?;
    if let Some(location) = &settings.log_archive {
        report.line("log_archive", objects(&settings, "log_archive", location, "store").await)?;
    }
    report.line("blob_dir", objects(&settings, "blob_dir", &settings.blob_location(), "store").await)?;
    if let Some(folder) = &settings.release_root {
        report.line("release_root", readable(folder))?;
    }
    let database = settings.database()?;
    report.line("secret_key", secret(&settings, &database))?;
    report.line("store", store(&settings, &database).await)?;
    if let Some(pair) = TlsPair::of(&settings) {
        let loaded = pair.load().await;
        report
            .line("tls", loaded.map(|_| "certificate and key fit".to_owned()).map_err(|e| e.to_string()))?;
    }
    if let Some(file) = &settings.geo_city_database {
        let opened = CityDatabase::open(file);
        report
            .line("geo_city_database", opened.map(|_| "readable".to_owned()).map_err(|e| error_chain(&e)))?;
    }
    if !settings.cdn.is_empty() {
        let built = providers(settings.cdn.clone());
        report.line("cdn", built.as_ref().map(|_| "valid".to_owned()).map_err(ToString::to_string))?;
        for (cdn, provider) in built.iter().flat_map(Providers::iter) {
            if provider.capabilities().is_vendor {
                report.line(&format!("vendor {cdn}"), vendor(&**provider).await)?;
            }
        }
    }
    for (cdn, edge) in edge_logs::edges(&settings.cdn) {
        report.line(&format!("edge {}/{}", cdn.name, edge.name), reach(edge).await)?;
    }
    for (n, webhook) in settings.webhook.iter().enumerate() {
        let is_twice = settings.webhook[..n].iter().any(|earlier| earlier.name() == webhook.name());
        let checked = webhook.receiver().map(|_| "valid; its URL was not called".to_owned());
        let checked = checked.map_err(|error| error.to_string());
        let checked = if is_twice { Err("is given twice".to_owned()) } else { checked };
        report.line(&format!("webhook {}", webhook.name()), checked)?;
    }
    report.end()
}

/// Lines so far.
#[derive(Default)]
struct Report {
    lines: u32,
    failed: u32,
}

impl Report {
    fn line(&mut self, subject: &str, found: Found) -> Result<(), Failure> {
        self.lines += 1;
        match found {
            Ok(found) => print(&format!("ok      {subject}: {found}")),
            Err(wrong) => {
                self.failed += 1;
                print(&format!("failed  {subject}: {wrong}"))
            }
        }
    }

    fn end(self) -> Result<(), Failure> {
        match self.failed {
            0 => Ok(()),
            failed => Err(Failure::died(format!("{failed} of {} checks failed", self.lines))),
        }
    }
}

fn at(path: &Path, found: &str) -> String {
    format!("{} {found}", path.display())
}

/// A folder that a server makes itself where it is missing.
fn folder(path: &Path, private: bool) -> Found {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let above = path.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Path::new("."));
            return writable(above).map(|()| "does not exist; is made at the start".to_owned());
        }
        Err(error) => return Err(at(path, &format!("cannot be read: {error}"))),
    };
    if !metadata.is_dir() {
        return Err(at(path, "is not a folder"));
    }
    if private && metadata.mode() & 0o077 != 0 {
        return Err(at(path, &format!("is open to group or others; chmod 0700 {}", path.display())));
    }
    writable(path).map(|()| "is writable".to_owned())
}

/// Whether object storage can be listed, and to whom it belongs by its object `owner`.
async fn objects(settings: &Settings, key: &str, location: &Location, owner: &str) -> Found {
    if let Location::Folder(path) = location {
        return folder(path, false).map(|found| at(path, &found));
    }
    let failed = |error: object_store::Error| format!("{location}: {}", error_chain(&error));
    let objects = object_storage::open(settings, key, location).map_err(|failure| failure.to_string())?;
    let look = async {
        // One that is missing is found out by a listing only.
        objects.list(None).try_next().await?;
        match objects.get(&object_store::path::Path::from(owner)).await {
            Ok(found) => Ok(Some(String::from_utf8_lossy(&found.bytes().await?).trim_end().to_owned())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    };
    match timeout(LIMIT, look).await {
        Ok(Ok(Some(owner))) => Ok(format!("{location} can be read; it belongs to {owner}")),
        Ok(Ok(None)) => Ok(format!("{location} can be read; it is nobody's yet")),
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => Err(format!("{location} did not answer within {} s", LIMIT.as_secs())),
    }
}

/// A folder that a server only reads, and does not make.
fn readable(folder: &Path) -> Found {
    let metadata = std::fs::metadata(folder);
    let metadata = metadata.map_err(|error| at(folder, &format!("cannot be read: {error}")))?;
    if !metadata.is_dir() {
        return Err(at(folder, "is not a folder"));
    }
    let allowed = access(folder, Access::READ_OK | Access::EXEC_OK);
    allowed.map_err(|error| at(folder, &format!("cannot be read: {error}")))?;
    Ok(at(folder, "is readable"))
}

fn writable(folder: &Path) -> Result<(), String> {
    let allowed = access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK);
    allowed.map_err(|error| at(folder, &format!("cannot be written to: {error}")))
}

fn secret(settings: &Settings, database: &Database) -> Found {
    let made_at_start = settings.secret_key.is_none()
        && !matches!(database, Database::Postgres(_))
        && !settings.data_dir.join("secret_key").exists();
    if made_at_start {
        return Ok("does not exist; is made at the start".to_owned());
    }
    data_folder::secret_key(settings, database)
        .map(|secret| format!("{} bytes", secret.len()))
        .map_err(|error| error.to_string().trim_start_matches("secret_key: ").to_owned())
}

/// Whether a vendor accepts the credentials, by its list of domains.
async fn vendor(provider: &dyn CdnProvider) -> Found {
    match timeout(LIMIT, provider.domains()).await {
        Ok(Ok(domains)) => Ok(format!("serves {} domains", domains.len())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("did not answer within {} s", LIMIT.as_secs())),
    }
}

async fn store(settings: &Settings, database: &Database) -> Found {
    let path = match database {
        Database::Memory => return Ok("in memory; nothing is kept".to_owned()),
        Database::Postgres(url) => return postgres(url).await,
        Database::Sqlite(path) => path,
    };
    data_folder::refuse_lost_database(settings, path).map_err(|error| error.to_string())?;
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // The folder of the default one was looked at above.
            return Ok(at(path, "does not exist; is made at the start"));
        }
        Err(error) => return Err(at(path, &format!("cannot be read: {error}"))),
    };
    if metadata.mode() & 0o077 != 0 {
        let path = path.display();
        return Err(format!("{path} is open to group or others; chmod 0600 {path}"));
    }
    let allowed = access(path, Access::READ_OK | Access::WRITE_OK);
    allowed.map_err(|error| at(path, &format!("cannot be written to: {error}")))?;
    match SqlxStorage::inspect_sqlite(path).await {
        Ok(()) => Ok(at(path, "has this version's schema")),
        Err(error) => Err(at(path, &error_chain(&error))),
    }
}

async fn postgres(url: &str) -> Found {
    let connect = async {
        let storage = SqlxStorage::postgres(url).await?;
        let ready = storage.ready().await;
        storage.close().await;
        ready
    };
    match timeout(LIMIT, connect).await {
        Ok(Ok(())) => Ok("Postgres answers and has this version's schema".to_owned()),
        Ok(Err(error)) => Err(error_chain(&error)),
        Err(_) => Err("Postgres does not answer".to_owned()),
    }
}

/// Whether an edge can be connected to, has a key that can be read, and a log that can be.
async fn reach(edge: &EdgeSettings) -> Found {
    edge.read_key().map_err(|error| error.to_string())?;
    if let Some(log) = &edge.access_log {
        std::fs::File::open(log).map_err(|error| at(log, &format!("cannot be read: {error}")))?;
    }
    let url: Url = edge.url.parse().map_err(|_| format!("{} is not a URL", edge.url))?;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(format!("{} names no host", edge.url));
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match timeout(LIMIT, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Ok(format!("{} can be connected to", edge.url)),
        Ok(Err(error)) => Err(format!("{}: {error}", edge.url)),
        Err(_) => Err(format!("{} does not answer", edge.url)),
    }
}
