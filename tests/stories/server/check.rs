//! `check`, which finds what would keep a server from starting, and writes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pilothouse_test_support::{free_port, postgres_or_skip};

use crate::support::{CommandOutcome, Installation, PASSWORD, chmod};

/// Every file below a folder, with its time and mode. SQLite's shared memory has no time: readers register in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, (SystemTime, u32)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::metadata(&path).unwrap();
        if metadata.is_dir() {
            found.extend(files(&path));
        }
        let shared_memory = path.to_string_lossy().ends_with("-shm");
        let time = if shared_memory { SystemTime::UNIX_EPOCH } else { metadata.modified().unwrap() };
        found.insert(path, (time, metadata.permissions().mode()));
    }
    found
}

/// Runs `check`, which must change nothing.
fn check(installation: &Installation) -> CommandOutcome {
    let folder = installation.file("");
    let before = files(&folder);
    let outcome = installation.run(&["check"], "");
    assert_eq!(files(&folder), before, "check wrote something: {outcome:?}");
    outcome
}

#[track_caller]
fn assert_passes(outcome: &CommandOutcome) {
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.lines().all(|line| line.starts_with("ok      ")), "{outcome:?}");
}

/// Asserts that exactly one line failed: the one of this subject, with these words.
#[track_caller]
fn assert_fails(outcome: &CommandOutcome, subject: &str, words: &str) {
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let failed: Vec<_> = outcome.stdout.lines().filter(|line| line.starts_with("failed  ")).collect();
    assert_eq!(failed.len(), 1, "{outcome:?}");
    assert!(
        failed[0].starts_with(&format!("failed  {subject}: ")) && failed[0].contains(words),
        "{failed:?}"
    );
    assert!(outcome.stderr.contains("1 of "), "{outcome:?}");
}

#[test]
fn a_sound_installation_passes_before_and_after_its_first_start() {
    let installation = Installation::sqlite();
    let first = check(&installation);
    assert_passes(&first);
    assert!(first.stdout.contains("is made at the start"), "{first:?}");
    installation.create_root();
    let later = check(&installation);
    assert_passes(&later);
    assert!(later.stdout.contains("has this version's schema"), "{later:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_use_passes() {
    let installation = Installation::sqlite();
    let server = installation.serve().await;
    let outcome = installation.run(&["check"], "");
    assert_passes(&outcome);
    assert!(server.is_ready().await);
}

#[test]
fn each_fault_is_named() {
    let installation = Installation::sqlite();
    installation.create_root();
    let data = installation.file("data");
    chmod(&data, 0o755);
    assert_fails(&check(&installation), "data_dir", "chmod 0700");
    chmod(&data, 0o700);
    chmod(&data.join("secret_key"), 0o640);
    assert_fails(&check(&installation), "secret_key", "chmod 0600");
    chmod(&data.join("secret_key"), 0o600);
    chmod(&data.join("pilothouse.db"), 0o644);
    assert_fails(&check(&installation), "store", "chmod 0600");
    chmod(&data.join("pilothouse.db"), 0o600);
    assert_passes(&check(&installation));

    let no_city = Installation::sqlite().with("GEO_CITY_DATABASE", "/nowhere.mmdb");
    assert_fails(&check(&no_city), "geo_city_database", "No such file");
    let no_releases = Installation::sqlite().with("RELEASE_ROOT", "/nowhere");
    assert_fails(&check(&no_releases), "release_root", "No such file");
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tls");
    let tls = |name: &str| tls.join(name).display().to_string();
    let pair = |key: &str| {
        Installation::sqlite().with("TLS_CERTIFICATE", &tls("localhost.pem")).with("TLS_KEY", &tls(key))
    };
    assert_passes(&check(&pair("localhost.key")));
    assert_fails(&check(&pair("renewed.key")), "tls", "");
    let no_store = Installation::sqlite().with("DATABASE_URL", "sqlite:no-store.db");
    fs::write(no_store.file("no-store.db"), "this is no database").unwrap();
    chmod(&no_store.file("no-store.db"), 0o600);
    assert_fails(&check(&no_store), "store", "not a database");
}

#[test]
fn edges_have_to_answer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let edges = [("edge-1", listener.local_addr().unwrap().port()), ("edge-2", free_port())];
    let mut settings = "[[cdn]]\nname = \"level3\"\nkind = \"edges\"\n".to_owned();
    for (name, port) in edges {
        let url = format!("http://127.0.0.1:{port}");
        settings.extend(["[[cdn.edge]]\nname = \"", name, "\"\nkind = \"nginx\"\nurl = \"", &url, "\"\n"]);
    }
    let installation = Installation::sqlite();
    fs::write(installation.file("settings.toml"), settings).unwrap();
    let outcome = check(&installation.with("CONFIG", "settings.toml"));
    assert_fails(&outcome, "edge level3/edge-2", "refused");
    assert!(outcome.stdout.contains("ok      edge level3/edge-1: "), "{outcome:?}");
}

#[test]
fn postgres_has_to_answer_with_the_schema() {
    let port = free_port();
    let absent = Installation::sqlite()
        .with("DATABASE_URL", &format!("postgres://pilot:hunter2@127.0.0.1:{port}/x"))
        .with("SECRET_KEY", "env:TEST_SECRET");
    let outcome = check(&absent);
    assert_fails(&outcome, "store", "");
    assert!(!outcome.stdout.contains("hunter2"), "{outcome:?}");
    let Some(postgres) = postgres_or_skip("server::check::postgres_has_to_answer_with_the_schema") else {
        return;
    };
    let installation = Installation::postgres(&postgres.database());
    assert_fails(&check(&installation), "store", "");
    assert_eq!(installation.run(&["migrate"], "").code, Some(0));
    assert_passes(&check(&installation));
}

#[test]
fn a_wrong_setting_is_named() {
    let outcome = check(&Installation::sqlite().with("TOKEN_HOURS", "0"));
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("token_hours"), "{outcome:?}");
}

#[test]
fn an_open_secret_keeps_every_command_from_starting() {
    let installation = Installation::sqlite();
    let secret = installation.file("secret");
    fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    let installation = installation.with("SECRET_KEY", &format!("file:{}", secret.display()));
    for mode in [0o640, 0o604, 0o622] {
        chmod(&secret, mode);
        let create = ["create-superuser", "--name", "x", "--mail", "x@example.com", "--password-stdin"];
        for command in [&create[..], &["serve"]] {
            let refused = installation.run(command, PASSWORD);
            assert_eq!(refused.code, Some(2), "{refused:?}");
            assert!(
                refused.stderr.contains("secret_key: ") && refused.stderr.contains("chmod 0600"),
                "{refused:?}"
            );
        }
    }
}
