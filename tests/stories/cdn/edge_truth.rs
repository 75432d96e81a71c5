//! Main job on real edges: what two nginx and two Varnish log is billed and kept exactly, by a counter of its own, across two
//! rotations while no server runs, a tail that a power cut took, neighbours' logs in one folder, aborted downloads, spellings,
//! private pages, a domain that is registered late, and a file that was read wrongly and taken back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use pilothouse_test_support::{ProcessGuard, edges_or_skip, postgres_or_skip};
use serde_json::{Value, json};

use crate::support::{
    ApiClient, Edge, EdgeFleet, HOST, Installation, ROOT, RawRequest, TIMEOUT, TestServer,
    assert_stored_lines, complete, create_customer, now, stored_lines, wait_for_edges,
};

/// Domain that its customer is given when its lines were read long ago.
const LATE: &str = "late.test";
/// Bytes that visitors read of a download that they break off.
const READ: usize = 65_536;
/// Lines that a power cut takes from a log.
const VANISHED: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn four_edges_are_billed_exactly_by_one_server() {
    if !edges_or_skip("cdn::edge_truth::four_edges_are_billed_exactly_by_one_server") {
        return;
    }
    let fleet = EdgeFleet::install_with_logs(Installation::sqlite()).await;
    Story::new(fleet, Vec::new()).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_edges_are_billed_exactly_by_two_servers() {
    let test = "cdn::edge_truth::four_edges_are_billed_exactly_by_two_servers";
    if !edges_or_skip(test) {
        return;
    }
    let Some(postgres) = postgres_or_skip(test) else { return };
    let database = postgres.database();
    let first = Installation::postgres(&database);
    let logs = first.file("logs").display().to_string();
    let fleet = EdgeFleet::install_with_logs(first.with("LOG_DIR", &logs)).await;
    let settings = fleet.installation.file("fleet.toml").display().to_string();
    let second = Installation::postgres(&database).with("LOG_DIR", &logs).with("CONFIG", &settings);
    Story::new(fleet, vec![second]).run().await;
}

/// Figures of a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    flux: i64,
    hit_flux: i64,
    requests: i64,
    hits: i64,
}

struct Story {
    fleet: EdgeFleet,
    /// Installations beside that of the fleet, over the same store.
    others: Vec<Installation>,
    writers: Vec<ProcessGuard>,
    /// Lines that each edge has written, or is yet to write.
    lines: BTreeMap<&'static str, usize>,
    /// Lines that are in no file any more, or in one that was ingested.
    elsewhere: Vec<String>,
    begun: i64,
}

impl Story {
    fn new(fleet: EdgeFleet, others: Vec<Installation>) -> Self {
        let (writers, lines, elsewhere) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { fleet, others, writers, lines, elsewhere, begun: now() }
    }

    async fn run(mut self) {
        self.start_log_writers().await;
        let (servers, root) = self.serve().await;
        create_customer(&root).await;
        wait_for_edges(&root, &[], "in_service").await;
        for round in 0..3 {
            self.visit(&format!("first-{round}")).await;
            self.refresh(&root, round).await;
        }
        self.wait_until_billed(&root, &[HOST]).await;
        drop(servers);

        self.lose_tail(1);
        for round in 0..2 {
            self.visit(&format!("stopped-{round}")).await;
            self.wait_until_logged().await;
            for position in [0, 2, 3] {
                self.rotate(position, round);
            }
        }
        self.visit("rotated").await;

        let (_servers, root) = self.serve().await;
        wait_for_edges(&root, &[], "in_service").await;
        self.visit("last").await;
        self.wait_until_billed(&root, &[HOST]).await;
        self.register_late(&root).await;
        self.ingest_wrongly();
        self.wait_until_billed(&root, &[HOST, LATE]).await;
        self.assert_kept(&root).await;
        self.assert_logs(&root).await;
    }

    /// Starts the servers, and logs in to all of them.
    async fn serve(&self) -> (Vec<TestServer>, ApiClient) {
        let mut servers = vec![self.fleet.installation.serve().await];
        for installation in &self.others {
            servers.push(installation.serve().await);
        }
        let root = ApiClient::new(&servers.iter().collect::<Vec<_>>()).login(ROOT).await;
        (servers, root)
    }

    /// Starts the log writers of Varnish, and waits until they write.
    async fn start_log_writers(&mut self) {
        for edge in &self.fleet.edges {
            let (mut sent, is_varnish) = (0, edge.name.starts_with("varnish"));
            if is_varnish {
                self.writers.push(start_log_writer(&self.fleet.installation, edge));
                let begun = Instant::now();
                while lines_of(&edge.log).is_empty() {
                    assert!(begun.elapsed() < TIMEOUT, "the log writer of {} writes nothing", edge.name);
                    edge.send(RawRequest::get("/begin")).await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            edge.send(RawRequest::get("/begun")).await;
            let begun = Instant::now();
            while sent == 0 {
                let lines = lines_of(&edge.log);
                if lines.last().is_some_and(|line| line.ends_with("/begun")) {
                    sent = lines.len();
                }
                assert!(begun.elapsed() < TIMEOUT, "{} logs nothing", edge.name);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            self.lines.insert(edge.name, sent);
        }
    }

    /// Requests pages of every edge in several spellings, private ones, some of the late domain, and downloads that are broken
    /// off.
    async fn visit(&mut self, round: &str) {
        for edge in &self.fleet.edges {
            let mut sent = 0;
            for page in 0..4 {
                let spellings =
                    [format!("/page/{page}"), format!("/%70age/{page}"), format!("/pag%65/{page}?")];
                for (target, host) in spellings.iter().zip([HOST, "A.TEST:80", "a.Test."]) {
                    edge.send(RawRequest { host, ..RawRequest::get(target) }).await;
                    sent += 1;
                }
                edge.send(RawRequest { host: LATE, ..RawRequest::get(&format!("/{round}/{page}")) }).await;
                sent += 1;
            }
            let private = format!("/own/{round}");
            let own = RawRequest { headers: &["Authorization: Basic YTpi"], ..RawRequest::get(&private) };
            for request in [own, own, RawRequest::get(&private)] {
                let version = self.fleet.origin.change();
                let answer = edge.send(request).await;
                assert_eq!(answer.body, version.to_string(), "{} shared an answer: {answer:?}", edge.name);
                sent += 1;
            }
            edge.break_off(&format!("/large/24/{round}"), READ, Duration::ZERO).await;
            edge.send(RawRequest { method: "POST", ..RawRequest::get("/page/0") }).await;
            sent += 2;
            *self.lines.get_mut(edge.name).unwrap() += sent;
        }
    }

    /// Refreshes a page by one spelling; every other is fresh on every edge.
    async fn refresh(&mut self, root: &ApiClient, round: usize) {
        let version = self.fleet.origin.change();
        complete(root, "refresh", &[["/page/1", "/p%61ge/1", "/%70age/1"][round]]).await;
        for edge in &self.fleet.edges {
            for target in ["/page/1", "/%70%61ge/1"] {
                let answer = edge.send(RawRequest::get(target)).await;
                assert_eq!(answer.body, version.to_string(), "{} {target}", edge.name);
            }
            *self.lines.get_mut(edge.name).unwrap() += 2;
        }
    }

    /// Waits until every request has its line.
    async fn wait_until_logged(&self) {
        let begun = Instant::now();
        while self.fleet.edges.iter().any(|edge| self.missing(edge) > 0) {
            let missing: Vec<_> =
                self.fleet.edges.iter().map(|edge| (edge.name, self.missing(edge))).collect();
            assert!(begun.elapsed() < TIMEOUT, "lines are missing: {missing:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn missing(&self, edge: &Edge) -> usize {
        let vanished = if edge.name == "nginx-2" { self.elsewhere.len().min(VANISHED) } else { 0 };
        let found: Vec<_> = lines_of(&edge.log).into_iter().filter(|line| !is_purge(line)).collect();
        let missing = self.lines[edge.name].checked_sub(found.len() + vanished);
        missing.unwrap_or_else(|| panic!("{} has more than {}: {found:#?}", edge.name, self.lines[edge.name]))
    }

    /// Takes the last lines from a log, as a power cut does.
    fn lose_tail(&mut self, position: usize) {
        let log = &self.fleet.edges[position].log;
        let text = fs::read_to_string(log).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let (left, vanished) = lines.split_at(lines.len() - VANISHED);
        let length: usize = left.iter().map(|line| line.len() + 1).sum();
        File::options().write(true).open(log).unwrap().set_len(length as u64).unwrap();
        self.elsewhere.extend(vanished.iter().map(ToString::to_string));
    }

    /// Rotates a log; the second time the older file is packed.
    fn rotate(&self, position: usize, round: usize) {
        let edge = &self.fleet.edges[position];
        let rotated =
            |number: u32, ending: &str| PathBuf::from(format!("{}.{number}{ending}", edge.log.display()));
        if round > 0 {
            let older = fs::read(rotated(1, "")).unwrap();
            let mut packed = GzEncoder::new(File::create(rotated(2, ".gz")).unwrap(), Compression::fast());
            packed.write_all(&older).unwrap();
            // As gzip and logrotate do.
            let written = fs::metadata(rotated(1, "")).unwrap().modified().unwrap();
            packed.finish().unwrap().set_modified(written).unwrap();
        }
        fs::rename(&edge.log, rotated(1, "")).unwrap();
        // The log writer of Varnish notices it itself.
        if edge.name.starts_with("nginx") {
            edge.server.reopen_log();
        }
    }

    /// All lines that were written, whatever became of their files.
    fn written(&self) -> Vec<String> {
        let files = self.fleet.edges.iter().flat_map(|edge| lines_of(&edge.log));
        files.chain(self.elsewhere.iter().cloned()).collect()
    }

    /// Waits until the figures of domains are those of the counter.
    async fn wait_until_billed(&self, root: &ApiClient, domains: &[&str]) {
        self.wait_until_logged().await;
        let expected = count(&self.written());
        let begun = Instant::now();
        loop {
            let found = self.billed(root).await;
            let is_equal = domains.iter().all(|domain| found.get(*domain) == expected.get(*domain));
            if is_equal {
                return;
            }
            let is_more = found.iter().any(|(domain, found)| found.flux > expected[domain].flux);
            assert!(!is_more && begun.elapsed() < TIMEOUT, "billed {found:?} of {expected:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Figures of the domains that have any.
    async fn billed(&self, root: &ApiClient) -> BTreeMap<String, Counted> {
        let range = format!("startTime={}&endTime={}", self.begun - 600, now() + 600);
        let stats = root.get(&format!("/level3/stats?{range}&by=domain&form=arrays")).await.ok();
        let groups = stats["groups"].as_array().unwrap().iter();
        let figures = |group: &Value| {
            let total = |name: &str| group["total"][name].as_i64().unwrap();
            let (flux, hit_flux) = (total("flux"), total("hitFlux"));
            let counted = Counted { flux, hit_flux, requests: total("requests"), hits: total("hits") };
            (group["name"].as_str().unwrap().to_owned(), counted)
        };
        groups.map(figures).filter(|(_, counted)| *counted != Counted::default()).collect()
    }

    /// Registers the late domain, whose lines were kept aside.
    async fn register_late(&self, root: &ApiClient) {
        let expected = count(&self.written());
        let listed = root.get("/level3/unregistered?cdn=level3").await.ok();
        let row = &listed["results"][0];
        assert_eq!(
            (&row["host"], &row["lines"], &row["dropped"]),
            (&json!(LATE), &json!(expected[LATE].requests), &json!(0)),
            "{listed}"
        );
        let domains = json!({"login_email": "root@example.com", "cdn": "level3", "domains": [LATE]});
        root.post("/level3/user_domains", domains).await.ok();
    }

    /// Ingests an old file as another domain's and with another format, takes both back, and reads it rightly.
    fn ingest_wrongly(&mut self) {
        let file = self.fleet.installation.file("old.log");
        let lines: Vec<_> = (0..200)
            .map(|n| {
                format!("{}.000\t{HOST}\t200\t{}\t127.0.0.1\tHIT\t0.000\tGET\t/old/{n}", now() - 5, 1000 + n)
            })
            .collect();
        let combined = |n: usize| {
            let time =
                chrono::DateTime::from_timestamp(now() - 5, 0).unwrap().format("%d/%b/%Y:%H:%M:%S +0000");
            format!("127.0.0.1 - - [{time}] \"GET /old/{n} HTTP/1.1\" 200 {} \"-\" \"test\"\n", 5000 + n)
        };
        fs::write(&file, (0..200).map(combined).collect::<String>()).unwrap();
        let path = file.display().to_string();
        let run = |command: &str, options: &[&str]| {
            let edge = [command, &path, "--cdn", "level3", "--edge", "nginx-1", "--format"];
            self.fleet.installation.run(&[&edge[..], options].concat(), "")
        };
        let refused = run("ingest", &["tsv"]);
        assert!(refused.code != Some(0) && refused.stderr.contains("can be read"), "{refused:?}");
        let wrong = ["combined", "--domain", LATE];
        assert!(run("ingest", &wrong).stdout.contains("billed 200,"));
        assert_eq!(run("forget-log", &wrong).code, Some(0));
        fs::write(&file, lines.join("\n") + "\n").unwrap();
        assert!(run("ingest", &["tsv"]).stdout.contains("billed 200,"));
        self.elsewhere.extend(lines);
    }

    /// Compares the kept lines of the domain with those that were written.
    async fn assert_kept(&self, root: &ApiClient) {
        let own = self.written().into_iter().filter(|line| host(line) == HOST);
        assert_stored_lines(own.collect(), &stored_lines(root).await);
    }

    /// Compares what is said of the logs with what was written, and no lines of any are missing.
    async fn assert_logs(&self, root: &ApiClient) {
        let listed = root.get("/level3/log_sources?cdn=level3").await.ok();
        let followed = listed["results"].as_array().unwrap().iter().filter(|row| row["kind"] == "followed");
        let requests = |row: &Value| row["lines"].as_u64().unwrap() - row["purges"].as_u64().unwrap();
        let found: Vec<_> = followed.map(|row| (row["edge"].as_str().unwrap(), requests(row))).collect();
        let expected: Vec<_> = self.lines.iter().map(|(name, lines)| (*name, *lines as u64)).collect();
        assert_eq!(found, expected, "{listed}");
        for row in listed["results"].as_array().unwrap() {
            assert_eq!((&row["unreadable"], &row["log_gap"]), (&json!(0), &json!("")), "{row}");
        }
    }
}

/// Starts the shipped script.
fn start_log_writer(installation: &Installation, edge: &Edge) -> ProcessGuard {
    let path = edge.log.display().to_string();
    let printed = installation.run(&["edge-config", "--kind", "varnish", "--log-writer", "--log", &path], "");
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let script = edge.server.file("log-writer");
    fs::write(&script, printed.stdout).unwrap();
    let mut command = Command::new("perl");
    command.arg(script).arg("-n").arg(edge.server.file("work")).stdin(Stdio::null()).stderr(Stdio::null());
    ProcessGuard::spawn(&mut command).unwrap()
}

/// Whole lines of a log and of its rotated files.
fn lines_of(log: &Path) -> Vec<String> {
    let mut text = String::new();
    for ending in [".2.gz", ".1", ""] {
        let Ok(bytes) = fs::read(format!("{}{ending}", log.display())) else { continue };
        if ending == ".2.gz" {
            MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        } else {
            text += &String::from_utf8(bytes).unwrap();
        }
    }
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    text.lines().map(ToOwned::to_owned).collect()
}

/// Whether a line is of a purge, which nobody is billed for: Varnish logs that of an object that it has.
fn is_purge(line: &str) -> bool {
    line.split('\t').nth(7) == Some("PURGE")
}

/// Host of a line, as its domain is written.
fn host(line: &str) -> String {
    let host = line.split('\t').nth(1).unwrap().to_lowercase();
    host.split(':').next().unwrap().trim_end_matches('.').to_owned()
}

/// Figures of each host, counted line by line.
fn count(lines: &[String]) -> BTreeMap<String, Counted> {
    let mut counted = BTreeMap::<String, Counted>::new();
    for line in lines.iter().filter(|line| !is_purge(line)) {
        let fields: Vec<_> = line.split('\t').collect();
        let bytes: i64 = fields[3].parse().unwrap();
        let is_hit = ["hit", "stale", "updating", "revalidated"].contains(&&*fields[5].to_lowercase());
        let sum = counted.entry(host(line)).or_default();
        sum.flux += bytes;
        sum.requests += 1;
        if is_hit {
            sum.hits += 1;
            sum.hit_flux += bytes;
        }
    }
    counted
}
