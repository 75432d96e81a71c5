//! API with traffic: customers, their domains, and what edges recorded of them.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use pilothouse_core::cdn::{
    Batch, BatchCityCell, Cell, City, Counters, Domain, DomainId, Figures, KeptLines, LogChunk, LogFile,
    SourceChange,
};
use pilothouse_core::ports::{LogArchive, SealedLog};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_http_axum::HttpSettings;
use pilothouse_storage_memory::MemoryStorage;
use serde_json::json;

use crate::api::{Api, PASSWORD};

/// A log archive whose chunks consist of the name of their pack, repeated to their length.
#[derive(Debug)]
struct RepeatingArchive;

#[async_trait::async_trait]
impl LogArchive for RepeatingArchive {
    async fn seal(&self, _: &str, _: NaiveDate, _: &[LogChunk]) -> io::Result<SealedLog> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn read(&self, chunks: Vec<LogChunk>) -> io::Result<BoxStream<'static, io::Result<Vec<u8>>>> {
        if chunks.iter().any(|chunk| chunk.file == LogFile::Pack("lost".to_owned())) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let bytes = |chunk: LogChunk| match chunk.file {
            LogFile::Pack(name) => Ok(name.repeat(usize::try_from(chunk.length).unwrap()).into_bytes()),
            LogFile::Sealed(_) => Err(io::ErrorKind::NotFound.into()),
        };
        Ok(stream::iter(chunks).map(bytes).boxed())
    }

    async fn delete(&self, _: &str, _: NaiveDate) -> io::Result<()> {
        Ok(())
    }

    async fn prune(
        &self,
        _: HashSet<LogFile>,
        _: DateTime<Utc>,
        _: Option<DateTime<Utc>>,
    ) -> io::Result<u64> {
        Ok(0)
    }
}

/// An API with `level3` and `qcloud`, the customers `user` and `other`, and the domains of the documented examples.
pub(crate) struct TrafficApi {
    pub(crate) api: Api,
    pub(crate) user: String,
    pub(crate) other: String,
    pub(crate) domains: Vec<Domain>,
}

impl TrafficApi {
    pub(crate) async fn new() -> Self {
        Self::with(true).await
    }

    pub(crate) async fn with(geo_city_database: bool) -> Self {
        let settings = Settings::default()
            .with_cdns(["level3", "qcloud"])
            .with_geo_city_database(geo_city_database)
            .with_log_days(100_000);
        let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new().strict()), settings).unwrap();
        let pilothouse = pilothouse.with_log_archive(Arc::new(RepeatingArchive));
        let http = HttpSettings::default().with_public_url(Some("https://api.infquick.com/".to_owned()));
        let api = Api::over(pilothouse, http).await;
        api.pilothouse.cdns().ensure_configured().await.unwrap();
        let (user, other) = (api.account("user", "").await, api.account("other", "").await);
        let root = api.login("root").await;
        for name in ["user", "other"] {
            let body = json!({"login_email": format!("{name}@example.com"), "password": PASSWORD});
            assert_eq!(api.post(&root, "/level3/user", body).await.ok()["err"], 0);
        }
        for (name, cdn, domains) in [
            ("user", "level3", json!(["cdn.exrqs.com", "cdn.exrqs1.com"])),
            ("user", "qcloud", json!("cdn.exrqs.com")),
            ("other", "level3", json!("other.com")),
        ] {
            let body = json!({"login_email": format!("{name}@example.com"), "cdn": cdn, "domains": domains});
            assert_eq!(api.post(&root, "/level3/user_domains", body).await.ok()["err"], 0);
        }
        let (intake, mut domains) = (api.pilothouse.log_intake(), Vec::new());
        for cdn in ["level3", "qcloud"] {
            let edge = intake.edge(cdn, "edge-1").await.unwrap();
            domains.extend(intake.hosts(edge.cdn_id).await.unwrap().domains);
        }
        Self { api, user, other, domains }
    }

    pub(crate) fn domain(&self, name: &str) -> DomainId {
        self.domains.iter().find(|domain| domain.name == name).unwrap().id
    }

    /// Records cells (domain, Unix time, bytes, city) and stored lines (domain, day, bytes) of a pack.
    pub(crate) async fn record(
        &self,
        cells: &[(DomainId, i64, i64, Option<&City>)],
        kept: &[(DomainId, NaiveDate, i64)],
        pack: &str,
    ) {
        let intake = self.api.pilothouse.log_intake();
        let edge = intake.edge("level3", "edge-1").await.unwrap();
        let seen = intake.sources(&edge, &[[0; 16]]).await.unwrap().seen;
        let mut batch = Batch {
            edge,
            change: SourceChange::New(seen),
            key: [0; 16],
            length: 1,
            state: Vec::new(),
            counters: Counters::default(),
            cells: Vec::new(),
            cities: Vec::new(),
            city_cells: Vec::new(),
            pack: pack.to_owned(),
            kept: Vec::new(),
            ..Batch::default()
        };
        for &(domain_id, time, flux, city) in cells {
            let figures = Figures { flux, hit_flux: flux, requests: 1, hits: 1, classes: [1, 0, 0, 0] };
            batch.cells.push(Cell { domain_id, bucket: time / 300, figures });
            if let Some(city) = city {
                let city_cell =
                    BatchCityCell { domain_id, bucket: time / 300, city: batch.cities.len(), flux };
                batch.cities.push(city.clone());
                batch.city_cells.push(city_cell);
            }
        }
        for &(domain_id, day, length) in kept {
            batch.kept.push(KeptLines {
                domain_id,
                day,
                offset: 0,
                length,
                lines: 1,
                raw_length: length,
                is_open: false,
            });
        }
        intake.record(batch).await.unwrap();
    }
}
