//! Composition of the crates by the settings: the store, the domain, log intake and the routers.

use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use pilothouse_cdn_providers::{CdnSettings, providers};
use pilothouse_core::ports::{BlobStore, LogArchive, Storage};
use pilothouse_core::{Pilothouse, SecretKey, Workers};
use pilothouse_http_axum::{ApiState, HttpSettings};
use pilothouse_log_intake::{
    ArchiveError, CityDatabase, FolderArchive, LogPipeline, ObjectArchive, ObjectArchiveError,
    ShippedLogReader,
};
use pilothouse_storage_memory::MemoryStorage;
use pilothouse_storage_sqlx::{PostgresSettings, SqliteSettings, SqlxStorage};
use tokio_util::sync::CancellationToken;

use crate::bucket_blobs::BucketBlobs;
use crate::failure::Failure;
use crate::folder_blobs::FolderBlobs;
use crate::folder_releases::FolderReleases;
use crate::object_storage::Location;
use crate::settings::{Database, Settings};
use crate::webhook::{WebhookClient, WebhookSettings};
use crate::{console, data_folder, edge_logs, object_storage};

/// Time limit of the first look at object storage.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit of the background work's last flush, and of closing the store.
pub(crate) const FAREWELL: Duration = Duration::from_millis(2500);

/// Open store with this version's schema.
pub(crate) struct Opened {
    pub(crate) storage: Arc<dyn Storage>,
    /// The store as a database, unless it is in memory.
    pub(crate) database: Option<SqlxStorage>,
    /// Names of the migrations that were applied when it was opened.
    pub(crate) applied: Vec<&'static str>,
}

impl Opened {
    /// Closes the store, if it can be in time.
    pub(crate) async fn close(&self) {
        if let Some(database) = &self.database {
            let _ = tokio::time::timeout(FAREWELL, database.close()).await;
        }
    }
}

/// Runs a command on the store, which is closed after it: the last connection leaves no log beside the file.
pub(crate) async fn with_store<T>(
    settings: &Settings,
    command: impl AsyncFnOnce(&Opened) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let opened = open(settings).await?;
    let done = command(&opened).await;
    opened.close().await;
    done
}

/// Opens the store and migrates it.
pub(crate) async fn open(settings: &Settings) -> Result<Opened, Failure> {
    data_folder::prepare(&settings.data_dir)?;
    let database = match settings.database()? {
        Database::Memory => {
            return Ok(Opened {
                storage: Arc::new(MemoryStorage::new()),
                database: None,
                applied: Vec::new(),
            });
        }
        Database::Sqlite(path) => {
            data_folder::refuse_lost_database(settings, &path)?;
            let mut sqlite = SqliteSettings::new(path).watch_content();
            if let Some(connections) = settings.database_connections {
                sqlite = sqlite.readers(connections);
            }
            sqlite.open().await?
        }
        Database::Postgres(url) => {
            let mut postgres = PostgresSettings::new(&url)?;
            if let Some(connections) = settings.database_connections {
                postgres = postgres.connections(connections);
            }
            postgres.connect().await?
        }
    };
    let applied = database.migrate().await?;
    Ok(Opened { storage: Arc::new(database.clone()), database: Some(database), applied })
}

/// Creates the domain over an open store, by the settings. Refuses a secret other than the one that the store is used
/// with, and a folder of log lines that is another store's.
pub(crate) async fn domain(settings: &Settings, opened: &Opened) -> Result<Pilothouse, Failure> {
    let secret = data_folder::secret_key(settings, &settings.database()?)?;
    let domain = pilothouse_core::Settings::default()
        .with_token_life(TimeDelta::hours(settings.token_hours.into()))
        .with_password_min_length(settings.password_min_length)
        .with_tokens_per_account(settings.tokens_per_account)
        .with_apps_per_account(settings.apps_per_account)
        .with_nodes_per_app(settings.nodes_per_app)
        .with_timezone(settings.timezone)
        .with_four_eyes_profiles(settings.four_eyes_profiles.iter().cloned())
        .with_nodes_all_online_is_full(settings.nodes_all_online_is_full)
        .with_secret(SecretKey::new(&secret)?)
        .with_geo_city_database(settings.geo_city_database.is_some())
        .with_blob_max_bytes(settings.blob_max_bytes)
        .with_log_days(settings.log_days)
        .with_city_days(settings.city_days)
        .with_traffic_days(settings.traffic_days)
        .with_unregistered_days(settings.unregistered_days)
        .with_top_url_days(settings.top_url_days)
        .with_edge_silent_after(TimeDelta::seconds(settings.edge_silent_seconds.into()))
        .with_build(env!("CARGO_PKG_VERSION"), env!("BUILD_COMMIT"))
        .with_cdns(settings.cdn.iter().map(CdnSettings::name))
        .with_log_shippers(edge_logs::shippers(&settings.cdn)?)
        .with_webhooks(settings.webhook.iter().map(WebhookSettings::subscription).collect());
    // A client needs the certificates of the system, which a server without webhooks does without.
    let webhooks =
        (!settings.webhook.is_empty()).then(|| WebhookClient::new(&settings.webhook)).transpose()?;
    let pilothouse = Pilothouse::new(opened.storage.clone(), domain)?;
    if !pilothouse.confirm_secret().await? {
        return Err(Failure::usage(format!(
            "secret_key: {} is not the secret that this store is used with; app keys, those that were brought along too, and log links would \
             be invalid",
            data_folder::secret_origin(settings)
        )));
    }
    let archive = log_folder(settings)?;
    claim(settings, opened, &archive, &pilothouse).await?;
    let archive: Arc<dyn LogArchive> = match object_archive(settings, &pilothouse).await? {
        Some(archive) => Arc::new(archive),
        None => Arc::new(archive),
    };
    let blobs = blobs(settings, &pilothouse).await?;
    let mut pilothouse = pilothouse
        .with_providers(providers(settings.cdn.clone())?)
        .with_log_archive(archive)
        .with_blob_store(blobs);
    if let Some(webhooks) = webhooks {
        pilothouse = pilothouse.with_webhook_sender(Arc::new(webhooks));
    }
    if let Some(folder) = &settings.release_root {
        let releases = FolderReleases::open(folder)
            .map_err(|error| Failure::failed(format!("release_root {}", folder.display()), error))?;
        pilothouse = pilothouse.with_release_source(Arc::new(releases));
    }
    pilothouse.cdns().ensure_configured().await?;
    Ok(pilothouse)
}

/// Store of blobs. With Postgres there may be other servers, so it must be the one of all of them, else it is not used.
async fn blobs(settings: &Settings, pilothouse: &Pilothouse) -> Result<Arc<dyn BlobStore>, Failure> {
    match settings.blob_location() {
        Location::Folder(folder) => Ok(Arc::new(folder_blobs(settings, pilothouse, &folder).await?)),
        Location::Bucket { .. } => Ok(Arc::new(bucket_blobs(settings, pilothouse)?)),
    }
}

/// Blobs in a bucket.
fn bucket_blobs(settings: &Settings, pilothouse: &Pilothouse) -> Result<BucketBlobs, Failure> {
    let database = settings.database()?;
    if database == Database::Memory {
        return Err(Failure::usage("blob_dir: a store in memory forgets what it kept in a bucket"));
    }
    let objects = object_storage::open(settings, "blob_dir", &settings.blob_location())?;
    Ok(BucketBlobs::new(objects, pilothouse.clone(), matches!(database, Database::Postgres(_))))
}

/// Warns where the bucket of blobs is not used, after a time limit: a server starts also while it is out of reach.
pub(crate) async fn confirm_bucket_blobs(
    settings: &Settings,
    pilothouse: &Pilothouse,
) -> Result<(), Failure> {
    let location = settings.blob_location();
    if !matches!(location, Location::Bucket { .. }) {
        return Ok(());
    }
    let blobs = bucket_blobs(settings, pilothouse)?;
    match tokio::time::timeout(CLAIM_TIMEOUT, blobs.refusal()).await {
        Ok(Ok(None)) => {}
        Ok(Ok(Some(reason))) => tracing::warn!(reason, blob_dir = %location, "blobs are refused here"),
        Ok(Err(error)) => {
            let error = &error as &dyn StdError;
            tracing::warn!(error, blob_dir = %location, "the bucket of blobs cannot be reached");
        }
        Err(_) => tracing::warn!(blob_dir = %location, "the bucket of blobs does not answer"),
    }
    Ok(())
}

/// Blobs in a folder.
async fn folder_blobs(
    settings: &Settings,
    pilothouse: &Pilothouse,
    folder: &Path,
) -> Result<FolderBlobs, Failure> {
    let failed = |error| Failure::failed(format!("blob_dir {}", folder.display()), error);
    let blobs = FolderBlobs::open(folder).map_err(failed)?;
    if !matches!(settings.database()?, Database::Postgres(_)) {
        return Ok(blobs);
    }
    let id = blobs.id().map_err(failed)?;
    if pilothouse.confirm_blob_folder(&id).await? {
        return Ok(blobs);
    }
    tracing::warn!(
        blob_dir = %folder.display(),
        "blob_dir is not the folder that the other servers on this store use; blobs are refused here"
    );
    Ok(blobs.refused("blob_dir of this server is not the folder that the other servers on its store use"))
}

/// Makes the folder of log lines the store's. A store in memory claims none, and uses none that was claimed.
async fn claim(
    settings: &Settings,
    opened: &Opened,
    archive: &FolderArchive,
    pilothouse: &Pilothouse,
) -> Result<(), Failure> {
    let folder = settings.log_folder();
    let failed = |error| match error {
        ArchiveError::OtherOwner { .. } => {
            Failure::usage(format!("log_dir: {error}; each store needs a folder of its own"))
        }
        error => Failure::failed(format!("log_dir {}", folder.display()), error),
    };
    let is_claimed = FolderArchive::owner(&folder).map_err(failed)?.is_some();
    if opened.database.is_none() && !is_claimed {
        return Ok(());
    }
    archive.claim(&pilothouse.store_identity().await?.id).map_err(failed)
}

/// Archive of kept lines that goes up into object storage, where the settings name one.
pub(crate) async fn object_archive(
    settings: &Settings,
    pilothouse: &Pilothouse,
) -> Result<Option<ObjectArchive>, Failure> {
    let Some(location) = &settings.log_archive else { return Ok(None) };
    if settings.database()? == Database::Memory {
        return Err(Failure::usage("log_archive: a store in memory forgets what it kept there"));
    }
    let objects = object_storage::open(settings, "log_archive", location)?;
    let store = pilothouse.store_identity().await?.id;
    Ok(Some(ObjectArchive::new(log_folder(settings)?, objects, store)))
}

/// Makes the object storage of kept lines the store's, within a time limit: a server starts also while it is out of reach.
pub(crate) async fn claim_objects(settings: &Settings, archive: &ObjectArchive) -> Result<(), Failure> {
    let location = settings.log_archive.as_ref().map(ToString::to_string).unwrap_or_default();
    match tokio::time::timeout(CLAIM_TIMEOUT, archive.claim()).await {
        Ok(Ok(())) => {}
        Ok(Err(error @ ObjectArchiveError::OtherOwner { .. })) => {
            return Err(Failure::usage(format!(
                "log_archive {location}: {error}; each store needs one of its own"
            )));
        }
        Ok(Err(error)) => {
            let error = &error as &dyn StdError;
            tracing::warn!(
                error,
                location,
                "the log archive cannot be reached; kept lines stay in log_dir meanwhile"
            );
        }
        Err(_) => {
            tracing::warn!(location, "the log archive does not answer; kept lines stay in log_dir meanwhile");
        }
    }
    Ok(())
}

/// Folder of kept lines of access logs.
fn log_folder(settings: &Settings) -> Result<FolderArchive, Failure> {
    let folder = settings.log_folder();
    FolderArchive::open(&folder)
        .map_err(|error| Failure::failed(format!("log_dir {}", folder.display()), error))
}

/// City database of client addresses, if one is set.
fn cities(settings: &Settings) -> Result<Option<Arc<CityDatabase>>, Failure> {
    let opened = settings.geo_city_database.as_deref().map(CityDatabase::open).transpose();
    Ok(opened.map_err(|error| Failure::failed("geo_city_database", error))?.map(Arc::new))
}

/// Log pipeline into the domain, which can read shipped logs from then on.
pub(crate) fn log_pipeline(settings: &Settings, pilothouse: Pilothouse) -> Result<LogPipeline, Failure> {
    let (archive, cities) = (log_folder(settings)?, cities(settings)?);
    let mut reader = ShippedLogReader::new(archive.clone(), settings.timezone);
    reader = edge_logs::with_layouts(reader, &settings.cdn);
    if let Some(cities) = cities.clone() {
        reader = reader.cities(cities);
    }
    let pipeline = LogPipeline::new(pilothouse.with_log_reader(Arc::new(reader)), archive);
    Ok(match cities {
        Some(cities) => pipeline.cities(cities),
        None => pipeline,
    })
}

/// Background work: the domain's jobs, the following of logs, and the upload of kept lines.
pub(crate) async fn work(
    settings: &Settings,
    pipeline: LogPipeline,
    archive: Option<ObjectArchive>,
    ended: CancellationToken,
) {
    let pilothouse = pipeline.pilothouse().clone();
    // Not awaited: a log that is just being read is safe to drop.
    tokio::spawn(pipeline.follow(edge_logs::followed(&settings.cdn), ended.clone()));
    let upload = async {
        if let Some(archive) = archive {
            archive.work(pilothouse.clone(), ended.clone()).await;
        }
    };
    tokio::join!(Workers::new(pilothouse.clone()).run(ended.clone()), upload);
}

/// State of the routers, with HTTP settings.
pub(crate) fn api(settings: &Settings, pilothouse: Pilothouse) -> ApiState {
    ApiState::new(pilothouse).settings(
        HttpSettings::default()
            .with_public_url(settings.public_url.clone())
            .with_tls(settings.tls_certificate.is_some())
            .with_front(console::is_served(settings).then(|| console::PATH.to_owned()))
            .with_trusted_proxies(settings.trusted_proxies.iter().map(|proxy| proxy.0))
            .with_config_get_writes(settings.config_get_writes)
            .with_apollo_unsigned_apps(&settings.apollo_unsigned_apps)
            .with_long_poll(Duration::from_secs(settings.long_poll_seconds.into()))
            .with_cors_origins(settings.cors_origins.iter().cloned()),
    )
}
