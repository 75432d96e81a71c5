//! Alarms of shipped logs: an edge that ships no more, pieces that are refused, bytes given up, and lines that cannot be read.

use std::sync::Arc;

use chrono::TimeDelta;
use pilothouse_conformance::doubles::ScriptedProvider;
use pilothouse_core::cdn::{
    AlarmFilter, AlarmKind, AlarmWorker, Batch, Counters, LogHosts, LogKind, LogOverview, LogShipper,
};
use pilothouse_core::ports::{KeptPiece, LogContent, LogReader};
use pilothouse_core::{Error, Page, Pilothouse, Result};

use super::CdnFixture;
use crate::webhook::{events, subscribed};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Reader that bills each line but those that begin with `?`, which it cannot read.
#[derive(Debug)]
struct QuestionReader;

#[async_trait::async_trait]
impl LogReader for QuestionReader {
    async fn read(&self, _: &str, batch: Batch, _: &LogHosts, lines: Vec<u8>) -> Result<Batch> {
        let (mut counters, mut last_line) = (Counters::default(), None);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            counters.lines += 1;
            if line.starts_with(b"?") {
                counters.unreadable += 1;
            } else {
                counters.billed += 1;
                last_line = Some(1_470_297_000 + counters.lines);
            }
        }
        Ok(Batch { counters, last_line, ..batch })
    }

    async fn keep(&self, _: LogContent) -> Result<Vec<KeptPiece>> {
        panic!("no vendor has logs here");
    }
}

struct ShippingFixture {
    cdn: CdnFixture,
    pilothouse: Pilothouse,
    worker: AlarmWorker,
    /// Offset of what is shipped next.
    offset: i64,
}

impl ShippingFixture {
    async fn new() -> Self {
        let shipper = LogShipper {
            cdn: "level3".to_owned(),
            edge: "edge-1".to_owned(),
            key: KEY.to_owned(),
            is_followed: false,
        };
        let settings = subscribed().with_log_shippers(vec![shipper]);
        let cdn = CdnFixture::with_settings(ScriptedProvider::new(&["edge-1"]), settings).await;
        let pilothouse = cdn.pilothouse.clone().with_log_reader(Arc::new(QuestionReader));
        let worker = AlarmWorker::new(pilothouse.clone());
        Self { cdn, pilothouse, worker, offset: 0 }
    }

    async fn try_ship(&self, offset: i64, text: &str) -> Result<i64> {
        self.pilothouse.log_intake().ship("level3", "edge-1", Some(KEY), offset, text.as_bytes()).await
    }

    async fn ship(&mut self, text: &str) {
        self.offset = self.try_ship(self.offset, text).await.unwrap();
    }

    async fn advance(&self, seconds: i64) {
        self.cdn.clock.advance(TimeDelta::seconds(seconds));
        self.worker.turn().await.unwrap();
    }

    /// Kind and reason of the open alarms.
    async fn open(&self) -> Vec<(AlarmKind, String)> {
        let mut snapshot = self.cdn.storage.read().await.unwrap();
        let filter = AlarmFilter { is_open: Some(true), ..AlarmFilter::default() };
        let rows = snapshot.alarms().list(&filter, Page::at(0, 1000)).await.unwrap();
        rows.into_iter().map(|row| (row.alarm.kind, row.alarm.reason)).collect()
    }

    async fn log(&self) -> LogOverview {
        let logs = self.pilothouse.log_intake().logs(&self.cdn.operator, Some("level3")).await.unwrap();
        <[LogOverview; 1]>::try_from(logs).unwrap()[0].clone()
    }
}

#[tokio::test]
async fn an_edge_that_ships_no_more_is_silent_until_it_is_heard() {
    let mut fixture = ShippingFixture::new().await;
    fixture.advance(3600).await;
    assert_eq!(fixture.open().await, [], "it never shipped anything");
    fixture.ship("one\n").await;
    fixture.advance(899).await;
    assert_eq!(fixture.open().await, []);
    fixture.advance(1).await;
    let silent = (AlarmKind::SilentEdge, "its log is not shipped any more".to_owned());
    assert_eq!(fixture.open().await, [silent]);
    assert_eq!(fixture.try_ship(0, "").await.unwrap(), 4, "it has nothing new, and is there");
    fixture.advance(5).await;
    assert_eq!(fixture.open().await, []);
    for _ in 0..30 {
        fixture.advance(60).await;
        fixture.try_ship(0, "").await.unwrap();
    }
    assert_eq!(fixture.open().await, []);
    let told: Vec<_> = events(&*fixture.cdn.storage).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(told, ["alarm.begun", "alarm.ended"]);
}

#[tokio::test]
async fn a_hole_of_a_shipped_log_is_a_gap_until_it_is_filled_or_for_a_day() {
    let mut fixture = ShippingFixture::new().await;
    fixture.ship("one\n").await;
    for _ in 0..2 {
        assert!(matches!(fixture.try_ship(100, "two\n").await, Err(Error::Conflict(_))));
        fixture.advance(30).await;
    }
    let gap = |reason: &str| [(AlarmKind::LogGap, reason.to_owned())];
    let hole = "offset: 4 is wanted next, not 100";
    assert_eq!(fixture.open().await, gap(hole));
    assert_eq!(fixture.log().await.log.refusal.unwrap().reason, hole);
    fixture.ship("what was lost\n").await;
    fixture.advance(5).await;
    assert_eq!(fixture.open().await, [], "it was found again");

    assert!(fixture.try_ship(100, "two\n").await.is_err());
    fixture.advance(5).await;
    assert_eq!(fixture.open().await, [], "it may be about to ship what is missing");
    let intake = fixture.pilothouse.log_intake();
    let next = intake.skip(&fixture.cdn.operator, "level3", "edge-1", fixture.offset, 100).await.unwrap();
    fixture.offset = next;
    fixture.ship("two\n").await;
    fixture.advance(5).await;
    let given_up = "the bytes from 18 to before 100 of the shipped log were given up";
    assert_eq!(fixture.open().await, gap(given_up));
    let log = fixture.log().await;
    assert_eq!((log.offset, log.skipped, log.log.refusal), (Some(104), 82, None));
    assert_eq!(log.gap.unwrap().reason, given_up);
    // In steps in which it is heard.
    for _ in 0..144 {
        fixture.try_ship(0, "").await.unwrap();
        fixture.advance(600).await;
    }
    assert_eq!(fixture.open().await, []);
}

#[tokio::test]
async fn a_shipped_log_of_which_a_tenth_cannot_be_read_is_an_alarm_until_it_can() {
    let mut fixture = ShippingFixture::new().await;
    fixture.ship(&"fine\n".repeat(900)).await;
    fixture.advance(61).await;
    fixture.ship(&"?\n".repeat(100)).await;
    fixture.advance(5).await;
    let open = [(AlarmKind::UnreadableLog, "10 % of 1000 lines cannot be read".to_owned())];
    assert_eq!(fixture.open().await, open);
    fixture.advance(600).await;
    assert_eq!(fixture.open().await, open, "nothing says that it can");
    fixture.ship(&"fine\n".repeat(99)).await;
    fixture.advance(61).await;
    assert_eq!(fixture.open().await, open, "that are too few lines");
    fixture.ship("fine\n").await;
    fixture.advance(5).await;
    assert_eq!(fixture.open().await, []);
    let LogOverview { cdn, log, .. } = fixture.log().await;
    let counters = Counters { lines: 1100, billed: 1000, unreadable: 100, ..Counters::default() };
    assert_eq!((&*cdn, &*log.edge, log.kind, log.counters), ("level3", "edge-1", LogKind::Shipped, counters));
    assert_eq!((log.bytes, log.last_line), (fixture.offset, Some(1_470_297_001)));
    let refused = fixture.pilothouse.log_intake().logs(&fixture.cdn.user, None).await;
    assert!(matches!(refused, Err(Error::Forbidden)));
}
