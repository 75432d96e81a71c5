//! A log followed while it is written, put aside, emptied, and while the follower comes and goes.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pilothouse_access_log::{Follower, Format, Lag, Options, Rules};
use tempfile::TempDir;

use crate::support::{A, Memory, domains, gzip, line, rules};

/// A folder with a log, who writes it, and who follows it.
struct World {
    folder: TempDir,
    memory: Memory,
    follower: Follower,
    now: Instant,
    /// Bytes of the next line, so that no two are equal.
    next: u64,
    written: i64,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let follower = Follower::new(&folder.path().join("edge.log"));
        let (memory, now) = (Memory::default(), Instant::now());
        Self { folder, memory, follower, now, next: 1000, written: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self, name: &str) -> File {
        OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap()
    }

    /// The next lines, which count as written.
    fn lines(&mut self, count: u64) -> String {
        let mut lines = String::new();
        for _ in 0..count {
            lines += &line("a.example.com", 1_795_190_000 + self.next.cast_signed(), self.next);
            self.written += self.next.cast_signed();
            self.next += 1;
        }
        lines
    }

    fn write(&mut self, file: &mut File, count: u64) {
        let lines = self.lines(count);
        file.write_all(lines.as_bytes()).unwrap();
    }

    /// Looks until there is nothing more to be read.
    fn look(&mut self) {
        let domains = domains();
        let rules: Rules<'_> = rules(Format::Tsv, &domains);
        let options = Options { batch_bytes: 300, ..Options::default() };
        while self.follower.has_news(self.now) {
            let knows_edge = !self.memory.sources.is_empty();
            let looked =
                self.follower.look(&rules, &options, &mut self.memory, knows_edge, self.now).unwrap();
            if !looked.more {
                break;
            }
        }
    }

    #[track_caller]
    fn check(&mut self) {
        self.look();
        assert_eq!(self.memory.flux(A), self.written);
        assert_eq!(self.memory.counters.lines, i64::try_from(self.next).unwrap() - 1000);
    }

    /// As after kill -9.
    fn restart(&mut self) {
        self.follower = Follower::new(&self.path("edge.log"));
    }
}

#[test]
fn lines_are_read_as_they_come() {
    let mut world = World::new();
    world.check();
    let mut log = world.open("edge.log");
    for count in [1, 0, 7, 40] {
        world.write(&mut log, count);
        world.check();
    }
    assert!(!world.follower.has_news(world.now), "nothing was written");
    assert_eq!(world.memory.sources.len(), 1);
    world.restart();
    world.check();
    world.write(&mut log, 3);
    world.restart();
    world.check();
}

#[test]
fn a_line_is_read_once_it_is_whole() {
    let mut world = World::new();
    let mut log = world.open("edge.log");
    for round in 0..3 {
        let before = world.memory.counters.lines;
        let lines = world.lines(1);
        let (head, tail) = lines.split_at(30);
        log.write_all(head.as_bytes()).unwrap();
        world.look();
        if round == 1 {
            world.restart();
            world.look();
        }
        assert_eq!(world.memory.counters.lines, before);
        log.write_all(tail.as_bytes()).unwrap();
        world.check();
    }
}

#[test]
fn a_log_put_aside_is_read_to_its_end() {
    let mut world = World::new();
    let mut old = world.open("edge.log");
    world.write(&mut old, 10);
    world.check();
    world.write(&mut old, 10);
    fs::rename(world.path("edge.log"), world.path("edge.log.1")).unwrap();
    world.check();
    let mut new = world.open("edge.log");
    world.write(&mut new, 10);
    // Its writer is told later, and the last line comes in two.
    world.write(&mut old, 5);
    world.check();
    let lines = world.lines(1);
    old.write_all(&lines.as_bytes()[..20]).unwrap();
    world.look();
    old.write_all(&lines.as_bytes()[20..lines.len() - 1]).unwrap();
    drop(old);
    world.look();
    assert!(world.memory.flux(A) < world.written, "the last line may yet grow");
    world.now += Duration::from_mins(1);
    world.check();
    assert!(!world.follower.has_news(world.now));
    world.restart();
    world.check();
    fs::remove_file(world.path("edge.log.1")).unwrap();
    world.write(&mut new, 1);
    world.check();
    assert_eq!(world.memory.sources.len(), 2);
}

#[test]
fn a_log_that_is_copied_and_emptied_loses_nothing() {
    let mut world = World::new();
    let mut log = world.open("edge.log");
    for round in 0..4 {
        world.write(&mut log, 20);
        world.look();
        world.write(&mut log, 5);
        if round % 2 == 0 {
            fs::copy(world.path("edge.log"), world.path("edge.log.1")).unwrap();
        } else {
            fs::write(world.path("edge.log.1.gz"), gzip(&fs::read(world.path("edge.log")).unwrap())).unwrap();
        }
        log.set_len(0).unwrap();
        match round {
            // Emptied, and nothing more.
            0 => {}
            // Longer than what was read before it is looked at again.
            1 => world.write(&mut log, 60),
            _ => world.write(&mut log, 2),
        }
        if round == 3 {
            world.restart();
        }
        world.check();
        for name in ["edge.log.1", "edge.log.1.gz"] {
            let _ = fs::rename(world.path(name), world.path(&format!("put-away-{round}-{name}")));
        }
    }
    assert_eq!(world.memory.sources.len(), 5);
}

#[test]
fn what_was_put_aside_while_nobody_followed_is_read_first() {
    let mut world = World::new();
    let mut log = world.open("edge.log");
    world.write(&mut log, 10);
    world.check();
    // Three times, and the first is packed.
    world.write(&mut log, 3);
    fs::write(world.path("edge.log.3.gz"), gzip(&fs::read(world.path("edge.log")).unwrap())).unwrap();
    fs::remove_file(world.path("edge.log")).unwrap();
    for (name, seconds) in [("edge.log.2", 20), ("edge.log.1", 30)] {
        let mut log = world.open(name);
        world.write(&mut log, 4);
        log.set_modified(std::time::SystemTime::now() + Duration::from_secs(seconds)).unwrap();
    }
    let mut log = world.open("edge.log");
    world.write(&mut log, 2);
    world.restart();
    world.check();
    world.restart();
    world.check();
    assert_eq!(world.memory.sources.len(), 4);
}

#[test]
fn history_is_left_alone() {
    let mut world = World::new();
    fs::write(world.path("edge.log.1"), line("a.example.com", 1_795_100_000, 77)).unwrap();
    world.check();
    let mut log = world.open("edge.log");
    world.write(&mut log, 2);
    world.check();
    world.restart();
    world.check();
    log.set_len(0).unwrap();
    world.write(&mut log, 1);
    world.check();
}

#[test]
fn what_the_ledger_refused_is_read_again() {
    let mut world = World::new();
    let mut log = world.open("edge.log");
    world.write(&mut log, 40);
    world.memory.refuses_after = Some(3);
    let domains = domains();
    let rules = rules(Format::Tsv, &domains);
    let options = Options { batch_bytes: 300, ..Options::default() };
    let mut refused = 0;
    for _ in 0..20 {
        let looked = world.follower.look(&rules, &options, &mut world.memory, true, world.now);
        refused += u32::from(looked.is_err());
    }
    assert!(refused > 10 && world.memory.batches == 3);
    assert!(world.follower.has_news(world.now), "what failed is still to be done");
    let lag = world.follower.lag(&mut world.memory).unwrap().unwrap();
    let size = fs::metadata(world.path("edge.log")).unwrap().len();
    assert!(lag.recorded > 0 && lag.recorded < size && lag.size == size);
    world.memory.refuses_after = None;
    world.check();
    assert_eq!(world.follower.lag(&mut world.memory).unwrap(), Some(Lag { recorded: size, size }));
}

#[test]
fn what_cannot_be_read_is_named_and_left_out() {
    let mut world = World::new();
    let mut log = world.open("edge.log");
    world.write(&mut log, 2);
    world.check();
    let packed = gzip(&fs::read(world.path("edge.log")).unwrap());
    fs::write(world.path("edge.log.1.gz"), &packed[..packed.len() / 2]).unwrap();
    fs::remove_file(world.path("edge.log")).unwrap();
    world.restart();
    let domains = domains();
    let rules = rules(Format::Tsv, &domains);
    let looked =
        world.follower.look(&rules, &Options::default(), &mut world.memory, true, world.now).unwrap();
    assert_eq!(looked.unreadable.len(), 1);
    assert!(looked.unreadable[0].0.ends_with("edge.log.1.gz"));
    fs::create_dir(world.path("edge.log")).unwrap();
    let refused = world.follower.look(&rules, &Options::default(), &mut world.memory, true, world.now);
    assert!(refused.unwrap_err().to_string().contains("edge.log"));
}
