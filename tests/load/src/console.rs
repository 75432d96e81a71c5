//! Pages of the console: how long the server works on the largest of them, and how often a live part is pushed.
//!
//! `server/benches/console` builds and runs it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::http::{Connection, HOST, Result};
use crate::latency::{print_cpu_time, print_header, print_percentiles};
use crate::server::{APP, KEY, PASSWORD, PROFILE, Publisher, Server, cpu_time};
use crate::watchers::{bearer, node, register};

/// Settings of the server: as many nodes as are asked for.
const SETTINGS: &str = "nodes_per_app = 100000\n";
/// Connections on which nodes answer.
const CONNECTIONS: usize = 16;
/// Time without a push after which a live part is taken to be at its end.
const SILENCE: Duration = Duration::from_secs(3);

/// Options of the measurement.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Program of the Pilothouse server
    #[arg(long)]
    program: PathBuf,
    /// Keys of the profile whose items are shown
    #[arg(long, default_value_t = 1000)]
    keys: usize,
    /// Nodes of the release that is shown
    #[arg(long, default_value_t = 10_000)]
    nodes: usize,
    /// Number of times each page is opened
    #[arg(long, default_value_t = 50)]
    rounds: usize,
}

/// A browser that is logged in.
struct Browser {
    connection: Connection,
    process: u32,
    rounds: usize,
}

/// Runs the measurements and prints the results.
pub(crate) async fn measure(args: Args) -> Result<()> {
    let server = Server::start(&args.program, SETTINGS).await?;
    let mut publisher = Publisher::new(&server, APP).await?;
    let mut browser = Browser {
        connection: server.endpoint().open(&log_in(&server).await?).await?,
        process: server.id(),
        rounds: args.rounds,
    };
    println!("== pages of the console, each opened {} times by one browser", args.rounds);
    print_header("time until the whole page has arrived");

    add_items(&mut publisher.connection, args.keys).await?;
    browser.open(&format!("{} items", args.keys), "/console/apps/load/profiles/items").await?;

    let key = publisher.app_key(APP).await?;
    register(server.address, &key, args.nodes).await?;
    publisher.connection = server.login().await?;
    publisher.publish(APP, "one").await?;
    let release =
        format!("/console/apps/{APP}/profiles/{PROFILE}/releases/{}", release(&mut publisher).await?);
    browser.connection = server.endpoint().open(&log_in(&server).await?).await?;
    browser.open(&format!("rollout, {} nodes that are silent", args.nodes), &release).await?;
    let mut stream = server.endpoint().open(&log_in(&server).await?).await?;
    stream.send("GET", &format!("{release}/live"), "accept: text/event-stream\r\n", "").await?;
    let nodes = (args.nodes, &*key);
    let (pushes, answered) = tokio::join!(pushes(&mut stream), acknowledge(&server, nodes));
    answered?;
    browser.open(&format!("rollout, {} nodes that applied", args.nodes), &release).await?;
    browser.open("list of releases", &format!("/console/apps/{APP}/profiles/{PROFILE}/releases")).await?;
    browser.open("nodes", &format!("/console/apps/{APP}/profiles/{PROFILE}/nodes")).await?;
    let Pushes { count, gap } = pushes?;
    if count < 2 {
        return Err("the live part was not pushed while nodes answered".into());
    }
    let gap = gap.as_secs_f64();
    println!("   {count} pushes while all nodes answered; the shortest time between two was {gap:.2} s");
    Ok(())
}

impl Browser {
    /// Opens a page again and again, compressed as browsers ask for it.
    async fn open(&mut self, name: &str, target: &str) -> Result<()> {
        let (mut latencies, mut length) = (Vec::with_capacity(self.rounds), 0);
        // The first one fills caches and is not counted.
        self.connection.skip(target).await?;
        let before = cpu_time(self.process)?;
        for _ in 0..self.rounds {
            let begun = Instant::now();
            length = self.connection.skip(target).await?;
            latencies.push(begun.elapsed());
        }
        let used = cpu_time(self.process)?.saturating_sub(before);
        print_percentiles(name, &mut latencies);
        print_cpu_time(&format!("page, of {} KiB compressed", length / 1024), used, self.rounds);
        Ok(())
    }
}

/// Headers of a browser with a session of `root`.
async fn log_in(server: &Server) -> Result<String> {
    let mut connection = server.endpoint().open("").await?;
    let form = format!("name=root&password={}", PASSWORD.replace(' ', "+"));
    let headers = format!("origin: http://{HOST}\r\ncontent-type: application/x-www-form-urlencoded\r\n");
    let response = connection.call("POST", "/console/login", &headers, &form).await?;
    let cookie = response.header("set-cookie").and_then(|cookie| cookie.split(';').next());
    let cookie = cookie.ok_or_else(|| format!("no session: {}", response.head))?;
    Ok(format!("cookie: {cookie}\r\naccept-encoding: gzip\r\n"))
}

/// Adds items that are published, each with a value of some words.
async fn add_items(connection: &mut Connection, keys: usize) -> Result<()> {
    let change = |number: usize| {
        let key = format!("service.{}.setting-{number}", number % 20);
        json!({"key": key, "value": format!("value {number}: {}", "word ".repeat(number % 12)), "description": "a setting"})
    };
    let changes: Vec<Value> = (0..keys).map(change).collect();
    let set = json!({"app": APP, "profile": "items", "changes": changes, "approve": true, "publish": true});
    connection.post("/config/apply", &set).await?;
    Ok(())
}

/// Id of the newest release.
async fn release(publisher: &mut Publisher) -> Result<i64> {
    let list = json!({"app": APP, "profile": PROFILE, "key": KEY});
    let list = publisher.connection.post("/publish/list", &list).await?;
    Ok(list[0]["Release"].as_i64().ok_or("no release")?)
}

/// Answers the release as every node, as fast as the server takes it.
async fn acknowledge(server: &Server, (nodes, key): (usize, &str)) -> Result<()> {
    let mut tasks = JoinSet::new();
    for from in 0..CONNECTIONS {
        let (address, headers) = (server.address, bearer(key));
        tasks.spawn(async move {
            let mut connection = Connection::open(address, &headers).await?;
            for number in (from..nodes).step_by(CONNECTIONS) {
                let results = json!([{"key": KEY, "version": 2, "result": "applied"}]);
                let ack = json!({"app": APP, "profile": PROFILE, "nodeId": node(number), "results": results});
                connection.post("/node/ack", &ack).await?;
            }
            Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect()
}

/// Pushes of a live part.
struct Pushes {
    count: usize,
    /// Shortest time between two.
    gap: Duration,
}

/// Counts the pushes of a live part until it is silent.
async fn pushes(stream: &mut Connection) -> Result<Pushes> {
    if !stream.head().await?.starts_with("HTTP/1.1 200") {
        return Err("the live part was refused".into());
    }
    let mut pushes = Pushes { count: 0, gap: Duration::MAX };
    let (mut line, mut last) = (String::new(), None::<Instant>);
    let mut was_data = false;
    while let Ok(read) = timeout(SILENCE, stream.line(&mut line)).await {
        read?;
        if line.is_empty() {
            break;
        }
        // An event has a line for each line of its HTML.
        let is_data = line.starts_with("data:");
        if is_data && !was_data {
            pushes.count += 1;
            let now = Instant::now();
            if let Some(last) = last.replace(now) {
                pushes.gap = pushes.gap.min(now - last);
            }
        }
        was_data = is_data;
    }
    Ok(pushes)
}
