//! Hostile lines: mutated, random and very long ones.
//!
//! `PILOTHOUSE_TEST_LINES` says how many lines are mutated, over all formats; 240,000 where it is unset.
//! `PILOTHOUSE_TEST_SEED` chooses which.

use pilothouse_access_log::Format;
use pilothouse_access_log::parse::LineParser;
use proptest::prelude::*;

use crate::reference;
use crate::support::{MemoryLedger, Random, batches_of, data, gunzip, setting, try_read};

const JSON: &str = r#"{"t":1795237945.037,"h":"a.example.com","m":"GET","u":"/x?a=\"1\"","s":200,"b":235,"bb":0,"ip":"127.0.0.1","c":"MISS","rt":0.000,"ut":"-","o":{"a":[1,"]"]}}"#;

fn mutate(line: &mut Vec<u8>, random: &mut Random) {
    const POISON: [&[u8]; 16] = [
        b"\"",
        b"\\",
        b"[",
        b"]",
        b"\t",
        b" ",
        b"\0",
        b"\xff\xfe",
        b"99/Foo",
        b"-1",
        b"NaN",
        b"18446744073709551616",
        b"\r",
        b"{",
        b"}",
        b"99999999999999999999999999999999",
    ];
    for _ in 0..=random.below(4) {
        let at = random.below(line.len() + 1);
        match random.below(5) {
            0 => line.truncate(at),
            1 => drop(line.drain(..at)),
            2 if at < line.len() => line[at] = random.next().to_le_bytes()[0],
            3 => {
                let to = at + random.below(line.len() + 1 - at);
                line.drain(at..to);
            }
            _ => drop(line.splice(at..at, POISON[random.below(POISON.len())].iter().copied())),
        }
    }
}

#[test]
fn mutated_lines_never_panic_and_every_line_is_counted() {
    let apache = gunzip(&std::fs::read(data("apache-combined-10k.log.gz")).unwrap());
    let apache: Vec<_> = apache.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
    let tsv = std::fs::read(data("nginx-edge.tsv")).unwrap();
    let tsv: Vec<_> = tsv.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
    let seed = setting("PILOTHOUSE_TEST_SEED", 0x9e37_79b9_7f4a_7c15);
    let count = usize::try_from(setting("PILOTHOUSE_TEST_LINES", 240_000) / 4).unwrap();
    let mut random = Random::new(seed);
    for format in Format::ALL {
        let mut parser = LineParser::new(format);
        let (mut content, mut lines) = (Vec::new(), 0);
        for number in 0..count {
            let mut line = match format {
                Format::Combined => apache[number % apache.len()].to_vec(),
                Format::VhostCombined => {
                    [b"A.example.com:80 ", apache[number % apache.len()], b" HIT"].concat()
                }
                Format::Tsv => tsv[number % tsv.len()].to_vec(),
                Format::Json | Format::Verbatim => JSON.as_bytes().to_vec(),
            };
            mutate(&mut line, &mut random);
            parser.parse(&line);
            line.retain(|&byte| byte != b'\n');
            content.extend(line);
            content.push(b'\n');
            lines += 1;
        }
        let mut memory = MemoryLedger::default();
        let mut options = batches_of(2 << 20);
        options.compression = 1;
        let counts = try_read(&mut memory, format, &content, &options).unwrap().counts;
        assert_eq!(counts.lines, lines);
        let judged = counts.billed + counts.unreadable + counts.unregistered + counts.purges;
        assert_eq!(judged, lines, "each line is exactly one of these");
        assert!(counts.billed > lines / 20 && counts.unreadable > lines / 20, "{format}: {counts:?}");
        assert!(counts.kept >= counts.billed);
        if format != Format::Json {
            let (traffic, counted) = reference::count(format, &content);
            assert_eq!(counts, counted, "{format}, seed {seed}");
            assert!(memory.traffic == traffic, "{format}, seed {seed}: the totals differ");
        }
    }
}

#[test]
fn a_line_of_a_mebibyte_is_parsed_in_no_time() {
    for format in Format::ALL {
        let mut parser = LineParser::new(format);
        for byte in [b'"', b'[', b'{', b'\\', b' ', b'\t', b':', b'.', b'0', 0xff] {
            for start in ["", "a ", "{\"a\":", "1.2.3.4 - - [17/May/2015:10:05:03 +0000] \""] {
                let mut line = start.as_bytes().to_vec();
                line.resize(1 << 20, byte);
                parser.parse(&line);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_may_be_a_line(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        for format in Format::ALL {
            LineParser::new(format).parse(&line);
        }
    }

    #[test]
    fn tsv_is_parsed_as_it_was_written(time in 0i64..253_402_300_799, bytes in 0u64..1 << 50, status in 100u16..1000, host in "[a-z0-9.-]{2,30}", uri in "/[ -~]{0,60}") {
        let text = format!("{time}.123\t{host}\t{status}\t{bytes}\t::1\tMISS\t0.1\tGET\t{uri}\r\n");
        let mut parser = LineParser::new(Format::Tsv);
        let line = parser.parse(text.as_bytes());
        prop_assert_eq!((line.time, line.bytes, line.status), (Some(time), Some(bytes), Some(status)));
        prop_assert_eq!((line.host, line.is_complete()), (Some(host.as_bytes()), true));
    }
}
