//! Preloads: makes an edge fetch URLs into its cache, and checks that they are cached.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use pilothouse_core::ports::{ProviderError, Purge};
use reqwest::Method;
use reqwest::header::{ACCEPT_ENCODING, HeaderValue};
use tokio::sync::Semaphore;

use crate::EdgeKind;
use crate::edge_client::{EdgeClient, EdgeRequest};
use crate::purge::Outcomes;
use crate::target::Target;

/// Most concurrent fetches of one host over all edges, to limit the load on its origin.
const FETCHES_PER_HOST: usize = 8;
/// Most URLs of one call in progress, waiting for their host's limit included.
const CONCURRENT_URLS: usize = 32;
/// Time-out of one URL. nginx reports an object as cached only after it has read all of it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(100);

/// Preloader with a limit of concurrent fetches per host.
#[derive(Debug, Default)]
pub(crate) struct Preloader {
    limits: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Preloader {
    /// Preloads URLs on one edge; the outcomes are in the order of the URLs.
    pub(crate) async fn preload(&self, edge: &EdgeClient, items: &[Purge]) -> Outcomes {
        let fetches: Vec<_> = items.iter().map(|item| self.preload_url(edge, &item.url).boxed()).collect();
        stream::iter(fetches).buffered(CONCURRENT_URLS).collect().await
    }

    async fn preload_url(&self, edge: &EdgeClient, url: &str) -> Result<(), ProviderError> {
        let target = Target::new(url)?;
        let limit = self.limit_of(&target.host);
        // Acquiring fails only on a closed semaphore, and this one is never closed.
        let _permit = limit.acquire().await;
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, fetch(edge, &target)).await;
        fetched.unwrap_or_else(|_| Err(ProviderError::Unavailable("the fetch timed out".to_owned())))
    }

    fn limit_of(&self, host: &str) -> Arc<Semaphore> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        // Drops the hosts without a fetch: their semaphore has no other owner.
        limits.retain(|_, limit| Arc::strong_count(limit) > 1);
        limits.entry(host.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(FETCHES_PER_HOST))).clone()
    }
}

/// Cache status of an object at the time of a request.
#[derive(PartialEq, Eq)]
enum CacheStatus {
    Cached,
    Fetched,
    Absent,
}

async fn fetch(edge: &EdgeClient, target: &Target) -> Result<(), ProviderError> {
    if !target.is_cacheable() {
        let reason = "the URL has a % that begins no escape, and the edges do not cache it";
        return Err(ProviderError::Refused(reason.to_owned()));
    }
    // nginx has no way to check the cache without fetching; a second preload waits for the fetch in progress.
    let probe = match edge.kind() {
        EdgeKind::Varnish => "probe",
        EdgeKind::Nginx => "preload",
    };
    // Two rounds, because a purge may have removed the object between the two requests of the first.
    for verb in ["preload", probe, "preload", probe] {
        if request(edge, target, verb, true).await? == CacheStatus::Cached {
            // Where the origin's response varies by Accept-Encoding, nginx caches another one for clients without gzip.
            if edge.kind() == EdgeKind::Nginx {
                request(edge, target, "preload", false).await?;
            }
            return Ok(());
        }
    }
    Err(ProviderError::Refused("the edge does not cache the origin's response".to_owned()))
}

async fn request(
    edge: &EdgeClient,
    target: &Target,
    verb: &'static str,
    accept_gzip: bool,
) -> Result<CacheStatus, ProviderError> {
    // The edge fetches the whole object although a HEAD request returns only its headers.
    let mut headers = Vec::new();
    if accept_gzip {
        headers.push((ACCEPT_ENCODING, HeaderValue::from_static("gzip")));
    }
    let request = EdgeRequest {
        host: Some(&target.host),
        headers,
        ..EdgeRequest::new(Method::HEAD, &target.uri, verb)
    };
    let response = edge.send(request).await?;
    let status = response.status();
    let headers = edge.drain(response).await?;
    if verb == "probe" && headers.contains_key("x-pilothouse") {
        return Ok(CacheStatus::Absent);
    }
    if status.is_client_error() || status.is_server_error() {
        return Err(ProviderError::Refused(format!("the origin answered {}", status.as_u16())));
    }
    match headers.get("x-cache").and_then(|value| value.to_str().ok()) {
        Some("HIT" | "REVALIDATED" | "UPDATING") => Ok(CacheStatus::Cached),
        Some("PASS" | "BYPASS") => {
            Err(ProviderError::Unavailable("the edge bypasses its cache at the moment".to_owned()))
        }
        _ => Ok(CacheStatus::Fetched),
    }
}
