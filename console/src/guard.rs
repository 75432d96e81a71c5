//! Request middleware: who asks and in which language, forms of other sites, time-out, panics, failures as pages, headers.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, OriginalUri, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use futures_util::FutureExt;
use pilothouse_core::{Error, account, panic_text};
use tokio::time::timeout;

use crate::assets::{FAST, gzip, takes_gzip};
use crate::failure::Failure;
use crate::form::part;
use crate::origin::is_own;
use crate::page::{Visit, failure_page};
use crate::state::ConsoleState;

/// Content that a page may load and do: only what this host serves, and nothing that stands in the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// The largest page that is compressed.
const PAGE: usize = 1 << 26;

/// Runs a request to its end, also when its browser goes away, and shows failures as pages.
pub(crate) async fn guard(State(console): State<ConsoleState>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let (mut parts, body) = request.into_parts();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let address = client_address(&console, peer, &parts.headers);
    let sent = parts.extensions.get::<OriginalUri>().map_or_else(|| parts.uri.clone(), |sent| sent.0.clone());
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let takes_gzip = takes_gzip(&parts.headers);
    let mut visit = Visit::new(console.clone(), &parts.headers, address);
    visit.here = sent.path_and_query().map(ToString::to_string).unwrap_or_default();
    visit.back =
        if method.is_safe() { None } else { form_page(&parts.headers) }.unwrap_or(visit.here.clone());

    // A browser's report of a violation is no form: it changes nothing but a count.
    let answer = if path != "/csp" && !is_own(&parts, console.settings.public_url.as_deref()) {
        Failure::Foreign.into_response()
    } else if is_public(&path) {
        visit.caller = caller(&console, &parts, address).await.unwrap_or_default();
        parts.extensions.insert(visit.clone());
        run(&console, next, Request::from_parts(parts, body)).await
    } else {
        match caller(&console, &parts, address).await {
            Err(failure) => failure.into_response(),
            Ok(None) => log_in(&console, &method, &visit.here),
            Ok(Some(caller)) => {
                visit.caller = Some(caller);
                parts.extensions.insert(visit.clone());
                run(&console, next, Request::from_parts(parts, body)).await
            }
        }
    };
    let is_refused = method.is_safe() && answer.status() == StatusCode::METHOD_NOT_ALLOWED;
    let is_form_only = is_refused && path != "/csp";
    let answer = if is_form_only { page_above(&console, &path) } else { answer };
    let response = shown(answer, &visit).await;
    let mut response = if takes_gzip { compressed(response).await } else { response };
    add_headers(&mut response, &console);
    let status = response.status().as_u16();
    let elapsed = begun.elapsed();
    let known = if method.is_safe() { "GET" } else { "POST" };
    metrics::counter!("pilothouse_http_requests_total",
        "family" => "console", "method" => known, "status" => status.to_string())
    .increment(1);
    metrics::histogram!("pilothouse_http_request_seconds", "family" => "console", "method" => known)
        .record(elapsed.as_secs_f64());
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let prefix = &*console.settings.prefix;
    // The path only: a query may hold keys of configuration.
    if method.is_safe() && status < 400 {
        tracing::debug!(target: "pilothouse::access", %method, prefix, path, status, micros, ?address);
    } else {
        tracing::info!(target: "pilothouse::access", %method, prefix, path, status, micros, ?address);
    }
    response
}

/// Whether a page is for those, too, who are not logged in.
fn is_public(path: &str) -> bool {
    matches!(path, "/login" | "/setup" | "/language" | "/theme" | "/csp") || path.starts_with("/assets/")
}

async fn caller(
    console: &ConsoleState,
    parts: &axum::http::request::Parts,
    address: Option<IpAddr>,
) -> Result<Option<account::Caller>, Failure> {
    Ok(console.authenticator.caller(parts, address).await?)
}

/// Leads to the page on which people log in, and from there back.
fn log_in(console: &ConsoleState, method: &Method, here: &str) -> Response {
    if !method.is_safe() {
        return Failure::from(Error::Unauthenticated).into_response();
    }
    let own = || format!("{}/login?next={}", console.settings.prefix, part(here));
    Redirect::to(&console.authenticator.login_url().unwrap_or_else(own)).into_response()
}

/// Path and query of the page that a form was on. Pages ask browsers to name it to the same site, and whoever does not is led
/// to the path of the form.
fn form_page(headers: &HeaderMap) -> Option<String> {
    let url: Uri = headers.get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    url.path_and_query().map(ToString::to_string)
}

/// Leads from a path that only takes forms to the page above it.
fn page_above(console: &ConsoleState, path: &str) -> Response {
    let above = path.trim_end_matches('/').rsplit_once('/').map_or("", |(above, _)| above);
    let page = format!("{}{above}", console.settings.prefix);
    Redirect::to(if page.is_empty() { "/" } else { &page }).into_response()
}

async fn run(console: &ConsoleState, next: Next, request: Request) -> Response {
    // A task of its own does not end with the connection: no commit goes without its wake-up.
    let answer = tokio::spawn(AssertUnwindSafe(next.run(request)).catch_unwind());
    let panicked = |panic: &(dyn Any + Send)| {
        Failure::from(Error::Internal(format!("a page panicked: {}", panic_text(panic)))).into_response()
    };
    match timeout(console.settings.request_timeout, answer).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(panic))) => panicked(&*panic),
        Ok(Err(ended)) => Failure::from(Error::Internal(ended.to_string())).into_response(),
        Err(_) => Failure::TimedOut.into_response(),
    }
}

fn client_address(console: &ConsoleState, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
    let forwarded = headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
    let trusted = &console.settings.trusted_proxies;
    account::client_address(peer, forwarded, |address| trusted.iter().any(|block| block.contains(address)))
}

/// The answer, or its failure as a page.
async fn shown(response: Response, visit: &Visit) -> Response {
    let failure = response.extensions().get::<Failure>().cloned().or(match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => Some(Failure::NoPage),
        _ => None,
    });
    match failure {
        Some(failure) => failure_page(visit, &failure).await,
        None => response,
    }
}

/// A page compressed; what is no page stays as it is.
async fn compressed(response: Response) -> Response {
    let is_page = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if !is_page {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, PAGE).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Response::from_parts(parts, Body::from(gzip(&bytes, FAST)))
}

fn add_headers(response: &mut Response, console: &ConsoleState) {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let reported = format!("{POLICY}; report-uri {}/csp", console.settings.prefix);
    let policy = HeaderValue::try_from(reported).unwrap_or(HeaderValue::from_static(POLICY));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    if console.settings.is_encrypted() {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
}
