//! `/services/config`: where the configuration is.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::base_url::BaseUrl;

/// A configuration server, as Apollo's discovery names it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Service {
    /// Kind of the server.
    #[schema(example = "APOLLO-CONFIGSERVICE")]
    app_name: &'static str,
    /// Name of this instance.
    #[schema(example = "http://127.0.0.1:8080/")]
    instance_id: String,
    /// Root URL; ends in a slash.
    #[schema(example = "http://127.0.0.1:8080/")]
    homepage_url: String,
}

/// The servers that Apollo's clients may ask: the one that was asked, by its base URL.
#[utoipa::path(
    get,
    path = "/services/config",
    tag = "apollo",
    extensions(("x-permission" = json!("none"))),
    responses((status = 200, description = "One server.", body = Vec<Service>)),
)]
pub(super) async fn get_services(base: BaseUrl) -> Json<[Service; 1]> {
    let home = format!("{base}/");
    Json([Service { app_name: "APOLLO-CONFIGSERVICE", instance_id: home.clone(), homepage_url: home }])
}
