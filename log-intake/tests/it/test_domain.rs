//! Domain over the memory store, with a cdn, a customer and two domains.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use futures_util::TryStreamExt;
use pilothouse_conformance::doubles::FaultyStorage;
use pilothouse_core::account::{Caller, Groups, Scope};
use pilothouse_core::cdn::{LogShipper, NewCustomer, TrafficQuery};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_log_intake::{
    CityDatabase, FolderArchive, Format, IngestFileError, IngestSummary, LogLayout, LogPipeline,
};
use pilothouse_storage_memory::MemoryStorage;
use tempfile::TempDir;

/// Unix seconds of 2026-11-21 12:32 in Shanghai.
pub(crate) const TIME: i64 = 1_795_235_520;

/// Domain with a cdn, a customer and two domains.
pub(crate) struct TestDomain {
    pub(crate) directory: TempDir,
    pub(crate) archive: FolderArchive,
    pub(crate) pilothouse: Pilothouse,
    pub(crate) caller: Caller,
    /// The store, which can be made to fail.
    pub(crate) storage: Arc<FaultyStorage>,
}

impl TestDomain {
    pub(crate) async fn new() -> Self {
        Self::with(Vec::new()).await
    }

    /// Domain with edges that may ship their logs.
    pub(crate) async fn with(log_shippers: Vec<LogShipper>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let archive = FolderArchive::open(&directory.path().join("logs")).unwrap();
        let settings = Settings::default()
            .with_cdns(["level3"])
            .with_geo_city_database(true)
            .with_log_days(36_500)
            .with_log_shippers(log_shippers);
        let storage = FaultyStorage::new(Arc::new(MemoryStorage::new().strict()));
        let pilothouse =
            Pilothouse::new(storage.clone(), settings).unwrap().with_log_archive(Arc::new(archive.clone()));
        pilothouse.cdns().ensure_configured().await.unwrap();
        let mail = "root@example.com".to_owned();
        let (name, password) = ("root".to_owned(), "correct horse battery".to_owned());
        let id = pilothouse.accounts().create_superuser(&name, &mail, &password).await.unwrap();
        let (groups, scope) = (Groups::all(), Scope::Account);
        let caller =
            Caller { id, name, mail: mail.clone(), groups, scope, limits: None, token: None, address: None };
        let new = NewCustomer { login_email: mail.clone(), password, operations: true };
        pilothouse.customers().create(&caller, new).await.unwrap();
        let domains = ["a.example.com".to_owned(), "b.example.com".to_owned()];
        pilothouse.domains().add(&caller, &mail, "level3", &domains).await.unwrap();
        Self { directory, archive, pilothouse, caller, storage }
    }

    pub(crate) fn pipeline(&self) -> LogPipeline {
        let database = concat!(env!("CARGO_MANIFEST_DIR"), "/../access-log/tests/data/GeoIP2-City-Test.mmdb");
        let cities = Arc::new(CityDatabase::open(Path::new(database)).unwrap());
        LogPipeline::new(self.pilothouse.clone(), self.archive.clone()).cities(cities)
    }

    pub(crate) async fn ingest(&self, name: &str, content: &[u8]) -> Result<IngestSummary, IngestFileError> {
        let file = self.directory.path().join(name);
        fs::write(&file, content).unwrap();
        let layout = LogLayout::new(Format::Tsv);
        self.pipeline().edge("level3", "edge-1", layout).await.unwrap().file(&file).await
    }

    pub(crate) fn query() -> TrafficQuery {
        TrafficQuery {
            login_email: None,
            domains: vec!["a.example.com".to_owned()],
            start_time: TIME,
            end_time: TIME + 300,
        }
    }

    pub(crate) async fn flux(&self) -> i64 {
        self.flux_of("a.example.com").await
    }

    /// Bytes of a domain in the two buckets of [`Self::query`].
    pub(crate) async fn flux_of(&self, domain: &str) -> i64 {
        let traffic = self.pilothouse.traffic();
        let query = TrafficQuery { domains: vec![domain.to_owned()], ..Self::query() };
        let points = traffic.fluxs(&self.caller, &query).await.unwrap();
        points.into_iter().map(|point| point.value).sum()
    }

    /// Downloads the log of the day by its link, and decompresses it.
    pub(crate) async fn log(&self) -> String {
        self.log_of("a.example.com").await
    }

    /// Downloads the log of a domain's day.
    pub(crate) async fn log_of(&self, domain: &str) -> String {
        let downloads = self.pilothouse.log_downloads();
        let day = "2026-11-21".parse().unwrap();
        let days = downloads.logs(&self.caller, None, domain, day..=day).await.unwrap();
        let log = downloads.open_log(days[0].link.as_ref().unwrap()).await.unwrap();
        let parts: Vec<Vec<u8>> = log.content.try_collect().await.unwrap();
        let packed = parts.concat();
        assert_eq!(i64::try_from(packed.len()).unwrap(), days[0].size);
        std::io::read_to_string(MultiGzDecoder::new(&packed[..])).unwrap()
    }
}

pub(crate) fn line(host: &str, bytes: i64, address: &str) -> String {
    format!("{TIME}.037\t{host}\t200\t{bytes}\t{address}\tHIT\t0.000\tGET\t/b/{bytes}\n")
}
