//! Access log of an edge: a writer that rotates it in every way, and what a server has made of its lines.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::json;

use super::{ApiClient, HOST, Installation, ROOT, TIMEOUT, TestServer};

/// The access log of an edge, with the lines written to it and the bytes to be billed.
pub(crate) struct EdgeLog {
    pub(crate) path: PathBuf,
    pub(crate) log: File,
    pub(crate) lines: Vec<String>,
    pub(crate) bytes: i64,
}

impl EdgeLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        let log = open(&path);
        Self { path, log, lines: Vec::new(), bytes: 0 }
    }

    /// The text of the next distinct lines, each followed by a purge and a malformed line, which must not be billed.
    pub(crate) fn next(&mut self, count: usize) -> String {
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

    pub(crate) fn write(&mut self, count: usize) {
        let text = self.next(count);
        self.log.write_all(text.as_bytes()).unwrap();
    }

    /// The name of the log after a number of rotations.
    fn rotated(&self, number: u32, ending: &str) -> PathBuf {
        PathBuf::from(format!("{}.{number}{ending}", self.path.display()))
    }

    /// Rotates as logrotate does: the log is renamed, and the writer opens the new file `late` lines later.
    pub(crate) fn rotate(&mut self, late: usize) {
        self.shift_rotated();
        fs::rename(&self.path, self.rotated(1, "")).unwrap();
        let new = open(&self.path);
        self.write(late);
        self.log = new;
    }

    /// Rotates as logrotate does with `copytruncate`.
    pub(crate) fn copy_and_truncate(&mut self) {
        self.shift_rotated();
        fs::copy(&self.path, self.rotated(1, "")).unwrap();
        self.log.set_len(0).unwrap();
    }

    /// Rotates as logrotate does with `copytruncate` or without, and packs the rotated file at once.
    pub(crate) fn rotate_packed(&mut self, truncates: bool) {
        self.shift_rotated();
        let mut packed = GzEncoder::new(File::create(self.rotated(1, ".gz")).unwrap(), Compression::fast());
        packed.write_all(&fs::read(&self.path).unwrap()).unwrap();
        packed.finish().unwrap();
        if truncates {
            self.log.set_len(0).unwrap();
        } else {
            fs::remove_file(&self.path).unwrap();
            self.log = open(&self.path);
        }
    }

    fn shift_rotated(&self) {
        for number in (1..9).rev() {
            for ending in ["", ".gz"] {
                if self.rotated(number, ending).exists() {
                    fs::rename(self.rotated(number, ending), self.rotated(number + 1, ending)).unwrap();
                }
            }
        }
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

pub(crate) fn now() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().try_into().unwrap()
}

/// An installation with an edge whose log is followed, and one that ships its log.
pub(crate) fn with_logging_edges(installation: Installation, log: &Path) -> Installation {
    let edge = |name: &str| {
        format!("[[cdn.edge]]\nname = \"{name}\"\nkind = \"nginx\"\nurl = \"http://127.0.0.1:9\"\n")
    };
    let followed = format!("{}access_log = \"{}\"\nlog_format = \"tsv\"\n", edge("edge-1"), log.display());
    let shipped = format!("{}key = \"env:TEST_EDGE_KEY\"\nlog_format = \"tsv\"\n", edge("edge-2"));
    let settings = format!("[[cdn]]\nname = \"level3\"\nkind = \"edges\"\n{followed}{shipped}");
    let file = installation.file("settings.toml");
    fs::write(&file, settings).unwrap();
    installation.with("CONFIG", &file.display().to_string())
}

/// Creates the customer of the logged host; the client of root.
pub(crate) async fn logged_customer(server: &TestServer) -> ApiClient {
    let root = ApiClient::new(&[server]).login(ROOT).await;
    let mail = "root@example.com";
    let customer = json!({"login_email": mail, "password": "another long password"});
    root.post("/level3/user", customer).await.ok();
    let domains = json!({"login_email": mail, "cdn": "level3", "domains": [HOST]});
    root.post("/level3/user_domains", domains).await.ok();
    root
}

/// All bytes billed since the test began.
pub(crate) async fn billed(root: &ApiClient, begun: i64) -> i64 {
    let series = root.get(&format!("/level3/stats?startTime={begun}&endTime={}", now() + 300)).await.ok();
    series["results"].as_array().unwrap().iter().map(|row| row["flux"].as_i64().unwrap()).sum()
}

/// Waits until exactly the written bytes are billed; the time that took.
pub(crate) async fn wait_until_billed(root: &ApiClient, begun: i64, bytes: i64) -> Duration {
    let start = Instant::now();
    loop {
        let billed = billed(root, begun).await;
        assert!(billed <= bytes, "{billed} are billed of {bytes}");
        if billed == bytes {
            return start.elapsed();
        }
        assert!(start.elapsed() < TIMEOUT, "only {billed} are billed of {bytes}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every stored line, sorted.
pub(crate) async fn stored_lines(root: &ApiClient) -> Vec<String> {
    let logs = format!("/level3/logdownload?domain={HOST}&startDate={}&endDate={}", day(-1), day(1));
    let days = root.get(&logs).await.ok();
    let mut lines = Vec::new();
    for url in days["results"].as_array().unwrap().iter().filter_map(|day| day["url"].as_str()) {
        if url.is_empty() {
            continue;
        }
        let http = crate::support::http_client().build().unwrap();
        let content = http.get(url).send().await.unwrap().bytes().await.unwrap();
        let mut text = String::new();
        MultiGzDecoder::new(&content[..]).read_to_string(&mut text).unwrap();
        lines.extend(text.lines().map(ToOwned::to_owned));
    }
    lines.sort_unstable();
    lines
}

/// The date in Shanghai, as many days from today.
pub(crate) fn day(distance: i64) -> String {
    let time = chrono::DateTime::from_timestamp(now() + distance * 86_400, 0).unwrap();
    time.with_timezone(&chrono_tz::Asia::Shanghai).format("%Y%m%d").to_string()
}

#[track_caller]
pub(crate) fn assert_stored_lines(mut written: Vec<String>, stored: &[String]) {
    written.sort_unstable();
    assert!(written == stored, "{} lines are stored of {}", stored.len(), written.len());
}
