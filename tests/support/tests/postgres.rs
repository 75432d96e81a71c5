//! Tests of the throwaway Postgres: isolated databases, durability across a crash, and cleanup.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pilothouse_test_support::{
    Postgres, ProcessGuard, durable_postgres_or_skip, postgres_or_skip, skip_test,
};
use sqlx::{Connection, PgConnection, query, query_scalar};

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

async fn setting(connection: &mut PgConnection, name: &str) -> String {
    query_scalar("SELECT current_setting($1)").bind(name).fetch_one(connection).await.unwrap()
}

/// Lists the command lines of all running processes that contain this path.
fn processes_of(path: &Path) -> Vec<String> {
    let command_lines = fs::read_dir("/proc").unwrap().flatten();
    command_lines
        .filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok())
        .filter(|line| line.contains(path.to_str().unwrap()))
        .collect()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn every_database_is_empty_and_isolated() {
    let Some(postgres) = postgres_or_skip("every_database_is_empty_and_isolated") else {
        return;
    };
    let (one, two) = (postgres.database(), postgres.database());
    assert_ne!(one, two);
    let (mut one, mut two) = (connect(&one.url).await, connect(&two.url).await);
    query("CREATE TABLE only_here (id integer)").execute(&mut one).await.unwrap();
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(query_scalar::<_, i64>(tables).fetch_one(&mut one).await.unwrap(), 1);
    assert_eq!(query_scalar::<_, i64>(tables).fetch_one(&mut two).await.unwrap(), 0);
    assert_eq!(setting(&mut one, "max_connections").await, "300");
    assert_eq!(setting(&mut one, "fsync").await, "off");
}

#[tokio::test]
async fn a_durable_server_keeps_its_rows_across_a_crash_and_is_cleaned_up() {
    let test = "a_durable_server_keeps_its_rows_across_a_crash_and_is_cleaned_up";
    let Some(postgres) = durable_postgres_or_skip(test) else { return };
    let url = postgres.database().url;
    let mut before = connect(&url).await;
    assert_eq!(setting(&mut before, "fsync").await, "on");
    query("CREATE TABLE kept (id integer)").execute(&mut before).await.unwrap();
    query("INSERT INTO kept VALUES (7)").execute(&mut before).await.unwrap();

    postgres.kill();
    assert!(query("SELECT 1").execute(&mut before).await.is_err());
    assert!(PgConnection::connect(&url).await.is_err());

    postgres.restart();
    let mut after = connect(&url).await;
    assert_eq!(query_scalar::<_, i32>("SELECT id FROM kept").fetch_one(&mut after).await.unwrap(), 7);

    let data = setting(&mut after, "data_directory").await;
    let folder = Path::new(&data).parent().unwrap();
    assert_ne!(processes_of(folder), Vec::<String>::new());
    drop(postgres);
    assert_eq!(processes_of(folder), Vec::<String>::new());
    assert!(!folder.exists());
}

#[test]
fn a_killed_test_process_leaves_no_server_and_no_files() {
    // The test starts its own program a second time, as the process that is killed.
    const VICTIM: &str = "PILOTHOUSE_TEST_VICTIM";
    let test = "a_killed_test_process_leaves_no_server_and_no_files";
    if std::env::var_os(VICTIM).is_some() {
        let _running = Postgres::start();
        loop {
            std::thread::park();
        }
    }
    if !Postgres::is_installed() {
        return skip_test(test, "Postgres is not installed");
    }
    let temporary = std::env::temp_dir().join(format!("pilothouse-victim.{}", std::process::id()));
    fs::create_dir(&temporary).unwrap();
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test]).env(VICTIM, "").env("TMPDIR", &temporary).stdout(Stdio::null());
    let mut victim = ProcessGuard::spawn(&mut command).unwrap();
    wait_until("the victim has a server", || {
        processes_of(&temporary).iter().any(|command_line| command_line.contains("listen_addresses"))
    });

    victim.kill9();
    wait_until("no process is left", || processes_of(&temporary).is_empty());
    wait_until("no folder is left", || fs::read_dir(&temporary).unwrap().next().is_none());
    fs::remove_dir(temporary).unwrap();
}
