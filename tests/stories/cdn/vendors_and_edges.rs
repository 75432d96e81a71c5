//! One customer with a domain on own edges (a real nginx), on Tencent Cloud and on Cloudflare (their fakes): refreshes and
//! preloads reach all three through everything that vendors do wrong and a server that is killed, traffic is the sum of what each
//! knows, with hits and classes of status, the log of a day is there, and a quota that runs out is used again on the next day.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use pilothouse_test_support::{EdgeProgram, EdgeServer, FakeVendor, edges_or_skip};
use serde_json::{Value, json};

use crate::support::{
    ApiClient, EDGE_KEY, FakeClock, Installation, Origin, ROOT, TestServer, day, http_client, now, task,
};

const MAIL: &str = "root@example.com";
const DOMAIN: &str = "a.example.com";
const CDNS: [&str; 3] = ["cloudflare", "level3", "qcloud"];
/// Time limit of what takes some seconds on an idle machine.
const LIMIT: Duration = Duration::from_mins(4);

/// The customer's three cdns, and the installation that manages them.
struct Stage {
    origin: Origin,
    nginx: EdgeServer,
    tencent: FakeVendor,
    cloudflare: FakeVendor,
    /// Clock of the servers.
    clock: FakeClock,
    installation: Installation,
}

impl Stage {
    /// `None` where a program is not installed.
    async fn set_or_skip(test: &str) -> Option<Self> {
        let start = |name, settings: Value| FakeVendor::start_or_skip(test, name, &settings.to_string());
        let tencent = start("tencent", json!({"task_seconds": 1}))?;
        let cloudflare = start("cloudflare", json!({"purge_rate": [50, 1, 500]}))?;
        if !edges_or_skip(test) {
            return None;
        }
        let installation = Installation::sqlite();
        let clock = FakeClock::new_or_skip(test, installation.file("clock").parent().unwrap(), "clock")?;
        let secret = |name: &str, text: &str| {
            let file = installation.file(name);
            fs::write(&file, text).unwrap();
            format!("file:{}", file.display())
        };
        let key = secret("edge-key", EDGE_KEY);
        let (origin, ports) = Origin::start(0).await;
        let nginx = EdgeServer::start(EdgeProgram::Nginx, |listen, folder| {
            let (log, cache) = (folder.join("tsv"), folder.join("cache"));
            let (log, cache) = (log.display().to_string(), cache.display().to_string());
            let (listen, source) = (format!("127.0.0.1:{listen}"), format!("127.0.0.1:{}", ports.http));
            let own = ["edge-config", "--kind", "nginx", "--listen", &listen, "--origin", &source];
            let more = ["--allow", "127.0.0.1", "--key", &key, "--log", &log, "--cache", &cache];
            let printed = installation.run(&[&own[..], &more[..]].concat(), "");
            assert_eq!(printed.code, Some(0), "{printed:?}");
            printed.stdout
        });
        let settings = format!(
            "[[cdn]]\nname = \"level3\"\nkind = \"edges\"\n[[cdn.edge]]\nname = \"nginx-1\"\nkind = \"nginx\"\n\
             url = \"http://127.0.0.1:{}\"\nkey = \"{key}\"\naccess_log = \"{}\"\nlog_format = \"tsv\"\n\
             [[cdn]]\nname = \"qcloud\"\nkind = \"tencent\"\nsecret_id = \"{}\"\nsecret_key = \"{}\"\nendpoint = \"{}\"\n\
             [[cdn]]\nname = \"cloudflare\"\nkind = \"cloudflare\"\napi_token = \"{}\"\nplan = \"enterprise\"\n\
             endpoint = \"{}\"\n",
            nginx.port,
            nginx.file("tsv").display(),
            secret("secret-id", "AKIDEXAMPLEEXAMPLEEXAMPLE"),
            secret("secret-key", "ExampleSecretKeyExampleSecretKey"),
            tencent.url(),
            secret("token", "ExampleCloudflareApiTokenExampleExample0"),
            cloudflare.url(),
        );
        let file = installation.file("cdns.toml");
        fs::write(&file, settings).unwrap();
        let installation = installation.with("CONFIG", &file.display().to_string()).with_clock(&clock);
        installation.create_root();
        Some(Self { origin, nginx, tencent, cloudflare, clock, installation })
    }

    async fn serve(&self) -> (TestServer, ApiClient) {
        let server = self.installation.serve().await;
        let root = ApiClient::new(&[&server]).login(ROOT).await;
        (server, root)
    }

    /// Sets the clocks of the servers and of the vendors so many seconds ahead.
    fn set_clocks(&self, seconds: i64) {
        self.clock.set(seconds);
        for vendor in [&self.tencent, &self.cloudflare] {
            vendor.set(&json!({ "skew": seconds }).to_string());
        }
    }

    /// Requests an object of the domain from the edge; its body.
    async fn visit(&self, path: &str) -> String {
        let url = format!("http://127.0.0.1:{}{path}", self.nginx.port);
        let answer = http_client().build().unwrap().get(url).header("host", DOMAIN).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        answer.text().await.unwrap()
    }

    /// How often each URL was taken by Tencent.
    fn taken_by_tencent(&self) -> HashMap<String, usize> {
        let state: Value = serde_json::from_str(&self.tencent.state()).unwrap();
        let mut counts = HashMap::new();
        for task in state["tasks"].as_object().unwrap().values() {
            for url in task["urls"].as_array().unwrap() {
                *counts.entry(url.as_str().unwrap().to_owned()).or_insert(0) += 1;
            }
        }
        counts
    }

    /// URLs that Cloudflare took.
    fn taken_by_cloudflare(&self) -> usize {
        let state: Value = serde_json::from_str(&self.cloudflare.state()).unwrap();
        let files = state["log"].as_array().unwrap().iter().filter_map(|one| one[2]["files"].as_array());
        let urls: std::collections::HashSet<&str> = files.flatten().filter_map(Value::as_str).collect();
        urls.len()
    }
}

fn urls(begin: &str, count: usize) -> String {
    let urls: Vec<_> = (0..count).map(|n| format!("http://{DOMAIN}/{begin}/{n}.jpg")).collect();
    urls.join("|")
}

/// Queues a refresh or preload; its jobs by cdn.
async fn queue(root: &ApiClient, kind: &str, path: String) -> HashMap<String, String> {
    let queued = root.post(&format!("/level3/{kind}"), json!({"login_email": MAIL, "path": path})).await.ok();
    let mut jobs = HashMap::new();
    for row in queued["results"].as_array().unwrap() {
        assert_eq!(row["percentComplete"], "0");
        let id = row["taskid"].as_str().unwrap().to_owned();
        let job = task(root, &id).await;
        jobs.insert(job["cdn"].as_str().unwrap().to_owned(), id);
    }
    jobs
}

/// Waits until a job is as it should be. Its percentage never falls below `percents` has it.
async fn wait_for(
    root: &ApiClient,
    id: &str,
    percents: &mut HashMap<String, u64>,
    until: impl Fn(&Value) -> bool,
) -> Value {
    let begun = Instant::now();
    loop {
        let job = task(root, id).await;
        let percent: u64 = job["percentComplete"].as_str().unwrap().parse().unwrap();
        let before = percents.insert(id.to_owned(), percent).unwrap_or(0);
        assert!(percent >= before, "{id} fell from {before} to {percent}");
        if until(&job) {
            return job;
        }
        assert!(begun.elapsed() < LIMIT, "{job}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is_over(job: &Value) -> bool {
    job["state"] != "pending"
}

#[tokio::test(flavor = "multi_thread")]
async fn one_customer_on_own_edges_and_two_vendors() {
    let test = "cdn::vendors_and_edges::one_customer_on_own_edges_and_two_vendors";
    let Some(stage) = Stage::set_or_skip(test).await else { return };
    let begun = now();
    let (mut server, root) = stage.serve().await;
    root.post("/level3/user", json!({"login_email": MAIL, "password": "another password"})).await.ok();
    for cdn in CDNS {
        let domains = json!({"login_email": MAIL, "cdn": cdn, "domains": [DOMAIN]});
        root.post("/level3/user_domains", domains).await.ok();
    }
    wait_until_in_service(&root).await;
    let old = stage.origin.change();
    assert_eq!(stage.visit("/a/0.jpg").await, old.to_string());

    // Everything goes wrong once, and then the server is killed.
    stage.tencent.set(
        r#"{"faults": [{"op": "PurgeUrlsCache", "kind": "delay", "seconds": 2},
            {"op": "PurgeUrlsCache", "kind": "lose_answer"},
            {"op": "PurgeUrlsCache", "kind": "refuse", "code": "RequestLimitExceeded"},
            {"op": "PurgeUrlsCache", "kind": "refuse", "code": "InternalError", "status": 500}]}"#,
    );
    stage.cloudflare.set(
        r#"{"faults": [{"op": "purge_cache", "kind": "lose_answer"}, {"op": "purge_cache", "kind": "lose_request"},
            {"op": "purge_cache", "kind": "refuse", "code": 971, "status": 429},
            {"op": "purge_cache", "kind": "delay", "seconds": 1}]}"#,
    );
    let new = stage.origin.change();
    let large = queue(&root, "refresh", urls("a", 1000)).await;
    let small = queue(&root, "refresh", urls("b", 200)).await;
    assert_eq!((large.len(), small.len()), (3, 3), "a job on each cdn");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.process.kill9();
    FakeClock::forget(server.process.child.id());
    let synced = stage.installation.run(&["sync"], "");
    assert_eq!(synced.code, Some(0), "{synced:?}");
    let (server, root) = stage.serve().await;
    let mut percents = HashMap::new();
    for id in large.values().chain(small.values()) {
        let job = wait_for(&root, id, &mut percents, is_over).await;
        assert_eq!(job["state"], "done", "{job}");
    }
    assert_eq!(stage.visit("/a/0.jpg").await, new.to_string(), "the edge has purged it");
    let taken = stage.taken_by_tencent();
    assert_eq!((taken.len(), taken.values().sum::<usize>()), (1200, 1200), "everything once");
    assert_eq!(stage.taken_by_cloudflare(), 1200);
    assert_lists(&root, &large, &small).await;

    preloads_are_done_where_they_can_be(&stage, &root, &mut percents).await;
    traffic_is_the_sum(&root, begun).await;
    a_day_has_its_log(&root).await;
    let late = a_clock_that_is_off_is_named(&stage, &root, &server, &mut percents).await;
    a_quota_runs_out_and_begins_anew(&stage, &root, &server, &late).await;
}

async fn wait_until_in_service(root: &ApiClient) {
    let begun = Instant::now();
    loop {
        let edges = root.get("/level3/edges?cdn=level3").await.ok();
        if edges["results"][0]["state"] == "in_service" {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{edges}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The documented list has a row per cdn and batch, operators one percentage for each, and each job its rows.
async fn assert_lists(root: &ApiClient, large: &HashMap<String, String>, small: &HashMap<String, String>) {
    let list = root.get(&format!("/level3/refresh_list?login_email={MAIL}")).await.ok();
    let rows = list["results"].as_array().unwrap();
    let size = |row: &Value| row["url"].as_str().unwrap().split('|').count();
    let mut sizes: Vec<_> = rows.iter().map(size).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [200, 200, 200, 1000, 1000, 1000]);
    assert!(rows.iter().all(|row| row["percentComplete"] == "100"));
    for jobs in [large, small] {
        for (cdn, id) in jobs {
            let job = task(root, id).await;
            let edge = if cdn == "level3" { "nginx-1" } else { cdn };
            let cells = job["results"].as_array().unwrap();
            assert!(cells.iter().all(|cell| cell["edge"] == edge && cell["state"] == "acked"), "{cdn}");
        }
    }
}

async fn preloads_are_done_where_they_can_be(
    stage: &Stage,
    root: &ApiClient,
    percents: &mut HashMap<String, u64>,
) {
    let preloads = queue(root, "preload", urls("p", 5)).await;
    for (cdn, id) in &preloads {
        let job = wait_for(root, id, percents, is_over).await;
        if cdn == "cloudflare" {
            assert_eq!(job["state"], "failed");
            assert!(job["reason"].as_str().unwrap().contains("cloudflare cannot preload"), "{job}");
        } else {
            assert_eq!(job["state"], "done", "{job}");
        }
    }
    let before = stage.origin.requests("/p/4.jpg");
    assert_eq!(before, 1, "the edge has fetched it");
    stage.visit("/p/4.jpg").await;
    assert_eq!(stage.origin.requests("/p/4.jpg"), before);
}

/// Bandwidth is the sum of what the edge logged and what each vendor knows, which is told until when.
async fn traffic_is_the_sum(root: &ApiClient, begun: i64) {
    let start = (now() - 7200) / 300 * 300;
    let range = format!("domain={DOMAIN}&startTime={start}&endTime={}", now() + 300);
    let waited = Instant::now();
    let (stats, known) = loop {
        let stats = root.get(&format!("/level3/stats?{range}&by=cdn")).await.ok();
        let sources = stats["sources"].as_array().unwrap().clone();
        let known = |cdn: &str| sources.iter().find(|one| one["cdn"] == cdn)?["known_until"].as_i64();
        let own = group(&stats, "level3");
        if let (Some(tencent), Some(cloudflare)) = (known("qcloud"), known("cloudflare"))
            && own.iter().any(|(_, flux)| *flux > 0)
        {
            break (stats, [("qcloud", tencent), ("cloudflare", cloudflare)]);
        }
        assert!(waited.elapsed() < LIMIT, "{sources:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let estimated = |cdn: &str| {
        let sources = stats["sources"].as_array().unwrap();
        sources.iter().find(|one| one["cdn"] == cdn).unwrap()["estimated"].clone()
    };
    assert_eq!((estimated("qcloud"), estimated("cloudflare")), (json!(false), json!(true)));
    let mut sum: HashMap<i64, i64> = HashMap::new();
    for (cdn, known_until) in known {
        let lag = if cdn == "qcloud" { 900 } else { 600 };
        assert!(known_until <= now() - lag && known_until > begun - 2 * lag, "{cdn}: {known_until}");
        let points = group(&stats, cdn);
        assert!(points.iter().any(|(_, flux)| *flux > 0), "{cdn}");
        let is_known = |(time, flux): &(i64, i64)| *flux == 0 || time + 300 <= known_until;
        assert!(points.iter().all(is_known), "what {cdn} does not know is missing");
        assert_details(&stats, cdn);
    }
    for cdn in CDNS {
        for (time, flux) in group(&stats, cdn) {
            *sum.entry(time).or_default() += flux;
        }
    }
    // Of the past that all know, which does not change any more.
    let known_by_all = known.iter().map(|(_, until)| *until).min().unwrap();
    let bandwidths = root.get(&format!("/level3/bandwidths?{range}")).await.ok();
    for point in bandwidths["results"].as_array().unwrap() {
        let time = point["timeStamp"].as_i64().unwrap();
        if time + 300 <= known_by_all {
            let flux = sum.get(&time).copied().unwrap_or(0);
            assert_eq!(point["value"].as_i64(), Some((flux * 8 + 150) / 300), "{time}");
        }
    }
}

/// Every request of a vendor has a class of status, and of bytes and requests those are told that were hits.
fn assert_details(stats: &Value, cdn: &str) {
    let mut hits_of_all = 0;
    for row in rows(stats, cdn) {
        let figure = |name: &str| row[name].as_i64().unwrap();
        let classes = ["2xx", "3xx", "4xx", "5xx"].map(figure);
        let (flux, requests, hits) = (figure("flux"), figure("requests"), figure("hits"));
        assert_eq!(classes.iter().sum::<i64>(), requests, "{cdn}: {row}");
        assert!(hits <= requests && figure("hitFlux") <= flux, "{cdn}: {row}");
        if cdn == "qcloud" {
            // The shares of its fake.
            assert_eq!((hits, figure("hitFlux")), (requests * 4 / 5, flux * 3 / 4), "{row}");
            assert_eq!(classes[1..], [requests / 20, requests / 25, requests / 50], "{row}");
        }
        hits_of_all += hits;
    }
    assert!(hits_of_all > 0, "{cdn}");
    let groups = stats["groups"].as_array().unwrap();
    let total = &groups.iter().find(|group| group["name"] == cdn).unwrap()["total"];
    assert_eq!(total["hits"], hits_of_all, "{total}");
    let ratio = total["hitRatio"].as_f64().unwrap();
    assert!((0.7..=0.8).contains(&ratio), "four in five, rounded down: {total}");
}

fn rows<'a>(stats: &'a Value, cdn: &str) -> &'a [Value] {
    let groups = stats["groups"].as_array().unwrap();
    let found = groups.iter().find(|group| group["name"] == cdn);
    found.map_or(&[], |group| group["results"].as_array().unwrap())
}

/// Time and flux of each point of a cdn.
fn group(stats: &Value, cdn: &str) -> Vec<(i64, i64)> {
    let point = |row: &Value| (row["timeStamp"].as_i64().unwrap(), row["flux"].as_i64().unwrap());
    rows(stats, cdn).iter().map(point).collect()
}

/// The day before yesterday, which Tencent has told of in whole: its hours in one file, in their order.
async fn a_day_has_its_log(root: &ApiClient) {
    let date = day(-2);
    let listed = format!("/level3/logdownload?domain={DOMAIN}&startDate={date}&endDate={date}");
    let begun = Instant::now();
    loop {
        let days = root.get(&listed).await.ok();
        let row = &days["results"][0];
        let url = row["url"].as_str().unwrap();
        if !url.is_empty() {
            let packed = http_client().build().unwrap().get(url).send().await.unwrap().bytes().await.unwrap();
            assert_eq!(row["size"].as_u64(), Some(packed.len() as u64));
            let mut text = String::new();
            MultiGzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
            let hour = |line: usize| format!("{date}{:02}-{DOMAIN}-mainland.gz line {}", line / 3, line % 3);
            if text.lines().count() == 72 {
                assert!(text.lines().enumerate().all(|(n, line)| line == hour(n)), "{text}");
                return;
            }
        }
        assert!(begun.elapsed() < LIMIT, "{days}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A clock that is off looks like wrong credentials; the reason says so, and no job fails by it. Returns the job that waits.
async fn a_clock_that_is_off_is_named(
    stage: &Stage,
    root: &ApiClient,
    server: &TestServer,
    percents: &mut HashMap<String, u64>,
) -> String {
    stage.tencent.set(r#"{"skew": 600}"#);
    let jobs = queue(root, "refresh", urls("late", 3)).await;
    let begun = Instant::now();
    while !server.log().contains("behind the vendor's") {
        assert!(begun.elapsed() < LIMIT, "{}", task(root, &jobs["qcloud"]).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for cdn in ["level3", "cloudflare"] {
        let job = wait_for(root, &jobs[cdn], percents, is_over).await;
        assert_eq!(job["state"], "done", "{job}");
    }
    assert_eq!(task(root, &jobs["qcloud"]).await["state"], "pending");
    jobs["qcloud"].clone()
}

/// With the clock right, and the pause over that refused credentials bring, the vendor is called again. Its quota of the day is
/// used up, which the job says with the time at which it begins anew; then all goes on by itself.
async fn a_quota_runs_out_and_begins_anew(stage: &Stage, root: &ApiClient, server: &TestServer, late: &str) {
    let state: Value = serde_json::from_str(&stage.tencent.state()).unwrap();
    let used = state["used"]["url mainland"].as_i64().unwrap();
    let quota = |url: i64| json!({"quota": {"url": url, "path": 100, "push": 1000}}).to_string();
    stage.tencent.set(&quota(used));
    stage.set_clocks(400);
    let mut percents = HashMap::new();
    let is_shown =
        |job: &Value| job["reason"].as_str().is_some_and(|why| why.contains("is used up until 20"));
    let waiting = wait_for(root, late, &mut percents, is_shown).await;
    assert_eq!(waiting["state"], "pending", "{waiting}");
    assert!(!stage.taken_by_tencent().keys().any(|url| url.contains("/late/")));

    stage.tencent.set(&quota(used + 10_000));
    stage.set_clocks(400 + 86_400);
    server.wait_for_clock(now() + 400 + 86_400).await;
    // A day is longer than a token is good for.
    let root = ApiClient::new(&[server]).login(ROOT).await;
    let done = wait_for(&root, late, &mut percents, is_over).await;
    assert_eq!(done["state"], "done", "{done}");
    let taken = stage.taken_by_tencent();
    let late: Vec<_> = taken.iter().filter(|(url, _)| url.contains("/late/")).collect();
    assert!(late.len() == 3 && late.iter().all(|(_, count)| **count == 1), "each once: {late:?}");
}
