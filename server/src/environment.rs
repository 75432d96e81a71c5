//! Settings that environment variables carry.

use toml::Value;

/// Parser of an environment variable's text.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Integer,
    Boolean,
    List,
}

/// Every key that has an environment variable.
pub(crate) const KEYS: &[(&str, Kind)] = &[
    ("listen", Kind::Text),
    ("data_dir", Kind::Text),
    ("database_url", Kind::Text),
    ("database_connections", Kind::Integer),
    ("public_url", Kind::Text),
    ("log_format", Kind::Text),
    ("secret_key", Kind::Text),
    ("tls_certificate", Kind::Text),
    ("tls_key", Kind::Text),
    ("timezone", Kind::Text),
    ("token_hours", Kind::Integer),
    ("password_min_length", Kind::Integer),
    ("tokens_per_account", Kind::Integer),
    ("apps_per_account", Kind::Integer),
    ("nodes_per_app", Kind::Integer),
    ("trusted_proxies", Kind::List),
    ("config_get_writes", Kind::Boolean),
    ("four_eyes_profiles", Kind::List),
    ("nodes_all_online_is_full", Kind::Boolean),
    ("apollo_unsigned_apps", Kind::List),
    ("cors_origins", Kind::List),
    ("console", Kind::Boolean),
    ("console_language", Kind::Text),
    ("geo_city_database", Kind::Text),
    ("log_dir", Kind::Text),
    ("log_archive", Kind::Text),
    ("blob_dir", Kind::Text),
    ("blob_max_bytes", Kind::Integer),
    ("release_root", Kind::Text),
    ("s3_endpoint", Kind::Text),
    ("s3_region", Kind::Text),
    ("s3_access_key_id", Kind::Text),
    ("s3_secret_access_key", Kind::Text),
    ("log_days", Kind::Integer),
    ("city_days", Kind::Integer),
    ("traffic_days", Kind::Integer),
    ("unregistered_days", Kind::Integer),
    ("top_url_days", Kind::Integer),
    ("edge_silent_seconds", Kind::Integer),
    ("metrics_listen", Kind::Text),
    ("connections_per_address", Kind::Integer),
    ("keep_alive_seconds", Kind::Integer),
    ("long_poll_seconds", Kind::Integer),
];

/// Value that an environment variable's text stands for.
pub(crate) fn value(kind: Kind, text: &str) -> Result<Value, &'static str> {
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
