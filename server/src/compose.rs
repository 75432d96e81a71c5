//! Puts the crates together: the store, the domain and the routers, as the settings say.

use std::sync::Arc;

use chrono::TimeDelta;
use pilothouse_access_log::city::CityDatabase;
use pilothouse_cdn_providers::providers;
use pilothouse_core::ports::Storage;
use pilothouse_core::{Pilothouse, SecretKey, Workers};
use pilothouse_http_axum::{ApiState, HttpSettings};
use pilothouse_storage_memory::MemoryStorage;
use pilothouse_storage_sqlx::SqlxStorage;
use tokio_util::sync::CancellationToken;

use crate::archive::LogFolder;
use crate::failure::Failure;
use crate::follow::{Target, follow};
use crate::reader::ShippedLogs;
use crate::settings::{Database, Settings};
use crate::{edge_logs, folder};

/// An open store with this version's schema.
pub(crate) struct Opened {
    pub(crate) storage: Arc<dyn Storage>,
    /// The same where it is a database.
    pub(crate) database: Option<SqlxStorage>,
    /// The migrations that were applied just now.
    pub(crate) applied: Vec<&'static str>,
}

/// Opens the store and migrates it.
pub(crate) async fn open(settings: &Settings) -> Result<Opened, Failure> {
    folder::prepare(&settings.data_dir)?;
    let database = match settings.database()? {
        Database::Memory => {
            return Ok(Opened {
                storage: Arc::new(MemoryStorage::new()),
                database: None,
                applied: Vec::new(),
            });
        }
        Database::Sqlite(path) => SqlxStorage::sqlite(path).await?,
        Database::Postgres(url) => SqlxStorage::postgres(&url).await?,
    };
    let applied = database.migrate().await?;
    Ok(Opened { storage: Arc::new(database.clone()), database: Some(database), applied })
}

/// The domain over an open store.
pub(crate) async fn domain(settings: &Settings, storage: Arc<dyn Storage>) -> Result<Pilothouse, Failure> {
    let secret = folder::secret(settings, &settings.database()?)?;
    let domain = pilothouse_core::Settings {
        token_life: TimeDelta::hours(settings.token_hours.into()),
        password_min_length: settings.password_min_length,
        timezone: settings.timezone,
        four_eyes_profiles: settings.four_eyes_profiles.clone(),
        public_url: settings.public_url(),
        secret: SecretKey::new(&secret)?,
        geo_city_database: settings.geo_city_database.is_some(),
        log_days: settings.log_days,
        city_days: settings.city_days,
        traffic_days: settings.traffic_days,
        cdns: settings.cdn.iter().map(|cdn| cdn.name().to_owned()).collect(),
        log_shippers: edge_logs::shippers(&settings.cdn)?,
    };
    let pilothouse = Pilothouse::new(storage, domain)?
        .with_providers(providers(settings.cdn.clone())?)
        .with_log_archive(Arc::new(log_folder(settings)?));
    pilothouse.cdns().ensure_configured().await?;
    Ok(pilothouse)
}

/// Where kept lines of access logs lie.
pub(crate) fn log_folder(settings: &Settings) -> Result<LogFolder, Failure> {
    LogFolder::open(&settings.log_dir.clone().unwrap_or_else(|| settings.data_dir.join("logs")))
}

/// Where addresses are, if that is set up.
pub(crate) fn cities(settings: &Settings) -> Result<Option<CityDatabase>, Failure> {
    let opened = settings.geo_city_database.as_deref().map(CityDatabase::open).transpose();
    opened.map_err(|error| Failure::failed("geo_city_database", error))
}

/// The same domain, able to read the logs of edges.
pub(crate) fn with_logs(
    settings: &Settings,
    pilothouse: Pilothouse,
) -> Result<(Pilothouse, Target), Failure> {
    let (folder, cities) = (log_folder(settings)?, cities(settings)?.map(Arc::new));
    let reader = ShippedLogs {
        folder: folder.clone(),
        cities: cities.clone(),
        timezone: settings.timezone,
        layouts: Arc::new(edge_logs::layouts(&settings.cdn)),
    };
    let pilothouse = pilothouse.with_log_reader(Arc::new(reader));
    Ok((pilothouse.clone(), Target { pilothouse, folder, cities }))
}

/// What happens without being asked for: the domain's work, and logs that are followed.
pub(crate) async fn work(settings: &Settings, target: &Target, ended: CancellationToken) {
    follow(edge_logs::followed(&settings.cdn), target, &ended);
    Workers::new(target.pilothouse.clone()).run(ended).await;
}

/// What the routers are given.
pub(crate) fn api(settings: &Settings, pilothouse: Pilothouse) -> ApiState {
    ApiState::new(pilothouse).settings(HttpSettings {
        trusted_proxies: settings.trusted_proxies.iter().map(|proxy| proxy.0).collect(),
        config_get_writes: settings.config_get_writes,
        apollo_unsigned_apps: settings.apollo_unsigned_apps.clone(),
        ..HttpSettings::default()
    })
}
