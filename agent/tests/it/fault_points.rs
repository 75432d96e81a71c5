//! Kill points and error points: at every system call of a run the program is killed, or the call fails. Whatever happens, the
//! file is whole, old or new, as the journal says; it can be reverted; and nothing is left behind.
//!
//! A sample is tried by default (`PILOTHOUSE_TEST_SEED`), everything with `PILOTHOUSE_TEST_LONG`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use pilothouse_agent::{Phase, Severity, State};
use pilothouse_test_support::{Rng, env_number};
use serde_json::{Value, json};

use crate::machine::{Machine, assert_report, extend};
use crate::strace::{CallPoint, calls, run_with_fault, strace_or_skip};

/// Faults of each run that are tried by default.
const SAMPLE: usize = 24;
/// Calls that only prepare the process or read the clock. They are tried in the long form.
const HARMLESS: &[&str] = &[
    "access",
    "arch_prctl",
    "brk",
    "clock_gettime",
    "futex",
    "getrandom",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "poll",
    "pread64",
    "prlimit64",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "sched_getaffinity",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
];

/// Run of the program under faults.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Run {
    Replace,
    Create,
    Confirm,
    ReloadFails,
    RevertToOld,
    RevertToNone,
    /// Recovery of an update that was killed after the swap, within its confirm window.
    Recover,
}

impl Run {
    const ALL: [Self; 7] = [
        Self::Replace,
        Self::Create,
        Self::Confirm,
        Self::ReloadFails,
        Self::RevertToOld,
        Self::RevertToNone,
        Self::Recover,
    ];

    fn is_revert(self) -> bool {
        matches!(self, Self::RevertToOld | Self::RevertToNone)
    }

    fn has_old(self) -> bool {
        !matches!(self, Self::Create | Self::RevertToNone)
    }

    /// Machine on which the run is about to begin, with the arguments that begin it.
    fn machine(self) -> (Machine, Vec<String>) {
        let machine = Machine::new();
        if self.has_old() {
            machine.write("a", OLD);
        }
        machine.install_service("a", "the old content");
        let mut order = machine.order("t1", "a", NEW);
        extend(&mut order, json!({"check": "has-new", "reload": "load"}));
        match self {
            Self::Confirm | Self::Recover => extend(&mut order, json!({"confirm_seconds": 30})),
            Self::ReloadFails => extend(&mut order, json!({"reload": "load-old"})),
            _ => {}
        }
        let file = machine.order_file(&order).display().to_string();
        if self.is_revert() || self == Self::Recover {
            let report = machine.agent().apply(&crate::machine::parse(&order));
            assert_report(&report, State::Succeeded, "");
        }
        if self == Self::Recover {
            machine.forget_outcome();
            return (machine, vec!["fsck".to_owned()]);
        }
        if self.is_revert() {
            return (machine, ["revert", "--task", "t1"].map(str::to_owned).to_vec());
        }
        (machine, ["apply".to_owned(), "--order".to_owned(), file].to_vec())
    }
}

const OLD: &str = "the old content\n";
const NEW: &str = "the new content, which is longer than the old one\n";

/// What stands at the path: old, new, or nothing. Anything else is a torn file.
fn content(machine: &Machine) -> Option<&'static str> {
    whole(&machine.file("a"))
}

fn whole(file: &Path) -> Option<&'static str> {
    match fs::read_to_string(file) {
        Ok(text) if text == OLD => Some(OLD),
        Ok(text) if text == NEW => Some(NEW),
        Ok(text) => panic!("a torn file: {text:?}"),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
            None
        }
    }
}

/// Checks the machine after a fault: at once, after the recovery, and after a revert. How long the recovery took.
fn check(run: Run, machine: &Machine, what: &str) -> Duration {
    let old = run.has_old().then_some(OLD);
    let found = content(machine);
    assert!(found == old || found == Some(NEW), "{what}: neither old nor new");
    let begun = Instant::now();
    let mut agent = machine.agent();
    let recovery = begun.elapsed();
    let findings = agent.fsck().unwrap();
    assert!(findings.iter().all(|finding| finding.severity != Severity::Failure), "{what}: {findings:?}");
    assert_eq!(machine.litter(), [""; 0], "{what}");
    let recovered = content(machine);
    let record = agent.records().all().last().cloned();
    let state = record.as_ref().and_then(|record| record.state);
    assert!(record.as_ref().is_none_or(|record| record.phase == Phase::Done), "{what}: {record:?}");
    // The journal and the file agree; a confirm window that was interrupted ends with the old file.
    let is_new = matches!(state, Some(State::Succeeded | State::RevertFailed));
    assert_eq!(recovered, if is_new { Some(NEW) } else { old }, "{what}: {state:?}");
    if [Run::ReloadFails, Run::Recover].contains(&run) {
        assert_eq!(recovered, old, "{what}: the old file has to come back");
    } else if run != Run::Confirm {
        assert_eq!(recovered, found, "{what}: the recovery changed the file");
    }
    // The service runs with the file that stands there, unless its reload failed, which is told. A fault hits the reload, too.
    let message = record.and_then(|record| record.message).unwrap_or_default();
    let is_loaded = whole(&machine.loaded()) == recovered;
    assert!(is_loaded || message.contains("reload"), "{what}: the service has another file: {message}");
    if is_new || run.is_revert() {
        let report = agent.revert(&crate::machine::id("t1"), false);
        assert_report(&report, State::Reverted, "");
        assert_eq!(content(machine), old, "{what}: after the revert");
        assert_eq!(machine.litter(), [""; 0], "{what}: after the revert");
    }
    recovery
}

/// All points, or a sample of those that matter.
fn chosen(points: Vec<CallPoint>, seed: u64) -> Vec<CallPoint> {
    if std::env::var_os("PILOTHOUSE_TEST_LONG").is_some() {
        return points;
    }
    let mut points: Vec<CallPoint> =
        points.into_iter().filter(|point| !HARMLESS.contains(&point.name.as_str())).collect();
    Rng::with_seed(seed).shuffle(&mut points);
    points.truncate(SAMPLE);
    points
}

fn seed() -> u64 {
    env_number("PILOTHOUSE_TEST_SEED", 1)
}

fn points(run: Run) -> Vec<CallPoint> {
    let (machine, arguments) = run.machine();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let points = calls(&machine, &arguments);
    assert!(points.len() > 60, "{run:?}: only {} system calls were seen", points.len());
    points
}

#[test]
fn a_kill_at_any_system_call_leaves_a_whole_file() {
    if !strace_or_skip("a_kill_at_any_system_call_leaves_a_whole_file") {
        return;
    }
    let seed = seed();
    for run in Run::ALL {
        let mut outcomes = [0; 2];
        let mut slowest = Duration::ZERO;
        for point in chosen(points(run), seed) {
            let (machine, arguments) = run.machine();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            run_with_fault(&machine, &arguments, &point, "signal=SIGKILL");
            outcomes[usize::from(content(&machine) == Some(NEW))] += 1;
            let what = format!("seed {seed}, {run:?} killed at {} {}", point.name, point.number);
            slowest = slowest.max(check(run, &machine, &what));
        }
        let [old, new] = outcomes;
        let points = old + new;
        eprintln!(
            "{run:?}: {points} kill points, {old} times old and {new} times new, recovered in at most {slowest:?}"
        );
    }
}

#[test]
fn an_error_of_any_system_call_is_told_and_leaves_a_whole_file() {
    if !strace_or_skip("an_error_of_any_system_call_is_told_and_leaves_a_whole_file") {
        return;
    }
    let seed = seed();
    for run in Run::ALL {
        let mut faults = Vec::new();
        let mut tried = 0;
        for point in points(run) {
            for error in errors(&point.name) {
                faults.push((point.clone(), *error));
            }
        }
        if std::env::var_os("PILOTHOUSE_TEST_LONG").is_none() {
            Rng::with_seed(seed).shuffle(&mut faults);
            faults.truncate(SAMPLE);
        }
        for (point, error) in faults {
            let (machine, arguments) = run.machine();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let done = run_with_fault(&machine, &arguments, &point, &format!("error={error}"));
            let what = format!("seed {seed}, {run:?} with {error} at {} {}", point.name, point.number);
            told(run, &machine, &done, &what);
            check(run, &machine, &what);
            tried += 1;
        }
        eprintln!("{run:?}: {tried} errors");
    }
}

/// Errors that a call is made to fail with.
fn errors(call: &str) -> &'static [&'static str] {
    match call {
        "fsync" | "fdatasync" => &["EIO", "ENOSPC", "EBUSY", "EPERM", "EXDEV", "EIO+"],
        "read" | "ftruncate" | "flistxattr" | "fgetxattr" | "fstatfs" => &["EIO"],
        "write" => &["EIO", "ENOSPC", "EBUSY", "EPERM", "EXDEV", "EDQUOT", "ENOSPC+"],
        "fallocate" => &["ENOSPC", "EOPNOTSUPP"],
        "rename" | "renameat" | "renameat2" => &["EIO", "ENOSPC", "EBUSY", "EPERM", "EXDEV", "EBUSY+"],
        "link" | "linkat" => &["EIO", "ENOSPC", "EBUSY", "EPERM", "EXDEV"],
        "unlink" | "unlinkat" => &["EIO", "EBUSY", "EPERM"],
        "fchmod" | "fchown" | "fsetxattr" | "utimensat" => &["EIO", "EPERM"],
        "openat" | "openat2" | "mkdir" | "statx" | "flock" => &["EIO", "EMFILE", "EACCES"],
        _ => &[],
    }
}

/// What the program printed is what the file is.
fn told(run: Run, machine: &Machine, done: &std::process::Output, what: &str) {
    if run == Run::Recover {
        // What it could not resolve is a failure; what failed beside that is a finding.
        let is_resolved = content(machine) == Some(OLD);
        assert!(is_resolved || !done.status.success(), "{what}: {}", String::from_utf8_lossy(&done.stdout));
        return;
    }
    let Ok(result) = serde_json::from_slice::<Value>(&done.stdout) else {
        // It gave up before the order, or could not print; either is a failure.
        assert_ne!(done.status.code(), Some(0), "{what}");
        return;
    };
    let old = run.has_old().then_some(OLD);
    let expected = match result["state"].as_str().unwrap() {
        "succeeded" | "revert_failed" => Some(NEW),
        "failed" | "reverted" => old,
        // The file could not be read at the end.
        _ => content(machine),
    };
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert_eq!(content(machine), expected, "{what}: {result}, {stderr}");
    let is_success = ["succeeded", "reverted"].contains(&result["state"].as_str().unwrap());
    // An answer that could not be written at once is a failure of the command, whatever the file is.
    let is_told = !stderr.contains("writing the answer");
    assert_eq!(done.status.success(), is_success && is_told, "{what}: {result}, {stderr}");
    // Where a write failed, it may have been the one that tells the cause.
    assert!(is_success || !stderr.is_empty() || what.contains(" at write "), "{what}: the cause is told");
}
