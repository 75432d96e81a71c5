//! `/services/config`: where the configuration is.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::state::ApiState;

/// A server.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Service {
    /// What kind of server.
    #[schema(example = "APOLLO-CONFIGSERVICE")]
    app_name: &'static str,
    /// Which one.
    #[schema(example = "http://127.0.0.1:8080/")]
    instance_id: String,
    /// Where it is; ends in a slash.
    #[schema(example = "http://127.0.0.1:8080/")]
    homepage_url: String,
}

/// The servers that Apollo's clients may ask: the one behind the setting `public_url`.
#[utoipa::path(
    get,
    path = "/services/config",
    tag = "apollo",
    extensions(("x-permission" = json!("none"))),
    responses((status = 200, description = "One server.", body = Vec<Service>)),
)]
pub(super) async fn get_services(State(api): State<ApiState>) -> Json<[Service; 1]> {
    let home = api.pilothouse.settings().public_url.trim_end_matches('/');
    let home = format!("{home}{}/", api.settings.prefix);
    Json([Service { app_name: "APOLLO-CONFIGSERVICE", instance_id: home.clone(), homepage_url: home }])
}
