//! Odd lines that servers really write, and the ways in which a file is damaged or packed.

use pilothouse_access_log::city::CityDatabase;
use pilothouse_access_log::{Format, IngestOptions, Input, ingest};

use crate::support::{A, MemoryLedger, data, domains, gzip, line, log, read, rules, try_read};

const JSON: &str = r#"{"t":"2026-11-28T10:00:00+08:00","h":"a.example.com","m":"GET","u":"/","s":200.0,"b":1000.0,"ip":"127.0.0.1","c":"HIT"}"#;
const VHOST: &str =
    r#"a.example.com 127.0.0.1 - - [28/Nov/2026:10:00:00 +0800] "GET / HTTP/1.1" 200 1000 "-" "curl""#;

#[test]
fn marks_and_nuls_before_a_line_are_no_part_of_it() {
    let tsv = line("a.example.com", 1_795_831_200, 1000);
    for (format, line) in
        [(Format::Tsv, tsv.trim_end()), (Format::VhostCombined, VHOST), (Format::Json, JSON)]
    {
        for padding in ["\u{feff}", "\0", &"\0".repeat(200), "\0\u{feff}\0"] {
            let mut memory = MemoryLedger::default();
            let text = format!("{padding}{line}\n{line}\n{padding}{line}\n");
            assert_eq!(read(&mut memory, format, text.as_bytes()).counts.billed, 3, "{format} {padding:?}");
            assert_eq!(memory.flux(A), 3000);
        }
    }
}

#[test]
fn lines_without_an_answer_are_billed() {
    let mut memory = MemoryLedger::default();
    let text = "1795876358.015\ta.example.com\t-\t1000143\t192.0.2.1\tmiss\t0.000056\tPROPFIND\t/dav/\n\
                1795876358.015\ta.example.com\t000\t7\t192.0.2.1\tmiss\t0.000056\tGET\t/\n";
    assert_eq!(read(&mut memory, Format::Tsv, text.as_bytes()).counts.billed, 2);
    let totals = memory.traffic.values().next().unwrap();
    assert_eq!((totals.flux, totals.requests, totals.classes), (1_000_150, 2, [0; 4]));
}

#[test]
fn fields_after_the_agent_may_hold_the_cache_status() {
    let mut memory = MemoryLedger::default();
    let text =
        [" HIT 0.001", r#" xff="-" cache=HIT rt=0.001"#, " MISS", ""].map(|tail| format!("{VHOST}{tail}\n"));
    read(&mut memory, Format::VhostCombined, text.concat().as_bytes());
    let totals = memory.traffic.values().next().unwrap();
    assert_eq!((totals.requests, totals.hits), (4, 2));
}

#[test]
fn the_first_address_of_a_list_tells_the_city() {
    let cities = CityDatabase::open(&data("GeoIP2-City-Test.mmdb")).unwrap();
    let changchun = "175.16.199.1";
    for address in [
        format!("{changchun}, 10.0.0.1"),
        format!("\"{changchun}, 10.0.0.1\" 10.0.0.1"),
        format!("{changchun}:51234"),
        format!("\"-\" {changchun}"),
    ] {
        let (mut memory, domains) = (MemoryLedger::default(), domains());
        let text = VHOST.replace("127.0.0.1", &address) + "\n";
        let rules =
            pilothouse_access_log::Rules { cities: Some(&cities), ..rules(Format::VhostCombined, &domains) };
        let input = Input::stream("log", std::io::Cursor::new(text.into_bytes()));
        ingest(input, &rules, &IngestOptions::default(), &mut memory).unwrap();
        let ((_, _, city), flux) = memory.cities.iter().next().unwrap();
        let name = cities.get(*city).map(|city| city.name);
        assert_eq!((name.as_deref(), *flux), (Some("Changchun"), 1000), "{address}");
    }
}

#[test]
fn zeros_after_a_gzip_are_ignored_and_other_compression_is_refused() {
    let (mut memory, log) = (MemoryLedger::default(), log(10));
    let packed = [gzip(&log), vec![0; 100]].concat();
    assert_eq!(read(&mut memory, Format::Tsv, &packed).counts.lines, 10);
    assert_eq!(read(&mut memory, Format::Tsv, &log).counts.lines, 0);
    for (magic, name) in
        [(&b"\xfd7zXZ\0more"[..], "xz"), (b"\x28\xb5\x2f\xfdmore", "zstd"), (b"BZh91AY&SYmore", "bzip2")]
    {
        let refused = try_read(&mut memory, Format::Tsv, magic, &IngestOptions::default()).unwrap_err();
        let source = std::error::Error::source(&refused).unwrap().to_string();
        assert!(source.contains(&format!("compressed with {name}")), "{source}");
    }
}

#[test]
fn a_log_in_another_format_is_refused_and_can_be_read_rightly() {
    for lines in [1, 50, 5000] {
        let (mut memory, log) = (MemoryLedger::default(), log(lines));
        for content in [log.clone(), gzip(&log)] {
            let refused =
                try_read(&mut memory, Format::Json, &content, &IngestOptions::default()).unwrap_err();
            let looked_at = lines.min(100);
            let expected =
                format!("log is not in the format json: none of its first {looked_at} lines can be read");
            assert_eq!(refused.to_string(), expected);
        }
        assert_eq!(read(&mut memory, Format::Tsv, &log).counts.billed, i64::try_from(lines).unwrap());
    }
    // One readable line is enough, and what is not new is not looked at.
    let (mut memory, good) = (MemoryLedger::default(), line("a.example.com", 1_795_190_000, 1));
    let noise = "#Fields: none\n".repeat(99);
    assert_eq!(read(&mut memory, Format::Tsv, format!("{noise}{good}").as_bytes()).counts.lines, 100);
    assert_eq!(read(&mut memory, Format::Tsv, format!("{noise}{good}{noise}").as_bytes()).counts.lines, 99);
}

#[test]
fn long_downloads_are_spread_over_the_time_they_took() {
    // Three hours that ended in the middle of a bucket, with a short request beside it.
    let end = 1_795_190_400 + 150;
    let line = |duration: &str| {
        format!("{end}.037\ta.example.com\t200\t7200007\t127.0.0.1\tHIT\t{duration}\tGET\t/\n")
    };
    let mut memory = MemoryLedger::default();
    read(&mut memory, Format::Tsv, (line("10800.000") + &line("0.001")).as_bytes());
    let flux = |bucket: i64| memory.traffic[&(A, bucket)].flux;
    assert_eq!(memory.traffic.len(), 37);
    assert_eq!(flux(1_795_190_400 - 10_800), 100_000, "half a bucket");
    assert!((1..36).all(|n| flux(1_795_190_400 - n * 300) == 200_000), "{:?}", memory.traffic);
    let last = memory.traffic[&(A, 1_795_190_400)];
    assert_eq!((last.flux, last.requests, last.hits), (100_007 + 7_200_007, 2, 2));
    assert_eq!(memory.flux(A), 2 * 7_200_007);
    // An unterminated line is withdrawn from where it was spread.
    let mut memory = MemoryLedger::default();
    let text = line("10800.000");
    for content in [text.trim_end(), &*text.replace("/\n", "/more\n")] {
        read(&mut memory, Format::Tsv, content.as_bytes());
        assert_eq!((memory.flux(A), memory.traffic.len()), (7_200_007, 37));
    }
}
