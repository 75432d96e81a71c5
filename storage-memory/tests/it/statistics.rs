//! Traffic, areas and logs over time: what is sealed, what is forgotten, and what nobody may see.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use pilothouse_core::account::{Caller, Groups, Scope};
use pilothouse_core::cdn::{
    Batch, BillingQuery, BillingRule, Cell, City, CityCell, Counters, Customer, EdgeRef, Figures, KeptLines,
    LogChunk, LogFile, Maintained, Point, SourceChange, TrafficQuery,
};
use pilothouse_core::ports::{Clock, LogArchive, RandomIds, SealedLog, Storage};
use pilothouse_core::{ErrorKind, Pilothouse, Settings};
use pilothouse_storage_memory::MemoryStorage;

/// 2016-10-01 12:00 in Shanghai.
const NOW: i64 = 1_475_294_400;
const DAY: i64 = 86_400;

#[derive(Debug)]
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0.load(Ordering::Relaxed), 0).unwrap()
    }
}

/// Files in memory.
#[derive(Debug, Default)]
struct TestArchive(Mutex<BTreeMap<LogName, Vec<u8>>>);

/// A pack, or a sealed file of a day.
type LogName = (String, Option<NaiveDate>);

impl TestArchive {
    fn bytes(&self, chunk: &LogChunk) -> io::Result<Vec<u8>> {
        let name = match &chunk.file {
            LogFile::Pack(name) => (name.clone(), None),
            LogFile::Sealed(name) => (name.clone(), Some(chunk.day)),
        };
        let files = self.0.lock().unwrap();
        let file = files.get(&name).ok_or(io::ErrorKind::NotFound)?;
        let (start, length) =
            (usize::try_from(chunk.offset).unwrap(), usize::try_from(chunk.length).unwrap());
        Ok(file[start..start + length].to_vec())
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().map(|(name, _)| name.clone()).collect()
    }
}

#[async_trait]
impl LogArchive for TestArchive {
    async fn seal(&self, name: &str, day: NaiveDate, chunks: &[LogChunk]) -> io::Result<SealedLog> {
        let parts: io::Result<Vec<_>> = chunks.iter().map(|chunk| self.bytes(chunk)).collect();
        let whole = parts?.concat();
        let length = i64::try_from(whole.len()).unwrap();
        self.0.lock().unwrap().insert((name.to_owned(), Some(day)), whole);
        Ok(SealedLog { length, sha256: [8; 32] })
    }

    fn read(&self, chunks: Vec<LogChunk>) -> BoxStream<'static, io::Result<Vec<u8>>> {
        let parts: Vec<_> = chunks.iter().map(|chunk| self.bytes(chunk)).collect();
        stream::iter(parts).boxed()
    }

    async fn delete(&self, name: &str, day: NaiveDate) -> io::Result<()> {
        self.0.lock().unwrap().remove(&(name.to_owned(), Some(day)));
        Ok(())
    }

    async fn prune(&self, keep: HashSet<LogFile>, _: DateTime<Utc>) -> io::Result<u64> {
        let mut files = self.0.lock().unwrap();
        let before = files.len();
        files.retain(|(name, day), _| {
            keep.contains(&if day.is_some() {
                LogFile::Sealed(name.clone())
            } else {
                LogFile::Pack(name.clone())
            })
        });
        Ok((before - files.len()) as u64)
    }
}

/// One customer with some domains on `level3`, and everything else that is needed.
struct World {
    pilothouse: Pilothouse,
    storage: Arc<MemoryStorage>,
    clock: Arc<TestClock>,
    archive: Arc<TestArchive>,
    caller: Caller,
    edge: EdgeRef,
    domains: Vec<i64>,
}

impl World {
    async fn new(domains: usize) -> Self {
        let clock = Arc::new(TestClock(AtomicI64::new(NOW)));
        let storage = Arc::new(MemoryStorage::with_clock(clock.clone()));
        let archive = Arc::new(TestArchive::default());
        let settings =
            Settings { cdns: vec!["level3".to_owned()], geo_city_database: true, ..Settings::default() };
        let ids = Arc::new(RandomIds);
        let pilothouse = Pilothouse::with(storage.clone(), settings, clock.clone(), ids).unwrap();
        let pilothouse = pilothouse.with_log_archive(archive.clone());
        pilothouse.cdns().ensure_configured().await.unwrap();
        let mail = "user@example.com".to_owned();
        let id =
            pilothouse.accounts().create_superuser("user", &mail, "correct horse battery").await.unwrap();
        let customer = Customer {
            account_id: id,
            mail: mail.clone(),
            password: String::new(),
            operations: true,
            version: 1,
        };
        let mut work = storage.begin().await.unwrap();
        work.customers().insert(&customer).await.unwrap();
        let cdn = work.cdns().by_name("level3").await.unwrap().unwrap();
        for n in 0..domains {
            work.domains().claim(id, cdn.id, &format!("d{n}.example.com")).await.unwrap();
        }
        work.commit().await.unwrap();
        let (edge, domains) = pilothouse.traffic().edge("level3", "edge-1").await.unwrap();
        let domains = domains.iter().map(|domain| domain.id).collect();
        let (groups, scope) = (Groups::NONE, Scope::Cdn);
        let caller = Caller { id, name: "user".into(), mail, groups, scope, token: None, address: None };
        Self { pilothouse, storage, clock, archive, caller, edge, domains }
    }

    async fn batch(&self) -> Batch {
        let seen = self.pilothouse.traffic().sources(&self.edge, &[[0; 16]]).await.unwrap().seen;
        Batch {
            edge: self.edge.clone(),
            change: SourceChange::New(seen),
            key: [0; 16],
            length: 1,
            state: Vec::new(),
            counters: Counters::default(),
            cells: Vec::new(),
            cities: Vec::new(),
            city_cells: Vec::new(),
            pack: String::new(),
            kept: Vec::new(),
            withdrawn: None,
        }
    }

    /// Records bytes of domains at times, to cities given as a place in `cities`.
    async fn record(&self, cells: &[(usize, i64, i64, Option<i64>)], cities: &[City]) {
        let mut batch = Batch { cities: cities.to_vec(), ..self.batch().await };
        for &(domain, time, flux, city) in cells {
            let (domain_id, bucket) = (self.domains[domain], time / 300);
            let figures = Figures { flux, requests: 2, hits: 1, classes: [1, 1, 0, 0] };
            batch.cells.push(Cell { domain_id, bucket, figures });
            batch.city_cells.extend(city.map(|city_id| CityCell { domain_id, bucket, city_id, flux }));
        }
        self.pilothouse.traffic().record(batch).await.unwrap();
    }

    /// All of a file, as lines to be kept.
    fn kept(&self, domain: usize, day: NaiveDate, text: &str) -> KeptLines {
        let (domain_id, length) = (self.domains[domain], text.len().try_into().unwrap());
        KeptLines { domain_id, day, offset: 0, length, lines: 1, raw_length: length, is_open: false }
    }

    async fn chunks(&self, domain: usize, day: NaiveDate) -> Vec<LogChunk> {
        let mut snapshot = self.storage.read().await.unwrap();
        snapshot.log_chunks().of_day(&[self.domains[domain]], day).await.unwrap()
    }

    /// Puts lines of domains and days into a pack, and records them.
    async fn keep(&self, pack: &str, lines: &[(usize, NaiveDate, &str)]) {
        let mut batch = Batch { pack: pack.to_owned(), ..self.batch().await };
        let mut content = Vec::new();
        for (domain, day, text) in lines {
            let offset = content.len().try_into().unwrap();
            batch.kept.push(KeptLines { offset, ..self.kept(*domain, *day, text) });
            content.extend_from_slice(text.as_bytes());
        }
        self.archive.0.lock().unwrap().insert((pack.to_owned(), None), content);
        self.pilothouse.traffic().record(batch).await.unwrap();
    }

    async fn maintain(&self) -> Maintained {
        self.pilothouse.traffic().maintain().await.unwrap()
    }

    fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }

    async fn fluxs(&self, start: i64, end: i64) -> Vec<i64> {
        let points = self.pilothouse.traffic().fluxs(&self.caller, &all(start, end)).await.unwrap();
        points.into_iter().map(|point| point.value).collect()
    }

    /// The log of a domain's day by its link, with the size promised.
    async fn log(&self, domain: usize, day: NaiveDate) -> Option<String> {
        let (name, date) = (format!("d{domain}.example.com"), day.format("%Y%m%d").to_string());
        let traffic = self.pilothouse.traffic();
        let listed = traffic.logs(&self.caller, &name, &date, &date).await.unwrap().remove(0);
        let (file, expires, sig) = link(&listed.url)?;
        let log = traffic.open_log(&file, &expires, &sig).await.unwrap();
        let content: Vec<Vec<u8>> = log.content.try_collect().await.unwrap();
        let content = content.concat();
        assert_eq!((listed.size, log.size), (content.len().try_into().unwrap(), listed.size));
        Some(String::from_utf8(content).unwrap())
    }
}

/// File, time and signature of a link.
fn link(url: &str) -> Option<(String, String, String)> {
    let (file, query) = url.rsplit_once('/')?.1.split_once('?')?;
    let (expires, sig) = query.strip_prefix("expires=")?.split_once("&sig=")?;
    Some((file.to_owned(), expires.to_owned(), sig.to_owned()))
}

fn all(start_time: i64, end_time: i64) -> TrafficQuery {
    TrafficQuery { domains: Vec::new(), start_time, end_time }
}

fn city(geoname_id: i64, name: &str) -> City {
    City { geoname_id, name: name.to_owned(), name_cn: format!("{name}市") }
}

#[tokio::test]
async fn sealed_and_open_are_one_series() {
    let world = World::new(3).await;
    let start = NOW - 4 * DAY;
    let mut model = BTreeMap::<i64, i64>::new();
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((state >> 33) % below).unwrap()
    };
    for round in 0..40 {
        let mut cells = Vec::new();
        for _ in 0..random(40) {
            let (time, flux) = (start + random(4 * 86_400), random(2_000_000_000));
            *model.entry(time / 300).or_default() += flux;
            cells.push((usize::try_from(random(3)).unwrap(), time, flux, None));
        }
        world.record(&cells, &[]).await;
        if round % 5 == 0 {
            world.maintain().await;
        }
        let (from, to) = (start + random(86_400), NOW - random(86_400));
        let expected: Vec<_> =
            (from / 300..=to / 300).map(|bucket| model.get(&bucket).copied().unwrap_or_default()).collect();
        assert_eq!(world.fluxs(from, to).await, expected, "round {round}");
    }
    let stats = world.pilothouse.traffic().stats(&world.caller, &all(start, NOW)).await.unwrap();
    let sum = stats.iter().fold(Figures::default(), |mut sum, (_, figures)| {
        sum.add(*figures);
        sum
    });
    assert_eq!(sum.flux, model.values().sum::<i64>());
    assert!(sum.requests > 0 && sum.requests == 2 * sum.hits && sum.classes == [sum.hits, sum.hits, 0, 0]);
}

#[tokio::test]
async fn days_are_sealed_two_hours_after_their_end() {
    let world = World::new(2).await;
    // The day ends at midnight UTC.
    let midnight = NOW - NOW % DAY;
    world.record(&[(0, midnight - 1, 5, None), (1, midnight, 6, None)], &[]).await;
    world.clock.0.store(midnight + 7199, Ordering::Relaxed);
    assert_eq!(world.maintain().await.sealed_days, 0);
    world.pass(1);
    assert_eq!(world.maintain().await.sealed_days, 1);
    assert_eq!(world.maintain().await.sealed_days, 0);
    world.record(&[(0, midnight - 1, 7, None)], &[]).await;
    assert_eq!(world.fluxs(midnight - 300, midnight).await, [12, 6]);
    assert_eq!(world.maintain().await.sealed_days, 1, "what came late");
    assert_eq!(world.fluxs(midnight - 300, midnight).await, [12, 6]);
}

#[tokio::test]
async fn old_traffic_is_forgotten() {
    let world = World::new(1).await;
    world.record(&[(0, NOW - DAY, 5, Some(0))], &[city(1, "Miami")]).await;
    world.maintain().await;
    let rows = async || {
        let query = all(NOW - DAY, NOW - DAY);
        let rows = world.pilothouse.traffic().fluxs_area(&world.caller, &query).await.unwrap();
        rows.into_iter().map(|row| row.city).collect::<Vec<_>>()
    };
    assert_eq!(rows().await, ["Miami"]);
    world.pass(92 * DAY);
    assert_eq!(world.maintain().await.pruned_blocks, 0);
    world.pass(DAY);
    assert_eq!(world.maintain().await.pruned_blocks, 1);
    assert_eq!(rows().await, ["Unknown"], "the bytes are known for longer than where they went");
    world.pass(707 * DAY);
    assert_eq!(world.maintain().await.pruned_blocks, 0);
    let sources = async || world.pilothouse.traffic().sources(&world.edge, &[[0; 16]]).await.unwrap().sources;
    assert_eq!(sources().await.len(), 1);
    world.pass(DAY + 1);
    assert_eq!(world.maintain().await.pruned_blocks, 2);
    assert_eq!(sources().await, []);
    assert_eq!(rows().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_month_is_billed_until_now() {
    let world = World::new(2).await;
    // The month began twelve hours ago, in Shanghai: 144 five minutes, of which 7 are left out.
    let begin = NOW - DAY / 2;
    let bill = async |rule: BillingRule| {
        let query = BillingQuery { domains: Vec::new(), month: "201610".into(), rule };
        world.pilothouse.traffic().billing(&world.caller, &query).await.unwrap()
    };
    let cells: Vec<_> = (0..8).map(|n| (0, begin + n * 300, 37_500 * (n + 1), None)).collect();
    world.record(&cells, &[]).await;
    // The five minutes that are under way, and those before the month.
    world.record(&[(1, NOW, 1_000_000_000, None), (1, begin - 1, 1_000_000_000, None)], &[]).await;
    world.pass(299);
    let billed = bill(BillingRule::Month95).await;
    let point = |time_stamp: i64, value: i64| Point { time_stamp, value };
    assert_eq!((billed.bandwidth, &*billed.points), (1000, &[point(begin, 1000)][..]));
    assert_eq!((billed.begin, billed.until, billed.is_over), (begin, NOW, false));
    assert_eq!(bill(BillingRule::DailyPeak).await.points, [point(begin + 7 * 300, 8000)]);
    assert_eq!(bill(BillingRule::Top5).await.points, []);
    world.pass(1);
    assert_eq!(bill(BillingRule::DailyPeak).await.bandwidth, 26_666_667, "they are over");
    world.pass(31 * DAY);
    assert!(bill(BillingRule::Top5).await.is_over);
    let query = BillingQuery { domains: Vec::new(), month: "201612".into(), rule: BillingRule::Top5 };
    let refused = world.pilothouse.traffic().billing(&world.caller, &query).await.unwrap_err();
    assert_eq!(refused.to_string(), "month: must have begun");
    let stranger = Caller { groups: Groups::all(), id: 999, ..world.caller.clone() };
    let refused = world.pilothouse.traffic().billing(&stranger, &query).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden, "before anything else is looked at");
}

#[tokio::test]
async fn areas_add_up_with_domains_together() {
    let world = World::new(31).await;
    let cities = [city(1, "Miami"), city(2, "Seoul"), city(0, "Nowhere")];
    let (first, second) = (NOW - 3 * DAY, NOW - DAY);
    let cells = [
        (0, first, 100_000, Some(0)),
        (1, first, 50_000, Some(0)),
        (0, first + 300, 120_000, Some(1)),
        (1, second, 60_000, Some(0)),
        (1, second, 30_000, None),
        (0, second, 30_000, None),
        (0, second + 300, 40_000, Some(2)),
    ];
    world.record(&cells, &cities).await;
    let rows = async |bandwidth: bool| {
        let query = TrafficQuery {
            domains: vec!["d0.example.com".into(), "D1.example.com".into(), "d0.example.com".into()],
            ..all(first, NOW)
        };
        let traffic = world.pilothouse.traffic();
        let rows = if bandwidth {
            traffic.bandwidths_area(&world.caller, &query).await
        } else {
            traffic.fluxs_area(&world.caller, &query).await
        };
        rows.unwrap().into_iter().map(|row| (row.city, row.city_cn, row.value)).collect::<Vec<_>>()
    };
    let row = |name: &str, name_cn: &str, value: i64| (name.to_owned(), name_cn.to_owned(), value);
    let fluxs = [
        row("Miami", "Miami市", 210_000),
        row("Seoul", "Seoul市", 120_000),
        row("Unknown", "未知", 60_000),
        row("Nowhere", "Nowhere市", 40_000),
    ];
    let bandwidths = [
        row("Miami", "Miami市", 4000),
        row("Seoul", "Seoul市", 3200),
        row("Unknown", "未知", 1600),
        row("Nowhere", "Nowhere市", 1067),
    ];
    for _ in 0..2 {
        assert_eq!(rows(false).await, fluxs);
        assert_eq!(rows(true).await, bandwidths);
        world.maintain().await;
    }
    // A corrected name is the name of all that went there; late bytes join the sealed ones.
    let renamed = City { name: "Miami Beach".into(), ..city(1, "Miami") };
    world.record(&[(0, first, 1, Some(0))], &[renamed]).await;
    assert_eq!(rows(false).await[0], row("Miami Beach", "Miami市", 210_001));
    world.maintain().await;
    assert_eq!(rows(false).await[0], row("Miami Beach", "Miami市", 210_001));

    let too_many = world.pilothouse.traffic().fluxs_area(&world.caller, &all(first, NOW)).await.unwrap_err();
    assert_eq!(too_many.to_string(), "domain: must be at most 30 domains, not 31");
}

#[tokio::test]
async fn logs_are_sealed_into_one_file_a_day() {
    let world = World::new(2).await;
    let today = NaiveDate::from_ymd_opt(2016, 10, 1).unwrap();
    let yesterday = today.pred_opt().unwrap();
    world.keep("p1", &[(0, yesterday, "one "), (1, yesterday, "other "), (0, today, "new ")]).await;
    world.keep("p2", &[(0, yesterday, "two ")]).await;
    assert_eq!(world.log(0, yesterday).await.unwrap(), "one two ");
    assert_eq!(world.maintain().await.sealed_logs, 2);
    assert_eq!(world.log(0, yesterday).await.unwrap(), "one two ");
    assert_eq!(world.maintain().await.pruned_files, 1, "today's lines are still in the first");
    assert!(world.archive.names().contains(&"p1".to_owned()));

    world.keep("p3", &[(0, yesterday, "late ")]).await;
    assert_eq!(world.log(0, yesterday).await.unwrap(), "one two late ");
    assert_eq!(world.maintain().await.sealed_logs, 1);
    assert_eq!(world.log(0, yesterday).await.unwrap(), "one two late ");
    assert_eq!(world.chunks(0, yesterday).await.len(), 1, "in one file again");
    assert_eq!(world.log(0, today).await.unwrap(), "new ");

    // A pack that is lost keeps nobody else from being sealed.
    world.pass(DAY);
    world.keep("p4", &[(1, today, "fine ")]).await;
    world.archive.0.lock().unwrap().remove(&("p1".to_owned(), None));
    assert_eq!(world.maintain().await.sealed_logs, 1);
    assert_eq!(world.log(1, today).await.unwrap(), "fine ");

    world.pass(91 * DAY);
    assert_eq!(world.maintain().await.pruned_chunks, 0, "kept for 92 days from when they were read");
    assert_eq!(world.log(0, yesterday).await.unwrap(), "one two late ");
    world.pass(DAY);
    assert_eq!(world.maintain().await.pruned_chunks, 3);
    assert_eq!(world.log(0, yesterday).await, None);
    world.pass(DAY);
    assert_eq!(world.maintain().await.pruned_chunks, 1);
    world.maintain().await;
    assert_eq!(world.archive.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_sealed_day_tells_its_digest() {
    let world = World::new(1).await;
    let yesterday = NaiveDate::from_ymd_opt(2016, 9, 30).unwrap();
    world.keep("p1", &[(0, yesterday, "one ")]).await;
    let digest = async || {
        let traffic = world.pilothouse.traffic();
        let listed = traffic.logs(&world.caller, "d0.example.com", "20160930", "20160930").await.unwrap();
        let (file, expires, sig) = link(&listed[0].url).unwrap();
        traffic.open_log(&file, &expires, &sig).await.unwrap().sha256
    };
    assert_eq!(digest().await, None);
    world.maintain().await;
    assert_eq!(digest().await, Some([8; 32]));
    world.keep("p2", &[(0, yesterday, "late ")]).await;
    assert_eq!(digest().await, None);
    world.maintain().await;
    assert_eq!(digest().await, Some([8; 32]));
}

#[tokio::test]
async fn many_chunks_of_a_day_are_put_together_before_it_is_over() {
    let world = World::new(2).await;
    let today = NaiveDate::from_ymd_opt(2016, 10, 1).unwrap();
    let mut text = String::new();
    for n in 0..250 {
        let line = format!("line {n} ");
        world.keep(&format!("p{n}"), &[(0, today, &line)]).await;
        text += &line;
        if n == 98 || n == 149 {
            assert_eq!(world.maintain().await.sealed_logs, u64::from(n == 149));
            assert_eq!(world.log(0, today).await.unwrap(), text);
        }
    }
    assert_eq!(world.chunks(0, today).await.len(), 101);
    assert_eq!(world.maintain().await.sealed_logs, 1);
    world.keep("last", &[(0, today, "last ")]).await;
    text += "last ";
    let files: Vec<_> = world.chunks(0, today).await.into_iter().map(|chunk| chunk.file).collect();
    assert!(
        matches!(&files[..], [LogFile::Sealed(_), LogFile::Sealed(_), LogFile::Pack(last)] if last == "last"),
        "{files:?}"
    );
    assert_eq!(world.log(0, today).await.unwrap(), text);
    world.pass(DAY);
    assert_eq!(world.maintain().await.sealed_logs, 1);
    assert_eq!(world.chunks(0, today).await.len(), 1);
    assert_eq!(world.log(0, today).await.unwrap(), text);
    world.maintain().await;
    assert_eq!(world.archive.names().len(), 1, "all others are gone");
}

#[tokio::test]
async fn a_day_waits_for_a_line_that_may_grow() {
    let world = World::new(1).await;
    let yesterday = NaiveDate::from_ymd_opt(2016, 9, 30).unwrap();
    world.keep("p1", &[(0, yesterday, "one ")]).await;
    let open = KeptLines { is_open: true, ..world.kept(0, yesterday, "tw") };
    world.archive.0.lock().unwrap().insert(("p2".into(), None), b"tw".to_vec());
    let batch = Batch { pack: "p2".into(), kept: vec![open.clone()], ..world.batch().await };
    world.pilothouse.traffic().record(batch).await.unwrap();
    assert_eq!(world.maintain().await.sealed_logs, 0);
    world.keep("p3", &[(0, yesterday, "two ")]).await;
    let batch = Batch { withdrawn: Some(("p2".into(), 0)), ..world.batch().await };
    world.pilothouse.traffic().record(batch).await.unwrap();
    assert_eq!(world.maintain().await.sealed_logs, 1);
    assert_eq!(world.log(0, yesterday).await.unwrap(), "one two ");

    world.archive.0.lock().unwrap().insert(("p4".into(), None), b"tw".to_vec());
    let batch = Batch { pack: "p4".into(), kept: vec![open], ..world.batch().await };
    world.pilothouse.traffic().record(batch).await.unwrap();
    world.pass(DAY);
    assert_eq!(world.maintain().await.sealed_logs, 0);
    world.pass(DAY);
    assert_eq!(world.maintain().await.sealed_logs, 1, "it will not grow any more");
}

#[tokio::test]
async fn links_end() {
    let world = World::new(1).await;
    let today = NaiveDate::from_ymd_opt(2016, 10, 1).unwrap();
    world.keep("p1", &[(0, today, "line ")]).await;
    let traffic = world.pilothouse.traffic();
    let day = traffic.logs(&world.caller, "d0.example.com", "20161001", "20161001").await.unwrap().remove(0);
    let (file, expires, sig) = link(&day.url).unwrap();
    assert_eq!(expires, (NOW + 3600).to_string());
    world.pass(3599);
    assert!(traffic.open_log(&file, &expires, &sig).await.is_ok());

    let other = Pilothouse::new(world.storage.clone(), Settings::default()).unwrap();
    let refused = other.traffic().open_log(&file, &expires, &sig).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden, "another secret");
    let mut work = world.storage.begin().await.unwrap();
    work.domains().release(&world.domains).await.unwrap();
    work.commit().await.unwrap();
    let refused = traffic.open_log(&file, &expires, &sig).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden, "the domain is no longer the customer's");
    let mut work = world.storage.begin().await.unwrap();
    work.domains().claim(world.caller.id, world.edge.cdn_id, "d0.example.com").await.unwrap();
    work.commit().await.unwrap();
    assert!(traffic.open_log(&file, &expires, &sig).await.is_ok());
    world.pass(1);
    let refused = traffic.open_log(&file, &expires, &sig).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden, "an hour has passed");
}

#[tokio::test]
async fn without_an_archive_there_is_nothing_to_download() {
    let world = World::new(1).await;
    let today = NaiveDate::from_ymd_opt(2016, 10, 1).unwrap();
    world.keep("p1", &[(0, today, "line ")]).await;
    let settings = Settings { secret: world.pilothouse.settings().secret.clone(), ..Settings::default() };
    let clock = world.clock.clone();
    let without = Pilothouse::with(world.storage.clone(), settings, clock, Arc::new(RandomIds)).unwrap();
    let traffic = without.traffic();
    let day = traffic.logs(&world.caller, "d0.example.com", "20161001", "20161001").await.unwrap().remove(0);
    let (file, expires, sig) = link(&day.url).unwrap();
    let refused = traffic.open_log(&file, &expires, &sig).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(traffic.maintain().await.unwrap(), Maintained::default());
}

#[tokio::test]
async fn wrong_batches_name_what_is_wrong() {
    let world = World::new(1).await;
    let domain_id = world.domains[0];
    let cell =
        |bucket, requests| Cell { domain_id, bucket, figures: Figures { requests, ..Figures::default() } };
    let kept = KeptLines {
        domain_id,
        day: NaiveDate::from_ymd_opt(2016, 10, 1).unwrap(),
        offset: 0,
        length: -1,
        lines: 1,
        raw_length: 1,
        is_open: false,
    };
    let good = world.batch().await;
    for (batch, field) in [
        (Batch { cells: vec![cell(-1, 1)], ..good.clone() }, "bucket"),
        (Batch { cells: vec![cell(844_674_336, 1)], ..good.clone() }, "bucket"),
        (Batch { cells: vec![cell(1, i64::MIN)], ..good.clone() }, "cells"),
        (Batch { state: vec![0; 65_537], ..good.clone() }, "state"),
        (Batch { cities: vec![city(1, "")], ..good.clone() }, "city"),
        (Batch { cities: vec![city(1, "a\0")], ..good.clone() }, "city"),
        (Batch { pack: "p".into(), kept: vec![kept.clone()], ..good.clone() }, "kept"),
        (Batch { kept: vec![KeptLines { length: 1, ..kept }], ..good.clone() }, "pack"),
        (Batch { edge: EdgeRef { edge: String::new(), ..world.edge.clone() }, ..good.clone() }, "edge"),
    ] {
        let refused = world.pilothouse.traffic().record(batch).await.unwrap_err();
        assert!(refused.to_string().starts_with(field), "{field}: {refused}");
    }
    let missing = world.pilothouse.traffic().edge("nowhere", "edge-1").await.unwrap_err();
    assert_eq!(missing.to_string(), "the cdn nowhere does not exist");
    // The same bucket twice in a batch is added up.
    let twice = Batch { cells: vec![cell(NOW / 300, 1), cell(NOW / 300, 2)], ..good };
    world.pilothouse.traffic().record(twice).await.unwrap();
    let stats = world.pilothouse.traffic().stats(&world.caller, &all(NOW, NOW)).await.unwrap();
    assert_eq!(stats[0].1.requests, 3);
    let early = NOW - TimeDelta::days(1).num_seconds();
    assert_eq!(world.fluxs(early, early).await, [0]);
}

#[tokio::test]
async fn the_background_work_seals() {
    let world = World::new(1).await;
    let midnight = NOW - NOW % DAY;
    world.record(&[(0, midnight - 1, 5, None)], &[]).await;
    world.clock.0.store(midnight + 7200, Ordering::Relaxed);
    let cancel = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(pilothouse_core::Workers::new(world.pilothouse.clone()).run(cancel.clone()));
    let sealed = async {
        loop {
            let mut snapshot = world.pilothouse.storage().read().await.unwrap();
            if snapshot.traffic().unsealed(midnight / 300, 1).await.unwrap().is_empty() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), sealed).await.unwrap();
    cancel.cancel();
    running.await.unwrap();
}
