//! `/config/history` and `/config/diff`: what a config was, beyond the document.

use axum::extract::State;
use pilothouse_core::config::{Content, ItemName, ItemVersion};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::query::QueryWithKey;
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Data, Reply, data};
use crate::state::ApiState;

/// A version of a config.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VersionInfo {
    /// Its number.
    #[schema(example = 1)]
    version: i64,
    /// The value.
    #[schema(example = "sl")]
    value: String,
    /// What checks values, or a script for front ends.
    #[schema(example = "validator")]
    validator: String,
    /// What was changed.
    #[schema(example = "111")]
    description: String,
    /// The uid of who made it.
    #[schema(example = "123123")]
    modifier: String,
    /// When it was made: RFC 3339 with the offset of the server's zone.
    #[schema(example = "2017-07-12T15:08:12+08:00")]
    modify_time: String,
    /// The uid of who approved it; empty when nobody did.
    #[schema(example = "123123")]
    approver: String,
}

/// Every version of a config, newest first, also of a deleted one.
#[utoipa::path(
    method(get, post),
    path = "/config/history",
    tag = "config",
    params(QueryWithKey),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 1"))),
    responses((status = 200, description = "The versions.", body = Data<Vec<VersionInfo>>)),
)]
pub(super) async fn config_history(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<QueryWithKey>,
) -> Reply<Data<Vec<VersionInfo>>> {
    let versions = api.pilothouse.items().history(&caller, &args.name()).await?;
    let versions = versions.into_iter().map(|version| {
        let ItemVersion { version, content, modifier, modify_time, approver } = version;
        let Content { value, validator, description } = content;
        VersionInfo {
            version,
            value,
            validator,
            description,
            modifier: modifier.to_string(),
            modify_time: api.local(modify_time),
            approver: approver.map(|uid| uid.to_string()).unwrap_or_default(),
        }
    });
    data(versions.collect())
}

/// Which versions to compare.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConfigDiff {
    /// The app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// The profile.
    #[param(min_length = 1, max_length = 64, example = "dev")]
    profile: String,
    /// The key.
    #[param(min_length = 1, max_length = 256, example = "k1")]
    key: String,
    /// The version to compare from.
    #[param(minimum = 1, example = 1)]
    from: i64,
    /// The version to compare with.
    #[param(minimum = 1, example = 1)]
    to: i64,
}

/// How the values of two versions of a config differ.
#[utoipa::path(
    method(get, post),
    path = "/config/diff",
    tag = "config",
    params(ConfigDiff),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 1"))),
    responses((status = 200, description = "A unified diff; empty where they are equal.", body = Data<String>)),
)]
pub(super) async fn config_diff(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<ConfigDiff>,
) -> Reply<Data<String>> {
    let ConfigDiff { app, profile, key, from, to } = args;
    data(api.pilothouse.items().diff(&caller, &ItemName { app, profile, key }, from, to).await?)
}
