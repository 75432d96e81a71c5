//! Measurement of vendors: the time until four of them have purged many URLs of one customer, beside the time that their limits
//! allow.
//!
//! The vendors are the fakes of `tests/vendors`, which refuse and count every call beyond a limit. `server/benches/vendors`
//! builds and runs it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use pilothouse_test_support::FakeVendors;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::http::{Connection, Result};
use crate::server::{MAIL, Server, cpu_time};
use crate::vendor_limits::VendorLimits;

/// The most URLs of one request.
const MAX_URLS: usize = 1000;
/// Interval of looks at the list of jobs.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Rest before the first job, in which the server's buckets of calls fill.
const REST: Duration = Duration::from_secs(12);
/// Time-out, as a multiple of the time that the limits allow, and beside it.
const TIMEOUT: u32 = 5;
const TIMEOUT_BESIDE: Duration = Duration::from_mins(2);
/// Quota of a day, which is raised, and answers that are delayed.
const MANY: usize = 1_000_000;

/// Options of the measurement.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Program of the Pilothouse server
    #[arg(long)]
    program: PathBuf,
    /// Number of URLs
    #[arg(long, default_value_t = 10_000)]
    urls: usize,
    /// Seconds that a task of a vendor takes
    #[arg(long, default_value_t = 10.0)]
    task_seconds: f64,
    /// Seconds after which a vendor answers
    #[arg(long, default_value_t = 0.0)]
    latency: f64,
    /// Plan of the Cloudflare account, which decides its rate
    #[arg(long, default_value = "pro")]
    plan: Plan,
}

/// Plans whose rate is documented by the second.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Plan {
    Pro,
    Business,
    Enterprise,
}

impl Plan {
    /// Name in settings, and calls, seconds and burst.
    fn of(self) -> (&'static str, [u32; 3]) {
        match self {
            Self::Pro => ("pro", [5, 1, 25]),
            Self::Business => ("business", [10, 1, 50]),
            Self::Enterprise => ("enterprise", [50, 1, 500]),
        }
    }
}

/// Vendors, and a server with a customer who has a domain on all of them.
struct Stage {
    fakes: FakeVendors,
    server: Server,
    api: Connection,
    _secrets: TempDir,
}

/// Measured times of one vendor.
struct Row {
    vendor: &'static str,
    wall: Duration,
    allowed: Duration,
    requests: u64,
    exceeded: u64,
}

/// Runs the measurement and prints the results. Fails where a limit was exceeded, or a URL was sent twice or never.
pub(crate) async fn measure(args: Args) -> Result<()> {
    let Args { urls, task_seconds, latency, plan, .. } = args;
    let mut stage = Stage::start(&args).await?;
    println!(
        "== {urls} URLs, tasks of {task_seconds} s, answers after {latency} s, Cloudflare's plan {plan:?}"
    );
    sleep(REST).await;
    let before = cpu_time(stage.server.id())?;
    let limits: Vec<_> = stage.fakes.names().map(|name| stage.limits(name)).collect::<Result<_>>()?;
    let whole_allowed = limits.iter().map(|limits| limits.allow(urls)).max().unwrap_or_default();
    let walls = stage.refresh(urls, whole_allowed).await?;
    let cpu = cpu_time(stage.server.id())?.saturating_sub(before);
    let mut rows = Vec::new();
    for ((vendor, limits), wall) in stage.fakes.names().zip(limits).zip(walls) {
        let (requests, exceeded) = stage.calls(vendor)?;
        rows.push(Row { vendor, wall, allowed: limits.allow(urls), requests, exceeded });
        stage.check_urls(vendor, urls)?;
    }
    println!(
        "   {:12} {:>8} {:>14} {:>6} {:>9} {:>9}",
        "", "wall s", "limits allow s", "ratio", "requests", "exceeded"
    );
    for Row { vendor, wall, allowed, requests, exceeded } in &rows {
        let (wall, allowed) = (wall.as_secs_f64(), allowed.as_secs_f64());
        let ratio = wall / allowed;
        println!("   - {vendor:10} {wall:8.2} {allowed:14.2} {ratio:6.2} {requests:9} {exceeded:9}");
    }
    let wall = rows.iter().map(|row| row.wall).max().unwrap_or_default().as_secs_f64();
    let (allowed, exceeded) = (whole_allowed.as_secs_f64(), rows.iter().map(|row| row.exceeded).sum::<u64>());
    let requests: u64 = rows.iter().map(|row| row.requests).sum();
    println!(
        "   - {:10} {wall:8.2} {allowed:14.2} {:6.2} {requests:9} {exceeded:9}",
        "whole",
        wall / allowed
    );
    println!("   {:.1} s of the server's processor time", cpu.as_secs_f64());
    if exceeded > 0 { Err(format!("limits were exceeded {exceeded} times").into()) } else { Ok(()) }
}

impl Stage {
    async fn start(args: &Args) -> Result<Self> {
        let (plan, rate) = args.plan.of();
        let settings = |name: &str| {
            let mut settings = match name {
                "tencent" => json!({"quota": {"url": MANY, "path": MANY, "push": MANY}}),
                "alibaba" => json!({"quota": {"file": MANY, "directory": MANY, "preload": MANY}}),
                "cloudflare" => json!({"purge_rate": rate, "global_rate": MANY}),
                _ => json!({}),
            };
            settings["task_seconds"] = args.task_seconds.into();
            settings.to_string()
        };
        let fakes = FakeVendors::start_or_skip("vendors", settings).ok_or("python3 is not installed")?;
        let secrets = tempfile::tempdir()?;
        let server = Server::start(&args.program, &fakes.settings(secrets.path(), plan)?).await?;
        let mut stage = Self { api: server.login().await?, fakes, server, _secrets: secrets };
        stage.api.post_cdn("user", &json!({"login_email": MAIL, "password": "another password"})).await?;
        let names: Vec<_> = stage.fakes.names().collect();
        for cdn in names {
            let domains = json!({"login_email": MAIL, "cdn": cdn, "domains": [FakeVendors::DOMAIN]});
            stage.api.post_cdn("user_domains", &domains).await?;
            if args.latency > 0.0 {
                let slow = json!({"op": "*", "kind": "delay", "seconds": args.latency, "times": MANY});
                stage.fakes.get(cdn).set(&json!({"faults": [slow]}).to_string());
            }
        }
        Ok(stage)
    }

    /// Limits of a vendor as its fake keeps them.
    fn limits(&self, name: &str) -> Result<VendorLimits> {
        let state: Value = serde_json::from_str(&self.fakes.get(name).state())?;
        VendorLimits::of(name, &state["settings"])
            .ok_or_else(|| format!("{name} has unknown settings").into())
    }

    /// Refreshes URLs; the times until each vendor has purged all of them, in the order of their names.
    async fn refresh(&mut self, urls: usize, allowed: Duration) -> Result<Vec<Duration>> {
        let begun = Instant::now();
        for first in (0..urls).step_by(MAX_URLS) {
            let numbers = first..(first + MAX_URLS).min(urls);
            let path: Vec<_> = numbers.map(|n| format!("https://{}/{n}.jpg", FakeVendors::DOMAIN)).collect();
            self.api.post_cdn("refresh", &json!({"login_email": MAIL, "path": path.join("|")})).await?;
        }
        println!("   accepted after {:.2} s", begun.elapsed().as_secs_f64());
        let names: Vec<_> = self.fakes.names().collect();
        let mut walls = vec![None; names.len()];
        while walls.contains(&None) {
            let listed = self.api.get_cdn("jobs?count=100").await?;
            let requests = listed["results"].as_array().ok_or("no list of jobs")?;
            let parts: Vec<_> = requests.iter().filter_map(|row| row["parts"].as_array()).flatten().collect();
            if let Some(failed) = parts.iter().find(|part| part["state"] == "failed") {
                return Err(format!("a job failed: {failed}").into());
            }
            for (name, wall) in names.iter().zip(&mut walls) {
                let mut own = parts.iter().filter(|part| part["cdn"] == **name);
                if wall.is_none() && own.all(|part| part["state"] == "done") {
                    *wall = Some(begun.elapsed());
                }
            }
            if begun.elapsed() > allowed * TIMEOUT + TIMEOUT_BESIDE {
                return Err(format!("timed out in the state {listed}").into());
            }
            sleep(POLL_INTERVAL).await;
        }
        Ok(walls.into_iter().flatten().collect())
    }

    /// Calls that a vendor answered, and those that it refused.
    fn calls(&self, name: &str) -> Result<(u64, u64)> {
        let state: Value = serde_json::from_str(&self.fakes.get(name).state())?;
        let calls = state["calls"].as_object().ok_or("no calls")?;
        let count = |is_refused: bool| {
            let own = calls.iter().filter(|(call, _)| call.starts_with("refused ") == is_refused);
            own.filter_map(|(_, count)| count.as_u64()).sum()
        };
        Ok((count(false), count(true)))
    }

    /// Refuses URLs that a vendor was sent twice, or not at all.
    fn check_urls(&self, name: &str, urls: usize) -> Result<()> {
        let state: Value = serde_json::from_str(&self.fakes.get(name).state())?;
        let tasks = state["tasks"].as_object().into_iter().flat_map(|tasks| tasks.values());
        let tasks = tasks.map(|task| &task["urls"]);
        // A purge of Cloudflare leaves no task.
        let log = state["log"].as_array().into_iter().flatten().map(|call| &call[2]["files"]);
        let sent = tasks.chain(log).filter_map(Value::as_array).flatten().filter_map(Value::as_str);
        let mut sent: Vec<_> = sent.collect();
        let calls = sent.len();
        sent.sort_unstable();
        sent.dedup();
        if (sent.len(), calls) == (urls, urls) {
            return Ok(());
        }
        Err(format!("{name} was sent {} of {urls} URLs, {calls} times", sent.len()).into())
    }
}
