//! Logs that arrive by themselves: followed as files across rotation, truncation and kills, and shipped by edges.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use pilothouse_test_support::postgres_or_skip;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::client::Client;
use crate::place::{EDGE_KEY, PATIENCE, Place, ROOT, Server};

const HOST: &str = "cdn.example.com";

/// Writes an edge's log, and knows what it wrote.
struct Edge {
    path: PathBuf,
    log: File,
    lines: Vec<String>,
    bytes: i64,
}

impl Edge {
    fn new(path: PathBuf) -> Self {
        let log = open(&path);
        Self { path, log, lines: Vec::new(), bytes: 0 }
    }

    /// The next lines, no two of which are equal, and beside them what must not be billed.
    fn next(&mut self, count: usize) -> String {
        let mut text = String::new();
        for _ in 0..count {
            let (number, now) = (self.lines.len(), now());
            let line =
                format!("{now}.000\t{HOST}\t200\t{}\t127.0.0.1\tHIT\t0.001\tGET\t/{number}", 1000 + number);
            let purge = format!("{now}.000\t{HOST}\t200\t77777\t127.0.0.1\tMISS\t0.001\tPURGE\t/{number}");
            text.extend([&*line, "\n", &*purge, "\n?", &number.to_string(), "\n"]);
            self.bytes += 1000 + i64::try_from(number).unwrap();
            self.lines.extend([line, purge]);
        }
        text
    }

    fn write(&mut self, count: usize) {
        let text = self.next(count);
        self.log.write_all(text.as_bytes()).unwrap();
    }

    fn aside(&self, number: u32) -> PathBuf {
        PathBuf::from(format!("{}.{number}", self.path.display()))
    }

    /// As logrotate does: renamed, and a new file; the writer learns it `late` lines later.
    fn rotate(&mut self, late: usize) {
        self.put_asides_further();
        fs::rename(&self.path, self.aside(1)).unwrap();
        let new = open(&self.path);
        self.write(late);
        self.log = new;
    }

    /// As logrotate's copytruncate.
    fn copy_and_truncate(&mut self) {
        self.put_asides_further();
        fs::copy(&self.path, self.aside(1)).unwrap();
        self.log.set_len(0).unwrap();
    }

    fn put_asides_further(&self) {
        for number in (1..9).rev() {
            if self.aside(number).exists() {
                fs::rename(self.aside(number), self.aside(number + 1)).unwrap();
            }
        }
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

fn now() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().try_into().unwrap()
}

/// With an edge whose log is followed, and one that ships its own.
fn with_edges(place: Place, log: &Path) -> Place {
    let edge = |name: &str| {
        format!("[[cdn.edge]]\nname = \"{name}\"\nkind = \"nginx\"\nurl = \"http://127.0.0.1:9\"\n")
    };
    let followed = format!("{}access_log = \"{}\"\nlog_format = \"tsv\"\n", edge("edge-1"), log.display());
    let shipped = format!("{}key = \"env:STORY_EDGE_KEY\"\nlog_format = \"tsv\"\n", edge("edge-2"));
    let settings = format!("[[cdn]]\nname = \"level3\"\nkind = \"edges\"\n{followed}{shipped}");
    let file = place.file("settings.toml");
    fs::write(&file, settings).unwrap();
    place.with("CONFIG", &file.display().to_string())
}

async fn customer(server: &Server) -> Client {
    let root = Client::new(&[server]).login(ROOT).await;
    let mail = "root@example.com";
    let customer = json!({"login_email": mail, "password": "another long password"});
    root.post("/level3/user", customer).await.ok();
    let domains = json!({"login_email": mail, "cdn": "level3", "domains": [HOST]});
    root.post("/level3/user_domains", domains).await.ok();
    root
}

/// All bytes billed since the story began.
async fn billed(root: &Client, begun: i64) -> i64 {
    let series = root.get(&format!("/level3/stats?startTime={begun}&endTime={}", now() + 300)).await.ok();
    series["results"].as_array().unwrap().iter().map(|row| row["flux"].as_i64().unwrap()).sum()
}

/// Waits until just what was written is billed; how long that took.
async fn catches_up(root: &Client, begun: i64, bytes: i64) -> Duration {
    let start = Instant::now();
    loop {
        let billed = billed(root, begun).await;
        assert!(billed <= bytes, "{billed} are billed of {bytes}");
        if billed == bytes {
            return start.elapsed();
        }
        assert!(start.elapsed() < PATIENCE, "only {billed} are billed of {bytes}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every kept line, sorted.
async fn kept(root: &Client) -> Vec<String> {
    let logs = format!("/level3/logdownload?domain={HOST}&startDate={}&endDate={}", day(-1), day(1));
    let days = root.get(&logs).await.ok();
    let mut lines = Vec::new();
    for url in days["results"].as_array().unwrap().iter().filter_map(|day| day["url"].as_str()) {
        if url.is_empty() {
            continue;
        }
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let content = http.get(url).send().await.unwrap().bytes().await.unwrap();
        let mut text = String::new();
        MultiGzDecoder::new(&content[..]).read_to_string(&mut text).unwrap();
        lines.extend(text.lines().map(ToOwned::to_owned));
    }
    lines.sort_unstable();
    lines
}

/// The day in Shanghai, so many days from now.
fn day(distance: i64) -> String {
    let time = chrono::DateTime::from_timestamp(now() + distance * 86_400, 0).unwrap();
    time.with_timezone(&chrono_tz::Asia::Shanghai).format("%Y%m%d").to_string()
}

#[track_caller]
fn same(mut written: Vec<String>, kept: &[String]) {
    written.sort_unstable();
    assert!(written == kept, "{} lines are kept of {}", kept.len(), written.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_whatever_happens() {
    let place = Place::sqlite();
    let mut edge = Edge::new(place.file("edge.tsv"));
    let place = with_edges(place, &edge.path);
    let begun = now();
    let mut server = place.serve().await;
    let root = customer(&server).await;

    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        edge.write(3);
        slowest = slowest.max(catches_up(&root, begun, edge.bytes).await);
    }
    println!("a request at an edge was billed after {slowest:?} at the latest");
    edge.write(10);
    edge.rotate(10);
    edge.write(10);
    catches_up(&root, begun, edge.bytes).await;
    edge.write(10);
    edge.copy_and_truncate();
    edge.write(200);
    catches_up(&root, begun, edge.bytes).await;
    // A line in two, and a kill between them.
    let text = edge.next(1);
    edge.log.write_all(&text.as_bytes()[..25]).unwrap();
    server.process.kill9();
    edge.log.write_all(&text.as_bytes()[25..]).unwrap();
    edge.write(20);
    edge.rotate(20);
    edge.write(20);
    edge.rotate(0);
    edge.write(20);
    for round in 0..5 {
        server = place.serve().await;
        for _ in 0..10 {
            edge.write(5);
            tokio::time::sleep(Duration::from_millis(37)).await;
        }
        server.process.kill9();
        match round {
            1 => edge.rotate(3),
            3 => edge.copy_and_truncate(),
            _ => {}
        }
        edge.write(5);
    }
    server = place.serve().await;
    let root = Client::new(&[&server]).login(ROOT).await;
    catches_up(&root, begun, edge.bytes).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(billed(&root, begun).await, edge.bytes, "and nothing more");
    same(edge.lines.clone(), &kept(&root).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_follow_one_log() {
    let Some(postgres) = postgres_or_skip("follow::two_servers_follow_one_log") else { return };
    let database = postgres.database();
    let place = Place::postgres(&database);
    let logs = place.file("logs").display().to_string();
    let mut edge = Edge::new(place.file("edge.tsv"));
    let one = with_edges(place, &edge.path).with("LOG_DIR", &logs);
    let two = with_edges(Place::postgres(&database), &edge.path).with("LOG_DIR", &logs);
    let begun = now();
    let mut first = one.serve().await;
    let root = customer(&first).await;
    let second = two.serve().await;
    for _ in 0..20 {
        edge.write(5);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    catches_up(&root, begun, edge.bytes).await;
    first.process.kill9();
    let root = Client::new(&[&second]).login(ROOT).await;
    edge.write(5);
    edge.rotate(5);
    edge.write(5);
    catches_up(&root, begun, edge.bytes).await;
    same(edge.lines.clone(), &kept(&root).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_ships_its_log() {
    let place = Place::sqlite();
    let mut edge = Edge::new(place.file("edge.tsv"));
    let place = with_edges(place, Path::new("/nowhere/edge.tsv"));
    let begun = now();
    let mut server = place.serve().await;
    customer(&server).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ship = async |server: &Server, offset: usize, piece: &[u8]| -> Value {
        let url = format!("{}/level3/edge_logs?cdn=level3&edge=edge-2&offset={offset}", server.url());
        let sent = http.post(url).bearer_auth(EDGE_KEY).body(piece.to_vec()).send().await.unwrap();
        sent.json().await.unwrap()
    };
    edge.write(50);
    let stream = fs::read(&edge.path).unwrap();
    let mut next = 0;
    while next < stream.len() {
        let end = stream.len().min(next + 1000);
        let answer = ship(&server, next, &stream[next..end]).await;
        assert_eq!(answer["err"], 0, "{answer}");
        next = usize::try_from(answer["offset"].as_i64().unwrap()).unwrap();
    }
    server.process.kill9();
    server = place.serve().await;
    let root = Client::new(&[&server]).login(ROOT).await;
    assert_eq!(ship(&server, 0, &stream).await, json!({"err": 0, "offset": stream.len()}));
    catches_up(&root, begun, edge.bytes).await;
    same(edge.lines.clone(), &kept(&root).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_is_over_becomes_one_file_with_a_digest() {
    let place = with_edges(Place::sqlite(), Path::new("/nowhere/edge.tsv"));
    let mut server = place.serve().await;
    customer(&server).await;
    // Three days ago, in two logs.
    let time = now() - 3 * 86_400;
    let mut written = String::new();
    for log in ["one", "two"] {
        let line = |n: i64| format!("{time}.000\t{HOST}\t200\t{n}\t127.0.0.1\tHIT\t0.001\tGET\t/{log}/{n}\n");
        let lines: String = (0..50).map(line).collect();
        let file = place.file(log);
        fs::write(&file, &lines).unwrap();
        let file = file.display().to_string();
        let arguments = ["ingest", &file, "--cdn", "level3", "--edge", "edge-2", "--format", "tsv"];
        assert_eq!(place.run(&arguments, "").code, Some(0));
        written += &lines;
    }
    // What is over is put into one file by whoever starts.
    server.process.kill9();
    server = place.serve().await;
    let root = Client::new(&[&server]).login(ROOT).await;
    let logs = format!("/level3/logdownload?domain={HOST}&startDate={0}&endDate={0}", day(-3));
    let start = Instant::now();
    loop {
        let listed = root.get(&logs).await.ok();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = http.get(listed["results"][0]["url"].as_str().unwrap()).send().await.unwrap();
        let digest = answer.headers().get("repr-digest").map(|digest| digest.to_str().unwrap().to_owned());
        let content = answer.bytes().await.unwrap();
        let mut text = String::new();
        MultiGzDecoder::new(&content[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, written, "byte by byte, in their order");
        if let Some(digest) = digest {
            assert_eq!(listed["results"][0]["size"], content.len());
            assert_eq!(digest, format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&content))));
            return;
        }
        assert!(start.elapsed() < PATIENCE, "the day is not put into one file");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
