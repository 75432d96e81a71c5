//! `/config/*`: what reads configuration items.

use axum::extract::State;
use pilothouse_core::config::{Item, ItemName};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::{Args, NoArgs, Segment};
use crate::caller::Auth;
use crate::envelope::{Data, Reply, data};
use crate::state::ApiState;

/// A config with its current version.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ConfigInfo {
    /// Id of the config, for `/publish`.
    #[schema(example = 1)]
    id: i64,
    /// Name of the app.
    #[schema(example = "app1")]
    app: String,
    /// Profile within the app.
    #[schema(example = "dev")]
    profile: String,
    /// Key of the config.
    #[schema(example = "k1")]
    key: String,
    /// The value of the current version.
    #[schema(example = "sl")]
    value: String,
    /// Number of the current version.
    #[schema(example = 1)]
    version: i64,
    /// The value of the last full release; empty before one.
    #[schema(example = "3230230423")]
    published_value: String,
    /// The version of the last full release; 0 before one.
    #[schema(example = 1)]
    published_version: i64,
    /// Validator of the value, or a script for front ends.
    #[schema(example = "validator")]
    validator: String,
    /// The uid of who made the current version.
    #[schema(example = "123123")]
    modifier: String,
    /// Time the current version was made: RFC 3339 with the offset of the server's zone.
    #[schema(example = "2017-07-12T15:08:12+08:00")]
    modify_time: String,
    /// Description of the change.
    #[schema(example = "111")]
    description: String,
    /// The uid of who approved the current version; empty as long as nobody did.
    #[schema(example = "123123")]
    approver: String,
    /// 1 once the current version is approved, else 0.
    #[schema(minimum = 0, maximum = 1, example = 1)]
    approve_type: u8,
}

impl ConfigInfo {
    fn new(api: &ApiState, app: String, item: Item) -> Self {
        let Item { id, profile, key, current, published_version, published_value, .. } = item;
        Self {
            id: id.0,
            app,
            profile,
            key,
            value: current.content.value,
            version: current.version,
            published_value,
            published_version,
            validator: current.content.validator,
            modifier: current.modifier.to_string(),
            modify_time: api.local(current.modify_time),
            description: current.content.description,
            approver: current.approver.map(|uid| uid.to_string()).unwrap_or_default(),
            approve_type: current.approver.is_some().into(),
        }
    }
}

/// Config by app, profile and key.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::config) struct QueryWithKey {
    /// Name of the app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Profile within the app.
    #[param(min_length = 1, max_length = 64, example = "dev")]
    profile: String,
    /// Key of the config.
    #[param(min_length = 1, max_length = 256, example = "k1")]
    key: String,
}

impl QueryWithKey {
    pub(super) fn name(self) -> ItemName {
        ItemName { app: self.app, profile: self.profile, key: self.key }
    }
}

/// One config by its name.
#[utoipa::path(
    method(get, post),
    path = "/config/queryWithKey",
    tag = "config",
    params(QueryWithKey),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 0"))),
    responses((status = 200, description = "The config.", body = Data<ConfigInfo>)),
)]
pub(super) async fn config_query_with_key(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<QueryWithKey>,
) -> Reply<Data<ConfigInfo>> {
    let name = args.name();
    let item = api.pilothouse.items().find(&caller, &name).await?;
    data(ConfigInfo::new(&api, name.app, item))
}

/// Configs by app and profile.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::config) struct ConfigQuery {
    /// Name of the app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    pub(in crate::config) app: String,
    /// Profile within the app.
    #[param(min_length = 1, max_length = 64, example = "dev")]
    pub(in crate::config) profile: String,
}

/// All configs of a profile, by id.
#[utoipa::path(
    method(get, post),
    path = "/config/query",
    tag = "config",
    params(ConfigQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 0"))),
    responses((status = 200, description = "The configs.", body = Data<Vec<ConfigInfo>>)),
)]
pub(super) async fn config_query(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<ConfigQuery>,
) -> Reply<Data<Vec<ConfigInfo>>> {
    let items = api.pilothouse.items().list(&caller, &args.app, &args.profile).await?;
    data(items.into_iter().map(|item| ConfigInfo::new(&api, args.app.clone(), item)).collect())
}

/// The profiles of an app that have configs and that the caller may read, by name.
#[utoipa::path(
    method(get, post),
    path = "/config/profiles/{app}",
    tag = "config",
    params(("app" = String, Path, min_length = 1, max_length = 64, description = "The app.", example = "app1")),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 0 on a profile"))),
    responses((status = 200, description = "The profiles.", body = Data<Vec<String>>)),
)]
pub(super) async fn config_profiles(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Segment(app): Segment,
    Args(NoArgs {}): Args<NoArgs>,
) -> Reply<Data<Vec<String>>> {
    data(api.pilothouse.items().profiles(&caller, &app).await?)
}
