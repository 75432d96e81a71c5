//! Reverting: equality with what was there, conflicts, the stack of versions.

use std::fs;

use pilothouse_agent::{Sha256Hex, State, VERSIONS};
use serde_json::json;

use crate::machine::{Machine, assert_report, id, names, parse};

#[test]
fn reverts_go_back_one_task_after_the_other() {
    let machine = Machine::new();
    assert_report(&machine.apply("t1", "a", "one"), State::Succeeded, "");
    assert_report(&machine.apply("t2", "a", "two"), State::Succeeded, "");
    assert_report(&machine.apply("t3", "a", "three"), State::Succeeded, "");
    assert_report(&machine.revert("t1"), State::Conflict, "was changed since");
    assert_report(&machine.revert("t3"), State::Reverted, "");
    assert_report(&machine.revert("t3"), State::Reverted, "");
    assert_eq!(machine.read("a"), "two");
    assert_report(&machine.revert("t2"), State::Reverted, "");
    assert_report(&machine.revert("t1"), State::Reverted, "");
    assert!(!machine.file("a").exists());
    assert!(!machine.revert("t1").result.changed);
}

#[test]
fn a_later_task_with_the_same_content_owns_the_file() {
    let machine = Machine::new();
    machine.write("a", "old");
    for (task, content) in [("t1", "new"), ("t2", "other"), ("t3", "new")] {
        assert_report(&machine.apply(task, "a", content), State::Succeeded, "");
    }
    assert_report(&machine.revert("t1"), State::Conflict, "task t3 has replaced");
    assert_eq!(machine.read("a"), "new");
}

#[test]
fn an_edited_file_is_a_conflict_and_force_keeps_the_edit() {
    let machine = Machine::new();
    machine.write("a", "old");
    machine.apply("t1", "a", "new");
    machine.write("a", "edited by somebody");
    assert_report(&machine.revert("t1"), State::Conflict, "--force");
    assert_eq!(machine.read("a"), "edited by somebody");
    let report = machine.agent().revert(&id("t1"), true);
    assert_report(&report, State::Reverted, "");
    assert_eq!(machine.read("a"), "old");
    let edit = Sha256Hex::of(b"edited by somebody");
    assert!(names(&machine.path("state/blobs")).contains(&edit.to_string()), "the edit is kept");
    fs::remove_file(machine.file("a")).unwrap();
    assert_report(&machine.revert("t1"), State::Conflict, "none");
    assert_report(&machine.agent().revert(&id("t1"), true), State::Reverted, "");
    assert_eq!(machine.read("a"), "old");
}

#[test]
fn five_versions_of_a_path_are_kept() {
    let machine = Machine::new();
    machine.write("a", "0");
    for version in 1..=VERSIONS + 2 {
        assert_report(
            &machine.apply(&format!("t{version}"), "a", &version.to_string()),
            State::Succeeded,
            "",
        );
    }
    assert_eq!(names(&machine.path("state/blobs")).len(), VERSIONS);
    for version in (3..=VERSIONS + 2).rev() {
        assert_report(&machine.revert(&format!("t{version}")), State::Reverted, "");
    }
    assert_eq!(machine.read("a"), "2");
    assert_report(&machine.revert("t2"), State::RevertFailed, "an older one");
}

#[test]
fn a_damaged_or_missing_backup_is_never_put_back() {
    let machine = Machine::new();
    machine.write("a", "old");
    machine.apply("t1", "a", "new");
    let backup = machine.path("state/blobs").join(Sha256Hex::of(b"old").as_str());
    fs::write(&backup, "odd").unwrap();
    assert_report(&machine.revert("t1"), State::RevertFailed, "damaged");
    let findings = machine.run(&["fsck"]);
    assert_eq!(findings.status.code(), Some(1));
    fs::remove_file(&backup).unwrap();
    assert_report(&machine.revert("t1"), State::RevertFailed, "missing");
    assert_eq!(machine.read("a"), "new");
}

#[test]
fn what_was_never_done_has_nothing_to_put_back() {
    let machine = Machine::new();
    machine.write("a", "old");
    assert_report(&machine.revert("t9"), State::RevertFailed, "knows no task t9");
    machine.apply_with("t1", "a", "new", json!({"check": "refuse"}));
    assert_report(&machine.revert("t1"), State::Reverted, "");
    machine.apply("t2", "a", "old");
    assert_report(&machine.revert("t2"), State::Reverted, "");
    assert_eq!(machine.read("a"), "old");
}

#[test]
fn an_order_reverts_with_a_new_attempt() {
    let machine = Machine::new();
    machine.write("a", "old");
    machine.apply("t1", "a", "new");
    let order = |attempt: u32, name: &str| {
        let order =
            json!({"task_id": "t1", "attempt": attempt, "action": "revert", "path": machine.file(name)});
        parse(order.as_object().unwrap())
    };
    assert_report(&machine.agent().apply(&order(2, "b")), State::RevertFailed, "this task was for");
    assert_report(&machine.agent().apply(&order(2, "a")), State::Reverted, "");
    assert_report(&machine.agent().apply(&order(1, "a")), State::RevertFailed, "stale attempt 1");
    assert_eq!(machine.read("a"), "old");
}

#[test]
fn a_reload_that_fails_does_not_undo_a_revert() {
    let machine = Machine::new();
    machine.write("a", "old");
    let members = json!({"reload": "reload"});
    assert_report(&machine.apply_with("t1", "a", "new", members), State::Succeeded, "");
    machine.write_settings("[command.reload]\nargv = [\"false\"]\n");
    assert_report(&machine.revert("t1"), State::Reverted, "reload ended with status 1");
    assert_eq!(machine.read("a"), "old");
}
