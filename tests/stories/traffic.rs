//! Ten thousand real log lines: what the server says of them equals what is counted here in another way.

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

use crate::client::Client;
use crate::place::{Place, ROOT};
use crate::story::with_cdn;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../access-log/tests/data");
const HOST: &str = "cdn.example.com";

#[tokio::test]
async fn on_sqlite() {
    let place = with_cities(Place::sqlite());
    place.create_root();
    let server = place.serve().await;
    read(&place, &Client::new(&[&server])).await;
}

#[tokio::test]
async fn on_two_servers_over_one_postgres() {
    let Some(postgres) = postgres_or_skip("traffic::on_two_servers_over_one_postgres") else { return };
    let database = postgres.database();
    let one = with_cities(Place::postgres(&database));
    let logs = one.file("logs").display().to_string();
    let (one, two) =
        (one.with("LOG_DIR", &logs), with_cities(Place::postgres(&database)).with("LOG_DIR", &logs));
    one.create_root();
    let (first, second) = (one.serve().await, two.serve().await);
    read(&one, &Client::new(&[&first, &second])).await;
}

fn with_cities(place: Place) -> Place {
    with_cdn(place).with("GEO_CITY_DATABASE", &format!("{DATA}/synthetic-cn-city.mmdb"))
}

async fn read(place: &Place, anybody: &Client) {
    let root = anybody.login(ROOT).await;
    let mail = "root@example.com";
    let customer = json!({"login_email": mail, "password": "another long password"});
    root.post("/level3/user", customer).await.ok();
    let domains = json!({"login_email": mail, "cdn": "level3", "domains": [HOST]});
    root.post("/level3/user_domains", domains).await.ok();

    let packed = format!("{DATA}/apache-combined-10k.log.gz");
    let mut log = String::new();
    MultiGzDecoder::new(File::open(&packed).unwrap()).read_to_string(&mut log).unwrap();
    ingest(place, Path::new(&packed), 10_000);
    same(&root, &log).await;

    // The same file again, by another name and unpacked, adds nothing; a longer one what is new.
    let grown = place.file("grown.log");
    fs::write(&grown, &log).unwrap();
    ingest(place, &grown, 0);
    let line = log.lines().nth(4711).unwrap().to_owned() + "\n";
    log.push_str(&line.repeat(3));
    let mut gzip = GzEncoder::new(File::create(&grown).unwrap(), Compression::fast());
    gzip.write_all(log.as_bytes()).unwrap();
    gzip.finish().unwrap();
    ingest(place, &grown, 3);
    same(&root, &log).await;
}

/// Reads a log and sees that so many lines were new.
fn ingest(place: &Place, file: &Path, new: usize) {
    let file = file.display().to_string();
    let edge =
        ["ingest", &file, "--cdn", "level3", "--edge", "edge-1", "--format", "combined", "--domain", HOST];
    let ended = place.run(&edge, "");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains(&format!("lines {new}, billed {new}, kept {new},")), "{ended:?}");
}

/// Compares every bucket, the cities' sum and the kept lines with the log itself.
async fn same(root: &Client, log: &str) {
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
    // Bits in 300 seconds, half a bit up.
    let series: Vec<_> = expected.iter().map(|(time, flux)| point(*time, (flux * 16 + 300) / 600)).collect();
    assert_eq!(bandwidths, json!({"err": 0, "results": series}));

    let area = root.get(&format!("/level3/fluxs/area?{range}")).await.ok();
    let rows = area["results"].as_array().unwrap();
    assert!(rows.len() > 3, "{area}");
    assert_eq!(rows.iter().map(|row| row["value"].as_i64().unwrap()).sum::<i64>(), total);

    let logs = format!("/level3/logdownload?domain={HOST}&startDate=20150516&endDate=20150522");
    let days = root.get(&logs).await.ok();
    let mut kept = Vec::new();
    for day in days["results"].as_array().unwrap() {
        let url = day["url"].as_str().unwrap();
        if url.is_empty() {
            assert_eq!(day["size"], 0);
            continue;
        }
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let content = http.get(url).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(day["size"], content.len());
        let mut text = String::new();
        MultiGzDecoder::new(&content[..]).read_to_string(&mut text).unwrap();
        kept.extend(text.lines().map(ToOwned::to_owned));
    }
    let mut lines: Vec<_> = log.lines().map(ToOwned::to_owned).collect();
    lines.sort_unstable();
    kept.sort_unstable();
    assert!(kept == lines, "{} lines are kept of {}", kept.len(), lines.len());
}

/// Unix seconds and bytes of a line, by nothing but its punctuation.
fn count(line: &str) -> (i64, i64) {
    let (_, rest) = line.split_once('[').unwrap();
    let (time, rest) = rest.split_once("] \"").unwrap();
    let time = DateTime::parse_from_str(time, "%d/%b/%Y:%H:%M:%S %z").unwrap().timestamp();
    let (_, rest) = rest.split_once("\" ").unwrap();
    let bytes = rest.split(' ').nth(1).unwrap();
    (time, bytes.parse().unwrap_or(0))
}
