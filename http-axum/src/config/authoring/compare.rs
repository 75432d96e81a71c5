//! `/config/compare`: what differs between two profiles.

use axum::extract::State;
use pilothouse_core::config::{ItemDifference, Side};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Data, Reply, data};
use crate::state::ApiState;

/// Profiles to compare.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigCompare {
    /// Name of the app on the left.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Profile of that app.
    #[param(min_length = 1, max_length = 64, example = "dev")]
    profile: String,
    /// Name of the app on the right; it may be the same one.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    with_app: String,
    /// Profile of that app.
    #[param(min_length = 1, max_length = 64, example = "test")]
    with_profile: String,
}

/// A key whose values differ.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DifferenceInfo {
    /// The key.
    #[schema(example = "k1")]
    key: String,
    /// Current value on the left; null where the key is not there.
    #[schema(example = "sl")]
    left: Option<String>,
    /// Current value on the right; null where the key is not there.
    #[schema(example = "sl2")]
    right: Option<String>,
}

/// The keys whose current values differ between two profiles, by key. Grant 1 is needed on both.
#[utoipa::path(
    method(get, post),
    path = "/config/compare",
    tag = "config",
    params(ConfigCompare),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 0"))),
    responses((status = 200, description = "What differs.", body = Data<Vec<DifferenceInfo>>)),
)]
pub(super) async fn config_compare(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<ConfigCompare>,
) -> Reply<Data<Vec<DifferenceInfo>>> {
    let left = Side { app: &args.app, profile: &args.profile };
    let right = Side { app: &args.with_app, profile: &args.with_profile };
    let differences = api.pilothouse.items().compare(&caller, left, right).await?;
    let shown = |ItemDifference { key, left, right }| DifferenceInfo { key, left, right };
    data(differences.into_iter().map(shown).collect())
}
