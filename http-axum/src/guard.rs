//! What surrounds every handler: who is asking, for how long, and in which envelope a failure is told.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;
use ipnet::IpNet;
use tokio::time::timeout;

use crate::envelope::{Failure, Family};
use crate::state::ApiState;

/// Where a request comes from, behind trusted proxies too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) Option<IpAddr>);

/// The guard's own state: of a router with one family, or with all.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub(crate) api: ApiState,
    pub(crate) family: Option<Family>,
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The question that is held on purpose, for longer than others may take.
const HELD: &str = "/notifications/v2";

const TOO_LONG: Failure = Failure::Transport(StatusCode::REQUEST_TIMEOUT, "the request took too long");

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

    let limit = guard.api.settings.request_timeout;
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let answered = if path == HELD {
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
            let panic = format!("a handler panicked: {}", panic_text(&*panic));
            Failure::from(pilothouse_core::Error::Internal(panic)).render(family, &request_id)
        }
        Err(_) => TOO_LONG.render(family, &request_id),
    };
    let mut response = told(response, family, &request_id);
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert(X_REQUEST_ID, id);
    }
    let status = response.status().as_u16();
    let elapsed = begun.elapsed();
    metrics::counter!("pilothouse_http_requests_total", "status" => status.to_string()).increment(1);
    metrics::histogram!("pilothouse_http_request_seconds").record(elapsed.as_secs_f64());
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    // The path only: a query string may hold configuration values.
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(target: "pilothouse::access", request_id, %method, path, status, micros, ?address)
        };
    }
    // Thousands of nodes ask again and again: what only reads and succeeds is for those who want to see it.
    if method.is_safe() && status < 400 {
        log!(debug);
    } else {
        log!(info);
    }
    response
}

/// Puts a failure into its envelope: one a handler left, or one axum made by itself.
fn told(response: Response, family: Family, request_id: &str) -> Response {
    let status = response.status();
    let failure = response.extensions().get::<Failure>().cloned().or(match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            Some(Failure::Transport(status, "this path does not take that method"))
        }
        _ => None,
    });
    let Some(failure) = failure else { return response };
    let mut told = failure.render(family, request_id);
    if let Some(allow) = response.headers().get(header::ALLOW) {
        told.headers_mut().insert(header::ALLOW, allow.clone());
    }
    told
}

/// Answers paths that are of no operation.
pub(crate) async fn no_such_path() -> Failure {
    Failure::Transport(StatusCode::NOT_FOUND, "there is no such path")
}

/// The peer's address; or, when the peer is a trusted proxy, the last address in `X-Forwarded-For` that is none.
fn client_address(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|block| block.contains(address));
    let peer = peer?.to_canonical();
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let mut hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut address = peer;
    while let Some(hop) = hops.pop().and_then(|hop| hop.parse::<IpAddr>().ok()) {
        address = hop.to_canonical();
        if !is_trusted(&address) {
            break;
        }
    }
    Some(address)
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

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("6.6.6.6, 203.0.113.9, 10.0.0.2"));
        let (proxy, stranger) = ("10.0.0.1".parse().unwrap(), "198.51.100.7".parse().unwrap());
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let client = |peer, trusted| client_address(Some(peer), &headers, trusted).unwrap().to_string();
        assert_eq!(client(stranger, &trusted), "198.51.100.7");
        assert_eq!(client(proxy, &[]), "10.0.0.1");
        assert_eq!(client(proxy, &trusted), "203.0.113.9", "what a client wrote itself is left of that");
    }
}
