//! Examination of what the agent needs: settings, policy, folders, rights, kernel features and server. Writes nothing.

use std::fmt::{self, Display};
use std::path::Path;

use rustix::fs::Access;

use crate::error::Error;
use crate::journal::Records;
use crate::online;
use crate::parent_folder::{self, ParentFolder};
use crate::path::{PathPrefix, TargetPath};
use crate::settings::{CommandSettings, Settings};
use crate::state_folder;

/// Severity of a finding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Severity {
    /// As it should be.
    Good,
    /// Worth knowing.
    Warning,
    /// Orders will fail.
    Failure,
}

/// One finding of `doctor` or `fsck`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// Severity of the finding.
    pub severity: Severity,
    /// Subject of the examination, with its result.
    pub text: String,
}

impl Finding {
    pub(crate) fn new(severity: Severity, text: impl Into<String>) -> Self {
        Self { severity, text: text.into() }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Good => "ok     ",
            Severity::Warning => "warning",
            Severity::Failure => "FAILED ",
        };
        write!(f, "{word} {}", self.text)
    }
}

/// Examines everything that orders depend on.
pub fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![kernel(), state(&settings.state_dir), journal(&settings.state_dir)];
    if settings.policy.allow().is_empty() {
        findings.push(Finding::new(Severity::Failure, "policy: `allow` is empty, so every order is refused"));
    }
    for line in settings.policy.allow() {
        findings.push(folder(settings, line));
    }
    for (name, command) in &settings.commands {
        findings.push(program(name, command));
    }
    findings.extend(online::examine(settings));
    findings
}

fn kernel() -> Finding {
    if parent_folder::has_openat2() {
        Finding::new(Severity::Good, "kernel: openat2")
    } else {
        let text =
            "kernel: no openat2 (Linux 5.6, or a filter of system calls); folders are opened one by one";
        Finding::new(Severity::Warning, text)
    }
}

fn state(path: &Path) -> Finding {
    let name = path.display();
    if !path.exists() {
        let text = format!("state_dir {name}: does not exist yet; the first order creates it");
        return Finding::new(Severity::Warning, text);
    }
    if let Err(error) = state_folder::check(path) {
        return Finding::new(Severity::Failure, error.chain());
    }
    match rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::new(Severity::Good, format!("state_dir {name}: private and writable")),
        Err(error) => Finding::new(Severity::Failure, format!("state_dir {name}: {error}")),
    }
}

fn journal(state_dir: &Path) -> Finding {
    let records = match Records::read(state_dir) {
        Ok(records) => records,
        Err(error) => return Finding::new(Severity::Failure, format!("journal: {}", error.chain())),
    };
    let unfinished = records.all().iter().filter(|record| !record.is_done()).count();
    if unfinished > 0 || records.torn() > 0 {
        let text = format!(
            "journal: {unfinished} unfinished attempts and {} torn bytes, which the next command that writes resolves",
            records.torn()
        );
        return Finding::new(Severity::Warning, text);
    }
    Finding::new(Severity::Good, format!("journal: {} attempts", records.all().len()))
}

/// Whether the folder of an `allow` line can be opened without symbolic links, and written.
fn folder(settings: &Settings, line: &PathPrefix) -> Finding {
    let failed = |text: String| Finding::new(Severity::Failure, format!("allow {line}: {text}"));
    let path = format!("/{}", line.components().join("/"));
    // A file within the folder stands for all of them, where the line is a folder; else the line names the file itself.
    let is_folder = Path::new(&path).is_dir();
    let target = if is_folder { format!("{}/.pilothouse", path.trim_end_matches('/')) } else { path.clone() };
    let folder =
        if is_folder { Path::new(&path) } else { Path::new(&path).parent().unwrap_or(Path::new("/")) };
    let opened = TargetPath::new(target)
        .and_then(|target| settings.policy.allowed(&target))
        .map_err(Error::from)
        .and_then(|allowed| ParentFolder::open(&allowed));
    if let Err(error) = opened {
        return failed(error.chain());
    }
    match rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::new(Severity::Good, format!("allow {line}: the folder is writable")),
        Err(error) => failed(format!("{}: {error}", folder.display())),
    }
}

fn program(name: &str, command: &CommandSettings) -> Finding {
    let program = &command.argv[0];
    let found = crate::command_runner::find(program);
    match found {
        Some(path) => Finding::new(Severity::Good, format!("command {name}: {}", path.display())),
        None => Finding::new(Severity::Failure, format!("command {name}: there is no program {program}")),
    }
}
