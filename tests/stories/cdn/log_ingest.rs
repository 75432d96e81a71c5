//! Ingest of ten thousand real log lines, compared with an independent count.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use chrono::DateTime;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use pilothouse_test_support::postgres_or_skip;
use serde_json::json;

use crate::support::{ApiClient, Installation, ROOT, with_unreachable_edge};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../access-log/tests/data");
const HOST: &str = "cdn.example.com";

#[tokio::test]
async fn on_sqlite() {
    let installation = with_cities(Installation::sqlite());
    installation.create_root();
    let server = installation.serve().await;
    ingest_and_compare(&installation, &ApiClient::new(&[&server])).await;
}

#[tokio::test]
async fn on_two_servers_over_one_postgres() {
    let Some(postgres) = postgres_or_skip("cdn::log_ingest::on_two_servers_over_one_postgres") else {
        return;
    };
    let database = postgres.database();
    let one = with_cities(Installation::postgres(&database));
    let logs = one.file("logs").display().to_string();
    let (one, two) =
        (one.with("LOG_DIR", &logs), with_cities(Installation::postgres(&database)).with("LOG_DIR", &logs));
    one.create_root();
    let (first, second) = (one.serve().await, two.serve().await);
    ingest_and_compare(&one, &ApiClient::new(&[&first, &second])).await;
}

/// An installation with a city database.
fn with_cities(installation: Installation) -> Installation {
    with_unreachable_edge(installation).with("GEO_CITY_DATABASE", &format!("{DATA}/synthetic-cn-city.mmdb"))
}

async fn ingest_and_compare(installation: &Installation, anonymous: &ApiClient) {
    let root = anonymous.login(ROOT).await;
    let mail = "root@example.com";
    let customer = json!({"login_email": mail, "password": "another long password"});
    root.post("/level3/user", customer).await.ok();
    let domains = json!({"login_email": mail, "cdn": "level3", "domains": [HOST]});
    root.post("/level3/user_domains", domains).await.ok();

    let packed = format!("{DATA}/apache-combined-10k.log.gz");
    let mut log = String::new();
    MultiGzDecoder::new(File::open(&packed).unwrap()).read_to_string(&mut log).unwrap();
    ingest(installation, Path::new(&packed), 10_000);
    assert_equal(&root, &log).await;
    assert_most_requested(&root, &log).await;

    // The same content under another name and uncompressed adds nothing; a longer file adds its new lines.
    let grown = installation.file("grown.log");
    fs::write(&grown, &log).unwrap();
    ingest(installation, &grown, 0);
    let line = log.lines().nth(4711).unwrap().to_owned() + "\n";
    log.push_str(&line.repeat(3));
    let mut gzip = GzEncoder::new(File::create(&grown).unwrap(), Compression::fast());
    gzip.write_all(log.as_bytes()).unwrap();
    gzip.finish().unwrap();
    ingest(installation, &grown, 3);
    assert_equal(&root, &log).await;

    // Taken back, it is a log that was never read.
    let file = grown.display().to_string();
    let forget = |format: &str| {
        let forget = ["forget-log", &file, "--cdn", "level3", "--edge", "edge-1", "--format", format];
        installation.run(&[&forget[..], &["--domain", HOST]].concat(), "")
    };
    let refused = forget("vhost_combined");
    assert!(
        refused.code == Some(1) && refused.stderr.contains("was read with --format combined"),
        "{refused:?}"
    );
    assert_equal(&root, &log).await;
    assert_eq!(forget("combined").code, Some(0));
    assert!(forget("combined").stderr.contains("was never read"));
    let range = format!("domain={HOST}&startTime=1431857100&endTime=1432155900");
    let fluxs = root.get(&format!("/level3/fluxs?{range}")).await.ok();
    assert!(fluxs["results"].as_array().unwrap().iter().all(|point| point["value"] == 0), "{fluxs}");
    assert_most_requested(&root, "").await;
    ingest(installation, &grown, 10_003);
    assert_equal(&root, &log).await;
    count_late(installation, &root).await;
}

/// Compares the most requested paths, which are less than are counted exactly, with the log itself.
async fn assert_most_requested(root: &ApiClient, log: &str) {
    let mut requests = BTreeMap::<&str, i64>::new();
    for line in log.lines() {
        let uri = line.split('"').nth(1).and_then(|request| request.split(' ').nth(1)).unwrap();
        *requests.entry(uri.split('?').next().unwrap()).or_default() += 1;
    }
    let mut expected: Vec<_> = requests.values().copied().collect();
    expected.sort_unstable_by(|one, other| other.cmp(one));
    expected.truncate(10);
    let range = format!("domain={HOST}&startTime=1431857100&endTime=1432155900&count=10");
    let top = root.get(&format!("/level3/top?{range}")).await.ok();
    let rows = top["results"].as_array().unwrap();
    assert_eq!(rows.len(), expected.len(), "{top}");
    for row in rows {
        assert_eq!(row["error"], 0, "{top}");
        assert_eq!(row["requests"], requests[row["path"].as_str().unwrap()], "{top}");
    }
    let counts: Vec<_> = rows.iter().map(|row| row["requests"].as_i64().unwrap()).collect();
    assert_eq!(counts, expected, "{top}");
}

/// Lines of a host that is registered after they were read.
async fn count_late(installation: &Installation, root: &ApiClient) {
    let file = installation.file("late.tsv");
    let line = "1470297000.000\tlate.example.com\t200\t500\t175.16.199.1\tHIT\t0.000\tGET\t/\n";
    fs::write(&file, line.repeat(1000)).unwrap();
    let file = file.display().to_string();
    let ended =
        installation.run(&["ingest", &file, "--cdn", "level3", "--edge", "edge-1", "--format", "tsv"], "");
    assert!(ended.stdout.contains("unregistered 1000,"), "{ended:?}");
    let listed = root.get("/level3/unregistered?cdn=level3").await.ok();
    let first = &listed["results"][0];
    assert_eq!((&first["host"], &first["lines"]), (&json!("late.example.com"), &json!(1000)), "{listed}");
    assert_eq!((&first["first"], &first["dropped"]), (&json!("2016/08/04 15:50:00"), &json!(0)), "{listed}");
    let domains =
        json!({"login_email": "root@example.com", "cdn": "level3", "domains": ["late.example.com"]});
    root.post("/level3/user_domains", domains).await.ok();
    let fluxs = "/level3/fluxs?domain=late.example.com&startTime=1470297000&endTime=1470297000";
    assert_eq!(root.get(fluxs).await.ok()["results"][0]["value"], 500_000);
    assert_eq!(root.get("/level3/unregistered").await.ok()["results"], json!([]));
}

/// Ingests a log, and asserts the number of new lines.
fn ingest(installation: &Installation, file: &Path, new: usize) {
    let file = file.display().to_string();
    let edge =
        ["ingest", &file, "--cdn", "level3", "--edge", "edge-1", "--format", "combined", "--domain", HOST];
    let ended = installation.run(&edge, "");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains(&format!("lines {new}, billed {new}, kept {new},")), "{ended:?}");
}

/// Compares every bucket, the sum over cities and the stored lines with the log itself.
async fn assert_equal(root: &ApiClient, log: &str) {
    let mut buckets = BTreeMap::<i64, i64>::new();
    for line in log.lines() {
        let (time, bytes) = count(line);
        *buckets.entry(time - time % 300).or_default() += bytes;
    }
    let total: i64 = buckets.values().sum();
    assert!(total > 2_747_282_000);
    let (first, last) = (*buckets.keys().next().unwrap(), *buckets.keys().last().unwrap());
    let range = format!("domain={HOST}&startTime={}&endTime={}", first + 7, last + 299);

    let fluxs = root.get(&format!("/level3/fluxs?{range}")).await.ok();
    let bandwidths = root.get(&format!("/level3/bandwidths?{range}")).await.ok();
    let expected = (first..=last).step_by(300).map(|time| (time, buckets.get(&time).copied().unwrap_or(0)));
    let expected: Vec<_> = expected.collect();
    let point = |time, value| json!({"timeStamp": time, "value": value});
    let series: Vec<_> = expected.iter().map(|(time, flux)| point(*time, *flux)).collect();
    assert_eq!(fluxs, json!({"err": 0, "results": series}));
    // Bits per second over 300 seconds, rounded half up.
    let series: Vec<_> = expected.iter().map(|(time, flux)| point(*time, (flux * 16 + 300) / 600)).collect();
    assert_eq!(bandwidths, json!({"err": 0, "results": series}));

    let area = root.get(&format!("/level3/fluxs/area?{range}")).await.ok();
    let rows = area["results"].as_array().unwrap();
    assert!(rows.len() > 3, "{area}");
    assert_eq!(rows.iter().map(|row| row["value"].as_i64().unwrap()).sum::<i64>(), total);

    let logs = format!("/level3/logdownload?domain={HOST}&startDate=20150516&endDate=20150522");
    let days = root.get(&logs).await.ok();
    let mut stored = Vec::new();
    for day in days["results"].as_array().unwrap() {
        let url = day["url"].as_str().unwrap();
        if url.is_empty() {
            assert_eq!(day["size"], 0);
            continue;
        }
        let http = crate::support::http_client().build().unwrap();
        let content = http.get(url).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(day["size"], content.len());
        let mut text = String::new();
        MultiGzDecoder::new(&content[..]).read_to_string(&mut text).unwrap();
        stored.extend(text.lines().map(ToOwned::to_owned));
    }
    let mut lines: Vec<_> = log.lines().map(ToOwned::to_owned).collect();
    lines.sort_unstable();
    stored.sort_unstable();
    assert!(stored == lines, "{} lines are stored of {}", stored.len(), lines.len());
}

/// Unix seconds and bytes of a line, found by its punctuation alone.
fn count(line: &str) -> (i64, i64) {
    let (_, rest) = line.split_once('[').unwrap();
    let (time, rest) = rest.split_once("] \"").unwrap();
    let time = DateTime::parse_from_str(time, "%d/%b/%Y:%H:%M:%S %z").unwrap().timestamp();
    let (_, rest) = rest.split_once("\" ").unwrap();
    let bytes = rest.split(' ').nth(1).unwrap();
    (time, bytes.parse().unwrap_or(0))
}
