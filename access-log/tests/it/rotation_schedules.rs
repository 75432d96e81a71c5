//! Random rotation schedules: a writer, a rotator and a follower that is suspended and killed, with exact totals at the end.
//!
//! `PILOTHOUSE_TEST_SCHEDULES` says how many schedules are run; 100 where it is unset, and 1,000 with
//! `PILOTHOUSE_TEST_LONG`. `PILOTHOUSE_TEST_SEED` chooses which.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pilothouse_access_log::{Follower, Format};
use tempfile::TempDir;

use crate::support::{A, MemoryLedger, Random, batches_of, domains, gzip, line, rules, setting};

/// Most rotations that the follower may miss in a row: the rotator keeps nine files.
const MOST_MISSED: usize = 5;

/// Naming of rotated files.
#[derive(Debug, Clone, Copy)]
enum Naming {
    Numbers,
    Dates,
    NumbersInFolder,
}

struct Schedule {
    random: Random,
    naming: Naming,
    folder: TempDir,
    log: File,
    ledger: MemoryLedger,
    follower: Follower,
    now: Instant,
    rotations: u32,
    /// Rotations since all was read.
    missed: usize,
    /// Every line written.
    lines: Vec<String>,
    /// Second half of a line of which the first was written.
    rest: Option<String>,
    /// Steps so far, shown by a failure.
    steps: Vec<String>,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("old")).unwrap();
        let naming = [Naming::Numbers, Naming::Dates, Naming::NumbersInFolder][random.below(3)];
        let log = open(folder.path().join("edge.log"));
        let follower = follower(&folder);
        Self {
            random,
            naming,
            folder,
            log,
            ledger: MemoryLedger::default(),
            follower,
            now: Instant::now(),
            rotations: 0,
            missed: 0,
            lines: Vec::new(),
            rest: None,
            steps: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn next_line(&mut self) -> String {
        let number = self.lines.len() as u64;
        let line = line("a.example.com", 1_795_190_000 + number.cast_signed() / 7, 1000 + number);
        self.lines.push(line.clone());
        line
    }

    fn write(&mut self, count: usize) {
        let mut text = self.rest.take().unwrap_or_default();
        for _ in 0..count {
            text += &self.next_line();
        }
        self.log.write_all(text.as_bytes()).unwrap();
    }

    fn write_half(&mut self) {
        self.write(0);
        let line = self.next_line();
        let (first, second) = line.split_at(1 + self.random.below(line.len() - 1));
        self.log.write_all(first.as_bytes()).unwrap();
        self.rest = Some(second.to_owned());
    }

    /// Makes room for the next rotated file, and returns its name.
    fn next_name(&mut self, is_gzip: bool) -> PathBuf {
        self.rotations += 1;
        let ending = if is_gzip { ".gz" } else { "" };
        let folder = match self.naming {
            Naming::Dates => {
                return self.path(&format!("edge.log-2026112112{:04}{ending}", self.rotations));
            }
            Naming::Numbers => "",
            Naming::NumbersInFolder => "old/",
        };
        for number in (1..9).rev() {
            for ending in ["", ".gz"] {
                let from = self.path(&format!("{folder}edge.log.{number}{ending}"));
                if from.exists() {
                    fs::rename(from, self.path(&format!("{folder}edge.log.{}{ending}", number + 1))).unwrap();
                }
            }
        }
        self.path(&format!("{folder}edge.log.1{ending}"))
    }

    fn rotate(&mut self) {
        let (kind, live) = (self.random.below(4), self.path("edge.log"));
        self.steps.push(format!("rotate {kind}"));
        self.missed += 1;
        if kind != 0 {
            self.write(0);
        }
        let to = self.next_name(kind > 1);
        match kind {
            0 => {
                fs::rename(&live, to).unwrap();
                let new = open(live);
                // The writer reopens the log a little later.
                let late = self.random.below(4);
                self.write(late);
                self.log = new;
            }
            1 => {
                fs::copy(&live, to).unwrap();
                self.log.set_len(0).unwrap();
            }
            2 => {
                let file = open(to);
                (&file).write_all(&gzip(&fs::read(&live).unwrap())).unwrap();
                file.set_modified(fs::metadata(&live).unwrap().modified().unwrap()).unwrap();
                fs::remove_file(&live).unwrap();
                self.log = open(live);
            }
            _ => {
                fs::write(to, gzip(&fs::read(&live).unwrap())).unwrap();
                self.log.set_len(0).unwrap();
            }
        }
    }

    /// Packs a rotated file, which is as new as this by its time of writing.
    fn pack_later(&mut self) {
        let folder = match self.naming {
            Naming::Numbers | Naming::Dates => self.folder.path().to_owned(),
            Naming::NumbersInFolder => self.path("old"),
        };
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut plain: Vec<_> = entries
            .filter(|path| {
                let is_packed = path.extension().is_some_and(|extension| extension == "gz");
                let name = path.file_name().unwrap().to_str().unwrap();
                name.starts_with("edge.log") && name != "edge.log" && !is_packed
            })
            .collect();
        if plain.is_empty() {
            return;
        }
        plain.sort_unstable();
        let file = plain.swap_remove(self.random.below(plain.len()));
        self.steps.push(format!("pack {} later", file.display()));
        let packed = PathBuf::from(format!("{}.gz", file.display()));
        fs::write(packed, gzip(&fs::read(&file).unwrap())).unwrap();
        fs::remove_file(file).unwrap();
    }

    /// Polls at most so often; whether there is nothing more to be read.
    fn poll(&mut self, most: usize) -> bool {
        let domains = domains();
        let (rules, options) = (rules(Format::Tsv, &domains), batches_of(300));
        for _ in 0..most {
            if !self.follower.has_changed(self.now) {
                return true;
            }
            let knows_edge = !self.ledger.checkpoints.is_empty();
            let polled = self.follower.poll(&rules, &options, &mut self.ledger, knows_edge, self.now);
            let Ok(report) = polled else { return false };
            assert!(report.notices.is_empty(), "{:?} after {:?}", report.notices, self.steps);
        }
        false
    }

    fn step(&mut self) {
        match self.random.below(14) {
            0..=2 => {
                let count = self.random.below(20);
                self.steps.push(format!("write {count}"));
                self.write(count);
            }
            3 => {
                self.steps.push("write half a line".to_owned());
                self.write_half();
            }
            4..=6 if self.missed < MOST_MISSED => self.rotate(),
            7 => {
                self.steps.push("restart".to_owned());
                self.follower = follower(&self.folder);
            }
            8 => {
                // The store refuses, and the process is killed.
                let after = self.random.below(3);
                self.steps.push(format!("kill after {after} batches"));
                self.ledger.refuses_after = Some(self.ledger.batches + after);
                self.poll(10);
                self.ledger.refuses_after = None;
                self.follower = follower(&self.folder);
            }
            9 => {
                self.steps.push("wait".to_owned());
                self.write(0);
                self.read_all();
                self.now += Duration::from_secs(61);
            }
            10 => {
                let most = self.random.below(3);
                self.steps.push(format!("poll {most}"));
                self.poll(most);
            }
            11..=12 => self.pack_later(),
            _ => self.read_all(),
        }
    }

    fn read_all(&mut self) {
        self.steps.push("read all".to_owned());
        assert!(self.poll(10_000), "there is no end after {:?}", self.steps);
        self.missed = 0;
        let whole = self.lines.len() - usize::from(self.rest.is_some());
        let (steps, naming) = (&self.steps, self.naming);
        assert_eq!(self.ledger.counts.lines, i64::try_from(whole).unwrap(), "{naming:?}: {steps:?}");
    }

    fn run(mut self, seed: u64) {
        self.write(3);
        self.read_all();
        for _ in 0..40 {
            self.step();
        }
        self.write(1);
        self.read_all();
        self.now += Duration::from_secs(61);
        self.read_all();
        self.follower = follower(&self.folder);
        self.read_all();
        let flux: u64 = (0..self.lines.len() as u64).map(|number| 1000 + number).sum();
        assert_eq!(self.ledger.flux(A), flux.cast_signed(), "seed {seed}");
        let days = self.ledger.days(A);
        let kept: Vec<u8> = days.into_iter().flat_map(|day| self.ledger.kept(A, day)).collect();
        let mut kept: Vec<_> = std::str::from_utf8(&kept).unwrap().split_inclusive('\n').collect();
        kept.sort_unstable();
        self.lines.sort_unstable();
        assert!(kept == self.lines, "seed {seed}: the kept lines differ");
    }
}

fn open(path: PathBuf) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

fn follower(folder: &TempDir) -> Follower {
    Follower::new(&folder.path().join("edge.log")).rotated_folder(folder.path().join("old"))
}

#[test]
fn no_line_is_lost_or_counted_twice() {
    let first = setting("PILOTHOUSE_TEST_SEED", 1);
    let count = if std::env::var_os("PILOTHOUSE_TEST_LONG").is_some() { 1_000 } else { 100 };
    for seed in first..first + setting("PILOTHOUSE_TEST_SCHEDULES", count) {
        println!("seed {seed}");
        Schedule::new(seed).run(seed);
    }
}
