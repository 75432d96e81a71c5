//! Recognition by content: a log counts once, under any name, gzipped or not, whole or in steps.

use std::io::Write;

use pilothouse_access_log::{Format, IngestOptions, Input, LogIdentity, ingest};
use proptest::prelude::*;

use crate::support::{A, MemoryLedger, domains, gzip, line, log, read, rules, small, try_read};

fn tsv(memory: &mut MemoryLedger, content: &[u8]) -> (LogIdentity, i64) {
    let report = read(memory, Format::Tsv, content);
    (report.identity, report.counts.lines)
}

#[test]
fn again_renamed_gzipped_and_longer() {
    let folder = tempfile::tempdir().unwrap();
    let domains = domains();
    let mut memory = MemoryLedger::default();
    let mut ingest = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(content).unwrap();
        let input = Input::open(&path).unwrap();
        let report = ingest(input, &rules(Format::Tsv, &domains), &small(), &mut memory).unwrap();
        (report.identity, report.counts.lines)
    };
    let log = log(300);
    assert_eq!(ingest("edge.log", &log[..log.len() / 2 / 63 * 63]).0, LogIdentity::New);
    let (found, more) = ingest("edge.log", &log);
    assert!(found == LogIdentity::Continued && more > 0 && more < 300);
    for (name, content) in [("edge.log", log.clone()), ("edge.log.1", log.clone()), ("edge.gz", gzip(&log))] {
        assert_eq!(ingest(name, &content), (LogIdentity::Continued, 0), "{name}");
    }
    let members = [gzip(&log[..5000]), gzip(&log[5000..])].concat();
    assert_eq!(ingest("two-members", &members), (LogIdentity::Continued, 0));
    assert_eq!(ingest("shorter", &log[..log.len() / 3]), (LogIdentity::Copy, 0));
    let longer = [log.clone(), line("a.example.com", 1_795_190_000, 5).into_bytes()].concat();
    assert_eq!(ingest("longer.gz", &gzip(&longer)), (LogIdentity::Continued, 1));
    assert_eq!(memory.checkpoints.len(), 1);
    let mut once = MemoryLedger::default();
    read(&mut once, Format::Tsv, &longer);
    assert_eq!(memory.result(), once.result());
}

#[test]
fn equal_lines_of_one_log_all_count() {
    let mut memory = MemoryLedger::default();
    let same = line("a.example.com", 1_795_190_000, 10).repeat(5000);
    assert_eq!(tsv(&mut memory, same.as_bytes()), (LogIdentity::New, 5000));
    assert_eq!(tsv(&mut memory, same.repeat(2).as_bytes()), (LogIdentity::Continued, 5000));
    assert_eq!(memory.flux(A), 100_000);
}

#[test]
fn another_log_with_the_same_beginning_is_counted_whole() {
    let other = line("a.example.com", 1_795_190_000, 1);
    for (known, shared) in [(3, 1), (300, 1), (300, 63), (1000, 63), (100_000, 1), (100_000, 63)] {
        let mut memory = MemoryLedger::default();
        let log = log(known);
        tsv(&mut memory, &log);
        let another = beginning(&log, shared).to_owned() + &other;
        let (found, count) = tsv(&mut memory, another.as_bytes());
        assert_eq!(
            (found, count),
            (LogIdentity::New, i64::try_from(shared + 1).unwrap()),
            "{known} {shared}"
        );
        // Both are known from now on.
        assert_eq!(tsv(&mut memory, another.as_bytes()), (LogIdentity::Continued, 0));
        assert_eq!(tsv(&mut memory, &log), (LogIdentity::Continued, 0));
    }
}

#[test]
fn a_log_that_lost_its_last_lines_counts_on_after_those_that_agree() {
    for (known, kept, new) in [
        (3, 2, 1),
        (300, 299, 1),
        (300, 151, 400),
        (1000, 999, 2000),
        (1500, 1200, 3),
        (5000, 4900, 50),
        (5000, 4900, 1),
        (5000, 4500, 3000),
        (100_000, 99_500, 7),
    ] {
        let mut memory = MemoryLedger::default();
        let log = log(known);
        tsv(&mut memory, &log);
        let text = beginning(&log, kept).to_owned() + &others(new);
        let shorter = beginning(&log, kept).as_bytes();
        assert_eq!(tsv(&mut memory, shorter), (LogIdentity::Copy, 0), "{known} {kept}");
        let found = tsv(&mut memory, text.as_bytes());
        let new = i64::try_from(new).unwrap();
        assert_eq!(found, (LogIdentity::Truncated { skipped: 0 }, new), "{known} {kept}");
        assert_eq!(memory.counts.lines, i64::try_from(known).unwrap() + new);
        // The log as it was before and as it is now are both known, and their copies.
        assert_eq!(tsv(&mut memory, text.as_bytes()), (LogIdentity::Continued, 0));
        assert_eq!(tsv(&mut memory, &log), (LogIdentity::Continued, 0));
        assert_eq!(tsv(&mut memory, shorter), (LogIdentity::Copy, 0));
        let grown = text + &line("a.example.com", 1_795_190_000, 2);
        assert_eq!(tsv(&mut memory, grown.as_bytes()), (LogIdentity::Continued, 1));
    }
}

#[test]
fn lines_that_may_have_been_read_are_not_counted_again() {
    // More was lost than is remembered line by line: counting goes on at the next mark.
    let mut memory = MemoryLedger::default();
    let log = log(100_000);
    tsv(&mut memory, &log);
    let text = beginning(&log, 90_000).to_owned() + &others(5000);
    let (found, count) = tsv(&mut memory, text.as_bytes());
    let LogIdentity::Truncated { skipped } = found else { panic!("{found:?}") };
    assert!(skipped > 0 && skipped <= 90_000 / 256 + 1, "{skipped}");
    assert!(count < 5000 && count >= 5000 - i64::try_from(skipped).unwrap(), "{count}");
    assert_eq!(tsv(&mut memory, text.as_bytes()), (LogIdentity::Continued, 0));
    // Less than half of it is left: whether that is the same log cannot be told.
    let text = beginning(&log, 40_000).to_owned() + &others(500);
    let refused = try_read(&mut memory, Format::Tsv, text.as_bytes(), &IngestOptions::default()).unwrap_err();
    assert!(refused.to_string().contains("of the 100000 lines of a log that was read before"), "{refused}");
}

#[test]
fn an_open_line_that_was_lost_is_not_the_end() {
    let mut memory = MemoryLedger::default();
    let log = log(10);
    assert_eq!(tsv(&mut memory, &log[..log.len() - 5]).1, 10);
    let text = beginning(&log, 9).to_owned() + &others(3);
    assert_eq!(tsv(&mut memory, text.as_bytes()), (LogIdentity::Truncated { skipped: 0 }, 3));
    assert_eq!(memory.counts.lines, 13);
}

/// The first lines of a log.
fn beginning(log: &[u8], lines: usize) -> &str {
    let text = std::str::from_utf8(log).unwrap();
    let length: usize = text.split_inclusive('\n').take(lines).map(str::len).sum();
    &text[..length]
}

/// Lines that no log made by [`log`] has.
fn others(count: u64) -> String {
    (0..count).map(|n| line("a.example.com", 1_795_290_000 + n.cast_signed(), 900_000 + n)).collect()
}

#[test]
fn the_first_line_alone_decides_nothing() {
    let mut memory = MemoryLedger::default();
    let first = line("a.example.com", 1_795_190_000, 1);
    let with = |rest: &str| format!("{first}{rest}").into_bytes();
    assert_eq!(tsv(&mut memory, &with("x\n")), (LogIdentity::New, 2));
    assert_eq!(tsv(&mut memory, &with("y\n")), (LogIdentity::New, 2));
    assert_eq!(tsv(&mut memory, &with("z")), (LogIdentity::New, 2), "without a line end too");
    assert_eq!(tsv(&mut memory, &with("x")), (LogIdentity::Copy, 0), "only the line end is missing");
    assert_eq!(tsv(&mut memory, first.as_bytes()), (LogIdentity::Copy, 0));
    assert_eq!(tsv(&mut memory, first.trim_end().as_bytes()), (LogIdentity::Copy, 0));
}

#[test]
fn a_last_line_without_line_end_counts_once_however_it_grows() {
    let first = line("a.example.com", 1_795_190_000, 100);
    let second = line("a.example.com", 1_795_190_001, 23_456);
    let whole = format!("{first}{second}");
    for cut in 16..whole.len() {
        let mut memory = MemoryLedger::default();
        let before = tsv(&mut memory, &whole.as_bytes()[..cut]);
        assert_eq!(before.0, LogIdentity::New, "{cut}");
        assert_eq!(tsv(&mut memory, &whole.as_bytes()[..cut]), (LogIdentity::Continued, 0), "{cut}");
        let grown = tsv(&mut memory, whole.as_bytes());
        assert_eq!((grown.0, before.1 + grown.1), (LogIdentity::Continued, 2), "{cut}");
        assert_eq!(memory.checkpoints.len(), 1, "{cut}");
        let mut once = MemoryLedger::default();
        read(&mut once, Format::Tsv, whole.as_bytes());
        assert_eq!(memory.result(), once.result(), "{cut}");
        if [first.len() - 1, first.len(), whole.len() - 1].contains(&cut) {
            assert_eq!(tsv(&mut memory, &whole.as_bytes()[..cut]), (LogIdentity::Copy, 0), "{cut}");
        }
    }
}

#[test]
fn a_finished_log_needs_no_last_line_end() {
    let mut memory = MemoryLedger::default();
    let text = line("a.example.com", 1_795_190_000, 100);
    assert_eq!(tsv(&mut memory, text.trim_end().as_bytes()), (LogIdentity::New, 1));
    assert_eq!(memory.flux(A), 100);
    let day = memory.days(A)[0];
    assert_eq!(memory.kept(A, day), text.as_bytes(), "kept with a line end, or it would run into the next");
    assert_eq!(tsv(&mut memory, text.as_bytes()), (LogIdentity::Continued, 0));
    assert_eq!(tsv(&mut memory, text.repeat(2).as_bytes()), (LogIdentity::Continued, 1));
    assert_eq!(memory.flux(A), 200);
}

#[test]
fn nothing_is_no_log() {
    let mut memory = MemoryLedger::default();
    for content in ["", "179523794"] {
        let report = read(&mut memory, Format::Tsv, content.as_bytes());
        assert_eq!((report.counts.lines, report.unfinished), (0, content.len() as u64));
    }
    assert!(memory.checkpoints.is_empty());
}

#[test]
fn large_states_stay_small() {
    let mut memory = MemoryLedger::default();
    let log = log(400_000);
    try_read(&mut memory, Format::Tsv, &log, &IngestOptions::default()).unwrap();
    assert!(memory.checkpoints[0].state.len() < 20 << 10, "{}", memory.checkpoints[0].state.len());
    assert_eq!(tsv(&mut memory, &log[..log.len() - 40_000]), (LogIdentity::Copy, 0));
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
        let mut steps = MemoryLedger::default();
        for end in ends {
            try_read(&mut steps, Format::Tsv, &content[..end], &small()).unwrap();
        }
        let mut once = MemoryLedger::default();
        read(&mut once, Format::Tsv, &content);
        prop_assert!(steps.checkpoints.len() == 1);
        prop_assert_eq!(steps.result(), once.result());
    }
}
