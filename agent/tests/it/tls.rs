//! Servers whose certificate is of a private authority: `ca_file` names it, and no other authority is believed then.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use pilothouse_core::ops::OrderState;

use crate::online::{Fleet, Running};

/// Output of the program, which has to fail.
fn refusal(fleet: &Fleet, arguments: &[&str]) -> String {
    let done = fleet.program(arguments).output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

#[test]
fn a_private_authority_is_believed_where_ca_file_names_it() {
    let (fleet, code) = Fleet::with_tls();
    let enroll = ["enroll", "--code", &code];
    let doubt = "certificate";
    for other in [None, Some("renewed.pem")] {
        fleet.write_settings(other);
        let told = refusal(&fleet, &enroll);
        assert!(told.contains(doubt), "{other:?}: {told}");
        assert!(!fleet.machine.path("state/identity.json").exists());
        assert!(refusal(&fleet, &["doctor"]).contains(doubt));
    }
    fleet.write_settings(Some("ca.pem"));
    let examined = fleet.program(&["doctor"]).output().unwrap();
    assert!(examined.status.success() && examined.stdout.ends_with(b"answers; this agent is not enrolled\n"));
    assert!(fleet.program(&enroll).status().unwrap().success(), "the code was not used up");

    let old = fleet.write_old();
    let task = fleet.add(None);
    fleet.execute(task);
    let identity = fs::read(fleet.machine.path("state/identity.json")).unwrap();
    fleet.write_settings(None);
    let mut doubting = Running(fleet.program(&["run"]).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(doubting.0.stderr.take().unwrap()).lines();
    let told = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(doubt)));
    assert!(told.is_some(), "it tells why it has no orders");
    drop(doubting);
    assert_eq!(fleet.view(task).order.state, OrderState::Queued);
    assert_eq!(fleet.file(), old);
    assert_eq!(fs::read(fleet.machine.path("state/identity.json")).unwrap(), identity);

    fleet.write_settings(Some("ca.pem"));
    let _agent = fleet.run();
    fleet.settled(task, OrderState::Succeeded);
    assert_eq!(fleet.machine.read("motd"), "new content", "the content came over TLS, too");
}
