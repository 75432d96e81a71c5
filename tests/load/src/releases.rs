//! Measurement of releases: publishing a set of keys to many nodes, beside one key among few and among many; memory while many
//! read a large namespace; and lists among many items, nodes and delivery records, on both databases.
//!
//! `server/benches/releases` builds and runs it. Postgres is left out where there is none.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::http::{Connection, Result};
use crate::server::{APP, PROFILE, PublishTime, Server, create_app};
use crate::watchers::{VALUE_PREFIX, Watchers, register};
use crate::{latency, release_lists, release_reads, watchers};

/// The most changes of one apply.
const MAX_CHANGES: usize = 10_000;
/// Keys of the small profile.
const FEW_KEYS: usize = 10;
/// Keys of a set.
const SET: usize = 50;

/// Options of the measurement.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Program of the Pilothouse server
    #[arg(long)]
    pub(crate) program: PathBuf,
    /// Parts of the measurement
    #[arg(long, value_delimiter = ',', default_value = "publishes,reads,pending,lists")]
    only: Vec<Part>,
    /// Number of watching nodes
    #[arg(long, default_value_t = 1000)]
    watchers: usize,
    /// Number of publishes of each kind
    #[arg(long, default_value_t = 100)]
    publishes: usize,
    /// Number of keys of the large profile
    #[arg(long, default_value_t = 10_000)]
    keys: usize,
    /// Number of items among which those that wait are found
    #[arg(long, default_value_t = 100_000)]
    pub(crate) items: usize,
    /// Number of nodes with delivery records
    #[arg(long, default_value_t = 10_000)]
    pub(crate) nodes: usize,
    /// Number of those that are offline
    #[arg(long, default_value_t = 500)]
    pub(crate) offline: usize,
    /// Number of releases, each with a delivery record for each node
    #[arg(long, default_value_t = 1000)]
    pub(crate) releases: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Publishes,
    Reads,
    Pending,
    Lists,
}

/// Runs the measurement and prints the results.
pub(crate) async fn measure(args: Args) -> Result<()> {
    for part in &args.only {
        match part {
            Part::Publishes => measure_publishes(&args).await?,
            Part::Reads => release_reads::measure(&args).await?,
            Part::Pending => release_lists::measure_pending(&args).await?,
            Part::Lists => release_lists::measure_lists(&args).await?,
        }
    }
    Ok(())
}

/// Sets keys of an app, numbered from `from`, to a value, and publishes them; or has them approved as a change set, whose id it
/// answers.
pub(crate) async fn apply(
    connection: &mut Connection,
    app: &str,
    (from, count): (usize, usize),
    value: &str,
    publish: bool,
) -> Result<Value> {
    let mut set = Value::Null;
    for start in (from..from + count).step_by(MAX_CHANGES) {
        let end = (from + count).min(start + MAX_CHANGES);
        let changes: Vec<Value> =
            (start..end).map(|number| json!({"key": format!("key-{number}"), "value": value})).collect();
        let apply = json!({
            "app": app, "profile": PROFILE, "changes": changes, "approve": true, "publish": publish,
        });
        set = connection.post("/config/apply", &apply).await?["ChangeSet"].clone();
    }
    Ok(set)
}

/// Server with a profile whose nodes are watching.
struct Watched {
    server: Server,
    connection: Connection,
    watchers: Watchers,
    /// Number of the last value.
    value: usize,
}

impl Watched {
    async fn start(args: &Args, keys: usize) -> Result<Self> {
        let server = Server::start(&args.program, "").await?;
        let mut connection = server.login().await?;
        create_app(&mut connection, APP).await?;
        apply(&mut connection, APP, (0, keys), "first", true).await?;
        let created = connection.post("/app/key/create", &json!({"app": APP})).await?;
        let key = Arc::<str>::from(created["Key"].as_str().ok_or("no key")?);
        register(server.address, &key, args.watchers).await?;
        let address = server.address;
        let watch = |number, recorder| watchers::watch(address, key.clone(), number, recorder);
        let watchers = Watchers::start(args.watchers, watch);
        watchers.wait_until_open().await?;
        // What the nodes hold at first is sent to all of them.
        sleep(Duration::from_secs(10)).await;
        watchers.reset();
        let connection = server.login().await?;
        Ok(Self { server, connection, watchers, value: 0 })
    }

    /// Publishes a new value of some keys as one release; the times until the last watcher has it, from the request and from
    /// the answer.
    async fn publish(&mut self, keys: usize) -> Result<[Duration; 2]> {
        self.value += 1;
        let value = format!("{VALUE_PREFIX}{}.", self.value);
        let set = apply(&mut self.connection, APP, (0, keys), &value, false).await?;
        let requested = Instant::now();
        self.connection
            .post("/publish/set", &json!({"app": APP, "profile": PROFILE, "changeset": set}))
            .await?;
        let published = PublishTime { requested, answered: Instant::now() };
        let last = self.watchers.wait_for_value(self.value).await?.last;
        Ok([last - published.requested, last.saturating_duration_since(published.answered)])
    }
}

/// Latencies of one kind of publish.
#[derive(Default)]
struct Latencies {
    from_request: Vec<Duration>,
    from_answer: Vec<Duration>,
}

impl Latencies {
    fn add(&mut self, [from_request, from_answer]: [Duration; 2]) {
        self.from_request.push(from_request);
        self.from_answer.push(from_answer);
    }

    fn show(&mut self, name: &str) {
        latency::print_percentiles(&format!("{name}, from the request"), &mut self.from_request);
        latency::print_percentiles(&format!("{name}, from the answer"), &mut self.from_answer);
    }
}

async fn measure_publishes(args: &Args) -> Result<()> {
    println!("== {} watchers, {} publishes of each kind", args.watchers, args.publishes);
    let mut few = Watched::start(args, FEW_KEYS).await?;
    let mut many = Watched::start(args, args.keys).await?;
    // The server has closed the connection, which was idle meanwhile.
    few.connection = few.server.login().await?;
    let mut all = [Latencies::default(), Latencies::default(), Latencies::default()];
    // In turns, so that other load on the machine affects all of them alike.
    for _ in 0..args.publishes {
        for (kind, latencies) in all.iter_mut().enumerate() {
            let (watched, keys) = [(0, 1), (1, 1), (1, SET)][kind];
            let watched = if watched == 0 { &mut few } else { &mut many };
            latencies.add(watched.publish(keys).await?);
            sleep(Duration::from_millis(300)).await;
        }
    }
    let [few_keys, many_keys, set] = &mut all;
    latency::print_header("latency until the slowest watcher");
    few_keys.show(&format!("1 of {FEW_KEYS} keys"));
    many_keys.show(&format!("1 of {} keys", args.keys));
    set.show(&format!("{SET} of {} keys", args.keys));
    for percent in [50, 99] {
        let at = |latencies: &mut Latencies| latency::percentile(&mut latencies.from_request, percent);
        let (few, many, set) = (at(few_keys), at(many_keys), at(set));
        println!("   p{percent}: {:.2} × among many keys, {:.2} × for a set", many / few, set / many);
    }
    let memory = [few.server.id(), many.server.id()].map(crate::server::resident_memory);
    let [few, many] = memory.map(|bytes| bytes.unwrap_or(f64::NAN) / 1_048_576.0);
    println!("   memory: {few:.0} MiB with few keys, {many:.0} MiB with many");
    Ok(())
}
