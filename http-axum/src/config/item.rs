//! `/config/*`: what changes configuration items.

use axum::extract::State;
use pilothouse_core::config::{Content, ItemId, ItemName};
use serde::Deserialize;
use utoipa::IntoParams;

use super::write::{Null, Writer, done};
use crate::args::Args;
use crate::envelope::{Data, Reply, data};
use crate::state::ApiState;

/// A config to create.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConfigCreate {
    /// The app.
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
    /// What checks values; at most 65,536 bytes. `json`, `yaml`, `toml`, `int`, `url`, `regex:` and a pattern that must be
    /// found, and `jsonschema:` and a schema are enforced here; any other text is a script for front ends.
    #[serde(default)]
    #[param(max_length = 65_536, example = "validator")]
    validator: String,
    /// What was changed; at most 4096 bytes, may hold TAB, CR and LF.
    #[serde(default)]
    #[param(max_length = 4096, example = "desc")]
    description: String,
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
) -> Reply<Data<ItemId>> {
    let ConfigCreate { app, profile, key, value, validator, description } = args;
    let content = Content { value, validator, description };
    data(api.pilothouse.items().create(&caller, &ItemName { app, profile, key }, content).await?)
}

/// What a config shall be.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConfigUpdate {
    /// The app.
    #[param(min_length = 1, max_length = 64, example = "app2")]
    app: String,
    /// The profile.
    #[param(min_length = 1, max_length = 64, example = "test")]
    profile: String,
    /// The key.
    #[param(min_length = 1, max_length = 256, example = "key")]
    key: String,
    /// The value; at most 1 MiB, may hold TAB, CR and LF.
    #[param(max_length = 1_048_576, example = "val")]
    value: String,
    /// What checks values; at most 65,536 bytes. `json`, `yaml`, `toml`, `int`, `url`, `regex:` and a pattern that must be
    /// found, and `jsonschema:` and a schema are enforced here; any other text is a script for front ends.
    #[serde(default)]
    #[param(max_length = 65_536, example = "validator")]
    validator: String,
    /// What was changed; at most 4096 bytes, may hold TAB, CR and LF.
    #[serde(default)]
    #[param(max_length = 4096, example = "desc")]
    description: String,
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
    let ConfigUpdate { app, profile, key, value, validator, description, version } = args;
    let content = Content { value, validator, description };
    api.pilothouse.items().update(&caller, &ItemName { app, profile, key }, content, version).await?;
    done()
}

/// Which config.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConfigSeen {
    /// The app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// The profile.
    #[param(min_length = 1, max_length = 64, example = "dev1")]
    profile: String,
    /// The key.
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

/// Which version to go back to.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConfigRollback {
    /// The app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// The profile.
    #[param(min_length = 1, max_length = 64, example = "dev1")]
    profile: String,
    /// The key.
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
