//! Metrics of a vendor's calls: how many, how they ended, and how long they took.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use tokio::time::Instant;

use super::{
    AreaFigure, Batch, Capabilities, CdnProvider, Figures, LogContent, LogFile, ProviderError, Quota,
    RemoteTask, ServedDomain, Submissions, TaskState,
};

/// Provider of a vendor whose calls are counted and timed.
#[derive(Debug)]
pub(super) struct MeasuredProvider(pub(super) Arc<dyn CdnProvider>);

/// Call that is being made. One that is dropped was given up.
struct Call {
    vendor: &'static str,
    operation: &'static str,
    begun: Instant,
    outcome: &'static str,
}

impl Drop for Call {
    fn drop(&mut self) {
        let Self { vendor, operation, outcome, .. } = *self;
        let labels = [("vendor", vendor), ("operation", operation)];
        metrics::histogram!("pilothouse_vendor_call_seconds", &labels).record(self.begun.elapsed());
        let labels = [("vendor", vendor), ("operation", operation), ("outcome", outcome)];
        metrics::counter!("pilothouse_vendor_calls_total", &labels).increment(1);
    }
}

impl MeasuredProvider {
    async fn measure<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let vendor = self.0.capabilities().vendor_kind;
        let mut measured = Call { vendor, operation, begun: Instant::now(), outcome: "given_up" };
        let answer = call.await;
        measured.outcome = answer.as_ref().map_or_else(ProviderError::outcome, |_| "ok");
        answer
    }
}

#[async_trait]
impl CdnProvider for MeasuredProvider {
    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    async fn submit(&self, batch: &Batch) -> Result<Submissions, ProviderError> {
        self.measure(batch.operation.as_str(), self.0.submit(batch)).await
    }

    async fn poll(&self, tasks: &[RemoteTask]) -> Result<Vec<TaskState>, ProviderError> {
        self.measure("poll", self.0.poll(tasks)).await
    }

    async fn find(&self, batch: &Batch) -> Result<Vec<Option<String>>, ProviderError> {
        self.measure("find", self.0.find(batch)).await
    }

    async fn groups(&self, hosts: &[String]) -> Result<Vec<Result<String, ProviderError>>, ProviderError> {
        self.measure("groups", self.0.groups(hosts)).await
    }

    async fn services(&self) -> Result<Vec<ServedDomain>, ProviderError> {
        self.measure("domains", self.0.services()).await
    }

    async fn series(
        &self,
        domains: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Figures, ProviderError> {
        self.measure("series", self.0.series(domains, from, to)).await
    }

    async fn areas(
        &self,
        domain: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<AreaFigure>, ProviderError> {
        self.measure("regions", self.0.areas(domain, from, to)).await
    }

    async fn logs(&self, domain: &str, day: NaiveDate) -> Result<Vec<LogFile>, ProviderError> {
        self.measure("logs", self.0.logs(domain, day)).await
    }

    async fn log_content(&self, file: &LogFile) -> Result<LogContent, ProviderError> {
        self.measure("log content", self.0.log_content(file)).await
    }

    async fn quota(&self) -> Result<Vec<Quota>, ProviderError> {
        self.measure("quota", self.0.quota()).await
    }
}
