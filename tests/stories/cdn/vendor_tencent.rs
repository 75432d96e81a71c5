//! Jobs of a vendor, over the fake of Tencent Cloud: limits, lost answers, quotas, and servers that are killed.
//! `PILOTHOUSE_TEST_KILLS` sets the number of kills, 2 by default.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use pilothouse_test_support::{FakeVendor, Rng, env_number};
use serde_json::{Value, json};

use crate::support::{ApiClient, Installation, ROOT, TestServer, task};

const MAIL: &str = "root@example.com";
const DOMAIN: &str = "a.test";
/// Time limit of what takes some seconds on an idle machine.
const LIMIT: Duration = Duration::from_mins(3);

/// A server with the cdn `qcloud`, which is the fake.
struct Vendor {
    fake: FakeVendor,
    installation: Installation,
}

impl Vendor {
    /// `None` where the fake cannot be started; `settings` are its own, beside the domain.
    fn start_or_skip(test: &str, mut settings: Value) -> Option<Self> {
        settings["domains"] = json!({DOMAIN: ["online", "mainland"]});
        let fake = FakeVendor::start_or_skip(test, "tencent", &settings.to_string())?;
        let installation = Installation::sqlite();
        let secret = |name: &str, text: &str| {
            let file = installation.file(name);
            fs::write(&file, text).unwrap();
            format!("file:{}", file.display())
        };
        let id = secret("secret-id", "AKIDEXAMPLEEXAMPLEEXAMPLE");
        let key = secret("secret-key", "ExampleSecretKeyExampleSecretKey");
        let url = fake.url();
        let file = installation.file("vendor.toml");
        let text = format!(
            "[[cdn]]\nname = \"qcloud\"\nkind = \"tencent\"\nsecret_id = \"{id}\"\nsecret_key = \"{key}\"\n\
             endpoint = \"{url}\"\n"
        );
        fs::write(&file, text).unwrap();
        let installation = installation.with("CONFIG", &file.display().to_string());
        installation.create_root();
        Some(Self { fake, installation })
    }

    async fn serve(&self) -> (TestServer, ApiClient) {
        let server = self.installation.serve().await;
        let root = ApiClient::new(&[&server]).login(ROOT).await;
        (server, root)
    }

    fn state(&self) -> Value {
        serde_json::from_str(&self.fake.state()).unwrap()
    }

    /// Number of calls of an action, or of refusals by the fake.
    fn calls(&self, name: &str) -> u64 {
        self.state()["calls"][name].as_u64().unwrap_or(0)
    }

    /// Number of tasks of the fake that hold each URL.
    fn submissions(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for task in self.state()["tasks"].as_object().unwrap().values() {
            for url in task["urls"].as_array().unwrap() {
                *counts.entry(url.as_str().unwrap().to_owned()).or_insert(0) += 1;
            }
        }
        counts
    }
}

async fn create_customer(root: &ApiClient) {
    root.post("/level3/user", json!({"login_email": MAIL, "password": "another password"})).await.ok();
    let domains = json!({"login_email": MAIL, "cdn": "qcloud", "domains": [DOMAIN]});
    root.post("/level3/user_domains", domains).await.ok();
}

fn urls(begin: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("https://{DOMAIN}/{begin}/{n}.jpg")).collect()
}

/// Queues a job; its task id.
async fn queue(root: &ApiClient, kind: &str, urls: &[String]) -> String {
    let body = json!({"login_email": MAIL, "path": urls.join("|")});
    let queued = root.post(&format!("/level3/{kind}"), body).await.ok();
    queued["results"][0]["taskid"].as_str().unwrap().to_owned()
}

/// Waits until a job is as it should be, and asserts that its percentage never falls.
async fn wait_for(root: &ApiClient, id: &str, until: impl Fn(&Value) -> bool) -> Value {
    let (begun, mut percent) = (Instant::now(), 0);
    loop {
        let job = task(root, id).await;
        let now: u64 = job["percentComplete"].as_str().unwrap().parse().unwrap();
        assert!(now >= percent, "{id} fell from {percent} to {now}");
        percent = now;
        if until(&job) {
            return job;
        }
        assert!(begun.elapsed() < LIMIT, "{job}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn wait_until_done(root: &ApiClient, id: &str) {
    wait_for(root, id, |job| job["state"] == "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_gets_everything_once_within_its_limits() {
    let test = "cdn::vendor_tencent::a_vendor_gets_everything_once_within_its_limits";
    let settings = json!({"task_seconds": 1, "batch": {"url": 1000, "path": 500, "push": 500}});
    let Some(vendor) = Vendor::start_or_skip(test, settings) else { return };
    let (server, root) = vendor.serve().await;
    create_customer(&root).await;
    vendor.fake.set(
        r#"{"faults": [{"op": "PurgeUrlsCache", "kind": "lose_answer"},
            {"op": "PurgeUrlsCache", "kind": "refuse", "code": "RequestLimitExceeded"},
            {"op": "PushUrlsCache", "kind": "lose_request"},
            {"op": "PurgePathCache", "kind": "refuse", "code": "InternalError", "status": 500}]}"#,
    );
    let mut jobs = vec![queue(&root, "refresh", &urls("a", 1000)).await];
    jobs.push(queue(&root, "refresh", &urls("b", 200)).await);
    jobs.push(queue(&root, "refresh", &[format!("https://{DOMAIN}/dir/*")]).await);
    jobs.push(queue(&root, "preload", &urls("p", 600)).await);
    let failing = queue(&root, "preload", &[format!("https://{DOMAIN}/invalid.jpg")]).await;
    for id in &jobs {
        wait_until_done(&root, id).await;
    }
    let failed = wait_for(&root, &failing, |job| job["state"] == "failed").await;
    assert_eq!(failed["reason"], "qcloud: the origin answered with an error");
    let submissions = vendor.submissions();
    assert_eq!(submissions.len(), 1000 + 200 + 1 + 600 + 1);
    assert!(submissions.values().all(|count| *count == 1), "what costs is sent once");
    assert_eq!(vendor.calls("refused RequestLimitExceeded"), 1, "the one that was asked for");
    assert!(!server.log().contains("ExampleSecretKey"), "secrets are not logged");
    let refused = json!({"login_email": MAIL, "path": format!("https://{DOMAIN}/img-*")});
    let refused = root.post("/level3/refresh", refused).await;
    assert!(!refused.is_ok() && refused.body.to_string().contains("directories only"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_runs_out_is_shown_and_then_used_again() {
    let test = "cdn::vendor_tencent::a_quota_that_runs_out_is_shown_and_then_used_again";
    let settings = json!({"task_seconds": 0.5, "quota": {"url": 30, "path": 100, "push": 1000}});
    let Some(vendor) = Vendor::start_or_skip(test, settings) else { return };
    let (_server, root) = vendor.serve().await;
    create_customer(&root).await;
    let id = queue(&root, "refresh", &urls("a", 50)).await;
    let waiting = wait_for(&root, &id, |job| job["percentComplete"] == "60").await;
    assert_eq!(waiting["state"], "pending");
    let waiting = wait_for(&root, &id, |job| job["reason"] != "").await;
    let reason = waiting["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("qcloud: the quota of URL purges in mainland is used up until 20"),
        "{reason}"
    );
    assert!(waiting["results"].as_array().unwrap().iter().any(|cell| cell["state"] == "running"));
    assert_eq!(vendor.calls("refused LimitExceeded.CdnPurgeUrlExceedDayLimit"), 0, "it was read, not tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_sends_nothing_twice_and_forgets_nothing() {
    let test = "cdn::vendor_tencent::a_killed_server_sends_nothing_twice_and_forgets_nothing";
    let Some(vendor) = Vendor::start_or_skip(test, json!({"task_seconds": 1})) else { return };
    let (mut server, mut root) = vendor.serve().await;
    create_customer(&root).await;
    let kills = env_number("PILOTHOUSE_TEST_KILLS", 2);
    let mut accepted = Vec::new();
    for round in 0..kills {
        vendor.fake.set(r#"{"faults": [{"op": "PurgeUrlsCache", "kind": "delay", "seconds": 0.2}]}"#);
        for n in 0..3 {
            accepted.push(queue(&root, "refresh", &urls(&format!("{round}-{n}"), 100)).await);
        }
        // A new server speaks only once the lease of the one before has ended.
        let least = if round == 0 { 0 } else { 4500 };
        tokio::time::sleep(Duration::from_millis(least + Rng::new().u64(..2000))).await;
        server.process.kill9();
        (server, root) = vendor.serve().await;
    }
    for id in &accepted {
        wait_until_done(&root, id).await;
    }
    let submissions = vendor.submissions();
    assert_eq!(submissions.len(), accepted.len() * 100, "nothing is lost");
    let twice = submissions.values().filter(|count| **count > 1).count();
    assert_eq!(twice, 0, "nothing that costs is sent twice");
    println!("{kills} kills, {} jobs accepted: none lost, nothing sent twice", accepted.len());
}
