//! `/node/config` and `/node/watch`: what a node should hold, at once and as it changes. Answered from memory, and what is
//! the same for many nodes is written once.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::{Either, select};
use futures_util::stream;
use pilothouse_core::Error;
use pilothouse_core::config::{ConfigDelta, DeltaEncoding, Watch};
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval, timeout};
use utoipa::{IntoParams, ToSchema};

use super::register::Key;
use crate::args::Args;
use crate::envelope::{Data, Failure, enclosed};
use crate::state::ApiState;

/// Interval between heartbeats of a stream without news.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The longest wait for news, and the usual one, in seconds.
const MAX_WAIT: i64 = 60;
const USUAL_WAIT: i64 = 30;
const EVENT_STREAM: &str = "text/event-stream";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Node, and the revision it holds.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct NodeQuery {
    /// Name of the app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Profile within the app.
    #[param(min_length = 1, max_length = 64, example = "dev")]
    profile: String,
    /// Node id, unique within app and profile.
    #[param(min_length = 1, max_length = 128, example = "11")]
    node_id: String,
}

/// Node, and the revision it has.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct WatchQuery {
    /// Name of the app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Profile within the app.
    #[param(min_length = 1, max_length = 64, example = "dev")]
    profile: String,
    /// Node id, unique within app and profile.
    #[param(min_length = 1, max_length = 128, example = "11")]
    node_id: String,
    /// The revision of the node's last answer; 0 where it holds nothing.
    #[param(minimum = 0, default = 0, example = 0)]
    revision: Option<i64>,
    /// Seconds to wait for a change; at most `long_poll_seconds`.
    #[param(minimum = 0, maximum = 60, default = 30, example = 0)]
    wait: Option<i64>,
}

/// An item as a node should hold it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct NodeItem<'a> {
    /// Key of the item.
    #[schema(example = "k1")]
    key: &'a str,
    /// Value in effect.
    #[schema(example = "v1")]
    value: &'a str,
    /// Version in effect.
    #[schema(example = 1)]
    version: i64,
}

/// All that a node should hold.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeConfig<'a> {
    /// Revision of the app.
    #[schema(example = 42)]
    revision: i64,
    /// Items by key.
    items: Vec<NodeItem<'a>>,
}

/// Changes for a node.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeChange<'a> {
    /// The app's revision, with which to watch on. Where it is of another epoch (the bits above the lower 32) than the one
    /// asked with, the app was restored or created again, and `Items` is all there is.
    #[schema(example = 42)]
    revision: i64,
    /// New and changed items, by key.
    items: Vec<NodeItem<'a>>,
    /// The keys that the node should hold no more.
    removed: Vec<&'a str>,
}

fn items(change: &ConfigDelta) -> Vec<NodeItem<'_>> {
    let items = change.items.iter();
    items.map(|held| NodeItem { key: &held.key, value: &held.value, version: held.version }).collect()
}

fn node_change(change: &ConfigDelta) -> NodeChange<'_> {
    let removed = change.removed.iter().map(|key| &**key).collect();
    NodeChange { revision: change.revision, items: items(change), removed }
}

fn config_body(change: &ConfigDelta) -> Bytes {
    enclosed(&NodeConfig { revision: change.revision, items: items(change) })
}

fn change_body(change: &ConfigDelta) -> Bytes {
    enclosed(&node_change(change))
}

fn event(change: &ConfigDelta) -> Bytes {
    let data = serde_json::to_string(&node_change(change)).unwrap_or_default();
    format!("event: change\nid: {}\ndata: {data}\n\n", change.revision).into()
}

/// All that a node should hold. The tag of an answer names the epoch and the items, whatever the revision: sent along as
/// `If-None-Match` it is answered 304 as long as they are the same.
#[utoipa::path(
    get,
    path = "/node/config",
    tag = "config",
    params(NodeQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("app key"))),
    responses(
        (status = 200, description = "The items, by key.", body = Data<NodeConfig<'static>>),
        (status = 304, description = "They are those of the tag in `If-None-Match`."),
    ),
)]
pub(super) async fn node_config(
    State(api): State<ApiState>,
    Key(key): Key,
    headers: HeaderMap,
    Args(args): Args<NodeQuery>,
) -> Result<Response, Failure> {
    let session = api.pilothouse.delivery().open(&args.app, &key).await?;
    let node = session.node(&args.profile, &args.node_id).await?;
    let known: Vec<Tag> = headers.get_all(header::IF_NONE_MATCH).iter().flat_map(tags).collect();
    // A node that was answered by a server ahead of this one is not answered with what was before.
    let revision = known.iter().map(|tag| tag.revision).max().unwrap_or(0);
    let config = node.config(revision).await?;
    let change = &config.delta;
    let tag = format!("W/\"{}-{:016x}\"", change.revision, config.tag);
    let tag = [(header::ETAG, tag), (header::CACHE_CONTROL, "private, no-cache".to_owned())];
    if known.iter().any(|known| known.items == config.tag) {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok((tag, json(Body::from(change.encoded(DeltaEncoding::Answer, config_body)))).into_response())
}

/// A tag that this server, or another on its store, gave out.
struct Tag {
    revision: i64,
    items: u64,
}

fn tags(header: &HeaderValue) -> impl Iterator<Item = Tag> {
    header.to_str().unwrap_or_default().split(',').filter_map(|tag| {
        let tag = tag.trim().trim_start_matches("W/").trim_matches('"');
        let (revision, items) = tag.split_once('-')?;
        Some(Tag { revision: revision.parse().ok()?, items: u64::from_str_radix(items, 16).ok()? })
    })
}

/// Waits for what changes for a node. Answers at once where something did since `revision`, which with
/// `Accept: text/event-stream` may come as `Last-Event-ID`; there each change is an event `change` with the revision as
/// its id, and a comment shows every 15 seconds that the stream lives.
#[utoipa::path(
    get,
    path = "/node/watch",
    tag = "config",
    params(WatchQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("app key"))),
    responses((
        status = 200,
        description = "What is new for that node; after `wait` seconds without news, nothing.",
        content(
            (Data<NodeChange<'static>> = "application/json"),
            (String = "text/event-stream"),
        ),
    )),
)]
pub(super) async fn node_watch(
    State(api): State<ApiState>,
    Key(key): Key,
    headers: HeaderMap,
    Args(args): Args<WatchQuery>,
) -> Result<Response, Failure> {
    let session = api.pilothouse.delivery().open(&args.app, &key).await?;
    let wait = args.wait.unwrap_or(USUAL_WAIT);
    if !(0..=MAX_WAIT).contains(&wait) {
        return Err(Error::invalid("wait", "must be from 0 to 60 seconds").into());
    }
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let streams = accepts.contains(EVENT_STREAM);
    let revision = match headers.get(LAST_EVENT_ID).filter(|_| streams) {
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.trim().parse().ok());
            id.ok_or_else(|| Error::invalid("Last-Event-ID", "must be the id of an event"))?
        }
        None => args.revision.unwrap_or(0),
    };
    if revision < 0 {
        return Err(Error::invalid("revision", "must not be negative").into());
    }
    let watch = session.node(&args.profile, &args.node_id).await?.watch(revision).await?;
    // The wait is part of the body, so that whoever hangs up ends it, and no limit on requests does.
    if streams {
        let headers =
            [(header::CONTENT_TYPE, EVENT_STREAM), (HeaderName::from_static("x-accel-buffering"), "no")];
        return Ok((headers, Body::from_stream(events(watch))).into_response());
    }
    let wait = Duration::from_secs(wait.unsigned_abs()).min(api.settings.long_poll);
    Ok(json(Body::from_stream(stream::once(answer(watch, wait)))))
}

async fn answer(mut watch: Watch, wait: Duration) -> Result<Bytes, Infallible> {
    // What is there already is found before the first wait, also by who will not wait at all.
    let change = timeout(wait, watch.next()).await.ok().flatten();
    Ok(match change {
        Some(change) => change.encoded(DeltaEncoding::Answer, change_body),
        None => change_body(&ConfigDelta::empty(watch.revision())),
    })
}

/// The changes of a watch as events, until nothing will follow.
fn events(watch: Watch) -> impl stream::Stream<Item = Result<Bytes, Infallible>> {
    const COMMENT: Bytes = Bytes::from_static(b":\n\n");
    // It ticks at once: whoever buffers answers until their first byte passes this on. And it ticks whatever else is
    // said, for an event that moved it would cost every stream a timer.
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold((watch, heartbeat), |(mut watch, mut heartbeat)| async move {
        let bytes = match select(pin!(heartbeat.tick()), pin!(watch.next())).await {
            Either::Left(_) => COMMENT,
            Either::Right((change, _)) => change?.encoded(DeltaEncoding::Event, event),
        };
        Some((Ok(bytes), (watch, heartbeat)))
    })
}

fn json(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
