//! Journal: torn tails, damage, compaction, and what the next start makes of an unfinished attempt.

use std::fs;
use std::io::Write;

use pilothouse_agent::{Records, State};
use serde_json::json;

use crate::machine::{Machine, assert_report};

fn journal(machine: &Machine) -> Vec<u8> {
    fs::read(machine.path("state/journal")).unwrap()
}

#[test]
fn a_tail_torn_at_any_byte_is_recognised_and_resolved() {
    let machine = Machine::new();
    machine.write("a", "old");
    machine.apply("t1", "a", "new");
    let whole = journal(&machine);
    let ends: Vec<usize> =
        whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    assert_eq!(ends.len(), 3, "prepared, swapping, done");
    for length in (0..whole.len()).step_by(7).chain(ends.iter().copied()) {
        fs::write(machine.path("state/journal"), &whole[..length]).unwrap();
        let records = Records::read(&machine.path("state")).unwrap();
        let complete = ends.iter().filter(|end| **end <= length).count();
        assert_eq!(records.all().len(), complete.min(1), "cut to {length} bytes");
        assert_eq!(records.torn() > 0, !ends.contains(&length) && length > 0, "cut to {length} bytes");
        let agent = machine.agent();
        // The file is the new one, so an attempt that was recorded at all is finished.
        let states: Vec<_> = agent.records().all().iter().map(|record| record.state).collect();
        assert_eq!(states, vec![Some(State::Succeeded); complete.min(1)], "cut to {length} bytes");
        drop(agent);
        assert_eq!(Records::read(&machine.path("state")).unwrap().torn(), 0);
    }
}

#[test]
fn an_unfinished_attempt_is_judged_by_the_file() {
    for (content, state) in [("old", State::Failed), ("new", State::Succeeded), ("else", State::Conflict)] {
        let machine = Machine::new();
        machine.write("a", "old");
        machine.apply("t1", "a", "new");
        machine.forget_outcome();
        machine.write("a", content);
        machine.write(".a.t1.1.tmp", "left behind");
        let agent = machine.agent();
        assert_eq!(agent.recovered().len(), 1);
        assert_report(&agent.recovered()[0].report, state, "interrupted");
        assert_eq!((machine.read("a"), machine.litter()), (content.to_owned(), Vec::new()));
        drop(agent);
        assert!(machine.agent().recovered().is_empty(), "it is resolved once");
    }
}

#[test]
fn an_interrupted_confirm_window_brings_the_old_file_back_to_its_service() {
    let machine = Machine::new();
    machine.write("a", "old");
    machine.install_service("a", "old");
    let loaded = || fs::read_to_string(machine.loaded()).unwrap();
    let members = json!({"reload": "load", "confirm_seconds": 30});
    assert_report(&machine.apply_with("t1", "a", "new", members), State::Succeeded, "");
    assert_eq!(loaded(), "new");
    machine.forget_outcome();
    let agent = machine.agent();
    assert_report(&agent.recovered()[0].report, State::Failed, "confirm window was interrupted");
    assert_eq!((machine.read("a"), loaded()), ("old".to_owned(), "old".to_owned()));
    drop(agent);

    // Killed again when the old file was back, and its service did not know.
    machine.forget_outcome();
    fs::write(machine.loaded(), "new").unwrap();
    assert_report(&machine.agent().recovered()[0].report, State::Failed, "interrupted");
    assert_eq!(loaded(), "old");
}

#[test]
fn damage_before_the_end_stops_everything_that_writes() {
    let machine = Machine::new();
    machine.write("a", "old");
    machine.apply("t1", "a", "new");
    let whole = journal(&machine);
    let mut damaged = whole.clone();
    damaged[100] ^= 1;
    fs::write(machine.path("state/journal"), &damaged).unwrap();
    let told = machine.open().unwrap_err().chain();
    assert!(told.contains("damaged at byte 0"), "{told}");
    assert_eq!(journal(&machine), damaged, "nothing is cut off");
    assert_eq!(machine.run(&["fsck"]).status.code(), Some(1));
    let mut garbage = whole.clone();
    garbage.extend([0; 512]);
    fs::write(machine.path("state/journal"), &garbage).unwrap();
    assert_eq!(machine.agent().records().torn(), 512, "a tail that was allocated and never written");
    assert_eq!(journal(&machine), whole);
}

#[test]
fn a_record_of_another_version_is_not_cut_off() {
    let machine = Machine::new();
    machine.apply("t1", "a", "new");
    let json = r#"{"task_id":"t2","of":"the future"}"#;
    let mut file = fs::OpenOptions::new().append(true).open(machine.path("state/journal")).unwrap();
    writeln!(file, "{:08x} {json}", crc32fast::hash(json.as_bytes())).unwrap();
    let told = machine.open().unwrap_err().chain();
    assert!(told.contains("another version"), "{told}");
}

#[test]
fn a_long_journal_is_rewritten_with_what_is_needed() {
    let machine = Machine::new();
    machine.write("a", "old");
    machine.apply("t1", "a", "new");
    let line = journal(&machine).split_inclusive(|byte| *byte == b'\n').next_back().unwrap().to_vec();
    let mut file = fs::OpenOptions::new().append(true).open(machine.path("state/journal")).unwrap();
    for _ in 0..2_000_000 / line.len() {
        file.write_all(&line).unwrap();
    }
    let agent = machine.agent();
    assert_eq!(agent.records().all().len(), 1);
    drop(agent);
    assert_eq!(journal(&machine), line);
    assert_report(&machine.revert("t1"), State::Reverted, "");
    assert_eq!(machine.read("a"), "old");
}

#[test]
fn a_state_folder_that_is_gone_is_begun_again() {
    let machine = Machine::new();
    machine.write("a", "old");
    machine.apply("t1", "a", "new");
    fs::remove_dir_all(machine.path("state")).unwrap();
    assert_report(&machine.revert("t1"), State::RevertFailed, "knows no task");
    assert_report(&machine.apply("t2", "a", "newer"), State::Succeeded, "");
}
