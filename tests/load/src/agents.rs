//! Measurement of updates: the server's memory for an idle agent, the time until an agent has an order, a batch to all of
//! them, and a large content to some, everything over TLS.
//!
//! `server/benches/agents` builds and runs it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::http::{Connection, Result};
use crate::installed_agents::InstalledAgents;
use crate::latency::{print_header, print_percentiles};
use crate::server::{Server, resident_memory};
use crate::tls;
use crate::update_agent::{CarriedOut, UpdateAgent};

/// The most machines of one batch, and of one request that adds them.
const AT_ONCE: usize = 1000;
/// Bytes of one piece of an upload.
const PIECE: usize = 8 << 20;
pub(crate) const MEBIBYTE: f64 = 1_048_576.0;
/// Agents that connect at the same time, so that none waits for longer than the server lets it.
const CONNECTING: usize = 64;
/// Idle time before the memory of the server is read.
pub(crate) const SETTLE_TIME: Duration = Duration::from_secs(3);
/// Interval of reading the memory during the downloads.
const SAMPLE: Duration = Duration::from_millis(20);
/// Time-out of every wait, after which the measurement fails.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(5);

/// Options of the measurement.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Server program
    #[arg(long)]
    program: PathBuf,
    /// Agents in a long poll; a batch is for the first thousand of them
    #[arg(long, default_value_t = 200)]
    agents: usize,
    /// Single orders, one after the other
    #[arg(long, default_value_t = 100)]
    orders: usize,
    /// Agents that download the large content at the same time
    #[arg(long, default_value_t = 20)]
    downloaders: usize,
    /// The agent's program, for the measurements of installed agents
    #[arg(long)]
    agent: Option<PathBuf>,
    /// Installed agents
    #[arg(long, default_value_t = 20)]
    installed: usize,
    /// Installed agents that install the large content
    #[arg(long, default_value_t = 5)]
    installing: usize,
    /// Size of the large content in MiB
    #[arg(long, default_value_t = 32)]
    mebibytes: usize,
}

/// Runs the measurements and prints the results.
pub(crate) async fn measure(args: Args) -> Result<()> {
    let mut server = Server::start_with_tls(&args.program, &tls::settings()?).await?;
    let mut root = server.login().await?;
    let small = upload(&mut root, b"a new greeting").await?;
    let names: Vec<String> = (0..args.agents).map(|number| format!("agent-{number:05}")).collect();
    println!("== {} agents over TLS", args.agents);
    let agents = enroll(&mut root, &names, &small).await?;

    // A new process, whose memory is not that which log-ins and enrolments have left.
    server.kill9();
    server.start_process().await?;
    sleep(SETTLE_TIME).await;
    let without = resident_memory(server.id())?;
    let (done, mut carried_out) = unbounded_channel();
    let mut running = JoinSet::new();
    let mut agents = agents.into_iter();
    while agents.len() > 0 {
        let connecting = agents.by_ref().take(CONNECTING).map(|agent| agent.connect(server.endpoint()));
        for agent in connecting.collect::<JoinSet<_>>().join_all().await {
            running.spawn(agent?.run(done.clone()));
        }
    }
    sleep(SETTLE_TIME).await;
    let each = (resident_memory(server.id())? - without) / 1024.0 / f64::from(u32::try_from(args.agents)?);
    println!("   memory of an idle agent: {each:.1} KiB");

    let mut root = server.login().await?;
    single_orders(&args, &mut root, &small, &mut carried_out).await?;
    let batch = Batch { sha256: small, names: names.into_iter().take(AT_ONCE).collect() };
    println!("== a batch of {}", batch.names.len());
    let (begun, all) = batch.execute(&mut root, &mut carried_out).await?;
    print_header("from the request");
    print_percentiles("the agent has its order", &mut since(begun, all.iter().map(|one| one.picked_up)));
    println!("   the batch has succeeded after {:.2} s", begun.elapsed().as_secs_f64());

    let content = vec![b'x'; args.mebibytes << 20];
    println!("== {} MiB to {} agents at the same time", args.mebibytes, args.downloaders);
    let uploading = Instant::now();
    let large = upload(&mut root, &content).await?;
    println!("   uploaded durably in {:.2} s", uploading.elapsed().as_secs_f64());
    let batch =
        Batch { sha256: large.clone(), names: batch.names.into_iter().take(args.downloaders).collect() };
    sleep(SETTLE_TIME).await;
    let before = resident_memory(server.id())?;
    let memory = MemorySampler::start(server.id());
    let (begun, all) = batch.execute(&mut root, &mut carried_out).await?;
    let most = memory.stop().await?;
    let mut times = since(begun, all.iter().map(|one| one.downloaded));
    print_header("from the request");
    print_percentiles("the content is there", &mut times);
    let slowest = times.last().map_or(f64::NAN, Duration::as_secs_f64);
    let moved = f64::from(u32::try_from(args.mebibytes * all.len())?);
    println!("   {:.0} MiB/s in all", moved / slowest);
    println!(
        "   memory of the server: {:.1} MiB before, at most {:.1} MiB meanwhile",
        before / MEBIBYTE,
        most / MEBIBYTE
    );
    drop(running);
    let Some(program) = &args.agent else { return Ok(()) };
    let installed = InstalledAgents::start(program, &server, &mut root, args.installed).await?;
    installed.measure_reverts(&mut root).await?;
    installed.measure_install(&mut root, &server, &large, args.installing).await
}

/// Adds machines and enrols their agents, which have the content of this hash.
async fn enroll(root: &mut Connection, names: &[String], known: &str) -> Result<Vec<UpdateAgent>> {
    let machines: Vec<Value> = names.iter().enumerate().map(|(number, name)| machine(number, name)).collect();
    for some in machines.chunks(AT_ONCE) {
        root.post("/api/machine_info", &json!({"action": "add", "data": some})).await?;
    }
    let mut agents = Vec::with_capacity(names.len());
    for name in names {
        agents.push(UpdateAgent::enroll(root, name, known).await?);
    }
    Ok(agents)
}

fn machine(number: usize, name: &str) -> Value {
    json!({
        "machine_name": name, "inside_ip": address(number), "outside_ip": "", "usage": "load",
        "is_initialized": 0, "location": "here",
    })
}

fn address(number: usize) -> String {
    format!("10.{}.{}.{}", (number >> 16) & 255, (number >> 8) & 255, number & 255)
}

/// Uploads a content in pieces; its hash.
pub(crate) async fn upload(root: &mut Connection, content: &[u8]) -> Result<String> {
    let sha256 = hex::encode(Sha256::digest(content));
    for (index, piece) in content.chunks(PIECE).enumerate() {
        let (size, offset) = (content.len(), index * PIECE);
        let target = format!("/api/blob?sha256={sha256}&size={size}&offset={offset}");
        let taken = root.call("PUT", &target, "", std::str::from_utf8(piece)?).await?;
        if taken.status() != "200" {
            return Err(format!("{target}: {}", taken.body).into());
        }
    }
    Ok(sha256)
}

/// Task with a content, for the machines that `target` names.
async fn add(root: &mut Connection, sha256: &str, target: (&str, Value)) -> Result<Value> {
    let mut task =
        json!({"action": "update", "content": "/etc/motd", "description": "load", "sha256": sha256});
    task[target.0] = target.1;
    root.post("/api/task", &json!({"action": "add", "data": task})).await
}

/// Orders single tasks one after the other, and prints how long it takes until the order is durable, and until the agent has it.
async fn single_orders(
    args: &Args,
    root: &mut Connection,
    sha256: &str,
    carried_out: &mut UnboundedReceiver<Result<CarriedOut>>,
) -> Result<()> {
    let (mut answered, mut picked_up) = (Vec::new(), Vec::new());
    for number in 0..args.orders {
        let added = add(root, sha256, ("ip", address(number % args.agents).into())).await?;
        let execute = json!({"action": "execute", "data": {"task_id": added["task_id"]}});
        let begun = Instant::now();
        root.post("/api/update", &execute).await?;
        answered.push(begun.elapsed());
        let done = next(carried_out).await?;
        picked_up.push(done.picked_up.saturating_duration_since(begun));
    }
    print_header("from the request of a single order");
    print_percentiles("it is durable and answered", &mut answered);
    print_percentiles("the agent has it", &mut picked_up);
    Ok(())
}

async fn next(carried_out: &mut UnboundedReceiver<Result<CarriedOut>>) -> Result<CarriedOut> {
    let next = timeout(TIMEOUT, carried_out.recv()).await.map_err(|_| "timed out waiting for an agent")?;
    next.ok_or("no agent is left")?
}

fn since(begun: Instant, times: impl Iterator<Item = Instant>) -> Vec<Duration> {
    times.map(|time| time.saturating_duration_since(begun)).collect()
}

/// Content for many machines.
struct Batch {
    sha256: String,
    names: Vec<String>,
}

impl Batch {
    /// Orders it for all machines at once, and waits until it has succeeded; the time of the request, and what the agents did.
    async fn execute(
        &self,
        root: &mut Connection,
        carried_out: &mut UnboundedReceiver<Result<CarriedOut>>,
    ) -> Result<(Instant, Vec<CarriedOut>)> {
        let added = add(root, &self.sha256, ("machines", json!({"names": self.names}))).await?;
        let batch = added["batch"].as_str().ok_or("no batch")?;
        let limits = json!({"batch": batch, "canary": 0, "batch_size": self.names.len()});
        let begun = Instant::now();
        root.post("/api/update", &json!({"action": "execute", "data": limits})).await?;
        let mut all = Vec::with_capacity(self.names.len());
        for _ in &self.names {
            all.push(next(carried_out).await?);
        }
        let target = format!("/api/update?batch={batch}");
        loop {
            let seen: Value = serde_json::from_str(&root.call("GET", &target, "", "").await?.body)?;
            match seen["info"]["state"].as_str() {
                Some("succeeded") => return Ok((begun, all)),
                Some("running") => sleep(Duration::from_millis(50)).await,
                _ => return Err(format!("the batch did not succeed: {seen}").into()),
            }
        }
    }
}

/// Reads the memory of a process again and again.
pub(crate) struct MemorySampler {
    end: oneshot::Sender<()>,
    most: JoinHandle<Result<f64>>,
}

impl MemorySampler {
    pub(crate) fn start(process: u32) -> Self {
        let (end, mut ended) = oneshot::channel();
        let most = tokio::spawn(async move {
            let mut most = resident_memory(process)?;
            while timeout(SAMPLE, &mut ended).await.is_err() {
                most = most.max(resident_memory(process)?);
            }
            Ok(most)
        });
        Self { end, most }
    }

    /// The most memory that it had.
    pub(crate) async fn stop(self) -> Result<f64> {
        drop(self.end);
        self.most.await?
    }
}
