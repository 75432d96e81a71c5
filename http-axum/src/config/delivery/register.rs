//! `/node/register`, `/node/ack` and `/node/leave`: what nodes say of themselves. They authenticate with a key of their
//! app.

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use pilothouse_core::Error;
use pilothouse_core::config::{AckResult, Labels, NewNode, Registered, Report};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::args::{Args, ip_address};
use crate::caller::{PeerAddress, bearer};
use crate::config::write::{Null, done};
use crate::envelope::{Data, Failure, Reply, data};
use crate::state::ApiState;

/// The text of an app key, from `Authorization: Bearer`. Whether it is one, and of which app, is for the app's session to say.
pub(super) struct Key(pub(super) String);

impl FromRequestParts<ApiState> for Key {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Failure> {
        Ok(Self(bearer(parts).ok_or(Error::Unauthenticated)?.to_owned()))
    }
}

/// A node that registers.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeRegister {
    /// Name of the app.
    #[schema(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Profile: of `A-Z a-z 0-9 . _ -`, not `.` or `..`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$", example = "dev")]
    profile: String,
    /// Process; at most 64 bytes.
    #[schema(max_length = 64, example = "4711")]
    pid: String,
    /// Node id, unique within app and profile: printable ASCII without blank and comma. Without, it is given one.
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-+\\--~]+$", example = "11")]
    node_id: Option<String>,
    /// Address, where that is not the one it calls from.
    #[schema(max_length = 45, example = "10.2.2.2")]
    ip: Option<String>,
    /// At most 32 labels: names of 1 to 64 of `A-Z a-z 0-9 . _ / -`, values of at most 128 bytes without comma.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>, example = json!({"zone": "a"}))]
    labels: Option<Labels>,
}

/// Answer of a registration.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RegisteredInfo {
    /// Node id, unique within app and profile.
    #[schema(example = "11")]
    node_id: String,
    /// Lease in seconds: the node counts as online this long after it was last heard, or its watch ended.
    #[schema(example = 15)]
    lease: i64,
    /// Revision of the app.
    #[schema(example = 42)]
    revision: i64,
}

/// Registers a node. The same node id again is a restart of that node, which stays in the grey releases it was in.
#[utoipa::path(
    post,
    path = "/node/register",
    tag = "config",
    request_body = NodeRegister,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("app key"))),
    responses((status = 200, description = "Registered.", body = Data<RegisteredInfo>)),
)]
pub(super) async fn node_register(
    State(api): State<ApiState>,
    Key(key): Key,
    PeerAddress(address): PeerAddress,
    Args(args): Args<NodeRegister>,
) -> Reply<Data<RegisteredInfo>> {
    let session = api.pilothouse.delivery().open(&args.app, &key).await?;
    let NodeRegister { profile, pid, node_id, ip, labels, .. } = args;
    let ip = match ip {
        Some(ip) => Some(ip_address("ip", &ip)?),
        None => address,
    };
    let labels = labels.unwrap_or_default();
    let registered = session.register(NewNode { profile, node_id, pid, ip, labels }).await?;
    let Registered { node_id, lease, revision } = registered;
    data(RegisteredInfo { node_id, lease, revision })
}

/// Acknowledgements of a node.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeAck {
    /// Name of the app.
    #[schema(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Profile within the app.
    #[schema(min_length = 1, max_length = 64, example = "dev")]
    profile: String,
    /// Node id, unique within app and profile.
    #[schema(min_length = 1, max_length = 128, example = "11")]
    node_id: String,
    /// At most 1000 acknowledgements.
    #[schema(max_items = 1000)]
    results: Vec<AckEntry>,
}

/// Acknowledgement of one value.
#[derive(Deserialize, ToSchema)]
struct AckEntry {
    /// The key; at most 256 bytes.
    #[schema(min_length = 1, max_length = 256, example = "k1")]
    key: String,
    /// The version it was told; 0 where it holds none.
    #[schema(minimum = 0, example = 1)]
    version: i64,
    /// State of the node in this release.
    #[schema(pattern = "^(applied|rejected|failed)$", example = "applied")]
    result: String,
    /// Message of the node; at most 1024 bytes, may hold TAB, CR and LF.
    #[schema(max_length = 1024, example = "")]
    message: Option<String>,
}

impl AckEntry {
    fn report(self) -> Result<Report, Error> {
        let result = match &*self.result {
            "applied" => AckResult::Applied,
            "rejected" => AckResult::Rejected,
            "failed" => AckResult::Failed,
            _ => return Err(Error::invalid("result", "must be applied, rejected or failed")),
        };
        Ok(Report { key: self.key, version: self.version, result, message: self.message.unwrap_or_default() })
    }
}

/// Notes what a node made of the values it was told. A node that holds another version than it should is told again.
#[utoipa::path(
    post,
    path = "/node/ack",
    tag = "config",
    request_body = NodeAck,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("app key"))),
    responses((status = 200, description = "Noted.", body = Data<Null>)),
)]
pub(super) async fn node_ack(
    State(api): State<ApiState>,
    Key(key): Key,
    Args(args): Args<NodeAck>,
) -> Reply<Data<Null>> {
    let session = api.pilothouse.delivery().open(&args.app, &key).await?;
    let reports = args.results.into_iter().map(AckEntry::report).collect::<Result<Vec<_>, _>>()?;
    session.node(&args.profile, &args.node_id).await?.ack(reports).await?;
    done()
}

/// Node to deregister.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeLeave {
    /// Name of the app.
    #[schema(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Profile within the app.
    #[schema(min_length = 1, max_length = 64, example = "dev")]
    profile: String,
    /// Node id, unique within app and profile.
    #[schema(min_length = 1, max_length = 128, example = "11")]
    node_id: String,
}

/// Takes a node off the list at once and ends its watches. To come back it registers.
#[utoipa::path(
    post,
    path = "/node/leave",
    tag = "config",
    request_body = NodeLeave,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("app key"))),
    responses((status = 200, description = "Gone.", body = Data<Null>)),
)]
pub(super) async fn node_leave(
    State(api): State<ApiState>,
    Key(key): Key,
    Args(args): Args<NodeLeave>,
) -> Reply<Data<Null>> {
    let session = api.pilothouse.delivery().open(&args.app, &key).await?;
    session.node(&args.profile, &args.node_id).await?.leave().await?;
    done()
}
