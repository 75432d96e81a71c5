//! Commands of the program, their output and refusals.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use pilothouse_core::Page;
use pilothouse_core::ports::Storage;
use pilothouse_storage_sqlx::SqlxStorage;
use pilothouse_test_support::{ProcessGuard, postgres_or_skip};

use crate::support::{ApiClient, CommandOutcome, Installation, PASSWORD, ROOT, TIMEOUT, chmod, run};

impl CommandOutcome {
    /// Asserts a refusal of settings or usage that contains these words.
    fn assert_refused(&self, words: &str) {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert!(self.stderr.contains(words) && self.stdout.is_empty(), "{words}: {self:?}");
    }

    /// Asserts success; the standard output.
    fn success(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.stdout
    }
}

#[test]
fn an_invalid_setting_is_refused_with_its_name() {
    for (key, value) in [
        ("LISTEN", "nowhere"),
        ("DATABASE_URL", "mysql://localhost"),
        ("DATABASE_CONNECTIONS", "1"),
        ("LOG_FORMAT", "xml"),
        ("SECRET_KEY", "not a place where a secret is"),
        ("SECRET_KEY", "env:TEST_NO_SUCH_VARIABLE"),
        ("TLS_KEY", "/key.pem"),
        ("TIMEZONE", "Mars/Base"),
        ("TOKEN_HOURS", "0"),
        ("PASSWORD_MIN_LENGTH", "0"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("CONFIG_GET_WRITES", "perhaps"),
        ("TRAFFIC_DAYS", "-1"),
    ] {
        let ended = Installation::sqlite().with(key, value).run(&["serve"], "");
        assert_eq!(ended.code, Some(2), "{key}: {ended:?}");
        let named = ended.stderr.contains(&key.to_ascii_lowercase()) || ended.stderr.contains(key);
        assert!(named, "{key}: {ended:?}");
        assert!(!ended.stderr.contains("not a place"), "the value may be a secret: {ended:?}");
    }
}

#[test]
fn edge_config_refuses_arguments_by_name() {
    let installation = Installation::sqlite();
    let rules = |content: &str| {
        fs::write(installation.file("rules.toml"), content).unwrap();
        ["--origin=o.test:80", "--rules=rules.toml"]
    };
    let run = |kind: &str, arguments: &[&str]| {
        let own = ["edge-config", "--allow", "127.0.0.1", "--kind", kind];
        installation.run(&[&own, arguments].concat(), "")
    };
    for kind in ["nginx", "varnish"] {
        run(kind, &[]).assert_refused("--origin");
        run(kind, &["--origin=o.test"]).assert_refused("origin: must be HOST:PORT");
        run(kind, &["--origin=a b=o.test:80"]).assert_refused("--origin");
        run(kind, &["--origin=a.test=o.test:80", "--host-header=b.test=x.test"]).assert_refused("origin");
        run(kind, &["--origin=o.test:80", "--forwarded-proto=ftp"]).assert_refused("--forwarded-proto");
        let tls = if kind == "nginx" { "certificate: must be given" } else { "TLS terminator" };
        run(kind, &["--origin=o.test:80", "--listen=443 ssl"]).assert_refused(tls);
        run(kind, &rules("[[domain]]\nname = \"a.test\"\ncolour = 1\n")).assert_refused("colour");
        run(kind, &rules("[[domain]]\nname = \"*.*\"\n")).assert_refused("rules");
        run(kind, &rules("[[domain]]\nname = \"*\"\nttl = [{prefix = \"x\", seconds = 1}]\n"))
            .assert_refused("rules: *: prefix");
    }
}

#[test]
fn an_unknown_setting_is_refused_with_its_name() {
    let installation = Installation::sqlite();
    fs::write(installation.file("settings.toml"), "log_days = 7\nlog_dayz = 7\n").unwrap();
    let ended = installation.run(&["--config", "settings.toml", "migrate"], "");
    ended.assert_refused("log_dayz");
    assert!(ended.stderr.contains("line 2"), "{ended:?}");
    fs::write(installation.file("settings.toml"), "log_days = \"many\"\n").unwrap();
    installation.run(&["--config", "settings.toml", "migrate"], "").assert_refused("log_days");
    installation.run(&["--config", "absent.toml", "migrate"], "").assert_refused("absent.toml");
    Installation::sqlite().with("LOG_DAYZ", "7").run(&["migrate"], "").assert_refused("PILOTHOUSE_LOG_DAYZ");
    assert!(!installation.file("data").exists(), "a refusal creates no files");
}

#[test]
fn the_data_folder_must_be_private() {
    let installation = Installation::sqlite();
    installation.run(&["migrate"], "").success();
    let data = installation.file("data");
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    chmod(&data, 0o750);
    for command in [&["migrate"][..], &["serve"], &["worker"], &["backup", "copy.db"]] {
        installation.run(command, "").assert_refused("data_dir");
    }
    chmod(&data, 0o700);
    installation.run(&["migrate"], "").success();
}

#[test]
fn the_secret_is_created_once_and_kept_private() {
    let installation = Installation::sqlite();
    let makers: Vec<_> = (0..4)
        .map(|n| {
            let (name, mail) = (format!("root{n}"), format!("root{n}@example.com"));
            installation.command(&["create-superuser", "--name", &name, "--mail", &mail, "--password-stdin"])
        })
        .map(|mut command| std::thread::spawn(move || run(&mut command, PASSWORD)))
        .collect();
    for maker in makers {
        maker.join().unwrap().success();
    }
    let key = installation.file("data/secret_key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = fs::read_to_string(&key).unwrap();
    assert!(secret.len() == 64, "256 bits, hexadecimal");
    let left: Vec<_> =
        fs::read_dir(installation.file("data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("secret_key.")), "{left:?}");
    installation
        .run(&["create-superuser", "--name", "x", "--mail", "x@example.com", "--password-stdin"], PASSWORD)
        .success();
    assert_eq!(fs::read_to_string(&key).unwrap(), secret);

    chmod(&key, 0o640);
    installation.run(&["serve"], "").assert_refused("is open to group or others (mode 0640)");
    chmod(&key, 0o600);
    fs::write(&key, "too short").unwrap();
    installation.run(&["serve"], "").assert_refused("secret_key: must be at least 32 bytes");

    let brought = Installation::sqlite().with("SECRET_KEY", "file:brought");
    fs::write(brought.file("brought"), "0123456789".repeat(4)).unwrap();
    chmod(&brought.file("brought"), 0o644);
    brought.run(&["serve"], "").assert_refused("chmod 0600 brought");
    chmod(&brought.file("brought"), 0o600);
    brought.create_root();
}

#[tokio::test]
async fn a_store_outside_the_data_folder_is_private() {
    let installation = Installation::sqlite().with("DATABASE_URL", "sqlite:outside.db");
    let _server = installation.serve().await;
    for name in ["outside.db", "outside.db-wal", "outside.db-shm"] {
        let mode = fs::metadata(installation.file(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn servers_over_postgres_require_a_configured_secret() {
    let Some(postgres) =
        postgres_or_skip("server::commands::servers_over_postgres_require_a_configured_secret")
    else {
        return;
    };
    let installation = Installation::sqlite().with("DATABASE_URL", &postgres.database().url);
    for command in [&["serve"][..], &["worker"]] {
        installation.run(command, "").assert_refused("secret_key: is required with Postgres");
    }
    assert!(!installation.file("data/secret_key").exists());
}

#[test]
fn an_unreachable_store_is_not_a_refused_setting() {
    let port = pilothouse_test_support::free_port();
    let installation =
        Installation::sqlite().with("DATABASE_URL", &format!("postgres://pilot:hunter2@127.0.0.1:{port}/x"));
    let ended = installation.run(&["migrate"], "");
    assert!(ended.code == Some(1) && ended.stderr.starts_with("pilothouse: the store: "), "{ended:?}");
    assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
}

#[test]
fn a_superuser_requires_a_password_and_an_unused_name() {
    let installation = Installation::sqlite();
    let create = ["create-superuser", "--name", ROOT, "--mail", "root@example.com", "--password-stdin"];
    installation.run(&create[..5], PASSWORD).assert_refused("--password-stdin");
    installation.run(&create, "").assert_refused("standard input holds no password");
    installation.run(&create, "short\n").assert_refused("password: ");
    let bad_mail = ["create-superuser", "--name", ROOT, "--mail", "root", "--password-stdin"];
    installation.run(&bad_mail, PASSWORD).assert_refused("mail: ");
    assert_eq!(installation.run(&create, PASSWORD).success(), "made the account root with every right\n");
    let again = installation.run(&create, PASSWORD);
    assert!(again.code == Some(1) && again.stderr.contains("already exists"), "{again:?}");
    assert!(!again.stderr.contains(PASSWORD));
}

/// The last connection copies the log into the database, however the command ends, so that the file alone is the store.
#[test]
fn a_command_leaves_no_log_beside_the_store() {
    let installation = Installation::sqlite();
    installation.create_root();
    let again = ["create-superuser", "--name", ROOT, "--mail", "root@example.com", "--password-stdin"];
    for round in 0..10 {
        assert_eq!(installation.run(&["migrate"], "").code, Some(0));
        assert_eq!(installation.run(&again, PASSWORD).code, Some(1));
        assert_eq!(installation.run(&["renew-epoch"], "").code, Some(0));
        assert_eq!(installation.run(&["backup", &format!("copy-{round}.db")], "").code, Some(0));
        for log in ["data/pilothouse.db-wal", "data/pilothouse.db-shm"] {
            assert!(!installation.file(log).exists(), "{log} is there after round {round}");
        }
    }
}

#[test]
fn migrate_lists_the_applied_migrations() {
    let installation = Installation::sqlite();
    let first = installation.run(&["migrate"], "");
    assert!(first.success().lines().all(|line| line.starts_with("applied ")), "{first:?}");
    assert!(first.stdout.starts_with("applied 0001_account\napplied 0002_ops\n"), "{first:?}");
    assert_eq!(installation.run(&["migrate"], "").success(), "the schema is current\n");
}

/// Runs four migrators at once: each migration is applied by one of them, the others wait and find the schema current.
fn migrate_concurrently(installation: &Installation) {
    let migrators: Vec<_> = (0..4)
        .map(|_| installation.command(&["migrate"]))
        .map(|mut command| std::thread::spawn(move || run(&mut command, "")))
        .collect();
    let ended: Vec<CommandOutcome> = migrators.into_iter().map(|migrator| migrator.join().unwrap()).collect();
    let lines: Vec<&str> = ended.iter().flat_map(|ended| ended.success().lines()).collect();
    let applied: Vec<&&str> = lines.iter().filter(|line| line.starts_with("applied ")).collect();
    assert!(!applied.is_empty());
    assert_eq!(applied.len(), applied.iter().collect::<BTreeSet<_>>().len(), "{ended:?}");
    assert_eq!(lines.len() - applied.len(), 3, "three migrators find the schema current: {ended:?}");
}

#[test]
fn concurrent_migrators_on_sqlite() {
    migrate_concurrently(&Installation::sqlite());
}

#[test]
fn concurrent_migrators_on_postgres() {
    let Some(postgres) = postgres_or_skip("server::commands::concurrent_migrators_on_postgres") else {
        return;
    };
    migrate_concurrently(&Installation::postgres(&postgres.database()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_busy_server_is_consistent() {
    let installation = Installation::sqlite();
    let server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
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
    let copy = installation.file("copy.db");
    let backup = || installation.run(&["backup", "copy.db"], "");
    assert_eq!(backup().success(), "wrote copy.db\n");
    backup().assert_refused("copy.db exists");
    writer.abort();
    assert_eq!(
        fs::metadata(&copy).unwrap().permissions().mode() & 0o077,
        0,
        "the backup contains password hashes"
    );

    let storage = SqlxStorage::sqlite(&copy).await.unwrap();
    storage.ready().await.unwrap();
    let mut snapshot = storage.read().await.unwrap();
    let tasks =
        snapshot.tasks().list(&pilothouse_core::ops::TaskFilter::default(), Page::at(0, 1000)).await.unwrap();
    assert!(tasks.len() >= 50);
    for (n, task) in tasks.iter().enumerate() {
        assert_eq!(task.description, n.to_string(), "no task is missing in between");
        assert!(snapshot.tasks().find_status(task.task_id).await.unwrap().is_some());
    }
    assert!(snapshot.accounts().by_name(ROOT).await.unwrap().is_some());
}

#[test]
fn only_sqlite_is_backed_up() {
    Installation::memory().run(&["backup", "copy.db"], "").assert_refused("memory");
    let Some(postgres) = postgres_or_skip("server::commands::only_sqlite_is_backed_up") else { return };
    let ended = Installation::postgres(&postgres.database()).run(&["backup", "copy.db"], "");
    assert!(ended.code != Some(0) && ended.stderr.contains("Postgres has its own tools"), "{ended:?}");
}

#[test]
fn the_api_document_is_printed_without_a_store() {
    let installation = Installation::sqlite();
    let printed = installation.run(&["openapi"], "");
    let document: serde_json::Value = serde_json::from_str(printed.success()).unwrap();
    assert!(document["paths"]["/api/task"]["post"].is_object());
    assert!(!installation.file("data").exists());
}

#[test]
fn a_worker_runs_until_it_is_terminated() {
    let installation = Installation::sqlite();
    let mut command = installation.command(&["worker"]);
    let mut worker = ProcessGuard::spawn(command.stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    let deadline = Instant::now() + TIMEOUT;
    while !installation.file("data/secret_key").exists() {
        assert!(Instant::now() < deadline, "the worker does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(worker.wait_for_exit(Duration::from_millis(300)), None);
    worker.stop(Duration::from_secs(10));
}
