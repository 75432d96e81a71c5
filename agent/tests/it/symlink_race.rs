//! Race: the folder of the file is swapped for a symbolic link again and again while orders are carried out.
//! `PILOTHOUSE_TEST_INPUTS` sets the number of swaps, 10000 by default.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU64, Ordering};

use pilothouse_test_support::env_number;

use crate::machine::{Machine, names, parse};

#[test]
fn a_folder_swapped_for_a_link_never_leads_a_write_elsewhere() {
    let machine = Machine::new();
    let outside = machine.path("outside");
    let folder = machine.file("folder");
    let aside = machine.file("aside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a"), "outside").unwrap();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a"), "old").unwrap();
    let (swaps, most) = (AtomicU64::new(0), env_number("PILOTHOUSE_TEST_INPUTS", 10_000));
    let mut refused = 0;
    let mut changed = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while swaps.load(Ordering::Relaxed) < most {
                fs::rename(&folder, &aside).unwrap();
                symlink(&outside, &folder).unwrap();
                std::thread::yield_now();
                fs::remove_file(&folder).unwrap();
                fs::rename(&aside, &folder).unwrap();
                swaps.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_micros(300));
            }
        });
        let mut agent = machine.agent();
        let mut number = 0;
        while swaps.load(Ordering::Relaxed) < most {
            number += 1;
            let order = machine.order(&format!("t{number}"), "folder/a", &format!("new {}", number % 7));
            let report = agent.apply(&parse(&order));
            refused += usize::from(report.message.is_some_and(|message| message.contains("symbolic link")));
            changed += usize::from(report.result.changed);
            fs::remove_file(machine.path(&format!("t{number}.blob"))).unwrap();
        }
    });
    assert!(refused > 0 && changed > 0, "{refused} refused and {changed} changed: there was no race");
    assert_eq!(names(&outside), ["a"]);
    assert_eq!(fs::read_to_string(outside.join("a")).unwrap(), "outside");
    machine.agent();
    assert_eq!(names(&folder), ["a"]);
    let content = fs::read_to_string(folder.join("a")).unwrap();
    assert!(content == "old" || content.starts_with("new "), "{content:?}");
}
