//! Traffic, cities, log sources and stored lines. Records outlive their domain, so domains are plain numbers.

use std::ops::RangeInclusive;

use chrono::NaiveDate;
use pilothouse_conformance::Rng;
use pilothouse_core::cdn::{
    Block, BlockKind, CdnId, Cell, City, CityCell, Counters, Day, DomainId, EdgeLog, Figures, LineStretch,
    LogChunk, LogChunkId, LogFile, LogKind, LogSource, LogSourceId, Refusal,
};
use pilothouse_core::ports::Repositories;

use super::draws::Draws;
use super::issued_ids::{IssuedIds, any_id, index_of, record_id};

fn figures(random: &mut Rng) -> Figures {
    let flux = random.pick(&[1, -1, 1000, i64::MAX]);
    Figures {
        flux,
        hit_flux: random.pick(&[0, -1, 500, i64::MAX]),
        requests: random.i64(0..9),
        hits: random.i64(0..9),
        classes: [1, random.i64(0..9), 0, -1],
    }
}

fn range(random: &mut Rng) -> RangeInclusive<i64> {
    let first = random.i64(0..800);
    first..=first + random.i64(0..400)
}

fn kind(random: &mut Rng) -> BlockKind {
    random.pick(&[BlockKind::Flux, BlockKind::Counts, BlockKind::Cities])
}

fn date(random: &mut Rng) -> NaiveDate {
    NaiveDate::from_ymd_opt(2016, 8, u32::try_from(1 + random.usize(..5)).unwrap()).unwrap()
}

fn edge(random: &mut Rng) -> &'static str {
    random.pick(&["edge-1", "Edge-1", "边缘"])
}

fn edge_log(cdn_id: CdnId, random: &mut Rng) -> EdgeLog {
    let kind = random.pick(&[LogKind::Followed, LogKind::Shipped, LogKind::Ingested]);
    let lines = random.i64(0..1000);
    let stretch = |since| LineStretch { since, lines, unreadable: lines / 2 };
    let some = random.chance(50);
    EdgeLog {
        cdn_id,
        edge: edge(random).to_owned(),
        kind,
        bytes: lines * 100,
        counters: Counters { lines, ..Counters::default() },
        last_line: some.then_some(lines),
        recorded: some.then(|| random.moment()),
        seen: random.moment(),
        unread: some.then_some(lines),
        recent: stretch(random.moment()),
        judged: some.then(|| stretch(random.moment())),
        refusal: some.then(|| Refusal { since: random.moment(), reason: "why".to_owned() }),
    }
}

fn comparable_source(source: LogSource, issued: &IssuedIds) -> LogSource {
    LogSource {
        id: index_of(&issued.sources, source.id),
        cdn_id: index_of(&issued.cdns, source.cdn_id),
        ..source
    }
}

fn source(cdn_id: CdnId, random: &mut Rng) -> LogSource {
    LogSource {
        id: LogSourceId::UNSAVED,
        cdn_id,
        edge: edge(random).to_owned(),
        key: [u8::try_from(random.usize(..3)).unwrap(); 16],
        length: random.i64(0..3),
        state: vec![0, u8::try_from(random.usize(..256)).unwrap()],
        counters: Counters { lines: random.i64(0..9), billed: random.i64(0..9), ..Counters::default() },
        recorded: random.moment(),
        skipped: random.i64(0..9),
    }
}

fn comparable_chunks(chunks: Vec<LogChunk>) -> Vec<LogChunk> {
    // A chunk without a place of its own has its id as place, which differs between stores.
    let place = |chunk: &LogChunk| if chunk.place == chunk.id.0 { 0 } else { chunk.place };
    chunks
        .into_iter()
        .map(|chunk| LogChunk { id: LogChunkId::UNSAVED, place: place(&chunk), ..chunk })
        .collect()
}

pub(super) async fn read(store: &mut dyn Repositories, issued: &IssuedIds, random: &mut Rng) -> String {
    let domains = [DomainId(random.i64(0..4)), DomainId(random.i64(0..4))];
    match random.usize(..8) {
        0 => {
            let buckets = range(random);
            let found = store.traffic().open(&domains, buckets.clone()).await.unwrap();
            let cities = store.cities().open(&domains, buckets.clone()).await.unwrap();
            let cities: Vec<_> = cities
                .into_iter()
                .map(|cell| CityCell { city_id: index_of(&issued.cities, cell.city_id), ..cell })
                .collect();
            format!("open {domains:?} {buckets:?}: {found:?} {cities:?}")
        }
        1 => {
            let end = random.i64(0..1200);
            let mut found = store.traffic().unsealed(end, 1000).await.unwrap();
            found.sort_unstable();
            let at_most_two = store.traffic().unsealed(end, 2).await.unwrap().len();
            format!("unsealed before {end}: {found:?}, {at_most_two}")
        }
        2 => {
            let (kind, days) = (kind(random), range(random));
            let days = Day(*days.start())..=Day(*days.end());
            format!(
                "{kind:?} {domains:?} {days:?}: {:?}",
                store.traffic().blocks(kind, &domains, days.clone()).await.unwrap()
            )
        }
        3 => {
            let ids = [any_id(&issued.cities, random), any_id(&issued.cities, random)];
            let found = store.cities().by_ids(&ids).await.unwrap();
            let found: Vec<_> =
                found.into_iter().map(|(id, city)| (index_of(&issued.cities, id), city)).collect();
            format!("cities: {found:?}")
        }
        4 => {
            let (cdn, edge) = (any_id(&issued.cdns, random), edge(random));
            let keys = [[0; 16], [1; 16]];
            let found = store.log_sources().find(cdn, edge, &keys).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|source| comparable_source(source, issued)).collect();
            let newest = store.log_sources().newest(cdn, edge).await.unwrap();
            let newest = newest.map(|newest| index_of(&issued.sources, newest));
            format!("sources of {} {edge}: {found:?}, {newest:?}", index_of(&issued.cdns, cdn))
        }
        5 => {
            let day = date(random);
            let found = comparable_chunks(store.log_chunks().of_day(&domains, day).await.unwrap());
            let mut files = store.log_chunks().files().await.unwrap();
            files.sort_unstable();
            let crowded = store.log_chunks().crowded(1 + random.i64(0..4)).await.unwrap();
            format!("chunks of {domains:?} on {day}: {found:?}, {files:?}, {crowded:?}")
        }
        6 => {
            let (first, last) = (date(random), date(random));
            let sizes = store.log_chunks().sizes(&domains, first, last).await.unwrap();
            format!("sizes of {domains:?} {first} to {last}: {sizes:?}")
        }
        _ => {
            let before = date(random);
            let unsealed = store.log_chunks().unsealed(before).await.unwrap();
            let expired = comparable_chunks(store.log_chunks().expired(before, 3).await.unwrap());
            format!("before {before}: {unsealed:?}, {expired:?}")
        }
    }
}

pub(super) async fn write(store: &mut dyn Repositories, issued: &mut IssuedIds, random: &mut Rng) -> String {
    let domain_id = DomainId(random.i64(0..4));
    match random.usize(..11) {
        0 | 1 => {
            let bucket = random.i64(0..1200);
            let cells = [
                Cell { domain_id, bucket, figures: figures(random) },
                Cell { domain_id, bucket: bucket + 1, figures: figures(random) },
            ];
            store.traffic().add(&cells).await.unwrap();
            format!("add {cells:?}")
        }
        2 => {
            let buckets = range(random);
            let taken = store.traffic().take(domain_id, buckets.clone()).await.unwrap();
            let cities = store.cities().take(domain_id, buckets.clone()).await.unwrap();
            let cities: Vec<_> = cities
                .into_iter()
                .map(|cell| CityCell { city_id: index_of(&issued.cities, cell.city_id), ..cell })
                .collect();
            format!("take {domain_id} {buckets:?}: {taken:?} {cities:?}")
        }
        3 => {
            let (kind, day) = (kind(random), random.i64(0..1200));
            let data = vec![u8::try_from(random.usize(..256)).unwrap(); 9];
            let block = Block { domain_id, day: Day(day), kept_from: Day(day + random.i64(0..9)), data };
            store.traffic().put_block(kind, &block).await.unwrap();
            format!("put {kind:?} {block:?}")
        }
        4 => {
            let (kind, before, count) = (kind(random), Day(random.i64(0..600)), random.i64(0..3));
            format!(
                "prune {kind:?} {before:?}: {}",
                store.traffic().prune_blocks(kind, before, count).await.unwrap()
            )
        }
        5 => {
            let cities = [(); 2].map(|()| City {
                geoname_id: random.i64(0..3),
                name: random.word().to_owned(),
                name_cn: random.pick(&["a", "A"]).to_owned(),
            });
            let ids = store.cities().intern(&cities).await.unwrap();
            let ids: Vec<_> = ids.into_iter().map(|id| record_id(&mut issued.cities, id)).collect();
            format!("cities {cities:?}: {ids:?}")
        }
        6 => {
            let city_id = any_id(&issued.cities, random);
            let flux = random.pick(&[1, -1, 1000, i64::MAX]);
            let cell = CityCell { domain_id, bucket: random.i64(0..1200), city_id, flux };
            store.cities().add(&[cell]).await.unwrap();
            format!("to city {}: {flux}", index_of(&issued.cities, city_id))
        }
        7 | 8 => write_source(store, issued, random).await,
        9 => {
            let day = date(random);
            let name = format!("{:x}", random.u64(..));
            let chunk = LogChunk {
                id: LogChunkId::UNSAVED,
                domain_id,
                day,
                kept_from: day.max(date(random)),
                file: if random.chance(70) { LogFile::Pack(name) } else { LogFile::Sealed(name) },
                offset: random.i64(0..5),
                length: 1 + random.i64(0..99),
                lines: random.i64(0..9),
                raw_length: random.i64(0..999),
                // Before every id: those of Postgres have gaps, so that a place among them would be another one there.
                place: if random.chance(20) { -1 - random.i64(0..40) } else { 0 },
                is_open: random.chance(20),
                sha256: random.chance(30).then_some([9; 32]),
            };
            store.log_chunks().insert(std::slice::from_ref(&chunk)).await.unwrap();
            format!("insert {chunk:?}")
        }
        _ => {
            let mut files = store.log_chunks().files().await.unwrap();
            files.sort_unstable();
            let (draw, offset) = (random.usize(..20), random.i64(0..5));
            let Some(LogFile::Pack(pack)) = files.get(draw) else { return "no pack".into() };
            format!("withdraw {pack} {offset}: {}", store.log_chunks().withdraw(pack, offset).await.unwrap())
        }
    }
}

async fn write_source(store: &mut dyn Repositories, issued: &mut IssuedIds, random: &mut Rng) -> String {
    let (cdn, id) = (any_id(&issued.cdns, random), any_id(&issued.sources, random));
    let source = source(cdn, random);
    match random.usize(..5) {
        0 | 1 => {
            if store.cdns().by_id(cdn).await.unwrap().is_none() {
                return "no cdn".into();
            }
            let id = store.log_sources().insert(&source).await.unwrap();
            format!("add source: {}", record_id(&mut issued.sources, id))
        }
        2 => {
            let length = random.i64(0..3);
            let Some(stored) = store.log_sources().by_id(id).await.unwrap() else {
                return "no source".into();
            };
            let next = LogSource { id, cdn_id: stored.cdn_id, edge: stored.edge, ..source };
            let done = store.log_sources().update(&next, length).await.unwrap();
            format!("advance {:?} from {length}: {done}", comparable_source(next, issued))
        }
        3 => {
            if store.cdns().by_id(cdn).await.unwrap().is_none() {
                return "no cdn".into();
            }
            store.edge_logs().put(&edge_log(cdn, random)).await.unwrap();
            let logs = store.edge_logs().list(cdn).await.unwrap();
            let comparable = |log: EdgeLog| EdgeLog { cdn_id: index_of(&issued.cdns, log.cdn_id), ..log };
            format!("edge logs: {:?}", logs.into_iter().map(comparable).collect::<Vec<_>>())
        }
        _ => {
            let before = random.moment();
            let pruned =
                if random.chance(20) { store.log_sources().prune(before, 2).await.unwrap() } else { 0 };
            format!("prune before {before}: {pruned}")
        }
    }
}
