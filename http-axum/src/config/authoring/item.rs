//! `/config/*`: what changes configuration items.

use axum::extract::State;
use pilothouse_core::config::{Content, ContentChange, ItemId, ItemName};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::args::Args;
use crate::config::write::{Null, Writer, done};
use crate::envelope::{Data, Reply, data};
use crate::optional_member::text_or_empty;
use crate::state::ApiState;

/// A config to create.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConfigCreate {
    /// Name of the app.
    #[param(min_length = 1, max_length = 64, example = "app2")]
    app: String,
    /// The profile: of `A-Z a-z 0-9 . _ -`, not `.` or `..`.
    #[param(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$", example = "test")]
    profile: String,
    /// The key; at most 256 bytes.
    #[param(min_length = 1, max_length = 256, example = "key")]
    key: String,
    /// The value; at most 1 MiB, may hold TAB, CR and LF.
    #[param(max_length = 1_048_576, example = "val")]
    value: String,
    /// Validator of the value; at most 65,536 bytes. `json`, `yaml`, `toml`, `int`, `url`, `regex:` and a pattern that must be
    /// found, and `jsonschema:` and a schema are enforced here; any other text is a script for front ends.
    #[serde(default, deserialize_with = "text_or_empty")]
    #[param(max_length = 65_536, example = "validator")]
    validator: Option<String>,
    /// Description of the change; at most 4096 bytes, may hold TAB, CR and LF.
    #[serde(default, deserialize_with = "text_or_empty")]
    #[param(max_length = 4096, example = "desc")]
    description: Option<String>,
}

/// Creates a config, and answers its id.
#[utoipa::path(
    method(get, post),
    path = "/config/create",
    tag = "config",
    params(ConfigCreate),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 1"))),
    responses((status = 200, description = "The config's id.", body = Data<i64>)),
)]
pub(super) async fn config_create(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<ConfigCreate>,
) -> Reply<Data<i64>> {
    let ConfigCreate { app, profile, key, value, validator, description } = args;
    let (validator, description) = (validator.unwrap_or_default(), description.unwrap_or_default());
    let content = Content { value, validator, description };
    data(api.pilothouse.items().create(&caller, &ItemName { app, profile, key }, content).await?.0)
}

/// New content of a config; what is not given stays.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConfigUpdate {
    /// Id of the config, where it is sent back: that of this config.
    #[param(example = 1)]
    id: Option<i64>,
    /// Name of the app.
    #[param(min_length = 1, max_length = 64, example = "app2")]
    app: String,
    /// Profile within the app.
    #[param(min_length = 1, max_length = 64, example = "test")]
    profile: String,
    /// Key of the config.
    #[param(min_length = 1, max_length = 256, example = "key")]
    key: String,
    /// The value; at most 1 MiB, may hold TAB, CR and LF.
    #[serde(default, deserialize_with = "text_or_empty")]
    #[param(max_length = 1_048_576, example = "val")]
    value: Option<String>,
    /// Validator of the value; at most 65,536 bytes. `json`, `yaml`, `toml`, `int`, `url`, `regex:` and a pattern that must be
    /// found, and `jsonschema:` and a schema are enforced here; any other text is a script for front ends.
    #[serde(default, deserialize_with = "text_or_empty")]
    #[param(max_length = 65_536, example = "validator")]
    validator: Option<String>,
    /// Description of the change; at most 4096 bytes, may hold TAB, CR and LF.
    #[serde(default, deserialize_with = "text_or_empty")]
    #[param(max_length = 4096, example = "desc")]
    description: Option<String>,
    /// The version the caller saw.
    #[param(minimum = 1, example = 1)]
    version: Option<i64>,
}

/// Makes a new version of a config, unless nothing changes. Nobody has approved it.
#[utoipa::path(
    method(get, post),
    path = "/config/update",
    tag = "config",
    params(ConfigUpdate),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 1"))),
    responses((status = 200, description = "Changed.", body = Data<Null>)),
)]
pub(super) async fn config_update(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<ConfigUpdate>,
) -> Reply<Data<Null>> {
    let ConfigUpdate { id, app, profile, key, value, validator, description, version } = args;
    let change = ContentChange { id: id.map(ItemId), value, validator, description };
    api.pilothouse.items().update(&caller, &ItemName { app, profile, key }, change, version).await?;
    done()
}

/// Config by name, with the version the caller saw.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConfigSeen {
    /// Name of the app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Profile within the app.
    #[param(min_length = 1, max_length = 64, example = "dev1")]
    profile: String,
    /// Key of the config.
    #[param(min_length = 1, max_length = 256, example = "key1")]
    key: String,
    /// The version the caller saw.
    #[param(minimum = 1, example = 1)]
    version: Option<i64>,
}

/// Deletes a config. Once a version of it was published that takes grant 9.
#[utoipa::path(
    method(get, post),
    path = "/config/del",
    tag = "config",
    params(ConfigSeen),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 1; grant 9 where it is published"))),
    responses((status = 200, description = "Deleted.", body = Data<Null>)),
)]
pub(super) async fn config_del(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<ConfigSeen>,
) -> Reply<Data<Null>> {
    let ConfigSeen { app, profile, key, version } = args;
    api.pilothouse.items().delete(&caller, &ItemName { app, profile, key }, version).await?;
    done()
}

/// Approves the current version of a config. In a profile under four-eyes its modifier cannot.
#[utoipa::path(
    method(get, post),
    path = "/config/approve",
    tag = "config",
    params(ConfigSeen),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "Approved.", body = Data<Null>)),
)]
pub(super) async fn config_approve(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<ConfigSeen>,
) -> Reply<Data<Null>> {
    let ConfigSeen { app, profile, key, version } = args;
    api.pilothouse.items().approve(&caller, &ItemName { app, profile, key }, version).await?;
    done()
}

/// Version to return to.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConfigRollback {
    /// Name of the app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Profile within the app.
    #[param(min_length = 1, max_length = 64, example = "dev1")]
    profile: String,
    /// Key of the config.
    #[param(min_length = 1, max_length = 256, example = "key1")]
    key: String,
    /// The version to go back to.
    #[param(minimum = 1, example = 1)]
    version: i64,
}

/// Makes a new version of a config with what an old one says, unless nothing changes. Nobody has approved it.
#[utoipa::path(
    method(get, post),
    path = "/config/rollback",
    tag = "config",
    params(ConfigRollback),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 1"))),
    responses((status = 200, description = "Changed.", body = Data<Null>)),
)]
pub(super) async fn config_rollback(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<ConfigRollback>,
) -> Reply<Data<Null>> {
    let ConfigRollback { app, profile, key, version } = args;
    api.pilothouse.items().roll_back(&caller, &ItemName { app, profile, key }, version).await?;
    done()
}
