//! Lines of times at which others held their domain, however long ago that was.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use pilothouse_core::cdn::{LogShipper, Tenure, TrafficQuery};
use pilothouse_core::ports::Storage;
use pilothouse_log_intake::{FollowedLog, Format, IntakeSettings, LogLayout, ShippedLogReader};
use tokio_util::sync::CancellationToken;

use crate::test_domain::TestDomain;

const DAY: i64 = 86_400;
const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Domain whose `a.example.com` was another's until 40 days ago, and one's until 20 days ago whose figures `b.example.com` shows.
struct HandedOver {
    domain: TestDomain,
    now: i64,
}

impl HandedOver {
    async fn new() -> Self {
        let (cdn, edge, key) = ("level3".to_owned(), "edge-1".to_owned(), KEY.to_owned());
        let mut domain = TestDomain::with(vec![LogShipper { cdn, edge, key, is_followed: false }]).await;
        let reader = ShippedLogReader::new(domain.archive.clone(), domain.pilothouse.settings().timezone);
        let reader = reader.edge("level3", "edge-1", LogLayout::new(Format::Tsv));
        domain.pilothouse = domain.pilothouse.clone().with_log_reader(Arc::new(reader));
        let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        let intake = domain.pilothouse.log_intake();
        let cdn_id = intake.edge("level3", "edge-1").await.unwrap().cdn_id;
        let held = intake.hosts(cdn_id).await.unwrap().domains;
        let (domain_id, account_id) = (held[1].id, domain.caller.id);
        let mut work = domain.storage.begin().await.unwrap();
        for (since, until) in [(0, now - 40 * DAY), (now - 40 * DAY, now - 20 * DAY)] {
            let name = "a.example.com".to_owned();
            work.tenures()
                .insert(&Tenure { domain_id, account_id, cdn_id, name, since, until })
                .await
                .unwrap();
        }
        work.commit().await.unwrap();
        assert_eq!(intake.recent_hosts(cdn_id).await.unwrap().former, []);
        Self { domain, now }
    }

    /// A line of an hour ago, and one of the former owner, of 30 days ago.
    fn lines(&self) -> String {
        let line = |time: i64, bytes: u32| {
            format!("{time}.000\ta.example.com\t200\t{bytes}\t127.0.0.1\tHIT\t0.000\tGET\t/\n")
        };
        line(self.now - 3600, 7) + &line(self.now - 30 * DAY, 50) + &line(self.now - 3600, 20)
    }

    /// Bytes of a domain in the bucket of a time.
    async fn flux(&self, name: &str, time: i64) -> i64 {
        let query = TrafficQuery {
            domains: vec![name.to_owned()],
            start_time: time,
            end_time: time,
            ..TestDomain::query()
        };
        let points = self.domain.pilothouse.traffic().fluxs(&self.domain.caller, &query).await.unwrap();
        points.into_iter().map(|point| point.value).sum()
    }

    async fn check(&self) {
        let (recent, old) = (self.now - 3600, self.now - 30 * DAY);
        assert_eq!(
            (self.flux("a.example.com", recent).await, self.flux("a.example.com", old).await),
            (27, 0)
        );
        assert_eq!(
            (self.flux("b.example.com", recent).await, self.flux("b.example.com", old).await),
            (0, 50)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_lines_of_a_followed_log_are_the_former_owners() {
    let handed_over = HandedOver::new().await;
    let path = handed_over.domain.directory.path().join("edge.tsv");
    fs::write(&path, handed_over.lines()).unwrap();
    let mut settings = IntakeSettings::default();
    settings.poll_interval = Duration::from_millis(10);
    let followed = vec![FollowedLog::new("level3", "edge-2", &path, LogLayout::new(Format::Tsv))];
    let stop = CancellationToken::new();
    let pipeline = handed_over.domain.pipeline().settings(settings);
    let following = tokio::spawn(pipeline.follow(followed, stop.clone()));
    let begun = Instant::now();
    while handed_over.flux("a.example.com", handed_over.now - 3600).await < 27 {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is read");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    following.await.unwrap();
    handed_over.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_lines_of_a_shipped_log_are_the_former_owners() {
    let handed_over = HandedOver::new().await;
    let intake = handed_over.domain.pilothouse.log_intake();
    let lines = handed_over.lines();
    let shipped = intake.ship("level3", "edge-1", Some(KEY), 0, lines.as_bytes()).await.unwrap();
    assert_eq!(usize::try_from(shipped).unwrap(), lines.len());
    handed_over.check().await;
    let logs = intake.logs(&handed_over.domain.caller, None).await.unwrap();
    assert_eq!(logs[0].log.counters.billed, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_lines_of_an_ingested_log_are_the_former_owners() {
    let handed_over = HandedOver::new().await;
    handed_over.domain.ingest("edge.tsv", handed_over.lines().as_bytes()).await.unwrap();
    handed_over.check().await;
}
