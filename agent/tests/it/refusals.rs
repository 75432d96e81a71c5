//! What is not a plain file is refused by name, and nothing is written.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;

use pilothouse_agent::State;
use serde_json::json;

use crate::machine::{Machine, assert_report, names};
use crate::strace::{run_without, strace_or_skip};

#[test]
fn only_plain_files_are_replaced() {
    let machine = Machine::new();
    machine.write("real", "real");
    symlink(machine.file("real"), machine.file("link")).unwrap();
    symlink("nowhere", machine.file("dangling")).unwrap();
    fs::create_dir(machine.file("folder")).unwrap();
    let _socket = UnixListener::bind(machine.file("socket")).unwrap();
    assert!(Command::new("mkfifo").arg(machine.file("fifo")).status().unwrap().success());
    machine.write("linked", "linked");
    fs::hard_link(machine.file("linked"), machine.file("linked-too")).unwrap();
    for (name, mode) in [("setuid", 0o4755), ("setgid", 0o2755)] {
        machine.write(name, "program");
        fs::set_permissions(machine.file(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    for (name, told) in [
        ("link", "a symbolic link"),
        ("dangling", "a symbolic link"),
        ("folder", "a directory"),
        ("socket", "a socket"),
        ("fifo", "a FIFO"),
        ("linked", "several hard links"),
        ("setuid", "a setuid or setgid program"),
        ("setgid", "a setuid or setgid program"),
        ("real/below", "no folder"),
        ("none/below", "does not exist"),
    ] {
        let before = names(&machine.path("conf")).len();
        assert_report(&machine.apply("t1", name, "new"), State::Failed, told);
        assert_eq!(names(&machine.path("conf")).len(), before, "{name}");
    }
    assert_eq!((machine.read("real"), machine.read("linked")), ("real".to_owned(), "linked".to_owned()));
    assert!(fs::symlink_metadata(machine.file("link")).unwrap().is_symlink());
    assert_eq!(machine.litter(), [""; 0]);
}

#[test]
fn folders_that_are_symbolic_links_are_not_followed() {
    let machine = Machine::new();
    let outside = machine.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a"), "outside").unwrap();
    symlink(&outside, machine.file("below")).unwrap();
    fs::create_dir(machine.file("deep")).unwrap();
    symlink("../deep", machine.file("deep/er")).unwrap();
    for name in ["below/a", "below/b", "deep/er/a"] {
        assert_report(&machine.apply("t1", name, "new"), State::Failed, "symbolic link");
    }
    assert_eq!(names(&outside), ["a"]);
    assert_eq!(fs::read_to_string(outside.join("a")).unwrap(), "outside");
}

#[test]
fn immutable_files_capabilities_and_mounts_are_refused() {
    let machine = Machine::new();
    for name in ["immutable", "capable", "mounted"] {
        machine.write(name, "old");
    }
    let run = |program: &str, arguments: &[&str], name: &str| {
        let done = Command::new(program).args(arguments).arg(machine.file(name)).output();
        done.is_ok_and(|output| output.status.success())
    };
    let source = machine.file("capable").display().to_string();
    let prepared = [
        ("immutable", run("chattr", &["+i"], "immutable"), "immutable or append-only"),
        ("capable", run("setcap", &["cap_net_raw+ep"], "capable"), "a file with capabilities"),
        ("mounted", run("mount", &["--bind", &source], "mounted"), "a mount point"),
    ];
    let mut reports = Vec::new();
    for (name, is_prepared, told) in prepared {
        if is_prepared {
            reports.push((machine.apply("t1", name, "new"), told));
        } else {
            tell_left_out(name);
        }
    }
    run("umount", &[], "mounted");
    run("chattr", &["-i"], "immutable");
    for (report, told) in reports {
        assert_report(&report, State::Failed, told);
    }
}

/// These three need rights that ordinary users and many containers do not have, whatever is installed.
fn tell_left_out(name: &str) {
    // The harness captures `eprintln!`. An error of standard error itself cannot be told.
    let _ = writeln!(std::io::stderr().lock(), "left out: refusals: making a file {name} needs more rights");
}

#[test]
fn more_than_the_reserve_leaves_free_is_refused() {
    let machine = Machine::new();
    machine.write("a", "old");
    let members = json!({"size": u64::MAX});
    assert_report(&machine.apply_with("t1", "a", "new", members), State::Failed, "in reserve");
    assert_eq!((machine.read("a"), machine.litter()), ("old".to_owned(), Vec::new()));
}

#[test]
fn unknown_users_and_groups_are_refused() {
    let machine = Machine::new();
    for members in [json!({"owner": "no such user"}), json!({"group": "no such group"})] {
        assert_report(&machine.apply_with("t1", "a", "new", members), State::Failed, "no such");
    }
    assert!(!machine.file("a").exists());
}

#[test]
fn a_kernel_without_openat2_opens_folder_by_folder() {
    if !strace_or_skip("a_kernel_without_openat2_opens_folder_by_folder") {
        return;
    }
    let machine = Machine::new();
    let outside = machine.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir_all(machine.file("deep/er")).unwrap();
    symlink(&outside, machine.file("link")).unwrap();
    symlink(&outside, machine.file("deep/link")).unwrap();
    for (name, status) in [("deep/er/a", 0), ("link/a", 1), ("deep/link/a", 1), ("none/a", 1)] {
        let file = machine.order_file(&machine.order("t1", name, "new")).display().to_string();
        let done = run_without(&machine, &["apply", "--order", &file], "openat2");
        assert_eq!(done.status.code(), Some(status), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    }
    assert_eq!((machine.read("deep/er/a"), names(&outside)), ("new".to_owned(), Vec::new()));
    let told = run_without(&machine, &["doctor"], "openat2");
    assert!(String::from_utf8_lossy(&told.stdout).contains("no openat2"));
}
