//! Settings of the program: flags beat the environment, which beats the file, which beats the defaults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::{env, fs};

use chrono_tz::Tz;
use pilothouse_cdn_providers::{CdnSettings, SecretSource};
use pilothouse_http_axum::Origin;
use serde::Deserialize;
use toml::{Table, Value};

use crate::args::Flags;
use crate::environment::{KEYS, value};
use crate::failure::Failure;
use crate::object_storage::{self, Location};
use crate::proxy::Proxy;
use crate::webhook::WebhookSettings;

/// All settings but those of single commands. The README explains each.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) database_url: Option<String>,
    /// Connections to the store; `None` for as many as it opens by itself.
    pub(crate) database_connections: Option<u32>,
    pub(crate) public_url: Option<String>,
    pub(crate) log_format: LogFormat,
    pub(crate) secret_key: Option<SecretSource>,
    pub(crate) tls_certificate: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) timezone: Tz,
    pub(crate) token_hours: u32,
    pub(crate) password_min_length: usize,
    pub(crate) tokens_per_account: usize,
    pub(crate) apps_per_account: usize,
    pub(crate) nodes_per_app: usize,
    pub(crate) trusted_proxies: Vec<Proxy>,
    pub(crate) config_get_writes: bool,
    pub(crate) four_eyes_profiles: Vec<String>,
    pub(crate) nodes_all_online_is_full: bool,
    pub(crate) apollo_unsigned_apps: Vec<String>,
    pub(crate) cors_origins: Vec<Origin>,
    pub(crate) console: bool,
    pub(crate) console_language: ConsoleLanguage,
    pub(crate) geo_city_database: Option<PathBuf>,
    pub(crate) log_dir: Option<PathBuf>,
    pub(crate) log_archive: Option<Location>,
    pub(crate) blob_dir: Option<Location>,
    pub(crate) blob_max_bytes: i64,
    pub(crate) release_root: Option<PathBuf>,
    pub(crate) s3_endpoint: Option<String>,
    pub(crate) s3_region: Option<String>,
    pub(crate) s3_access_key_id: Option<SecretSource>,
    pub(crate) s3_secret_access_key: Option<SecretSource>,
    pub(crate) log_days: u32,
    pub(crate) city_days: u32,
    pub(crate) traffic_days: u32,
    pub(crate) unregistered_days: u32,
    pub(crate) top_url_days: u32,
    pub(crate) edge_silent_seconds: u32,
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) connections_per_address: usize,
    pub(crate) keep_alive_seconds: u32,
    pub(crate) long_poll_seconds: u32,
    /// Only in the file.
    pub(crate) cdn: Vec<CdnSettings>,
    /// Only in the file.
    pub(crate) webhook: Vec<WebhookSettings>,
    /// The file that the settings were read from.
    #[serde(skip)]
    pub(crate) file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: PathBuf::from("pilothouse-data"),
            database_url: None,
            database_connections: None,
            public_url: None,
            log_format: LogFormat::Text,
            secret_key: None,
            tls_certificate: None,
            tls_key: None,
            timezone: Tz::Asia__Shanghai,
            token_hours: 12,
            password_min_length: 8,
            tokens_per_account: 100,
            apps_per_account: 1_000,
            nodes_per_app: 20_000,
            trusted_proxies: Vec::new(),
            config_get_writes: true,
            four_eyes_profiles: Vec::new(),
            nodes_all_online_is_full: true,
            apollo_unsigned_apps: Vec::new(),
            cors_origins: Vec::new(),
            console: true,
            console_language: ConsoleLanguage::Auto,
            geo_city_database: None,
            log_dir: None,
            log_archive: None,
            blob_dir: None,
            blob_max_bytes: 1 << 30,
            release_root: None,
            s3_endpoint: None,
            s3_region: None,
            s3_access_key_id: None,
            s3_secret_access_key: None,
            log_days: 92,
            city_days: 92,
            traffic_days: 800,
            unregistered_days: 7,
            top_url_days: 31,
            edge_silent_seconds: 60,
            metrics_listen: None,
            connections_per_address: 10_000,
            keep_alive_seconds: 75,
            long_poll_seconds: 50,
            cdn: Vec::new(),
            webhook: Vec::new(),
            file: None,
        }
    }
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Language of the console.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) enum ConsoleLanguage {
    /// That of each browser.
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "en")]
    English,
    #[serde(rename = "zh-CN")]
    Chinese,
}

#[cfg(feature = "console")]
impl ConsoleLanguage {
    pub(crate) fn language(self) -> Option<pilothouse_console::Language> {
        match self {
            Self::Auto => None,
            Self::English => Some(pilothouse_console::Language::English),
            Self::Chinese => Some(pilothouse_console::Language::Chinese),
        }
    }
}

/// Greatest `blob_max_bytes`: 1 TiB.
const MOST_BLOB_BYTES: i64 = 1 << 40;

const PREFIX: &str = "PILOTHOUSE_";

impl Settings {
    /// Loads and checks the settings.
    pub(crate) fn load(flags: Flags) -> Result<Self, Failure> {
        let environment = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .map(|(name, value)| match value.into_string() {
                Ok(value) => Ok((name, value)),
                Err(_) => Err(Failure::usage(format!("{name}: is not UTF-8"))),
            })
            .collect::<Result<BTreeMap<_, _>, _>>()?;
        Self::layered(flags, &environment)
    }

    fn layered(flags: Flags, environment: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let file = flags.config.or_else(|| environment.get("PILOTHOUSE_CONFIG").map(PathBuf::from));
        let mut table = match &file {
            Some(path) => {
                let text = fs::read_to_string(path);
                let text = text.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
                // Read on its own first, so that an error shows the line in the file.
                toml::from_str::<Self>(&text)
                    .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
                text.parse::<Table>()
                    .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?
            }
            None => Table::new(),
        };
        for (name, text) in environment {
            let key = name[PREFIX.len()..].to_ascii_lowercase();
            if key == "config" || key.starts_with("test_") {
                continue;
            }
            let Some((_, kind)) = KEYS.iter().find(|(known, _)| *known == key) else {
                return Err(Failure::usage(format!("{name}: there is no setting {key}")));
            };
            table.insert(key, value(*kind, text).map_err(|why| Failure::usage(format!("{name}: {why}")))?);
        }
        for (key, text) in [
            ("listen", flags.listen),
            ("data_dir", flags.data_dir),
            ("database_url", flags.database_url),
            ("public_url", flags.public_url),
            ("log_format", flags.log_format),
        ] {
            if let Some(text) = text {
                table.insert(key.to_owned(), Value::String(text));
            }
        }
        for (key, one) in &table {
            let alone = Table::from_iter([(key.clone(), one.clone())]);
            Self::deserialize(alone)
                .map_err(|error| Failure::usage(format!("{key}: {}", error.message())))?;
        }
        let mut settings =
            Self::deserialize(table).map_err(|error| Failure::usage(error.message().to_owned()))?;
        settings.check()?;
        settings.file = file;
        Ok(settings)
    }

    fn check(&self) -> Result<(), Failure> {
        let wrong = |key: &str, why: &str| Err(Failure::usage(format!("{key}: {why}")));
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            return wrong("tls_certificate", "and tls_key go together");
        }
        if !(1..=8760).contains(&self.token_hours) {
            return wrong("token_hours", "must be from 1 to 8760");
        }
        if !(1..=1024).contains(&self.password_min_length) {
            return wrong("password_min_length", "must be from 1 to 1024");
        }
        if self.database_connections.is_some_and(|connections| !(2..=1000).contains(&connections)) {
            return wrong("database_connections", "must be from 2 to 1000");
        }
        if !(1..=MOST_BLOB_BYTES).contains(&self.blob_max_bytes) {
            return wrong("blob_max_bytes", "must be from 1 to 1099511627776");
        }
        if self.connections_per_address == 0 {
            return wrong("connections_per_address", "must be at least 1");
        }
        if !(1..=3600).contains(&self.keep_alive_seconds) {
            return wrong("keep_alive_seconds", "must be from 1 to 3600");
        }
        if !(5..=86_400).contains(&self.edge_silent_seconds) {
            return wrong("edge_silent_seconds", "must be from 5 to 86400");
        }
        if !(5..=60).contains(&self.long_poll_seconds) {
            return wrong("long_poll_seconds", "must be from 5 to 60");
        }
        for (key, most) in [
            ("tokens_per_account", self.tokens_per_account),
            ("apps_per_account", self.apps_per_account),
            ("nodes_per_app", self.nodes_per_app),
        ] {
            if !(1..=1_000_000).contains(&most) {
                return wrong(key, "must be from 1 to 1000000");
            }
        }
        for (key, days) in [
            ("log_days", self.log_days),
            ("city_days", self.city_days),
            ("traffic_days", self.traffic_days),
            ("unregistered_days", self.unregistered_days),
            ("top_url_days", self.top_url_days),
        ] {
            if !(1..=36_500).contains(&days) {
                return wrong(key, "must be from 1 to 36500");
            }
        }
        object_storage::check(self)
    }

    /// URL of the server for a client on this machine: `public_url`, or the address it listens on.
    pub(crate) fn server_url(&self) -> String {
        self.url_of(self.listen)
    }

    /// URL of a server that listens on an address: `public_url`, or that address.
    pub(crate) fn url_of(&self, address: SocketAddr) -> String {
        let scheme = if self.tls_certificate.is_some() { "https" } else { "http" };
        let url = self.public_url.clone().unwrap_or_else(|| format!("{scheme}://{address}"));
        url.trim_end_matches('/').to_owned()
    }

    /// Location of contents of tasks.
    pub(crate) fn blob_location(&self) -> Location {
        self.blob_dir.clone().unwrap_or_else(|| Location::Folder(self.data_dir.join("blobs")))
    }

    /// Folder of kept log lines.
    pub(crate) fn log_folder(&self) -> PathBuf {
        self.log_dir.clone().unwrap_or_else(|| self.data_dir.join("logs"))
    }

    /// Location of the store.
    pub(crate) fn database(&self) -> Result<Database, Failure> {
        match self.database_url.as_deref() {
            None => Ok(Database::Sqlite(self.data_dir.join("pilothouse.db"))),
            Some("memory:") => Ok(Database::Memory),
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(Database::Postgres(url.to_owned()))
            }
            Some(url) => match url.strip_prefix("sqlite:") {
                Some(path) if !path.is_empty() => Ok(Database::Sqlite(path.into())),
                _ => Err(Failure::usage("database_url: must be sqlite:FILE, postgres://… or memory:")),
            },
        }
    }
}

/// The stores there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite(PathBuf),
    Postgres(String),
    Memory,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn refused(pairs: &[(&str, &str)]) -> String {
        Settings::layered(Flags::default(), &environment(pairs)).unwrap_err().to_string()
    }

    #[test]
    fn flags_beat_the_environment() {
        let flags = Flags { listen: Some("127.0.0.1:1".into()), ..Flags::default() };
        let layers = environment(&[
            ("PILOTHOUSE_LISTEN", "127.0.0.1:2"),
            ("PILOTHOUSE_TOKEN_HOURS", "5"),
            ("PILOTHOUSE_TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
            ("PILOTHOUSE_CONFIG_GET_WRITES", "false"),
        ]);
        let settings = Settings::layered(flags, &layers).unwrap();
        assert_eq!(settings.listen.port(), 1);
        assert_eq!(
            (settings.token_hours, settings.trusted_proxies.len(), settings.config_get_writes),
            (5, 2, false)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(refused(&[("PILOTHOUSE_LISTN", "x")]), "PILOTHOUSE_LISTN: there is no setting listn");
        assert!(refused(&[("PILOTHOUSE_LISTEN", "x")]).starts_with("listen: "));
        assert!(refused(&[("PILOTHOUSE_TIMEZONE", "Mars/Base")]).starts_with("timezone: "));
        assert_eq!(refused(&[("PILOTHOUSE_TOKEN_HOURS", "x")]), "PILOTHOUSE_TOKEN_HOURS: must be an integer");
        assert_eq!(refused(&[("PILOTHOUSE_TOKEN_HOURS", "0")]), "token_hours: must be from 1 to 8760");
        for origin in ["*", "https://a.example/", "a.example", "https://a.example,*"] {
            let reason = refused(&[("PILOTHOUSE_CORS_ORIGINS", origin)]);
            assert!(
                reason.starts_with("cors_origins: must be http:// or https://, a host"),
                "{origin}: {reason}"
            );
        }
        let secret = refused(&[("PILOTHOUSE_SECRET_KEY", "hunter2hunter2")]);
        assert!(secret.starts_with("secret_key: ") && !secret.contains("hunter2"), "{secret}");
    }

    /// Cargo hands what the build script sets to the programs that it runs, too: to this test, and to the server.
    #[test]
    fn nothing_that_the_build_sets_is_taken_for_a_setting() {
        let taken = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with(PREFIX));
        let taken: Vec<_> = taken.filter(|name| !name.starts_with("PILOTHOUSE_TEST_")).collect();
        assert_eq!(taken, Vec::<String>::new());
    }

    #[test]
    fn every_key_has_an_environment_variable() {
        let known = refused_key_list();
        for (key, _) in KEYS {
            assert!(known.contains(&format!("`{key}`")), "{key} is a setting: {known}");
        }
    }

    fn refused_key_list() -> String {
        Settings::deserialize(Table::from_iter([("nothing".to_owned(), Value::Boolean(true))]))
            .unwrap_err()
            .to_string()
    }
}
