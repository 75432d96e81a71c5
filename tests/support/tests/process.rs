//! Tests of the process guard and the choice of a free port.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pilothouse_test_support::{ProcessGuard, free_port};

fn sleeper() -> ProcessGuard {
    ProcessGuard::spawn(Command::new("sleep").arg("600")).unwrap()
}

#[test]
fn terminate_and_kill9_end_the_process_with_their_signal() {
    let mut process = sleeper();
    assert_eq!(process.wait_for_exit(Duration::from_millis(20)), None);
    process.terminate();
    assert_eq!(process.wait_for_exit(Duration::from_mins(1)).unwrap().signal(), Some(15));
    process.terminate();

    let mut process = sleeper();
    process.kill9();
    assert_eq!(process.wait_for_exit(Duration::ZERO).unwrap().signal(), Some(9));
}

#[test]
fn a_panic_ends_the_guarded_process() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let panicked = std::thread::spawn(move || {
        let process = sleeper();
        sender.send(process.child.id()).unwrap();
        panic!("as a failing test does");
    });
    assert!(panicked.join().is_err());
    assert!(!PathBuf::from(format!("/proc/{}", receiver.recv().unwrap())).exists());
}

#[test]
fn a_free_port_can_be_listened_on_while_processes_are_started() {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    Command::new("true").status().unwrap();
                }
            });
        }
        for _ in 0..2000 {
            let listened = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port()));
            if listened.is_err() {
                is_done.store(true, Ordering::Relaxed);
            }
            listened.unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
    });
}
