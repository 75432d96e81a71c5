//! The arguments of an operation, from wherever its family takes them.
//!
//! | family | GET, DELETE | POST, PUT |
//! |---|---|---|
//! | ops, cdn | query string, or a JSON body | JSON body |
//! | config | query string, form or JSON body | the same |

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use pilothouse_core::Error;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::envelope::{Failure, Family};
use crate::lenient;
use crate::query;

/// The most bytes of a body.
const BODY: usize = 8 << 20;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
const TOO_LONG: Failure = Failure::Transport(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 8 MiB");

/// The arguments as a `T`.
pub(crate) struct Args<T>(pub(crate) T);

/// Like [`Args`], but a POST may carry them in its query string too.
pub(crate) struct AnywhereArgs<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Args<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        collect(request, false).await.map(Self)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for AnywhereArgs<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        collect(request, true).await.map(Self)
    }
}

/// The last segment of a path, decoded.
pub(crate) struct Segment(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &S) -> Result<Self, Failure> {
        let segment = Path::<String>::from_request_parts(parts, api).await;
        segment.map(|Path(text)| Self(text)).map_err(|_| Error::invalid("path", "must be UTF-8").into())
    }
}

async fn collect<T: DeserializeOwned>(request: Request, query_always: bool) -> Result<T, Failure> {
    let family = request.extensions().get::<Family>().copied().unwrap_or(Family::Ops);
    let in_query =
        query_always || family == Family::Config || matches!(*request.method(), Method::GET | Method::DELETE);
    let (parts, content) = request.into_parts();
    let body = body(&parts.headers, content).await?;
    let mut arguments = body_arguments(family, &parts.headers, &body)?;
    let members: Vec<String> = arguments.keys().cloned().collect();
    let pairs = query::parse(parts.uri.query().unwrap_or_default().as_bytes())?;
    query::refuse_secrets(&pairs)?;
    if in_query {
        query::merge(&mut arguments, pairs)?;
    }
    let mut stranger = None;
    let read = lenient::read(Value::Object(arguments), "", |path| {
        // Unknown query parameters are ignored; unknown members of a body are not.
        let root = path.split(['.', '[']).next().unwrap_or(path);
        if members.iter().any(|member| member == root) {
            stranger.get_or_insert_with(|| path.to_owned());
        }
    });
    match stranger {
        Some(path) => Err(Error::invalid(path, "is not known here").into()),
        None => Ok(read?),
    }
}

/// A body as it is.
pub(crate) async fn body(headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    if headers.get(header::CONTENT_LENGTH).is_some_and(|length| too_long(length.as_bytes())) {
        return Err(TOO_LONG);
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let body = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, BODY)).await;
    // A request that is only told that it took too long would wait for the rest of its body for ever.
    let body = body.map_err(|_| Failure::Transport(StatusCode::REQUEST_TIMEOUT, "the body took too long"))?;
    body.map_err(|error| {
        if is_length_limit(&error) {
            TOO_LONG
        } else {
            Failure::Transport(StatusCode::BAD_REQUEST, "the body broke off")
        }
    })
}

/// The arguments in a query string, of an operation whose body holds none.
pub(crate) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Failure> {
    let pairs = query::parse(uri.query().unwrap_or_default().as_bytes())?;
    query::refuse_secrets(&pairs)?;
    let mut arguments = Map::new();
    query::merge(&mut arguments, pairs)?;
    Ok(lenient::read(Value::Object(arguments), "", |_| {})?)
}

fn body_arguments(family: Family, headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, Failure> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    let declared =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = declared.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
    // Ops and cdn take only JSON, so a body of theirs is JSON whatever a client declares by default.
    if form && family == Family::Config {
        let mut arguments = Map::new();
        query::merge(&mut arguments, query::parse(body)?)?;
        return Ok(arguments);
    }
    match lenient::unique(body) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        Ok(_) => Err(Error::invalid("body", "must be a JSON object").into()),
        Err(error) if error.is_data() => Err(Error::invalid("body", error.to_string()).into()),
        Err(_) => Err(Failure::Transport(StatusCode::BAD_REQUEST, "the body is not JSON")),
    }
}

fn too_long(length: &[u8]) -> bool {
    std::str::from_utf8(length).ok().and_then(|length| length.parse::<usize>().ok()).is_some_and(|n| n > BODY)
}

fn is_length_limit(error: &axum::Error) -> bool {
    use std::error::Error as _;
    error.source().is_some_and(|source| source.to_string().contains("length limit"))
}

/// `{"action": …, "data": …}`: how the ops family says what to do.
#[derive(Deserialize)]
pub(crate) struct Action {
    action: String,
    data: Value,
}

impl Action {
    /// What to do; refused where it is not among `known`.
    pub(crate) fn verb<'a>(&self, known: &[&'a str]) -> Result<&'a str, Error> {
        let found = known.iter().find(|verb| **verb == self.action);
        found.copied().ok_or_else(|| Error::invalid("action", format!("must be {}", known.join(" or "))))
    }

    /// What to do it with.
    pub(crate) fn data<T: DeserializeOwned>(self) -> Result<T, Error> {
        let mut stranger = None;
        let read = lenient::read(self.data, "data", |path| {
            stranger.get_or_insert_with(|| path.to_owned());
        });
        match stranger {
            Some(path) => Err(Error::invalid(path, "is not known here")),
            None => read,
        }
    }
}
