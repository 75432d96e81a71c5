//! Follower: rotated files that are packed in all the orders there are, and left with the time of packing.

use std::fs::{self, OpenOptions};
use std::time::{Duration, SystemTime};

use pilothouse_access_log::Format;

use crate::follow::WrittenLog;
use crate::follow_rotation::Rotated;
use crate::support::{batches_of, domains, gzip, line, rules};

/// Names of rotated files, the newest first.
const NAMES: [&str; 4] = ["edge.log.1", "edge.log.2", "edge.log.3", "edge.log.4"];

/// Orders in which three files may be written or packed.
const ORDERS: [[u64; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

impl WrittenLog {
    /// Lets a file look as if it was written so many seconds before now.
    fn set_age(&self, name: &str, seconds: u64) {
        let file = OpenOptions::new().append(true).open(self.path(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    }

    /// Packs a rotated file, as if that was so many seconds before now.
    fn pack(&self, name: &str, seconds: u64) {
        let packed = format!("{name}.gz");
        fs::write(self.path(&packed), gzip(&fs::read(self.path(name)).unwrap())).unwrap();
        fs::remove_file(self.path(name)).unwrap();
        self.set_age(&packed, seconds);
    }

    /// Polls a few times, though the ledger may refuse.
    fn poll_refused(&mut self) {
        let domains = domains();
        let (rules, options) = (rules(Format::Tsv, &domains), batches_of(300));
        for _ in 0..5 {
            let _ = self.follower.poll(&rules, &options, &mut self.ledger, true, self.now);
        }
    }

    /// Rotates the log away, whose rotated files were written an hour apart.
    fn rotate_hourly(&self) -> fs::File {
        self.shift(&NAMES);
        let log = self.rotate(NAMES[0], &Rotated::Plain);
        for (name, hours) in NAMES.iter().zip(1..) {
            if self.path(name).exists() {
                self.set_age(name, hours * 3600);
            }
        }
        log
    }
}

/// Three rotations while nobody looks, of which any are packed afterwards, in any order.
#[test]
fn no_order_of_packing_hides_a_rotation() {
    for packed in 0..8_u32 {
        for order in ORDERS {
            for is_restarted in [false, true] {
                let mut followed = WrittenLog::new();
                let mut log = followed.open("edge.log");
                followed.write(&mut log, 10);
                followed.check();
                followed.write(&mut log, 3);
                for count in [20, 1, 40] {
                    log = followed.rotate_hourly();
                    followed.write(&mut log, count);
                }
                for (index, place) in order.into_iter().enumerate() {
                    if packed & 1 << index != 0 {
                        followed.pack(NAMES[index], 10 * place);
                    }
                }
                if is_restarted {
                    followed.restart();
                }
                followed.check();
                followed.restart();
                followed.check();
                assert_eq!(followed.notices, [""; 0], "{packed:b} {order:?}");
            }
        }
    }
}

/// The process is killed between two rotated files, of which the older one was packed later.
#[test]
fn the_oldest_lines_are_recorded_first() {
    for batches in 0..12 {
        let mut followed = WrittenLog::new();
        let mut log = followed.open("edge.log");
        followed.write(&mut log, 10);
        followed.check();
        for count in [20, 20, 5] {
            log = followed.rotate_hourly();
            followed.write(&mut log, count);
        }
        followed.pack(NAMES[1], 0);
        followed.ledger.refuses_after = Some(followed.ledger.batches + batches);
        followed.restart();
        followed.poll_refused();
        followed.ledger.refuses_after = None;
        followed.restart();
        followed.check();
        assert_eq!(followed.notices, [""; 0], "killed after {batches} batches");
    }
}

/// A file that was read long ago and is packed only now.
#[test]
fn an_old_file_that_looks_new_hides_no_rotation() {
    for is_restarted in [false, true] {
        let mut followed = WrittenLog::new();
        let mut log = followed.open("edge.log");
        for _ in 0..2 {
            followed.write(&mut log, 10);
            followed.check();
            log = followed.rotate_hourly();
        }
        followed.write(&mut log, 10);
        followed.check();
        for _ in 0..2 {
            followed.write(&mut log, 10);
            log = followed.rotate_hourly();
        }
        followed.write(&mut log, 2);
        followed.pack(NAMES[3], 0);
        if is_restarted {
            followed.restart();
        }
        followed.check();
        assert_eq!(followed.notices, [""; 0]);
    }
}

/// A file of before the log was followed is not read when it is packed and looks new.
#[test]
fn files_rotated_before_the_first_start_are_left_alone_when_they_are_packed() {
    for is_restarted in [false, true] {
        let mut followed = WrittenLog::new();
        fs::write(followed.path(NAMES[0]), line("a.example.com", 1_795_100_000, 77)).unwrap();
        let mut log = followed.open("edge.log");
        followed.write(&mut log, 10);
        followed.check();
        followed.write(&mut log, 10);
        let mut log = followed.rotate_hourly();
        followed.write(&mut log, 2);
        followed.pack(NAMES[1], 0);
        if is_restarted {
            followed.restart();
        }
        followed.check();
        assert_eq!(followed.notices, [""; 0]);
    }
}

/// Gap of a file whose first lines do not tell whether it is the newer one.
#[test]
fn a_file_whose_lines_do_not_tell_its_place_is_a_gap() {
    for is_known_garbled in [false, true] {
        for is_restarted in [false, true] {
            let mut followed = WrittenLog::new();
            let garbled = "?\n".repeat(30) + &line("a.example.com", 1_795_190_001, 77);
            let mut log = followed.open("edge.log");
            if is_known_garbled {
                fs::write(followed.path("edge.log"), &garbled).unwrap();
            }
            followed.write(&mut log, 10);
            followed.poll();
            followed.rotate_hourly();
            let unread = if is_known_garbled { line("a.example.com", 1_795_190_002, 78) } else { garbled };
            fs::write(followed.path("edge.log"), unread).unwrap();
            let before = followed.ledger.counts.lines;
            let mut log = followed.rotate_hourly();
            followed.write(&mut log, 5);
            followed.pack(NAMES[1], 0);
            if is_restarted {
                followed.restart();
            }
            followed.poll();
            let [notice] = &*followed.notices else { panic!("{:?}", followed.notices) };
            assert!(notice.contains("edge.log.1 was not read"), "{notice}");
            assert_eq!(followed.ledger.counts.lines, before + 5);
            followed.shift(&NAMES);
            followed.rotate("edge.log.1.gz", &Rotated::Gzip);
            followed.poll();
            assert_eq!(followed.notices.len(), 1, "it is said once: {:?}", followed.notices);
        }
    }
}
