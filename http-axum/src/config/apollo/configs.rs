//! `/configs/{appId}/{cluster}/{namespace}`: what a client should hold.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::answer::{json, release_key};
use super::client::{At, Client, Messages, NamespacePath, Who};
use crate::args::Args;
use crate::envelope::Failure;
use crate::pieces::Pieces;
use crate::state::ApiState;

/// Identity of a client, and the release it holds.
#[derive(Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub(super) struct ConfigsQuery {
    /// The client's address; without, where the request comes from. It is the client's node id.
    #[param(max_length = 64, example = "10.0.0.1")]
    ip: String,
    /// The client's label, for grey releases; follows the address and a slash in its node id.
    #[param(max_length = 128, example = "")]
    label: String,
    /// A profile that is asked where the first has nothing, before `default`.
    #[param(max_length = 64, example = "")]
    data_center: String,
    /// The release key of what it holds.
    #[param(max_length = 64, example = "")]
    release_key: String,
    /// The messages of the last notification, JSON: the answer is not older than they are.
    #[param(max_length = 65536, example = "")]
    messages: String,
}

/// Content of a namespace.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what is written by hand, since most of it is kept as text")]
pub(super) struct Configuration {
    /// Name of the app.
    #[schema(example = "app1")]
    app_id: String,
    /// The profile that had it.
    #[schema(example = "dev")]
    cluster: String,
    /// The namespace as it was asked for.
    #[schema(example = "application")]
    namespace_name: String,
    /// Items; of a namespace that is one text, that text as `content`.
    configurations: HashMap<String, String>,
    /// Names this content: equal for equal content.
    #[schema(example = "5f0c3b9d1e2a4c77")]
    release_key: String,
}

/// Content of a namespace, from the first of cluster, data center and `default` that has it, on top of what another app
/// shares under its name. Signed with
/// an app key (`Authorization: Apollo <appId>:<signature>` and `Timestamp`), unless the app needs none.
#[utoipa::path(
    get,
    path = "/configs/{appId}/{cluster}/{namespace}",
    tag = "apollo",
    params(NamespacePath, ConfigsQuery),
    security(("apollo" = [])),
    extensions(("x-permission" = json!("app key"))),
    responses(
        (status = 200, description = "What it should hold.", body = Configuration),
        (status = 304, description = "The release key fits: nothing is different."),
        (status = 401, description = "Not signed with a key of this app."),
        (status = 404, description = "Nothing is published there."),
    ),
)]
pub(super) async fn get_configs(
    State(api): State<ApiState>,
    client: Client,
    At(path): At,
    Args(query): Args<ConfigsQuery>,
) -> Result<Response, Failure> {
    let ConfigsQuery { ip, label, data_center, release_key: known_key, messages } = query;
    let who = Who { ip, label, data_center };
    let session = client.open(&api, &path.app_id).await?;
    let holds = |content: &_| release_key(content) == known_key;
    let (profile, content) =
        client.namespace(&session, &path, &who, &Messages::read(&messages), holds).await?;
    if holds(&content) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let mut head = Vec::with_capacity(512);
    for (name, text) in [
        ("{\"appId\":", &*path.app_id),
        (",\"cluster\":", profile),
        (",\"namespaceName\":", &*path.namespace),
    ] {
        head.extend_from_slice(name.as_bytes());
        // Writing text into memory cannot fail.
        let _ = serde_json::to_writer(&mut head, text);
    }
    head.extend_from_slice(b",\"configurations\":");
    let tail = format!(",\"releaseKey\":\"{}\"}}", release_key(&content));
    // The items are the same bytes in every answer, and may be megabytes.
    let body = Pieces::of([head.into(), json(&content), tail.into()]);
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
