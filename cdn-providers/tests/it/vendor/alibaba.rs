//! Provider `alibaba` over its fake.

use std::sync::Arc;

use pilothouse_conformance::{Account, provider_conforms};
use pilothouse_core::ports::{
    CdnProvider, ItemState, Operation, ProviderError, Providers, RemoteTask, Submission,
};
use pilothouse_test_support::FakeVendor;

use super::{Secret, batch, calls, state, two_hours};
use crate::providers_from;

const URL: &str = "https://a.example.com/1.jpg";

struct Vendor {
    fake: FakeVendor,
    providers: Providers,
}

impl Vendor {
    fn start(test: &str, settings: &str) -> Option<Self> {
        Self::with_secret(test, settings, "ExampleAccessKeySecretExample1")
    }

    fn with_secret(test: &str, settings: &str, secret: &str) -> Option<Self> {
        let fake = FakeVendor::start_or_skip(test, "alibaba", settings)?;
        let (id, secret) = (Secret::new("LTAIEXAMPLEEXAMPLE"), Secret::new(secret));
        let text = format!(
            "[[cdn]]\nname = \"aliyun\"\nkind = \"alibaba\"\naccess_key_id = \"{}\"\n\
             access_key_secret = \"{}\"\nendpoint = \"{}\"\n",
            id.source(),
            secret.source(),
            fake.url()
        );
        Some(Self { fake, providers: providers_from(&text).unwrap() })
    }

    fn provider(&self) -> &Arc<dyn CdnProvider> {
        self.providers.get("aliyun").unwrap()
    }

    async fn purge(&self, urls: &[&str]) -> Result<Vec<Submission>, ProviderError> {
        let batch = batch(&**self.provider(), Operation::PurgeUrls, "a.example.com", urls).await;
        self.provider().submit(&batch).await?.into_iter().collect()
    }
}

#[tokio::test]
async fn it_conforms() {
    let Some(vendor) = Vendor::start("it_conforms", r#"{"task_seconds": 0.5}"#) else { return };
    let account = Account { domain: "a.example.com", foreign: "other.example.com" };
    provider_conforms(Arc::clone(vendor.provider()), account).await;
    assert_eq!(
        vendor.provider().domains().await.unwrap(),
        ["a.example.com", "b.example.com", "d.example.com"]
    );
}

#[tokio::test]
async fn requests_classes_and_hits_come_with_the_bytes() {
    let Some(vendor) = Vendor::start("requests_classes_and_hits", "{}") else { return };
    let (from, to) = two_hours();
    let domains = ["a.example.com".to_owned(), "c.example.com".to_owned()];
    let rows = vendor.provider().series(&domains, from, to).await.unwrap().rows;
    assert_eq!(rows.len(), 2 * 24);
    for row in &rows {
        let requests = row.bytes / 10_000;
        let [class_3, class_4, class_5] = [requests / 20, requests / 25, requests / 50];
        let classes = [requests - class_3 - class_4 - class_5, class_3, class_4, class_5];
        assert_eq!((row.requests, row.classes), (Some(requests), Some(classes)), "{row:?}");
        let hits = (row.hits, row.hit_bytes);
        assert_eq!(
            hits,
            (Some(requests * 4 / 5), Some(row.bytes * 3 / 4)),
            "as counted, not as rounded: {row:?}"
        );
    }
    assert_eq!(calls(&vendor.fake, "DescribeDomainHttpCodeData"), 2, "the whole time of a domain at once");
    assert_eq!(calls(&vendor.fake, "refused Throttling.User"), 0);
}

#[tokio::test]
async fn bytes_are_told_also_where_their_details_are_refused() {
    let Some(vendor) = Vendor::start("bytes_are_told_also", "{}") else { return };
    let (from, to) = two_hours();
    let refuse = |operation: &str| {
        let fault = format!(r#"{{"op": "{operation}", "kind": "refuse", "code": "InvalidField"}}"#);
        vendor.fake.set(&format!("{{\"faults\": [{fault}]}}"));
    };
    let series = async || {
        let domains = ["a.example.com".to_owned()];
        vendor.provider().series(&domains, from, to).await.unwrap().rows
    };
    refuse("DescribeDomainReqHitRateData");
    let rows = series().await;
    assert!(rows.iter().all(|row| row.classes.is_some() && row.hits.is_none() && row.hit_bytes.is_some()));
    refuse("DescribeDomainHttpCodeData");
    let rows = series().await;
    assert_eq!(rows.len(), 24);
    assert!(rows.iter().all(|row| row.bytes > 0 && row.requests.is_none() && row.classes.is_none()));
}

#[tokio::test]
async fn a_lost_answer_is_ambiguous_and_the_task_is_found_again() {
    let Some(vendor) = Vendor::start("a_lost_answer", "{}") else { return };
    vendor.fake.set(r#"{"faults": [{"op": "RefreshObjectCaches", "kind": "lose_answer"}]}"#);
    let batch = batch(&**vendor.provider(), Operation::PurgeUrls, "a.example.com", &[URL]).await;
    let lost = vendor.provider().submit(&batch).await.unwrap_err();
    assert!(matches!(lost, ProviderError::Ambiguous(_)), "{lost:?}");
    let found = vendor.provider().find(&batch).await.unwrap();
    let tasks = state(&vendor.fake)["tasks"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(found, tasks.into_iter().map(Some).collect::<Vec<_>>());
    // A request that was lost made no task.
    vendor.fake.set(r#"{"faults": [{"op": "RefreshObjectCaches", "kind": "lose_request"}]}"#);
    let batch = super::batch(
        &**vendor.provider(),
        Operation::PurgeUrls,
        "a.example.com",
        &["https://a.example.com/2.jpg"],
    )
    .await;
    let lost = vendor.provider().submit(&batch).await.unwrap_err();
    assert!(matches!(lost, ProviderError::Ambiguous(_)), "{lost:?}");
    assert_eq!(vendor.provider().find(&batch).await.unwrap(), [None]);
}

#[tokio::test]
async fn a_thousand_urls_are_found_again_page_by_page() {
    let Some(vendor) = Vendor::start("a_thousand_urls", r#"{"task_seconds": 0}"#) else { return };
    let urls: Vec<_> = (0..1000).map(|n| format!("https://a.example.com/{n}")).collect();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    let batch = batch(&**vendor.provider(), Operation::PurgeUrls, "a.example.com", &urls).await;
    vendor.provider().submit(&batch).await.unwrap();
    let found = vendor.provider().find(&batch).await.unwrap();
    assert!(found.iter().all(Option::is_some));
    assert_eq!(calls(&vendor.fake, "refused Throttling.User"), 0);
}

#[tokio::test]
async fn what_failed_at_the_origin_is_final() {
    let Some(vendor) = Vendor::start("what_failed", r#"{"task_seconds": 0}"#) else { return };
    let failing = "https://a.example.com/fail/1";
    let submitted = vendor.purge(&[URL, failing]).await.unwrap();
    let Submission::Running(id) = &submitted[0] else { panic!("{submitted:?}") };
    let task = RemoteTask {
        id: id.clone(),
        operation: Operation::PurgeUrls,
        group: "a.example.com".to_owned(),
        items: vec![URL.to_owned(), failing.to_owned()],
        accepted_at: std::time::SystemTime::UNIX_EPOCH.into(),
    };
    let states = vendor.provider().poll(&[task]).await.unwrap();
    let refused = ItemState::Refused("Origin Return StatusCode 5XX".to_owned());
    assert_eq!(states, [[ItemState::Done, refused]]);
}

#[tokio::test]
async fn the_quota_of_the_day_says_when_it_begins_anew() {
    let quota = r#"{"quota": {"file": 1, "directory": 1, "preload": 1}}"#;
    let Some(vendor) = Vendor::start("the_quota_of_the_day", quota) else { return };
    vendor.purge(&[URL]).await.unwrap();
    let Err(ProviderError::QuotaUsed { pool, until }) = vendor.purge(&[URL]).await else {
        panic!("the quota must be used up")
    };
    assert_eq!((pool.as_str(), until.format("%H:%M").to_string().as_str()), ("purges", "16:00"));
    let quota = vendor.provider().quota().await.unwrap();
    assert_eq!((quota[0].left, quota[0].total, quota[0].resets_at), (0, 1, until));
}

#[tokio::test]
async fn refused_credentials_name_neither_key_nor_address() {
    let Some(vendor) = Vendor::with_secret("refused_credentials", "{}", "wrong") else { return };
    for error in [vendor.purge(&[URL]).await.unwrap_err(), vendor.provider().domains().await.unwrap_err()] {
        assert_eq!(error, ProviderError::Credentials("the vendor answered SignatureDoesNotMatch".to_owned()));
    }
    let shown = format!("{:?}", vendor.provider());
    assert!(shown.contains("LTAIEXAMPLEEXAMPLE") && !shown.contains("wrong"), "{shown}");
}

#[tokio::test]
async fn throttled_calls_say_how_long() {
    let Some(vendor) = Vendor::start("throttled_calls", "{}") else { return };
    let fault =
        r#"{"op": "*", "kind": "refuse", "code": "Throttling.User", "headers": {"x-acs-retry-after": 250}}"#;
    vendor.fake.set(&format!("{{\"faults\": [{fault}]}}"));
    let Err(ProviderError::Throttled { after, .. }) = vendor.purge(&[URL]).await else {
        panic!("the call must be throttled")
    };
    assert_eq!(after, Some(std::time::Duration::from_millis(250)));
    vendor.purge(&[URL]).await.unwrap();
}

#[tokio::test]
async fn a_url_that_is_too_long_fails_alone() {
    let Some(vendor) = Vendor::start("a_url_that_is_too_long", "{}") else { return };
    let long = format!("https://a.example.com/{}", "x".repeat(1024));
    let batch = batch(&**vendor.provider(), Operation::PurgeUrls, "a.example.com", &[URL, &long]).await;
    let outcomes = vendor.provider().submit(&batch).await.unwrap();
    assert!(
        matches!(outcomes[..], [Ok(Submission::Running(_)), Err(ProviderError::Refused(_))]),
        "{outcomes:?}"
    );
    assert_eq!(state(&vendor.fake)["used"]["file"], 1);
    let batch = super::batch(&**vendor.provider(), Operation::PurgeUrls, "a.example.com", &[&long]).await;
    vendor.provider().submit(&batch).await.unwrap();
    assert_eq!(calls(&vendor.fake, "RefreshObjectCaches"), 1, "nothing is left to be sent");
}
