//! Lists among many items, nodes and delivery records, which are written into the store beside the server.

use std::path::Path;
use std::time::{Duration, Instant};

use pilothouse_test_support::{Postgres, postgres_or_skip};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use crate::http::{Connection, Result};
use crate::latency;
use crate::releases::{Args, apply};
use crate::server::{APP, PROFILE, SECRET, Server, cpu_time, create_app};

/// Releases of a page, all of them active.
const PAGE: usize = 100;
/// Number of measurements of each list.
const ROUNDS: usize = 100;
/// Number of measurements in which the nodes stay online.
const ROUNDS_OF_A_LEASE: usize = 20;

/// Measures what waits, among many published items.
pub(crate) async fn measure_pending(args: &Args) -> Result<()> {
    println!("== what waits among {} items", args.items);
    let server = Server::start(&args.program, "").await?;
    let mut connection = server.login().await?;
    create_app(&mut connection, APP).await?;
    apply(&mut connection, APP, (0, args.items), "first", true).await?;
    apply(&mut connection, APP, (0, PAGE), "second", false).await?;
    latency::print_header("latency");
    let mut latencies = Vec::new();
    for _ in 0..ROUNDS {
        latencies.push(get(&mut connection, "/config/pending?count=100").await?);
    }
    latency::print_percentiles("/config/pending", &mut latencies);
    Ok(())
}

/// Measures lists of releases and of nodes, on both databases.
pub(crate) async fn measure_lists(args: &Args) -> Result<()> {
    let (nodes, releases, offline) = (args.nodes, args.releases, args.offline);
    println!("== {releases} releases to {nodes} nodes, of which {offline} are offline");
    measure_lists_on(args, None).await?;
    if let Some(postgres) = postgres_or_skip("lists of releases on Postgres") {
        measure_lists_on(args, Some(postgres)).await?;
    }
    Ok(())
}

async fn measure_lists_on(args: &Args, postgres: Option<&Postgres>) -> Result<()> {
    let url = postgres.map(|postgres| postgres.database().url);
    // Servers on Postgres share a secret, so they do not make one themselves.
    let shared = |url| format!("database_url = \"{url}\"\nsecret_key = \"env:{SECRET}\"\n");
    let settings = url.as_ref().map_or_else(String::new, shared);
    let mut server = Server::start(&args.program, &settings).await?;
    let mut connection = server.login().await?;
    create_app(&mut connection, APP).await?;
    apply(&mut connection, APP, (0, PAGE), "first", true).await?;
    for number in 0..args.releases {
        apply(&mut connection, APP, (number % PAGE, 1), &format!("value {number}"), true).await?;
    }
    drop(connection);
    server.kill9();
    let mut store = Store::open(url.as_deref(), &server.database()).await?;
    let begun = Instant::now();
    let bytes = store.fill(args).await?;
    let rows = args.releases * args.nodes;
    println!(
        "   {}: {rows} delivery records in {:.0} s, {:.1} bytes each",
        store.name(),
        begun.elapsed().as_secs_f64(),
        bytes / f64::from(u32::try_from(rows)?)
    );
    server.start_process().await?;
    let mut connection = server.login().await?;
    let list = format!("/publish/list?app={APP}&profile={PROFILE}&count={PAGE}");
    let newest = connection.call("GET", &list, "", "").await?;
    let newest: Value = serde_json::from_str(&newest.body)?;
    let newest = newest["data"][0]["Release"].as_i64().ok_or("no release")?;
    let page = format!("/publish/status?release={newest}&count=100");
    let last = format!("{page}&start={}", args.nodes - PAGE);
    let waiting = format!("{page}&state=offline");
    latency::print_header("latency");
    for (name, target) in [
        ("/publish/list of 100", &list),
        ("/publish/status, first 100 nodes", &page),
        ("/publish/status, last 100 nodes", &last),
        ("/publish/status, offline", &waiting),
    ] {
        let (mut latencies, before) = (Vec::new(), cpu_time(server.id())?);
        for round in 0..ROUNDS {
            if round % ROUNDS_OF_A_LEASE == 0 {
                store.renew_leases().await?;
            }
            latencies.push(get(&mut connection, target).await?);
        }
        latency::print_percentiles(name, &mut latencies);
        latency::print_cpu_time("answer", cpu_time(server.id())?.saturating_sub(before), ROUNDS);
    }
    Ok(())
}

/// Gets a successful answer; how long it took.
async fn get(connection: &mut Connection, target: &str) -> Result<Duration> {
    let begun = Instant::now();
    let answer = connection.call("GET", target, "", "").await?;
    let took = begun.elapsed();
    if answer.status() != "200" || !answer.body.starts_with("{\"code\":0") {
        return Err(format!("{target}: {} {}", answer.head, answer.body).into());
    }
    Ok(took)
}

/// Database of a server, beside it.
enum Store {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Store {
    async fn open(url: Option<&str>, file: &Path) -> Result<Self> {
        let mut store = match url {
            Some(url) => Self::Postgres(PgConnection::connect(url).await?),
            None => Self::Sqlite(SqliteConnection::connect(&format!("sqlite://{}", file.display())).await?),
        };
        let settings = match &store {
            Self::Sqlite(_) => "PRAGMA synchronous = OFF; PRAGMA busy_timeout = 20000",
            Self::Postgres(_) => "SET search_path TO pilothouse",
        };
        store.run(settings).await?;
        Ok(store)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Postgres(_) => "Postgres",
        }
    }

    async fn run(&mut self, script: &str) -> Result<()> {
        let script = sqlx::raw_sql(AssertSqlSafe(script.to_owned()));
        match self {
            Self::Sqlite(connection) => script.execute(connection).await.map(|_| ())?,
            Self::Postgres(connection) => script.execute(connection).await.map(|_| ())?,
        }
        Ok(())
    }

    /// Bytes of the delivery records with their indexes.
    async fn size(&mut self) -> Result<f64> {
        Ok(match self {
            Self::Sqlite(connection) => {
                let size =
                    "SELECT CAST(page_count * page_size AS REAL) FROM pragma_page_count, pragma_page_size";
                sqlx::query_scalar(size).fetch_one(connection).await?
            }
            Self::Postgres(connection) => {
                let size = "SELECT CAST(pg_total_relation_size('config_delivery') AS DOUBLE PRECISION)";
                sqlx::query_scalar(size).fetch_one(connection).await?
            }
        })
    }

    /// Adds nodes, and a record that says applied for each of them and each single release; but the last node has none, so that
    /// no release is at all of them. Answers how many bytes the records take.
    async fn fill(&mut self, args: &Args) -> Result<f64> {
        let (nodes, offline) = (args.nodes, args.offline.max(1));
        let online = nodes - offline;
        // Leases and times are microseconds; an hour ago no node was online.
        let now = "(SELECT MAX(publish_time) FROM config_release)";
        self.run(&format!(
            "WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n <= {nodes}) \
             INSERT INTO config_node (app_id, profile, node_id, pid, labels, register_time, lease_until, has_left) \
             SELECT app.id, '{PROFILE}', 'node-' || n, CASE WHEN n <= {online} OR n > {nodes} THEN 'online' \
             ELSE 'offline' END, '', {now}, {now} - 3600000000, FALSE FROM app, series WHERE app.app = '{APP}'"
        ))
        .await?;
        let before = self.size().await?;
        self.run(&format!(
            "INSERT INTO config_delivery (release_id, node_id, sent, result, message, acked) \
             SELECT config_release.id, config_node.id, publish_time + 1000, 1, '', publish_time + 5000 + config_node.id \
             FROM config_release CROSS JOIN config_node WHERE config_release.id > {PAGE} \
             AND config_node.node_id <> 'node-{}' ORDER BY config_release.id, config_node.id",
            nodes + 1
        ))
        .await?;
        let analyze = match self {
            Self::Sqlite(_) => "PRAGMA wal_checkpoint(TRUNCATE)",
            Self::Postgres(_) => "VACUUM ANALYZE",
        };
        let after = self.size().await?;
        self.run(analyze).await?;
        Ok(after - before)
    }

    /// Has the nodes online that are to be.
    async fn renew_leases(&mut self) -> Result<()> {
        let now = match self {
            Self::Sqlite(_) => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
            Self::Postgres(_) => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
        };
        self.run(&format!("UPDATE config_node SET lease_until = {now} + 14000000 WHERE pid = 'online'")).await
    }
}
