//! `/configfiles/…`: the same as files, in three forms.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use pilothouse_core::Error;
use pilothouse_core::config::Part;

use super::answer::{json, properties};
use super::client::{At, Client, NamespacePath, Who};
use crate::args::Args;
use crate::envelope::Failure;
use crate::state::ApiState;

/// A namespace as a properties file.
#[utoipa::path(
    get,
    path = "/configfiles/{appId}/{cluster}/{namespace}",
    tag = "apollo",
    params(NamespacePath, Who),
    security(("apollo" = [])),
    extensions(("x-permission" = json!("app key"))),
    responses(
        (status = 200, description = "The file.", content_type = "text/plain", body = String),
        (status = 401, description = "Not signed with a key of this app."),
        (status = 404, description = "Nothing is published there."),
    ),
)]
pub(super) async fn get_properties(
    State(api): State<ApiState>,
    client: Client,
    At(path): At,
    Args(who): Args<Who>,
) -> Result<Response, Failure> {
    let part = part(&api, &client, &path, &who).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain;charset=UTF-8")], properties(&part)).into_response())
}

/// A namespace as a JSON object of texts.
#[utoipa::path(
    get,
    path = "/configfiles/json/{appId}/{cluster}/{namespace}",
    tag = "apollo",
    params(NamespacePath, Who),
    security(("apollo" = [])),
    extensions(("x-permission" = json!("app key"))),
    responses(
        (status = 200, description = "The object.", body = std::collections::HashMap<String, String>),
        (status = 401, description = "Not signed with a key of this app."),
        (status = 404, description = "Nothing is published there."),
    ),
)]
pub(super) async fn get_json(
    State(api): State<ApiState>,
    client: Client,
    At(path): At,
    Args(who): Args<Who>,
) -> Result<Response, Failure> {
    let part = part(&api, &client, &path, &who).await?;
    Ok(([(header::CONTENT_TYPE, "application/json;charset=UTF-8")], json(&part)).into_response())
}

/// The text of a namespace that is one, as it is.
#[utoipa::path(
    get,
    path = "/configfiles/raw/{appId}/{cluster}/{namespace}",
    tag = "apollo",
    params(NamespacePath, Who),
    security(("apollo" = [])),
    extensions(("x-permission" = json!("app key"))),
    responses(
        (
            status = 200,
            description = "The text, of the type its name says.",
            content(
                (String = "text/plain"),
                (serde_json::Value = "application/json"),
                (String = "application/yaml"),
                (String = "application/xml"),
            ),
        ),
        (status = 401, description = "Not signed with a key of this app."),
        (status = 404, description = "Nothing is published there, or it is not one text."),
    ),
)]
pub(super) async fn get_raw(
    State(api): State<ApiState>,
    client: Client,
    At(path): At,
    Args(who): Args<Who>,
) -> Result<Response, Failure> {
    let part = part(&api, &client, &path, &who).await?;
    let text = part.items.first().filter(|_| part.is_text).map(|(_, held)| &held.value);
    let text = text.ok_or(Error::not_found("one text of this namespace"))?;
    let kind = match path.namespace.rsplit_once('.').map(|(_, kind)| kind.to_ascii_lowercase()).as_deref() {
        Some("json") => "application/json;charset=UTF-8",
        Some("yml" | "yaml") => "application/yaml;charset=UTF-8",
        Some("xml") => "application/xml;charset=UTF-8",
        _ => "text/plain;charset=UTF-8",
    };
    Ok(([(header::CONTENT_TYPE, kind)], Bytes::copy_from_slice(text.as_bytes())).into_response())
}

async fn part(
    api: &ApiState,
    client: &Client,
    path: &NamespacePath,
    who: &Who,
) -> Result<std::sync::Arc<Part>, Failure> {
    let feed = client.open(api, &path.app_id).await?;
    let view = feed.view();
    Ok(client.part(&feed, &view, path, who, |_| false).await?.1)
}
