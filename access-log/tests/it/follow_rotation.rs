//! Follower: logs that are rotated in all the ways there are, and what the operator is told.

use std::fs::{self, File};
use std::io::Write;

use pilothouse_access_log::{Follower, Format, Input, ingest};

use crate::follow::WrittenLog;
use crate::support::{A, batches_of, domains, gzip, line, rules};

/// Options of a rotation.
pub(crate) enum Rotated {
    Plain,
    Gzip,
}

impl WrittenLog {
    /// Moves the log to another name, and opens a new one.
    pub(crate) fn rotate(&self, to: &str, rotated: &Rotated) -> File {
        let (from, to) = (self.path("edge.log"), self.path(to));
        match rotated {
            Rotated::Plain => fs::rename(from, to).unwrap(),
            Rotated::Gzip => {
                fs::write(to, gzip(&fs::read(&from).unwrap())).unwrap();
                fs::remove_file(from).unwrap();
            }
        }
        self.open("edge.log")
    }

    /// Numbers the rotated files anew, from the highest on.
    pub(crate) fn shift(&self, names: &[&str]) {
        for pair in names.windows(2).rev() {
            if self.path(pair[0]).exists() {
                fs::rename(self.path(pair[0]), self.path(pair[1])).unwrap();
            }
        }
    }
}

#[test]
fn a_log_rotated_several_times_between_two_looks_loses_nothing() {
    for rotated in [Rotated::Plain, Rotated::Gzip] {
        let names: &[&str] = match rotated {
            Rotated::Plain => &["edge.log.1", "edge.log.2", "edge.log.3", "edge.log.4"],
            Rotated::Gzip => &["edge.log.1.gz", "edge.log.2.gz", "edge.log.3.gz", "edge.log.4.gz"],
        };
        for is_restarted in [false, true] {
            let mut followed = WrittenLog::new();
            let mut log = followed.open("edge.log");
            followed.write(&mut log, 10);
            followed.check();
            for count in [20, 30, 40] {
                followed.write(&mut log, count);
                followed.shift(names);
                log = followed.rotate(names[0], &rotated);
            }
            followed.write(&mut log, 5);
            if is_restarted {
                followed.restart();
            }
            followed.check();
            followed.restart();
            followed.check();
            assert_eq!(followed.notices, [""; 0]);
        }
    }
}

#[test]
fn a_log_copied_and_truncated_several_times_between_two_looks_loses_nothing() {
    let mut followed = WrittenLog::new();
    let mut log = followed.open("edge.log");
    followed.write(&mut log, 10);
    followed.check();
    for count in [5, 7, 1] {
        followed.write(&mut log, count);
        followed.shift(&["edge.log.1", "edge.log.2", "edge.log.3"]);
        fs::copy(followed.path("edge.log"), followed.path("edge.log.1")).unwrap();
        log.set_len(0).unwrap();
    }
    followed.write(&mut log, 2);
    followed.check();
    assert_eq!(followed.notices, [""; 0]);
}

#[test]
fn unread_files_are_found_whatever_the_live_one_is() {
    let mut followed = WrittenLog::new();
    let mut log = followed.open("edge.log");
    followed.write(&mut log, 10);
    followed.check();
    followed.write(&mut log, 5);
    let mut log = followed.rotate("edge.log.2", &Rotated::Plain);
    followed.write(&mut log, 5);
    let mut log = followed.rotate("edge.log.1", &Rotated::Plain);
    followed.write(&mut log, 5);
    // The live file was read by hand before the rotated ones.
    let (path, domains) = (followed.path("edge.log"), domains());
    let input = Input::open(&path).unwrap();
    ingest(input, &rules(Format::Tsv, &domains), &batches_of(300), &mut followed.ledger).unwrap();
    followed.restart();
    followed.check();
}

#[test]
fn the_end_of_a_log_may_be_lost_while_it_is_followed() {
    for (read, lost) in [(50, 1), (50, 20), (3000, 100)] {
        for is_restarted in [false, true] {
            let mut followed = WrittenLog::new();
            let mut log = followed.open("edge.log");
            followed.write(&mut log, read);
            followed.check();
            let text = fs::read_to_string(followed.path("edge.log")).unwrap();
            let left: usize =
                text.split_inclusive('\n').take(usize::try_from(read - lost).unwrap()).map(str::len).sum();
            log.set_len(left as u64).unwrap();
            if is_restarted {
                followed.restart();
            }
            followed.check();
            followed.write(&mut log, 2);
            followed.check();
            followed.write(&mut log, 200);
            followed.check();
            assert!(
                followed.notices.iter().any(|notice| notice.contains("has lost lines")),
                "{:?}",
                followed.notices
            );
            assert!(!followed.notices.iter().any(|notice| notice.contains("gone")), "{:?}", followed.notices);
        }
    }
}

#[test]
fn logs_of_neighbours_are_not_read() {
    let mut followed = WrittenLog::new();
    for name in ["edge-2.log", "edge-443.log", "edge-20261121.log", "edge.log-7"] {
        fs::write(followed.path(name), line("a.example.com", 1_795_189_000, 77)).unwrap();
    }
    let neighbours = ["edge-2.log", "edge-20261121.log", "edge.log-7"].map(|name| followed.path(name));
    let new =
        |followed: &WrittenLog| Follower::new(&followed.path("edge.log")).neighbours(neighbours.clone());
    followed.follower = new(&followed);
    let mut log = followed.open("edge.log");
    followed.write(&mut log, 2);
    followed.check();
    followed.write(&mut log, 2);
    let mut log = followed.rotate("edge.log.1", &Rotated::Plain);
    followed.write(&mut log, 2);
    followed.follower = new(&followed);
    followed.check();
    // A log that nobody named, but that is still written, has lines from after this one began.
    followed.write(&mut log, 2);
    let mut log = followed.rotate("edge.log.1", &Rotated::Plain);
    followed.write(&mut log, 2);
    fs::write(
        followed.path("edge-20261122.log"),
        line("a.example.com", 1_795_189_000, 77) + &line("a.example.com", 1_795_290_000, 78).repeat(20),
    )
    .unwrap();
    followed.follower = new(&followed);
    followed.check();
    assert_eq!(followed.notices.len(), 1);
    assert!(
        followed.notices[0].contains("edge-20261122.log is named like a rotated log"),
        "{:?}",
        followed.notices
    );
}

#[test]
fn rotated_files_may_be_elsewhere_or_named_otherwise() {
    for (to, rotated) in [
        ("edge.log.gz", Rotated::Gzip),
        ("edge.log.old", Rotated::Plain),
        ("edge-20261121.log", Rotated::Plain),
        ("old/edge.log.1", Rotated::Plain),
        ("old/edge.log-20261121.gz", Rotated::Gzip),
    ] {
        for is_restarted in [false, true] {
            let mut followed = WrittenLog::new();
            fs::create_dir(followed.path("old")).unwrap();
            let new = |followed: &WrittenLog| {
                Follower::new(&followed.path("edge.log")).rotated_folder(followed.path("old"))
            };
            followed.follower = new(&followed);
            let mut log = followed.open("edge.log");
            followed.write(&mut log, 10);
            followed.check();
            followed.write(&mut log, 10);
            let mut log = followed.rotate(to, &rotated);
            followed.write(&mut log, 10);
            if is_restarted {
                followed.follower = new(&followed);
            }
            followed.check();
            assert_eq!(followed.notices, [""; 0], "{to}");
        }
    }
}

#[test]
fn a_log_may_be_a_link_into_another_folder() {
    let mut followed = WrittenLog::new();
    fs::create_dir(followed.path("data")).unwrap();
    std::os::unix::fs::symlink("data/edge.log", followed.path("edge.log")).unwrap();
    let mut log = followed.open("data/edge.log");
    followed.write(&mut log, 10);
    followed.check();
    followed.write(&mut log, 10);
    fs::rename(followed.path("data/edge.log"), followed.path("data/edge.log.1")).unwrap();
    let mut log = followed.open("data/edge.log");
    followed.write(&mut log, 10);
    followed.restart();
    followed.check();
    assert_eq!(followed.notices, [""; 0]);
}

#[test]
fn a_log_that_nothing_continues_is_a_gap() {
    for (rotated, notices) in [("edge.log.1.xz", 2), ("edge.log.zst", 2), ("elsewhere", 1)] {
        let mut followed = WrittenLog::new();
        let mut log = followed.open("edge.log");
        followed.write(&mut log, 10);
        followed.check();
        fs::rename(followed.path("edge.log"), followed.path(rotated)).unwrap();
        fs::write(followed.path(rotated), "compressed").unwrap();
        let mut log = followed.open("edge.log");
        followed.write(&mut log, 10);
        followed.restart();
        followed.check();
        assert_eq!(followed.notices.len(), notices, "{:?}", followed.notices);
        assert!(followed.notices[0].contains("no rotated file continues it"), "{:?}", followed.notices);
        assert!(
            followed.notices.iter().skip(1).all(|notice| notice.contains(rotated)),
            "{:?}",
            followed.notices
        );
        followed.restart();
        followed.check();
        assert_eq!(followed.notices.len(), notices, "it is said once");
    }
    let mut followed = WrittenLog::new();
    let mut log = followed.open("edge.log");
    followed.write(&mut log, 10);
    followed.check();
    log.set_len(0).unwrap();
    followed.check();
    assert_eq!(followed.notices.len(), 1, "{:?}", followed.notices);
    followed.write(&mut log, 3);
    followed.check();
    assert_eq!(followed.notices.len(), 1, "{:?}", followed.notices);
}

/// Notices about a log that is there when its follower starts are not repeated.
#[test]
fn a_log_in_another_format_at_the_start_is_reported_once() {
    let mut followed = WrittenLog::new();
    followed.open("edge.log").write_all(&b"{\"t\":1}\n".repeat(198)).unwrap();
    followed.poll();
    followed.poll();
    assert_eq!(followed.notices.len(), 1, "{:?}", followed.notices);
}

#[test]
fn a_log_in_another_format_is_left_out() {
    let mut followed = WrittenLog::new();
    let mut log = followed.open("edge.log");
    log.write_all(&b"{\"t\":1}\n".repeat(99)).unwrap();
    followed.poll();
    assert_eq!((followed.ledger.counts.lines, followed.notices.len()), (0, 0), "a readable line may follow");
    log.write_all(&b"{\"t\":1}\n".repeat(99)).unwrap();
    followed.poll();
    followed.poll();
    assert_eq!((followed.ledger.counts.lines, followed.notices.len()), (0, 1));
    assert!(
        followed.notices[0].contains("none of its first 100 lines can be read"),
        "{:?}",
        followed.notices
    );
    let mut log = followed.rotate("edge.log.1", &Rotated::Plain);
    log.write_all(&b"{\"t\":1}\n".repeat(99)).unwrap();
    followed.poll();
    followed.write(&mut log, 1);
    followed.poll();
    assert_eq!((followed.ledger.counts.lines, followed.ledger.flux(A)), (100, followed.written));
}
