//! Provider `cloudflare` over its fake.

use std::sync::Arc;
use std::time::Duration;

use pilothouse_conformance::{Account, provider_conforms};
use pilothouse_core::ports::{CdnProvider, Operation, ProviderError, Providers, Submission};
use pilothouse_test_support::FakeVendor;
use serde_json::json;

use super::{Secret, batch, calls, state, two_hours};
use crate::providers_from;

const URL: &str = "https://a.example.com/1.jpg";
const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";
/// Rate of purges that no test reaches.
const FAST: &str = r#"{"purge_rate": [1000, 1, 1000]}"#;

struct Vendor {
    fake: FakeVendor,
    providers: Providers,
}

impl Vendor {
    fn start(test: &str, settings: &str) -> Option<Self> {
        Self::with_token(test, settings, "ExampleCloudflareApiTokenExampleExample0")
    }

    fn with_token(test: &str, settings: &str, token: &str) -> Option<Self> {
        let fake = FakeVendor::start_or_skip(test, "cloudflare", settings)?;
        let token = Secret::new(token);
        let text = format!(
            "[[cdn]]\nname = \"cf\"\nkind = \"cloudflare\"\napi_token = \"{}\"\nendpoint = \"{}\"\n",
            token.source(),
            fake.url()
        );
        Some(Self { fake, providers: providers_from(&text).unwrap() })
    }

    fn provider(&self) -> &Arc<dyn CdnProvider> {
        self.providers.get("cf").unwrap()
    }

    async fn submit(&self, operation: Operation, urls: &[&str]) -> Result<Vec<Submission>, ProviderError> {
        let batch = batch(&**self.provider(), operation, "a.example.com", urls).await;
        self.provider().submit(&batch).await?.into_iter().collect()
    }
}

#[tokio::test]
async fn it_conforms() {
    let Some(vendor) = Vendor::start("it_conforms", FAST) else { return };
    let account = Account { domain: "a.example.com", foreign: "www.example.net" };
    provider_conforms(Arc::clone(vendor.provider()), account).await;
    let names = ["a.example.com", "b.example.com", "example.com"];
    assert_eq!(vendor.provider().domains().await.unwrap(), names);
}

#[tokio::test]
async fn every_kind_of_purge_is_sent_as_the_vendor_names_it() {
    let Some(vendor) = Vendor::start("every_kind_of_purge", FAST) else { return };
    let prefixes = ["https://a.example.com/dir/*", "https://a.example.com/*"];
    vendor.submit(Operation::PurgeUrls, &[URL, "https://a.example.com/中"]).await.unwrap();
    vendor.submit(Operation::PurgePrefixes, &prefixes).await.unwrap();
    vendor.submit(Operation::PurgeTags, &["tag://a.example.com/news"]).await.unwrap();
    let sent = |body| json!(["purge_cache", ZONE, body]);
    let log = json!([
        sent(json!({"files": [URL, "https://a.example.com/%E4%B8%AD"]})),
        sent(json!({"prefixes": ["a.example.com/dir/"]})),
        sent(json!({"hosts": ["a.example.com"]})),
        sent(json!({"tags": ["news"]})),
    ]);
    assert_eq!(state(&vendor.fake)["log"], log);
}

#[tokio::test]
async fn zones_are_listed_once_and_again_for_a_host_that_is_in_none() {
    let Some(vendor) = Vendor::start("zones_are_listed_once", FAST) else { return };
    for _ in 0..3 {
        vendor.submit(Operation::PurgeUrls, &[URL]).await.unwrap();
    }
    assert_eq!(calls(&vendor.fake, "zones"), 1);
    let hosts = ["a.example.com".to_owned(), "a.example.org".to_owned()];
    let groups = vendor.provider().groups(&hosts).await.unwrap();
    assert_eq!(groups[0], Ok(ZONE.to_owned()));
    // Its zone is pending.
    assert!(matches!(groups[1], Err(ProviderError::NotYours(_))), "{groups:?}");
    assert_eq!(calls(&vendor.fake, "zones"), 2);
}

#[tokio::test]
async fn a_bucket_that_is_empty_says_when_it_is_filled() {
    let Some(vendor) = Vendor::start("a_bucket_that_is_empty", r#"{"purge_rate": [1, 30, 1]}"#) else {
        return;
    };
    vendor.submit(Operation::PurgeUrls, &[URL]).await.unwrap();
    let throttled = vendor.submit(Operation::PurgeUrls, &[URL]).await.unwrap_err();
    let ProviderError::Throttled { after: Some(after), .. } = throttled else { panic!("{throttled:?}") };
    assert!(after > Duration::from_secs(20) && after <= Duration::from_secs(31), "{after:?}");
}

#[tokio::test]
async fn too_many_items_are_told_from_a_wrong_one() {
    let settings = r#"{"purge_rate": [1000, 1, 1000], "purge_files": 2}"#;
    let Some(vendor) = Vendor::start("too_many_items", settings) else { return };
    let too_many = vendor.submit(Operation::PurgeUrls, &[URL; 3]).await.unwrap_err();
    assert!(matches!(too_many, ProviderError::TooBig(_)), "{too_many:?}");
    let foreign = vendor.submit(Operation::PurgeUrls, &[URL, "https://www.example.net/"]).await.unwrap_err();
    assert!(matches!(foreign, ProviderError::NotYours(_)), "{foreign:?}");
}

#[tokio::test]
async fn a_lost_answer_is_ambiguous_and_a_refused_token_names_no_token() {
    let Some(vendor) = Vendor::start("a_lost_answer", FAST) else { return };
    vendor.submit(Operation::PurgeUrls, &[URL]).await.unwrap();
    vendor.fake.set(r#"{"faults": [{"op": "purge_cache", "kind": "lose_answer"}]}"#);
    let lost = vendor.submit(Operation::PurgeUrls, &[URL]).await.unwrap_err();
    assert!(matches!(lost, ProviderError::Ambiguous(_)), "{lost:?}");
    let token = "another-token-another-token-another-token";
    let Some(vendor) = Vendor::with_token("a_refused_token", FAST, token) else { return };
    let refused = vendor.provider().domains().await.unwrap_err();
    assert_eq!(refused, ProviderError::Credentials("the vendor answered 9109".to_owned()));
    assert!(!format!("{:?}", vendor.provider()).contains("another-token"));
}

#[tokio::test]
async fn traffic_is_asked_for_within_the_limits_of_the_plan() {
    let settings = r#"{"max_duration": 3600, "max_page_size": 10}"#;
    let Some(vendor) = Vendor::start("traffic_is_asked_for", settings) else { return };
    let to = pilothouse_core::ports::Clock::now(&pilothouse_core::ports::SystemClock).timestamp() / 300 * 300;
    let time = |seconds| chrono::DateTime::from_timestamp(seconds, 0).unwrap();
    let domains = ["a.example.com".to_owned(), "b.example.com".to_owned()];
    let figures = vendor.provider().series(&domains, time(to - 7200), time(to)).await.unwrap();
    assert!(figures.estimated, "figures from samples are estimates");
    // Two hosts in all but the last two or three buckets, which the vendor does not know yet.
    assert!((2 * 20..=2 * 22).contains(&figures.rows.len()), "{}", figures.rows.len());
    assert!(figures.rows.iter().all(|row| row.requests.is_some()));
    // Five buckets of two hosts fill a page; the limits are asked for once.
    assert!((5..=6).contains(&calls(&vendor.fake, "graphql")), "{}", calls(&vendor.fake, "graphql"));
    let old = vendor.provider().series(&domains, time(to - 40 * 86400), time(to)).await.unwrap_err();
    assert_eq!(old.to_string(), "the vendor knows no traffic of so long ago");
}

#[tokio::test]
async fn hits_and_status_classes_come_with_the_same_question() {
    let Some(vendor) = Vendor::start("hits_and_status_classes", "{}") else { return };
    let (from, to) = two_hours();
    let domains = ["a.example.com".to_owned(), "b.example.com".to_owned()];
    let rows = vendor.provider().series(&domains, from, to).await.unwrap().rows;
    assert_eq!(rows.len(), 2 * 24);
    for row in &rows {
        let (requests, hits) = (row.requests.unwrap(), row.hits.unwrap());
        assert_eq!(row.classes.unwrap().iter().sum::<i64>(), requests, "{row:?}");
        // Three countries, of each of which the fake rounds down four fifths and three quarters.
        assert!((requests * 4 / 5 - 3..=requests * 4 / 5).contains(&hits), "{row:?}");
        assert!((row.bytes * 3 / 4 - 3..=row.bytes * 3 / 4).contains(&row.hit_bytes.unwrap()), "{row:?}");
    }
    assert_eq!(calls(&vendor.fake, "graphql"), 2, "the limits, and everything else");
}

#[tokio::test]
async fn traffic_is_told_also_where_its_details_are_refused() {
    let Some(vendor) = Vendor::start("traffic_is_told_also", r#"{"max_duration": 3600}"#) else { return };
    let (from, to) = two_hours();
    let fault = r#"{"op": "graphql", "kind": "refuse", "code": "no access to the field", "after": 1}"#;
    vendor.fake.set(&format!("{{\"faults\": [{fault}]}}"));
    let rows = vendor.provider().series(&["a.example.com".to_owned()], from, to).await.unwrap().rows;
    assert_eq!(rows.len(), 24);
    assert!(rows.iter().all(|row| row.bytes > 0 && row.requests.is_some()));
    assert!(rows.iter().all(|row| (row.hit_bytes, row.hits, row.classes) == (None, None, None)), "{rows:?}");
    assert_eq!(calls(&vendor.fake, "graphql"), 1 + 1 + 2, "the limits, the refused one, and an hour each");
}
