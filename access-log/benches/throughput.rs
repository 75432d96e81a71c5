//! Throughput in bytes of a log a second: `cargo bench -p pilothouse-access-log [-- WORD…]`, where the words choose measurements
//! by name. Parsing, counting and feeding are measured in processor time of their one thread, `ingest` in real time: it compresses on
//! two more threads. Each figure is the best of three runs over a generated log of 256 MiB, or 2 GiB for `ingest`. `ratio` compares
//! ways of counting one log, each in turn: with and without the most requested paths, of which nearly every one is new or each is asked
//! for many times, and with domains that passed from customer to customer.
//!
//! With `--write FILE` it only writes 1 GB of the `tsv` log there, and with `--file FILE` it measures that file, read whole:
//! `benches/compare` does so beside other programs.

use std::convert::Infallible;
use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use pilothouse_access_log::archive::{Archive, ArchiveFile};
use pilothouse_access_log::city::CityDatabase;
use pilothouse_access_log::parse::LineParser;
use pilothouse_access_log::{
    CheckpointId, CityLookup, DomainIndex, DomainNumber, Fingerprint, Format, FormerDomain,
    IncrementalParser, IngestOptions, Input, Ledger, LogBatch, Progress, Rules, Stamp, StoredCheckpoint,
    TrafficCounter, ingest,
};

const SIZE: usize = 256 << 20;
/// Paths of a log in which nearly every one is new, and of one in which each is asked for many times.
const NEW: u64 = u64::MAX;
const FEW: u64 = 10_000;
/// Time before the first line of a generated log, in unix seconds.
const BEGIN: i64 = 1_795_190_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let order = arguments.next();
    let domains = domains();
    let rules = Rules {
        format: Format::Tsv,
        domains: &domains,
        default_domain: None,
        cities: None,
        keeps_unregistered: None,
        timezone: chrono_tz::Asia::Shanghai,
        stamp: Stamp::End,
    };
    let cities =
        CityDatabase::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/synthetic-cn-city.mmdb"))
            .expect("the test database opens");
    let file = arguments.next().filter(|argument| !argument.starts_with('-'));
    match (order.as_deref(), file) {
        (Some("--write"), Some(file)) => return write(&file, &generate(Format::Tsv, &cities, NEW)),
        (Some("--file"), Some(file)) => {
            return measure_file(&file, &Rules { cities: Some(&cities), ..rules });
        }
        _ => {}
    }
    for format in [Format::Tsv, Format::VhostCombined, Format::Json] {
        if !is_wanted(&format!("{format} parse count feed, cities")) {
            continue;
        }
        let log = generate(format, &cities, NEW);
        let lines = memchr::memchr_iter(b'\n', &log).count();
        println!("{format}: {} bytes a line", log.len() / lines);
        measure(&format!("{format} parse"), log.len(), || {
            let mut parser = LineParser::new(format);
            let mut start = 0;
            for end in memchr::memchr_iter(b'\n', &log) {
                black_box(parser.parse(&log[start..=end]));
                start = end + 1;
            }
        });
        let plain = Rules { format, ..rules };
        let with_cities = Rules { cities: Some(&cities), ..plain };
        measure(&format!("{format} count"), log.len(), || count(&plain, &log));
        measure(&format!("{format} count, cities"), log.len(), || count(&with_cities, &log));
        measure(&format!("{format} feed"), log.len(), || feed(&plain, &log));
        measure(&format!("{format} feed, cities"), log.len(), || feed(&with_cities, &log));
    }
    if is_wanted("ratio") {
        for paths in [NEW, FEW] {
            compare(&generate(Format::Tsv, &cities, paths), &rules);
        }
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("edge.tsv");
    if is_wanted("ingest") {
        let log = generate(Format::Tsv, &cities, NEW);
        let mut writer = std::fs::File::create(&file).expect("a temporary file");
        for _ in 0..8 {
            std::io::Write::write_all(&mut writer, &log).expect("room for the log");
        }
    }
    let rules = Rules { cities: Some(&cities), ..rules };
    for compression in [1, 3, 6] {
        let mut options = IngestOptions::default();
        options.compression = compression;
        let mut packed = 0;
        // Resets the peak of the memory, where the system can.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        measure(&format!("ingest, archive, level {compression}"), SIZE * 8, || {
            let archive = Archive::open(&folder.path().join("logs")).expect("the folder opens");
            let mut disk = PackWriter { archive, named: 0, names: Vec::new(), bytes: 0 };
            ingest(Input::open(&file).expect("the log opens"), &rules, &options, &mut disk)
                .expect("the log is read");
            packed = disk.bytes;
            for name in disk.names {
                disk.archive.delete(&ArchiveFile::Pack(name)).expect("the pack is deleted");
            }
        });
        if packed > 0 {
            println!("    {packed} bytes archived, peak memory {} MiB", peak_memory_mib());
        }
    }
}

/// The domains of the generated log.
fn domains() -> DomainIndex {
    DomainIndex::new((0..20).map(|number| (name_of(number), DomainNumber(number))))
}

fn name_of(number: i64) -> String {
    format!("cdn{number}.example.com")
}

/// The domains, each of which three others had before, the last of them until `until`.
fn passed_domains(until: i64) -> DomainIndex {
    let spans = [(0, until - 2), (until - 2, until - 1), (until - 1, until)];
    let former = (0..20).flat_map(|domain| {
        spans.iter().zip(1..).map(move |(&(since, until), owner)| FormerDomain {
            name: name_of(domain),
            number: DomainNumber(domain + 100 * owner),
            since,
            until,
        })
    });
    domains().with_former(former)
}

/// Way of counting a log.
struct Way<'a> {
    name: &'static str,
    rules: Rules<'a>,
    counts_paths: bool,
}

impl Way<'_> {
    /// Counts a log; the processor time that took.
    fn count(&self, log: &[u8]) -> Duration {
        let clock = Instant::now();
        let begun = busy();
        let counter = if self.counts_paths { TrafficCounter::with_top_paths } else { TrafficCounter::new };
        let mut counter = counter(&self.rules).expect("the rules are complete");
        assert_eq!(counter.count(log), log.len());
        assert_eq!(counter.take().counts.unregistered, 0);
        busy().zip(begun).map_or(clock.elapsed(), |(now, begun)| now.saturating_sub(begun))
    }
}

/// Compares ways of counting a log with its bare count, in one run: each in turn, so that whatever else the machine does troubles all
/// of them.
fn compare(log: &[u8], rules: &Rules<'_>) {
    let (now, before) = (passed_domains(BEGIN), passed_domains(2 * BEGIN));
    let way = |name, domains| Way { name, rules: Rules { domains, ..*rules }, counts_paths: false };
    let ways = [
        way("bare", rules.domains),
        Way { counts_paths: true, ..way("top paths", rules.domains) },
        way("former owners, lines of now", &now),
        way("former owners, lines of the first", &before),
    ];
    let mut best = [Duration::MAX; 4];
    for _ in 0..5 {
        for (way, best) in ways.iter().zip(&mut best) {
            *best = way.count(log).min(*best);
        }
    }
    let lines = memchr::memchr_iter(b'\n', log).count();
    println!("ratio to the bare count of a tsv log, {} bytes a line", log.len() / lines);
    for (way, took) in ways.iter().zip(best) {
        let ratio = best[0].as_secs_f64() / took.as_secs_f64();
        let lines = f64::from(u32::try_from(lines).unwrap_or(u32::MAX));
        let more = (took.as_secs_f64() - best[0].as_secs_f64()) * 1e9 / lines;
        let rate = log.len() as u128 * 1000 / took.as_nanos().max(1);
        println!("  {:34} {rate:6} MB/s  {ratio:5.2}  {more:+7.1} ns a line", way.name);
    }
}

/// Generates a log of 20 domains with so many paths, and 50,000 visitors, some hundred requests a second.
fn generate(format: Format, cities: &CityDatabase, paths: u64) -> Vec<u8> {
    let mut log = String::with_capacity(SIZE + 1024);
    let mut random = 1_u64;
    let mut number = 0_i64;
    let addresses = addresses(cities);
    while log.len() < SIZE {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let r = random >> 20;
        number += 1;
        let time = BEGIN + number / 400;
        let (domain, bytes, millis) = (r % 20, (r >> 8) % 200_000, number % 400);
        let status = [200, 200, 200, 200, 206, 304, 404, 502][(r >> 5) as usize % 8];
        let cache = ["HIT", "HIT", "HIT", "MISS"][(r >> 12) as usize % 4];
        let ip = addresses[(r >> 16) as usize % addresses.len()];
        let path = r % paths;
        let uri = format_args!("/static/{}/chunk-{path:x}.js?v={}", path % 97, path % 1009);
        match format {
            Format::Tsv => writeln!(
                log,
                "{time}.{millis:03}\tcdn{domain}.example.com\t{status}\t{bytes}\t{ip}\t{cache}\t0.{millis:03}\tGET\t{uri}"
            ),
            Format::Json => writeln!(
                log,
                r#"{{"t":{time}.{millis:03},"h":"cdn{domain}.example.com","m":"GET","u":"{uri}","s":{status},"b":{bytes},"ip":"{ip}","c":"{cache}","rt":0.{millis:03}}}"#
            ),
            _ => {
                let second = number / 400;
                writeln!(
                    log,
                    r#"cdn{domain}.example.com:443 {ip} - - [20/Nov/2026:{:02}:{:02}:{:02} +0800] "GET {uri} HTTP/1.1" {status} {bytes} "https://www.example.com/" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36" {cache}"#,
                    second / 3600 % 24,
                    second / 60 % 60,
                    second % 60
                )
            }
        }
        .expect("writing to a string succeeds");
    }
    log.into_bytes()
}

/// Addresses of visitors, half of them in cities that the database knows.
fn addresses(cities: &CityDatabase) -> Vec<Ipv4Addr> {
    let all = (0..u32::MAX).step_by(9973).map(Ipv4Addr::from_bits);
    let (known, unknown): (Vec<_>, Vec<_>) = all.partition(|address| cities.city(IpAddr::V4(*address)).0 > 0);
    known.into_iter().cycle().take(25_000).chain(unknown.into_iter().take(25_000)).collect()
}

/// Writes the log four times, which is 1 GiB.
fn write(file: &str, log: &[u8]) {
    let mut file = std::fs::File::create(file).expect("a writable file");
    for _ in 0..4 {
        std::io::Write::write_all(&mut file, log).expect("room for the log");
    }
}

fn measure_file(file: &str, rules: &Rules<'_>) {
    let log = std::fs::read(file).expect("a readable file");
    let plain = Rules { cities: None, ..*rules };
    measure("count", log.len(), || count(&plain, &log));
    measure("count, cities", log.len(), || count(rules, &log));
    measure("lines alone", log.len(), || {
        black_box(memchr::memchr_iter(b'\n', &log).count());
    });
}

fn count(rules: &Rules<'_>, log: &[u8]) {
    let mut counter = TrafficCounter::new(rules).expect("the rules are complete");
    assert_eq!(counter.count(log), log.len());
    assert_eq!(counter.take().counts.unreadable, 0);
}

fn feed(rules: &Rules<'_>, log: &[u8]) {
    let mut parser = IncrementalParser::new(rules).expect("the rules are complete");
    for chunk in log.chunks(256 << 10) {
        parser.feed(chunk);
        if parser.pending() >= 16 << 20 {
            black_box(parser.take(String::new()));
        }
    }
}

fn is_wanted(name: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-') && !word.contains('/'));
    words.all(|word| name.contains(&word))
}

fn measure(name: &str, bytes: usize, mut run: impl FnMut()) {
    if !is_wanted(name) {
        return;
    }
    let clock = Instant::now();
    let now = || if name.contains("ingest") { clock.elapsed() } else { busy().unwrap_or(clock.elapsed()) };
    let best = (0..3).map(|_| {
        let start = now();
        run();
        now().saturating_sub(start)
    });
    let best = best.min().unwrap_or(Duration::MAX).as_nanos();
    println!("  {name:32} {:7} MB/s", bytes as u128 * 1000 / best.max(1));
}

/// Processor time of this thread, where the system tells it: other programs do not change it.
fn busy() -> Option<Duration> {
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(figures.split(' ').next()?.parse().ok()?))
}

/// Peak memory of this process so far; 0 where the system does not tell it.
fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Ledger that writes packs and drops the rest.
struct PackWriter {
    archive: Archive,
    named: usize,
    names: Vec<String>,
    bytes: usize,
}

impl Ledger for PackWriter {
    type Error = Infallible;

    fn checkpoints(&mut self, _: [Fingerprint; 2]) -> Result<Vec<StoredCheckpoint>, Infallible> {
        Ok(Vec::new())
    }

    fn pack_name(&mut self) -> String {
        self.named += 1;
        format!("pack-{}", self.named)
    }

    fn record(&mut self, batch: LogBatch) -> Result<CheckpointId, Infallible> {
        if let Some(pack) = batch.pack {
            self.archive.write(&pack).expect("the pack is written");
            self.bytes += pack.data.len();
            self.names.push(pack.name);
        }
        Ok(CheckpointId(1))
    }

    fn progress(&mut self, _: Progress) -> Result<(), Infallible> {
        Ok(())
    }
}
