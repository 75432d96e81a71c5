//! Log intake: files followed across rotation, truncation and kills, and logs shipped by edges.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use pilothouse_test_support::postgres_or_skip;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{
    ApiClient, EDGE_KEY, EdgeLog, HOST, Installation, ROOT, TIMEOUT, TestServer, assert_stored_lines, billed,
    day, logged_customer, now, stored_lines, wait_until_billed, with_logging_edges,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_log_is_billed_once_across_rotation_truncation_and_kills() {
    let installation = Installation::sqlite();
    let mut edge = EdgeLog::new(installation.file("edge.tsv"));
    let installation = with_logging_edges(installation, &edge.path);
    let begun = now();
    let mut server = installation.serve().await;
    let root = logged_customer(&server).await;

    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        edge.write(3);
        slowest = slowest.max(wait_until_billed(&root, begun, edge.bytes).await);
    }
    println!("slowest time from a request at an edge to its billing: {slowest:?}");
    edge.write(10);
    edge.rotate(10);
    edge.write(10);
    wait_until_billed(&root, begun, edge.bytes).await;
    edge.write(10);
    edge.copy_and_truncate();
    edge.write(200);
    wait_until_billed(&root, begun, edge.bytes).await;
    // A line in two writes, with a kill between them.
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
        server = installation.serve().await;
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
    server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    wait_until_billed(&root, begun, edge.bytes).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(billed(&root, begun).await, edge.bytes, "nothing is billed twice");
    assert_stored_lines(edge.lines.clone(), &stored_lines(&root).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_followed_by_two_servers_is_billed_once() {
    let Some(postgres) = postgres_or_skip("cdn::log_intake::a_log_followed_by_two_servers_is_billed_once")
    else {
        return;
    };
    let database = postgres.database();
    let installation = Installation::postgres(&database);
    let logs = installation.file("logs").display().to_string();
    let mut edge = EdgeLog::new(installation.file("edge.tsv"));
    let one = with_logging_edges(installation, &edge.path).with("LOG_DIR", &logs);
    let two = with_logging_edges(Installation::postgres(&database), &edge.path).with("LOG_DIR", &logs);
    let begun = now();
    let mut first = one.serve().await;
    let root = logged_customer(&first).await;
    let second = two.serve().await;
    for _ in 0..20 {
        edge.write(5);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    wait_until_billed(&root, begun, edge.bytes).await;
    first.process.kill9();
    let root = ApiClient::new(&[&second]).login(ROOT).await;
    edge.write(5);
    edge.rotate(5);
    edge.write(5);
    wait_until_billed(&root, begun, edge.bytes).await;
    assert_stored_lines(edge.lines.clone(), &stored_lines(&root).await);
}

/// Ships a piece of the log of `edge-2`; the answer.
async fn ship(server: &TestServer, offset: usize, piece: &[u8]) -> Value {
    let http = crate::support::http_client().build().unwrap();
    let url = format!("{}/level3/edge_logs?cdn=level3&edge=edge-2&offset={offset}", server.url());
    let sent = http.post(url).bearer_auth(EDGE_KEY).body(piece.to_vec()).send().await.unwrap();
    sent.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shipped_log_is_billed_once_across_a_kill() {
    let installation = Installation::sqlite();
    let mut edge = EdgeLog::new(installation.file("edge.tsv"));
    let installation = with_logging_edges(installation, Path::new("/nowhere/edge.tsv"));
    let begun = now();
    let mut server = installation.serve().await;
    logged_customer(&server).await;
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
    server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    assert_eq!(ship(&server, 0, &stream).await, json!({"err": 0, "offset": stream.len()}));
    wait_until_billed(&root, begun, edge.bytes).await;
    assert_stored_lines(edge.lines.clone(), &stored_lines(&root).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_day_is_sealed_into_one_file_with_a_digest() {
    let installation = with_logging_edges(Installation::sqlite(), Path::new("/nowhere/edge.tsv"));
    let mut server = installation.serve().await;
    logged_customer(&server).await;
    // Three days ago, in two pieces. What is shipped cannot be forgotten again, so that nothing keeps its day open.
    let time = now() - 3 * 86_400;
    let mut written = String::new();
    for piece in ["one", "two"] {
        let line =
            |n: i64| format!("{time}.000\t{HOST}\t200\t{n}\t127.0.0.1\tHIT\t0.001\tGET\t/{piece}/{n}\n");
        let lines: String = (0..50).map(line).collect();
        let answer = ship(&server, written.len(), lines.as_bytes()).await;
        written += &lines;
        assert_eq!(answer, json!({"err": 0, "offset": written.len()}));
    }
    // A server seals finished days when it starts.
    server.process.kill9();
    server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    let logs = format!("/level3/logdownload?domain={HOST}&startDate={0}&endDate={0}", day(-3));
    let start = Instant::now();
    loop {
        let listed = root.get(&logs).await.ok();
        let http = crate::support::http_client().build().unwrap();
        let answer = http.get(listed["results"][0]["url"].as_str().unwrap()).send().await.unwrap();
        let digest = answer.headers().get("repr-digest").map(|digest| digest.to_str().unwrap().to_owned());
        let content = answer.bytes().await.unwrap();
        let mut text = String::new();
        MultiGzDecoder::new(&content[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, written, "every line, in its order");
        if let Some(digest) = digest {
            assert_eq!(listed["results"][0]["size"], content.len());
            assert_eq!(digest, format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&content))));
            return;
        }
        assert!(start.elapsed() < TIMEOUT, "the day is not sealed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
