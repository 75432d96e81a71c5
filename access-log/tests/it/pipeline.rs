//! Batches: wholly recorded or not at all, and gone on with.

use std::io::{self, Cursor, Read};

use pilothouse_access_log::{Feeder, Format, Found, IngestError, Input, Options, ingest};

use crate::support::{A, Memory, domains, gzip, line, log, read, rules, small, try_read};

#[test]
fn a_refused_batch_stops_and_the_next_run_goes_on() {
    let log = log(2000);
    let mut once = Memory::default();
    read(&mut once, Format::Tsv, &log);
    let options = Options { batch_bytes: 10_000, ..Options::default() };
    for refuses_after in 0..12 {
        let mut memory = Memory { refuses_after: Some(refuses_after), ..Memory::default() };
        let Err(IngestError::Ledger(_)) = try_read(&mut memory, Format::Tsv, &log, &small()) else {
            panic!("{refuses_after}: no error")
        };
        assert_eq!(memory.batches, refuses_after);
        memory.refuses_after = None;
        let report = try_read(&mut memory, Format::Tsv, &log, &options).unwrap();
        assert_eq!(report.found, if refuses_after == 0 { Found::New } else { Found::Continued });
        assert_eq!(memory.result(), once.result(), "{refuses_after}");
        assert_eq!(memory.sources.len(), 1);
    }
}

#[test]
fn broken_gzip_is_an_error_that_keeps_what_was_recorded() {
    let log = log(20_000);
    let whole = gzip(&log);
    let options = Options { batch_bytes: 300_000, ..Options::default() };
    let mut flipped = whole.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    for broken in
        [&whole[..whole.len() / 2], &whole[..whole.len() - 4], &flipped, &[&whole[..], b"trailing"].concat()]
    {
        let mut memory = Memory::default();
        let error = try_read(&mut memory, Format::Tsv, broken, &options).unwrap_err();
        assert_eq!(error.to_string(), "cannot read log");
        assert!(memory.counters.lines < 20_000);
        let before = memory.counters.lines;
        let report = try_read(&mut memory, Format::Tsv, &whole, &options).unwrap();
        assert_eq!(before + report.counters.lines, 20_000);
        assert_eq!(memory.sources.len(), 1);
    }
}

#[test]
fn a_read_error_is_told_with_the_input() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let stream = Cursor::new(log(10)).chain(Broken);
    let input = Input::stream("edge.log", stream);
    let domains = domains();
    let error = ingest(input, &rules(Format::Tsv, &domains), &small(), &mut Memory::default()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read edge.log");
    assert!(Input::open(&std::env::temp_dir()).is_err(), "a folder is no log");
}

#[test]
fn rules_that_name_no_domain_are_refused() {
    let domains = domains();
    let mut rules = rules(Format::Combined, &domains);
    for (domain, message) in
        [(None, "a domain must be given"), (Some("c.example.com"), "\"c.example.com\" is not registered")]
    {
        rules.default_domain = domain;
        let error =
            ingest(Input::stream("log", &b""[..]), &rules, &small(), &mut Memory::default()).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn bytes_may_arrive_one_by_one() {
    let domains = domains();
    let content =
        [log(50), b"garbage\n\n\r\n".to_vec(), line("b.example.com", 1_795_190_000, 9).into_bytes()].concat();
    let mut once = Memory::default();
    read(&mut once, Format::Tsv, &content);
    for step in [1, 2, 7, 64, 1000] {
        let mut memory = Memory::default();
        let mut feeder = Feeder::new(&rules(Format::Tsv, &domains)).unwrap();
        for (number, bytes) in content.chunks(step).enumerate() {
            feeder.feed(bytes);
            if feeder.pending() > 400 {
                let parsed = feeder.take(format!("pack-{step}-{number}"));
                if !parsed.is_empty() {
                    let id =
                        pilothouse_access_log::Ledger::record(&mut memory, parsed.pack(1).unwrap()).unwrap();
                    feeder.recorded(id);
                }
            }
        }
        assert_eq!(feeder.position(), content.len() as u64);
        let (rest, unfinished) = feeder.finish("last".to_owned());
        assert_eq!(unfinished, 0);
        pilothouse_access_log::Ledger::record(&mut memory, rest.pack(1).unwrap()).unwrap();
        assert_eq!(memory.result(), once.result(), "{step}");
        assert_eq!(read(&mut memory, Format::Tsv, &content).counters.lines, 0);
    }
}

#[test]
fn lines_beyond_a_mebibyte_are_unreadable_and_not_held() {
    let mut memory = Memory::default();
    let long = line("a.example.com", 1_795_190_000, 5).trim_end().to_owned() + &"x".repeat(3 << 20);
    let content = format!(
        "{}{long}\n{}{long}",
        line("a.example.com", 1_795_190_000, 1),
        line("a.example.com", 1_795_190_000, 2)
    );
    let report = try_read(&mut memory, Format::Tsv, content.as_bytes(), &small()).unwrap();
    assert_eq!((report.counters.lines, report.counters.unreadable, memory.flux(A)), (3, 1, 3));
    assert_eq!(report.unfinished, long.len() as u64);
    let grown = try_read(&mut memory, Format::Tsv, format!("{content}\n").as_bytes(), &small()).unwrap();
    assert_eq!((grown.found, grown.counters.lines, grown.counters.unreadable), (Found::Continued, 1, 1));
    // Such a line may be the first one, too.
    let content = format!("{long}\n{}", line("a.example.com", 1_795_190_000, 1));
    for lines in [2, 0] {
        let report = try_read(&mut memory, Format::Tsv, content.as_bytes(), &small()).unwrap();
        assert_eq!(report.counters.lines, lines);
    }
}

#[test]
fn progress_is_told() {
    let mut memory = Memory::default();
    let log = log(20_000);
    try_read(&mut memory, Format::Tsv, &log, &small()).unwrap();
    assert_eq!(memory.positions.last().unwrap().bytes, log.len() as u64);
    assert!(memory.positions.is_sorted_by_key(|progress| (progress.bytes, progress.lines)));
}
