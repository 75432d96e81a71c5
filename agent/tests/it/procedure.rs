//! The procedure: replacing, creating, checking, reloading, confirming, repeating.

use std::fs;
use std::process::Command;

use pilothouse_agent::{Sha256Hex, State};
use serde_json::json;

use crate::machine::{Machine, assert_report, extend, parse};

#[test]
fn a_file_is_replaced_and_its_old_content_is_kept() {
    let machine = Machine::new();
    machine.write("a", "old");
    let report = machine.apply("t1", "a", "new");
    assert_report(&report, State::Succeeded, "");
    assert!(report.result.changed && report.message.is_none());
    assert_eq!(report.result.old_sha256, Some(Sha256Hex::of(b"old")));
    assert_eq!(report.result.new_sha256, Some(Sha256Hex::of(b"new")));
    assert_eq!(machine.read("a"), "new");
    let backup = machine.path("state/blobs").join(Sha256Hex::of(b"old").as_str());
    assert_eq!(fs::read_to_string(backup).unwrap(), "old");
    assert_eq!(machine.litter(), [""; 0]);
}

#[test]
fn a_file_is_created_and_an_empty_one_is_a_file() {
    let machine = Machine::new();
    let report = machine.apply("t1", "a", "");
    assert_report(&report, State::Succeeded, "");
    assert_eq!(report.result.old_sha256, None);
    assert_eq!(machine.read("a"), "");
    assert_report(&machine.apply("t2", "a", "filled"), State::Succeeded, "");
    assert_report(&machine.apply("t3", "a", ""), State::Succeeded, "");
    assert_eq!(machine.read("a"), "");
}

#[test]
fn a_file_that_is_already_new_is_not_touched() {
    let machine = Machine::new();
    machine.write("a", "new");
    let before = fs::metadata(machine.file("a")).unwrap();
    let report = machine.apply("t1", "a", "new");
    assert_report(&report, State::Succeeded, "");
    assert!(!report.result.changed);
    let after = fs::metadata(machine.file("a")).unwrap();
    assert_eq!(after.modified().unwrap(), before.modified().unwrap());
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&after), std::os::unix::fs::MetadataExt::ino(&before));
    let report = machine.apply_with("t2", "a", "new", json!({"mode": "0600"}));
    assert!(report.result.changed, "another mode is a change");
    assert_report(&machine.revert("t2"), State::Reverted, "");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(machine.file("a")).unwrap().permissions())
            & 0o777,
        0o644
    );
}

#[test]
fn an_expectation_is_compared_before_anything_is_written() {
    let machine = Machine::new();
    machine.write("a", "edited");
    let expect = json!({"expect_sha256": Sha256Hex::of(b"old")});
    assert_report(&machine.apply_with("t1", "a", "new", expect.clone()), State::Failed, "expect_sha256");
    assert_report(&machine.apply_with("t2", "b", "new", expect.clone()), State::Failed, "none");
    assert_eq!(machine.read("a"), "edited");
    machine.write("a", "old");
    assert_report(&machine.apply_with("t3", "a", "new", expect), State::Succeeded, "");
}

#[test]
fn a_check_sees_the_staged_file_and_decides() {
    let machine = Machine::new();
    machine.write("a", "old");
    assert_report(&machine.apply_with("t1", "a", "new", json!({"check": "has-new"})), State::Succeeded, "");
    let report = machine.apply_with("t2", "a", "other", json!({"check": "has-new"}));
    assert_report(&report, State::Failed, "check has-new ended with status 1");
    let report = machine.apply_with("t3", "a", "other", json!({"check": "refuse"}));
    assert_report(&report, State::Failed, "status 3: not like this");
    let report = machine.apply_with("t4", "a", "other", json!({"check": "hang"}));
    assert_report(&report, State::Failed, "longer than 1 s");
    assert_eq!(machine.read("a"), "new");
    assert_eq!(machine.litter(), [""; 0]);
}

#[test]
fn a_reload_that_fails_brings_the_old_file_back() {
    for confirm_seconds in [0, 30] {
        let machine = Machine::new();
        machine.write("a", "old");
        let members = json!({"reload": "reload-fails", "confirm_seconds": confirm_seconds});
        let report = machine.apply_with("t1", "a", "new", members.clone());
        assert_report(&report, State::Failed, "the old file comes back");
        assert!(!report.result.changed);
        assert_eq!(machine.read("a"), "old");
        assert_report(&machine.apply_with("t2", "b", "new", members), State::Failed, "reload-fails");
        assert!(!machine.file("b").exists(), "where there was no file, there is none again");
        let members = json!({"reload": "reload", "confirm_seconds": confirm_seconds});
        assert_report(&machine.apply_with("t3", "a", "new", members), State::Succeeded, "");
        assert_eq!(machine.litter(), [""; 0]);
    }
}

#[test]
fn a_command_has_to_be_declared_for_its_use() {
    let machine = Machine::new();
    machine.write("a", "old");
    for (members, told) in [
        (json!({"check": "rm"}), "rm is not declared"),
        (json!({"reload": "sh -c true"}), "is not declared"),
        (json!({"reload": "has-new"}), "{staged}"),
    ] {
        assert_report(&machine.apply_with("t1", "a", "new", members), State::Failed, told);
    }
    assert_eq!(machine.read("a"), "old");
}

#[test]
fn the_content_has_to_be_what_the_order_says() {
    let machine = Machine::new();
    machine.write("a", "old");
    for (content, told) in [("nev", "SHA-256"), ("ne", "2 bytes"), ("newer", "5 bytes")] {
        let order = machine.order("t1", "a", "new");
        fs::write(machine.path("t1.blob"), content).unwrap();
        assert_report(&machine.agent().apply(&parse(&order)), State::Failed, told);
    }
    let mut order = machine.order("t1", "a", "new");
    fs::remove_file(machine.path("t1.blob")).unwrap();
    assert!(Command::new("mkfifo").arg(machine.path("t1.blob")).status().unwrap().success());
    assert_report(&machine.agent().apply(&parse(&order)), State::Failed, "not a regular file");
    order.remove("blob");
    assert_report(&machine.agent().apply(&parse(&order)), State::Failed, "blob");
    assert_eq!((machine.read("a"), machine.litter()), ("old".to_owned(), Vec::new()));
}

#[test]
fn an_attempt_is_carried_out_once_and_a_stale_one_never() {
    let machine = Machine::new();
    machine.write("a", "old");
    let mut order = machine.order("t1", "a", "new");
    extend(&mut order, json!({"attempt": 2}));
    assert_report(&machine.agent().apply(&parse(&order)), State::Succeeded, "");
    assert!(!machine.agent().apply(&parse(&order)).result.changed, "a repeated order changes nothing");
    assert_report(&machine.apply("t2", "a", "newer"), State::Succeeded, "");
    assert_report(&machine.agent().apply(&parse(&order)), State::Conflict, "attempt 2 has ended before");
    extend(&mut order, json!({"attempt": 1}));
    assert_report(&machine.agent().apply(&parse(&order)), State::Failed, "stale attempt 1");
    assert_eq!(machine.read("a"), "newer");
    extend(&mut order, json!({"attempt": 3}));
    assert_report(&machine.agent().apply(&parse(&order)), State::Succeeded, "");
    assert_eq!(machine.read("a"), "new");
}

#[test]
fn an_order_after_its_deadline_is_refused() {
    let machine = Machine::new();
    assert_report(&machine.apply_with("t1", "a", "new", json!({"deadline": 1})), State::Failed, "deadline");
    assert!(!machine.file("a").exists());
}

#[test]
fn a_plan_tells_and_writes_nothing() {
    let machine = Machine::new();
    machine.write("a", "old");
    let report = machine.apply_with("t1", "a", "newer", json!({"action": "plan", "mode": "0600"}));
    assert_report(&report, State::Planned, "");
    let plan = report.result.plan.unwrap();
    assert_eq!(plan.action, "replace");
    assert_eq!((plan.from.mode.as_deref(), plan.to.mode.as_deref()), (Some("0644"), Some("0600")));
    assert_eq!((plan.from.size, plan.to.size), (Some(3), Some(5)));
    assert_eq!(
        machine.apply_with("t2", "a", "old", json!({"action": "plan"})).result.plan.unwrap().action,
        "nothing"
    );
    assert_eq!(
        machine.apply_with("t3", "b", "old", json!({"action": "plan"})).result.plan.unwrap().action,
        "create"
    );
    assert_report(
        &machine.apply_with("t4", "c/d", "old", json!({"action": "plan"})),
        State::Failed,
        "folder",
    );
    assert!(machine.agent().records().all().is_empty());
    assert_eq!(machine.read("a"), "old");
}

#[test]
fn a_large_file_and_a_long_name_are_replaced() {
    let machine = Machine::new();
    let name = "n".repeat(255);
    let large = "0123456789abcdef".repeat(256 * 1024);
    machine.write(&name, "old");
    assert_report(&machine.apply("t1", &name, &large), State::Succeeded, "");
    assert_eq!(machine.read(&name), large);
    assert_report(&machine.revert("t1"), State::Reverted, "");
    assert_eq!(machine.read(&name), "old");
}
