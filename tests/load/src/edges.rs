//! How fast purges are confirmed by real edges: many URLs at once, and one.

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
use crate::origin::Origin;
use crate::server::{MAIL, Server, busy};
use crate::times;

/// After this long without what is waited for, the measurement has failed.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between looks at work that takes long: a look costs the server what the list of jobs is long.
const LOOK: Duration = Duration::from_millis(10);

/// What is measured of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program to serve with
    #[arg(long)]
    program: PathBuf,
    /// What runs on the edges
    #[arg(long, default_value = "varnish")]
    kind: Kind,
    /// How many edges
    #[arg(long, default_value_t = 8)]
    edges: usize,
    /// How many URLs are refreshed at once
    #[arg(long, default_value_t = 1000)]
    urls: usize,
    /// In how many jobs; one measurement for each number
    #[arg(long, value_delimiter = ',', default_value = "1,10")]
    jobs: Vec<usize>,
    /// How often
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How often one URL is refreshed
    #[arg(long, default_value_t = 500)]
    single: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Varnish,
    Nginx,
}

/// A server, the edges it looks after, and what is behind them.
struct Fleet {
    server: Server,
    edges: Vec<EdgeServer>,
    origin: Origin,
    /// To the server, logged in.
    api: Connection,
}

/// Measures it, and prints what was measured.
pub(crate) async fn measure(args: Args) -> Result<()> {
    let mut fleet = Fleet::start(&args).await?;
    println!("   {}", load()?);
    for jobs in &args.jobs {
        println!("== {} URLs in {jobs} jobs on {} edges, {} times", args.urls, args.edges, args.rounds);
        let (mut preloaded, mut refreshed, mut worked) = (Vec::new(), Vec::new(), Duration::ZERO);
        for round in 0..args.rounds {
            let url = |n| format!("http://{HOST}/{jobs}/{round}/{n}");
            let urls: Vec<_> = (0..args.urls).map(url).collect();
            preloaded.push(fleet.many("preload", &urls, 1).await?);
            let before = busy(fleet.server.id())?;
            refreshed.push(fleet.many("refresh", &urls, *jobs).await?);
            worked += busy(fleet.server.id())?.saturating_sub(before);
        }
        times::head("from the request to 100 percent");
        times::show("preload", &mut preloaded);
        times::show("refresh", &mut refreshed);
        times::show_busy("a refresh of them", worked, args.rounds);
    }
    println!("== one URL on {} edges, {} times", args.edges, args.single);
    let before = busy(fleet.server.id())?;
    fleet.one(args.single).await?;
    times::show_busy("each", busy(fleet.server.id())?.saturating_sub(before), args.single);
    println!("   {}", load()?);
    Ok(())
}

fn load() -> Result<String> {
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
        let configure = |port, folder: &Path| shipped(&args.program, kind, origin.address, port, folder);
        let edges: Vec<_> = (0..args.edges).map(|_| EdgeServer::start(program, configure)).collect();
        for (n, EdgeServer { port, .. }) in edges.iter().enumerate() {
            let url = format!("http://127.0.0.1:{port}");
            let edge = format!("[[cdn.edge]]\nname = \"edge-{n}\"\nkind = \"{kind}\"\nurl = \"{url}\"\n");
            settings.push_str(&edge);
        }
        let server = Server::start(&args.program, &settings).await?;
        let mut fleet = Self { api: server.login().await?, server, edges, origin };
        fleet.post("user", json!({"login_email": MAIL, "password": "another password"})).await?;
        fleet.post("user_domains", json!({"login_email": MAIL, "cdn": "level3", "domains": HOST})).await?;
        fleet.in_service().await?;
        Ok(fleet)
    }

    async fn post(&mut self, call: &str, body: Value) -> Result<Value> {
        let json = "content-type: application/json\r\n";
        let answer = self.api.call("POST", &format!("/level3/{call}"), json, &body.to_string()).await?;
        success(&answer.body)
    }

    async fn get(&mut self, call: &str) -> Result<Value> {
        success(&self.api.call("GET", &format!("/level3/{call}"), "", "").await?.body)
    }

    /// Waits until every edge answers from its cache.
    async fn in_service(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let edges = self.get("edges?cdn=level3").await?;
            let rows = rows(&edges)?;
            if rows.len() == self.edges.len() && rows.iter().all(|row| row["state"] == "in service") {
                return Ok(());
            }
            patient(begun, &edges)?;
            sleep(LOOK).await;
        }
    }

    /// Asks for work; its task id.
    async fn ask(&mut self, kind: &str, urls: &[String]) -> Result<String> {
        let queued = self.post(kind, json!({"login_email": MAIL, "path": urls.join("|")})).await?;
        Ok(queued["results"][0]["taskid"].as_str().ok_or("no task id")?.to_owned())
    }

    /// How long it takes from the first request until all of the jobs are done.
    async fn many(&mut self, kind: &str, urls: &[String], jobs: usize) -> Result<Duration> {
        let (begun, mut waiting) = (Instant::now(), Vec::new());
        for urls in urls.chunks(urls.len().div_ceil(jobs)) {
            waiting.push(self.ask(kind, urls).await?);
        }
        loop {
            let listed = self.get(&format!("{kind}_list?login_email={MAIL}")).await?;
            let is_done = |row: &&Value| row["percentComplete"] == "100";
            let done: Vec<_> = rows(&listed)?.iter().filter(is_done).map(|row| &row["taskid"]).collect();
            waiting.retain(|id| !done.contains(&&json!(id)));
            if waiting.is_empty() {
                return Ok(begun.elapsed());
            }
            patient(begun, &json!(waiting))?;
            sleep(LOOK).await;
        }
    }

    /// One URL, again and again: until every edge has confirmed it, and until each was seen to serve the new object.
    async fn one(&mut self, times: usize) -> Result<()> {
        let urls = [format!("http://{HOST}/object")];
        let (mut answered, mut acked, mut verified) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..times {
            // Afresh: an edge closes connections that are idle for long.
            let mut visits = Vec::new();
            for edge in &self.edges {
                visits.push(Connection::open(SocketAddr::from((Ipv4Addr::LOCALHOST, edge.port)), "").await?);
            }
            let version = self.origin.change().to_string();
            let asked = Instant::now();
            let task = format!("task?taskid={}", self.ask("refresh", &urls).await?);
            let accepted = Instant::now();
            loop {
                let details = self.get(&task).await?;
                if details["percentComplete"] == "100" {
                    break;
                }
                patient(accepted, &details)?;
            }
            acked.push(accepted.elapsed());
            for visit in &mut visits {
                visit.send("GET", "/object", "", "").await?;
            }
            for visit in &mut visits {
                let held = visit.answer().await?.body;
                if held != version {
                    return Err(format!("an edge has version {held} after the refresh of {version}").into());
                }
            }
            verified.push(accepted.elapsed());
            answered.push(accepted - asked);
        }
        times::head("");
        times::show("from the request to accepted", &mut answered);
        times::show("from accepted to acknowledged by all", &mut acked);
        times::show("from accepted to verified by a visit", &mut verified);
        Ok(())
    }
}

/// The configuration of an edge, as the program prints it.
fn shipped(program: &Path, kind: &str, origin: SocketAddr, port: u16, folder: &Path) -> String {
    let (origin, listen) = (origin.to_string(), format!("127.0.0.1:{port}"));
    let path = |name| folder.join(name).display().to_string();
    let mut command = Command::new(program);
    command.args(["edge-config", "--kind", kind, "--origin", &origin, "--listen", &listen]);
    command.args(["--allow", "127.0.0.1", "--log", &path("tsv"), "--cache", &path("cache")]);
    let printed = command.output().expect("the program can be started");
    assert!(printed.status.success(), "{printed:?}");
    String::from_utf8(printed.stdout).expect("it prints text")
}

fn success(body: &str) -> Result<Value> {
    let answer: Value = serde_json::from_str(body)?;
    if answer["err"] == 0 { Ok(answer) } else { Err(body.into()) }
}

fn rows(answer: &Value) -> Result<&Vec<Value>> {
    answer["results"].as_array().ok_or_else(|| "no results".into())
}

fn patient(since: Instant, state: &Value) -> Result<()> {
    if since.elapsed() < PATIENCE { Ok(()) } else { Err(format!("it stays so: {state}").into()) }
}
