//! Identity of a store: its secret, its folder of log lines, and the database that belongs to them.

use std::fs;
use std::time::{Duration, Instant};

use pilothouse_test_support::postgres_or_skip;
use serde_json::json;

use crate::support::{
    ApiClient, CommandOutcome, Installation, ROOT, TIMEOUT, http_client, with_unreachable_edge,
};

#[track_caller]
fn assert_refused(ended: &CommandOutcome, words: &[&str]) {
    assert_eq!(ended.code, Some(2), "{ended:?}");
    for words in words {
        assert!(ended.stderr.contains(words), "{words}: {ended:?}");
    }
}

#[test]
fn another_secret_is_refused_by_its_file() {
    let installation = Installation::sqlite();
    installation.create_root();
    let secret = installation.file("data/secret_key");
    let own = fs::read_to_string(&secret).unwrap();
    fs::write(&secret, "another secret of 32 bytes or more").unwrap();
    let words = ["secret_key: ", "data/secret_key is not the secret that this store is used with"];
    for command in [&["serve"][..], &["worker"], &["sync"]] {
        assert_refused(&installation.run(command, ""), &words);
    }
    fs::write(&secret, own).unwrap();
    assert_eq!(installation.run(&["sync"], "").code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_postgres_must_share_the_secret() {
    let Some(postgres) = postgres_or_skip("server::identity::two_servers_on_postgres_must_share_the_secret")
    else {
        return;
    };
    let database = postgres.database();
    let first = Installation::postgres(&database);
    let _server = first.serve().await;
    let second =
        Installation::sqlite().with("DATABASE_URL", &database.url).with("SECRET_KEY", "env:TEST_EDGE_KEY_2");
    let ended = crate::support::run(
        second.command(&["serve"]).env("TEST_EDGE_KEY_2", "another secret of 32 bytes or more"),
        "",
    );
    assert_refused(
        &ended,
        &["the environment variable TEST_EDGE_KEY_2 is not the secret that this store is used with"],
    );
    assert!(!ended.stderr.contains("another secret of"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_store_is_kept_away_from_the_log_lines() {
    let first = Installation::sqlite();
    let logs = first.file("logs").display().to_string();
    let first = first.with("LOG_DIR", &logs);
    first.create_root();
    let words = ["log_dir: ", "belongs to the store", "each store needs a folder of its own"];
    for other in [Installation::sqlite(), Installation::memory()] {
        // It has a database of its own, where it is not in memory.
        other.create_root();
        let other = other.with("LOG_DIR", &logs);
        for command in [&["serve"][..], &["worker"]] {
            assert_refused(&other.run(command, ""), &words);
        }
    }
    assert_eq!(first.run(&["sync"], "").code, Some(0));
}

#[test]
fn a_lost_database_is_not_begun_anew() {
    let installation = Installation::sqlite();
    installation.create_root();
    let database = installation.file("data/pilothouse.db");
    fs::write(&database, "").unwrap();
    assert_refused(&installation.run(&["serve"], ""), &["pilothouse.db is empty", "pilothouse restore"]);
    fs::remove_file(&database).unwrap();
    assert_refused(&installation.run(&["serve"], ""), &["pilothouse.db is missing", "pilothouse restore"]);
    assert!(!database.exists());
    fs::rename(installation.file("data/logs"), installation.file("old logs")).unwrap();
    fs::remove_file(installation.file("data/secret_key")).unwrap();
    installation.create_root();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_a_missing_file_is_refused_before_its_first_byte() {
    let installation = with_unreachable_edge(Installation::sqlite());
    let server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    let (mail, host) = ("root@example.com", "cdn.example.com");
    root.post("/level3/user", json!({"login_email": mail, "password": "another long password"})).await.ok();
    root.post("/level3/user_domains", json!({"login_email": mail, "cdn": "level3", "domains": [host]}))
        .await
        .ok();
    let line = format!("1475136000.000\t{host}\t200\t5\t127.0.0.1\tHIT\t0.001\tGET\t/\n");
    fs::write(installation.file("edge.tsv"), line).unwrap();
    // Lines are kept for some days only, from when they were read.
    let edge = ["ingest", "edge.tsv", "--cdn", "level3", "--edge", "edge-1", "--format", "tsv"];
    assert_eq!(installation.run(&edge, "").code, Some(0));
    let listed = format!("/level3/logdownload?domain={host}&startDate=20160929&endDate=20160929");
    let url = root.get(&listed).await.ok()["results"][0]["url"].as_str().unwrap().to_owned();
    let http = http_client().build().unwrap();
    assert_eq!(http.get(&url).send().await.unwrap().status(), 200);
    let days = installation.file("data/logs");
    for folder in ["packs", "days"] {
        for file in fs::read_dir(days.join(folder)).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
    let answer = http.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 500);
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body["err"], 1, "{body}");
    assert!(body["msg"].as_str().unwrap().contains(&id), "{body}");
    // The log is written beside the answer.
    let start = Instant::now();
    while !server.log().contains("cannot be read") {
        assert!(start.elapsed() < TIMEOUT, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
