//! Parameters and authentication shared by all of Apollo's paths.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use pilothouse_core::config::{AppSession, NamespaceContent, apollo_node_id};
use pilothouse_core::{Error, check_text};
use serde::Deserialize;
use utoipa::IntoParams;

use super::signature::{Signature, Unsigned};
use crate::base_url::{nested_under, sent_uri};
use crate::caller;
use crate::envelope::Failure;
use crate::state::ApiState;

const TIMESTAMP: HeaderName = HeaderName::from_static("timestamp");
/// The profile that is asked last.
const DEFAULT: &str = "default";

/// Path of a namespace.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub(super) struct NamespacePath {
    /// Name of the app.
    #[param(max_length = 64, example = "app1")]
    pub(super) app_id: String,
    /// Profile within the app.
    #[param(max_length = 64, example = "dev")]
    pub(super) cluster: String,
    /// `application` for all keys without a slash, `name.json` (or `yml`, `yaml`, `xml`, `txt`) for the key of that name,
    /// any other for the keys below `name/`. `.properties` at its end means nothing; upper and lower case are one.
    #[param(max_length = 270, example = "application")]
    pub(super) namespace: String,
}

/// The namespace in a request's path.
pub(super) struct At(pub(super) NamespacePath);

impl FromRequestParts<ApiState> for At {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Failure> {
        let path = Path::<NamespacePath>::from_request_parts(parts, api).await;
        let Path(path) = path.map_err(|_| Error::invalid("namespace", "must be UTF-8"))?;
        let segments = [&path.app_id, &path.cluster, &path.namespace];
        if segments.iter().any(|segment| segment.contains('\0')) {
            return Err(Error::invalid("namespace", "must not hold NUL").into());
        }
        if segments.iter().any(|segment| segment.is_empty()) {
            return Err(Error::not_found("the path").into());
        }
        Ok(Self(path))
    }
}

/// Identity of a client.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub(super) struct Who {
    /// The client's address; without, where the request comes from. It is the client's node id.
    #[param(max_length = 64, example = "10.0.0.1")]
    pub(super) ip: String,
    /// The client's label, for grey releases; follows the address and a slash in its node id.
    #[param(max_length = 128, example = "")]
    pub(super) label: String,
    /// A profile that is asked where the first has nothing, before `default`.
    #[param(max_length = 64, example = "")]
    pub(super) data_center: String,
}

impl Who {
    /// Label as a part of a node id: blanks, commas and characters that are not ASCII are percent-escaped.
    pub(super) fn label(&self) -> Result<Cow<'_, str>, Failure> {
        const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b',').add(b'%');
        check_text("label", &self.label, 0, 128, false)?;
        Ok(Cow::from(utf8_percent_encode(&self.label, ESCAPED)))
    }
}

/// A client that has shown a key, and where it is.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) peer: Option<IpAddr>,
    /// Signature of the request, if it has one.
    authorization: Option<HeaderValue>,
    timestamp: Option<HeaderValue>,
    /// Path and query as they were sent.
    target: String,
    /// Part of the target that the host nests the routers under.
    prefix: String,
}

impl FromRequestParts<ApiState> for Client {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _api: &ApiState) -> Result<Self, Failure> {
        let target = sent_uri(parts).path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let prefix = nested_under(parts).to_owned();
        let header = |name: HeaderName| parts.headers.get(name).cloned();
        let (authorization, timestamp) = (header(AUTHORIZATION), header(TIMESTAMP));
        Ok(Self { peer: caller::address(parts), authorization, timestamp, target, prefix })
    }
}

impl Client {
    /// The session of an app for a client that signed with one of its keys, or of an app that needs no signature; there one
    /// that is sent says nothing, since it may be made with a secret that only another system knows.
    pub(super) async fn open(&self, api: &ApiState, app: &str) -> Result<AppSession, Failure> {
        let is_open = api.settings.apollo_unsigned_apps.iter().any(|open| open == app);
        if is_open {
            return Ok(api.pilothouse.delivery().open_unsigned(app).await?.ok_or(Error::Unauthenticated)?);
        }
        let now = api.pilothouse.clock().now();
        let sent = [&self.authorization, &self.timestamp].map(Option::as_ref);
        let signature = Signature::read(sent, &self.target, &self.prefix, now);
        let is_signed = |key: &str| signature.as_ref().is_ok_and(|signature| signature.is_of(key));
        let opened = api.pilothouse.delivery().open_signed(app, is_signed).await;
        opened.map_err(|error| match error {
            Error::Unauthenticated if matches!(signature, Err(Unsigned::Skewed)) => {
                Failure::Transport(StatusCode::UNAUTHORIZED, "RequestTimeTooSkewed")
            }
            error => error.into(),
        })
    }

    /// The address a client goes by.
    pub(super) fn address(&self, who: &Who) -> String {
        let is_good = !who.ip.is_empty() && who.ip.len() <= 64;
        if is_good && who.ip.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
            return who.ip.clone();
        }
        self.peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string())
    }

    /// Effective content of a namespace for a client, and the profile it comes from. `known` are the messages of the last
    /// notification: the answer is not older than they are.
    pub(super) async fn namespace<'a>(
        &self,
        session: &AppSession,
        path: &'a NamespacePath,
        who: &'a Who,
        known: &Messages,
        holds: impl Fn(&NamespaceContent) -> bool,
    ) -> Result<(&'a str, Arc<NamespaceContent>), Failure> {
        let (address, label) = (self.address(who), who.label()?);
        let node_id = apollo_node_id(&address, &label);
        let share = session.namespace_share(&path.namespace, known.of_share(&path.namespace)).await?;
        let is_withdrawn = share.as_ref().is_some_and(|share| share.is_withdrawn);
        let source = share.and_then(|share| share.source);
        let snapshot = session.snapshot_at(known.of_app(session.name())).await?;
        let shared = match &source {
            Some(source) => Some(source.snapshot_at(known.of_app(source.name())).await?),
            None => None,
        };
        let profiles: Vec<&str> = profiles(&path.cluster, &who.data_center).collect();
        let found = snapshot.client_namespace(shared.as_deref(), &profiles, &node_id, &path.namespace);
        let Some(found) = found else {
            // Whoever has what was shared would keep it where it is told that there is nothing.
            if is_withdrawn {
                return Ok((&path.cluster, NamespaceContent::nothing()));
            }
            return Err(Error::not_found("anything published there").into());
        };
        let holds = holds(&found.content);
        let parts = [(Some(session), &found.own), (source.as_ref(), &found.shared)];
        for (session, part) in parts {
            let (Some(session), Some((profile, content))) = (session, part) else { continue };
            let client = (&*address, &*label);
            if let Some(node) = session.apollo_client(profile, client, &who.label, self.peer).await? {
                node.record_namespace(content, holds);
            }
        }
        Ok((found.profile, found.content))
    }
}

/// The messages of a notification: revisions that a client was told of, by what they are of.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Messages {
    #[serde(default)]
    details: HashMap<String, i64>,
}

impl Messages {
    /// Reads what a client sends back. What cannot be read says nothing.
    pub(super) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The newest revision of an app.
    fn of_app(&self, app: &str) -> i64 {
        let of_app = |name: &str| name.strip_prefix(app).is_some_and(|rest| rest.starts_with('+'));
        let revisions = self.details.iter().filter(|(name, _)| of_app(name)).map(|(_, revision)| *revision);
        revisions.max().unwrap_or(0).max(0)
    }

    /// The revision of who shares a namespace.
    fn of_share(&self, namespace: &str) -> i64 {
        self.details.get(&share_message(namespace)).copied().unwrap_or(0)
    }
}

/// Name of the message that tells who shares a namespace. No app has an empty name.
pub(super) fn share_message(namespace: &str) -> String {
    format!("++{namespace}")
}

/// The profiles that may have the answer, the first first.
pub(super) fn profiles<'a>(cluster: &'a str, data_center: &'a str) -> impl Iterator<Item = &'a str> {
    let cluster = Some(cluster).filter(|cluster| *cluster != DEFAULT);
    let data_center = Some(data_center).filter(|center| !center.is_empty() && *center != DEFAULT);
    let data_center = data_center.filter(|center| Some(*center) != cluster);
    [cluster, data_center, Some(DEFAULT)].into_iter().flatten()
}
