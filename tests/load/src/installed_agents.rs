//! Installed agents: the real program on many machines, each a folder with a state of its own. Measures its size and idle
//! memory, how soon the old file is back after a revert was asked for, and a large content that it installs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pilothouse_test_support::ProcessGuard;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::agents::{MEBIBYTE, MemorySampler, SETTLE_TIME, TIMEOUT, upload};
use crate::http::{Connection, Result};
use crate::latency::{print_header, print_percentiles};
use crate::server::{Server, resident_memory};
use crate::tls;

const OLD: &str = "the old greeting";
const NEW: &str = "the new greeting";
/// Interval at which files are looked at, which the times are true to.
const LOOK: Duration = Duration::from_millis(2);

/// Machines with running agents.
#[derive(Debug)]
pub(crate) struct InstalledAgents {
    folder: TempDir,
    processes: Vec<ProcessGuard>,
}

impl InstalledAgents {
    /// Enrols and starts so many agents; prints the size of the program and the memory of an idle one.
    pub(crate) async fn start(
        program: &Path,
        server: &Server,
        root: &mut Connection,
        number: usize,
    ) -> Result<Self> {
        let size = fs::metadata(program)?.len();
        println!("== {number} installed agents: {} of {size} bytes", program.display());
        let folder = tempfile::tempdir()?;
        let mut agents = Self { folder, processes: Vec::new() };
        let machines: Vec<Value> = (0..number).map(machine).collect();
        root.post("/api/machine_info", &json!({"action": "add", "data": machines})).await?;
        for index in 0..number {
            agents.prepare(server, index)?;
            let enroll = json!({"action": "enroll", "data": {"machine_name": name(index)}});
            let code = root.post("/api/machine_info", &enroll).await?["code"].clone();
            let code = code.as_str().ok_or("no code of the enrolment")?;
            if !agents.command(program, index).args(["enroll", "--code", code]).status()?.success() {
                return Err("an agent was not enrolled".into());
            }
            let mut run = agents.command(program, index);
            run.arg("run").stdout(Stdio::null()).stderr(Stdio::null());
            agents.processes.push(ProcessGuard::spawn(&mut run)?);
        }
        sleep(SETTLE_TIME).await;
        let mut most = 0.0_f64;
        for process in &agents.processes {
            most = most.max(resident_memory(process.child.id())?);
        }
        println!("   memory of an idle agent: at most {:.1} MiB", most / MEBIBYTE);
        Ok(agents)
    }

    fn machine_folder(&self, index: usize) -> PathBuf {
        self.folder.path().join(name(index))
    }

    fn file(&self, index: usize) -> PathBuf {
        self.machine_folder(index).join("conf/motd")
    }

    fn prepare(&self, server: &Server, index: usize) -> Result<()> {
        let folder = self.machine_folder(index);
        fs::create_dir_all(folder.join("conf"))?;
        fs::write(self.file(index), OLD)?;
        let (port, shown) = (server.address.port(), folder.display());
        let settings = format!(
            "server = \"https://localhost:{port}\"\nca_file = \"{}\"\nstate_dir = \"{shown}/state\"\n\
             reserve_percent = 0\nallow = [\"{shown}/conf\"]\n",
            tls::authority().display()
        );
        let path = folder.join("agent.toml");
        fs::write(&path, settings)?;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
    }

    fn command(&self, program: &Path, index: usize) -> Command {
        let mut command = Command::new(program);
        command.arg("--config").arg(self.machine_folder(index).join("agent.toml"));
        command
    }

    /// Adds a task for the file of each of the first machines, and orders it; their ids.
    async fn update(&self, root: &mut Connection, sha256: &str, number: usize) -> Result<Vec<Value>> {
        let task = |index: usize| {
            json!({
                "ip": address(index), "action": "update", "content": self.file(index), "description": "load",
                "sha256": sha256,
            })
        };
        let tasks: Vec<Value> = (0..number).map(task).collect();
        let added = root.post("/api/task", &json!({"action": "add", "data": tasks})).await?;
        let added = added.as_array().ok_or("no list of tasks")?;
        let ids: Vec<Value> = added.iter().map(|row| row["task_id"].clone()).collect();
        for id in &ids {
            root.post("/api/update", &json!({"action": "execute", "data": {"task_id": id}})).await?;
        }
        Ok(ids)
    }

    /// Updates a file on every machine and has it reverted; prints how long after the request each old file is back.
    pub(crate) async fn measure_reverts(&self, root: &mut Connection) -> Result<()> {
        let number = self.processes.len();
        let sha256 = upload(root, NEW.as_bytes()).await?;
        let ids = self.update(root, &sha256, number).await?;
        wait_for(root, &ids, "succeeded").await?;
        let mut waiting = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            let begun = Instant::now();
            root.post("/api/update", &json!({"action": "revert", "data": {"task_id": id}})).await?;
            let file = self.file(index);
            waiting.push(tokio::spawn(async move {
                while fs::read_to_string(&file).is_ok_and(|content| content != OLD) {
                    if begun.elapsed() > TIMEOUT {
                        return Err("a file did not come back");
                    }
                    sleep(LOOK).await;
                }
                Ok(begun.elapsed())
            }));
        }
        let mut times = Vec::new();
        for one in waiting {
            times.push(one.await??);
        }
        wait_for(root, &ids, "reverted").await?;
        print_header("from the request of the revert");
        print_percentiles("the old file is back", &mut times);
        Ok(())
    }

    /// Has a large content installed by the first machines, and prints the time and the most memory of the server meanwhile.
    pub(crate) async fn measure_install(
        &self,
        root: &mut Connection,
        server: &Server,
        sha256: &str,
        number: usize,
    ) -> Result<()> {
        let number = number.min(self.processes.len());
        println!("== the large content to {number} agents that install it");
        let before = resident_memory(server.id())?;
        let memory = MemorySampler::start(server.id());
        let begun = Instant::now();
        let ids = self.update(root, sha256, number).await?;
        wait_for(root, &ids, "succeeded").await?;
        let most = memory.stop().await?;
        println!("   installed everywhere after {:.2} s", begun.elapsed().as_secs_f64());
        println!(
            "   memory of the server: {:.1} MiB before, at most {:.1} MiB meanwhile",
            before / MEBIBYTE,
            most / MEBIBYTE
        );
        Ok(())
    }
}

/// Waits until every task is in a state.
async fn wait_for(root: &mut Connection, ids: &[Value], state: &str) -> Result<()> {
    let begun = Instant::now();
    for id in ids {
        let target = format!("/api/update?task_id={}", id.as_str().ok_or("no id of a task")?);
        loop {
            let seen: Value = serde_json::from_str(&root.call("GET", &target, "", "").await?.body)?;
            if seen["info"]["state"] == state {
                break;
            }
            if begun.elapsed() > TIMEOUT || seen["info"]["state"] == "failed" {
                return Err(format!("a task is not {state}: {seen}").into());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

fn name(index: usize) -> String {
    format!("installed-{index:04}")
}

/// Address of a machine, beside those of the other agents.
fn address(index: usize) -> String {
    format!("10.255.{}.{}", index / 250, index % 250 + 1)
}

fn machine(index: usize) -> Value {
    json!({
        "machine_name": name(index), "inside_ip": address(index), "outside_ip": "", "usage": "installed",
        "is_initialized": 0, "location": "here",
    })
}
