//! Shipping of a log: where it begins, what it refuses, and what it tells.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use pilothouse_log_intake::{LogServer, SendError, ShipError, ShipEvent, ShipFrom, ShippedLog, Unavailable};
use tempfile::TempDir;

use crate::support::{gzip, take, unpacked};

/// A server that takes everything at once.
#[derive(Default)]
struct TestServer {
    stream: Vec<u8>,
    events: Vec<String>,
    refusal: Option<SendError>,
}

impl LogServer for TestServer {
    fn send(&mut self, offset: u64, gzip: &[u8]) -> Result<u64, SendError> {
        match &self.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => take(&mut self.stream, offset, &unpacked(gzip)).map_err(SendError::Conflict),
        }
    }

    fn wait_for_server(&mut self, attempt: u32, unavailable: &Unavailable) -> Result<(), ShipError> {
        if attempt > 3 { Err(ShipError::Unavailable(unavailable.why.clone())) } else { Ok(()) }
    }

    fn wait_for_lines(&mut self) -> Result<(), ShipError> {
        Err(ShipError::Stopped)
    }

    fn report(&mut self, event: ShipEvent<'_>) {
        match event {
            ShipEvent::Notice(notice) => self.events.push(notice.to_string()),
            ShipEvent::LeftOut { bytes } => self.events.push(format!("left out {bytes}")),
            ShipEvent::Rewinding { from, to } => self.events.push(format!("again {from}-{to}")),
            _ => {}
        }
    }
}

struct Edge {
    folder: TempDir,
    server: TestServer,
}

impl Edge {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), server: TestServer::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    fn truncate(&self, name: &str, length: usize) {
        File::options().write(true).open(self.path(name)).unwrap().set_len(length as u64).unwrap();
    }

    /// Makes a file look as if nobody had written to it for an hour.
    fn age(&self, name: &str) {
        let file = File::options().write(true).open(self.path(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(1)).unwrap();
    }

    fn log(&self) -> ShippedLog {
        ShippedLog::new("level3", "edge-1", self.path("edge.log"), self.path("state")).ends_when_shipped()
    }

    fn ship(&mut self) -> Result<(), ShipError> {
        self.log().ship(&mut self.server)
    }

    fn ship_from(&mut self, from: ShipFrom) -> Result<(), ShipError> {
        self.log().from(from).ship(&mut self.server)
    }

    #[track_caller]
    fn assert_shipped(&self, expected: &str) {
        assert_eq!(String::from_utf8_lossy(&self.server.stream), expected);
    }
}

#[test]
fn the_first_start_ships_the_file_and_not_what_was_rotated_before() {
    let mut edge = Edge::new();
    edge.write("edge.log.2.gz", gzip(b"oldest\n"));
    edge.write("edge.log.1", "older\n");
    for name in ["edge.log.2.gz", "edge.log.1"] {
        edge.age(name);
    }
    edge.ship().unwrap();
    edge.assert_shipped("");
    edge.write("edge.log", "one\ntwo\nthr");
    edge.ship().unwrap();
    edge.assert_shipped("one\ntwo\n");
    edge.write("edge.log", "ee\n");
    // Rotated before anything was looked at again, and once more.
    for (from, to) in
        [("edge.log.2.gz", "edge.log.4.gz"), ("edge.log.1", "edge.log.3"), ("edge.log", "edge.log.2")]
    {
        fs::rename(edge.path(from), edge.path(to)).unwrap();
    }
    edge.write("edge.log.1", "four\n");
    edge.write("edge.log", "five\n");
    edge.ship().unwrap();
    edge.assert_shipped("one\ntwo\nthree\nfour\nfive\n");
    assert!(edge.server.events.is_empty(), "{:?}", edge.server.events);
}

#[test]
fn a_log_that_came_and_was_rotated_while_nothing_ran_is_shipped() {
    let mut edge = Edge::new();
    edge.ship().unwrap();
    edge.write("edge.log.1", "one\n");
    edge.age("edge.log.1");
    edge.write("edge.log", "two\n");
    edge.ship().unwrap();
    edge.assert_shipped("one\ntwo\n");
    assert!(edge.server.events.is_empty(), "{:?}", edge.server.events);
}

#[test]
fn the_beginning_may_be_named_once_and_must_fit_what_the_server_has() {
    for (from, taken, expected) in [
        (Some(ShipFrom::Start), "other\n", Ok("other\none\ntwo\n")),
        (Some(ShipFrom::Start), "one\ntwo\n", Err("already")),
        (Some(ShipFrom::Start), "other\none\ntwo\n", Err("already")),
        (Some(ShipFrom::Byte(0)), "one\ntwo\n", Ok("one\ntwo\none\ntwo\n")),
        (Some(ShipFrom::End), "other\n", Ok("other\n")),
        (Some(ShipFrom::Byte(4)), "other\none\n", Ok("other\none\ntwo\n")),
        (Some(ShipFrom::Byte(4)), "", Ok("two\n")),
        (Some(ShipFrom::Byte(4)), "other\n", Err("before 4 are not those")),
        (Some(ShipFrom::Byte(5)), "other\n", Err("byte 5")),
        (Some(ShipFrom::Byte(99)), "other\n", Err("byte 99")),
        (None, "one\n", Ok("one\ntwo\n")),
        (None, "", Ok("one\ntwo\n")),
        (None, "eno\n", Err("has taken 4 bytes")),
        (None, "one\ntwo\nthree\n", Err("has taken 14 bytes")),
    ] {
        let mut edge = Edge::new();
        edge.write("edge.log", "one\ntwo\nthr");
        edge.server.stream = taken.into();
        let shipped = from.map_or_else(|| edge.log(), |from| edge.log().from(from)).ship(&mut edge.server);
        match expected {
            Ok(stream) => {
                shipped.unwrap();
                edge.assert_shipped(stream);
                edge.write("edge.log", "ee\n");
                edge.ship().unwrap();
                edge.assert_shipped(&format!("{stream}three\n"));
                let again = edge.ship_from(ShipFrom::Start).unwrap_err();
                assert!(matches!(again, ShipError::BegunBefore { .. }), "{again}");
            }
            Err(why) => {
                let error = shipped.unwrap_err();
                assert!(error.to_string().contains(why) && error.is_usage(), "{error}");
                edge.assert_shipped(taken);
            }
        }
    }
}

#[test]
fn a_server_that_lost_something_gets_it_again_or_tells_what_is_gone() {
    let mut edge = Edge::new();
    edge.write("edge.log", "one\ntwo\n");
    edge.ship().unwrap();
    fs::rename(edge.path("edge.log"), edge.path("edge.log.1")).unwrap();
    edge.write("edge.log", "three\n");
    edge.ship().unwrap();
    edge.server.stream.truncate(4);
    edge.ship().unwrap();
    edge.assert_shipped("one\ntwo\nthree\n");
    assert_eq!(edge.server.events, ["again 4-14"]);

    fs::remove_file(edge.path("edge.log.1")).unwrap();
    edge.server.stream.truncate(4);
    let lost = edge.ship().unwrap_err().to_string();
    let skip = r#"/level3/edge_logs/skip (group 8) {"cdn":"level3","edge":"edge-1","from":4,"to":8}"#;
    assert!(lost.contains(skip), "{lost}");
    // The operator gives it up.
    edge.server.stream.extend(b"gone");
    edge.ship().unwrap();
    edge.assert_shipped("one\ngonethree\n");
}

#[test]
fn a_server_that_has_more_or_other_bytes_is_sent_nothing() {
    let mut edge = Edge::new();
    edge.write("edge.log", "one\n");
    edge.ship().unwrap();
    edge.server.stream.extend(b"two\n");
    edge.write("edge.log", "2nd\nand more\n");
    let ahead = edge.ship().unwrap_err();
    assert!(matches!(ahead, ShipError::Ahead { wanted: 8, shipped: 4, .. }), "{ahead}");
    edge.server.stream = b"1st\n".to_vec();
    edge.server.stream.truncate(0);
    edge.server.refusal = Some(SendError::Refused("no".to_owned()));
    assert_eq!(edge.ship().unwrap_err().to_string(), "the server refuses: no");
    let why = "away".to_owned();
    edge.server.refusal = Some(SendError::Unavailable(Unavailable { why, retry_after: None }));
    assert_eq!(edge.ship().unwrap_err().to_string(), "the server is not available: away");
    edge.assert_shipped("");
}

#[test]
fn an_old_file_without_a_last_line_end_gets_one_and_what_it_grows_by_is_a_line() {
    let mut edge = Edge::new();
    edge.write("edge.log", "one\n");
    edge.ship().unwrap();
    edge.write("edge.log", "two");
    fs::rename(edge.path("edge.log"), edge.path("edge.log.1")).unwrap();
    edge.age("edge.log.1");
    edge.write("edge.log", "three\n");
    edge.ship().unwrap();
    edge.assert_shipped("one\ntwo\nthree\n");
    edge.write("edge.log.1", "-rest\n");
    edge.ship().unwrap();
    edge.assert_shipped("one\ntwo\nthree\n-rest\n");
}

#[test]
fn a_line_end_that_comes_late_adds_nothing() {
    let mut edge = Edge::new();
    edge.write("edge.log", "one\n");
    edge.ship().unwrap();
    edge.write("edge.log", "two");
    fs::rename(edge.path("edge.log"), edge.path("edge.log.1")).unwrap();
    edge.age("edge.log.1");
    edge.ship().unwrap();
    edge.assert_shipped("one\ntwo\n");
    edge.write("edge.log.1", "\nthree\n");
    edge.ship().unwrap();
    edge.assert_shipped("one\ntwo\nthree\n");
    edge.server.stream.clear();
    edge.ship().unwrap();
    edge.assert_shipped("one\ntwo\nthree\n");
}

#[test]
fn lost_files_and_overlong_lines_are_told() {
    let mut edge = Edge::new();
    edge.write("edge.log", "one\n");
    edge.ship().unwrap();
    fs::remove_file(edge.path("edge.log")).unwrap();
    edge.write("edge.log", [b"two\n", &vec![b'x'; 3 << 20][..], b"\nthree\n"].concat());
    edge.ship().unwrap();
    edge.assert_shipped("one\ntwo\n\nthree\n");
    assert_eq!(edge.server.events.len(), 2, "{:?}", edge.server.events);
    assert!(edge.server.events[0].contains("is gone"), "{:?}", edge.server.events);
    assert_eq!(edge.server.events[1], format!("left out {}", 3 << 20));
}

#[test]
fn a_log_that_lost_its_end_goes_on_with_what_is_written_then() {
    let mut edge = Edge::new();
    let lines: Vec<String> = (0..9).map(|number| format!("line {number}\n")).collect();
    edge.write("edge.log", lines.concat());
    edge.ship().unwrap();
    // As after a loss of power.
    edge.truncate("edge.log", lines[..7].concat().len());
    edge.write("edge.log", "new\n");
    edge.ship().unwrap();
    edge.assert_shipped(&format!("{}new\n", lines.concat()));
    assert_eq!(edge.server.events.len(), 1, "{:?}", edge.server.events);
    assert!(edge.server.events[0].contains("has lost lines"), "{:?}", edge.server.events);
    edge.write("edge.log", "newer\n");
    edge.ship().unwrap();
    edge.assert_shipped(&format!("{}new\nnewer\n", lines.concat()));
}

#[test]
fn a_second_shipper_and_the_state_of_another_edge_are_refused() {
    let mut edge = Edge::new();
    edge.write("edge.log", "one\n");
    edge.ship().unwrap();
    let other = ShippedLog::new("level3", "edge-2", edge.path("edge.log"), edge.path("state"));
    let error = other.ship(&mut edge.server).unwrap_err();
    assert!(matches!(error, ShipError::OtherEdge { .. }) && error.is_usage(), "{error}");
    let held = File::open(edge.path("state")).unwrap();
    held.lock().unwrap();
    assert!(matches!(edge.ship(), Err(ShipError::InUse { .. })));
}

/// A file that was shipped and is packed after another one was rotated, left with the time of packing.
#[test]
fn a_rotated_file_that_is_packed_later_hides_no_other() {
    let tsv = |n: u32| format!("{}.000\ta.example.com\t200\t{n}\t-\tHIT\t0\tGET\t/\n", 1_795_190_000 + n);
    let json = |n: u32| format!("{{\"t\":{}.0,\"h\":\"a.example.com\"}}\n", 1_795_190_000 + n);
    let combined =
        |n: u32| format!("127.0.0.1 - - [20/Nov/2026:10:00:{n:02} +0800] \"GET / HTTP/1.1\" 200 {n}\n");
    let bare = |n: u32| format!("line {n}\n");
    let formats: [(&dyn Fn(u32) -> String, bool); 4] =
        [(&tsv, true), (&json, true), (&combined, true), (&bare, false)];
    for (line, has_times) in formats {
        let mut edge = Edge::new();
        edge.write("edge.log", line(0));
        edge.ship().unwrap();
        edge.write("edge.log", line(1));
        edge.write("edge.log.2.gz", gzip(&fs::read(edge.path("edge.log")).unwrap()));
        fs::remove_file(edge.path("edge.log")).unwrap();
        edge.write("edge.log.1", line(2));
        edge.age("edge.log.1");
        edge.write("edge.log", line(3));
        edge.ship().unwrap();
        if has_times {
            edge.assert_shipped(&[0, 1, 2, 3].map(line).concat());
            assert_eq!(edge.server.events, [""; 0]);
        } else {
            edge.assert_shipped(&[0, 1, 3].map(line).concat());
            assert_eq!(edge.server.events.len(), 1, "{:?}", edge.server.events);
            assert!(edge.server.events[0].contains("edge.log.1 was not read"), "{:?}", edge.server.events);
        }
    }
}
