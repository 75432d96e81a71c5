//! Roll-out of an nginx configuration to five machines: planned, refused by a check, rolled out canary first under kills of
//! the server and of agents, and reverted to what was there, byte by byte.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use pilothouse_test_support::{ProcessGuard, S3Server, edges_or_skip, free_port, postgres_or_skip};
use serde_json::json;

use crate::support::{
    AgentFleet, Installation, ServerGroup, TIMEOUT, TestAgent, TestServer, agent_program_or_skip, with_bucket,
};

/// An nginx configuration that answers a word. What differs by machine is included.
fn configuration(word: &str) -> String {
    format!(
        "daemon off;\npid temp/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n  access_log off;\n  \
         client_body_temp_path temp/body;\n  proxy_temp_path temp/proxy;\n  fastcgi_temp_path temp/fastcgi;\n  \
         uwsgi_temp_path temp/uwsgi;\n  scgi_temp_path temp/scgi;\n  server {{\n    include listen.conf;\n    \
         location / {{ return 200 \"{word}\"; }}\n  }}\n}}\n"
    )
}

/// A running nginx of a machine.
struct Nginx {
    port: u16,
    _process: ProcessGuard,
}

impl Nginx {
    fn start(agent: &TestAgent) -> Self {
        let port = free_port();
        agent.write("conf/listen.conf", &format!("listen 127.0.0.1:{port};\n"), 0o644);
        agent.write("conf/nginx.conf", &configuration("one"), 0o640);
        let mut command = agent.command(Path::new("nginx"));
        command.args(["-e", "stderr", "-p"]).arg(&agent.root).arg("-c").arg(agent.path());
        let process = ProcessGuard::spawn(command.stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
        let nginx = Self { port, _process: process };
        nginx.wait_for("one");
        nginx
    }

    fn answer(&self) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.rsplit("\r\n").next()?.to_owned())
    }

    /// Waits until it answers this word: a reload ends its old processes by and by.
    #[track_caller]
    fn wait_for(&self, word: &str) {
        let begun = Instant::now();
        while self.answer().as_deref() != Some(word) {
            assert!(begun.elapsed() < TIMEOUT, "nginx answers {:?} and not {word}", self.answer());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Kills agents that are at work and a server, until the batch is in one of these states; the number of kills.
async fn disturb(servers: &mut ServerGroup, fleet: &mut AgentFleet, batch: &str, states: &[&str]) -> usize {
    let root = servers.root().await;
    let (begun, mut kills) = (Instant::now(), 0);
    loop {
        let seen = root.update(&format!("batch={batch}")).await;
        if states.iter().any(|state| seen["state"] == *state) {
            return kills;
        }
        assert!(begun.elapsed() < 3 * TIMEOUT, "it is not {states:?}: {seen:#}");
        let is_at_work = |row: &&serde_json::Value| !row["lease_until"].is_null();
        let at_work = seen["tasks"].as_array().unwrap().iter().find(is_at_work);
        if let Some(name) = at_work.map(|row| row["machine"].as_str().unwrap().to_owned())
            && kills < 4
        {
            let agent = fleet.agents.iter_mut().find(|agent| agent.name == name).unwrap();
            if kills % 2 == 0 {
                agent.process().kill9();
                agent.start();
            } else {
                servers.kill(kills / 2).await;
            }
            kills += 1;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn roll_out(installations: Vec<Installation>, program: &Path) {
    let mut servers = ServerGroup::start(installations).await;
    let root = servers.root().await;
    let urls: Vec<_> = servers.running.iter().map(TestServer::url).collect();
    let mut fleet = AgentFleet::enroll(program, &root, &urls, 5).await;
    let nginx: Vec<_> = fleet.agents.iter().map(Nginx::start).collect();
    let before = fleet.states();
    fleet.start();

    // One machine: planned, and refused by the check of what was staged.
    let broken = root.upload("events {\n").await;
    let path = fleet.agents[0].path();
    let task = root.add_update(&path, &broken, json!({"ip": "10.7.0.1"})).await["task_id"].clone();
    root.order("plan", json!({"task_id": task})).await.ok();
    let query = format!("task_id={}", task.as_str().unwrap());
    let begun = Instant::now();
    let plan = loop {
        let seen = root.update(&query).await;
        let plan = seen["plan"].as_str().unwrap().to_owned();
        if !plan.is_empty() {
            assert_eq!(seen["state"], "pending");
            break plan;
        }
        assert!(begun.elapsed() < TIMEOUT, "{seen:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(plan.contains("\"replace\""), "{plan}");
    let ordered = root.order("execute", json!({"task_id": task})).await.ok();
    assert_eq!(ordered["info"]["machines"], json!(["m1"]));
    let failed = root.wait_for_update(&query, &["failed"]).await;
    assert!(failed["message"].as_str().unwrap().contains("nginx-test"), "{failed:#}");
    assert_eq!(fleet.states(), before, "the old file stays");

    // A batch of it stops at its canary.
    let every = json!({"machines": {"usage": "web"}});
    let added = root.add_update(&path, &broken, every).await;
    assert_eq!(added["machines"], json!(["m1", "m2", "m3", "m4", "m5"]));
    root.order("execute", json!({"batch": added["batch"]})).await.ok();
    let held = root.wait_for_update(&batch_query(&added), &["held"]).await;
    assert_eq!(held["counts"], json!({"failed": 1, "pending": 4}));
    assert_eq!(fleet.states(), before);

    // A good one is rolled out under kills; whoever was hit in its confirm window has the old file, and is tried again.
    let good = root.upload(&configuration("two")).await;
    let every =
        json!({"machines": {"all": true}, "reload": "nginx-reload", "confirm_seconds": 30, "mode": "0644"});
    let added = root.add_update(&path, &good, every).await;
    let batch = added["batch"].as_str().unwrap();
    let limits = json!({"batch": batch, "canary": 1, "batch_size": 2, "max_failures": 5});
    root.order("execute", limits).await.ok();
    let mut kills = disturb(&mut servers, &mut fleet, batch, &["succeeded", "failed"]).await;
    let root = servers.root().await;
    while root.update(&batch_query(&added)).await["state"] == "failed" {
        root.order("retry", json!({"batch": batch})).await.ok();
        root.wait_for_update(&batch_query(&added), &["succeeded", "failed"]).await;
    }
    for (agent, nginx) in fleet.agents.iter().zip(&nginx) {
        assert_eq!(agent.content(), configuration("two"), "{}", agent.name);
        nginx.wait_for("two");
    }

    // And back, under kills.
    root.order("revert", json!({"batch": batch})).await.ok();
    kills += disturb(&mut servers, &mut fleet, batch, &["reverted", "revert_failed"]).await;
    let root = servers.root().await;
    root.wait_for_update(&batch_query(&added), &["reverted"]).await;
    assert_eq!(fleet.states(), before, "content, mode, owner and time are the old ones");
    for (agent, nginx) in fleet.agents.iter().zip(&nginx) {
        assert_eq!(agent.litter(), [""; 0], "{}", agent.name);
        nginx.wait_for("one");
    }
    println!("five machines rolled out and reverted under {kills} kills");
}

fn batch_query(added: &serde_json::Value) -> String {
    format!("batch={}", added["batch"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nginx_configuration_on_sqlite() {
    let test = "update::rollout::an_nginx_configuration_on_sqlite";
    let Some(program) = agent_program_or_skip(test).filter(|_| edges_or_skip(test)) else { return };
    roll_out(vec![Installation::sqlite()], &program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nginx_configuration_by_two_servers_on_postgres() {
    let test = "update::rollout::an_nginx_configuration_by_two_servers_on_postgres";
    let Some(program) = agent_program_or_skip(test).filter(|_| edges_or_skip(test)) else { return };
    let Some(postgres) = postgres_or_skip(test) else { return };
    let Some(bucket) = S3Server::start_or_skip(test, "contents") else { return };
    let database = postgres.database();
    let blobs = "s3://contents/pilothouse/blobs";
    let server = || with_bucket(Installation::postgres(&database), "BLOB_DIR", blobs, bucket.port);
    roll_out(vec![server(), server()], &program).await;
}
