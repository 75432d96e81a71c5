//! Hand-over of a domain in the middle of a month: each customer is billed the lines of its time, whenever and however they are
//! read.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use pilothouse_test_support::postgres_or_skip;
use serde_json::{Value, json};

use crate::support::{
    EDGE_KEY, FakeClock, Installation, PASSWORD, ServerGroup, TIMEOUT, assert_stored_lines, now, run,
};

/// Domain that the settings list.
const LISTED: &str = "passed.example.com";
/// Host that they do not list.
const UNLISTED: &str = "other.example.com";
const FIRST: &str = "first@example.com";
const SECOND: &str = "second@example.com";

/// 2026-05-01 00:00 in Shanghai.
const MONTH: i64 = 1_777_564_800;
const BUCKET: i64 = 300;
/// Buckets of the month.
const BUCKETS: i64 = 31 * 288;
/// Bucket in which the domain is handed over, at noon of the 16th.
const HAND_OVER: i64 = 15 * 288 + 144;

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    let test = "cdn::hand_over::on_sqlite";
    let Some(story) = Story::new_or_skip(test, vec![Installation::sqlite()]).await else { return };
    story.tell().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_two_servers_over_one_postgres() {
    let test = "cdn::hand_over::on_two_servers_over_one_postgres";
    let Some(postgres) = postgres_or_skip(test) else { return };
    let database = postgres.database();
    let (one, two) = (Installation::postgres(&database), Installation::postgres(&database));
    let logs = one.file("kept").display().to_string();
    let installations = vec![one.with("LOG_DIR", &logs), two.with("LOG_DIR", &logs)];
    let Some(story) = Story::new_or_skip(test, installations).await else { return };
    story.tell().await;
}

struct Story {
    folder: tempfile::TempDir,
    clock: FakeClock,
    servers: ServerGroup,
    /// Program with the settings of the first server, to ingest.
    ingest: Command,
    /// Every line of the domain that was written to any log.
    lines: Vec<String>,
}

/// Line of a bucket, in its middle.
fn line(host: &str, bucket: i64) -> String {
    let time = MONTH + bucket * BUCKET + BUCKET / 2;
    let bytes = 1_000_000 + bucket * 7919 % 900_001;
    format!("{time}.000\t{host}\t200\t{bytes}\t127.0.0.1\tMISS\t0.001\tGET\t/{bucket}")
}

fn lines(buckets: impl Iterator<Item = i64>) -> Vec<String> {
    buckets.map(|bucket| line(LISTED, bucket)).collect()
}

impl Story {
    async fn new_or_skip(test: &str, installations: Vec<Installation>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let clock = FakeClock::new_or_skip(test, folder.path(), "clock")?;
        clock.set(MONTH + (HAND_OVER - 12) * BUCKET - now());
        let edge = |name: &str, settings: &str| {
            format!(
                "[[cdn.edge]]\nname = \"{name}\"\nkind = \"nginx\"\nurl = \"http://127.0.0.1:9\"\nlog_format = \
                 \"tsv\"\n{settings}\n"
            )
        };
        let followed = folder.path().join("followed.tsv");
        let settings = [
            format!("[[cdn]]\nname = \"level3\"\nkind = \"edges\"\ndomains = [\"{LISTED}\"]\n"),
            edge("followed", &format!("access_log = \"{}\"", followed.display())),
            edge("shipped", "key = \"env:TEST_EDGE_KEY\""),
            edge("ingested", ""),
        ];
        let file = folder.path().join("settings.toml");
        fs::write(&file, settings.concat()).unwrap();
        let configured = |installation: Installation| {
            installation.with("CONFIG", &file.display().to_string()).with_clock(&clock)
        };
        let installations: Vec<_> = installations.into_iter().map(configured).collect();
        let mut ingest = installations[0].command(&["ingest"]);
        clock.apply(&mut ingest);
        let servers = ServerGroup::start(installations).await;
        Some(Self { folder, clock, servers, ingest, lines: Vec::new() })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Appends lines of the domain to a log.
    fn write(&mut self, name: &str, lines: Vec<String>) {
        append(&self.file(name), &lines);
        self.lines.extend(lines);
    }

    /// Sets the clock of the servers to a time, and waits until they see it.
    async fn set_clock(&self, time: i64) {
        self.clock.set(time - now());
        self.servers.wait_for_clock(time).await;
    }

    async fn tell(mut self) {
        let root = self.servers.root().await;
        for mail in [FIRST, SECOND] {
            let name = mail.split('@').next().unwrap();
            let data =
                json!({"name": name, "mail": mail, "passwd": PASSWORD, "department": "d", "permissions": ""});
            root.post("/admin/user", json!({"action": "add", "data": data})).await.ok();
            root.post("/level3/user", json!({"login_email": mail, "password": PASSWORD})).await.ok();
        }
        self.begin().await;
        self.hand_over().await;
        self.read_late().await;
        self.check(FIRST).await;
        self.check(SECOND).await;
        self.check_bills().await;
    }

    /// Lines of before anybody has the domain, and its registration by the first customer, who gets all of them.
    async fn begin(&mut self) {
        append(&self.file("followed.tsv"), &[line(UNLISTED, 1), line(UNLISTED, 2)]);
        self.write("followed.tsv", lines((0..2000).step_by(3)));
        self.servers.kill(0).await;
        self.write("followed.tsv", lines((2001..3000).step_by(3)));
        let root = self.servers.root().await;
        let row = |host: &str, lines: &[String], is_listed: bool| {
            let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
            json!([host, lines.len(), bytes, 0, is_listed])
        };
        let unlisted = [line(UNLISTED, 1), line(UNLISTED, 2)];
        let expected = [row(UNLISTED, &unlisted, false), row(LISTED, &self.lines, true)];
        let begun = Instant::now();
        loop {
            let listed = root.get("/level3/unregistered?cdn=level3").await.ok();
            let rows = listed["results"].as_array().unwrap().iter();
            let rows: Vec<_> = rows
                .map(|row| json!([row["host"], row["lines"], row["bytes"], row["dropped"], row["is_listed"]]))
                .collect();
            if rows == expected {
                break;
            }
            assert!(begun.elapsed() < TIMEOUT, "{rows:?} of {expected:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.give(FIRST, &[LISTED]).await;
        self.wait_until_billed(FIRST).await;
        self.write("followed.tsv", lines((3000..HAND_OVER - 150).step_by(3)));
        self.wait_until_billed(FIRST).await;
    }

    /// The first customer's domain passes to the second, while lines of before are yet to be read.
    async fn hand_over(&mut self) {
        let time = MONTH + HAND_OVER * BUCKET;
        let begun = Instant::now();
        self.set_clock(time + 5).await;
        self.give(FIRST, &[]).await;
        self.give(SECOND, &[LISTED]).await;
        assert!(begun.elapsed().as_secs() < 100, "the hand-over is in the middle of its bucket");
        self.servers.kill(0).await;
        self.wait_until_billed(FIRST).await;
        assert_eq!(self.billed(SECOND).await, BTreeMap::new(), "nothing of before");
    }

    /// Lines of both times are read after the month, in three ways.
    async fn read_late(&mut self) {
        self.set_clock(MONTH + (BUCKETS + 3 * 288) * BUCKET).await;
        self.write("followed.tsv", lines((HAND_OVER - 150..HAND_OVER + 99).step_by(3)));
        let servers = self.servers.running.len();
        self.servers.kill(servers - 1).await;
        self.write("followed.tsv", lines((HAND_OVER + 99..BUCKETS).step_by(3)));

        self.write("shipped.tsv", lines((1..BUCKETS).step_by(3)));
        let mut ship = Command::new(env!("CARGO_BIN_EXE_pilothouse"));
        fs::write(self.file("key"), EDGE_KEY).unwrap();
        ship.current_dir(self.folder.path()).env_clear();
        ship.args(["ship", "--once", "--cdn", "level3", "--edge", "shipped", "--file", "shipped.tsv"]);
        ship.args(["--key", "file:key", "--url", &self.servers.running[0].url()]);
        let shipped = run(&mut ship, "");
        assert_eq!(shipped.code, Some(0), "{shipped:?}");

        self.write("ingested.tsv", lines((2..BUCKETS).step_by(3)));
        let file = self.file("ingested.tsv");
        self.ingest.arg(file).args(["--cdn", "level3", "--edge", "ingested", "--format", "tsv"]);
        let ingested = run(&mut self.ingest, "");
        assert!(ingested.stdout.contains("unreadable 0, unregistered 0,"), "{ingested:?}");
        self.wait_until_billed(FIRST).await;
        self.wait_until_billed(SECOND).await;
        assert_eq!(i64::try_from(self.lines.len()).unwrap(), BUCKETS);
    }

    /// Sets the domains of a customer.
    async fn give(&self, mail: &str, domains: &[&str]) {
        let given = json!({"login_email": mail, "cdn": "level3", "domains": domains});
        let root = self.servers.root().await;
        root.send("PUT", "/level3/user_domains", Some(&given)).await.unwrap().ok();
    }

    /// Lines of a customer's time.
    fn own(&self, mail: &str) -> Vec<String> {
        let is_first = |line: &String| time_of(line) < MONTH + HAND_OVER * BUCKET;
        self.lines.iter().filter(|line| is_first(line) == (mail == FIRST)).cloned().collect()
    }

    /// Bytes by begin of the bucket, counted line by line.
    fn count(&self, mail: &str) -> BTreeMap<i64, i64> {
        let mut counted = BTreeMap::new();
        for line in self.own(mail) {
            let time = time_of(&line);
            let bytes: i64 = line.split('\t').nth(3).unwrap().parse().unwrap();
            *counted.entry(time - time % BUCKET).or_default() += bytes;
        }
        counted
    }

    /// Bytes by begin of the bucket, as a customer is answered.
    async fn billed(&self, mail: &str) -> BTreeMap<i64, i64> {
        let end = MONTH + BUCKETS * BUCKET - 1;
        let range = format!("startTime={MONTH}&endTime={end}&domain={LISTED}&login_email={mail}");
        let root = self.servers.root().await;
        let series = root.get(&format!("/level3/fluxs?{range}")).await.ok();
        let points = series["results"].as_array().unwrap().iter();
        let number = |point: &Value, name: &str| point[name].as_i64().unwrap();
        let points = points.map(|point| (number(point, "timeStamp"), number(point, "value")));
        points.filter(|(_, flux)| *flux > 0).collect()
    }

    /// Waits until every bucket of a customer has the bytes of its lines, and no more.
    async fn wait_until_billed(&self, mail: &str) {
        let expected = self.count(mail);
        let begun = Instant::now();
        loop {
            let found = self.billed(mail).await;
            if found == expected {
                return;
            }
            let is_more = found.iter().any(|(time, flux)| expected.get(time).is_none_or(|own| own < flux));
            assert!(!is_more && begun.elapsed() < TIMEOUT, "{mail}: {found:?} of {expected:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Compares the kept lines of a customer with those of its time.
    async fn check(&self, mail: &str) {
        let root = self.servers.root().await;
        let days = "startDate=20260501&endDate=20260531";
        let listed = format!("/level3/logdownload?domain={LISTED}&login_email={mail}&{days}");
        let mut stored = Vec::new();
        for day in root.get(&listed).await.ok()["results"].as_array().unwrap() {
            let url = day["url"].as_str().unwrap();
            if !url.is_empty() {
                let http = crate::support::http_client().build().unwrap();
                let content = http.get(url).send().await.unwrap().bytes().await.unwrap();
                let mut text = String::new();
                MultiGzDecoder::new(&content[..]).read_to_string(&mut text).unwrap();
                stored.extend(text.lines().map(ToOwned::to_owned));
            }
        }
        stored.sort_unstable();
        assert_stored_lines(self.own(mail), &stored);
    }

    /// Compares the bills of the month by every rule.
    async fn check_bills(&self) {
        let root = self.servers.root().await;
        for rule in ["month95", "daily_peak", "top5"] {
            let bills = root.get(&format!("/level3/bills?month=202605&rule={rule}")).await.ok();
            let bill = |mail: &str| {
                let own = self.count(mail);
                let (flux, requests) = (own.values().sum::<i64>(), self.own(mail).len());
                json!([mail, LISTED, rule, bandwidth(&own, rule), flux, requests])
            };
            let found: Vec<_> = bills["results"]
                .as_array()
                .unwrap()
                .iter()
                .map(|bill| {
                    let named = ["login_email", "domain", "rule", "bandwidth", "flux", "requests"];
                    Value::from(named.map(|name| bill[name].clone()).to_vec())
                })
                .collect();
            assert_eq!(found, [bill(FIRST), bill(SECOND)]);
        }
    }
}

fn append(file: &Path, lines: &[String]) {
    let mut log = OpenOptions::new().create(true).append(true).open(file).unwrap();
    log.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
}

fn time_of(line: &str) -> i64 {
    line.split('.').next().unwrap().parse().unwrap()
}

/// Billable bandwidth of the month by a rule.
fn bandwidth(fluxs: &BTreeMap<i64, i64>, rule: &str) -> i64 {
    let flux = |bucket: i64| fluxs.get(&(MONTH + bucket * BUCKET)).copied().unwrap_or(0);
    let mut all: Vec<i64> = (0..BUCKETS).map(|bucket| (flux(bucket) * 16 + BUCKET) / (2 * BUCKET)).collect();
    let mut peaks: Vec<i64> = all.chunks(288).map(|day| *day.iter().max().unwrap()).collect();
    match rule {
        "month95" => {
            all.sort_unstable_by(|one, other| other.cmp(one));
            all[all.len() * 5 / 100]
        }
        "daily_peak" => (2 * peaks.iter().sum::<i64>() + 31) / 62,
        _ => {
            peaks.sort_unstable_by(|one, other| other.cmp(one));
            peaks[4]
        }
    }
}
