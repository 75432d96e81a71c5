//! Providers of vendors over the fakes of `tests/vendors`, which check signatures, limits and quotas as the vendors do.

use std::io::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_core::ports::{Batch, CdnProvider, Clock, Ids, Operation, Purge, RandomIds, SystemClock};
use pilothouse_test_support::FakeVendor;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::providers_from;

mod alibaba;
mod cloudflare;
mod cloudfront;

/// Secret in a file of its own, which ends with this value.
struct Secret(NamedTempFile);

impl Secret {
    fn new(text: &str) -> Self {
        let mut file = NamedTempFile::new().unwrap();
        writeln!(file, "{text}").unwrap();
        Self(file)
    }

    /// Setting that names the file.
    fn source(&self) -> String {
        format!("file:{}", self.0.path().display())
    }
}

/// State of a fake.
fn state(fake: &FakeVendor) -> Value {
    serde_json::from_str(&fake.state()).unwrap()
}

/// How often a fake was called for an operation, or refused with `refused CODE`.
fn calls(fake: &FakeVendor, operation: &str) -> u64 {
    state(fake)["calls"][operation].as_u64().unwrap_or(0)
}

/// Batch of URLs of one host, in the host's group.
async fn batch(provider: &dyn CdnProvider, operation: Operation, host: &str, urls: &[&str]) -> Batch {
    let groups = provider.groups(&[host.to_owned()]).await.unwrap();
    Batch {
        id: RandomIds.uuid().to_string(),
        operation,
        edge: provider.capabilities().edges[0].clone(),
        group: groups.into_iter().next().unwrap().unwrap_or_default(),
        items: urls.iter().map(|url| Purge { url: (*url).to_owned(), stamp: 1 }).collect(),
        accepted_at: SystemClock.now(),
    }
}

/// The two hours of whole buckets before the last.
fn two_hours() -> (DateTime<Utc>, DateTime<Utc>) {
    let now = SystemClock.now().timestamp();
    let end = DateTime::from_timestamp(now - now.rem_euclid(300) - 3600, 0).unwrap();
    (end - TimeDelta::hours(2), end)
}

/// Settings of each kind with what it needs.
fn settings(kind: &str, key: &str) -> String {
    let keys: &[&str] = match kind {
        "alibaba" => &["access_key_id", "access_key_secret"],
        "cloudfront" => &["access_key_id", "secret_access_key"],
        "tencent" => &["secret_id", "secret_key"],
        _ => &["api_token"],
    };
    let keys: Vec<_> = keys.iter().map(|name| format!("{name} = \"{key}\"\n")).collect();
    format!("[[cdn]]\nname = \"vendor\"\nkind = \"{kind}\"\n{}", keys.concat())
}

#[test]
fn settings_are_refused_by_name_and_secrets_are_never_literal() {
    let secret = Secret::new("secret");
    for kind in ["alibaba", "cloudflare", "cloudfront", "tencent"] {
        let good = settings(kind, &secret.source());
        let providers = providers_from(&good).unwrap();
        assert!(providers.get("vendor").unwrap().capabilities().series);
        let logs = providers_from(&format!("{good}figures = \"logs\"\n")).unwrap();
        assert!(!logs.get("vendor").unwrap().capabilities().series);
        for (wrong, named) in [
            (format!("{good}endpoint = \"http://vendor.example.com\"\n"), "cdn.endpoint: must be https://"),
            (format!("{good}figures = \"both\"\n"), "both"),
            (format!("{good}domains = []\n"), "domains"),
            (good.replace("\"vendor\"", "\"a vendor\""), "cdn.name"),
            (settings(kind, "hunter2hunter2"), "must be env:NAME or file:PATH"),
            (settings(kind, "env:PILOTHOUSE_TEST_NO_SUCH"), "PILOTHOUSE_TEST_NO_SUCH is not set"),
        ] {
            let why = providers_from(&wrong).unwrap_err();
            assert!(why.contains(named) && !why.contains("hunter2"), "{kind}: {why}");
        }
    }
    let cloudflare = settings("cloudflare", &secret.source());
    for (wrong, named) in [
        ("purge_items = 0", "cdn.purge_items: must be between 1 and 500"),
        ("purge_items = 501", "cdn.purge_items: must be between 1 and 500"),
        ("plan = \"gold\"", "gold"),
    ] {
        let why = providers_from(&format!("{cloudflare}{wrong}\n")).unwrap_err();
        assert!(why.contains(named), "{why}");
    }
    let cloudfront = settings("cloudfront", &secret.source());
    for (wrong, named) in [
        ("log_bucket = \"x\"", "cdn.log_bucket"),
        ("s3_endpoint = \"s3\"", "cdn.s3_endpoint"),
        ("monitoring_endpoint = \"ftp://a\"", "cdn.monitoring_endpoint"),
    ] {
        let why = providers_from(&format!("{cloudfront}{wrong}\n")).unwrap_err();
        assert!(why.contains(named), "{why}");
    }
}
