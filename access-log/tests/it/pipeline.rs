//! Batches: recorded as a whole or not at all, and continued by the next run.

use std::io::{self, Cursor, Read};

use pilothouse_access_log::{Format, IncrementalParser, IngestError, Input, Ledger, LogIdentity, ingest};

use crate::support::{A, MemoryLedger, batches_of, domains, gzip, line, log, read, rules, small, try_read};

#[test]
fn a_refused_batch_stops_the_run_and_the_next_goes_on() {
    let log = log(2000);
    let mut once = MemoryLedger::default();
    read(&mut once, Format::Tsv, &log);
    let options = batches_of(10_000);
    for refuses_after in 0..12 {
        let mut memory = MemoryLedger { refuses_after: Some(refuses_after), ..MemoryLedger::default() };
        let Err(IngestError::Ledger(_)) = try_read(&mut memory, Format::Tsv, &log, &small()) else {
            panic!("{refuses_after}: no error")
        };
        assert_eq!(memory.batches, refuses_after);
        memory.refuses_after = None;
        let report = try_read(&mut memory, Format::Tsv, &log, &options).unwrap();
        assert_eq!(
            report.identity,
            if refuses_after == 0 { LogIdentity::New } else { LogIdentity::Continued }
        );
        assert_eq!(memory.result(), once.result(), "{refuses_after}");
        assert_eq!(memory.checkpoints.len(), 1);
    }
}

#[test]
fn broken_gzip_is_an_error_that_keeps_what_was_recorded() {
    let log = log(20_000);
    let whole = gzip(&log);
    let options = batches_of(300_000);
    let mut flipped = whole.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    for broken in
        [&whole[..whole.len() / 2], &whole[..whole.len() - 4], &flipped, &[&whole[..], b"trailing"].concat()]
    {
        let mut memory = MemoryLedger::default();
        let error = try_read(&mut memory, Format::Tsv, broken, &options).unwrap_err();
        assert_eq!(error.to_string(), "cannot read log");
        assert!(memory.counts.lines < 20_000);
        let before = memory.counts.lines;
        let report = try_read(&mut memory, Format::Tsv, &whole, &options).unwrap();
        assert_eq!(before + report.counts.lines, 20_000);
        assert_eq!(memory.checkpoints.len(), 1);
    }
}

#[test]
fn a_read_error_names_the_input() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let stream = Cursor::new(log(10)).chain(Broken);
    let input = Input::stream("edge.log", stream);
    let domains = domains();
    let error =
        ingest(input, &rules(Format::Tsv, &domains), &small(), &mut MemoryLedger::default()).unwrap_err();
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
        let error = ingest(Input::stream("log", &b""[..]), &rules, &small(), &mut MemoryLedger::default())
            .unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn bytes_may_arrive_one_by_one() {
    let domains = domains();
    let content =
        [log(50), b"garbage\n\n\r\n".to_vec(), line("b.example.com", 1_795_190_000, 9).into_bytes()].concat();
    let mut once = MemoryLedger::default();
    read(&mut once, Format::Tsv, &content);
    for step in [1, 2, 7, 64, 1000] {
        let mut memory = MemoryLedger::default();
        let mut parser = IncrementalParser::new(&rules(Format::Tsv, &domains)).unwrap();
        for (number, bytes) in content.chunks(step).enumerate() {
            parser.feed(bytes);
            if parser.pending() > 400 {
                let batch = parser.take(format!("pack-{step}-{number}"));
                if !batch.is_empty() {
                    let id = memory.record(batch.compress(1).unwrap()).unwrap();
                    parser.set_checkpoint_id(id);
                }
            }
        }
        assert_eq!(parser.position(), content.len() as u64);
        let (rest, unfinished) = parser.finish("last".to_owned());
        assert_eq!(unfinished, 0);
        memory.record(rest.compress(1).unwrap()).unwrap();
        assert_eq!(memory.result(), once.result(), "{step}");
        assert_eq!(read(&mut memory, Format::Tsv, &content).counts.lines, 0);
    }
}

#[test]
fn lines_beyond_a_mebibyte_are_unreadable_and_not_buffered() {
    let mut memory = MemoryLedger::default();
    let long = line("a.example.com", 1_795_190_000, 5).trim_end().to_owned() + &"x".repeat(3 << 20);
    let content = format!(
        "{}{long}\n{}{long}",
        line("a.example.com", 1_795_190_000, 1),
        line("a.example.com", 1_795_190_000, 2)
    );
    let report = try_read(&mut memory, Format::Tsv, content.as_bytes(), &small()).unwrap();
    assert_eq!((report.counts.lines, report.counts.unreadable, memory.flux(A)), (3, 1, 3));
    assert_eq!(report.unfinished, long.len() as u64);
    let grown = try_read(&mut memory, Format::Tsv, format!("{content}\n").as_bytes(), &small()).unwrap();
    assert_eq!((grown.identity, grown.counts.lines, grown.counts.unreadable), (LogIdentity::Continued, 1, 1));
    // Such a line may be the first one, too.
    let content = format!("{long}\n{}", line("a.example.com", 1_795_190_000, 1));
    for lines in [2, 0] {
        let report = try_read(&mut memory, Format::Tsv, content.as_bytes(), &small()).unwrap();
        assert_eq!(report.counts.lines, lines);
    }
}

#[test]
fn progress_is_reported() {
    let mut memory = MemoryLedger::default();
    let log = log(20_000);
    try_read(&mut memory, Format::Tsv, &log, &small()).unwrap();
    assert_eq!(memory.positions.last().unwrap().bytes, log.len() as u64);
    assert!(memory.positions.is_sorted_by_key(|progress| (progress.bytes, progress.lines)));
}
