//! Provider `cloudfront` over its fake, which is CloudFront, CloudWatch and S3 on one port.

use std::sync::Arc;
use std::time::Duration;

use pilothouse_conformance::{Account, provider_conforms};
use pilothouse_core::ports::{
    CdnProvider, Clock, Operation, ProviderError, Providers, Submission, SystemClock,
};
use pilothouse_test_support::FakeVendor;
use serde_json::json;

use super::{Secret, batch, calls, state, two_hours};
use crate::providers_from;

const URL: &str = "https://a.example.com/1.jpg";
const DISTRIBUTION: &str = "EDFDVBD6EXAMPLE";

struct Vendor {
    fake: FakeVendor,
    providers: Providers,
}

impl Vendor {
    fn start(test: &str, settings: &str) -> Option<Self> {
        Self::with(test, settings, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "")
    }

    fn with(test: &str, settings: &str, secret: &str, more: &str) -> Option<Self> {
        let fake = FakeVendor::start_or_skip(test, "cloudfront", settings)?;
        let (id, secret) = (Secret::new("AKIAIOSFODNN7EXAMPLE"), Secret::new(secret));
        let text = format!(
            "[[cdn]]\nname = \"aws\"\nkind = \"cloudfront\"\naccess_key_id = \"{}\"\nsecret_access_key = \"{}\"\n\
             endpoint = \"{url}\"\nmonitoring_endpoint = \"{url}\"\ns3_endpoint = \"{url}\"\n{more}",
            id.source(),
            secret.source(),
            url = fake.url()
        );
        Some(Self { fake, providers: providers_from(&text).unwrap() })
    }

    fn provider(&self) -> &Arc<dyn CdnProvider> {
        self.providers.get("aws").unwrap()
    }

    async fn submit(&self, operation: Operation, urls: &[&str]) -> Result<Vec<Submission>, ProviderError> {
        let batch = batch(&**self.provider(), operation, "a.example.com", urls).await;
        self.provider().submit(&batch).await?.into_iter().collect()
    }
}

#[tokio::test]
async fn it_conforms() {
    let settings = r#"{"task_seconds": 0.3, "page_size": 2}"#;
    let Some(vendor) = Vendor::start("it_conforms", settings) else { return };
    // The one domain of its distribution.
    let account = Account { domain: "c.example.com", foreign: "other.example.net" };
    provider_conforms(Arc::clone(vendor.provider()), account).await;
    let names = [
        "a.example.com",
        "b.example.com",
        "c.example.com",
        "e2example2exam.cloudfront.net",
        "edfdvbd6example.cloudfront.net",
    ];
    assert_eq!(vendor.provider().domains().await.unwrap(), names);
}

#[tokio::test]
async fn paths_are_sent_escaped_and_each_once() {
    let Some(vendor) = Vendor::start("paths_are_sent_escaped", "{}") else { return };
    let urls = [URL, "http://a.example.com/1.jpg", "https://a.example.com/中?x=1&y=2"];
    let submitted = vendor.submit(Operation::PurgeUrls, &urls).await.unwrap();
    assert!(submitted.iter().all(|one| *one == submitted[0]), "{submitted:?}");
    vendor.submit(Operation::PurgePrefixes, &["https://a.example.com/img-*"]).await.unwrap();
    let log = &state(&vendor.fake)["log"];
    assert_eq!(log[0][1], DISTRIBUTION);
    assert_eq!(log[0][2], json!(["/1.jpg", "/%E4%B8%AD?x=1&y=2"]));
    assert_eq!(log[1][2], json!(["/img-*"]));
}

#[tokio::test]
async fn the_batch_is_the_key_against_double_submission() {
    let Some(vendor) = Vendor::start("the_batch_is_the_key", "{}") else { return };
    let provider = vendor.provider();
    let mut batch = batch(&**provider, Operation::PurgeUrls, "a.example.com", &[URL]).await;
    vendor.fake.set(r#"{"faults": [{"op": "CreateInvalidation", "kind": "lose_answer"}]}"#);
    let lost = provider.submit(&batch).await.unwrap_err();
    assert!(matches!(lost, ProviderError::Ambiguous(_)), "{lost:?}");
    provider.submit(&batch).await.unwrap();
    assert_eq!(state(&vendor.fake)["log"].as_array().unwrap().len(), 1, "one invalidation was made");
    // The same batch with other items would be a fault of the caller, and is not tried again.
    batch.items[0].url = "https://a.example.com/2.jpg".to_owned();
    let changed = provider.submit(&batch).await.unwrap_err();
    assert_eq!(changed, ProviderError::Refused("the vendor answered InvalidArgument".to_owned()));
}

#[tokio::test]
async fn limits_of_what_is_in_progress_are_waited_for() {
    let settings = r#"{"wildcards_in_progress": 1, "task_seconds": 60}"#;
    let Some(vendor) = Vendor::start("limits_of_what_is_in_progress", settings) else { return };
    vendor.submit(Operation::PurgePrefixes, &["https://a.example.com/1/*"]).await.unwrap();
    let busy = vendor.submit(Operation::PurgePrefixes, &["https://a.example.com/2/*"]).await.unwrap_err();
    let ProviderError::Throttled { after, .. } = busy else { panic!("{busy:?}") };
    assert_eq!(after, Some(Duration::from_secs(10)));
    vendor.fake.set(r#"{"files_in_progress": 0}"#);
    let too_big = vendor.submit(Operation::PurgeUrls, &[URL]).await.unwrap_err();
    assert!(matches!(too_big, ProviderError::TooBig(_)), "{too_big:?}");
}

#[tokio::test]
async fn what_belongs_to_a_shared_distribution_is_told_of_none_of_its_domains() {
    let Some(vendor) = Vendor::start("what_belongs_to_a_shared", "{}") else { return };
    let now = SystemClock.now();
    let domains = ["c.example.com".to_owned(), "a.example.com".to_owned()];
    let refused = vendor.provider().series(&domains, now, now).await.unwrap_err().to_string();
    assert_eq!(refused, "aws cannot tell the traffic of a domain that shares its distribution");
    let refused = vendor.provider().logs("a.example.com", now.date_naive()).await.unwrap_err().to_string();
    assert_eq!(refused, "aws cannot list the logs of a domain that shares its distribution");
}

#[tokio::test]
async fn what_the_vendor_tells_only_in_percent_is_not_made_up() {
    let Some(vendor) = Vendor::start("what_the_vendor_tells", "{}") else { return };
    let (from, to) = two_hours();
    let rows = vendor.provider().series(&["c.example.com".to_owned()], from, to).await.unwrap().rows;
    assert!(!rows.is_empty() && rows.iter().all(|row| row.requests.is_some()));
    assert!(rows.iter().all(|row| (row.hit_bytes, row.hits, row.classes) == (None, None, None)), "{rows:?}");
}

#[tokio::test]
async fn logs_are_linked_so_that_the_vendor_accepts_it() {
    for more in ["", "log_bucket = \"cdn-logs-example\"\nlog_prefix = \"cf/\"\n"] {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let Some(vendor) = Vendor::with("logs_are_linked", "{}", secret, more) else { return };
        let day = (SystemClock.now() - chrono::TimeDelta::days(1)).date_naive();
        let files = vendor.provider().logs("c.example.com", day).await.unwrap();
        assert!(files.len() > 24, "some hours have two: {}", files.len());
        let answer = reqwest::get(&files[0].link).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.bytes().await.unwrap().starts_with(b"\x1f\x8b"), "the file is gzip-compressed");
        let is_asked = calls(&vendor.fake, "GetDistributionConfig") == 1;
        assert_eq!(is_asked, more.is_empty(), "the settings need no question");
    }
}

#[tokio::test]
async fn refused_credentials_name_neither_key_nor_address() {
    let Some(vendor) = Vendor::with("refused_credentials", "{}", "wrong", "") else { return };
    let refused = vendor.provider().domains().await.unwrap_err();
    assert_eq!(refused, ProviderError::Credentials("the vendor answered SignatureDoesNotMatch".to_owned()));
    let shown = format!("{:?}", vendor.provider());
    assert!(shown.contains("AKIAIOSFODNN7EXAMPLE") && !shown.contains("wrong"), "{shown}");
}
