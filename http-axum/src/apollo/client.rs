//! What all of Apollo's paths are asked with, and how they are refused.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OriginalUri, Path};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Uri};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use pilothouse_core::Error;
use pilothouse_core::config::{Feed, Part, View, guest_id};
use serde::Deserialize;
use utoipa::IntoParams;

use super::signature::{Signature, Unsigned};
use crate::caller;
use crate::envelope::Failure;
use crate::state::ApiState;

const TIMESTAMP: HeaderName = HeaderName::from_static("timestamp");
/// The profile that is asked last.
const DEFAULT: &str = "default";

/// Which namespace.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub(super) struct NamespacePath {
    /// The app.
    #[param(max_length = 64, example = "app1")]
    pub(super) app_id: String,
    /// The profile.
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
        if [&path.app_id, &path.cluster, &path.namespace].iter().any(|part| part.is_empty()) {
            return Err(Error::not_found("the path").into());
        }
        Ok(Self(path))
    }
}

/// Who asks.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub(super) struct Who {
    /// The client's address; without, where the request comes from. It is the client's node id.
    #[param(max_length = 64, example = "10.0.0.1")]
    pub(super) ip: String,
    /// The client's label, for grey releases; follows the address and a slash in its node id.
    #[param(max_length = 64, example = "")]
    pub(super) label: String,
    /// A profile that is asked where the first has nothing, before `default`.
    #[param(max_length = 64, example = "")]
    pub(super) data_center: String,
}

impl Who {
    /// What of its label can be in a node id: blanks, commas and what is not ASCII are percent-escaped.
    pub(super) fn label(&self) -> Result<Cow<'_, str>, Failure> {
        const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b',').add(b'%');
        let label = Cow::from(utf8_percent_encode(&self.label, ESCAPED));
        if label.len() > 63 {
            return Err(Error::invalid("label", "must be at most 63 bytes, percent-escaped").into());
        }
        Ok(label)
    }
}

/// A client that has shown a key, and where it is.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) peer: Option<IpAddr>,
    /// What it may have signed with.
    authorization: Option<HeaderValue>,
    timestamp: Option<HeaderValue>,
    target: Uri,
}

impl FromRequestParts<ApiState> for Client {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _api: &ApiState) -> Result<Self, Failure> {
        let original = parts.extensions.get::<OriginalUri>();
        let target = original.map_or_else(|| parts.uri.clone(), |original| original.0.clone());
        let header = |name: HeaderName| parts.headers.get(name).cloned();
        let (authorization, timestamp) = (header(AUTHORIZATION), header(TIMESTAMP));
        Ok(Self { peer: caller::address(parts), authorization, timestamp, target })
    }
}

impl Client {
    /// The feed of an app for a client that signed with one of its keys, or of an app that needs no signature.
    pub(super) async fn open(&self, api: &ApiState, app: &str) -> Result<Feed, Failure> {
        let now = api.pilothouse.clock().now();
        let is_open = api.settings.apollo_unsigned_apps.iter().any(|open| open == app);
        if is_open && self.authorization.is_none() {
            return Ok(api.pilothouse.feeds().named(app).await?.ok_or(Error::Unauthenticated)?);
        }
        let sent = [&self.authorization, &self.timestamp].map(Option::as_ref);
        let signature = Signature::read(sent, &self.target, &api.settings.prefix, now);
        let is_signed = |key: &str| signature.as_ref().is_ok_and(|signature| signature.is_of(key));
        let opened = api.pilothouse.feeds().open_signed(app, |key| is_signed(&key.text)).await;
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

    /// What such a client should hold of a namespace, and in which profile that is.
    pub(super) async fn part<'a>(
        &self,
        feed: &Feed,
        view: &View,
        path: &'a NamespacePath,
        who: &'a Who,
        holds: impl Fn(&Part) -> bool,
    ) -> Result<(&'a str, Arc<Part>), Failure> {
        let (address, label) = (self.address(who), who.label()?);
        let node_id = guest_id(&address, &label);
        let found = profiles(&path.cluster, &who.data_center)
            .find_map(|profile| Some((profile, view.part(profile, &node_id, &path.namespace)?)));
        let Some((profile, part)) = found else {
            return Err(Error::not_found("anything published there").into());
        };
        if let Some(guest) = feed.guest(profile, &address, &label, self.peer).await? {
            guest.told_part(&part, holds(&part));
        }
        Ok((profile, part))
    }
}

/// The profiles that may have the answer, the first first.
pub(super) fn profiles<'a>(cluster: &'a str, data_center: &'a str) -> impl Iterator<Item = &'a str> {
    let cluster = Some(cluster).filter(|cluster| *cluster != DEFAULT);
    let data_center = Some(data_center).filter(|center| !center.is_empty() && *center != DEFAULT);
    let data_center = data_center.filter(|center| Some(*center) != cluster);
    [cluster, data_center, Some(DEFAULT)].into_iter().flatten()
}
