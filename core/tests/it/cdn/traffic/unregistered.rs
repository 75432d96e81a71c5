//! Kept-aside lines of unregistered hosts: their limits, their age, and their files.

use chrono::NaiveDate;
use pilothouse_core::account::{Caller, Groups, Scope};
use pilothouse_core::cdn::{
    Batch, BatchUnregistered, Cell, DomainId, Figures, KeptLines, LogFile, TrafficQuery,
};
use pilothouse_core::ports::Storage;
use pilothouse_core::{ErrorKind, Prunable};

use super::fixture::{DAY, NOW, TrafficFixture, query};

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

    /// Gives the customer a domain.
    async fn register(&self, name: &str) {
        let operator = Caller { groups: Groups::all(), scope: Scope::Account, ..self.caller.clone() };
        let domains = self.pilothouse.domains();
        domains.add(&operator, &self.caller.mail, "level3", &[name.to_owned()]).await.unwrap();
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

/// Two hosts that are asked for in every batch of a followed log, for seven days: their rows are merged, and nothing is dropped.
#[tokio::test]
async fn busy_hosts_are_kept_for_seven_days_in_few_rows() {
    const BATCHES: i64 = 7 * 72;
    const LINES: i64 = 40;
    const STEP: i64 = 1200;
    let fixture = TrafficFixture::new(1).await;
    let (mut expected, mut flux) = (String::new(), 0);
    for batch in 0..BATCHES {
        let now = NOW + batch * STEP;
        let day = chrono::DateTime::from_timestamp(now + 8 * 3600, 0).unwrap().date_naive();
        let (mut content, mut unregistered) = (Vec::new(), Vec::new());
        for n in 0..LINES {
            for host in ["busy.example.com", "other.example.com"] {
                let text = format!("{host} {batch} {n}\n");
                let length = i64::try_from(text.len()).unwrap();
                let offset = i64::try_from(content.len()).unwrap();
                content.extend_from_slice(text.as_bytes());
                let (domain_id, is_open) = (DomainId::UNSAVED, false);
                let kept =
                    KeptLines { domain_id, day, offset, length, lines: 1, raw_length: length, is_open };
                let figures = Figures { flux: n, requests: 1, ..Figures::default() };
                let cells = vec![Cell { domain_id, bucket: now / 300, figures }];
                let (first, last) = (now + n, now + n);
                unregistered.push(BatchUnregistered {
                    host: host.into(),
                    first,
                    last,
                    kept,
                    cells,
                    city_cells: Vec::new(),
                });
                if host == "busy.example.com" {
                    expected += &text;
                    flux += n;
                }
            }
        }
        let pack = format!("p{batch}");
        fixture.archive.write_pack(&pack, content);
        let batch = Batch { pack, unregistered, ..fixture.batch().await };
        fixture.pilothouse.log_intake().record(batch).await.unwrap();
        fixture.maintain().await;
        fixture.advance(STEP);
    }
    let lines = BATCHES * LINES;
    let hosts = fixture.unregistered().await;
    assert_eq!(hosts, [host("busy.example.com", lines, 0), host("other.example.com", lines, 0)]);
    let mut snapshot = fixture.storage.read().await.unwrap();
    let rows = snapshot.unregistered().usage(fixture.edge.cdn_id).await.unwrap().rows;
    drop(snapshot);
    // Of a host and day fewer than 32 rows of each kind.
    assert!(rows <= 2 * 8 * 2 * 31, "{rows} rows of {} lines", 2 * lines);

    fixture.register("busy.example.com").await;
    let mut stored = String::new();
    for n in 0..8 {
        let day = day() + chrono::Days::new(n);
        stored += &fixture.download_of("busy.example.com", day).await.unwrap_or_default();
    }
    assert!(stored == expected, "{} of {} bytes, or in another order", stored.len(), expected.len());
    let asked =
        TrafficQuery { domains: vec!["busy.example.com".to_owned()], ..query(NOW, NOW + BATCHES * STEP) };
    let fluxs = fixture.pilothouse.traffic().fluxs(&fixture.caller, &asked).await.unwrap();
    assert_eq!(fluxs.iter().map(|point| point.value).sum::<i64>(), flux);
    assert_eq!(fixture.unregistered().await, [host("other.example.com", lines, 0)]);
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
