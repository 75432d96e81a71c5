//! The same content counts once, whatever it is called and however it comes.

use std::io::Write;

use pilothouse_access_log::{Format, Found, Input, Options, ingest};
use proptest::prelude::*;

use crate::support::{A, Memory, domains, gzip, line, log, read, rules, small, try_read};

fn tsv(memory: &mut Memory, content: &[u8]) -> (Found, i64) {
    let report = read(memory, Format::Tsv, content);
    (report.found, report.counters.lines)
}

#[test]
fn again_renamed_gzipped_and_longer() {
    let folder = tempfile::tempdir().unwrap();
    let domains = domains();
    let mut memory = Memory::default();
    let mut ingest = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(content).unwrap();
        let input = Input::open(&path).unwrap();
        let report = ingest(input, &rules(Format::Tsv, &domains), &small(), &mut memory).unwrap();
        (report.found, report.counters.lines)
    };
    let log = log(300);
    assert_eq!(ingest("edge.log", &log[..log.len() / 2 / 63 * 63]).0, Found::New);
    let (found, more) = ingest("edge.log", &log);
    assert!(found == Found::Continued && more > 0 && more < 300);
    for (name, content) in [("edge.log", log.clone()), ("edge.log.1", log.clone()), ("edge.gz", gzip(&log))] {
        assert_eq!(ingest(name, &content), (Found::Continued, 0), "{name}");
    }
    let members = [gzip(&log[..5000]), gzip(&log[5000..])].concat();
    assert_eq!(ingest("two-members", &members), (Found::Continued, 0));
    assert_eq!(ingest("shorter", &log[..log.len() / 3]), (Found::Copy, 0));
    let longer = [log.clone(), line("a.example.com", 1_795_190_000, 5).into_bytes()].concat();
    assert_eq!(ingest("longer.gz", &gzip(&longer)), (Found::Continued, 1));
    assert_eq!(memory.sources.len(), 1);
    let mut once = Memory::default();
    read(&mut once, Format::Tsv, &longer);
    assert_eq!(memory.result(), once.result());
}

#[test]
fn equal_lines_of_one_log_all_count() {
    let mut memory = Memory::default();
    let same = line("a.example.com", 1_795_190_000, 10).repeat(5000);
    assert_eq!(tsv(&mut memory, same.as_bytes()), (Found::New, 5000));
    assert_eq!(tsv(&mut memory, same.repeat(2).as_bytes()), (Found::Continued, 5000));
    assert_eq!(memory.flux(A), 100_000);
}

#[test]
fn another_log_with_the_same_beginning_is_counted_whole() {
    let other = line("a.example.com", 1_795_190_000, 1);
    for (known, shared) in [
        (3, 1),
        (300, 1),
        (300, 299),
        (300, 300),
        (1000, 999),
        (100_000, 1),
        (100_000, 1000),
        (100_000, 90_000),
    ] {
        let mut memory = Memory::default();
        let log = log(known);
        tsv(&mut memory, &log);
        let lines: Vec<_> = log.split_inclusive(|&byte| byte == b'\n').take(shared).collect();
        let mut another = lines.concat();
        // Enough of another text to reach a checkpoint.
        let more = 1 + if shared > 1000 { shared / 256 } else { 0 };
        another.extend(other.repeat(more).into_bytes());
        let (found, count) = tsv(&mut memory, &another);
        if shared as u64 == known {
            assert_eq!((found, count), (Found::Continued, 1), "{known} {shared}");
        } else {
            assert_eq!(
                (found, count),
                (Found::New, i64::try_from(shared + more).unwrap()),
                "{known} {shared}"
            );
            // Both are known from now on.
            assert_eq!(tsv(&mut memory, &another), (Found::Continued, 0));
            assert_eq!(tsv(&mut memory, &log), (Found::Continued, 0));
        }
    }
}

#[test]
fn the_first_line_alone_decides_nothing() {
    let mut memory = Memory::default();
    let first = line("a.example.com", 1_795_190_000, 1);
    let with = |rest: &str| format!("{first}{rest}").into_bytes();
    assert_eq!(tsv(&mut memory, &with("x\n")), (Found::New, 2));
    assert_eq!(tsv(&mut memory, &with("y\n")), (Found::New, 2));
    assert_eq!(tsv(&mut memory, &with("z")), (Found::New, 2), "without a line end too");
    assert_eq!(tsv(&mut memory, &with("x")), (Found::Copy, 0), "only the line end is missing");
    assert_eq!(tsv(&mut memory, first.as_bytes()), (Found::Copy, 0));
    assert_eq!(tsv(&mut memory, first.trim_end().as_bytes()), (Found::Copy, 0));
}

#[test]
fn a_last_line_without_line_end_counts_once_however_it_grows() {
    let first = line("a.example.com", 1_795_190_000, 100);
    let second = line("a.example.com", 1_795_190_001, 23_456);
    let whole = format!("{first}{second}");
    for cut in 16..whole.len() {
        let mut memory = Memory::default();
        let before = tsv(&mut memory, &whole.as_bytes()[..cut]);
        assert_eq!(before.0, Found::New, "{cut}");
        assert_eq!(tsv(&mut memory, &whole.as_bytes()[..cut]), (Found::Continued, 0), "{cut}");
        let grown = tsv(&mut memory, whole.as_bytes());
        assert_eq!((grown.0, before.1 + grown.1), (Found::Continued, 2), "{cut}");
        assert_eq!(memory.sources.len(), 1, "{cut}");
        let mut once = Memory::default();
        read(&mut once, Format::Tsv, whole.as_bytes());
        assert_eq!(memory.result(), once.result(), "{cut}");
        if [first.len() - 1, first.len(), whole.len() - 1].contains(&cut) {
            assert_eq!(tsv(&mut memory, &whole.as_bytes()[..cut]), (Found::Copy, 0), "{cut}");
        }
    }
}

#[test]
fn a_finished_log_needs_no_last_line_end() {
    let mut memory = Memory::default();
    let text = line("a.example.com", 1_795_190_000, 100);
    assert_eq!(tsv(&mut memory, text.trim_end().as_bytes()), (Found::New, 1));
    assert_eq!(memory.flux(A), 100);
    let day = memory.days(A)[0];
    assert_eq!(memory.kept(A, day), text.as_bytes(), "kept with a line end, or it would run into the next");
    assert_eq!(tsv(&mut memory, text.as_bytes()), (Found::Continued, 0));
    assert_eq!(tsv(&mut memory, text.repeat(2).as_bytes()), (Found::Continued, 1));
    assert_eq!(memory.flux(A), 200);
}

#[test]
fn nothing_is_no_log() {
    let mut memory = Memory::default();
    for content in ["", "179523794"] {
        let report = read(&mut memory, Format::Tsv, content.as_bytes());
        assert_eq!((report.counters.lines, report.unfinished), (0, content.len() as u64));
    }
    assert!(memory.sources.is_empty());
}

#[test]
fn large_states_stay_small() {
    let mut memory = Memory::default();
    let log = log(400_000);
    try_read(&mut memory, Format::Tsv, &log, &Options::default()).unwrap();
    assert!(memory.sources[0].2.len() < 14 << 10, "{}", memory.sources[0].2.len());
    assert_eq!(tsv(&mut memory, &log[..log.len() - 40_000]), (Found::Copy, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// However a log grows between readings, whatever its lines are, the end is as if it had been read once.
    #[test]
    fn growing_in_any_steps_changes_nothing(
        seeds in proptest::collection::vec((0..6u8, 1u64..50), 1..120),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        ended in any::<bool>(),
    ) {
        let mut content = line("a.example.com", 1_795_190_000, 1).into_bytes();
        for (kind, bytes) in seeds {
            let host = if kind % 2 == 0 { "a.example.com" } else { "B.example.com:80" };
            let text = match kind {
                0..=2 => line(host, 1_795_190_000 + bytes.cast_signed() * 3000, bytes),
                3 => format!("{}\r\n", line(host, 1_795_190_000, bytes).trim_end()),
                4 => "garbage\n".to_owned(),
                _ => line(host, 1_795_190_000, bytes).replace("GET", "PURGE").replace("b.ex", "c.ex"),
            };
            content.extend(text.into_bytes());
        }
        if !ended {
            content.truncate(content.len() - 3);
        }
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(content.len())).collect();
        ends.sort_unstable();
        ends.push(content.len());
        let mut steps = Memory::default();
        for end in ends {
            try_read(&mut steps, Format::Tsv, &content[..end], &small()).unwrap();
        }
        let mut once = Memory::default();
        read(&mut once, Format::Tsv, &content);
        prop_assert!(steps.sources.len() == 1);
        prop_assert_eq!(steps.result(), once.result());
    }
}
