//! What the shipped edges log and Pilothouse bills: downloads that were broken off, unknown methods, and no order of the control
//! plane.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pilothouse_test_support::{ProcessGuard, edges_or_skip};
use serde_json::Value;

use crate::support::{
    ApiClient, Edge, EdgeFleet, HOST, Installation, RawRequest, TIMEOUT, complete, create_customer,
    wait_for_edges,
};

/// Size of the objects that visitors do not read to the end.
const MEGABYTES: u64 = 24;
/// Bytes that a visitor reads before it goes.
const READ: usize = 65_536;
/// Most bytes that the sockets of a connection over the loopback interface hold unread: Linux' default for what is to be sent is
/// 4 MiB, and the visitor's socket takes less than one.
const BUFFERED: u64 = 5_500_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_is_billed() {
    if !edges_or_skip("cdn::edge_billing::what_was_sent_is_billed") {
        return;
    }
    let fleet = EdgeFleet::install(Installation::sqlite()).await;
    let (_server, root) = fleet.serve().await;
    create_customer(&root).await;
    wait_for_edges(&root, &[], "in_service").await;
    let (nginx, varnish) = (&fleet.edges[0], &fleet.edges[2]);
    let mut writer = start_log_writer(&fleet.installation, varnish).await;
    for edge in [nginx, varnish] {
        visit(edge).await;
    }
    complete(&root, "refresh", &["/large/*", "/order"]).await;
    complete(&root, "preload", &["/order"]).await;
    // Its object is there now, and Varnish restarts what purges one.
    complete(&root, "refresh", &["/order"]).await;
    let mut billed = 0;
    for edge in [nginx, varnish] {
        edge.send(RawRequest::get("/last")).await;
        let lines = logged_lines(edge).await;
        assert_lines(edge, &lines);
        billed += lines.iter().map(|line| line.bytes).sum::<u64>();
        ingest(&fleet.installation, edge, lines.len());
    }
    assert_eq!(flux(&root).await, billed);
    writer.terminate();
    assert!(writer.child.wait().unwrap().success(), "it ends with what it reads from");
}

/// Starts the shipped script, and waits until it writes.
async fn start_log_writer(installation: &Installation, edge: &Edge) -> ProcessGuard {
    let log = edge.server.file("tsv");
    let path = log.display().to_string();
    let printed = installation.run(&["edge-config", "--kind", "varnish", "--log-writer", "--log", &path], "");
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let script = edge.server.file("log-writer");
    fs::write(&script, printed.stdout).unwrap();
    let mut command = Command::new("perl");
    command.arg(script).arg("-n").arg(edge.server.file("work")).stdin(Stdio::null()).stderr(Stdio::null());
    let writer = ProcessGuard::spawn(&mut command).unwrap();
    let begun = Instant::now();
    while fs::read_to_string(&log).unwrap_or_default().is_empty() {
        assert!(begun.elapsed() < TIMEOUT, "the log writer writes nothing");
        edge.send(RawRequest::get("/first")).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // A log that was rotated away is begun anew.
    fs::rename(&log, edge.server.file("tsv.1")).unwrap();
    writer
}

async fn visit(edge: &Edge) {
    for kind in ["large", "stream"] {
        let target = format!("/{kind}/{MEGABYTES}");
        edge.break_off(&target, READ, Duration::ZERO).await;
        // Chunks of an unknown length have heads.
        let complete = edge.send(RawRequest::get(&target)).await.body.len() as u64;
        assert!(complete >= MEGABYTES * 1_000_000, "{} {target}: {complete}", edge.name);
        for pause in [Duration::ZERO, Duration::from_secs(1)] {
            edge.break_off(&target, READ, pause).await;
        }
    }
    for (method, status) in [("PROPFIND", 207), ("REFRESH", 200), ("BAN", 200), ("PURGE", 405)] {
        let header = format!("X-Status: {status}");
        let request = RawRequest { method, headers: &[&header], ..RawRequest::get("/method") };
        assert_eq!(edge.send(request).await.status, status, "{} {method}", edge.name);
    }
    let forged = RawRequest { headers: &["X-Pilothouse: preload"], ..RawRequest::get("/forged") };
    assert_eq!(edge.send(forged).await.status, 403, "{}", edge.name);
}

/// Line of an access log.
struct Line {
    status: String,
    bytes: u64,
    hit: String,
    method: String,
    target: String,
}

/// Lines of an edge's log once that of the last request is there.
async fn logged_lines(edge: &Edge) -> Vec<Line> {
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(edge.server.file("tsv")).unwrap_or_default();
        if text.ends_with("GET\t/last\n") {
            return text.lines().map(parse).collect();
        }
        assert!(begun.elapsed() < TIMEOUT, "{}: {text}", edge.name);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn parse(line: &str) -> Line {
    let fields: Vec<_> = line.split('\t').collect();
    let [time, host, status, bytes, address, hit, took, method, target] = fields[..] else {
        panic!("a line of other fields: {line}");
    };
    assert!(time.parse::<f64>().unwrap() > 1e9 && took.parse::<f64>().unwrap() < 60.0, "{line}");
    assert_eq!((host, address), (HOST, "127.0.0.1"), "{line}");
    Line {
        status: status.to_owned(),
        bytes: bytes.parse().unwrap(),
        hit: hit.to_owned(),
        method: method.to_owned(),
        target: target.to_owned(),
    }
}

fn assert_lines(edge: &Edge, lines: &[Line]) {
    let name = edge.name;
    for kind in ["large", "stream"] {
        let target = format!("/{kind}/{MEGABYTES}");
        let bytes: Vec<_> =
            lines.iter().filter(|line| line.target == target).map(|line| line.bytes).collect();
        let whole = MEGABYTES * 1_000_000;
        let (broken_off, complete): (Vec<u64>, Vec<u64>) = bytes.iter().partition(|bytes| **bytes < whole);
        assert_eq!((broken_off.len(), complete.len()), (3, 1), "{name} {target}: {bytes:?}");
        let limits = READ as u64..=READ as u64 + BUFFERED;
        assert!(broken_off.iter().all(|bytes| limits.contains(bytes)), "{name} {target}: {bytes:?}");
        assert!(complete[0] < whole + 10_000, "{name} {target}: {bytes:?}");
        let hits = lines.iter().filter(|line| line.target == target && line.hit.eq_ignore_ascii_case("hit"));
        assert!(hits.count() >= 2, "{name} {target}");
    }
    let others: Vec<_> = lines.iter().filter(|line| !line.target.contains(&MEGABYTES.to_string())).collect();
    let found: Vec<_> =
        others.iter().map(|line| format!("{} {} {}", line.method, line.target, line.status)).collect();
    let expected = [
        "PROPFIND /method 207",
        "REFRESH /method 200",
        "BAN /method 200",
        "PURGE /method 405",
        "GET /forged 403",
        "GET /last 200",
    ];
    assert_eq!(found, expected, "{name}");
    assert!(others.iter().all(|line| line.bytes > 50 && !line.hit.eq_ignore_ascii_case("hit")), "{name}");
}

fn ingest(installation: &Installation, edge: &Edge, lines: usize) {
    let file = edge.server.file("tsv").display().to_string();
    let arguments = ["ingest", &file, "--cdn", "level3", "--edge", edge.name, "--format", "tsv"];
    let ended = installation.run(&arguments, "");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains(&format!("lines {lines}, billed {lines}, ")), "{ended:?}");
}

/// Bytes billed to the domain from an hour ago on.
async fn flux(root: &ApiClient) -> u64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let range = format!("domain={HOST}&startTime={}&endTime={}", now - 3600, now + 600);
    let series = root.get(&format!("/level3/fluxs?{range}")).await.ok();
    series["results"].as_array().unwrap().iter().map(|point: &Value| point["value"].as_u64().unwrap()).sum()
}
