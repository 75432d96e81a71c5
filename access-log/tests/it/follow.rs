//! Follower: a log that is written, rotated and truncated, while the follower comes and goes.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use pilothouse_access_log::{Follower, Format, IngestOptions, Lag, Notice, Rules};
use tempfile::TempDir;

use crate::support::{A, MemoryLedger, batches_of, domains, gzip, line, rules};

/// Folder with a log, its writer, and its follower.
pub(crate) struct WrittenLog {
    pub(crate) folder: TempDir,
    pub(crate) ledger: MemoryLedger,
    pub(crate) follower: Follower,
    pub(crate) now: Instant,
    /// Bytes that the next line reports, so that no two are equal.
    pub(crate) next: u64,
    /// Bytes that all lines so far report.
    pub(crate) written: i64,
    /// Notices so far, as text.
    pub(crate) notices: Vec<String>,
}

impl WrittenLog {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let follower = Follower::new(&folder.path().join("edge.log"));
        let (ledger, now) = (MemoryLedger::default(), Instant::now());
        Self { folder, ledger, follower, now, next: 1000, written: 0, notices: Vec::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn open(&self, name: &str) -> File {
        OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap()
    }

    /// Makes the next lines, which count as written.
    pub(crate) fn lines(&mut self, count: u64) -> String {
        let mut lines = String::new();
        for _ in 0..count {
            lines += &line("a.example.com", 1_795_190_000 + self.next.cast_signed(), self.next);
            self.written += self.next.cast_signed();
            self.next += 1;
        }
        lines
    }

    pub(crate) fn write(&mut self, file: &mut File, count: u64) {
        let lines = self.lines(count);
        file.write_all(lines.as_bytes()).unwrap();
    }

    /// Polls until there is nothing more to be read.
    pub(crate) fn poll(&mut self) {
        let domains = domains();
        let rules: Rules<'_> = rules(Format::Tsv, &domains);
        let options = batches_of(300);
        while self.follower.has_changed(self.now) {
            let knows_edge = !self.ledger.checkpoints.is_empty();
            let report =
                self.follower.poll(&rules, &options, &mut self.ledger, knows_edge, self.now).unwrap();
            self.notices.extend(report.notices.iter().map(ToString::to_string));
            if !report.has_more {
                break;
            }
        }
    }

    #[track_caller]
    pub(crate) fn check(&mut self) {
        self.poll();
        assert_eq!(self.ledger.flux(A), self.written);
        assert_eq!(self.ledger.counts.lines, i64::try_from(self.next).unwrap() - 1000);
    }

    /// Starts a new follower, as after kill -9.
    pub(crate) fn restart(&mut self) {
        self.follower = Follower::new(&self.path("edge.log"));
    }
}

/// Makes a file look as if it was written so long ago.
fn age(path: &Path, by: Duration) {
    let file = OpenOptions::new().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

#[test]
fn lines_are_read_as_they_come() {
    let mut followed = WrittenLog::new();
    followed.check();
    let mut log = followed.open("edge.log");
    for count in [1, 0, 7, 40] {
        followed.write(&mut log, count);
        followed.check();
    }
    assert!(!followed.follower.has_changed(followed.now), "nothing was written");
    assert_eq!(followed.ledger.checkpoints.len(), 1);
    followed.restart();
    followed.check();
    followed.write(&mut log, 3);
    followed.restart();
    followed.check();
}

#[test]
fn a_line_is_read_once_it_is_whole() {
    let mut followed = WrittenLog::new();
    let mut log = followed.open("edge.log");
    for round in 0..3 {
        let before = followed.ledger.counts.lines;
        let lines = followed.lines(1);
        let (head, tail) = lines.split_at(30);
        log.write_all(head.as_bytes()).unwrap();
        followed.poll();
        if round == 1 {
            followed.restart();
            followed.poll();
        }
        assert_eq!(followed.ledger.counts.lines, before);
        log.write_all(tail.as_bytes()).unwrap();
        followed.check();
    }
}

#[test]
fn a_rotated_log_is_read_to_its_end() {
    let mut followed = WrittenLog::new();
    let mut old = followed.open("edge.log");
    followed.write(&mut old, 10);
    followed.check();
    followed.write(&mut old, 10);
    fs::rename(followed.path("edge.log"), followed.path("edge.log.1")).unwrap();
    followed.check();
    let mut new = followed.open("edge.log");
    followed.write(&mut new, 10);
    // Its writer reopens the log later, and the last line is written in two parts.
    followed.write(&mut old, 5);
    followed.check();
    let lines = followed.lines(1);
    old.write_all(&lines.as_bytes()[..20]).unwrap();
    followed.poll();
    old.write_all(&lines.as_bytes()[20..lines.len() - 1]).unwrap();
    drop(old);
    followed.poll();
    assert!(followed.ledger.flux(A) < followed.written, "the last line may yet grow");
    followed.now += Duration::from_mins(1);
    followed.check();
    assert!(!followed.follower.has_changed(followed.now));
    followed.restart();
    followed.check();
    fs::remove_file(followed.path("edge.log.1")).unwrap();
    followed.write(&mut new, 1);
    followed.check();
    assert_eq!(followed.ledger.checkpoints.len(), 2);
}

#[test]
fn a_log_that_is_copied_and_truncated_loses_nothing() {
    let mut followed = WrittenLog::new();
    let mut log = followed.open("edge.log");
    for round in 0..4 {
        followed.write(&mut log, 20);
        followed.poll();
        followed.write(&mut log, 5);
        if round % 2 == 0 {
            fs::copy(followed.path("edge.log"), followed.path("edge.log.1")).unwrap();
        } else {
            fs::write(followed.path("edge.log.1.gz"), gzip(&fs::read(followed.path("edge.log")).unwrap()))
                .unwrap();
        }
        log.set_len(0).unwrap();
        match round {
            // Truncated, and nothing more.
            0 => {}
            // Longer than what was read before, by the next poll.
            1 => followed.write(&mut log, 60),
            _ => followed.write(&mut log, 2),
        }
        if round == 3 {
            followed.restart();
        }
        followed.check();
        for name in ["edge.log.1", "edge.log.1.gz"] {
            let _ = fs::rename(followed.path(name), followed.path(&format!("put-away-{round}-{name}")));
        }
    }
    assert_eq!(followed.ledger.checkpoints.len(), 5);
}

#[test]
fn files_rotated_while_nobody_followed_are_read_first() {
    let mut followed = WrittenLog::new();
    let mut log = followed.open("edge.log");
    followed.write(&mut log, 10);
    followed.check();
    // Rotated three times, and the first file is compressed.
    followed.write(&mut log, 3);
    fs::write(followed.path("edge.log.3.gz"), gzip(&fs::read(followed.path("edge.log")).unwrap())).unwrap();
    fs::remove_file(followed.path("edge.log")).unwrap();
    for (name, seconds) in [("edge.log.2", 20), ("edge.log.1", 30)] {
        let mut log = followed.open(name);
        followed.write(&mut log, 4);
        log.set_modified(std::time::SystemTime::now() + Duration::from_secs(seconds)).unwrap();
    }
    let mut log = followed.open("edge.log");
    followed.write(&mut log, 2);
    followed.restart();
    followed.check();
    followed.restart();
    followed.check();
    assert_eq!(followed.ledger.checkpoints.len(), 4);
}

#[test]
fn files_rotated_before_the_first_start_are_left_alone() {
    let mut followed = WrittenLog::new();
    fs::write(followed.path("edge.log.1"), line("a.example.com", 1_795_100_000, 77)).unwrap();
    followed.check();
    let mut log = followed.open("edge.log");
    followed.write(&mut log, 2);
    followed.check();
    followed.restart();
    followed.check();
    log.set_len(0).unwrap();
    followed.write(&mut log, 1);
    followed.check();
}

#[test]
fn batches_that_the_ledger_refused_are_read_again() {
    let mut followed = WrittenLog::new();
    let mut log = followed.open("edge.log");
    followed.write(&mut log, 40);
    followed.ledger.refuses_after = Some(3);
    let domains = domains();
    let rules = rules(Format::Tsv, &domains);
    let options = batches_of(300);
    let mut refused = 0;
    for _ in 0..20 {
        let report = followed.follower.poll(&rules, &options, &mut followed.ledger, true, followed.now);
        refused += u32::from(report.is_err());
    }
    assert!(refused > 10 && followed.ledger.batches == 3);
    assert!(followed.follower.has_changed(followed.now), "what failed is to be tried again");
    let lag = followed.follower.lag(&mut followed.ledger).unwrap().unwrap();
    let size = fs::metadata(followed.path("edge.log")).unwrap().len();
    assert!(lag.recorded > 0 && lag.recorded < size && lag.size == size);
    followed.ledger.refuses_after = None;
    followed.check();
    assert_eq!(followed.follower.lag(&mut followed.ledger).unwrap(), Some(Lag { recorded: size, size }));
}

#[test]
fn unreadable_files_are_named_and_left_out() {
    let mut followed = WrittenLog::new();
    let mut log = followed.open("edge.log");
    followed.write(&mut log, 2);
    followed.check();
    let packed = gzip(&fs::read(followed.path("edge.log")).unwrap());
    let broken = followed.path("edge.log.1.gz");
    fs::write(&broken, &packed[..packed.len() / 2]).unwrap();
    // Long enough ago that nobody is still compressing it.
    age(&broken, Duration::from_mins(2));
    fs::remove_file(followed.path("edge.log")).unwrap();
    followed.restart();
    let domains = domains();
    let rules = rules(Format::Tsv, &domains);
    let report = followed
        .follower
        .poll(&rules, &IngestOptions::default(), &mut followed.ledger, true, followed.now)
        .unwrap();
    let [Notice::Unreadable { path, .. }, Notice::Gap] = &*report.notices else {
        panic!("{:?}", report.notices)
    };
    assert!(*path == broken);
    fs::create_dir(followed.path("edge.log")).unwrap();
    let refused =
        followed.follower.poll(&rules, &IngestOptions::default(), &mut followed.ledger, true, followed.now);
    assert!(refused.unwrap_err().to_string().contains("edge.log"));
}
