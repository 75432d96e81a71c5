//! Kept lines of two servers that share a bucket and no folder.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use pilothouse_test_support::{Database, S3Server, TcpProxy, postgres_or_skip};
use serde_json::{Value, json};

use crate::support::{
    ApiClient, EDGE_KEY, EdgeLog, HOST, Installation, ROOT, TIMEOUT, TestServer, assert_stored_lines, day,
    http_client, logged_customer, now, stored_lines, wait_until_billed, with_bucket, with_logging_edges,
};

const BUCKET: &str = "kept-lines";

/// The links to the logs of some days.
async fn links(root: &ApiClient, first: i64, last: i64) -> Vec<String> {
    let days = format!("startDate={}&endDate={}", day(first), day(last));
    let listed = root.get(&format!("/level3/logdownload?domain={HOST}&{days}")).await.ok();
    let urls = listed["results"].as_array().unwrap().iter().map(|day| day["url"].as_str().unwrap());
    urls.filter(|url| !url.is_empty()).map(ToOwned::to_owned).collect()
}

/// Asserts that a log of these days is refused as a whole, in the family's envelope and with an id.
async fn assert_refused(root: &ApiClient, first: i64, last: i64) {
    let mut refused = 0;
    for link in links(root, first, last).await {
        let answer = http_client().build().unwrap().get(link).send().await.unwrap();
        if answer.status() == 200 {
            continue;
        }
        assert_eq!(answer.status(), 500);
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["err"], 1, "{body}");
        assert!(body.to_string().contains(&id), "{body}");
        refused += 1;
    }
    assert!(refused > 0, "every log is there");
}

/// Waits until a server has exactly the written lines.
async fn wait_for_lines(root: &ApiClient, log: &EdgeLog) {
    let start = Instant::now();
    loop {
        let mut found = Vec::new();
        for link in links(root, -1, 1).await {
            found.push(http_client().build().unwrap().get(link).send().await.unwrap().status() == 200);
        }
        if !found.is_empty() && found.iter().all(|is_there| *is_there) {
            assert_stored_lines(log.lines.clone(), &stored_lines(root).await);
            return;
        }
        assert!(start.elapsed() < TIMEOUT, "the lines do not go up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until no file of kept lines is in the folder.
async fn wait_until_uploaded(installation: &Installation) {
    let start = Instant::now();
    let count =
        |folder: &str| fs::read_dir(installation.file(&format!("data/logs/{folder}"))).unwrap().count();
    while count("packs") + count("days") > 0 {
        assert!(start.elapsed() < TIMEOUT, "the folder is not emptied");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A server on the database, with a log that it follows, which the other one does not see.
fn server(database: &Database, port: u16, log: &Path) -> Installation {
    let location = format!("s3://{BUCKET}/pilothouse/logs");
    with_bucket(with_logging_edges(Installation::postgres(database), log), "LOG_ARCHIVE", &location, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_without_a_common_folder_keep_every_line_once() {
    const NAME: &str = "cdn::log_archive::two_servers_without_a_common_folder_keep_every_line_once";
    let Some(postgres) = postgres_or_skip(NAME) else { return };
    let Some(bucket) = S3Server::start_or_skip(NAME, BUCKET) else { return };
    let (database, way) = (postgres.database(), TcpProxy::to(bucket.port));
    let folder = tempfile::tempdir().unwrap();
    let mut log = EdgeLog::new(folder.path().join("edge.tsv"));
    let one = server(&database, way.port, &log.path);
    let two = server(&database, bucket.port, Path::new("/nowhere/edge.tsv"));
    let begun = now();
    let mut first = one.serve().await;
    logged_customer(&first).await;
    log.write(50);
    let second = two.serve().await;
    let root = ApiClient::new(&[&second]).login(ROOT).await;
    wait_until_billed(&root, begun, log.bytes).await;
    wait_for_lines(&root, &log).await;

    // The bucket is out of reach, and the server that has the lines is killed while they go up.
    way.partition();
    log.write(50);
    wait_until_billed(&root, begun, log.bytes).await;
    assert_refused(&root, -1, 1).await;
    first.process.kill9();
    way.heal();
    first = one.serve().await;
    log.write(5);
    wait_until_billed(&root, begun, log.bytes).await;
    wait_for_lines(&root, &log).await;
    wait_until_uploaded(&one).await;
    assert_stored_lines(log.lines.clone(), &stored_lines(&ApiClient::new(&[&first]).login(ROOT).await).await);

    a_finished_day_is_one_object(&bucket, [&one, &two], [first, second]).await;
}

/// A day of three days ago, of which each of two servers has a piece, is sealed by the one that starts.
async fn a_finished_day_is_one_object(
    bucket: &S3Server,
    installations: [&Installation; 2],
    mut servers: [TestServer; 2],
) {
    let time = now() - 3 * 86_400;
    let mut written = String::new();
    for (piece, server) in ["one", "two"].iter().zip(&servers) {
        let line =
            |n: i64| format!("{time}.000\t{HOST}\t200\t{n}\t127.0.0.1\tHIT\t0.001\tGET\t/{piece}/{n}\n");
        let lines: String = (0..50).map(line).collect();
        let url =
            format!("{}/level3/edge_logs?cdn=level3&edge=edge-2&offset={}", server.url(), written.len());
        written += &lines;
        let sent = http_client().build().unwrap().post(url).bearer_auth(EDGE_KEY).body(lines).send().await;
        let answer: Value = sent.unwrap().json().await.unwrap();
        assert_eq!(answer, json!({"err": 0, "offset": written.len()}));
    }
    for installation in installations {
        wait_until_uploaded(installation).await;
    }
    // A server seals finished days when it starts.
    servers[0].process.kill9();
    let _first = installations[0].serve().await;
    let root = ApiClient::new(&[&servers[1]]).login(ROOT).await;
    let start = Instant::now();
    loop {
        let link = links(&root, -3, -3).await.remove(0);
        let answer = http_client().build().unwrap().get(link).send().await.unwrap();
        let is_sealed = answer.headers().contains_key("repr-digest");
        let content = answer.bytes().await.unwrap();
        let mut text = String::new();
        MultiGzDecoder::new(&content[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, written, "every line, in its order");
        if is_sealed {
            break;
        }
        assert!(start.elapsed() < TIMEOUT, "the day is not sealed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let days = bucket.object(BUCKET, "pilothouse/logs/days");
    let sealed: Vec<_> = fs::read_dir(&days).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(sealed.len(), 1, "{sealed:?}");
    fs::remove_file(&sealed[0]).unwrap();
    assert_refused(&root, -3, -3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_tried_by_check_and_belongs_to_one_store() {
    const NAME: &str = "cdn::log_archive::a_bucket_is_tried_by_check_and_belongs_to_one_store";
    let Some(bucket) = S3Server::start_or_skip(NAME, BUCKET) else { return };
    let with = |location: &str| with_bucket(Installation::sqlite(), "LOG_ARCHIVE", location, bucket.port);
    let location = format!("s3://{BUCKET}/logs");
    let one = with(&location);
    let check = |installation: &Installation| {
        let checked = installation.run(&["check"], "");
        let line = checked.stdout.lines().find(|line| line.contains("  log_archive: ")).unwrap().to_owned();
        assert!(!line.contains(S3Server::SECRET_KEY), "{line}");
        line
    };
    assert_eq!(check(&one), format!("ok      log_archive: {location} can be read; it is nobody's yet"));
    let mut server = one.serve().await;
    let start = Instant::now();
    let owned = format!("ok      log_archive: {location} can be read; it belongs to ");
    while !check(&one).starts_with(&owned) {
        assert!(start.elapsed() < TIMEOUT, "it is not claimed");
    }
    server.process.stop(TIMEOUT);

    let unsigned = with(&location).with("S3_SECRET_ACCESS_KEY", "env:TEST_EDGE_KEY");
    assert!(
        check(&unsigned).starts_with(&format!("failed  log_archive: {location}: ")),
        "{}",
        check(&unsigned)
    );
    let nowhere = with("s3://no-such-bucket/logs");
    assert!(
        check(&nowhere).starts_with("failed  log_archive: s3://no-such-bucket/logs: "),
        "{}",
        check(&nowhere)
    );

    let other = with(&location).run(&["serve"], "");
    assert_eq!(other.code, Some(2), "{other:?}");
    assert!(other.stderr.contains(&format!("log_archive {location}: it belongs to the store ")), "{other:?}");
    let no_key = Installation::sqlite().with("LOG_ARCHIVE", &location).run(&["check"], "");
    assert_eq!(no_key.code, Some(2), "{no_key:?}");
    let expected = "pilothouse: s3_access_key_id: is required by the bucket of log_archive\n";
    assert_eq!(no_key.stderr, expected);
}

#[test]
fn an_ingest_ends_when_its_lines_are_up() {
    let Some(bucket) =
        S3Server::start_or_skip("cdn::log_archive::an_ingest_ends_when_its_lines_are_up", BUCKET)
    else {
        return;
    };
    let logging = with_logging_edges(Installation::sqlite(), Path::new("/nowhere/edge.tsv"));
    // Nothing listens there.
    let installation = with_bucket(logging, "LOG_ARCHIVE", &format!("s3://{BUCKET}"), 9);
    installation.create_root();
    let line = format!("{}.000\t{HOST}\t200\t5\t127.0.0.1\tHIT\t0.001\tGET\t/\n", now());
    fs::write(installation.file("edge.tsv"), line).unwrap();
    let edge = ["ingest", "edge.tsv", "--cdn", "level3", "--edge", "edge-1", "--format", "tsv"];
    let waiting = installation.run(&edge, "");
    assert_eq!(waiting.code, Some(1), "{waiting:?}");
    assert!(waiting.stdout.contains("lines 1,") && waiting.stderr.contains("only in log_dir"), "{waiting:?}");
    let files = |folder: &Path| fs::read_dir(folder).unwrap().count();
    assert_eq!(files(&installation.file("data/logs/packs")), 1);

    let installation = installation.with("S3_ENDPOINT", &format!("http://127.0.0.1:{}", bucket.port));
    let uploaded = installation.run(&edge, "");
    assert!(uploaded.code == Some(0) && uploaded.stdout.contains("lines 0,"), "{uploaded:?}");
    assert_eq!(files(&installation.file("data/logs/packs")), 0);
    assert_eq!(files(&bucket.object(BUCKET, "packs")), 1);

    let folder = installation.file("archive");
    let installation = installation.with("LOG_ARCHIVE", &format!("file://{}", folder.display()));
    let mut log = fs::OpenOptions::new().append(true).open(installation.file("edge.tsv")).unwrap();
    writeln!(log, "{}.000\t{HOST}\t200\t6\t127.0.0.1\tHIT\t0.001\tGET\t/2", now()).unwrap();
    let uploaded = installation.run(&edge, "");
    assert!(uploaded.code == Some(0) && uploaded.stdout.contains("lines 1,"), "{uploaded:?}");
    assert_eq!((files(&installation.file("data/logs/packs")), files(&folder.join("packs"))), (0, 1));
}
