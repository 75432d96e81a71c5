//! Traffic, cities, how far logs were read, and kept lines.

use std::sync::Arc;

use chrono::NaiveDate;

use super::cdn::{add_cdn, add_customer, add_domain};
use super::{AWKWARD, moment, race};
use crate::account::{Caller, Groups, Scope};
use crate::cdn::{
    Batch, Block, Cell, City, CityCell, Counters, EdgeRef, Figures, KeptLines, LogChunk, LogFile, LogSource,
    Part, SourceChange, TrafficQuery,
};
use crate::ports::{LockKey, Storage, UnitOfWork};
use crate::{ErrorKind, Pilothouse, Settings};

/// A bucket on 2016-08-04, and the day it is in.
const BUCKET: i64 = 1_470_297_000 / 300;
const DAY: i64 = BUCKET / 288;

/// A cell told apart by all it holds.
pub fn cell(domain_id: i64, bucket: i64, flux: i64) -> Cell {
    let figures = Figures { flux, requests: 7, hits: 3, classes: [4, 1, 2, 0] };
    Cell { domain_id, bucket, figures }
}

async fn begin(storage: &Arc<dyn Storage>) -> Box<dyn UnitOfWork> {
    let mut work = storage.begin().await.unwrap();
    work.lock(LockKey::Traffic).await.unwrap();
    work
}

/// What is added to a bucket adds up in every figure, and is found by domain and time, in order.
pub async fn open_buckets_add_up(storage: Arc<dyn Storage>) {
    let mut work = begin(&storage).await;
    let traffic = work.traffic();
    traffic.add(&[]).await.unwrap();
    traffic.add(&[cell(2, 10, 5), cell(1, 12, 6), cell(1, 11, 7)]).await.unwrap();
    traffic.add(&[cell(1, 11, 100), cell(1, 13, -8)]).await.unwrap();
    let sum = Figures { flux: 107, requests: 14, hits: 6, classes: [8, 2, 4, 0] };
    let eleven = Cell { domain_id: 1, bucket: 11, figures: sum };
    assert_eq!(traffic.open(&[2, 1, 2, 9], 10..=12).await.unwrap(), [eleven, cell(1, 12, 6), cell(2, 10, 5)]);
    assert_eq!(traffic.open(&[1], 12..=20).await.unwrap(), [cell(1, 12, 6), cell(1, 13, -8)]);
    assert_eq!(traffic.open(&[], 0..=20).await.unwrap(), []);
    assert_eq!(traffic.open(&[3], 0..=20).await.unwrap(), []);
    let many: Vec<_> = (0..2000).map(|n| cell(5, n, n)).collect();
    traffic.add(&many).await.unwrap();
    assert_eq!(traffic.open(&[5], 0..=5000).await.unwrap(), many);
    work.commit().await.unwrap();
    assert_eq!(storage.read().await.unwrap().traffic().open(&[1], 11..=11).await.unwrap(), [eleven]);
}

/// Bytes that do not fit stay at the greatest number, and can be read.
pub async fn open_buckets_never_overflow(storage: Arc<dyn Storage>) {
    let mut work = begin(&storage).await;
    let flux = |flux| Cell { domain_id: 1, bucket: 1, figures: Figures { flux, ..Figures::default() } };
    for (added, sum) in [(i64::MAX, i64::MAX), (i64::MAX, i64::MAX), (-5, i64::MAX - 5), (9, i64::MAX)] {
        work.traffic().add(&[flux(added)]).await.unwrap();
        assert_eq!(work.traffic().open(&[1], 1..=1).await.unwrap(), [flux(sum)]);
    }
    let city = |flux| CityCell { domain_id: 1, bucket: 1, city_id: 1, flux };
    for added in [i64::MAX - 1, 5] {
        work.cities().add(&[city(added)]).await.unwrap();
    }
    assert_eq!(work.cities().open(&[1], 1..=1).await.unwrap(), [city(i64::MAX)]);
}

/// Taken buckets are gone, others stay; days with open buckets before a time are told.
pub async fn open_buckets_are_taken_once(storage: Arc<dyn Storage>) {
    let mut work = begin(&storage).await;
    let traffic = work.traffic();
    traffic.add(&[cell(1, 288, 1), cell(1, 575, 2), cell(1, 576, 3), cell(2, 288, 4)]).await.unwrap();
    let mut unsealed = traffic.unsealed(576, 10).await.unwrap();
    unsealed.sort_unstable();
    assert_eq!(unsealed, [(1, 1), (2, 1)]);
    assert_eq!(traffic.unsealed(576, 1).await.unwrap().len(), 1);
    assert_eq!(traffic.unsealed(288, 10).await.unwrap(), []);
    assert_eq!(traffic.take(1, 288..=575).await.unwrap(), [cell(1, 288, 1), cell(1, 575, 2)]);
    assert_eq!(traffic.take(1, 288..=575).await.unwrap(), []);
    assert_eq!(traffic.open(&[1, 2], 0..=999).await.unwrap(), [cell(1, 576, 3), cell(2, 288, 4)]);
    assert_eq!(traffic.unsealed(576, 10).await.unwrap(), [(2, 1)]);
}

/// A block is kept per domain, part and day; another one takes its place; old ones go, part by part.
pub async fn blocks_round_trip(storage: Arc<dyn Storage>) {
    let block = |domain_id, day, byte| Block { domain_id, day, kept_from: day + 1, data: vec![byte; 3000] };
    let mut work = begin(&storage).await;
    let traffic = work.traffic();
    for (domain, day) in [(2, 5), (1, 6), (1, 5)] {
        traffic.put_block(Part::Flux, &block(domain, day, 1)).await.unwrap();
        traffic.put_block(Part::Cities, &block(domain, day, 2)).await.unwrap();
    }
    traffic.put_block(Part::Flux, &block(1, 6, 3)).await.unwrap();
    let flux = [block(1, 5, 1), block(1, 6, 3), block(2, 5, 1)];
    assert_eq!(traffic.blocks(Part::Flux, &[2, 1, 1], 5..=6).await.unwrap(), flux);
    assert_eq!(traffic.blocks(Part::Flux, &[1], 6..=9).await.unwrap(), flux[1..2]);
    assert_eq!(traffic.blocks(Part::Counts, &[1, 2], 0..=9).await.unwrap(), []);
    assert_eq!(traffic.prune_blocks(Part::Cities, 6).await.unwrap(), 0, "written the day after");
    assert_eq!(traffic.prune_blocks(Part::Cities, 7).await.unwrap(), 2);
    assert_eq!(traffic.prune_blocks(Part::Cities, 7).await.unwrap(), 0);
    assert_eq!(traffic.blocks(Part::Cities, &[1, 2], 0..=9).await.unwrap(), [block(1, 6, 2)]);
    assert_eq!(traffic.blocks(Part::Flux, &[1, 2], 0..=9).await.unwrap(), flux);
}

fn city(geoname_id: i64, name: &str) -> City {
    City { geoname_id, name: name.into(), name_cn: "迈阿密".into() }
}

/// A city has one id for ever: by its number, whatever it is called, and without one by its names.
pub async fn cities_are_interned(storage: Arc<dyn Storage>) {
    let mut work = begin(&storage).await;
    let cities = work.cities();
    let (miami, other) = (city(4_164_138, "Miami"), city(0, AWKWARD));
    let ids = cities.intern(&[miami.clone(), other.clone(), miami.clone()]).await.unwrap();
    assert!(ids[0] == ids[2] && ids[0] != ids[1]);
    let renamed = city(4_164_138, "Miami City");
    let namesake = city(4_164_139, "Miami City");
    let numberless = city(0, "Miami City");
    let later = [other.clone(), renamed.clone(), namesake.clone(), numberless.clone()];
    let later = cities.intern(&later).await.unwrap();
    assert_eq!(later[..2], [ids[1], ids[0]]);
    assert!(!ids.contains(&later[2]) && !ids.contains(&later[3]) && later[2] != later[3]);
    let mut expected = [(ids[0], renamed), (ids[1], other), (later[2], namesake), (later[3], numberless)];
    expected.sort_by_key(|(id, _)| *id);
    let asked = [later[3], ids[1], ids[0], later[2], 0];
    assert_eq!(cities.by_ids(&asked).await.unwrap(), expected);
    assert_eq!(cities.by_ids(&[]).await.unwrap(), []);
    assert!(cities.intern(&[]).await.unwrap().is_empty());
}

/// What goes to a city adds up, is found by domain and time, and is taken once.
pub async fn city_buckets_add_up(storage: Arc<dyn Storage>) {
    let cell = |domain_id, bucket, city_id, flux| CityCell { domain_id, bucket, city_id, flux };
    let mut work = begin(&storage).await;
    let cities = work.cities();
    cities.add(&[cell(2, 10, 1, 5), cell(1, 10, 2, 6), cell(1, 10, 1, 7), cell(1, 11, 1, 8)]).await.unwrap();
    cities.add(&[cell(1, 10, 1, -3)]).await.unwrap();
    let first = [cell(1, 10, 1, 4), cell(1, 10, 2, 6)];
    assert_eq!(cities.open(&[2, 1], 0..=10).await.unwrap(), [&first[..], &[cell(2, 10, 1, 5)]].concat());
    assert_eq!(cities.take(1, 0..=10).await.unwrap(), first);
    assert_eq!(cities.take(1, 0..=10).await.unwrap(), []);
    assert_eq!(cities.open(&[1, 2], 0..=99).await.unwrap(), [cell(1, 11, 1, 8), cell(2, 10, 1, 5)]);
}

/// Of many that bring one new city at once, all get the same id.
pub async fn city_race_for_one_id(storage: Arc<dyn Storage>) {
    let ids = race(&storage, async |storage: Arc<dyn Storage>, _| {
        let mut work = begin(&storage).await;
        let ids = work.cities().intern(&[city(1, "Miami"), city(0, "Nowhere")]).await.unwrap();
        work.commit().await.unwrap();
        ids
    })
    .await;
    assert!(ids.iter().all(|these| *these == ids[0]), "{ids:?}");
}

fn source(cdn_id: i64, edge: &str, key: u8) -> LogSource {
    LogSource {
        id: 0,
        cdn_id,
        edge: edge.into(),
        key: [key; 16],
        length: 10,
        state: vec![0, 255, key],
        counters: Counters { lines: 6, billed: 1, kept: 2, unreadable: 3, unregistered: 4, purges: 5 },
        recorded: moment(0),
    }
}

/// Sources are found by edge and key; one changes only while it has the length it is thought to have.
pub async fn log_source_round_trip(storage: Arc<dyn Storage>) {
    let (a, b) = (add_cdn(&storage, "a").await, add_cdn(&storage, "b").await);
    let mut work = begin(&storage).await;
    let sources = work.log_sources();
    assert_eq!(sources.newest(a, "edge-1").await.unwrap(), 0);
    let mut ids = Vec::new();
    for (cdn, edge, key) in
        [(a, "edge-1", 1), (a, "edge-1", 1), (a, "edge-1", 2), (a, AWKWARD, 1), (b, "edge-1", 1)]
    {
        ids.push(sources.insert(&source(cdn, edge, key)).await.unwrap());
    }
    assert!(ids.is_sorted());
    assert_eq!(sources.newest(a, "edge-1").await.unwrap(), ids[2]);
    let held = |n: usize, key| LogSource { id: ids[n], ..source(a, "edge-1", key) };
    let keys = |keys: &[u8]| keys.iter().map(|key| [*key; 16]).collect::<Vec<_>>();
    let found = sources.find(a, "edge-1", &keys(&[2, 1, 1])).await.unwrap();
    assert_eq!(found, [held(0, 1), held(1, 1), held(2, 2)]);
    assert_eq!(sources.find(a, "edge-1", &keys(&[3])).await.unwrap(), []);
    assert_eq!(sources.find(a, AWKWARD, &keys(&[1, 2])).await.unwrap().len(), 1);

    let grown = LogSource {
        key: [9; 16],
        length: 20,
        state: vec![7; 32 << 10],
        counters: Counters { lines: 60, ..source(a, "", 1).counters },
        recorded: moment(5),
        ..held(0, 1)
    };
    assert!(!sources.update(&grown, 11).await.unwrap(), "another length");
    assert!(sources.update(&grown, 10).await.unwrap());
    assert!(!sources.update(&grown, 10).await.unwrap(), "it has grown already");
    assert_eq!(sources.by_id(ids[0]).await.unwrap(), Some(grown.clone()));
    assert_eq!(sources.find(a, "edge-1", &keys(&[9])).await.unwrap(), [grown]);
    assert_eq!(sources.prune(moment(5)).await.unwrap(), 4);
    assert_eq!(sources.by_id(ids[1]).await.unwrap(), None);
    assert!(sources.by_id(ids[0]).await.unwrap().is_some());
    assert!(sources.insert(&source(a, "edge-1", 1)).await.unwrap() > ids[4], "ids are never used twice");
}

/// Of many that go on from one length at once, one does; also without the lock.
pub async fn log_source_race_for_one_length(storage: Arc<dyn Storage>) {
    let cdn = add_cdn(&storage, "a").await;
    let mut work = begin(&storage).await;
    let id = work.log_sources().insert(&source(cdn, "edge-1", 1)).await.unwrap();
    work.commit().await.unwrap();
    let won = race(&storage, move |storage: Arc<dyn Storage>, n| async move {
        let mut work = storage.begin().await.unwrap();
        let next = LogSource { id, length: 100 + n, ..source(cdn, "edge-1", 1) };
        let won = work.log_sources().update(&next, 10).await.unwrap();
        work.commit().await.unwrap();
        won
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
}

/// The day `n` days after 2016-09-29.
fn day(n: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2016, 9, 29).unwrap() + chrono::Days::new(n)
}

fn chunk(domain_id: i64, n: u64, file: LogFile, offset: i64) -> LogChunk {
    LogChunk {
        id: 0,
        domain_id,
        day: day(n),
        kept_from: day(n + 1),
        file,
        offset,
        length: 1904,
        lines: 17,
        raw_length: 9000,
        place: 0,
        is_open: false,
        sha256: None,
    }
}

fn pack(name: &str) -> LogFile {
    LogFile::Pack(name.into())
}

/// Chunks come out as they went in, in their order, and can be withdrawn one by one.
pub async fn log_chunk_round_trip(storage: Arc<dyn Storage>) {
    let mut work = begin(&storage).await;
    let chunks = work.log_chunks();
    let sealed = LogFile::Sealed("p1".into());
    let all = [
        chunk(1, 0, pack("p1"), 0),
        LogChunk { sha256: Some([7; 32]), ..chunk(1, 0, sealed.clone(), 0) },
        LogChunk { is_open: true, ..chunk(2, 0, pack("p1"), 1904) },
        chunk(1, 1, pack("p2"), 0),
    ];
    chunks.insert(&all).await.unwrap();
    chunks.insert(&[]).await.unwrap();
    let found = chunks.of_day(&[2, 1], day(0)).await.unwrap();
    let expected = found.iter().zip(&all);
    let expected: Vec<_> =
        expected.map(|(found, chunk)| LogChunk { id: found.id, place: found.id, ..chunk.clone() }).collect();
    assert_eq!(found, expected);
    assert!(found.len() == 3 && found.is_sorted_by_key(|chunk| chunk.id));
    let mut files = chunks.files().await.unwrap();
    files.sort_unstable();
    assert_eq!(files, [pack("p1"), pack("p2"), sealed.clone()]);
    assert!(chunks.withdraw("p1", 0).await.unwrap());
    assert!(!chunks.withdraw("p1", 0).await.unwrap(), "a sealed file is no pack");
    assert!(!chunks.withdraw("p1", 5).await.unwrap());
    assert_eq!(chunks.of_day(&[1, 2], day(0)).await.unwrap(), expected[1..]);
    assert_eq!(chunks.delete(&[found[2].id, found[0].id]).await.unwrap(), 1);
    let mut files = chunks.files().await.unwrap();
    files.sort_unstable();
    assert_eq!(files, [pack("p2"), sealed]);
}

/// A chunk that stands for others stands where they stood.
pub async fn log_chunk_places(storage: Arc<dyn Storage>) {
    let mut work = begin(&storage).await;
    let chunks = work.log_chunks();
    let some = |names: &[&str]| names.iter().map(|name| chunk(1, 0, pack(name), 0)).collect::<Vec<_>>();
    chunks.insert(&some(&["a", "b", "c"])).await.unwrap();
    let found = chunks.of_day(&[1], day(0)).await.unwrap();
    chunks.delete(&[found[0].id, found[1].id]).await.unwrap();
    let both = LogChunk { place: found[0].place, ..chunk(1, 0, LogFile::Sealed("ab".into()), 0) };
    chunks.insert(&[both]).await.unwrap();
    chunks.insert(&some(&["d"])).await.unwrap();
    let found = chunks.of_day(&[1], day(0)).await.unwrap();
    let files: Vec<_> = found.into_iter().map(|chunk| chunk.file).collect();
    assert_eq!(files, [LogFile::Sealed("ab".into()), pack("c"), pack("d")]);
    assert_eq!(chunks.crowded(2).await.unwrap(), [(1, day(0))]);
    assert_eq!(chunks.crowded(3).await.unwrap(), [], "what is sealed is not counted");
    let crowd: Vec<_> = (0..3).map(|n| chunk(2 - n % 2, 1, pack("e"), n)).collect();
    chunks.insert(&crowd).await.unwrap();
    assert_eq!(chunks.crowded(1).await.unwrap(), [(1, day(0)), (1, day(1)), (2, day(1))]);
    assert_eq!(chunks.crowded(2).await.unwrap(), [(1, day(0)), (2, day(1))]);
}

/// Sizes add up by day; days with chunks in packs, and chunks of old days, are told.
pub async fn log_chunk_days(storage: Arc<dyn Storage>) {
    let mut work = begin(&storage).await;
    let chunks = work.log_chunks();
    let sealed = LogFile::Sealed("s".into());
    let all = [
        chunk(2, 1, pack("p"), 0),
        chunk(1, 1, pack("p"), 1),
        chunk(1, 1, pack("p"), 2),
        chunk(1, 0, pack("p"), 3),
        chunk(1, 2, sealed, 0),
    ];
    chunks.insert(&all).await.unwrap();
    let sizes = chunks.sizes(&[1, 2], day(1), day(5)).await.unwrap();
    assert_eq!(sizes, [(day(1), 3 * 1904), (day(2), 1904)]);
    assert_eq!(chunks.sizes(&[2], day(0), day(5)).await.unwrap(), [(day(1), 1904)]);
    assert_eq!(chunks.unsealed(day(9)).await.unwrap(), [(1, day(0)), (1, day(1)), (2, day(1))]);
    assert_eq!(chunks.unsealed(day(1)).await.unwrap(), [(1, day(0))]);
    let expired = chunks.expired(day(3), 3).await.unwrap();
    assert!(expired.len() == 3 && expired.is_sorted_by_key(|chunk| chunk.id));
    assert_eq!(chunks.expired(day(3), 99).await.unwrap().len(), 4);
    assert_eq!(chunks.expired(day(1), 99).await.unwrap(), []);
}

/// A store with one cdn, edge, customer and domain, and the domain crate over it.
pub struct World {
    /// The domain over the store.
    pub pilothouse: Pilothouse,
    /// The edge whose logs are read.
    pub edge: EdgeRef,
    /// The customer.
    pub caller: Caller,
    /// The customer's domain, `cdn.exrqs.com`.
    pub domain_id: i64,
}

impl World {
    /// Makes it, with settings that keep traffic for centuries.
    pub async fn new(storage: &Arc<dyn Storage>) -> Self {
        let account = add_customer(storage, 1).await;
        let cdn_id = add_cdn(storage, "level3").await;
        let domain_id = add_domain(storage, account, cdn_id, "cdn.exrqs.com").await;
        let settings = Settings { traffic_days: 100_000, city_days: 100_000, ..Settings::default() };
        let caller = Caller {
            id: account,
            name: "name1".into(),
            mail: "Name1@Example.com".into(),
            groups: Groups::NONE,
            scope: Scope::Cdn,
            token: None,
            address: None,
        };
        let edge = EdgeRef { cdn_id, edge: "edge-1".into() };
        Self { pilothouse: Pilothouse::new(storage.clone(), settings).unwrap(), edge, caller, domain_id }
    }

    /// A batch of one cell, one city and one chunk.
    pub fn batch(&self, change: SourceChange, length: i64, flux: i64) -> Batch {
        let domain_id = self.domain_id;
        let (offset, lines, raw_length) = (length, 1, 200);
        Batch {
            edge: self.edge.clone(),
            change,
            key: [1; 16],
            length,
            state: vec![1],
            counters: Counters { lines: 1, billed: 1, kept: 1, ..Counters::default() },
            cells: vec![cell(domain_id, BUCKET, flux)],
            cities: vec![city(1, "Miami")],
            city_cells: vec![CityCell { domain_id, bucket: BUCKET, city_id: 0, flux }],
            pack: "pack".into(),
            kept: vec![KeptLines {
                domain_id,
                day: day(0),
                offset,
                length: 100,
                lines,
                raw_length,
                is_open: false,
            }],
            withdrawn: None,
        }
    }

    /// The change of a log that nobody has read.
    pub async fn new_log(&self) -> SourceChange {
        SourceChange::New(self.pilothouse.traffic().sources(&self.edge, &[[1; 16]]).await.unwrap().seen)
    }

    /// The bytes of the domain's one bucket.
    pub async fn flux(&self) -> i64 {
        let (start_time, end_time) = (BUCKET * 300, BUCKET * 300 + 299);
        let query = TrafficQuery { domains: Vec::new(), start_time, end_time };
        let points = self.pilothouse.traffic().fluxs(&self.caller, &query).await.unwrap();
        assert_eq!(points.len(), 1);
        points[0].value
    }
}

/// A batch that is refused leaves nothing; one that is taken leaves all of it.
pub async fn record_is_all_or_nothing(storage: Arc<dyn Storage>) {
    let world = World::new(&storage).await;
    let traffic = world.pilothouse.traffic();
    let new = world.new_log().await;
    let mut wrong = world.batch(new.clone(), 10, 5);
    wrong.city_cells[0].city_id = 1;
    assert_eq!(traffic.record(wrong).await.unwrap_err().kind(), ErrorKind::Invalid);
    let stale = world.batch(SourceChange::Continued(77, 1), 10, 5);
    assert_eq!(traffic.record(stale).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(world.flux().await, 0);
    let mut snapshot = storage.read().await.unwrap();
    assert_eq!(snapshot.log_sources().newest(world.edge.cdn_id, "edge-1").await.unwrap(), 0);
    assert_eq!(snapshot.log_chunks().files().await.unwrap(), []);
    drop(snapshot);

    let id = traffic.record(world.batch(new.clone(), 10, 5)).await.unwrap();
    let grown =
        Batch { withdrawn: Some(("pack".into(), 10)), ..world.batch(SourceChange::Continued(id, 10), 30, 6) };
    assert_eq!(traffic.record(grown.clone()).await.unwrap(), id);
    assert_eq!(traffic.record(grown).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(traffic.record(world.batch(new, 10, 5)).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(world.flux().await, 11);
    let mut snapshot = storage.read().await.unwrap();
    let source = snapshot.log_sources().by_id(id).await.unwrap().unwrap();
    assert_eq!((source.length, source.counters.lines), (30, 2));
    let chunks = snapshot.log_chunks().of_day(&[world.domain_id], day(0)).await.unwrap();
    assert_eq!(chunks.iter().map(|chunk| chunk.offset).collect::<Vec<_>>(), [30]);
    let cells = snapshot.cities().open(&[world.domain_id], BUCKET..=BUCKET).await.unwrap();
    assert_eq!(cells.iter().map(|cell| cell.flux).sum::<i64>(), 11);
}

async fn race_of_records(world: World, storage: &Arc<dyn Storage>, change: SourceChange, before: i64) {
    let world = Arc::new(world);
    let racing = world.clone();
    let won = race(storage, move |_, n| {
        let (world, change) = (racing.clone(), change.clone());
        async move {
            let recorded = world.pilothouse.traffic().record(world.batch(change, 20 + n, 5)).await;
            recorded.map_err(|error| assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}")).is_ok()
        }
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    assert_eq!(world.flux().await, before + 5);
}

/// Of many that read one new log at once, one records it.
pub async fn record_race_for_a_new_log(storage: Arc<dyn Storage>) {
    let world = World::new(&storage).await;
    let change = world.new_log().await;
    race_of_records(world, &storage, change, 0).await;
}

/// Of many that read what one log has grown by at once, one records it.
pub async fn record_race_for_a_grown_log(storage: Arc<dyn Storage>) {
    let world = World::new(&storage).await;
    let new = world.batch(world.new_log().await, 10, 7);
    let id = world.pilothouse.traffic().record(new).await.unwrap();
    race_of_records(world, &storage, SourceChange::Continued(id, 10), 7).await;
}

/// Batches recorded while the day is sealed by several at once are all in the end, once.
pub async fn sealing_loses_nothing(storage: Arc<dyn Storage>) {
    let world = Arc::new(World::new(&storage).await);
    let racing = world.clone();
    race(&storage, move |_, n| {
        let world = racing.clone();
        async move {
            if n % 4 == 0 {
                for _ in 0..4 {
                    world.pilothouse.traffic().maintain().await.unwrap();
                }
                return;
            }
            let edge = EdgeRef { edge: format!("edge-{n}"), ..world.edge.clone() };
            let seen = world.pilothouse.traffic().sources(&edge, &[[1; 16]]).await.unwrap().seen;
            let mut change = SourceChange::New(seen);
            for length in 1..=5 {
                let batch = Batch { edge: edge.clone(), ..world.batch(change, length, 100) };
                let id = world.pilothouse.traffic().record(batch).await.unwrap();
                change = SourceChange::Continued(id, length);
            }
        }
    })
    .await;
    assert_eq!(world.flux().await, 12 * 5 * 100);
    world.pilothouse.traffic().maintain().await.unwrap();
    assert_eq!(world.flux().await, 12 * 5 * 100);
    let mut snapshot = storage.read().await.unwrap();
    assert_eq!(snapshot.traffic().open(&[world.domain_id], 0..=i64::MAX).await.unwrap(), []);
    for part in [Part::Flux, Part::Counts, Part::Cities] {
        let blocks = snapshot.traffic().blocks(part, &[world.domain_id], DAY..=DAY).await.unwrap();
        assert_eq!(blocks.len(), 1, "{part:?}");
    }
}
