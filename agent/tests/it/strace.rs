//! Faults at chosen system calls of the program, by `strace`.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use pilothouse_test_support::skip_test;

use crate::machine::{Machine, PROGRAM};

/// System call of a run: its name, and which of its calls, from 1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CallPoint {
    pub(crate) name: String,
    pub(crate) number: usize,
}

/// Whether strace is installed and may trace; otherwise the test is skipped.
pub(crate) fn strace_or_skip(test: &str) -> bool {
    let works = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    let works = works.is_ok_and(|status| status.success());
    if !works {
        skip_test(test, "strace is not installed, or may not trace");
    }
    works
}

/// Runs the program and lists every system call of it and of the commands that it starts, in order. The calls of the program
/// itself come with the number that an injection counts.
pub(crate) fn calls(machine: &Machine, arguments: &[&str]) -> Vec<CallPoint> {
    let log = machine.path("strace.log");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-s", "0", "-o"]).arg(&log).arg(PROGRAM).args(machine.arguments(arguments));
    let done = strace.output().unwrap();
    assert!(done.status.code().is_some_and(|code| code < 2), "{}", String::from_utf8_lossy(&done.stderr));
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    let program = text.split_whitespace().next().unwrap();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut points = Vec::new();
    for line in text.lines() {
        let Some((process, call)) = line.split_once(char::is_whitespace) else { continue };
        let Some((name, _)) = call.trim_start().split_once('(') else { continue };
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        // Its own start is not its system call yet, and its end comes too late.
        if process != program || !is_name || ["execve", "exit_group"].contains(&name) {
            continue;
        }
        let number = counts.entry(name).or_default();
        *number += 1;
        points.push(CallPoint { name: name.to_owned(), number: *number });
    }
    points
}

/// Runs the program on a kernel that does not know a system call.
pub(crate) fn run_without(machine: &Machine, arguments: &[&str], call: &str) -> Output {
    run_with_fault(machine, arguments, &CallPoint { name: call.to_owned(), number: 1 }, "error=ENOSYS+")
}

/// Runs the program with a fault at one system call: `signal=SIGKILL`, or `error=EIO`. With `+` after it, the fault lasts for
/// every later call of that name.
pub(crate) fn run_with_fault(
    machine: &Machine,
    arguments: &[&str],
    point: &CallPoint,
    fault: &str,
) -> Output {
    let CallPoint { name, number } = point;
    let (fault, lasting) = fault.strip_suffix('+').map_or((fault, ""), |fault| (fault, "+"));
    let inject = format!("inject={name}:{fault}:when={number}{lasting}");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={name}"), "-e", &inject]);
    strace.arg(PROGRAM).args(machine.arguments(arguments)).output().unwrap()
}
