//! Random schedules of shipping: a writer, a rotator, a shipper that is killed, and a server that is away, loses answers and is
//! put back to an earlier state, with the exact stream at the end.
//!
//! `PILOTHOUSE_TEST_SCHEDULES` says how many schedules are run; 60 where it is unset, and 3,000 with `PILOTHOUSE_TEST_LONG`.
//! `PILOTHOUSE_TEST_SEED` chooses which.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use pilothouse_log_intake::{LogServer, SendError, ShipError, ShipEvent, ShippedLog, Unavailable};
use tempfile::TempDir;

use crate::support::{gzip, setting, take, unpacked};

/// Most rotations that the shipper may miss in a row.
const MOST_MISSED: usize = 5;
/// Rotated files that are kept: enough for what was missed, and for what a server that was put back wants again.
const KEPT: usize = 30;

/// A writer with its rotator, and the server that its log is shipped to.
struct Schedule {
    random: fastrand::Rng,
    folder: TempDir,
    log: File,
    /// Whether rotated files look as if they were written long ago.
    is_old: bool,
    rotations: u64,
    /// Rotations since all was shipped.
    missed: usize,
    /// Every line written.
    lines: Vec<String>,
    /// Second half of a line of which the first was written.
    rest: Option<String>,
    /// The stream, as the server has taken it.
    stream: Vec<u8>,
    /// Lengths of the stream at the last rotations.
    lengths: Vec<usize>,
    /// Looks at the log until the shipper is killed.
    looks: usize,
    has_faults: bool,
    /// Steps so far, shown by a failure.
    steps: Vec<String>,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path().join("edge.log"));
        let is_old = random.usize(..2) == 0;
        Self {
            random,
            folder,
            log,
            is_old,
            rotations: 0,
            missed: 0,
            lines: Vec::new(),
            rest: None,
            stream: Vec::new(),
            lengths: Vec::new(),
            looks: 0,
            has_faults: false,
            steps: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn next_line(&mut self) -> String {
        let number = self.lines.len();
        let line = format!("{number} {}\n", "x".repeat(number % 97));
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
        let (first, second) = line.split_at(1 + self.random.usize(..line.len() - 1));
        self.log.write_all(first.as_bytes()).unwrap();
        self.rest = Some(second.to_owned());
    }

    /// Makes room for the next rotated file, and returns its name.
    fn next_name(&mut self, is_gzip: bool) -> PathBuf {
        self.rotations += 1;
        self.lengths.push(self.stream.len());
        for number in (1..KEPT).rev() {
            for ending in ["", ".gz"] {
                let from = self.path(&format!("edge.log.{number}{ending}"));
                if from.exists() {
                    fs::rename(from, self.path(&format!("edge.log.{}{ending}", number + 1))).unwrap();
                }
            }
        }
        self.path(if is_gzip { "edge.log.1.gz" } else { "edge.log.1" })
    }

    fn rotate(&mut self) {
        let (kind, live) = (self.random.usize(..4), self.path("edge.log"));
        self.steps.push(format!("rotate {kind}"));
        self.missed += 1;
        if kind != 0 {
            self.write(0);
        }
        let to = self.next_name(kind > 1);
        match kind {
            0 => {
                fs::rename(&live, &to).unwrap();
                let new = open(live);
                // The writer reopens the log a little later.
                let late = self.random.usize(..4);
                self.write(late);
                self.log = new;
            }
            1 => {
                fs::copy(&live, &to).unwrap();
                self.log.set_len(0).unwrap();
            }
            2 => {
                fs::write(&to, gzip(&fs::read(&live).unwrap())).unwrap();
                fs::remove_file(&live).unwrap();
                self.log = open(live);
            }
            _ => {
                fs::write(&to, gzip(&fs::read(&live).unwrap())).unwrap();
                self.log.set_len(0).unwrap();
            }
        }
        if self.is_old {
            let written = SystemTime::now() - Duration::from_secs(86_400 - self.rotations);
            File::options().write(true).open(to).unwrap().set_modified(written).unwrap();
        }
    }

    /// What happens to the log while nobody looks at it.
    fn step(&mut self) {
        match self.random.usize(..8) {
            0..=3 => {
                let count = self.random.usize(..20);
                self.steps.push(format!("write {count}"));
                self.write(count);
            }
            4 => {
                self.steps.push("write half a line".to_owned());
                self.write_half();
            }
            5..=6 if self.missed < MOST_MISSED => self.rotate(),
            _ => self.put_back(),
        }
    }

    /// Puts the server back to an earlier state, as a restore from a backup does.
    fn put_back(&mut self) {
        if !self.has_faults {
            return;
        }
        // No further than the rotator keeps files.
        let least = self.lengths.iter().rev().nth(6).copied().unwrap_or_default();
        if self.stream.len() <= least {
            return;
        }
        let cut = least + self.random.usize(..self.stream.len() - least);
        let end = self.stream[..cut].iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if end >= least {
            self.steps.push(format!("put back from {} to {end}", self.stream.len()));
            self.stream.truncate(end);
        }
    }

    fn ship(&mut self, log: &ShippedLog) {
        match log.ship(self) {
            Ok(()) | Err(ShipError::Stopped) => {}
            Err(error) => panic!("{error} after {:#?}", self.steps),
        }
    }

    fn ship_all(&mut self, log: &ShippedLog) {
        self.steps.push("ship all".to_owned());
        self.has_faults = false;
        self.ship(&log.clone().ends_when_shipped());
        self.missed = 0;
        self.lengths.push(self.stream.len());
        let rest = usize::from(self.rest.is_some());
        let mut shipped: Vec<_> = std::str::from_utf8(&self.stream).unwrap().split_inclusive('\n').collect();
        let mut written: Vec<_> = self.lines[..self.lines.len() - rest].iter().map(String::as_str).collect();
        shipped.sort_unstable();
        written.sort_unstable();
        assert!(shipped == written, "the stream differs after {:#?}", self.steps);
    }

    fn run(mut self) {
        let log = ShippedLog::new("level3", "edge-1", self.path("edge.log"), self.path("edge.log.ship"));
        self.write(3);
        self.ship_all(&log);
        for _ in 0..8 {
            self.has_faults = true;
            self.looks = self.random.usize(..8);
            self.steps.push(format!("start for {} looks", self.looks));
            self.ship(&log);
            for _ in 0..self.random.usize(..4) {
                self.step();
            }
            self.steps.push("stopped".to_owned());
            if self.missed >= MOST_MISSED || self.random.usize(..3) == 0 {
                self.ship_all(&log);
            }
        }
        self.write(1);
        self.ship_all(&log);
    }
}

impl LogServer for Schedule {
    fn send(&mut self, offset: u64, gzip: &[u8]) -> Result<u64, SendError> {
        let fault = if self.has_faults { self.random.usize(..20) } else { 20 };
        match fault {
            0 => {
                return Err(SendError::Unavailable(Unavailable {
                    why: "away".to_owned(),
                    retry_after: None,
                }));
            }
            1 => return Err(SendError::Stopped),
            _ => {}
        }
        let taken = take(&mut self.stream, offset, &unpacked(gzip));
        match fault {
            2 => Err(SendError::Unavailable(Unavailable { why: "no answer".to_owned(), retry_after: None })),
            3 => Err(SendError::Stopped),
            _ => taken.map_err(SendError::Conflict),
        }
    }

    fn wait_for_server(&mut self, _: u32, _: &Unavailable) -> Result<(), ShipError> {
        if self.random.usize(..4) == 0 {
            self.step();
        }
        Ok(())
    }

    fn wait_for_lines(&mut self) -> Result<(), ShipError> {
        self.missed = 0;
        self.looks = self.looks.checked_sub(1).ok_or(ShipError::Stopped)?;
        self.step();
        Ok(())
    }

    fn report(&mut self, event: ShipEvent<'_>) {
        let is_usual = matches!(
            event,
            ShipEvent::Began { .. } | ShipEvent::Shipped { .. } | ShipEvent::Rewinding { .. }
        );
        assert!(is_usual, "{event:?} after {:#?}", self.steps);
    }
}

fn open(path: PathBuf) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

#[test]
fn no_byte_is_lost_or_shipped_twice() {
    let first = setting("PILOTHOUSE_TEST_SEED", 1);
    let count = if std::env::var_os("PILOTHOUSE_TEST_LONG").is_some() { 3_000 } else { 60 };
    for seed in first..first + setting("PILOTHOUSE_TEST_SCHEDULES", count) {
        println!("seed {seed}");
        Schedule::new(seed).run();
    }
}
