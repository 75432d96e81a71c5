//! CDN provider of your own: a vendor with a task for every purge, tested by the conformance suite.
//!
//! `cargo run --example provider`; `cargo test --example provider` runs the suite.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use axum::extract::{Path, State};
use axum::routing::{get, put};
use axum::{Json, Router};
use pilothouse_core::ports::{
    Batch, CallLimits, Capabilities, CdnProvider, ItemState, Operation, ProviderError, Providers, RemoteTask,
    Repeat, ServedDomain, Submission, Submissions, TaskState,
};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_storage_memory::MemoryStorage;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// Provider of a vendor whose API has the batch's id in the path, so that a purge that is sent twice is done once.
#[derive(Debug)]
struct Acme {
    http: Client,
    url: String,
    capabilities: Capabilities,
}

impl Acme {
    fn new(name: &str, url: String) -> Self {
        let limits = CallLimits::items(200).with_in_flight(Some(5000));
        let capabilities = Capabilities::vendor(name, Repeat::Keyed)
            .with_purge_urls(true)
            .with_purge_batch(1000)
            .with_list_domains(true)
            .with_limits(Operation::PurgeUrls, limits);
        // Where the client can do TLS it needs a provider for it, also for a vendor without.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { http: Client::new(), url, capabilities }
    }

    /// Sends a request. Whether it can have been done is what the engine has to know of a failure.
    async fn call(&self, request: RequestBuilder) -> Result<Value, ProviderError> {
        let lost = || ProviderError::Ambiguous("the vendor's answer was lost".into());
        let unreachable = || ProviderError::Unavailable("the vendor cannot be reached".into());
        let failed = |error: reqwest::Error| if error.is_connect() { unreachable() } else { lost() };
        let answer = request.send().await.map_err(failed)?;
        match answer.status() {
            StatusCode::OK => answer.json().await.map_err(|_| lost()),
            StatusCode::FORBIDDEN => Err(ProviderError::NotYours("not a domain of the account".into())),
            status => Err(ProviderError::Ambiguous(format!("the vendor answered {status}"))),
        }
    }
}

#[async_trait]
impl CdnProvider for Acme {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn submit(&self, batch: &Batch) -> Result<Submissions, ProviderError> {
        let urls: Vec<_> = batch.items.iter().map(|item| &item.url).collect();
        self.call(self.http.put(format!("{}/purges/{}", self.url, batch.id)).json(&urls)).await?;
        Ok(vec![Ok(Submission::Running(batch.id.clone())); urls.len()])
    }

    async fn poll(&self, tasks: &[RemoteTask]) -> Result<Vec<TaskState>, ProviderError> {
        let mut states = Vec::new();
        for task in tasks {
            let answer = self.call(self.http.get(format!("{}/purges/{}", self.url, task.id))).await?;
            let state = match answer["percent"].as_u64().and_then(|percent| percent.try_into().ok()) {
                None => ItemState::Unknown,
                Some(100..) => ItemState::Done,
                percent => ItemState::Running(percent),
            };
            states.push(vec![state; task.items.len()]);
        }
        Ok(states)
    }

    async fn services(&self) -> Result<Vec<ServedDomain>, ProviderError> {
        let answer = self.call(self.http.get(format!("{}/domains", self.url))).await?;
        Ok(answer
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|name| Some(ServedDomain::new(name.as_str()?)))
            .collect())
    }
}

/// Percentages of the stand-in's tasks.
type Tasks = Arc<Mutex<BTreeMap<String, u64>>>;

/// Starts a stand-in for the vendor, which serves `cdn.example.com`; returns its URL.
async fn stand_in() -> Result<String, Box<dyn Error>> {
    let make = async |State(tasks): State<Tasks>, Path(id): Path<String>, Json(urls): Json<Vec<String>>| {
        if !urls.iter().all(|url| url.starts_with("https://cdn.example.com/")) {
            return Err(StatusCode::FORBIDDEN);
        }
        tasks.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_insert(0);
        Ok(Json(json!({})))
    };
    // Every question moves a task on.
    let ask = async |State(tasks): State<Tasks>, Path(id): Path<String>| {
        let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let percent = tasks.get_mut(&id).map(|percent| {
            *percent = (*percent + 40).min(100);
            *percent
        });
        Json(json!({ "percent": percent }))
    };
    let router = Router::new()
        .route("/domains", get(async || Json(["cdn.example.com"])))
        .route("/purges/{id}", put(make).get(ask))
        .with_state(Tasks::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let acme: Arc<dyn CdnProvider> = Arc::new(Acme::new("acme", stand_in().await?));
    let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new()), Settings::default())?
        .with_providers(Providers::from_iter([("acme".to_owned(), acme)]));
    for synced in pilothouse.sync().await? {
        println!("{} was asked for its domains: {} changed", synced.cdn, synced.changed?);
    }
    Ok(())
}

#[cfg(test)]
#[tokio::test]
async fn it_conforms() {
    let acme = Acme::new("acme", stand_in().await.unwrap());
    let account = pilothouse_conformance::Account { domain: "cdn.example.com", foreign: "www.example.net" };
    pilothouse_conformance::provider_conforms(Arc::new(acme), account).await;
}
