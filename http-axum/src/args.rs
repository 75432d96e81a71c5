//! Arguments extractor: collects query string, forms and JSON body, as the family allows, and refuses what the operation
//! does not know.
//!
//! | family | GET, DELETE | POST, PUT |
//! |---|---|---|
//! | ops, cdn | query string or body | body |
//! | config | query string or body | the same |
//!
//! A body is JSON, a form or a multipart form.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use futures_util::stream;
use pilothouse_core::{Error, IdempotencyKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::envelope::Failure;
use crate::family::Family;
use crate::lenient_json;
use crate::named_values::{NamedValues, is_ignored};
use crate::query;
use crate::unique_json;

/// The most bytes of a body.
const BODY: usize = 8 << 20;
/// Time limit for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// The most bytes of a body that holds many values.
const LARGE_BODY: usize = 64 << 20;
const LARGE_TOO_LONG: Failure =
    Failure::Transport(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 64 MiB");
const TOO_LONG: Failure = Failure::Transport(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 8 MiB");

/// The arguments as a `T`.
pub(crate) struct Args<T>(pub(crate) T);

/// Like [`Args`], but a POST may carry them in its query string too.
pub(crate) struct AnywhereArgs<T>(pub(crate) T);

/// Like [`Args`], but of a body of at most 64 MiB.
pub(crate) struct LargeArgs<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Args<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        Arguments::collect(request, false, BODY).await?.read().map(Self)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for LargeArgs<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        Arguments::collect(request, false, LARGE_BODY).await?.read().map(Self)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for AnywhereArgs<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        Arguments::collect(request, true, BODY).await?.read().map(Self)
    }
}

/// The last segment of a path, decoded.
pub(crate) struct Segment(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &S) -> Result<Self, Failure> {
        match Path::<String>::from_request_parts(parts, api).await {
            Ok(Path(text)) if !text.contains('\0') => Ok(Self(text)),
            _ => Err(Error::invalid("path", "must be UTF-8 without NUL").into()),
        }
    }
}

/// Arguments of an operation that takes none, so that any is refused by name.
#[derive(Deserialize)]
pub(crate) struct NoArgs {}

/// The arguments of a request before they are read as a type.
struct Arguments {
    values: Map<String, Value>,
    family: Family,
}

impl Arguments {
    async fn collect(request: Request, query_always: bool, most: usize) -> Result<Self, Failure> {
        let family = request.extensions().get::<Family>().copied().unwrap_or(Family::Ops);
        let in_query = query_always
            || family == Family::Config
            || matches!(*request.method(), Method::GET | Method::HEAD | Method::DELETE);
        let (parts, content) = request.into_parts();
        let body = body_of(&parts.headers, content, most).await?;
        let mut values = NamedValues::default();
        for (name, value) in body_arguments(&parts.headers, body).await? {
            values.add(name, value)?;
        }
        add_query(&mut values, &parts.uri, in_query)?;
        Ok(Self { values: values.finish()?, family })
    }

    fn read<T: DeserializeOwned>(self) -> Result<T, Failure> {
        let mut unknown = Vec::new();
        let read = lenient_json::read(Value::Object(self.values), "", &mut unknown);
        // Apollo's clients may send more than its servers know.
        if self.family != Family::Apollo {
            refuse_unknown(unknown)?;
        }
        Ok(read?)
    }
}

/// Adds what a query string holds, which must be nothing where no argument `is_taken` from it.
fn add_query(values: &mut NamedValues, uri: &Uri, is_taken: bool) -> Result<(), Error> {
    let pairs = query::parse(uri.query().unwrap_or_default().as_bytes())?;
    query::refuse_secrets(&pairs)?;
    for (name, value) in pairs {
        if !is_taken && !is_ignored(&name) {
            return Err(Error::invalid(name, "is not taken from the query string here"));
        }
        values.add(name, Value::String(value))?;
    }
    Ok(())
}

/// Refuses the first unknown member. A misspelt selector would otherwise be dropped, and its absence select everything.
fn refuse_unknown(unknown: Vec<String>) -> Result<(), Error> {
    match unknown.into_iter().next() {
        Some(path) => Err(Error::invalid(path, "is not known here")),
        None => Ok(()),
    }
}

/// Parses an IPv4 or IPv6 address; an IPv4 address written as IPv6 is that IPv4 address.
pub(crate) fn ip_address(field: &'static str, text: &str) -> Result<IpAddr, Error> {
    let address: Result<IpAddr, _> = text.trim().parse();
    address
        .map(|address| address.to_canonical())
        .map_err(|_| Error::invalid(field, "must be an IPv4 or IPv6 address"))
}

/// A body as it is.
pub(crate) async fn body(headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    body_of(headers, body, BODY).await
}

/// A body as it is, of at most 64 MiB.
pub(crate) async fn large_body(headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    body_of(headers, body, LARGE_BODY).await
}

/// A body as it is, of at most so many bytes.
async fn body_of(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Failure> {
    let too_long = || if most > BODY { LARGE_TOO_LONG } else { TOO_LONG };
    let is_too_long = |length: &str| length.parse::<usize>().is_ok_and(|length| length > most);
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if length.is_some_and(is_too_long) {
        return Err(too_long());
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let body = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, most)).await;
    // A request that is only told that it took too long would wait for the rest of its body for ever.
    let body = body.map_err(|_| Failure::Transport(StatusCode::REQUEST_TIMEOUT, "the body took too long"))?;
    body.map_err(|error| {
        if is_length_limit(&error) {
            too_long()
        } else {
            Failure::Transport(StatusCode::BAD_REQUEST, "the body broke off")
        }
    })
}

/// The arguments in a query string, of an operation whose body holds none.
pub(crate) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Failure> {
    let mut values = NamedValues::default();
    add_query(&mut values, uri, true)?;
    Arguments { values: values.finish()?, family: Family::Cdn }.read()
}

/// The byte-order mark that some programs put before JSON.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The named values of a body.
async fn body_arguments(headers: &HeaderMap, body: Bytes) -> Result<Vec<(String, Value)>, Failure> {
    let content = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&body);
    let Some(first) = content.iter().find(|byte| !byte.is_ascii_whitespace()) else { return Ok(Vec::new()) };
    let declared =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // Many clients declare a form whatever they send, and no form begins so.
    let is_json = matches!(first, b'{' | b'[');
    if media == "multipart/form-data" {
        return multipart(declared, body.clone()).await;
    }
    if media == "application/x-www-form-urlencoded" && !is_json {
        let pairs = query::parse(content)?.into_iter();
        return Ok(pairs.map(|(name, value)| (name, Value::String(value))).collect());
    }
    match unique_json::parse(content) {
        Ok(Value::Object(arguments)) => Ok(arguments.into_iter().collect()),
        // An empty object, as PHP writes it.
        Ok(Value::Array(arguments)) if arguments.is_empty() => Ok(Vec::new()),
        Ok(_) => Err(Error::invalid("body", "must be a JSON object").into()),
        Err(error) if error.is_data() => Err(Error::invalid("body", error.to_string()).into()),
        Err(_) => Err(Failure::Transport(StatusCode::BAD_REQUEST, "the body is not JSON")),
    }
}

/// The fields of a multipart form. A file counts as the text in it.
async fn multipart(declared: &str, body: Bytes) -> Result<Vec<(String, Value)>, Failure> {
    let broken = |_| Failure::Transport(StatusCode::BAD_REQUEST, "the body is not a multipart form");
    let boundary = multer::parse_boundary(declared).map_err(broken)?;
    let body = stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let mut form = multer::Multipart::new(body, boundary);
    let mut fields = Vec::new();
    while let Some(field) = form.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        let content = field.bytes().await.map_err(broken)?;
        let Ok(value) = String::from_utf8(content.into()) else {
            return Err(Error::invalid(name, "must be UTF-8").into());
        };
        fields.push((name, Value::String(value)));
    }
    Ok(fields)
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
    /// Action of the request; refused where it is not among `known`.
    pub(crate) fn verb<'a>(&self, known: &[&'a str]) -> Result<&'a str, Error> {
        let found = known.iter().find(|verb| **verb == self.action);
        found.copied().ok_or_else(|| Error::invalid("action", format!("must be {}", known.join(" or "))))
    }

    /// Data that the action takes.
    pub(crate) fn data<T: DeserializeOwned>(self) -> Result<T, Error> {
        read_data(self.into_data(), "data")
    }

    /// Data of an action that takes one thing or a list of them, and whether it is a list.
    pub(crate) fn list<T: DeserializeOwned>(self) -> Result<(bool, Vec<T>), Error> {
        match self.into_data() {
            Value::Array(data) => {
                let numbered = data.into_iter().enumerate();
                let read = numbered.map(|(index, data)| read_data(data, &format!("data[{index}]")));
                Ok((true, read.collect::<Result<_, _>>()?))
            }
            data => Ok((false, vec![read_data(data, "data")?])),
        }
    }

    /// The key of this request of a path, by which it is known again.
    pub(crate) fn idempotency_key(&self, path: &str, key: &str) -> Result<IdempotencyKey, Error> {
        IdempotencyKey::new(key, &[path, &self.action, &self.data.to_string()])
    }

    fn into_data(self) -> Value {
        match self.data {
            // A form has no objects, so some programs put JSON into its field.
            Value::String(text) => match unique_json::parse(text.as_bytes()) {
                Ok(data @ (Value::Object(_) | Value::Array(_))) => data,
                _ => Value::String(text),
            },
            data => data,
        }
    }
}

fn read_data<T: DeserializeOwned>(data: Value, place: &str) -> Result<T, Error> {
    let mut unknown = Vec::new();
    let read = lenient_json::read(data, place, &mut unknown);
    refuse_unknown(unknown)?;
    read
}

/// Shape of data that is one thing or a list of them, for the document.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the shape of what Action::list reads, for the document")]
pub(crate) enum OneOrMany<T> {
    /// One.
    One(T),
    /// Up to 1,000: all or none.
    Many(Vec<T>),
}
