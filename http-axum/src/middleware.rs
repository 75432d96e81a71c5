//! Request middleware: client address, time-out, panic capture, error envelope, access log.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;
use ipnet::IpNet;
use pilothouse_core::account;
use tokio::time::timeout;

use crate::envelope::Failure;
use crate::family::Family;
use crate::state::ApiState;
use crate::unread_body::drained;

/// Client address of a request, behind trusted proxies too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) Option<IpAddr>);

/// Whether a request by GET writes all the same. As an argument of a handler it says so, and refuses HEAD.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writes(Arc<AtomicBool>);

impl<S: Send + Sync> FromRequestParts<S> for Writes {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        if parts.method == Method::HEAD {
            return Err(Failure::Transport(StatusCode::METHOD_NOT_ALLOWED, "a write must not be a HEAD"));
        }
        let writes = parts.extensions.get::<Self>().cloned().unwrap_or_default();
        writes.0.store(true, Ordering::Relaxed);
        Ok(writes)
    }
}

/// The guard's own state: of a router with one family, or with all.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub(crate) api: ApiState,
    pub(crate) family: Option<Family>,
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Whether a question is held on purpose, for longer than others may take. It ends when its client hangs up.
fn is_held(method: &Method, path: &str) -> bool {
    match path {
        "/notifications/v2" | "/api/agent/poll" => true,
        "/api/update" => *method == Method::GET,
        _ => false,
    }
}

/// Whether a path says its code as the HTTP status, too: its clients are programs that look at nothing else.
fn says_code_as_status(path: &str) -> bool {
    path == "/api/blob" || path.starts_with("/api/agent/")
}

/// Whether a path is one of those that nodes ask again and again. They are answered from memory, commit nothing that
/// others wait for, and end when their client hangs up.
fn delivers(path: &str, family: Family) -> bool {
    family == Family::Apollo || path == "/node/config" || path == "/node/watch"
}

/// Runs a request to its end, also when its client hangs up: no commit goes without its wake-up, and a panic ends one
/// request. Answers within the time limit, in the family's envelope.
pub(crate) async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let family = guard.family.unwrap_or_else(|| Family::of(&path));
    let request_id = request_id();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let address = client_address(peer, request.headers(), &guard.api.settings.trusted_proxies);
    request.extensions_mut().insert(ClientAddress(address));
    request.extensions_mut().insert(family);
    let writes = (method == Method::GET && !delivers(&path, family)).then(Writes::default);
    if let Some(writes) = &writes {
        request.extensions_mut().insert(writes.clone());
    }
    let wrote = || writes.as_ref().is_some_and(|writes| writes.0.load(Ordering::Relaxed));
    let request = request.map(drained);

    let limit = guard.api.settings.request_timeout;
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let answered = if is_held(&method, &path) {
        Ok(answer.await)
    } else if delivers(&path, family) {
        timeout(limit, answer).await
    } else {
        // A task of its own does not end with the connection.
        timeout(limit, tokio::spawn(answer))
            .await
            .map(|ended| ended.unwrap_or_else(|ended| Err(Box::new(ended.to_string()))))
    };
    let response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            let panic = format!("a handler panicked: {}", pilothouse_core::panic_text(&*panic));
            Failure::from(pilothouse_core::Error::Internal(panic)).render(family, &request_id)
        }
        Err(_) => {
            // The config family takes writes by GET, too.
            let reads = delivers(&path, family) || method.is_safe() && family != Family::Config && !wrote();
            Failure::TimedOut { reads }.render(family, &request_id)
        }
    };
    let mut response = told(response, family, &path, &request_id);
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert(X_REQUEST_ID, id);
    }
    let status = response.status().as_u16();
    let elapsed = begun.elapsed();
    count(family, &method, status, elapsed);
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    // The path only: a query string may hold configuration values.
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(target: "pilothouse::access", request_id, %method, path, status, micros, ?address)
        };
    }
    // Thousands of nodes ask again and again: what only reads and succeeds is for those who want to see it.
    if method.is_safe() && !wrote() && status < 400 {
        log!(debug);
    } else {
        log!(info);
    }
    response
}

/// Counts a request by family and method, never by anything that callers choose the number of.
fn count(family: Family, method: &Method, status: u16, elapsed: Duration) {
    let family = match family {
        Family::Ops => "ops",
        Family::Config => "config",
        Family::Cdn => "cdn",
        Family::Apollo => "apollo",
    };
    let known = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD, Method::OPTIONS];
    let known = known.iter().find(|known| *known == method);
    let method = known.map_or_else(|| "other".to_owned(), ToString::to_string);
    metrics::counter!("pilothouse_http_requests_total",
        "family" => family, "method" => method.clone(), "status" => status.to_string())
    .increment(1);
    metrics::histogram!("pilothouse_http_request_seconds", "family" => family, "method" => method)
        .record(elapsed.as_secs_f64());
}

/// Puts a failure into its envelope: one a handler left, or one axum made by itself.
fn told(response: Response, family: Family, path: &str, request_id: &str) -> Response {
    let status = response.status();
    let failure = response.extensions().get::<Failure>().cloned().or(match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            Some(Failure::Transport(status, "this path does not take that method"))
        }
        _ => None,
    });
    let Some(failure) = failure else { return response };
    let mut told = failure.render(family, request_id);
    if says_code_as_status(path)
        && let Some(status) = failure.code_as_status(family)
    {
        *told.status_mut() = status;
    }
    if let Some(allow) = response.headers().get(header::ALLOW) {
        told.headers_mut().insert(header::ALLOW, allow.clone());
    }
    told
}

/// Answers paths that are of no operation.
pub(crate) async fn no_such_path() -> Failure {
    Failure::Transport(StatusCode::NOT_FOUND, "there is no such path")
}

/// The client's address; behind trusted proxies the one that they name.
fn client_address(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let forwarded = headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
    let is_trusted = |address: &IpAddr| trusted.iter().any(|block| block.contains(address));
    account::client_address(peer, forwarded, is_trusted)
}

/// Tells this request's log lines from others'. Not a secret, so not from the injected source of those.
fn request_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    static REQUEST: AtomicU64 = AtomicU64::new(0);
    format!("{:08x}-{:x}", *PROCESS & 0xffff_ffff, REQUEST.fetch_add(1, Ordering::Relaxed))
}
