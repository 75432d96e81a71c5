//! Tencent provider against the fake of the vendor, which checks every signature.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_cdn_providers::providers;
use pilothouse_conformance::{Account, provider_conforms};
use pilothouse_core::ports::{
    AreaLevel, Batch, CdnProvider, ItemState, Operation, ProviderError, Providers, Purge, RemoteTask,
    Submission,
};
use pilothouse_test_support::FakeVendor;
use tempfile::TempDir;

use crate::File;

const DOMAIN: &str = "a.example.com";

/// The provider over a fake account with `a.example.com` in the mainland, `b.example.com` in both areas, and others.
struct TencentFixture {
    fake: FakeVendor,
    providers: Providers,
    _secrets: TempDir,
}

impl TencentFixture {
    /// `None` where the fake cannot be started. Tasks take a tenth of a second.
    fn start_or_skip(test: &str) -> Option<Self> {
        let fake = FakeVendor::start_or_skip(test, "tencent", r#"{"task_seconds": 0.1}"#)?;
        let secrets = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(secrets.path().join(name), text).unwrap();
            format!("file:{}", secrets.path().join(name).display())
        };
        let id = file("id", "AKIDEXAMPLEEXAMPLEEXAMPLE");
        let key = file("key", "ExampleSecretKeyExampleSecretKey\n");
        let url = fake.url();
        let settings = format!(
            "[[cdn]]\nname = \"qcloud\"\nkind = \"tencent\"\nsecret_id = \"{id}\"\nsecret_key = \"{key}\"\n\
             endpoint = \"{url}\"\n"
        );
        let file: File = toml::from_str(&settings).unwrap();
        Some(Self { providers: providers(file.cdn).unwrap(), fake, _secrets: secrets })
    }

    fn provider(&self) -> &dyn CdnProvider {
        &**self.providers.get("qcloud").unwrap()
    }

    async fn submit(&self, batch: &Batch) -> Result<Vec<Result<Submission, ProviderError>>, ProviderError> {
        self.provider().submit(batch).await
    }

    /// Number of calls of an action so far.
    fn calls(&self, action: &str) -> u64 {
        let state: serde_json::Value = serde_json::from_str(&self.fake.state()).unwrap();
        state["calls"][action].as_u64().unwrap_or(0)
    }
}

fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

fn batch(operation: Operation, urls: &[&str]) -> Batch {
    Batch {
        id: "00000000-0000-4000-8000-000000000001".into(),
        operation,
        edge: "qcloud".into(),
        group: "mainland".into(),
        items: urls.iter().map(|url| Purge { url: (*url).into(), stamp: 0 }).collect(),
        accepted_at: now(),
    }
}

fn task(batch: &Batch, id: &str) -> RemoteTask {
    RemoteTask {
        id: id.into(),
        operation: batch.operation,
        group: batch.group.clone(),
        items: batch.items.iter().map(|item| item.url.clone()).collect(),
        accepted_at: batch.accepted_at,
    }
}

/// Task of the first item of an answer.
fn task_id(answer: &[Result<Submission, ProviderError>]) -> String {
    match &answer[0] {
        Ok(Submission::Running(task)) => task.clone(),
        other => panic!("no task: {other:?}"),
    }
}

#[tokio::test]
async fn the_provider_conforms() {
    let Some(tencent) = TencentFixture::start_or_skip("the_provider_conforms") else { return };
    let account = Account { domain: "b.example.com", foreign: "other.example.com" };
    let provider = Arc::clone(tencent.providers.get("qcloud").unwrap());
    provider_conforms(provider, account).await;
    assert_eq!(tencent.calls("refused RequestLimitExceeded"), 0);
}

#[tokio::test]
async fn tasks_are_made_and_asked_about() {
    let Some(tencent) = TencentFixture::start_or_skip("tasks_are_made_and_asked_about") else { return };
    for (operation, urls, states) in [
        (
            Operation::PurgeUrls,
            vec!["https://A.example.com/中 1.jpg?x=1&y=2", "http://a.example.com/fail"],
            vec![ItemState::Done, ItemState::Failed("the vendor says that it failed".into())],
        ),
        (Operation::PurgePrefixes, vec!["https://a.example.com/dir/*"], vec![ItemState::Done]),
        (
            Operation::Preload,
            vec!["https://a.example.com/1.jpg", "https://a.example.com/invalid"],
            vec![ItemState::Done, ItemState::Refused("the origin answered with an error".into())],
        ),
    ] {
        let batch = batch(operation, &urls);
        let answer = tencent.submit(&batch).await.unwrap();
        assert_eq!(answer.len(), urls.len());
        let task = task(&batch, &task_id(&answer));
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(tencent.provider().poll(&[task]).await.unwrap(), [states], "{operation:?}");
    }
    let unknown = task(&batch(Operation::PurgeUrls, &["https://a.example.com/1"]), "1-none");
    assert_eq!(tencent.provider().poll(&[unknown]).await.unwrap(), [[ItemState::Unknown]]);
}

#[tokio::test]
async fn a_purge_of_many_pages_is_polled_by_counts() {
    let test = "a_purge_of_many_pages_is_polled_by_counts";
    let Some(tencent) = TencentFixture::start_or_skip(test) else { return };
    tencent.fake.set(r#"{"task_seconds": 30}"#);
    let url =
        |n| if n == 998 { "https://a.example.com/fail".into() } else { format!("https://a.example.com/{n}") };
    let urls: Vec<String> = (0..1000).map(url).collect();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    // One task without a failure, and one with.
    let (good, bad) = (batch(Operation::PurgeUrls, &urls[..900]), batch(Operation::PurgeUrls, &urls));
    let mut tasks = Vec::new();
    for batch in [&good, &bad] {
        tasks.push(task(batch, &task_id(&tencent.submit(batch).await.unwrap())));
    }
    let states = tencent.provider().poll(&tasks).await.unwrap();
    let runs = |state: &ItemState| *state == ItemState::Running(Some(0));
    assert!(states.iter().flatten().all(runs), "{:?}", states[0][0]);
    assert_eq!(tencent.calls("DescribePurgeTasks"), 4, "two calls for each");
    tencent.fake.set(r#"{"task_seconds": 0}"#);
    let states = tencent.provider().poll(&tasks).await.unwrap();
    assert!(states[0].iter().all(|state| *state == ItemState::Done));
    let failed = |state: &ItemState| matches!(state, ItemState::Failed(_));
    assert!(states[1].iter().enumerate().all(|(n, state)| failed(state) == (n == 998)));
    assert_eq!(tencent.calls("DescribePurgeTasks"), 4 + 1 + 2 + 10, "only one that failed is read in whole");
    assert_eq!(tencent.calls("refused RequestLimitExceeded"), 0);
}

#[tokio::test]
async fn a_lost_answer_is_found_and_a_lost_request_is_not() {
    let test = "a_lost_answer_is_found_and_a_lost_request_is_not";
    let Some(tencent) = TencentFixture::start_or_skip(test) else { return };
    let urls: Vec<_> = (0..250).map(|n| format!("https://a.example.com/{n}.jpg")).collect();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    let lost = batch(Operation::PurgeUrls, &urls);
    tencent.fake.set(r#"{"faults": [{"op": "PurgeUrlsCache", "kind": "lose_answer"}]}"#);
    assert!(matches!(tencent.submit(&lost).await, Err(ProviderError::Ambiguous(_))));
    let found = tencent.provider().find(&lost).await.unwrap();
    assert_eq!(found.len(), 250);
    assert!(found.iter().all(|task| task.is_some() && *task == found[0]));

    let later = Batch { accepted_at: now() + TimeDelta::seconds(3), ..lost.clone() };
    assert_eq!(
        tencent.provider().find(&later).await.unwrap(),
        vec![None; 250],
        "made before it was accepted"
    );

    let other = batch(Operation::PurgeUrls, &["https://a.example.com/other"]);
    tencent.fake.set(r#"{"faults": [{"op": "PurgeUrlsCache", "kind": "lose_request"}]}"#);
    assert!(matches!(tencent.submit(&other).await, Err(ProviderError::Ambiguous(_))));
    assert_eq!(tencent.provider().find(&other).await.unwrap(), [None]);
    assert_eq!(tencent.calls("refused RequestLimitExceeded"), 0);
}

#[tokio::test]
async fn failures_say_what_may_be_done() {
    let Some(tencent) = TencentFixture::start_or_skip("failures_say_what_may_be_done") else { return };
    let own = batch(Operation::PurgeUrls, &["https://a.example.com/1"]);
    let foreign = batch(Operation::PurgeUrls, &["https://a.example.com/1", "https://other.example.com/1"]);
    assert!(matches!(tencent.submit(&foreign).await, Err(ProviderError::NotYours(_))));
    tencent
        .fake
        .set(r#"{"faults": [{"op": "PurgeUrlsCache", "kind": "refuse", "code": "RequestLimitExceeded"}]}"#);
    assert!(matches!(tencent.submit(&own).await, Err(ProviderError::Throttled { .. })));
    tencent.fake.set(
        r#"{"faults": [{"op": "PurgeUrlsCache", "kind": "refuse", "code": "InternalError", "status": 500}]}"#,
    );
    assert!(matches!(tencent.submit(&own).await, Err(ProviderError::Ambiguous(_))));
    tencent.fake.set(r#"{"quota": {"url": 0, "path": 100, "push": 1000}}"#);
    let used_up = tencent.submit(&own).await;
    assert!(matches!(used_up, Err(ProviderError::QuotaUsed { until, .. }) if until > now()), "{used_up:?}");
    tencent.fake.set(r#"{"skew": 900}"#);
    let clock = tencent.submit(&own).await.unwrap_err();
    assert!(matches!(clock, ProviderError::Credentials(_)), "{clock:?}");
    tencent.fake.set(r#"{"skew": 0, "secret_key": "another"}"#);
    let refused = tencent.submit(&own).await.unwrap_err();
    let reason = "the credentials are not accepted: the vendor answered AuthFailure.SignatureFailure";
    assert_eq!(refused.to_string(), reason);
}

#[tokio::test]
async fn domains_areas_and_quotas_are_read() {
    let Some(tencent) = TencentFixture::start_or_skip("domains_areas_and_quotas_are_read") else { return };
    assert_eq!(tencent.provider().domains().await.unwrap(), ["a.example.com", "b.example.com"]);
    let hosts = ["b.example.com", "d.example.com", "c.example.com", "unknown.test"].map(str::to_owned);
    let groups = tencent.provider().groups(&hosts).await.unwrap();
    assert_eq!(
        groups[..2],
        [Ok("global".to_owned()), Ok("mainland".to_owned())],
        "also while it is configured"
    );
    assert!(groups[2..].iter().all(|group| matches!(group, Err(ProviderError::NotYours(_)))));
    tencent.submit(&batch(Operation::PurgeUrls, &["https://a.example.com/1"])).await.unwrap();
    let quotas = tencent.provider().quota().await.unwrap();
    let quota = |operation, pool: &str| {
        let mut own = quotas.iter().filter(|quota| quota.operation == operation);
        own.find(|quota| quota.pool.ends_with(pool)).map(|quota| (quota.left, quota.total)).unwrap()
    };
    assert_eq!(quota(Operation::PurgeUrls, "mainland"), (9_999, 10_000));
    assert_eq!(quota(Operation::PurgeUrls, "overseas"), (10_000, 10_000));
    assert_eq!(quota(Operation::PurgePrefixes, "mainland"), (100, 100));
    assert_eq!(quota(Operation::Preload, "overseas"), (1_000, 1_000));
}

#[tokio::test]
async fn traffic_is_the_sum_of_both_areas_up_to_a_known_bucket() {
    let test = "traffic_is_the_sum_of_both_areas_up_to_a_known_bucket";
    let Some(tencent) = TencentFixture::start_or_skip(test) else { return };
    let (from, end) = last_hour();
    let domains = [DOMAIN, "b.example.com"].map(str::to_owned);
    let figures = tencent.provider().series(&domains, from, end).await.unwrap();
    assert!(!figures.estimated && figures.known_until <= end - TimeDelta::minutes(10), "{figures:?}");
    let known = |domain: &str| figures.rows.iter().filter(|row| row.domain == domain).count();
    // The fake tells nothing of the last ten minutes.
    assert!((9..=10).contains(&known(DOMAIN)), "{figures:?}");
    assert_eq!(known(DOMAIN), known("b.example.com"));
    assert!(figures.rows.iter().all(|row| row.bucket >= from && row.bucket < end && row.bytes > 0));
    let areas = tencent.provider().areas("b.example.com", from, end).await.unwrap();
    let named = |name: &str| areas.iter().find(|area| area.name == name).map(|area| area.level);
    assert_eq!(named("Guangdong"), Some(AreaLevel::Province));
    assert_eq!(named("United States"), Some(AreaLevel::Country));
    assert!(tencent.provider().areas(DOMAIN, from, end).await.unwrap().len() == 2, "the mainland alone");
}

/// The last hour of whole buckets.
fn last_hour() -> (DateTime<Utc>, DateTime<Utc>) {
    let end = DateTime::from_timestamp(now().timestamp() / 300 * 300, 0).unwrap();
    (end - TimeDelta::hours(1), end)
}

#[tokio::test]
async fn hits_and_status_classes_come_with_the_traffic() {
    let test = "hits_and_status_classes_come_with_the_traffic";
    let Some(tencent) = TencentFixture::start_or_skip(test) else { return };
    let (from, end) = last_hour();
    let domains = [DOMAIN, "b.example.com"].map(str::to_owned);
    let rows = tencent.provider().series(&domains, from, end).await.unwrap().rows;
    for row in rows.iter().filter(|row| row.domain == DOMAIN) {
        let requests = row.requests.unwrap();
        let rest = [requests / 20, requests / 25, requests / 50];
        let [class_3, class_4, class_5] = rest;
        let expected = [requests - rest.iter().sum::<i64>(), class_3, class_4, class_5];
        assert_eq!((row.classes, row.hits), (Some(expected), Some(requests * 4 / 5)), "{row:?}");
        assert_eq!(row.hit_bytes, Some(row.bytes * 3 / 4));
    }
    for row in &rows {
        assert_eq!(row.classes.unwrap().iter().sum::<i64>(), row.requests.unwrap(), "of both areas: {row:?}");
    }
    // Four kinds of figures of both domains in two areas; classes of one domain in one area, and of the other in two.
    assert_eq!(tencent.calls("DescribeCdnData"), 8 + 3);
    assert_eq!(tencent.calls("refused RequestLimitExceeded"), 0);
}

#[tokio::test]
async fn traffic_is_told_also_where_its_details_are_refused() {
    let test = "traffic_is_told_also_where_its_details_are_refused";
    let Some(tencent) = TencentFixture::start_or_skip(test) else { return };
    let (from, end) = last_hour();
    let (domains, code) = ([DOMAIN.to_owned()], "InvalidParameter.CdnStatInvalidMetric");
    // Bytes and requests are asked for first, in both areas.
    let fault = format!(
        r#"{{"op": "DescribeCdnData", "kind": "refuse", "code": "{code}", "after": 4, "times": 99}}"#
    );
    tencent.fake.set(&format!(r#"{{"faults": [{fault}]}}"#));
    let rows = tencent.provider().series(&domains, from, end).await.unwrap().rows;
    assert!((9..=10).contains(&rows.len()), "{rows:?}");
    assert!(rows.iter().all(|row| row.bytes > 0 && row.requests.is_some()));
    assert!(rows.iter().all(|row| (row.hit_bytes, row.hits, row.classes) == (None, None, None)), "{rows:?}");
    assert_eq!(tencent.calls(&format!("refused {code}")), 5, "bytes of hits and hits in two areas, classes");
}

#[tokio::test]
async fn log_files_of_a_day_are_listed() {
    let Some(tencent) = TencentFixture::start_or_skip("log_files_of_a_day_are_listed") else { return };
    let day = now().date_naive() - TimeDelta::days(2);
    let files = tencent.provider().logs("b.example.com", day).await.unwrap();
    assert_eq!(files.len(), 48, "an hour of each area is a file");
    assert!(files.iter().all(|file| file.from.date_naive() == day && file.link.contains("sign=")));
    assert!(files.iter().any(|file| file.bytes.is_none()));
}
