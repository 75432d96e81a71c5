//! CDN provider that answers as a test says.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pilothouse_core::ports::{
    Batch, Capabilities, CdnProvider, Prefix, ProviderError, ServedDomain, Submission, Submissions,
};
use tokio::sync::Notify;

/// The answer of an edge to one call.
#[derive(Debug)]
pub enum Reply {
    /// The call as a whole fails.
    Fails(ProviderError),
    /// Each URL has its own outcome.
    Each(Vec<Result<(), ProviderError>>),
    /// No answer until notified; then every URL is confirmed.
    Waits(Arc<Notify>),
}

/// A provider that confirms every call for which its script has no other reply.
#[derive(Debug)]
pub struct ScriptedProvider {
    capabilities: Capabilities,
    script: Mutex<BTreeMap<String, VecDeque<Reply>>>,
    calls: Mutex<Vec<(String, Vec<String>)>>,
    domains: Mutex<Result<Vec<String>, ProviderError>>,
}

impl ScriptedProvider {
    /// A provider with these edges and every capability but the listing of domains.
    pub fn new(edges: &[&str]) -> Self {
        let capabilities = Capabilities::new(edges.iter().copied())
            .with_purge_urls(true)
            .with_purge_prefix(Prefix::Any)
            .with_preload(true)
            .with_purge_batch(1000)
            .with_preload_batch(1000);
        Self {
            capabilities,
            script: Mutex::default(),
            calls: Mutex::default(),
            domains: Mutex::new(Ok(Vec::new())),
        }
    }

    /// Changes its capabilities.
    #[must_use]
    pub fn with_capabilities(mut self, change: impl FnOnce(&mut Capabilities)) -> Self {
        change(&mut self.capabilities);
        self
    }

    /// Appends a reply to the script of an edge.
    pub fn next(&self, edge: &str, reply: Reply) {
        self.script().entry(edge.to_owned()).or_default().push_back(reply);
    }

    /// Sets the answer to a listing of domains.
    pub fn serves(&self, domains: Result<&[&str], ProviderError>) {
        let owned = |domains: &[&str]| domains.iter().map(|domain| (*domain).to_owned()).collect();
        *self.domains.lock().unwrap_or_else(PoisonError::into_inner) = domains.map(owned);
    }

    /// The calls since this was last asked, as edge and number of URLs, sorted.
    pub fn calls(&self) -> Vec<(String, usize)> {
        let mut calls: Vec<_> = self
            .calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
            .map(|(edge, urls)| (edge, urls.len()))
            .collect();
        calls.sort();
        calls
    }

    /// The calls since this was last asked, as edge and URLs, in their order.
    pub fn urls(&self) -> Vec<(String, Vec<String>)> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn script(&self) -> MutexGuard<'_, BTreeMap<String, VecDeque<Reply>>> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(
        &self,
        edge: &str,
        urls: &[String],
    ) -> Result<Vec<Result<(), ProviderError>>, ProviderError> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push((edge.to_owned(), urls.to_vec()));
        let reply = self.script().get_mut(edge).and_then(VecDeque::pop_front);
        match reply {
            Some(Reply::Fails(error)) => Err(error),
            Some(Reply::Each(outcomes)) => Ok(outcomes),
            Some(Reply::Waits(proceed)) => {
                proceed.notified().await;
                Ok(vec![Ok(()); urls.len()])
            }
            None => Ok(vec![Ok(()); urls.len()]),
        }
    }
}

#[async_trait]
impl CdnProvider for ScriptedProvider {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn submit(&self, batch: &Batch) -> Result<Submissions, ProviderError> {
        let urls: Vec<_> = batch.items.iter().map(|item| item.url.clone()).collect();
        let outcomes = self.answer(&batch.edge, &urls).await?;
        Ok(outcomes.into_iter().map(|outcome| outcome.map(|()| Submission::Done)).collect())
    }

    async fn services(&self) -> Result<Vec<ServedDomain>, ProviderError> {
        let domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Ok(domains.into_iter().map(ServedDomain::new).collect())
    }
}

/// A failure that is retried.
pub fn unavailable() -> ProviderError {
    ProviderError::Unavailable("connection refused".into())
}
