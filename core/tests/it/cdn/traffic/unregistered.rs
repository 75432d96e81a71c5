//! Kept-aside lines of unregistered hosts: their limits, their age, and their files.

use chrono::NaiveDate;
use pilothouse_core::cdn::{Batch, BatchUnregistered, Cell, DomainId, Figures, KeptLines, LogFile};
use pilothouse_core::ports::Storage;
use pilothouse_core::{ErrorKind, Prunable};

use super::fixture::{DAY, NOW, TrafficFixture};

const GIB: i64 = 1 << 30;

fn day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2016, 10, 1).unwrap()
}

impl TrafficFixture {
    /// Records a line of a host, whose lines have `raw_length` bytes, in a pack of its own.
    async fn keep_aside(&self, host: &str, pack: &str, raw_length: i64) {
        let (offset, length, lines, is_open) = (0, 4, 1, false);
        let domain_id = DomainId::UNSAVED;
        let kept = KeptLines { domain_id, day: day(), offset, length, lines, raw_length, is_open };
        let figures = Figures { flux: 7, requests: 1, ..Figures::default() };
        let cells = vec![Cell { domain_id, bucket: NOW / 300, figures }];
        let lines = BatchUnregistered {
            host: host.into(),
            first: NOW,
            last: NOW,
            kept,
            cells,
            city_cells: Vec::new(),
        };
        let batch = Batch { pack: pack.into(), unregistered: vec![lines], ..self.batch().await };
        self.archive.write_pack(pack, pack.as_bytes().to_vec());
        self.pilothouse.log_intake().record(batch).await.unwrap();
    }

    /// Hosts with their lines and dropped lines.
    async fn unregistered(&self) -> Vec<(String, i64, i64)> {
        let mut snapshot = self.storage.read().await.unwrap();
        let hosts = snapshot.unregistered().hosts(self.edge.cdn_id).await.unwrap();
        hosts.into_iter().map(|host| (host.host, host.lines, host.dropped)).collect()
    }

    async fn has_pack(&self, pack: &str) -> bool {
        let mut snapshot = self.storage.read().await.unwrap();
        let files = snapshot.unregistered().files().await.unwrap();
        files.contains(&LogFile::Pack(pack.to_owned()))
    }
}

fn host(name: &str, lines: i64, dropped: i64) -> (String, i64, i64) {
    (name.to_owned(), lines, dropped)
}

#[tokio::test]
async fn more_than_a_gibibyte_drops_the_oldest() {
    let fixture = TrafficFixture::new(1).await;
    for n in 0..20 {
        fixture.keep_aside("old.example.com", &format!("a{n:03}"), 1).await;
    }
    fixture.keep_aside("new.example.com", "b000", GIB - 20).await;
    assert_eq!(
        fixture.unregistered().await,
        [host("new.example.com", 1, 0), host("old.example.com", 20, 0)],
        "a GiB is allowed"
    );
    fixture.keep_aside("new.example.com", "b001", 1).await;
    assert_eq!(fixture.unregistered().await, [host("new.example.com", 2, 0), host("old.example.com", 4, 16)]);
}

/// Of every kind an eighth may go in a day, so the rows of one day go over days.
#[tokio::test]
async fn lines_are_forgotten_after_seven_days_within_the_pruning_limits() {
    let fixture = TrafficFixture::new(1).await;
    for n in 0..16 {
        fixture.keep_aside("old.example.com", &format!("a{n:03}"), 10).await;
    }
    fixture.advance(7 * DAY - 60);
    fixture.maintain().await;
    assert_eq!(fixture.unregistered().await, [host("old.example.com", 16, 0)]);
    assert!(fixture.has_pack("a000").await, "its pack is older than files without rows may be");
    let files = fixture.archive.file_names();
    assert_eq!(files.len(), 16, "packs of kept-aside lines stay: {files:?}");
    fixture.advance(120);
    fixture.maintain().await;
    assert_eq!(fixture.unregistered().await, [host("old.example.com", 14, 0)]);
    fixture.maintain().await;
    assert_eq!(fixture.unregistered().await, [host("old.example.com", 14, 0)], "an eighth in a day");
    let mut work = fixture.storage.begin().await.unwrap();
    assert_eq!(work.pruning().count(Prunable::UnregisteredLines).await.unwrap(), 14);
}

#[tokio::test]
async fn what_cannot_be_a_domain_is_refused() {
    let fixture = TrafficFixture::new(1).await;
    let kept = fixture.kept_lines(0, day(), "line");
    let lines = |host: &str, bucket| BatchUnregistered {
        host: host.into(),
        first: NOW,
        last: NOW,
        kept: kept.clone(),
        cells: vec![Cell { bucket, ..Cell::default() }],
        city_cells: Vec::new(),
    };
    for (unregistered, field) in
        [(lines("192.0.2.1", NOW / 300), "unregistered"), (lines("x.example.com", -1), "bucket")]
    {
        let batch = Batch { pack: "p".into(), unregistered: vec![unregistered], ..fixture.batch().await };
        let refused = fixture.pilothouse.log_intake().record(batch).await.unwrap_err();
        assert!(refused.to_string().starts_with(field), "{refused}");
        assert_eq!(refused.kind(), ErrorKind::Invalid);
    }
    let refused = fixture.pilothouse.log_intake().unregistered(&fixture.caller, None).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden, "a customer");
}
