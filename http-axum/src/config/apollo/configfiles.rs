//! `/configfiles/…`: the same as files, in three forms.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use pilothouse_core::Error;
use pilothouse_core::config::NamespaceContent;

use super::answer::{json, properties};
use super::client::{At, Client, Messages, NamespacePath, Who};
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
    let content = namespace(&api, &client, &path, &who).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain;charset=UTF-8")], properties(&content)).into_response())
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
    let content = namespace(&api, &client, &path, &who).await?;
    Ok(([(header::CONTENT_TYPE, "application/json;charset=UTF-8")], json(&content)).into_response())
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
    let content = namespace(&api, &client, &path, &who).await?;
    let text = content.items.first().filter(|_| content.is_text).map(|(_, item)| item.value.clone());
    let text = text.ok_or(Error::not_found("one text of this namespace"))?;
    let kind = match path.namespace.rsplit_once('.').map(|(_, kind)| kind.to_ascii_lowercase()).as_deref() {
        Some("json") => "application/json;charset=UTF-8",
        Some("yml" | "yaml") => "application/yaml;charset=UTF-8",
        Some("xml") => "application/xml;charset=UTF-8",
        _ => "text/plain;charset=UTF-8",
    };
    Ok(([(header::CONTENT_TYPE, kind)], Bytes::from_owner(SharedText(text))).into_response())
}

/// A value of the snapshot, sent as it is there.
struct SharedText(Arc<str>);

impl AsRef<[u8]> for SharedText {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

async fn namespace(
    api: &ApiState,
    client: &Client,
    path: &NamespacePath,
    who: &Who,
) -> Result<Arc<NamespaceContent>, Failure> {
    let session = client.open(api, &path.app_id).await?;
    Ok(client.namespace(&session, path, who, &Messages::default(), |_| false).await?.1)
}
