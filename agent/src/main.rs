//! Program `pilothouse-agent`: the commands of the agent.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use pilothouse_agent::{
    Agent, Error, FileVersion, Finding, Order, Records, Refusal, Report, Settings, Severity, Sha256Hex,
    TargetPath, TaskId, TaskRecord, examine,
};
use serde::Serialize;

/// Longest order file in bytes.
const MOST_ORDER_BYTES: u64 = 64 * 1024;

/// Replaces one file on this machine, and puts it back.
#[derive(Debug, Parser)]
#[command(name = "pilothouse-agent", version)]
struct Args {
    /// The settings file (TOML)
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/pilothouse/agent.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry out an order from a file, and print its result as JSON
    Apply {
        /// The order (JSON), with the path of its content as `blob`
        #[arg(long, value_name = "FILE")]
        order: PathBuf,
    },
    /// Put back what a task replaced, and print the result as JSON
    Revert {
        /// Id of the task
        #[arg(long, value_name = "ID", value_parser = task_id)]
        task: TaskId,
        /// Overwrite a file that was changed since
        #[arg(long)]
        force: bool,
    },
    /// Print what was done to a file, oldest first, as a JSON line each
    History {
        /// The file
        path: String,
    },
    /// Enrol this machine's agent with a one-time code
    Enroll {
        /// The code, from `/api/machine_info`
        #[arg(long, value_name = "CODE")]
        code: String,
    },
    /// Carry out orders of the server until stopped
    Run,
    /// Print the state of the agent as JSON
    Status,
    /// Examine settings, policy, folders, rights, kernel and server
    Doctor,
    /// Check journal and backups, resolve what was interrupted, and remove leftovers
    Fsck,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody may read it any more; the exit status says the same.
            let _ = writeln!(std::io::stderr(), "pilothouse-agent: {}", error.chain());
            if matches!(error, Error::Settings(_)) { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Runs a command; whether it did what it was to do.
fn run(args: Args) -> Result<bool, Error> {
    let settings = Settings::load(&args.config)?;
    match args.command {
        Command::Apply { order } => {
            let order = read_order(&order)?;
            report(&open(settings)?.apply(&order))
        }
        Command::Revert { task, force } => report(&open(settings)?.revert(&task, force)),
        Command::Enroll { code } => pilothouse_agent::enroll(settings, &code).map(|()| true),
        Command::Run => pilothouse_agent::run(&settings, &complain).map(|()| true),
        Command::History { path } => history(&settings, path),
        Command::Status => status(&settings),
        Command::Doctor => findings(&examine(&settings)),
        Command::Fsck => findings(&Agent::open(settings)?.fsck()?),
    }
}

/// Opens the agent and tells what an earlier run had left unfinished.
fn open(settings: Settings) -> Result<Agent, Error> {
    let agent = Agent::open(settings)?;
    for recovered in agent.recovered() {
        let message = recovered.report.message.as_deref().unwrap_or("resolved");
        complain(&format!("task {} of {}: {message}", recovered.record.task_id, recovered.record.path));
    }
    Ok(agent)
}

fn read_order(path: &Path) -> Result<Order, Error> {
    let reading = |source| Error::Io { what: format!("reading the order {}", path.display()), source };
    let mut text = String::new();
    let mut file = File::open(path).map_err(reading)?.take(MOST_ORDER_BYTES + 1);
    file.read_to_string(&mut text).map_err(reading)?;
    if text.len() as u64 > MOST_ORDER_BYTES {
        let told = format!("must not be longer than {MOST_ORDER_BYTES} bytes");
        return Err(Refusal::Order(told).into());
    }
    Ok(Order::parse(&text)?)
}

fn report(report: &Report) -> Result<bool, Error> {
    if let Some(message) = &report.message {
        complain(message);
    }
    print_json(&report.result)?;
    Ok(report.is_success())
}

/// Line of `history`.
#[derive(Debug, Serialize)]
struct HistoryLine<'a> {
    task_id: &'a str,
    attempt: u32,
    time: u64,
    #[serde(flatten)]
    outcome: Outcome<'a>,
    old_sha256: Option<&'a str>,
    new_sha256: Option<&'a str>,
    /// File that a forced revert overwrote, kept as long as the backup.
    overwritten_sha256: Option<&'a str>,
    backup: bool,
}

/// Outcome of an attempt in `history` and `status`.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    phase: pilothouse_agent::Phase,
    state: Option<pilothouse_agent::State>,
    message: Option<&'a str>,
}

impl<'a> Outcome<'a> {
    fn of(record: &'a TaskRecord) -> Self {
        Self { phase: record.phase, state: record.state, message: record.message.as_deref() }
    }
}

fn history(settings: &Settings, path: String) -> Result<bool, Error> {
    let path = TargetPath::new(path)?;
    let records = Records::read(&settings.state_dir)?;
    for record in records.of_path(&path) {
        print_json(&HistoryLine {
            task_id: record.task_id.as_str(),
            attempt: record.attempt,
            time: record.time,
            outcome: Outcome::of(record),
            old_sha256: record.old.sha256().map(Sha256Hex::as_str),
            new_sha256: record.new.sha256().map(Sha256Hex::as_str),
            overwritten_sha256: record
                .overwritten
                .as_ref()
                .and_then(FileVersion::sha256)
                .map(Sha256Hex::as_str),
            backup: record.replaced && records.keeps_backup(record),
        })?;
    }
    Ok(true)
}

/// Answer of `status`.
#[derive(Debug, Serialize)]
struct Status<'a> {
    version: &'static str,
    state_dir: &'a Path,
    allow: Vec<String>,
    attempts: usize,
    torn_bytes: u64,
    unfinished: Vec<StatusLine<'a>>,
    last: Option<StatusLine<'a>>,
}

#[derive(Debug, Serialize)]
struct StatusLine<'a> {
    task_id: &'a str,
    attempt: u32,
    path: &'a str,
    time: u64,
    #[serde(flatten)]
    outcome: Outcome<'a>,
}

impl<'a> StatusLine<'a> {
    fn of(record: &'a TaskRecord) -> Self {
        Self {
            task_id: record.task_id.as_str(),
            attempt: record.attempt,
            path: record.path.as_str(),
            time: record.time,
            outcome: Outcome::of(record),
        }
    }
}

fn status(settings: &Settings) -> Result<bool, Error> {
    let records = Records::read(&settings.state_dir)?;
    let unfinished = records.all().iter().filter(|record| record.state.is_none());
    print_json(&Status {
        version: env!("CARGO_PKG_VERSION"),
        state_dir: &settings.state_dir,
        allow: settings.policy.allow().iter().map(ToString::to_string).collect(),
        attempts: records.all().len(),
        torn_bytes: records.torn(),
        unfinished: unfinished.map(StatusLine::of).collect(),
        last: records.all().iter().max_by_key(|record| record.time).map(StatusLine::of),
    })?;
    Ok(true)
}

fn findings(findings: &[Finding]) -> Result<bool, Error> {
    for finding in findings {
        print(&finding.to_string())?;
    }
    Ok(findings.iter().all(|finding| finding.severity != Severity::Failure))
}

fn print_json(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::Io { what: "writing the answer".to_owned(), source: error.into() })?;
    print(&text)
}

fn print(line: &str) -> Result<(), Error> {
    let done = writeln!(std::io::stdout().lock(), "{line}");
    done.map_err(|source| Error::Io { what: "writing the answer".to_owned(), source })
}

fn complain(text: &str) {
    // The result on standard output says the same in short.
    let _ = writeln!(std::io::stderr(), "pilothouse-agent: {text}");
}

fn task_id(text: &str) -> Result<TaskId, &'static str> {
    TaskId::try_from(text.to_owned())
}
