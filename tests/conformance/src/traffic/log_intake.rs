//! Log intake: batches recorded once and as a whole, also while days are sealed.

use pilothouse_core::cdn::DomainId;
use pilothouse_core::cdn::LogSourceId;
use std::sync::Arc;

use pilothouse_core::account::{Caller, Groups};
use pilothouse_core::cdn::{
    Batch, BatchCityCell, BatchUnregistered, BlockKind, Counters, Day, EdgeRef, KeptLines, SourceChange,
    TrafficQuery,
};
use pilothouse_core::ports::Storage;
use pilothouse_core::{ErrorKind, Pilothouse, Settings};

use super::city::city;
use super::log_chunk::day;
use super::series::cell;
use crate::Fixture;
use crate::race::{ROUNDS, both, race};

/// A bucket on 2016-08-04, and the day it is in.
const BUCKET: i64 = 1_470_297_000 / 300;

const DAY: Day = Day(BUCKET / 288);

/// One edge of a cdn, and a customer with one domain there.
struct Intake {
    pilothouse: Pilothouse,
    edge: EdgeRef,
    caller: Caller,
    domain_id: DomainId,
}

impl Intake {
    /// With settings that keep traffic for centuries, because the batches are of 2016.
    async fn new(storage: &Arc<dyn Storage>) -> Self {
        let settings = Settings::default().with_traffic_days(100_000).with_city_days(100_000);
        let fixture = Fixture::builder(storage.clone()).settings(settings).build();
        let caller = fixture.customer("user", "level3", &["cdn.exrqs.com"]).await;
        let edge = fixture.pilothouse.log_intake().edge("level3", "edge-1").await.unwrap();
        let domains = fixture.pilothouse.log_intake().hosts(edge.cdn_id).await.unwrap().domains;
        let domain_id = domains[0].id;
        Self { pilothouse: fixture.pilothouse, edge, caller, domain_id }
    }

    /// A batch of one cell, one city and one chunk.
    fn batch(&self, change: SourceChange, length: i64, flux: i64) -> Batch {
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
            city_cells: vec![BatchCityCell { domain_id, bucket: BUCKET, city: 0, flux }],
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
            ..Batch::default()
        }
    }

    /// The change of a log that was never read.
    async fn new_log(&self) -> SourceChange {
        SourceChange::New(self.pilothouse.log_intake().sources(&self.edge, &[[1; 16]]).await.unwrap().seen)
    }

    /// The bytes of the domain's one bucket.
    async fn flux(&self) -> i64 {
        let (start_time, end_time) = (BUCKET * 300, BUCKET * 300 + 299);
        let query = TrafficQuery { login_email: None, domains: Vec::new(), start_time, end_time };
        let points = self.pilothouse.traffic().fluxs(&self.caller, &query).await.unwrap();
        assert_eq!(points.len(), 1);
        points[0].value
    }
}

/// A batch that is refused leaves nothing; one that is taken leaves all of it.
pub(crate) async fn record_is_all_or_nothing(storage: Arc<dyn Storage>) {
    let intake = Intake::new(&storage).await;
    let traffic = intake.pilothouse.log_intake();
    let new = intake.new_log().await;
    let mut wrong = intake.batch(new.clone(), 10, 5);
    wrong.city_cells[0].city = 1;
    assert_eq!(traffic.record(wrong).await.unwrap_err().kind(), ErrorKind::Invalid);
    let stale = intake.batch(SourceChange::Continued(LogSourceId(77), 1), 10, 5);
    assert_eq!(traffic.record(stale).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(intake.flux().await, 0);
    let mut snapshot = storage.read().await.unwrap();
    assert_eq!(snapshot.log_sources().newest(intake.edge.cdn_id, "edge-1").await.unwrap(), None);
    assert_eq!(snapshot.log_chunks().files().await.unwrap(), []);
    drop(snapshot);

    let id = traffic.record(intake.batch(new.clone(), 10, 5)).await.unwrap();
    let grown = Batch {
        withdrawn: Some(("pack".into(), 10)),
        ..intake.batch(SourceChange::Continued(id, 10), 30, 6)
    };
    assert_eq!(traffic.record(grown.clone()).await.unwrap(), id);
    assert_eq!(traffic.record(grown).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(traffic.record(intake.batch(new, 10, 5)).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(intake.flux().await, 11);
    let mut snapshot = storage.read().await.unwrap();
    let source = snapshot.log_sources().by_id(id).await.unwrap().unwrap();
    assert_eq!((source.length, source.counters.lines), (30, 2));
    let chunks = snapshot.log_chunks().of_day(&[intake.domain_id], day(0)).await.unwrap();
    assert_eq!(chunks.iter().map(|chunk| chunk.offset).collect::<Vec<_>>(), [30]);
    let cells = snapshot.cities().open(&[intake.domain_id], BUCKET..=BUCKET).await.unwrap();
    assert_eq!(cells.iter().map(|cell| cell.flux).sum::<i64>(), 11);
}

/// A host that is registered while its lines are recorded: each line is counted once, wherever the registration falls, and
/// nothing is kept aside afterwards.
pub(crate) async fn unregistered_hosts_race_with_their_registration(storage: Arc<dyn Storage>) {
    let settings = Settings::default().with_traffic_days(100_000).with_city_days(100_000);
    let fixture = Fixture::builder(storage.clone()).settings(settings).build();
    let mail = fixture.customer("user", "level3", &["cdn.exrqs.com"]).await.mail;
    let root = fixture.account("root", Groups::all()).await;
    let pilothouse = fixture.pilothouse;
    for round in 0..ROUNDS {
        let host = format!("late{round}.exrqs.com");
        let edge = pilothouse.log_intake().edge("level3", &format!("edge-{round}")).await.unwrap();
        let seen = pilothouse.log_intake().sources(&edge, &[[1; 16]]).await.unwrap().seen;
        let first = batch_of_unregistered(&edge, SourceChange::New(seen), &host, 1);
        let id = pilothouse.log_intake().record(first).await.unwrap();
        let second = batch_of_unregistered(&edge, SourceChange::Continued(id, 1), &host, 2);
        let (recording, registering) = (pilothouse.clone(), pilothouse.clone());
        let (root, mail) = (root.clone(), mail.clone());
        let names = [host.clone()];
        let (recorded, registered) =
            both(async move { recording.log_intake().record(second).await }, async move {
                registering.domains().add(&root, &mail, "level3", &names).await
            })
            .await;
        recorded.unwrap();
        registered.unwrap();
        let mut snapshot = storage.read().await.unwrap();
        assert_eq!(snapshot.unregistered().hosts(edge.cdn_id).await.unwrap(), []);
        let domain = snapshot.domains().find(edge.cdn_id, &host).await.unwrap().unwrap();
        let cells = snapshot.traffic().open(&[domain.id], BUCKET..=BUCKET).await.unwrap();
        let figures: Vec<_> = cells.iter().map(|cell| (cell.figures.flux, cell.figures.requests)).collect();
        assert_eq!(figures, [(10, 14)], "two batches");
        let cities = snapshot.cities().open(&[domain.id], BUCKET..=BUCKET).await.unwrap();
        assert_eq!(cities.iter().map(|cell| cell.flux).collect::<Vec<_>>(), [10]);
        let chunks = snapshot.log_chunks().of_day(&[domain.id], day(0)).await.unwrap();
        assert_eq!(chunks.iter().map(|chunk| chunk.offset).collect::<Vec<_>>(), [1, 2]);
    }
}

fn batch_of_unregistered(edge: &EdgeRef, change: SourceChange, host: &str, length: i64) -> Batch {
    let domain_id = DomainId::UNSAVED;
    let (offset, lines, raw_length, is_open) = (length, 1, 200, false);
    let kept = KeptLines { domain_id, day: day(0), offset, length: 100, lines, raw_length, is_open };
    Batch {
        edge: edge.clone(),
        change,
        key: [1; 16],
        length,
        cities: vec![city(1, "Miami")],
        pack: format!("pack-{host}"),
        unregistered: vec![BatchUnregistered {
            host: host.to_owned(),
            first: BUCKET * 300,
            last: BUCKET * 300 + 9,
            kept,
            cells: vec![cell(domain_id, BUCKET, 5)],
            city_cells: vec![BatchCityCell { domain_id, bucket: BUCKET, city: 0, flux: 5 }],
        }],
        ..Batch::default()
    }
}

async fn race_of_records(intake: Intake, storage: &Arc<dyn Storage>, change: SourceChange, before: i64) {
    let intake = Arc::new(intake);
    let racing = intake.clone();
    let won = race(storage, move |_, n| {
        let (intake, change) = (racing.clone(), change.clone());
        async move {
            let recorded = intake.pilothouse.log_intake().record(intake.batch(change, 20 + n, 5)).await;
            recorded.map_err(|error| assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}")).is_ok()
        }
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    assert_eq!(intake.flux().await, before + 5);
}

/// Of many that read one new log at once, one records it.
pub(crate) async fn record_race_for_a_new_log(storage: Arc<dyn Storage>) {
    let intake = Intake::new(&storage).await;
    let change = intake.new_log().await;
    race_of_records(intake, &storage, change, 0).await;
}

/// Of many that read what one log has grown by at once, one records it.
pub(crate) async fn record_race_for_a_grown_log(storage: Arc<dyn Storage>) {
    let intake = Intake::new(&storage).await;
    let new = intake.batch(intake.new_log().await, 10, 7);
    let id = intake.pilothouse.log_intake().record(new).await.unwrap();
    race_of_records(intake, &storage, SourceChange::Continued(id, 10), 7).await;
}

/// Batches recorded while the day is sealed by several at once are all in the end, once.
pub(crate) async fn sealing_loses_nothing(storage: Arc<dyn Storage>) {
    let intake = Arc::new(Intake::new(&storage).await);
    let racing = intake.clone();
    race(&storage, move |_, n| {
        let intake = racing.clone();
        async move {
            if n % 4 == 0 {
                for _ in 0..4 {
                    intake.pilothouse.maintain().await.unwrap();
                }
                return;
            }
            let edge = EdgeRef { edge: format!("edge-{n}"), ..intake.edge.clone() };
            let seen = intake.pilothouse.log_intake().sources(&edge, &[[1; 16]]).await.unwrap().seen;
            let mut change = SourceChange::New(seen);
            for length in 1..=5 {
                let batch = Batch { edge: edge.clone(), ..intake.batch(change, length, 100) };
                let id = intake.pilothouse.log_intake().record(batch).await.unwrap();
                change = SourceChange::Continued(id, length);
            }
        }
    })
    .await;
    assert_eq!(intake.flux().await, 12 * 5 * 100);
    intake.pilothouse.maintain().await.unwrap();
    assert_eq!(intake.flux().await, 12 * 5 * 100);
    let mut snapshot = storage.read().await.unwrap();
    assert_eq!(snapshot.traffic().open(&[intake.domain_id], 0..=i64::MAX).await.unwrap(), []);
    for part in [BlockKind::Flux, BlockKind::Counts, BlockKind::Cities] {
        let blocks = snapshot.traffic().blocks(part, &[intake.domain_id], DAY..=DAY).await.unwrap();
        assert_eq!(blocks.len(), 1, "{part:?}");
    }
}
