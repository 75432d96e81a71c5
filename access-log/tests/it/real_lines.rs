//! Real lines: figures of logs that servers wrote, against the same figures computed otherwise.

use std::collections::{BTreeMap, HashMap};

use chrono::DateTime;
use pilothouse_access_log::city::CityDatabase;
use pilothouse_access_log::{
    CityKey, CityLookup, DomainNumber, Format, IngestOptions, Input, LineCounts, Rules, ingest,
};

use crate::support::{A, MemoryLedger, Traffic, data, domains, gunzip, read, rules};

fn apache() -> Vec<u8> {
    gunzip(&std::fs::read(data("apache-combined-10k.log.gz")).unwrap())
}

/// Written as one would without this crate: splitting by quotes and blanks, with chrono reading the dates.
fn by_hand(text: &str) -> BTreeMap<(DomainNumber, i64), Traffic> {
    let mut traffic = BTreeMap::<(DomainNumber, i64), Traffic>::new();
    for line in text.lines() {
        let date = line.split_once('[').unwrap().1.split_once(']').unwrap().0;
        let time = DateTime::parse_from_str(date, "%d/%b/%Y:%H:%M:%S %z").unwrap().timestamp();
        let numbers: Vec<_> = line.split('"').nth(2).unwrap().split_whitespace().collect();
        let sum = traffic.entry((A, time / 300 * 300)).or_default();
        sum.requests += 1;
        sum.flux += numbers[1].parse::<i64>().unwrap_or(0);
        sum.classes[numbers[0][..1].parse::<usize>().unwrap() - 2] += 1;
    }
    traffic
}

#[test]
fn ten_thousand_apache_lines_add_up() {
    let content = apache();
    let mut memory = MemoryLedger::default();
    let report = read(&mut memory, Format::Combined, &content);
    assert_eq!(memory.traffic, by_hand(std::str::from_utf8(&content).unwrap()));
    let all = LineCounts { lines: 10_000, billed: 10_000, kept: 10_000, ..LineCounts::default() };
    assert_eq!((report.counts, report.bytes), (all, content.len() as u64));
    // The same figures from awk: awk -F'"' '{split($3,n," "); c[substr(n[1],1,1)]++; if (n[2] != "-") f += n[2]}'.
    assert_eq!(memory.flux(A), 2_747_282_740);
    let classes = memory.traffic.values().fold([0; 4], |mut sum, cell| {
        sum.iter_mut().zip(cell.classes).for_each(|(sum, class)| *sum += class);
        sum
    });
    assert_eq!(classes, [9171, 609, 217, 3]);
}

#[test]
fn kept_lines_are_the_source_lines_by_day() {
    let content = apache();
    let mut memory = MemoryLedger::default();
    read(&mut memory, Format::Combined, &content);
    let mut days = BTreeMap::<_, Vec<u8>>::new();
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        let text = std::str::from_utf8(line).unwrap();
        let date = text.split_once('[').unwrap().1.split_once(']').unwrap().0;
        let time = DateTime::parse_from_str(date, "%d/%b/%Y:%H:%M:%S %z").unwrap();
        days.entry(time.with_timezone(&chrono_tz::Asia::Shanghai).date_naive())
            .or_default()
            .extend_from_slice(line);
    }
    assert_eq!(memory.days(A), days.keys().copied().collect::<Vec<_>>());
    for (day, lines) in days {
        assert!(memory.kept(A, day) == lines, "{day}");
    }
}

#[test]
fn edges_write_what_is_read() {
    let mut memory = MemoryLedger::default();
    let varnish = read(&mut memory, Format::Tsv, &std::fs::read(data("varnish-edge.tsv")).unwrap());
    let expected = LineCounts { lines: 4, billed: 3, kept: 4, purges: 1, ..LineCounts::default() };
    assert_eq!(varnish.counts, expected, "a purge is kept, not billed");
    assert_eq!(
        (memory.flux(A), memory.traffic.values().map(|sum| sum.hits).sum::<i64>()),
        (323 + 330 + 323, 1)
    );

    let content = std::fs::read_to_string(data("nginx-edge.tsv")).unwrap();
    let mut memory = MemoryLedger::default();
    let nginx = read(&mut memory, Format::Tsv, content.as_bytes());
    let column = |number: usize| content.lines().map(move |line| line.split('\t').nth(number).unwrap());
    assert_eq!(nginx.counts.billed, i64::try_from(content.lines().count()).unwrap());
    assert_eq!(memory.flux(A), column(3).map(|bytes| bytes.parse::<i64>().unwrap()).sum::<i64>());
    let hits = column(5).filter(|status| *status == "HIT").count();
    assert_eq!(memory.traffic.values().map(|sum| sum.hits).sum::<i64>(), i64::try_from(hits).unwrap());
}

#[test]
fn orders_that_visitors_forge_are_billed() {
    let line = |method: &str, status: u16| {
        format!("1795190000.000\ta.example.com\t{status}\t10\t192.0.2.1\t-\t0.1\t{method}\t/\n")
    };
    for (method, status, billed) in [
        ("PURGE", 200, 0),
        ("PURGE", 404, 0),
        ("PURGE", 403, 1),
        ("PURGE", 405, 1),
        ("BAN", 200, 1),
        ("REFRESH", 200, 1),
        ("GENBUMP", 200, 1),
        ("PURGEALL", 200, 1),
        ("PROPFIND", 207, 1),
    ] {
        let mut memory = MemoryLedger::default();
        let log = read(&mut memory, Format::Tsv, line(method, status).as_bytes());
        let expected = LineCounts { lines: 1, billed, kept: 1, purges: 1 - billed, ..LineCounts::default() };
        assert_eq!(log.counts, expected, "{method} {status}");
    }
}

#[test]
fn cities_add_up_to_the_total() {
    let cities = CityDatabase::open(&data("synthetic-cn-city.mmdb")).unwrap();
    let content = apache();
    let domains = domains();
    let mut memory = MemoryLedger::default();
    let rules = Rules { cities: Some(&cities), ..rules(Format::Combined, &domains) };
    ingest(
        Input::open(&data("apache-combined-10k.log.gz")).unwrap(),
        &rules,
        &IngestOptions::default(),
        &mut memory,
    )
    .unwrap();
    assert_eq!(memory.cities.values().sum::<i64>(), memory.flux(A));

    let mut expected = HashMap::<CityKey, i64>::new();
    for line in std::str::from_utf8(&content).unwrap().lines() {
        let city =
            line.split(' ').next().unwrap().parse().map_or(CityKey::UNKNOWN, |address| cities.city(address));
        let bytes = line.split('"').nth(2).unwrap().split_whitespace().nth(1).unwrap();
        *expected.entry(city).or_default() += bytes.parse::<i64>().unwrap_or(0);
    }
    let mut found = HashMap::<CityKey, i64>::new();
    for ((_, _, city), flux) in &memory.cities {
        *found.entry(*city).or_default() += flux;
    }
    expected.retain(|_, flux| *flux != 0);
    assert_eq!(found, expected);
    assert!(found.len() > 3, "the synthetic database knows some of these addresses");
}
