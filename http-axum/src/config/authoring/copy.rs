//! `/config/copy`: keys of one profile in another.

use axum::extract::State;
use pilothouse_core::config::{Copy, Side};
use serde::Deserialize;
use utoipa::ToSchema;

use super::apply::AppliedInfo;
use crate::args::LargeArgs;
use crate::config::write::Writer;
use crate::envelope::{Data, Reply, data};
use crate::list::List;
use crate::state::ApiState;

/// Keys to copy.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigCopy {
    /// Name of the app to copy from.
    #[schema(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Profile of that app.
    #[schema(min_length = 1, max_length = 64, example = "dev")]
    profile: String,
    /// Name of the app to copy to; it may be the same one.
    #[schema(min_length = 1, max_length = 64, example = "app1")]
    with_app: String,
    /// Profile of that app.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$", example = "test")]
    with_profile: String,
    /// 1 to 10,000 keys that are there to copy, each at most 256 bytes.
    #[schema(example = json!(["k1"]))]
    keys: List,
    /// Title of the change set; at most 256 bytes.
    #[schema(max_length = 256, example = "to test")]
    title: Option<String>,
    /// Whether to answer what would be done, and do nothing.
    #[schema(default = false, example = false)]
    dry_run: Option<bool>,
}

/// Copies current values, validators and descriptions of keys to another profile, as one change set. Grant 1 is needed on both.
#[utoipa::path(
    post,
    path = "/config/copy",
    tag = "config",
    request_body = ConfigCopy,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 1"))),
    responses((status = 200, description = "What was done about each key.", body = Data<AppliedInfo>)),
)]
pub(super) async fn config_copy(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    LargeArgs(args): LargeArgs<ConfigCopy>,
) -> Reply<Data<AppliedInfo>> {
    let ConfigCopy { app, profile, with_app, with_profile, keys: List(keys), title, dry_run } = args;
    let from = Side { app: &app, profile: &profile };
    let to = Side { app: &with_app, profile: &with_profile };
    let title = title.unwrap_or_default();
    let copy = Copy { keys: &keys, title: &title, dry_run: dry_run.unwrap_or(false) };
    data(api.pilothouse.change_sets().copy(&caller, from, to, copy).await?.into())
}
