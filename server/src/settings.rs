//! What the operator decided: flags beat the environment, which beats the file, which beats the defaults.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::{env, fs};

use chrono_tz::Tz;
use ipnet::IpNet;
use pilothouse_cdn_providers::{CdnSettings, SecretSource};
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

use crate::args::Flags;
use crate::failure::Failure;

/// All settings but those of single commands. The README explains each.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) database_url: Option<String>,
    pub(crate) public_url: Option<String>,
    pub(crate) log_format: LogFormat,
    pub(crate) secret_key: Option<SecretSource>,
    pub(crate) tls_certificate: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) timezone: Tz,
    pub(crate) token_hours: u32,
    pub(crate) password_min_length: usize,
    pub(crate) trusted_proxies: Vec<Proxy>,
    pub(crate) config_get_writes: bool,
    pub(crate) four_eyes_profiles: Vec<String>,
    pub(crate) apollo_unsigned_apps: Vec<String>,
    pub(crate) geo_city_database: Option<PathBuf>,
    pub(crate) log_dir: Option<PathBuf>,
    pub(crate) log_days: u32,
    pub(crate) city_days: u32,
    pub(crate) traffic_days: u32,
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Only in the file.
    pub(crate) cdn: Vec<CdnSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: PathBuf::from("pilothouse-data"),
            database_url: None,
            public_url: None,
            log_format: LogFormat::Text,
            secret_key: None,
            tls_certificate: None,
            tls_key: None,
            timezone: Tz::Asia__Shanghai,
            token_hours: 12,
            password_min_length: 8,
            trusted_proxies: Vec::new(),
            config_get_writes: true,
            four_eyes_profiles: Vec::new(),
            apollo_unsigned_apps: Vec::new(),
            geo_city_database: None,
            log_dir: None,
            log_days: 92,
            city_days: 92,
            traffic_days: 800,
            metrics_listen: None,
            cdn: Vec::new(),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// An address or a block of addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proxy(pub(crate) IpNet);

impl<'de> Deserialize<'de> for Proxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let block = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        block
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(format!("{text} is neither an address nor a block")))
    }
}

/// How the text of an environment variable becomes a value.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Integer,
    Boolean,
    List,
}

/// Every key that has an environment variable.
const KEYS: [(&str, Kind); 21] = [
    ("listen", Kind::Text),
    ("data_dir", Kind::Text),
    ("database_url", Kind::Text),
    ("public_url", Kind::Text),
    ("log_format", Kind::Text),
    ("secret_key", Kind::Text),
    ("tls_certificate", Kind::Text),
    ("tls_key", Kind::Text),
    ("timezone", Kind::Text),
    ("token_hours", Kind::Integer),
    ("password_min_length", Kind::Integer),
    ("trusted_proxies", Kind::List),
    ("config_get_writes", Kind::Boolean),
    ("four_eyes_profiles", Kind::List),
    ("apollo_unsigned_apps", Kind::List),
    ("geo_city_database", Kind::Text),
    ("log_dir", Kind::Text),
    ("log_days", Kind::Integer),
    ("city_days", Kind::Integer),
    ("traffic_days", Kind::Integer),
    ("metrics_listen", Kind::Text),
];

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
        let settings =
            Self::deserialize(table).map_err(|error| Failure::usage(error.message().to_owned()))?;
        settings.check()?;
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
        for (key, days) in
            [("log_days", self.log_days), ("city_days", self.city_days), ("traffic_days", self.traffic_days)]
        {
            if !(1..=36_500).contains(&days) {
                return wrong(key, "must be from 1 to 36500");
            }
        }
        Ok(())
    }

    /// How clients reach this server, without a slash at the end.
    pub(crate) fn public_url(&self) -> String {
        let scheme = if self.tls_certificate.is_some() { "https" } else { "http" };
        let url = self.public_url.clone().unwrap_or_else(|| format!("{scheme}://{}", self.listen));
        url.trim_end_matches('/').to_owned()
    }

    /// Where the store is.
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

fn value(kind: Kind, text: &str) -> Result<Value, &'static str> {
    match kind {
        Kind::Text => Ok(Value::String(text.to_owned())),
        Kind::Integer => text.parse().map(Value::Integer).map_err(|_| "must be an integer"),
        Kind::Boolean => text.parse().map(Value::Boolean).map_err(|_| "must be true or false"),
        Kind::List => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
        }
    }
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
        let secret = refused(&[("PILOTHOUSE_SECRET_KEY", "hunter2hunter2")]);
        assert!(secret.starts_with("secret_key: ") && !secret.contains("hunter2"), "{secret}");
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
