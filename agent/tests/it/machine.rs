//! Machine of a test: a folder whose files orders may replace, a state folder, settings, and the agent on them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use pilothouse_agent::{Agent, Error, Order, Refusal, Report, Settings, Sha256Hex, TaskId};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_pilothouse-agent");

/// Commands that every test machine declares.
const COMMANDS: &str = r#"
[command.has-new]
argv = ["grep", "-q", "new", "{staged}"]
[command.refuse]
argv = ["sh", "-c", "echo not like this; exit 3"]
[command.hang]
argv = ["sleep", "60"]
timeout_seconds = 1
[command.reload]
argv = ["true"]
[command.reload-fails]
argv = ["false"]
"#;

/// Test machine, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) root: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::with_settings("")
    }

    /// Machine with more commands, or other tables, in its settings.
    pub(crate) fn with_settings(more: &str) -> Self {
        // The real path: a temporary folder may be a symbolic link, which the agent refuses.
        let base = std::env::temp_dir().canonicalize().unwrap();
        let root = tempfile::Builder::new().prefix("agent-").tempdir_in(base).unwrap();
        let machine = Self { root };
        fs::create_dir(machine.path("conf")).unwrap();
        machine.write_settings(&format!("{COMMANDS}{more}"));
        machine
    }

    pub(crate) fn write_settings(&self, tables: &str) {
        let root = self.root.path().display();
        let text =
            format!("state_dir = \"{root}/state\"\nreserve_percent = 0\nallow = [\"{root}/conf\"]\n{tables}");
        fs::write(self.settings_file(), text).unwrap();
        fs::set_permissions(self.settings_file(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn settings_file(&self) -> PathBuf {
        self.path("agent.toml")
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    /// File in the allowed folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path("conf").join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.file(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }

    /// Declares the reloads of a service that runs with a copy of a file, which it loads now: `load`, and `load-old`, which
    /// fails unless the file has this text.
    pub(crate) fn install_service(&self, name: &str, old: &str) {
        const LOAD: &str =
            r#"if [ -e "$1" ]; then cp "$1" "$2.new" && mv "$2.new" "$2"; else rm -f "$2"; fi"#;
        let (file, loaded) = (self.file(name), self.loaded());
        let load = json!(["sh", "-c", LOAD, "sh", file, loaded]);
        let load_old =
            json!(["sh", "-c", format!("{{ {LOAD}; }} && grep -q '{old}' \"$2\""), "sh", file, loaded]);
        let commands = format!("[command.load]\nargv = {load}\n[command.load-old]\nargv = {load_old}\n");
        self.write_settings(&format!("{COMMANDS}{commands}"));
        if file.exists() {
            fs::copy(file, loaded).unwrap();
        }
    }

    /// What the service has loaded.
    pub(crate) fn loaded(&self) -> PathBuf {
        self.path("loaded")
    }

    /// Agent of this machine.
    pub(crate) fn agent(&self) -> Agent {
        self.open().unwrap()
    }

    /// Opens the agent of this machine. A process that another test is just starting has a copy of the lock until it runs its
    /// program, so a busy state folder is tried again.
    pub(crate) fn open(&self) -> Result<Agent, Error> {
        let settings = Settings::load(&self.settings_file()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match Agent::open(settings.clone()) {
                Err(Error::Refused(Refusal::Busy(_))) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                opened => return opened,
            }
        }
    }

    /// Order of an update with its content in a file beside.
    pub(crate) fn order(&self, task: &str, name: &str, content: &str) -> Map<String, Value> {
        let blob = self.path(&format!("{task}.blob"));
        fs::write(&blob, content).unwrap();
        let order = json!({
            "task_id": task, "attempt": 1, "action": "update", "path": self.file(name),
            "sha256": Sha256Hex::of(content.as_bytes()), "size": content.len(), "blob": blob,
        });
        let Value::Object(order) = order else { unreachable!("the literal is an object") };
        order
    }

    /// Carries out an order of [`Machine::order`] in this process.
    pub(crate) fn apply(&self, task: &str, name: &str, content: &str) -> Report {
        self.agent().apply(&parse(&self.order(task, name, content)))
    }

    /// The same with more members.
    pub(crate) fn apply_with(&self, task: &str, name: &str, content: &str, members: Value) -> Report {
        let mut order = self.order(task, name, content);
        extend(&mut order, members);
        self.agent().apply(&parse(&order))
    }

    pub(crate) fn revert(&self, task: &str) -> Report {
        self.agent().revert(&id(task), false)
    }

    /// Writes an order to a file for the program.
    pub(crate) fn order_file(&self, order: &Map<String, Value>) -> PathBuf {
        let path = self.path("order.json");
        fs::write(&path, serde_json::to_string(order).unwrap()).unwrap();
        path
    }

    /// Arguments of the program with the settings of this machine.
    pub(crate) fn arguments(&self, arguments: &[&str]) -> Vec<String> {
        let mut all = vec!["--config".to_owned(), self.settings_file().display().to_string()];
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        all
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        Command::new(PROGRAM).args(self.arguments(arguments)).output().unwrap()
    }

    /// Takes the record of the outcome out of the journal, as if the agent had been killed just before it wrote it.
    pub(crate) fn forget_outcome(&self) {
        let journal = fs::read_to_string(self.path("state/journal")).unwrap();
        let end = journal.trim_end().rfind('\n').unwrap();
        fs::write(self.path("state/journal"), &journal[..=end]).unwrap();
    }

    /// Names in the allowed folder that are not files of the test: what a run has left behind.
    pub(crate) fn litter(&self) -> Vec<String> {
        let mut litter: Vec<String> = names(&self.path("conf"));
        litter.retain(|name| name.starts_with('.'));
        if self.path("state").exists() {
            litter.extend(names(&self.path("state/incoming")));
            litter.extend(names(&self.path("state/blobs")).into_iter().filter(|name| name.contains(".part")));
        }
        litter
    }
}

pub(crate) fn extend(order: &mut Map<String, Value>, members: Value) {
    let Value::Object(members) = members else { panic!("members of an order are an object") };
    order.extend(members);
}

pub(crate) fn parse(order: &Map<String, Value>) -> Order {
    Order::parse(&serde_json::to_string(order).unwrap()).unwrap()
}

pub(crate) fn id(task: &str) -> TaskId {
    TaskId::try_from(task.to_owned()).unwrap()
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Asserts the state of a report and a part of its message.
#[track_caller]
pub(crate) fn assert_report(report: &Report, state: pilothouse_agent::State, told: &str) {
    let message = report.message.as_deref().unwrap_or_default();
    assert_eq!(report.result.state, state, "{message}");
    assert!(message.contains(told), "{message:?} does not contain {told:?}");
}
