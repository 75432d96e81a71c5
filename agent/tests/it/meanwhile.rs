//! What others do to the file while an order is carried out. The check of the order stands for them: it runs between the look
//! at the file and its replacement.

use std::fs;
use std::os::unix::fs::FileTypeExt;

use pilothouse_agent::{Report, State};
use serde_json::json;

use crate::machine::{Machine, assert_report, names};

/// Carries out an order whose check runs a script in the allowed folder.
fn apply_while(machine: &Machine, name: &str, script: &str) -> Report {
    let folder = machine.path("conf").display().to_string();
    let argv = json!(["sh", "-c", format!("cd {folder} && {script}")]);
    machine.write_settings(&format!("[command.meanwhile]\nargv = {argv}\n"));
    machine.apply_with("t1", name, "new", json!({"check": "meanwhile"}))
}

#[test]
fn an_edit_meanwhile_is_never_overwritten() {
    let machine = Machine::new();
    machine.write("a", "old");
    assert_report(&apply_while(&machine, "a", "echo edited > a"), State::Conflict, "changed while");
    assert_eq!(machine.read("a"), "edited\n");
    assert_eq!(machine.litter(), [""; 0]);
}

#[test]
fn a_file_that_comes_meanwhile_is_never_overwritten() {
    let machine = Machine::new();
    assert_report(&apply_while(&machine, "a", "echo created > a"), State::Conflict, "changed while");
    assert_eq!(machine.read("a"), "created\n");
}

#[test]
fn a_touched_file_is_still_the_old_one() {
    let machine = Machine::new();
    machine.write("a", "old");
    assert_report(&apply_while(&machine, "a", "chmod 600 a"), State::Failed, "changed while");
    assert_eq!(machine.read("a"), "old");
}

#[test]
fn what_takes_the_place_of_the_file_stays() {
    for script in ["rm a && mkdir a", "rm a && mkfifo a", "mv a b && ln -s b a", "rm a", "ln a b"] {
        let machine = Machine::new();
        machine.write("a", "old");
        let report = apply_while(&machine, "a", script);
        let state = if script == "ln a b" { State::Failed } else { State::Conflict };
        assert_report(&report, state, "changed while");
        assert_eq!(machine.litter(), [""; 0], "{script}");
        let found = fs::symlink_metadata(machine.file("a"));
        let is_there = match script {
            "rm a && mkdir a" => found.unwrap().is_dir(),
            "rm a && mkfifo a" => found.unwrap().file_type().is_fifo(),
            "mv a b && ln -s b a" => found.unwrap().is_symlink() && machine.read("b") == "old",
            "rm a" => found.is_err(),
            _ => machine.read("a") == "old",
        };
        assert!(is_there, "{script}");
    }
}

#[test]
fn a_folder_that_is_moved_away_meanwhile_leads_nowhere() {
    let machine = Machine::new();
    fs::create_dir(machine.file("folder")).unwrap();
    machine.write("folder/a", "old");
    fs::create_dir(machine.path("outside")).unwrap();
    let outside = machine.path("outside").display().to_string();
    let report = apply_while(&machine, "folder/a", &format!("mv folder aside && ln -s {outside} folder"));
    assert_report(&report, State::Conflict, "symbolic link");
    assert_eq!(names(&machine.path("outside")), [""; 0]);
    assert_eq!(names(&machine.file("aside")), ["a"], "no temporary file is left");
}

#[test]
fn a_staged_file_that_the_check_rewrites_is_not_put_in_place() {
    let machine = Machine::new();
    machine.write("a", "old");
    let report = apply_while(&machine, "a", "echo spoiled > .a.t1.1.tmp");
    assert_report(&report, State::Failed, "changed the staged file");
    assert_eq!((machine.read("a"), machine.litter()), ("old".to_owned(), Vec::new()));
}
