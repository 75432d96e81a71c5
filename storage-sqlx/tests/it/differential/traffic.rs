//! Traffic, cities, how far logs were read, and kept lines. What is recorded outlives its domain, so domains are numbers.

use std::ops::RangeInclusive;

use chrono::NaiveDate;
use pilothouse_core::cdn::{
    Block, Cell, City, CityCell, Counters, Figures, LogChunk, LogFile, LogSource, Part,
};
use pilothouse_core::ports::Repositories;

use super::known::{Known, note, place, some};
use super::random::Random;

fn figures(random: &mut Random) -> Figures {
    let flux = random.pick(&[1, -1, 1000, i64::MAX]);
    Figures {
        flux,
        requests: random.number(9),
        hits: random.number(9),
        classes: [1, random.number(9), 0, -1],
    }
}

fn range(random: &mut Random) -> RangeInclusive<i64> {
    let first = random.number(800);
    first..=first + random.number(400)
}

fn part(random: &mut Random) -> Part {
    random.pick(&[Part::Flux, Part::Counts, Part::Cities])
}

fn date(random: &mut Random) -> NaiveDate {
    NaiveDate::from_ymd_opt(2016, 8, u32::try_from(1 + random.below(5)).unwrap()).unwrap()
}

fn edge(random: &mut Random) -> &'static str {
    random.pick(&["edge-1", "Edge-1", "边缘"])
}

fn source_shown(source: LogSource, known: &Known) -> LogSource {
    LogSource { id: place(&known.sources, source.id), cdn_id: place(&known.cdns, source.cdn_id), ..source }
}

fn source(cdn_id: i64, random: &mut Random) -> LogSource {
    LogSource {
        id: 0,
        cdn_id,
        edge: edge(random).to_owned(),
        key: [u8::try_from(random.below(3)).unwrap(); 16],
        length: random.number(3),
        state: vec![0, u8::try_from(random.below(256)).unwrap()],
        counters: Counters { lines: random.number(9), billed: random.number(9), ..Counters::default() },
        recorded: random.moment(),
    }
}

fn chunks_shown(chunks: Vec<LogChunk>) -> Vec<LogChunk> {
    // An id that stands for the place differs between stores.
    let place = |chunk: &LogChunk| if chunk.place == chunk.id { 0 } else { chunk.place };
    chunks.into_iter().map(|chunk| LogChunk { id: 0, place: place(&chunk), ..chunk }).collect()
}

pub(super) async fn read(store: &mut dyn Repositories, known: &Known, random: &mut Random) -> String {
    let domains = [random.number(4), random.number(4)];
    match random.below(8) {
        0 => {
            let buckets = range(random);
            let found = store.traffic().open(&domains, buckets.clone()).await.unwrap();
            let cities = store.cities().open(&domains, buckets.clone()).await.unwrap();
            let cities: Vec<_> = cities
                .into_iter()
                .map(|cell| CityCell { city_id: place(&known.cities, cell.city_id), ..cell })
                .collect();
            format!("open {domains:?} {buckets:?}: {found:?} {cities:?}")
        }
        1 => {
            let end = random.number(1200);
            let mut found = store.traffic().unsealed(end, 1000).await.unwrap();
            found.sort_unstable();
            let some = store.traffic().unsealed(end, 2).await.unwrap().len();
            format!("unsealed before {end}: {found:?}, {some}")
        }
        2 => {
            let (part, days) = (part(random), range(random));
            format!(
                "{part:?} {domains:?} {days:?}: {:?}",
                store.traffic().blocks(part, &domains, days.clone()).await.unwrap()
            )
        }
        3 => {
            let ids = [some(&known.cities, random), some(&known.cities, random)];
            let found = store.cities().by_ids(&ids).await.unwrap();
            let found: Vec<_> =
                found.into_iter().map(|(id, city)| (place(&known.cities, id), city)).collect();
            format!("cities: {found:?}")
        }
        4 => {
            let (cdn, edge) = (some(&known.cdns, random), edge(random));
            let keys = [[0; 16], [1; 16]];
            let found = store.log_sources().find(cdn, edge, &keys).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|source| source_shown(source, known)).collect();
            let newest = store.log_sources().newest(cdn, edge).await.unwrap();
            format!(
                "sources of {} {edge}: {found:?}, {}",
                place(&known.cdns, cdn),
                place(&known.sources, newest)
            )
        }
        5 => {
            let day = date(random);
            let found = chunks_shown(store.log_chunks().of_day(&domains, day).await.unwrap());
            let mut files = store.log_chunks().files().await.unwrap();
            files.sort_unstable();
            let crowded = store.log_chunks().crowded(1 + random.number(4)).await.unwrap();
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
            let expired = chunks_shown(store.log_chunks().expired(before, 3).await.unwrap());
            format!("before {before}: {unsealed:?}, {expired:?}")
        }
    }
}

pub(super) async fn write(store: &mut dyn Repositories, known: &mut Known, random: &mut Random) -> String {
    let domain_id = random.number(4);
    match random.below(11) {
        0 | 1 => {
            let bucket = random.number(1200);
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
                .map(|cell| CityCell { city_id: place(&known.cities, cell.city_id), ..cell })
                .collect();
            format!("take {domain_id} {buckets:?}: {taken:?} {cities:?}")
        }
        3 => {
            let (part, day) = (part(random), random.number(1200));
            let data = vec![u8::try_from(random.below(256)).unwrap(); 9];
            let block = Block { domain_id, day, kept_from: day + random.number(9), data };
            store.traffic().put_block(part, &block).await.unwrap();
            format!("put {part:?} {block:?}")
        }
        4 => {
            let (part, before) = (part(random), random.number(600));
            format!("prune {part:?} {before}: {}", store.traffic().prune_blocks(part, before).await.unwrap())
        }
        5 => {
            let cities = [(); 2].map(|()| City {
                geoname_id: random.number(3),
                name: random.word().to_owned(),
                name_cn: random.pick(&["a", "A"]).to_owned(),
            });
            let ids = store.cities().intern(&cities).await.unwrap();
            let ids: Vec<_> = ids.into_iter().map(|id| note(&mut known.cities, id)).collect();
            format!("cities {cities:?}: {ids:?}")
        }
        6 => {
            let city_id = some(&known.cities, random);
            let flux = random.pick(&[1, -1, 1000, i64::MAX]);
            let cell = CityCell { domain_id, bucket: random.number(1200), city_id, flux };
            store.cities().add(&[cell]).await.unwrap();
            format!("to city {}: {flux}", place(&known.cities, city_id))
        }
        7 | 8 => write_source(store, known, random).await,
        9 => {
            let day = date(random);
            let name = format!("{:x}", random.next());
            let chunk = LogChunk {
                id: 0,
                domain_id,
                day,
                kept_from: day.max(date(random)),
                file: if random.chance(70) { LogFile::Pack(name) } else { LogFile::Sealed(name) },
                offset: random.number(5),
                length: 1 + random.number(99),
                lines: random.number(9),
                raw_length: random.number(999),
                place: if random.chance(20) { 1 + random.number(40) } else { 0 },
                is_open: random.chance(20),
                sha256: random.chance(30).then_some([9; 32]),
            };
            store.log_chunks().insert(std::slice::from_ref(&chunk)).await.unwrap();
            format!("keep {chunk:?}")
        }
        _ => {
            let mut files = store.log_chunks().files().await.unwrap();
            files.sort_unstable();
            let (draw, offset) = (random.below(20), random.number(5));
            let Some(LogFile::Pack(pack)) = files.get(draw) else { return "no pack".into() };
            format!("withdraw {pack} {offset}: {}", store.log_chunks().withdraw(pack, offset).await.unwrap())
        }
    }
}

async fn write_source(store: &mut dyn Repositories, known: &mut Known, random: &mut Random) -> String {
    let (cdn, id) = (some(&known.cdns, random), some(&known.sources, random));
    let source = source(cdn, random);
    match random.below(4) {
        0 | 1 => {
            if store.cdns().by_id(cdn).await.unwrap().is_none() {
                return "no cdn".into();
            }
            let id = store.log_sources().insert(&source).await.unwrap();
            format!("add source: {}", note(&mut known.sources, id))
        }
        2 => {
            let length = random.number(3);
            let Some(held) = store.log_sources().by_id(id).await.unwrap() else { return "no source".into() };
            let next = LogSource { id, cdn_id: held.cdn_id, edge: held.edge, ..source };
            let done = store.log_sources().update(&next, length).await.unwrap();
            format!("read on {:?} from {length}: {done}", source_shown(next, known))
        }
        _ => {
            let before = random.moment();
            let pruned = if random.chance(20) { store.log_sources().prune(before).await.unwrap() } else { 0 };
            format!("forget before {before}: {pruned}")
        }
    }
}
