//! The commands, and what they refuse.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use pilothouse_core::Page;
use pilothouse_core::ports::Storage;
use pilothouse_storage_sqlx::SqlxStorage;
use pilothouse_test_support::{ProcessGuard, postgres_or_skip};

use crate::client::Client;
use crate::place::{Ended, PASSWORD, PATIENCE, Place, ROOT, run};

impl Ended {
    /// It refused wrong settings or usage, and said so in these words on one line.
    fn refused(&self, words: &str) {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert!(self.stderr.contains(words) && self.stdout.is_empty(), "{words}: {self:?}");
    }

    /// It did what it should.
    fn done(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.stdout
    }
}

#[test]
fn wrong_settings_are_named() {
    for (key, value) in [
        ("LISTEN", "nowhere"),
        ("DATABASE_URL", "mysql://localhost"),
        ("LOG_FORMAT", "xml"),
        ("SECRET_KEY", "not a place where a secret is"),
        ("SECRET_KEY", "env:STORY_NO_SUCH_VARIABLE"),
        ("TLS_KEY", "/key.pem"),
        ("TIMEZONE", "Mars/Base"),
        ("TOKEN_HOURS", "0"),
        ("PASSWORD_MIN_LENGTH", "0"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("CONFIG_GET_WRITES", "perhaps"),
        ("TRAFFIC_DAYS", "-1"),
    ] {
        let ended = Place::sqlite().with(key, value).run(&["serve"], "");
        assert_eq!(ended.code, Some(2), "{key}: {ended:?}");
        let named = ended.stderr.contains(&key.to_ascii_lowercase()) || ended.stderr.contains(key);
        assert!(named, "{key}: {ended:?}");
        assert!(!ended.stderr.contains("not a place"), "it may be the secret itself: {ended:?}");
    }
}

#[test]
fn what_is_no_setting_is_named() {
    let place = Place::sqlite();
    fs::write(place.file("settings.toml"), "log_days = 7\nlog_dayz = 7\n").unwrap();
    let ended = place.run(&["--config", "settings.toml", "migrate"], "");
    ended.refused("log_dayz");
    assert!(ended.stderr.contains("line 2"), "{ended:?}");
    fs::write(place.file("settings.toml"), "log_days = \"many\"\n").unwrap();
    place.run(&["--config", "settings.toml", "migrate"], "").refused("log_days");
    place.run(&["--config", "absent.toml", "migrate"], "").refused("absent.toml");
    Place::sqlite().with("LOG_DAYZ", "7").run(&["migrate"], "").refused("PILOTHOUSE_LOG_DAYZ");
    assert!(!place.file("data").exists(), "a refusal leaves nothing behind");
}

#[test]
fn a_data_folder_is_private() {
    let place = Place::sqlite();
    place.run(&["migrate"], "").done();
    let data = place.file("data");
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o750)).unwrap();
    for command in [&["migrate"][..], &["serve"], &["worker"], &["backup", "copy.db"]] {
        place.run(command, "").refused("data_dir");
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    place.run(&["migrate"], "").done();
}

#[test]
fn the_secret_is_made_once_and_kept_private() {
    let place = Place::sqlite();
    let makers: Vec<_> = (0..4)
        .map(|n| {
            let (name, mail) = (format!("root{n}"), format!("root{n}@example.com"));
            place.command(&["create-superuser", "--name", &name, "--mail", &mail, "--password-stdin"])
        })
        .map(|mut command| std::thread::spawn(move || run(&mut command, PASSWORD)))
        .collect();
    for maker in makers {
        maker.join().unwrap().done();
    }
    let key = place.file("data/secret_key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = fs::read_to_string(&key).unwrap();
    assert!(secret.len() == 64, "256 bits, hexadecimal");
    let left: Vec<_> =
        fs::read_dir(place.file("data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("secret_key.")), "{left:?}");
    place
        .run(&["create-superuser", "--name", "x", "--mail", "x@example.com", "--password-stdin"], PASSWORD)
        .done();
    assert_eq!(fs::read_to_string(&key).unwrap(), secret);

    fs::write(&key, "too short").unwrap();
    place.run(&["serve"], "").refused("secret_key: must be at least 32 bytes");
}

#[test]
fn servers_over_one_postgres_must_be_given_the_secret() {
    let Some(postgres) = postgres_or_skip("commands::servers_over_one_postgres_must_be_given_the_secret")
    else {
        return;
    };
    let place = Place::sqlite().with("DATABASE_URL", &postgres.database().url);
    for command in [&["serve"][..], &["worker"]] {
        place.run(command, "").refused("secret_key: is required with Postgres");
    }
    assert!(!place.file("data/secret_key").exists());
}

#[test]
fn a_store_that_cannot_be_reached_is_no_wrong_setting() {
    let port = pilothouse_test_support::free_port();
    let place = Place::sqlite().with("DATABASE_URL", &format!("postgres://pilot:hunter2@127.0.0.1:{port}/x"));
    let ended = place.run(&["migrate"], "");
    assert!(ended.code == Some(1) && ended.stderr.starts_with("pilothouse: the store: "), "{ended:?}");
    assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
}

#[test]
fn a_superuser_needs_a_password_and_a_name_of_its_own() {
    let place = Place::sqlite();
    let create = ["create-superuser", "--name", ROOT, "--mail", "root@example.com", "--password-stdin"];
    place.run(&create[..5], PASSWORD).refused("--password-stdin");
    place.run(&create, "").refused("standard input holds no password");
    place.run(&create, "short\n").refused("password: ");
    let bad_mail = ["create-superuser", "--name", ROOT, "--mail", "root", "--password-stdin"];
    place.run(&bad_mail, PASSWORD).refused("mail: ");
    assert_eq!(place.run(&create, PASSWORD).done(), "made the account root with every right\n");
    let again = place.run(&create, PASSWORD);
    assert!(again.code == Some(1) && again.stderr.contains("already exists"), "{again:?}");
    assert!(!again.stderr.contains(PASSWORD));
}

#[test]
fn migrate_says_what_it_applied_and_then_nothing() {
    let place = Place::sqlite();
    let first = place.run(&["migrate"], "");
    assert!(first.done().lines().all(|line| line.starts_with("applied ")), "{first:?}");
    assert!(first.stdout.starts_with("applied 0001_account\napplied 0002_ops\n"), "{first:?}");
    assert_eq!(place.run(&["migrate"], "").done(), "the schema is current\n");
}

/// Every migration is applied once, by whoever was first; all the others wait and find the schema current.
fn migrate_at_once(place: &Place) {
    let migrators: Vec<_> = (0..4)
        .map(|_| place.command(&["migrate"]))
        .map(|mut command| std::thread::spawn(move || run(&mut command, "")))
        .collect();
    let ended: Vec<Ended> = migrators.into_iter().map(|migrator| migrator.join().unwrap()).collect();
    let lines: Vec<&str> = ended.iter().flat_map(|ended| ended.done().lines()).collect();
    let applied: Vec<&&str> = lines.iter().filter(|line| line.starts_with("applied ")).collect();
    assert!(!applied.is_empty());
    assert_eq!(applied.len(), applied.iter().collect::<BTreeSet<_>>().len(), "{ended:?}");
    assert_eq!(lines.len() - applied.len(), 3, "three had nothing to do: {ended:?}");
}

#[test]
fn migrators_at_once_on_sqlite() {
    migrate_at_once(&Place::sqlite());
}

#[test]
fn migrators_at_once_on_postgres() {
    let Some(postgres) = postgres_or_skip("commands::migrators_at_once_on_postgres") else { return };
    migrate_at_once(&Place::postgres(&postgres.database()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_busy_server_is_a_whole_store() {
    let place = Place::sqlite();
    let server = place.serve().await;
    let root = Client::new(&[&server]).login(ROOT).await;
    for n in 0..50 {
        root.add_task(&n.to_string()).await.unwrap().ok();
    }
    let writer = tokio::spawn({
        let root = root.clone();
        async move {
            for n in 50.. {
                root.add_task(&n.to_string()).await.unwrap().ok();
            }
        }
    });
    let copy = place.file("copy.db");
    let backup = || place.run(&["backup", "copy.db"], "");
    assert_eq!(backup().done(), "wrote copy.db\n");
    backup().refused("copy.db exists");
    writer.abort();
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o077, 0, "it holds password hashes");

    let storage = SqlxStorage::sqlite(&copy).await.unwrap();
    storage.ready().await.unwrap();
    let mut snapshot = storage.read().await.unwrap();
    let tasks = snapshot.tasks().list(Page { start: 0, count: 1000 }).await.unwrap();
    assert!(tasks.len() >= 50);
    for (n, task) in tasks.iter().enumerate() {
        assert_eq!(task.description, n.to_string(), "no task is missing from the midst");
        assert!(snapshot.tasks().find_status(task.task_id).await.unwrap().is_some());
    }
    assert!(snapshot.accounts().by_name(ROOT).await.unwrap().is_some());
}

#[test]
fn only_the_embedded_store_is_backed_up() {
    Place::memory().run(&["backup", "copy.db"], "").refused("memory");
    let Some(postgres) = postgres_or_skip("commands::only_the_embedded_store_is_backed_up") else { return };
    let ended = Place::postgres(&postgres.database()).run(&["backup", "copy.db"], "");
    assert!(ended.code != Some(0) && ended.stderr.contains("Postgres has its own tools"), "{ended:?}");
}

#[test]
fn the_api_description_needs_no_place() {
    let place = Place::sqlite();
    let printed = place.run(&["openapi"], "");
    let document: serde_json::Value = serde_json::from_str(printed.done()).unwrap();
    assert!(document["paths"]["/api/task"]["post"].is_object());
    assert!(!place.file("data").exists());
}

#[test]
fn a_worker_works_until_it_is_told_to_stop() {
    let place = Place::sqlite();
    let mut command = place.command(&["worker"]);
    let mut worker = ProcessGuard::spawn(command.stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !place.file("data/secret_key").exists() {
        assert!(Instant::now() < deadline, "the worker does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(worker.wait_for_exit(Duration::from_millis(300)), None);
    worker.terminate();
    let status = worker.wait_for_exit(Duration::from_secs(10));
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}
