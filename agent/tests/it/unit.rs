//! Unit of systemd: the program works with no more of `/proc` than the unit leaves it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use pilothouse_core::ops::OrderState;
use pilothouse_test_support::skip_test;

use crate::machine::PROGRAM;
use crate::online::{Fleet, Running};

/// Program with a `/proc` of its own, of which only what `ProcSubset` of the unit says is seen.
fn confined(unit: &str) -> Command {
    let subset = if unit.contains("ProcSubset=pid") { "subset=pid" } else { "defaults" };
    let mut command = Command::new("unshare");
    let is_root = rustix::process::geteuid().is_root();
    command.args([if is_root { "-mpf" } else { "-rmpf" }, "--kill-child", "sh", "-c"]);
    command.args([&format!("mount -t proc -o {subset} proc /proc && exec \"$@\""), "sh"]);
    command
}

#[test]
fn the_program_works_as_its_unit_confines_it() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/pilothouse-agent.service");
    let unit = fs::read_to_string(unit).unwrap();
    if !confined(&unit).arg("true").status().is_ok_and(|status| status.success()) {
        skip_test("unit::the_program_works_as_its_unit_confines_it", "unshare mounts no /proc here");
        return;
    }
    let fleet = Fleet::new();
    let task = fleet.add(None);
    fleet.execute(task);
    let mut command = confined(&unit);
    command.arg(PROGRAM).arg("--config").arg(fleet.machine.settings_file()).arg("run");
    let _agent = Running(command.stderr(Stdio::null()).spawn().unwrap());
    fleet.settled(task, OrderState::Succeeded);
    assert_eq!(fleet.machine.read("motd"), "new content");
}
