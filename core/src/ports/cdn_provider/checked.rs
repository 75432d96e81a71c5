//! Check of calls: what the capabilities do not name is refused by name, and a vendor's calls are counted and timed.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use tokio::time::Instant;

use super::{
    AreaFigure, Batch, Capabilities, CdnProvider, Figures, LogContent, LogFile, ProviderError, Quota,
    RemoteTask, ServedDomain, Submissions, TaskState,
};

/// Provider that is only called for what it can.
#[derive(Debug)]
pub(super) struct CheckedProvider {
    /// Name of its cdn.
    pub(super) cdn: String,
    pub(super) provider: Arc<dyn CdnProvider>,
}

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

impl CheckedProvider {
    /// Refuses what the provider cannot, in words that are shown to customers.
    fn require(&self, is_able: bool, operation: &'static str) -> Result<(), ProviderError> {
        if is_able {
            return Ok(());
        }
        Err(ProviderError::Unsupported { provider: self.cdn.clone(), operation })
    }

    async fn measure<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let Capabilities { is_vendor, vendor_kind: vendor, .. } = *self.capabilities();
        if !is_vendor {
            return call.await;
        }
        let mut measured = Call { vendor, operation, begun: Instant::now(), outcome: "given_up" };
        let answer = call.await;
        measured.outcome = answer.as_ref().map_or_else(ProviderError::outcome, |_| "ok");
        answer
    }
}

#[async_trait]
impl CdnProvider for CheckedProvider {
    fn capabilities(&self) -> &Capabilities {
        self.provider.capabilities()
    }

    async fn submit(&self, batch: &Batch) -> Result<Submissions, ProviderError> {
        let operation = batch.operation;
        self.require(self.capabilities().does(operation), operation.as_str())?;
        self.measure(operation.as_str(), self.provider.submit(batch)).await
    }

    async fn poll(&self, tasks: &[RemoteTask]) -> Result<Vec<TaskState>, ProviderError> {
        self.measure("poll", self.provider.poll(tasks)).await
    }

    async fn find(&self, batch: &Batch) -> Result<Vec<Option<String>>, ProviderError> {
        self.measure("find", self.provider.find(batch)).await
    }

    async fn groups(&self, hosts: &[String]) -> Result<Vec<Result<String, ProviderError>>, ProviderError> {
        self.measure("groups", self.provider.groups(hosts)).await
    }

    async fn services(&self) -> Result<Vec<ServedDomain>, ProviderError> {
        self.require(self.capabilities().list_domains, "list domains")?;
        self.measure("domains", self.provider.services()).await
    }

    async fn series(
        &self,
        domains: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Figures, ProviderError> {
        self.require(self.capabilities().series, "tell traffic by 5 minutes")?;
        self.measure("series", self.provider.series(domains, from, to)).await
    }

    async fn areas(
        &self,
        domain: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<AreaFigure>, ProviderError> {
        self.require(self.capabilities().areas, "tell traffic by region")?;
        self.measure("regions", self.provider.areas(domain, from, to)).await
    }

    async fn logs(&self, domain: &str, day: NaiveDate) -> Result<Vec<LogFile>, ProviderError> {
        self.require(self.capabilities().logs, "list logs")?;
        self.measure("logs", self.provider.logs(domain, day)).await
    }

    async fn log_content(&self, file: &LogFile) -> Result<LogContent, ProviderError> {
        self.require(self.capabilities().logs, "fetch logs")?;
        self.measure("log content", self.provider.log_content(file)).await
    }

    async fn quota(&self) -> Result<Vec<Quota>, ProviderError> {
        self.require(self.capabilities().quota, "tell quotas")?;
        self.measure("quota", self.provider.quota()).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Operation, Prefix, Providers, Repeat, Submission};
    use super::*;

    /// Vendor that would do whatever it is asked for.
    #[derive(Debug)]
    struct Eager(Capabilities);

    #[async_trait]
    impl CdnProvider for Eager {
        fn capabilities(&self) -> &Capabilities {
            &self.0
        }

        async fn submit(&self, _: &Batch) -> Result<Submissions, ProviderError> {
            Ok(vec![Ok(Submission::Done)])
        }

        async fn services(&self) -> Result<Vec<ServedDomain>, ProviderError> {
            Ok(Vec::new())
        }

        async fn series(
            &self,
            _: &[String],
            from: DateTime<Utc>,
            _: DateTime<Utc>,
        ) -> Result<Figures, ProviderError> {
            Ok(Figures { rows: Vec::new(), known_until: from, estimated: false })
        }

        async fn areas(
            &self,
            _: &str,
            _: DateTime<Utc>,
            _: DateTime<Utc>,
        ) -> Result<Vec<AreaFigure>, ProviderError> {
            Ok(Vec::new())
        }

        async fn logs(&self, _: &str, _: NaiveDate) -> Result<Vec<LogFile>, ProviderError> {
            Ok(Vec::new())
        }

        async fn log_content(&self, _: &LogFile) -> Result<LogContent, ProviderError> {
            Ok(Box::pin(futures_util::stream::empty()))
        }

        async fn quota(&self) -> Result<Vec<Quota>, ProviderError> {
            Ok(Vec::new())
        }
    }

    /// Reasons of the refusal of each operation; empty where it was done.
    async fn refusals(capabilities: Capabilities) -> Vec<String> {
        let eager: Arc<dyn CdnProvider> = Arc::new(Eager(capabilities));
        let providers = Providers::from_iter([("cdn-1".to_owned(), eager)]);
        let provider = providers.get("cdn-1").unwrap();
        let at = DateTime::UNIX_EPOCH;
        let (name, link) = (String::new(), String::new());
        let file = LogFile { name, link, bytes: None, from: at, until: at };
        let reason = |refused: Option<ProviderError>| refused.map(|why| why.to_string()).unwrap_or_default();
        let mut reasons = Vec::new();
        for operation in Operation::ALL {
            let (id, edge, group) = (String::new(), String::new(), String::new());
            let batch = Batch { id, operation, edge, group, items: Vec::new(), accepted_at: at };
            reasons.push(reason(provider.submit(&batch).await.err()));
        }
        reasons.push(reason(provider.domains().await.err()));
        reasons.push(reason(provider.series(&[], at, at).await.err()));
        reasons.push(reason(provider.areas("", at, at).await.err()));
        reasons.push(reason(provider.logs("", at.date_naive()).await.err()));
        reasons.push(reason(provider.log_content(&file).await.err()));
        reasons.push(reason(provider.quota().await.err()));
        reasons
    }

    #[tokio::test]
    async fn what_the_capabilities_do_not_name_is_refused_by_name() {
        let refused = [
            "cdn-1 cannot purge",
            "cdn-1 cannot purge by prefix",
            "cdn-1 cannot purge by tag",
            "cdn-1 cannot preload",
            "cdn-1 cannot list domains",
            "cdn-1 cannot tell traffic by 5 minutes",
            "cdn-1 cannot tell traffic by region",
            "cdn-1 cannot list logs",
            "cdn-1 cannot fetch logs",
            "cdn-1 cannot tell quotas",
        ];
        assert_eq!(refusals(Capabilities::vendor("v", Repeat::Free)).await, refused);
        assert_eq!(refusals(Capabilities::new(["edge-1"])).await, refused);
        let able = Capabilities::vendor("v", Repeat::Free)
            .with_purge_urls(true)
            .with_purge_prefix(Prefix::Any)
            .with_purge_tags(true)
            .with_preload(true)
            .with_list_domains(true)
            .with_series(true)
            .with_areas(true)
            .with_logs(true)
            .with_quota(true);
        assert_eq!(refusals(able).await, [""; 10]);
    }
}
