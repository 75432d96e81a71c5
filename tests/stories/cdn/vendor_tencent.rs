//! Jobs of a vendor, over the fake of Tencent Cloud: limits, lost answers, quotas, and servers that are killed.
//! `PILOTHOUSE_TEST_KILLS` sets the number of kills, 2 by default.

use std::collections::HashMap;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use pilothouse_test_support::{FakeVendor, ProcessGuard, Rng, env_number, free_port, skip_test};
use serde_json::{Value, json};

use crate::support::{ApiClient, Installation, ROOT, TestServer, faketime, http_client, task};

const MAIL: &str = "root@example.com";
const DOMAIN: &str = "a.test";
/// Time limit of what takes some seconds on an idle machine.
const LIMIT: Duration = Duration::from_mins(3);

/// A server with the cdn `qcloud`, which is the fake.
struct Vendor {
    fake: FakeVendor,
    installation: Installation,
    /// Port of the server's metrics.
    metrics: u16,
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
        let metrics = free_port();
        let installation = installation
            .with("CONFIG", &file.display().to_string())
            .with("METRICS_LISTEN", &format!("127.0.0.1:{metrics}"));
        installation.create_root();
        Some(Self { fake, installation, metrics })
    }

    async fn serve(&self) -> (TestServer, ApiClient) {
        let server = self.installation.serve().await;
        let root = ApiClient::new(&[&server]).login(ROOT).await;
        (server, root)
    }

    /// Value of a metric of the server; `None` where it is not shown.
    async fn metric(&self, name: &str) -> Option<f64> {
        let url = format!("http://127.0.0.1:{}/metrics", self.metrics);
        let text = http_client().build().unwrap().get(url).send().await.unwrap().text().await.unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(value.parse().unwrap())
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
    for (operation, outcome, least) in
        [("purge", "throttled", 1.0), ("purge", "ambiguous", 1.0), ("purge", "ok", 1.0), ("poll", "ok", 1.0)]
    {
        let labels = format!("vendor=\"tencent\",operation=\"{operation}\",outcome=\"{outcome}\"");
        let count = vendor.metric(&format!("pilothouse_vendor_calls_total{{{labels}}}")).await;
        assert!(count.is_some_and(|count| count >= least), "{labels}: {count:?}");
    }
    let labels = "{vendor=\"tencent\",operation=\"find\"}";
    let timed = vendor.metric(&format!("pilothouse_vendor_call_seconds_count{labels}")).await;
    assert!(timed.is_some_and(|count| count >= 1.0), "{timed:?}");
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
    let labels = "{vendor=\"tencent\",operation=\"purge\"}";
    assert_eq!(vendor.metric(&format!("pilothouse_vendor_quota_left{labels}")).await, Some(0.0));
    assert_eq!(vendor.calls("refused LimitExceeded.CdnPurgeUrlExceedDayLimit"), 0, "it was read, not tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_was_used_up_is_used_again_when_its_day_is_over() {
    let test = "cdn::vendor_tencent::a_quota_that_was_used_up_is_used_again_when_its_day_is_over";
    let Some(library) = faketime() else { return skip_test(test, "libfaketime is not installed") };
    // The day before, on both sides.
    let settings =
        json!({"task_seconds": 0.5, "quota": {"url": 30, "path": 100, "push": 1000}, "skew": -90_000});
    let Some(vendor) = Vendor::start_or_skip(test, settings) else { return };
    let port = free_port();
    let mut command = vendor.installation.command(&["serve"]);
    command.env("PILOTHOUSE_LISTEN", format!("127.0.0.1:{port}")).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.env("LD_PRELOAD", library).env("FAKETIME", "-90000").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut server = vendor.installation.server(ProcessGuard::spawn(&mut command).unwrap(), port);
    server.wait_until_ready().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    create_customer(&root).await;
    let id = queue(&root, "refresh", &urls("a", 50)).await;
    let waiting = wait_for(&root, &id, |job| job["percentComplete"] == "60" && job["reason"] != "").await;
    assert!(waiting["reason"].as_str().unwrap().contains("is used up until"), "{waiting}");
    server.process.kill9();

    vendor.fake.set(r#"{"skew": 0, "quota": {"url": 60, "path": 100, "push": 1000}}"#);
    let (_server, root) = vendor.serve().await;
    wait_until_done(&root, &id).await;
    let submissions = vendor.submissions();
    assert_eq!((submissions.len(), submissions.values().sum::<usize>()), (50, 50), "each once");
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
