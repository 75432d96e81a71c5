//! Fetching URLs into an edge's cache, and seeing that they are there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use pilothouse_core::ports::{Outcomes, ProviderError};
use reqwest::Method;
use tokio::sync::Semaphore;

use crate::EdgeKind;
use crate::wire::{Target, Wire, unavailable};

/// How many fetches of one host are under way, on all edges together: the origin is somebody's.
const FETCHES: usize = 8;
/// How many URLs of one call are looked at together.
const TOGETHER: usize = 32;
/// How long one fetch may take. nginx says that it holds an object when it has read all of it.
const FETCH: Duration = Duration::from_secs(100);

/// The fetches that are under way, by host.
#[derive(Debug, Default)]
pub(crate) struct Fetches(Mutex<HashMap<String, Arc<Semaphore>>>);

impl Fetches {
    /// Has an edge fetch URLs.
    pub(crate) async fn preload(&self, wire: &Wire, urls: &[String]) -> Outcomes {
        let fetches: Vec<_> = urls.iter().map(|url| self.fetch(wire, url).boxed()).collect();
        stream::iter(fetches).buffered(TOGETHER).collect().await
    }

    async fn fetch(&self, wire: &Wire, url: &str) -> Result<(), ProviderError> {
        let target = Target::new(url)?;
        let turns = self.of(&target.host);
        // The semaphore is never closed.
        let _turn = turns.acquire().await;
        let fetched = tokio::time::timeout(FETCH, fetch(wire, &target)).await;
        fetched.unwrap_or_else(|_| Err(ProviderError::Unavailable("the fetch takes too long".to_owned())))
    }

    fn of(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those in use are held by somebody else too.
        hosts.retain(|_, turns| Arc::strong_count(turns) > 1);
        hosts.entry(host.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(FETCHES))).clone()
    }
}

/// Where an object stood when the edge was asked for it.
#[derive(PartialEq, Eq)]
enum Found {
    Cached,
    Fetched,
    Absent,
}

async fn fetch(wire: &Wire, target: &Target) -> Result<(), ProviderError> {
    // nginx cannot be asked without being told to fetch; it waits for the fetch that is under way.
    let probe = match wire.kind() {
        EdgeKind::Varnish => "probe",
        EdgeKind::Nginx => "preload",
    };
    // The second time because a purge may have come between.
    for verb in ["preload", probe, "preload", probe] {
        if ask(wire, target, verb).await? == Found::Cached {
            return Ok(());
        }
    }
    Err(ProviderError::Refused("the edge does not keep what the origin answers".to_owned()))
}

async fn ask(wire: &Wire, target: &Target, verb: &'static str) -> Result<Found, ProviderError> {
    let at = (Some(target.host.as_str()), target.uri.as_str());
    // The edge fetches the whole object; only its head comes here.
    let mut answer = wire.send(Method::HEAD, at, verb, [], String::new()).await?;
    let status = answer.status();
    let headers = std::mem::take(answer.headers_mut());
    answer.bytes().await.map_err(|error| unavailable(&error))?;
    if verb == "probe" && headers.contains_key("x-pilothouse") {
        return Ok(Found::Absent);
    }
    if status.is_client_error() || status.is_server_error() {
        return Err(ProviderError::Refused(format!("the origin answered {}", status.as_u16())));
    }
    match headers.get("x-cache").and_then(|value| value.to_str().ok()) {
        Some("HIT" | "REVALIDATED" | "UPDATING") => Ok(Found::Cached),
        Some("PASS" | "BYPASS") => {
            Err(ProviderError::Unavailable("the edge keeps nothing at the moment".to_owned()))
        }
        _ => Ok(Found::Fetched),
    }
}
