//! Measurement of purges on real edges: the latency until all edges have confirmed many URLs at once, and single ones.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use pilothouse_test_support::{EdgeProgram, EdgeServer};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::http::{Connection, HOST, Result};
use crate::latency;
use crate::origin::Origin;
use crate::server::{MAIL, Server, cpu_time};

/// Time-out of every wait, after which the measurement fails.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Interval of polling long jobs. A poll costs the server time in proportion to the length of its job list.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Options of the measurement.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Program of the Pilothouse server
    #[arg(long)]
    program: PathBuf,
    /// Server software of the edges
    #[arg(long, default_value = "varnish")]
    kind: Kind,
    /// Number of edges
    #[arg(long, default_value_t = 8)]
    edges: usize,
    /// Number of URLs refreshed at once
    #[arg(long, default_value_t = 1000)]
    urls: usize,
    /// Number of jobs the URLs are divided into; one measurement for each number
    #[arg(long, value_delimiter = ',', default_value = "1,10")]
    jobs: Vec<usize>,
    /// Repetitions of each measurement
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Repetitions of the refresh of a single URL
    #[arg(long, default_value_t = 500)]
    single: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Varnish,
    Nginx,
}

/// Server with its edges and their origin.
struct Fleet {
    server: Server,
    edges: Vec<EdgeServer>,
    origin: Origin,
    /// Connection to the server's API, logged in.
    api: Connection,
}

/// Runs the measurement and prints the results.
pub(crate) async fn measure(args: Args) -> Result<()> {
    let mut fleet = Fleet::start(&args).await?;
    println!("   {}", load_average()?);
    for jobs in &args.jobs {
        println!("== {} URLs in {jobs} jobs on {} edges, {} times", args.urls, args.edges, args.rounds);
        let (mut preloads, mut refreshes) = (Vec::new(), Vec::new());
        let mut cpu = Duration::ZERO;
        for round in 0..args.rounds {
            let url = |n| format!("http://{HOST}/{jobs}/{round}/{n}");
            let urls: Vec<_> = (0..args.urls).map(url).collect();
            preloads.push(fleet.run_jobs("preload", &urls, 1).await?);
            let before = cpu_time(fleet.server.id())?;
            refreshes.push(fleet.run_jobs("refresh", &urls, *jobs).await?);
            cpu += cpu_time(fleet.server.id())?.saturating_sub(before);
        }
        latency::print_header("latency until all edges have confirmed");
        latency::print_percentiles("preload", &mut preloads);
        latency::print_percentiles("refresh", &mut refreshes);
        latency::print_cpu_time("refresh of them", cpu, args.rounds);
    }
    println!("== one URL on {} edges, {} times", args.edges, args.single);
    let before = cpu_time(fleet.server.id())?;
    fleet.measure_single_refreshes(args.single).await?;
    latency::print_cpu_time("refresh", cpu_time(fleet.server.id())?.saturating_sub(before), args.single);
    println!("   {}", load_average()?);
    Ok(())
}

fn load_average() -> Result<String> {
    let load = fs::read_to_string("/proc/loadavg")?;
    Ok(format!("load average {}", load.split(' ').take(3).collect::<Vec<_>>().join(" ")))
}

impl Fleet {
    async fn start(args: &Args) -> Result<Self> {
        let origin = Origin::start().await?;
        let mut settings = "[[cdn]]\nname = \"level3\"\nkind = \"edges\"\n".to_owned();
        let (program, kind) = match args.kind {
            Kind::Varnish => (EdgeProgram::Varnish, "varnish"),
            Kind::Nginx => (EdgeProgram::Nginx, "nginx"),
        };
        if !program.is_installed() {
            return Err(format!("{program:?} or a module of it is not installed").into());
        }
        let configure = |port, folder: &Path| edge_config(&args.program, kind, origin.address, port, folder);
        let edges: Vec<_> = (0..args.edges).map(|_| EdgeServer::start(program, configure)).collect();
        for (n, EdgeServer { port, .. }) in edges.iter().enumerate() {
            let url = format!("http://127.0.0.1:{port}");
            let edge = format!("[[cdn.edge]]\nname = \"edge-{n}\"\nkind = \"{kind}\"\nurl = \"{url}\"\n");
            settings.push_str(&edge);
        }
        let server = Server::start(&args.program, &settings).await?;
        let mut fleet = Self { api: server.login().await?, server, edges, origin };
        fleet.api.post_cdn("user", &json!({"login_email": MAIL, "password": "another password"})).await?;
        let domains = json!({"login_email": MAIL, "cdn": "level3", "domains": HOST});
        fleet.api.post_cdn("user_domains", &domains).await?;
        fleet.wait_until_in_service().await?;
        Ok(fleet)
    }

    /// Waits until every edge is in service.
    async fn wait_until_in_service(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            let edges = self.api.get_cdn("edges?cdn=level3").await?;
            let rows = rows(&edges)?;
            if rows.len() == self.edges.len() && rows.iter().all(|row| row["state"] == "in_service") {
                return Ok(());
            }
            check_timeout(started, &edges)?;
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Submits a job and returns its task id.
    async fn submit(&mut self, kind: &str, urls: &[String]) -> Result<String> {
        let queued = self.api.post_cdn(kind, &json!({"login_email": MAIL, "path": urls.join("|")})).await?;
        Ok(queued["results"][0]["taskid"].as_str().ok_or("no task id")?.to_owned())
    }

    /// Submits jobs and returns the time from the first request until all of them are complete.
    async fn run_jobs(&mut self, kind: &str, urls: &[String], jobs: usize) -> Result<Duration> {
        let (started, mut pending) = (Instant::now(), Vec::new());
        for urls in urls.chunks(urls.len().div_ceil(jobs)) {
            pending.push(self.submit(kind, urls).await?);
        }
        loop {
            let listed = self.api.get_cdn(&format!("{kind}_list?login_email={MAIL}")).await?;
            let is_done = |row: &&Value| row["percentComplete"] == "100";
            let done: Vec<_> = rows(&listed)?.iter().filter(is_done).map(|row| &row["taskid"]).collect();
            pending.retain(|id| !done.contains(&&json!(id)));
            if pending.is_empty() {
                return Ok(started.elapsed());
            }
            check_timeout(started, &json!(pending))?;
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Refreshes a single URL repeatedly, and measures the time until every edge has confirmed the purge and until every edge
    /// was seen to serve the new object.
    async fn measure_single_refreshes(&mut self, times: usize) -> Result<()> {
        let urls = [format!("http://{HOST}/object")];
        let (mut to_accepted, mut to_confirmed, mut to_verified) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..times {
            // New connections each time, because an edge closes idle ones.
            let mut visitors = Vec::new();
            for edge in &self.edges {
                visitors
                    .push(Connection::open(SocketAddr::from((Ipv4Addr::LOCALHOST, edge.port)), "").await?);
            }
            let version = self.origin.change().to_string();
            let requested = Instant::now();
            let task = format!("task?taskid={}", self.submit("refresh", &urls).await?);
            let accepted = Instant::now();
            loop {
                let details = self.api.get_cdn(&task).await?;
                if details["percentComplete"] == "100" {
                    break;
                }
                check_timeout(accepted, &details)?;
            }
            to_confirmed.push(accepted.elapsed());
            for visitor in &mut visitors {
                visitor.send("GET", "/object", "", "").await?;
            }
            for visitor in &mut visitors {
                let served = visitor.response().await?.body;
                if served != version {
                    return Err(
                        format!("an edge serves version {served} after the refresh of {version}").into()
                    );
                }
            }
            to_verified.push(accepted.elapsed());
            to_accepted.push(accepted - requested);
        }
        latency::print_header("latency of a refresh");
        latency::print_percentiles("from the request to its acceptance", &mut to_accepted);
        latency::print_percentiles("from acceptance to confirmation", &mut to_confirmed);
        latency::print_percentiles("from acceptance to a verified visit", &mut to_verified);
        Ok(())
    }
}

/// Edge configuration, as `pilothouse edge-config` prints it.
fn edge_config(program: &Path, kind: &str, origin: SocketAddr, port: u16, folder: &Path) -> String {
    let (origin, listen) = (origin.to_string(), format!("127.0.0.1:{port}"));
    let path = |name| folder.join(name).display().to_string();
    let mut command = Command::new(program);
    command.args(["edge-config", "--kind", kind, "--origin", &origin, "--listen", &listen]);
    command.args(["--allow", "127.0.0.1", "--log", &path("tsv"), "--cache", &path("cache")]);
    let printed = command.output().expect("the program can be started");
    assert!(printed.status.success(), "{printed:?}");
    String::from_utf8(printed.stdout).expect("it prints text")
}

fn rows(response: &Value) -> Result<&Vec<Value>> {
    response["results"].as_array().ok_or_else(|| "no results".into())
}

fn check_timeout(since: Instant, state: &Value) -> Result<()> {
    if since.elapsed() < TIMEOUT { Ok(()) } else { Err(format!("timed out in the state {state}").into()) }
}
