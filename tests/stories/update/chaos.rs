//! Chaos: many tasks while servers and agents are killed, an agent is stopped for longer than its lease, clocks are set an hour
//! ahead and back, and connections are cut, so that answers are lost. No order is lost, none is carried out twice, what a task says of its file is true, and nothing
//! is stuck 90 s after the last fault. `PILOTHOUSE_TEST_TASKS` sets the number of tasks, 1000 by default, and
//! `PILOTHOUSE_TEST_SEED` the faults.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use pilothouse_test_support::{Rng, Signal, TcpProxy, env_number, postgres_or_skip};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::{
    AgentFleet, Answer, ApiClient, FakeClock, Installation, ServerGroup, agent_program_or_skip, chmod,
};

/// Machines in a group: one agent of each group is hit by a fault, and each group has somebody who orders its tasks.
const GROUP: usize = 5;
/// Tasks for each group, so that a long campaign has more agents and does not take longer in proportion.
const TASKS_OF_GROUP: usize = 1250;
/// Time for which one agent is stopped: longer than its lease.
const STOPPED: Duration = Duration::from_secs(75);
/// Time after the last fault within which everything has ended.
const SETTLED: Duration = Duration::from_secs(90);

/// A task of the campaign.
struct Task {
    id: String,
    machine: usize,
    file: String,
    content: String,
}

fn tasks() -> usize {
    usize::try_from(env_number("PILOTHOUSE_TEST_TASKS", 1000)).unwrap()
}

/// Machines with their agents: one group for up to 1250 tasks, and one more for each 1250 after that.
fn machines() -> usize {
    tasks().div_ceil(TASKS_OF_GROUP) * GROUP
}

/// Adds the tasks, each for a file of its own.
async fn add(root: &ApiClient, fleet: &AgentFleet) -> Vec<Task> {
    let contents: Vec<String> = (0..10).map(|n| format!("{n}\n").repeat(1 << n)).collect();
    let mut hashes = Vec::new();
    for content in &contents {
        hashes.push(root.upload(content).await);
    }
    let mut added = Vec::new();
    let numbers: Vec<usize> = (0..tasks()).collect();
    let machines = fleet.agents.len();
    for some in numbers.chunks(100) {
        let data = |n: &usize| {
            let path = fleet.agents[n % machines].root.join(format!("conf/file-{n}"));
            json!({
                "ip": format!("10.7.0.{}", n % machines + 1), "action": "update", "content": path,
                "description": "chaos", "sha256": hashes[n % 10],
            })
        };
        let list: Vec<Value> = some.iter().map(data).collect();
        let ids = root.post("/api/task", json!({"action": "add", "data": list})).await.ok()["info"].clone();
        for (n, id) in some.iter().zip(ids.as_array().unwrap()) {
            let id = id["task_id"].as_str().unwrap().to_owned();
            let content = contents[n % 10].clone();
            added.push(Task { id, machine: n % machines, file: format!("file-{n}"), content });
        }
    }
    added
}

/// Orders every task, twice at once where the dice say so, and again as long as no answer arrives.
async fn execute(root: ApiClient, ids: Vec<String>, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    for id in ids {
        loop {
            let order = || json!({"action": "execute", "data": {"task_id": id}});
            let (one, other) = (order(), order());
            let first = root.send("POST", "/api/update", Some(&one));
            let answers = if rng.u8(..10) == 0 {
                let (first, second) = tokio::join!(first, root.send("POST", "/api/update", Some(&other)));
                let done = [&first, &second].into_iter().flatten().filter(|answer| answer.is_ok()).count();
                assert!(done <= 1, "task {id} was ordered twice");
                vec![first, second]
            } else {
                vec![first.await]
            };
            // Refused as ordered already: the answer to an earlier call was lost.
            let is_ordered = |answer: &Answer| answer.is_ok() || answer.codes().1 == 409;
            if answers.iter().flatten().any(is_ordered) {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Number of tasks that have not ended, up to 1000 of each status.
async fn open(root: &ApiClient) -> usize {
    let mut open = 0;
    for status in [0, 1, 5] {
        let page = root.send("GET", &format!("/api/task_status?status={status}&count=1000"), None).await;
        let Ok(page) = page else { return usize::MAX };
        if !page.is_ok() {
            return usize::MAX;
        }
        open += page.body["info"].as_array().unwrap().len();
    }
    open
}

/// Clocks of the servers and of each machine. An hour ahead, an hour back, or right.
struct Clocks {
    _folder: TempDir,
    servers: FakeClock,
    machines: Vec<FakeClock>,
}

impl Clocks {
    fn new_or_skip(test: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        // Half of the agents are not the user of the tests.
        chmod(folder.path(), 0o755);
        let servers = FakeClock::new_or_skip(test, folder.path(), "servers")?;
        let clock = |n| FakeClock::new_or_skip(test, folder.path(), &format!("machine-{n}"));
        let machines = (0..machines()).map(clock).collect::<Option<_>>()?;
        Some(Self { _folder: folder, servers, machines })
    }

    /// Sets one of them.
    fn disturb(&self, rng: &mut Rng) {
        let seconds = 3600 * rng.i64(-1..=1);
        match self.machines.get(rng.usize(..2 * self.machines.len())) {
            Some(machine) => machine.set(seconds),
            None => self.servers.set(seconds),
        }
    }

    fn set_right(&self) {
        self.machines.iter().chain([&self.servers]).for_each(|clock| clock.set(0));
    }
}

async fn campaign(installations: Vec<Installation>, program: &Path, clocks: &Clocks) {
    let seed = env_number("PILOTHOUSE_TEST_SEED", 1);
    let mut rng = Rng::with_seed(seed);
    let installations =
        installations.into_iter().map(|installation| installation.with_clock(&clocks.servers)).collect();
    let mut servers = ServerGroup::start(installations).await;
    let proxies: Vec<_> = servers.running.iter().map(|server| TcpProxy::to(server.port)).collect();
    let urls: Vec<_> = proxies.iter().map(|proxy| format!("http://127.0.0.1:{}", proxy.port)).collect();
    let root = servers.root().await;
    let mut fleet = AgentFleet::enroll(program, &root, &urls, machines()).await;
    let tasks = add(&root, &fleet).await;
    for (agent, clock) in fleet.agents.iter_mut().zip(&clocks.machines) {
        agent.set_clock(clock);
    }
    fleet.start();
    let mut ordering = JoinSet::new();
    let ids: Vec<_> = tasks.iter().map(|task| task.id.clone()).collect();
    for (some, seed) in ids.chunks(TASKS_OF_GROUP).zip(seed..) {
        ordering.spawn(execute(root.clone(), some.to_vec(), seed));
    }

    let begun = Instant::now();
    let mut faults: BTreeMap<&str, u32> = BTreeMap::new();
    let last = fleet.agents.len() - 1;
    let mut is_stopped = false;
    // The rest has to end without faults. More than the page of a status cannot be told from it.
    let rest = (tasks.len() / 10).min(500);
    while begun.elapsed() < STOPPED || !is_finished(&mut ordering) || open(&root).await > rest {
        sleep(Duration::from_millis(rng.u64(500..3000))).await;
        assert!(begun.elapsed() < Duration::from_hours(1), "seed {seed}: {} are open", open(&root).await);
        let fault = match rng.u8(..9) {
            0 => {
                servers.kill(rng.usize(..2)).await;
                "server killed"
            }
            1 => {
                clocks.disturb(&mut rng);
                "clock set"
            }
            2..=5 => {
                // The last one is stopped.
                for group in fleet.agents[..last].chunks_mut(GROUP) {
                    group[rng.usize(..group.len())].start();
                }
                "agent of each group killed"
            }
            _ => {
                let proxy = &proxies[rng.usize(..proxies.len())];
                proxy.partition();
                sleep(Duration::from_millis(rng.u64(..500))).await;
                proxy.heal();
                "connections cut"
            }
        };
        *faults.entry(fault).or_default() += 1;
        if !is_stopped {
            is_stopped = true;
            fleet.agents[last].process().signal(Signal::STOP);
            *faults.entry("agent stopped").or_default() += 1;
        } else if begun.elapsed() > STOPPED {
            fleet.agents[last].process().signal(Signal::CONT);
        }
    }
    fleet.agents[last].process().signal(Signal::CONT);
    clocks.set_right();
    let ended = Instant::now();
    while open(&root).await > 0 {
        assert!(ended.elapsed() < SETTLED, "seed {seed}: {} are stuck", open(&root).await);
        sleep(Duration::from_millis(200)).await;
    }
    let settled = ended.elapsed();
    let states = check(&root, &fleet, &tasks, seed).await;
    println!("{} tasks, {faults:?}: {states:?}, settled after {settled:?}", tasks.len());
}

/// Whether every task was ordered. A panic of somebody who orders is passed on.
fn is_finished(ordering: &mut JoinSet<()>) -> bool {
    while let Some(one) = ordering.try_join_next() {
        one.unwrap();
    }
    ordering.is_empty()
}

/// Checks every task against its file and the journal of its agent; the number in each state.
async fn check(root: &ApiClient, fleet: &AgentFleet, tasks: &[Task], seed: u64) -> BTreeMap<String, usize> {
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for task in tasks {
        let seen = root.update(&format!("task_id={}", task.id)).await;
        let state = seen["state"].as_str().unwrap();
        let agent = &fleet.agents[task.machine];
        let found = fs::read_to_string(agent.folder.join("conf").join(&task.file)).ok();
        let expected = (state == "succeeded").then(|| task.content.clone());
        assert!(["succeeded", "failed"].contains(&state), "seed {seed}: {seen:#}");
        assert!(found == expected, "seed {seed}: a task that is {state} has another file: {seen:#}");
        assert!(agent.replacements(&task.file) <= 1, "seed {seed}: it was carried out twice: {seen:#}");
        *states.entry(state.to_owned()).or_default() += 1;
    }
    for agent in &fleet.agents {
        assert_eq!(agent.litter(), [""; 0], "seed {seed}: {}", agent.name);
    }
    // Faults may end an attempt before its swap, and most did not.
    assert!(states["succeeded"] > tasks.len() / 2, "seed {seed}: {states:?}");
    states
}

#[tokio::test(flavor = "multi_thread")]
async fn no_task_is_lost_or_done_twice_on_sqlite() {
    let test = "update::chaos::no_task_is_lost_or_done_twice_on_sqlite";
    let Some(program) = agent_program_or_skip(test) else { return };
    let Some(clocks) = Clocks::new_or_skip(test) else { return };
    campaign(vec![Installation::sqlite()], &program, &clocks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_task_is_lost_or_done_twice_by_two_servers_on_postgres() {
    let test = "update::chaos::no_task_is_lost_or_done_twice_by_two_servers_on_postgres";
    let Some(program) = agent_program_or_skip(test) else { return };
    let Some(postgres) = postgres_or_skip(test) else { return };
    let (database, blobs) = (postgres.database(), tempfile::tempdir().unwrap());
    let blob_dir = blobs.path().display().to_string();
    let server = || Installation::postgres(&database).with("BLOB_DIR", &blob_dir);
    let Some(clocks) = Clocks::new_or_skip(test) else { return };
    campaign(vec![server(), server()], &program, &clocks).await;
}
