//! HTTP client of one edge: the control requests that the templates in `edge/` answer.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};

use pilothouse_core::Result;
use pilothouse_core::ports::{ProviderError, SessionStart};
use reqwest::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode};

use crate::{EdgeKind, EdgeSettings};

/// Verb of a control request; in a response it proves that an edge configuration of Pilothouse has answered.
const VERB: HeaderName = HeaderName::from_static("x-pilothouse");
const KEY: HeaderName = HeaderName::from_static("x-pilothouse-key");
const SESSION: HeaderName = HeaderName::from_static("x-pilothouse-session");
const EPOCH: HeaderName = HeaderName::from_static("x-pilothouse-epoch");
const LEASE: HeaderName = HeaderName::from_static("x-pilothouse-lease");
/// Sign in the response to `hello` that the edge has lost its purge state, by a restart or a new epoch.
const FORGOT: HeaderName = HeaderName::from_static("x-pilothouse-forgot");
/// Regular expression of a ban.
pub(crate) const MATCH: HeaderName = HeaderName::from_static("x-pilothouse-match");
/// Tags of a purge.
pub(crate) const TAGS: HeaderName = HeaderName::from_static("x-pilothouse-tags");

/// Duration of a serving lease: the time for which an edge serves from its cache after the last renewal.
const LEASE_DURATION: &str = "3s";

/// HTTP client of one edge.
#[derive(Debug)]
pub(crate) struct EdgeClient {
    http: Client,
    /// Name of the CDN, for log lines.
    cdn: String,
    /// Name of the edge, for log lines and refusals.
    edge: String,
    kind: EdgeKind,
    /// Base URL without a trailing slash.
    base_url: String,
    key: Option<HeaderValue>,
    /// Whether the last request got no complete response.
    is_failing: AtomicBool,
}

/// Control request to an edge.
pub(crate) struct EdgeRequest<'a> {
    pub(crate) method: Method,
    /// Value of the `Host` header; the edge's own address if `None`.
    pub(crate) host: Option<&'a str>,
    pub(crate) uri: &'a str,
    pub(crate) verb: &'static str,
    /// Headers besides verb, key and host.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: String,
}

impl<'a> EdgeRequest<'a> {
    pub(crate) fn new(method: Method, uri: &'a str, verb: &'static str) -> Self {
        Self { method, host: None, uri, verb, headers: Vec::new(), body: String::new() }
    }
}

impl EdgeClient {
    pub(crate) fn new(http: Client, cdn: &str, settings: &EdgeSettings) -> Result<Self> {
        let mut key = None;
        if let Some(text) = settings.read_key()? {
            let mut value = HeaderValue::try_from(text).map_err(|_| {
                pilothouse_core::Error::invalid("cdn.edge.key", "must be a valid header value")
            })?;
            value.set_sensitive(true);
            key = Some(value);
        }
        Ok(Self {
            http,
            cdn: cdn.to_owned(),
            edge: settings.name.clone(),
            kind: settings.kind,
            base_url: settings.url.trim_end_matches('/').to_owned(),
            key,
            is_failing: AtomicBool::new(false),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.edge
    }

    pub(crate) fn kind(&self) -> EdgeKind {
        self.kind
    }

    /// Sends a request and returns the response once its headers have arrived.
    pub(crate) async fn send(&self, request: EdgeRequest<'_>) -> Result<Response, ProviderError> {
        let EdgeRequest { method, host, uri, verb, headers, body } = request;
        let mut headers: HeaderMap = headers.into_iter().collect();
        headers.insert(VERB, HeaderValue::from_static(verb));
        if let Some(key) = &self.key {
            headers.insert(KEY, key.clone());
        }
        if let Some(host) = host {
            headers.insert(HOST, header_value(host)?);
        }
        let request = self.http.request(method, format!("{}{uri}", self.base_url)).headers(headers);
        let request = if body.is_empty() { request } else { request.body(body) };
        request.send().await.map_err(|error| self.transport_error(&error))
    }

    /// Reads a response to its end, so that the connection can be reused, and returns its headers.
    pub(crate) async fn drain(&self, mut response: Response) -> Result<HeaderMap, ProviderError> {
        let headers = std::mem::take(response.headers_mut());
        response.bytes().await.map_err(|error| self.transport_error(&error))?;
        self.is_failing.store(false, Ordering::Relaxed);
        Ok(headers)
    }

    /// Sends a request that only the edge itself may answer, never the origin, and returns status and headers.
    pub(crate) async fn control(
        &self,
        request: EdgeRequest<'_>,
    ) -> Result<(StatusCode, HeaderMap), ProviderError> {
        let response = self.send(request).await?;
        let status = response.status();
        let headers = self.drain(response).await?;
        if status == StatusCode::FORBIDDEN {
            let reason = "the edge refuses this server's address or key";
            return Err(ProviderError::Unavailable(reason.to_owned()));
        }
        // A status alone proves nothing: any web server may answer 200 to any request.
        if !headers.contains_key(VERB) {
            let reason = "the server does not have the edge configuration of Pilothouse";
            return Err(ProviderError::Unavailable(reason.to_owned()));
        }
        Ok((status, headers))
    }

    /// Sends a request about a session: its begin, its lease or the renewal of the lease.
    async fn session(
        &self,
        verb: &'static str,
        session: i64,
        header: (HeaderName, HeaderValue),
    ) -> Result<(StatusCode, HeaderMap), ProviderError> {
        let uri = match self.kind {
            EdgeKind::Varnish => "/",
            EdgeKind::Nginx => "/_pilothouse",
        };
        let headers = vec![(SESSION, HeaderValue::from(session)), header];
        let request = EdgeRequest { headers, ..EdgeRequest::new(Method::POST, uri, verb) };
        let (status, headers) = self.control(request).await?;
        match status {
            StatusCode::OK | StatusCode::CONFLICT => Ok((status, headers)),
            status => Err(ProviderError::Unavailable(format!("the edge answered {}", status.as_u16()))),
        }
    }

    /// Begins a session (`hello`).
    pub(crate) async fn begin_session(
        &self,
        session: i64,
        epoch: i64,
    ) -> Result<SessionStart, ProviderError> {
        let (status, headers) = self.session("hello", session, (EPOCH, HeaderValue::from(epoch))).await?;
        if status == StatusCode::OK {
            return Ok(if headers.contains_key(FORGOT) {
                SessionStart::Fresh
            } else {
                SessionStart::Resumed
            });
        }
        let later = headers.get(SESSION).and_then(|value| value.to_str().ok()?.parse().ok());
        later
            .map(SessionStart::Deferred)
            .ok_or_else(|| ProviderError::Unavailable("the edge answered 409".to_owned()))
    }

    /// Grants (`lease`) or renews (`renew`) the serving lease of a session. False if the edge refuses, because it is in
    /// another session or, on renewal, because the lease has expired.
    pub(crate) async fn lease(&self, verb: &'static str, session: i64) -> Result<bool, ProviderError> {
        let lease = (LEASE, HeaderValue::from_static(LEASE_DURATION));
        Ok(self.session(verb, session, lease).await?.0 == StatusCode::OK)
    }

    /// Converts a transport failure to a reason without the edge's address, which customers must not see, and logs its
    /// cause. Lease renewals repeat the failure several times a second, so only the first in a row is a warning.
    fn transport_error(&self, error: &reqwest::Error) -> ProviderError {
        let (cdn, edge, cause) = (&self.cdn, &self.edge, error as &(dyn StdError + 'static));
        if self.is_failing.swap(true, Ordering::Relaxed) {
            tracing::debug!(cdn, edge, error = cause, "edge request failed");
        } else {
            tracing::warn!(cdn, edge, error = cause, "edge request failed");
        }
        if error.is_connect() {
            return unreachable();
        }
        let reason = if error.is_timeout() { "the edge did not answer in time" } else { "connection lost" };
        ProviderError::Unavailable(reason.to_owned())
    }
}

/// Converts a text to a header value.
pub(crate) fn header_value(text: &str) -> Result<HeaderValue, ProviderError> {
    HeaderValue::from_str(text)
        .map_err(|_| ProviderError::Refused("the URL has characters that HTTP does not allow".to_owned()))
}

/// Error of an edge to which no connection could be opened.
pub(crate) fn unreachable() -> ProviderError {
    ProviderError::Unavailable("the edge cannot be reached".to_owned())
}
