//! The program: exit statuses, what is printed, who may write settings and state, one agent at a time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::machine::{Machine, extend};

fn set_mode(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn results_are_json_on_standard_output() {
    let machine = Machine::new();
    machine.write("a", "old");
    let mut order = machine.order("t1", "a", "new");
    let file = machine.order_file(&order);
    let done = machine.run(&["apply", "--order", file.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let result: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&result["state"], &result["changed"]), (&json!("succeeded"), &json!(true)));
    assert!(result.get("plan").is_none());

    extend(&mut order, json!({"attempt": 2, "check": "refuse", "mode": "0600"}));
    let file = machine.order_file(&order);
    let done = machine.run(&["apply", "--order", file.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("not like this"));
    let result: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(result["state"], "failed");

    let history = text(&machine.run(&["history", machine.file("a").to_str().unwrap()]).stdout);
    let lines: Vec<Value> = history.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["state"], &lines[0]["backup"]), (&json!("succeeded"), &json!(true)));
    assert_eq!((&lines[1]["state"], &lines[1]["backup"]), (&json!("failed"), &json!(false)));
    let status: Value = serde_json::from_slice(&machine.run(&["status"]).stdout).unwrap();
    assert_eq!((&status["attempts"], &status["unfinished"]), (&json!(2), &json!([])));

    let done = machine.run(&["revert", "--task", "t1"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let result: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(result["state"], "reverted");
    assert_eq!(machine.read("a"), "old");
}

#[test]
fn wrong_usage_and_wrong_settings_end_with_2() {
    let machine = Machine::new();
    for arguments in [&["no-such-command"][..], &[], &["apply"], &["revert", "--task", "../a"]] {
        assert_eq!(machine.run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    set_mode(&machine.settings_file(), 0o620);
    let done = machine.run(&["status"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(text(&done.stderr).contains("group or others"));
    set_mode(&machine.settings_file(), 0o600);
    machine.write_settings("colour = \"blue\"\n");
    let done = machine.run(&["status"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(text(&done.stderr).contains("colour"));
    fs::remove_file(machine.settings_file()).unwrap();
    assert_eq!(machine.run(&["fsck"]).status.code(), Some(2));
}

#[test]
fn settings_of_another_user_are_refused() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: only root can give a file away");
        return;
    }
    let machine = Machine::new();
    std::os::unix::fs::chown(machine.settings_file(), Some(12), None).unwrap();
    let done = machine.run(&["status"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(text(&done.stderr).contains("belongs to user 12"));
}

#[test]
fn an_order_with_an_unknown_member_is_refused_by_name() {
    let machine = Machine::new();
    let mut order = machine.order("t1", "a", "new");
    extend(&mut order, json!({"recursive": true}));
    let file = machine.order_file(&order);
    let done = machine.run(&["apply", "--order", file.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("recursive"));
    fs::write(&file, " ".repeat(100_000)).unwrap();
    let done = machine.run(&["apply", "--order", file.to_str().unwrap()]);
    assert!(text(&done.stderr).contains("longer than 65536 bytes"));
    assert!(!machine.file("a").exists());
}

#[test]
fn one_agent_works_at_a_time() {
    let machine = Machine::new();
    let agent = machine.agent();
    let file = machine.order_file(&machine.order("t1", "a", "new"));
    let done = machine.run(&["apply", "--order", file.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("another agent is at work"));
    assert_eq!(machine.run(&["status"]).status.code(), Some(0), "what only reads needs no lock");
    drop(agent);
    // A program that another test starts just now holds a copy of the lock until it runs.
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let done = machine.run(&["apply", "--order", file.to_str().unwrap()]);
        if done.status.code() == Some(0) {
            break;
        }
        let reason = text(&done.stderr);
        assert!(reason.contains("another agent is at work") && Instant::now() < end, "{reason}");
    }
}

#[test]
fn a_state_folder_that_others_may_write_is_refused() {
    let machine = Machine::new();
    fs::create_dir(machine.path("state")).unwrap();
    set_mode(&machine.path("state"), 0o777);
    let done = machine.run(&["fsck"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(text(&done.stderr).contains("state_dir"));
    assert_eq!(machine.run(&["doctor"]).status.code(), Some(1));
}

#[test]
fn doctor_tells_what_orders_would_fail_on() {
    let machine = Machine::new();
    assert_eq!(machine.run(&["doctor"]).status.code(), Some(0), "{}", text(&machine.run(&["doctor"]).stdout));
    machine.write_settings("[command.a]\nargv = [\"no-such-program\"]\n");
    let done = machine.run(&["doctor"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stdout).contains("no-such-program"));
    machine.write_settings("");
    fs::rename(machine.path("conf"), machine.path("real")).unwrap();
    std::os::unix::fs::symlink(machine.path("real"), machine.path("conf")).unwrap();
    let done = machine.run(&["doctor"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stdout).contains("symbolic link"));
    fs::write(machine.settings_file(), "state_dir = \"/var/lib/none\"").unwrap();
    assert!(text(&machine.run(&["doctor"]).stdout).contains("`allow` is empty"));
}
