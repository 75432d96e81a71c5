//! Traffic of a customer, with a manual clock and an in-memory log archive.

use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};
use futures_util::stream::TryStreamExt;
use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::ManualClock;
use pilothouse_core::account::{Caller, Scope};
use pilothouse_core::cdn::{
    Batch, BatchCityCell, Cell, City, DomainId, EdgeRef, Figures, KeptLines, LogChunk, Maintained,
    SourceChange, TrafficQuery,
};
use pilothouse_core::ports::Storage;
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_storage_memory::MemoryStorage;

use super::archive::MemoryArchive;

/// Initial time of the clock: 2016-10-01 12:00 in Shanghai.
pub(crate) const NOW: i64 = 1_475_294_400;
pub(crate) const DAY: i64 = 86_400;

/// A customer with domains `d0.example.com` and so on behind one edge of `level3`.
pub(crate) struct TrafficFixture {
    pub(crate) pilothouse: Pilothouse,
    pub(crate) storage: Arc<MemoryStorage>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) archive: Arc<MemoryArchive>,
    pub(crate) caller: Caller,
    pub(crate) edge: EdgeRef,
    pub(crate) domains: Vec<DomainId>,
}

impl TrafficFixture {
    pub(crate) async fn new(domains: usize) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let storage = Arc::new(MemoryStorage::with_clock(clock.clone()).strict());
        let archive = Arc::new(MemoryArchive::default());
        let settings = Settings::default().with_cdns(["level3"]).with_geo_city_database(true);
        let fixture = Fixture::builder(storage.clone())
            .clock(clock.clone())
            .settings(settings)
            .log_archive(archive.clone())
            .build();
        let names: Vec<String> = (0..domains).map(|n| format!("d{n}.example.com")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let customer = fixture.customer("user", "level3", &names).await;
        let caller = Caller { scope: Scope::Cdn, ..customer };
        let pilothouse = fixture.pilothouse;
        let edge = pilothouse.log_intake().edge("level3", "edge-1").await.unwrap();
        let domains = pilothouse.log_intake().hosts(edge.cdn_id).await.unwrap().domains;
        let domains = domains.iter().map(|domain| domain.id).collect();
        Self { pilothouse, storage, clock, archive, caller, edge, domains }
    }

    /// An empty batch of the log source `[0; 16]`, next in its order.
    pub(crate) async fn batch(&self) -> Batch {
        let seen = self.pilothouse.log_intake().sources(&self.edge, &[[0; 16]]).await.unwrap().seen;
        Batch {
            edge: self.edge.clone(),
            change: SourceChange::New(seen),
            key: [0; 16],
            length: 1,
            ..Batch::default()
        }
    }

    /// Records cells: domain, Unix time, bytes, and the position of the city in `cities`.
    pub(crate) async fn record(&self, cells: &[(usize, i64, i64, Option<usize>)], cities: &[City]) {
        let mut batch = Batch { cities: cities.to_vec(), ..self.batch().await };
        for &(domain, time, flux, city) in cells {
            let (domain_id, bucket) = (self.domains[domain], time / 300);
            let figures = Figures { flux, hit_flux: flux / 2, requests: 2, hits: 1, classes: [1, 1, 0, 0] };
            batch.cells.push(Cell { domain_id, bucket, figures });
            batch.city_cells.extend(city.map(|city| BatchCityCell { domain_id, bucket, city, flux }));
        }
        self.pilothouse.log_intake().record(batch).await.unwrap();
    }

    /// The reference to a text that is the whole of a pack.
    pub(crate) fn kept_lines(&self, domain: usize, day: NaiveDate, text: &str) -> KeptLines {
        let (domain_id, length) = (self.domains[domain], text.len().try_into().unwrap());
        KeptLines { domain_id, day, offset: 0, length, lines: 1, raw_length: length, is_open: false }
    }

    pub(crate) async fn chunks(&self, domain: usize, day: NaiveDate) -> Vec<LogChunk> {
        let mut snapshot = self.storage.read().await.unwrap();
        snapshot.log_chunks().of_day(&[self.domains[domain]], day).await.unwrap()
    }

    /// Writes lines of domains and days into a pack, and records them.
    pub(crate) async fn store_lines(&self, pack: &str, lines: &[(usize, NaiveDate, &str)]) {
        let mut batch = Batch { pack: pack.to_owned(), ..self.batch().await };
        let mut content = Vec::new();
        for (domain, day, text) in lines {
            let offset = content.len().try_into().unwrap();
            batch.kept.push(KeptLines { offset, ..self.kept_lines(*domain, *day, text) });
            content.extend_from_slice(text.as_bytes());
        }
        self.archive.write_pack(pack, content);
        self.pilothouse.log_intake().record(batch).await.unwrap();
    }

    pub(crate) async fn maintain(&self) -> Maintained {
        self.pilothouse.maintain().await.unwrap()
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    /// Bytes of each five minutes, over all domains.
    pub(crate) async fn fluxs(&self, start: i64, end: i64) -> Vec<i64> {
        let points = self.pilothouse.traffic().fluxs(&self.caller, &query(start, end)).await.unwrap();
        points.into_iter().map(|point| point.value).collect()
    }

    /// Downloads the log of a domain and day by its link, and compares the size with the announced one.
    pub(crate) async fn download(&self, domain: usize, day: NaiveDate) -> Option<String> {
        self.download_of(&format!("d{domain}.example.com"), day).await
    }

    /// The same by the name of the domain.
    pub(crate) async fn download_of(&self, name: &str, day: NaiveDate) -> Option<String> {
        let downloads = self.pilothouse.log_downloads();
        let listed = downloads.logs(&self.caller, None, name, day..=day).await.unwrap().remove(0);
        let log = downloads.open_log(&listed.link?).await.unwrap();
        let content: Vec<Vec<u8>> = log.content.try_collect().await.unwrap();
        let content = content.concat();
        assert_eq!((listed.size, log.size), (content.len().try_into().unwrap(), listed.size));
        Some(String::from_utf8(content).unwrap())
    }
}

/// A query over every domain of the caller.
pub(crate) fn query(start_time: i64, end_time: i64) -> TrafficQuery {
    TrafficQuery { login_email: None, domains: Vec::new(), start_time, end_time }
}

pub(crate) fn city(geoname_id: i64, name: &str) -> City {
    City { geoname_id, name: name.to_owned(), name_cn: format!("{name}市") }
}
