//! One customer on four vendors at once, over the fakes of all four: one refresh reaches each within its limits, whatever is
//! lost on the way and however often the server is killed, and `check` tries the credentials of each.
//! `PILOTHOUSE_TEST_VENDOR_KILLS` sets the number of kills, 20 by default.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pilothouse_test_support::{FakeVendors, Rng, env_number};
use serde_json::{Value, json};

use crate::support::{ApiClient, Installation, ROOT, task};

const MAIL: &str = "root@example.com";
const DOMAIN: &str = FakeVendors::DOMAIN;
/// Time limit of what takes some seconds on an idle machine.
const LIMIT: Duration = Duration::from_mins(3);
/// Servers that are killed side by side.
const SERVERS: u64 = 4;
/// The fakes, and an installation whose settings have them.
struct Vendors {
    fakes: FakeVendors,
    installation: Installation,
    folder: PathBuf,
}

impl Vendors {
    /// `None` where a fake cannot be started.
    fn start_or_skip(test: &str) -> Option<Self> {
        let settings = |name: &str| match name {
            "cloudflare" => json!({"purge_rate": [50, 1, 500]}),
            _ => json!({"task_seconds": 0.5}),
        };
        let fakes = FakeVendors::start_or_skip(test, |name| settings(name).to_string())?;
        let installation = Installation::sqlite();
        let file = installation.file("vendors.toml");
        let folder = file.parent().unwrap().to_owned();
        fs::write(&file, fakes.settings(&folder, "enterprise").unwrap()).unwrap();
        let installation = installation.with("CONFIG", &file.display().to_string());
        Some(Self { fakes, installation, folder })
    }

    fn state(&self, name: &str) -> Value {
        serde_json::from_str(&self.fakes.get(name).state()).unwrap()
    }

    /// How often each URL, path or directory was taken by a vendor.
    fn taken(&self, name: &str) -> HashMap<String, usize> {
        let state = self.state(name);
        let tasks: Vec<Value> = match name {
            "cloudflare" => {
                state["log"].as_array().unwrap().iter().map(|one| one[2]["files"].clone()).collect()
            }
            _ => state["tasks"].as_object().unwrap().values().map(|one| one["urls"].clone()).collect(),
        };
        let mut counts = HashMap::new();
        for url in tasks.iter().filter_map(Value::as_array).flatten() {
            *counts.entry(url.as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        counts
    }

    /// What a vendor refused, by code.
    fn refusals(&self, name: &str) -> Vec<(String, u64)> {
        let calls = self.state(name)["calls"].as_object().unwrap().clone();
        let refused = calls.into_iter().filter(|(call, _)| call.starts_with("refused "));
        refused.map(|(call, count)| (call, count.as_u64().unwrap())).collect()
    }
}

fn urls(begin: &str, count: usize) -> String {
    let urls: Vec<_> = (0..count).map(|n| format!("https://{DOMAIN}/{begin}/{n}.jpg")).collect();
    urls.join("|")
}

/// Queues a refresh or preload; its jobs, one on each cdn.
async fn queue(root: &ApiClient, kind: &str, path: String) -> Vec<String> {
    let body = json!({"login_email": MAIL, "path": path});
    let queued = root.post(&format!("/level3/{kind}"), body).await.ok();
    let results = queued["results"].as_array().unwrap();
    results.iter().map(|job| job["taskid"].as_str().unwrap().to_owned()).collect()
}

/// Waits for the end of a job, whose percentage never falls.
async fn wait_until_ended(root: &ApiClient, id: &str) -> Value {
    let (begun, mut percent) = (Instant::now(), 0);
    loop {
        let job = task(root, id).await;
        let now: u64 = job["percentComplete"].as_str().unwrap().parse().unwrap();
        assert!(now >= percent, "{id} fell from {percent} to {now}");
        percent = now;
        if job["state"] != "pending" {
            return job;
        }
        assert!(begun.elapsed() < LIMIT, "{job}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refresh_reaches_four_vendors() {
    let test = "cdn::vendors_together::one_refresh_reaches_four_vendors";
    let Some(vendors) = Vendors::start_or_skip(test) else { return };
    let installation = &vendors.installation;
    let checked = installation.run(&["check"], "");
    assert_eq!(checked.code, Some(0), "{checked:?}");
    for name in vendors.fakes.names() {
        assert!(checked.stdout.contains(&format!("ok      vendor {name}: serves ")), "{checked:?}");
    }

    installation.create_root();
    let server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    root.post("/level3/user", json!({"login_email": MAIL, "password": "another password"})).await.ok();
    for name in vendors.fakes.names() {
        let domains = json!({"login_email": MAIL, "cdn": name, "domains": [DOMAIN]});
        root.post("/level3/user_domains", domains).await.ok();
    }

    // Each vendor loses an answer that was charged, and a request, and is overloaded once.
    for (name, operation, code) in [
        ("tencent", "PurgeUrlsCache", json!("RequestLimitExceeded")),
        ("alibaba", "RefreshObjectCaches", json!("Throttling.User")),
        ("cloudfront", "CreateInvalidation", json!("Throttling")),
        ("cloudflare", "purge_cache", json!(971)),
    ] {
        let fault = |kind: &str| json!({"op": operation, "kind": kind, "code": code, "status": 400});
        let faults = [fault("lose_answer"), fault("lose_request"), fault("refuse")];
        vendors.fakes.get(name).set(&json!({ "faults": faults }).to_string());
    }
    let mut jobs = queue(&root, "refresh", urls("a", 1000)).await;
    jobs.extend(queue(&root, "refresh", urls("b", 200)).await);
    assert_eq!(jobs.len(), 8, "a job on each cdn");
    for id in &jobs {
        let job = wait_until_ended(&root, id).await;
        assert_eq!(job["state"], "done", "{job}");
    }
    for name in vendors.fakes.names() {
        let taken = vendors.taken(name);
        assert_eq!(taken.len(), 1200, "{name} has everything");
        if name != "cloudflare" {
            let twice = taken.values().filter(|count| **count > 1).count();
            assert_eq!(twice, 0, "{name} is sent nothing twice that it charges for");
        }
        let refusals = vendors.refusals(name);
        assert!(refusals.iter().all(|(_, count)| *count == 1) && refusals.len() == 1, "{name}: {refusals:?}");
    }

    let rows = root.get("/level3/jobs").await.ok()["results"].clone();
    assert_eq!(rows.as_array().unwrap().len(), 2, "a row for each request: {rows}");
    for (row, id) in [(&rows[1], &jobs[0]), (&rows[0], &jobs[4])] {
        let shown = (&row["taskid"], &row["state"], &row["percent"], row["cdns"].as_array().unwrap().len());
        assert_eq!(shown, (&json!(id), &json!("done"), &json!(100), 4), "{row}");
    }

    // A prefix that one of them cannot is refused for all, with its name.
    let prefix = json!({"login_email": MAIL, "path": format!("https://{DOMAIN}/img-*")});
    let refused = root.post("/level3/refresh", prefix).await;
    let text = refused.body.to_string();
    assert!(!refused.is_ok() && text.contains("must end in /*"), "{text}");
    assert!(vendors.fakes.names().any(|name| text.contains(name)), "{text}");

    // A preload is done by those that can, and fails by name on those that never can.
    let preloads = queue(&root, "preload", urls("p", 1)).await;
    let mut states = BTreeMap::new();
    for id in &preloads {
        let job = wait_until_ended(&root, id).await;
        *states.entry(job["state"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        if job["state"] == "failed" {
            let reason = job["reason"].as_str().unwrap();
            let is_named = ["cloudflare", "cloudfront"].iter().any(|name| reason.contains(name));
            assert!(is_named && reason.contains("cannot preload"), "{reason}");
        }
    }
    assert_eq!(states, BTreeMap::from([("done".to_owned(), 2), ("failed".to_owned(), 2)]));
    let row = root.get("/level3/jobs?state=failed").await.ok()["results"][0].clone();
    assert_eq!((&row["taskid"], &row["percent"]), (&json!(preloads[0]), &json!(50)), "{row}");
    assert!(row["reason"].as_str().unwrap().contains("cannot preload"), "{row}");
    let log = server.log();
    let is_hidden = |name| !log.contains(FakeVendors::secret(name));
    assert!(vendors.fakes.names().all(is_hidden), "secrets are not logged");
}

/// Reads the jobs that have not ended, and asserts that no percentage fell; those that are left.
async fn look_at(root: &ApiClient, ids: Vec<String>, percents: &mut HashMap<String, u64>) -> Vec<String> {
    let mut left = Vec::new();
    for id in ids {
        let job = task(root, &id).await;
        let percent: u64 = job["percentComplete"].as_str().unwrap().parse().unwrap();
        let before = percents.insert(id.clone(), percent).unwrap_or(0);
        assert!(percent >= before, "{id} fell from {before} to {percent}");
        match job["state"].as_str().unwrap() {
            "done" => {}
            "pending" => left.push(id),
            _ => panic!("{job}"),
        }
    }
    left
}

/// Kills a server of its own so often, over fakes of its own; the number of its jobs. `None` where a fake cannot be started.
async fn kill_servers(test: &str, kills: u64) -> Option<usize> {
    let vendors = Vendors::start_or_skip(test)?;
    let installation = &vendors.installation;
    installation.create_root();
    let mut server = installation.serve().await;
    let mut root = ApiClient::new(&[&server]).login(ROOT).await;
    root.post("/level3/user", json!({"login_email": MAIL, "password": "another password"})).await.ok();
    for name in vendors.fakes.names() {
        let domains = json!({"login_email": MAIL, "cdn": name, "domains": [DOMAIN]});
        root.post("/level3/user_domains", domains).await.ok();
    }
    let mut percents = HashMap::new();
    let mut left = Vec::new();
    for round in 0..kills {
        for (name, operation) in [
            ("tencent", "PurgeUrlsCache"),
            ("alibaba", "RefreshObjectCaches"),
            ("cloudfront", "CreateInvalidation"),
            ("cloudflare", "purge_cache"),
        ] {
            let fault = json!({"op": operation, "kind": "delay", "seconds": 0.2});
            vendors.fakes.get(name).set(&json!({ "faults": [fault] }).to_string());
        }
        // Few enough that no quota of a day ends.
        left.extend(queue(&root, "refresh", urls(&round.to_string(), 30)).await);
        // A new server speaks only once the leases of the one before have ended.
        let least = if round == 0 { 0 } else { 4500 };
        tokio::time::sleep(Duration::from_millis(least + Rng::new().u64(..2000))).await;
        left = look_at(&root, left, &mut percents).await;
        server.process.kill9();
        server = installation.serve().await;
        root = ApiClient::new(&[&server]).login(ROOT).await;
    }
    let begun = Instant::now();
    while !left.is_empty() {
        assert!(begun.elapsed() < LIMIT, "{} jobs do not end", left.len());
        left = look_at(&root, left, &mut percents).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let all = usize::try_from(kills).unwrap() * 30;
    for name in vendors.fakes.names() {
        let taken = vendors.taken(name);
        assert_eq!(taken.len(), all, "{name} has everything");
        if name != "cloudflare" {
            let twice = taken.values().filter(|count| **count > 1).count();
            assert_eq!(twice, 0, "{name} is sent nothing twice that it charges for");
        }
        assert!(vendors.refusals(name).is_empty(), "{name}: {:?}", vendors.refusals(name));
    }
    Some(percents.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_servers_lose_nothing_and_pay_for_nothing_twice() {
    let test = "cdn::vendors_together::killed_servers_lose_nothing_and_pay_for_nothing_twice";
    let kills = env_number("PILOTHOUSE_TEST_VENDOR_KILLS", 20);
    // Side by side, since between two kills a server waits for the leases of the one before.
    let servers = (0..SERVERS).map(|n| kill_servers(test, (kills + n) / SERVERS));
    let Some(jobs) = join_all(servers).await.into_iter().sum::<Option<usize>>() else { return };
    println!("{kills} kills, {jobs} jobs on four vendors: none lost, nothing paid twice");
}

#[test]
fn check_tells_which_credentials_are_refused() {
    let test = "cdn::vendors_together::check_tells_which_credentials_are_refused";
    let Some(vendors) = Vendors::start_or_skip(test) else { return };
    for (name, code) in [
        ("tencent", "AuthFailure.SignatureFailure"),
        ("alibaba", "SignatureDoesNotMatch"),
        ("cloudflare", "9109"),
        ("cloudfront", "SignatureDoesNotMatch"),
    ] {
        let (file, right) = (vendors.folder.join(name), FakeVendors::secret(name));
        let wrong = format!("another{}", &right[7..]);
        fs::write(&file, &wrong).unwrap();
        let checked = vendors.installation.run(&["check"], "");
        fs::write(&file, right).unwrap();
        assert_eq!(checked.code, Some(1), "{checked:?}");
        let failed: Vec<_> = checked.stdout.lines().filter(|line| line.starts_with("failed")).collect();
        let words = "the credentials are not accepted: the vendor answered";
        assert_eq!(failed, [format!("failed  vendor {name}: {words} {code}")]);
        let printed = format!("{}{}", checked.stdout, checked.stderr);
        let is_hidden = |name| !printed.contains(FakeVendors::secret(name));
        assert!(!printed.contains(&wrong) && vendors.fakes.names().all(is_hidden), "{printed}");
    }
}
