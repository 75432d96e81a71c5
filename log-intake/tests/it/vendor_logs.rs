//! Logs of a vendor: fetched once, joined by day, and kept like those of own edges.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use flate2::read::MultiGzDecoder;
use futures_util::TryStreamExt;
use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::{ManualClock, ScriptedVendor};
use pilothouse_core::account::Caller;
use pilothouse_core::cdn::{LogDay, PulledLogs};
use pilothouse_core::ports::{Clock, LogFile, ProviderError};
use pilothouse_core::{Error, ErrorKind, Pilothouse};
use pilothouse_log_intake::{FolderArchive, ShippedLogReader};
use pilothouse_storage_memory::MemoryStorage;
use tempfile::TempDir;

use crate::support::gzip;

const DOMAIN: &str = "cdn.exrqs.com";
/// Noon of 2026-07-26 in Shanghai, where the 25th ended at 16:00 of UTC.
const NOON: &str = "2026-07-26T04:00:00Z";

/// Two customers, of which one has a domain on `qcloud`, which lists logs, and one on `cloud`, which lists none.
struct LogsFixture {
    fixture: Fixture,
    pilothouse: Pilothouse,
    clock: Arc<ManualClock>,
    vendor: Arc<ScriptedVendor>,
    user: Caller,
    _directory: TempDir,
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

impl LogsFixture {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(at(NOON).timestamp()));
        let vendor = ScriptedVendor::new("qcloud").with_capabilities(|can| can.logs = true);
        let other = ScriptedVendor::new("cloud").with_capabilities(|can| can.series = true);
        let vendor = Arc::new(vendor);
        let directory = tempfile::tempdir().unwrap();
        let archive = FolderArchive::open(&directory.path().join("logs")).unwrap();
        let storage = Arc::new(MemoryStorage::with_clock(clock.clone()).strict());
        let fixture = Fixture::builder(storage)
            .clock(clock.clone())
            .provider("qcloud", vendor.clone())
            .provider("cloud", Arc::new(other))
            .log_archive(Arc::new(archive.clone()))
            .build();
        fixture.cdn("cloud").await;
        let user = fixture.customer("user", "qcloud", &[DOMAIN]).await;
        let reader = ShippedLogReader::new(archive, fixture.pilothouse.settings().timezone);
        let pilothouse = fixture.pilothouse.clone().with_log_reader(Arc::new(reader));
        pilothouse.sync().await.unwrap();
        Self { fixture, pilothouse, clock, vendor, user, _directory: directory }
    }

    /// Adds the file of an hour, whose content is as given.
    fn add(&self, from: &str, name: &str, pieces: Vec<Result<Vec<u8>, ProviderError>>) {
        let from = at(from);
        let (name, link) = (name.to_owned(), "https://logs.example.com/1?sign=secret".to_owned());
        let file = LogFile { name, link, bytes: None, from, until: from + TimeDelta::hours(1) };
        self.vendor.add_log(DOMAIN, file, pieces);
    }

    /// Adds the file of an hour with lines, in pieces of seven bytes.
    fn add_lines(&self, from: &str, name: &str, lines: &str) {
        let pieces = gzip(lines.as_bytes()).chunks(7).map(|piece| Ok(piece.to_vec())).collect();
        self.add(from, name, pieces);
    }

    /// Fetches what is new, once every vendor may be looked at again.
    async fn pull(&self) -> PulledLogs {
        self.clock.advance(TimeDelta::minutes(26));
        <[PulledLogs; 1]>::try_from(self.pilothouse.pull_logs().await.unwrap()).unwrap()[0].clone()
    }

    async fn days(&self, user: &Caller, first: &str, last: &str) -> Result<Vec<LogDay>, Error> {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        self.pilothouse.log_downloads().logs(user, None, DOMAIN, day(first)..=day(last)).await
    }

    /// Lines of the 25th and the 26th.
    async fn lines(&self, user: &Caller) -> [String; 2] {
        let days = self.days(user, "2026-07-25", "2026-07-26").await.unwrap();
        let mut lines = [String::new(), String::new()];
        for (day, lines) in days.iter().zip(&mut lines) {
            let Some(link) = &day.link else { continue };
            let log = self.pilothouse.log_downloads().open_log(link).await.unwrap();
            let pieces: Vec<Vec<u8>> = log.content.try_collect().await.unwrap();
            let packed = pieces.concat();
            assert_eq!(i64::try_from(packed.len()).unwrap(), day.size);
            *lines = std::io::read_to_string(MultiGzDecoder::new(&*packed)).unwrap();
        }
        lines
    }
}

#[tokio::test]
async fn files_are_fetched_once_and_joined_by_the_day_of_the_zone() {
    let fixture = LogsFixture::new().await;
    fixture.add_lines("2026-07-25T16:00:00Z", "26-00.gz", "of the 26th\n");
    fixture.add_lines("2026-07-25T15:00:00Z", "25-23.gz", "the last of the 25th\n");
    fixture.add_lines("2026-07-24T16:00:00Z", "25-00.gz", "first\nwithout an end");
    fixture.add_lines("2026-07-24T17:00:00Z", "25-01.gz", "");
    let pulled = fixture.pull().await;
    assert_eq!((pulled.cdn.as_str(), pulled.files, pulled.failures), ("qcloud", 4, vec![]));
    let fetched = fixture.vendor.logs_fetched();
    assert_eq!(fetched, ["25-00.gz", "25-01.gz", "25-23.gz", "26-00.gz"], "in their order");
    let day = "first\nwithout an end\nthe last of the 25th\n";
    assert_eq!(fixture.lines(&fixture.user).await, [day, "of the 26th\n"]);

    fixture.clock.advance(TimeDelta::minutes(1));
    let again = fixture.pilothouse.pull_logs().await.unwrap();
    assert_eq!((again[0].files, fixture.vendor.logs_fetched().len()), (0, 0), "it was looked at just now");
    fixture.add_lines("2026-07-25T03:00:00Z", "25-11.gz", "late\n");
    assert_eq!(fixture.pull().await.files, 1);
    assert_eq!(fixture.vendor.logs_fetched(), ["25-11.gz"]);
    fixture.pilothouse.maintain().await.unwrap();
    assert_eq!(fixture.lines(&fixture.user).await, [format!("{day}late\n"), "of the 26th\n".to_owned()]);
    let too_old = "2026-07-20T00:00:00Z";
    fixture.add_lines(too_old, "20-08.gz", "too late\n");
    assert_eq!(fixture.pull().await.files, 0);
}

#[tokio::test]
async fn what_breaks_off_or_is_no_log_leaves_nothing_and_is_tried_again() {
    let fixture = LogsFixture::new().await;
    let whole = gzip(b"a line\n");
    let lost = Err(ProviderError::Unavailable("the connection to the vendor was lost".into()));
    for (pieces, reason) in [
        (vec![Ok(whole[..10].to_vec()), lost], "the connection to the vendor was lost"),
        (vec![Ok(whole[..10].to_vec())], "the vendor's log is not a whole gzip file"),
        (vec![Ok(b"<html>expired</html>".to_vec())], "the vendor's log is not a whole gzip file"),
        (vec![], "the vendor's log is not a whole gzip file"),
    ] {
        fixture.add("2026-07-25T15:00:00Z", "25-23.gz", pieces);
        fixture.add_lines("2026-07-25T15:00:00Z", "25-22.gz", "before it\n");
        let pulled = fixture.pull().await;
        assert_eq!(pulled.failures, [(DOMAIN.to_owned(), reason.to_owned())]);
        assert_eq!(fixture.lines(&fixture.user).await, ["before it\n", ""], "others are kept");
    }
    fixture.add("2026-07-25T15:00:00Z", "25-23.gz", vec![Ok(whole)]);
    assert_eq!(fixture.pull().await.failures, []);
    assert_eq!(fixture.lines(&fixture.user).await, ["before it\na line\n", ""]);
}

#[tokio::test]
async fn a_later_holder_of_the_domain_gets_nothing_of_the_time_before() {
    let fixture = LogsFixture::new().await;
    fixture.add_lines("2026-07-26T00:00:00Z", "26-08.gz", "of the first\n");
    assert_eq!(fixture.pull().await.files, 1);
    let mut work = fixture.fixture.storage.begin().await.unwrap();
    let held = work.domains().of_account(fixture.user.id, None).await.unwrap();
    work.domains().release(&[held[0].id]).await.unwrap();
    work.commit().await.unwrap();
    let second = fixture.fixture.customer("second", "qcloud", &[DOMAIN]).await;
    fixture.pilothouse.sync().await.unwrap();
    fixture.add_lines("2026-07-26T01:00:00Z", "26-09.gz", "of the first, too\n");
    assert_eq!(fixture.pull().await.files, 0);
    let hours = fixture.clock.now() + TimeDelta::hours(2);
    fixture.clock.advance(TimeDelta::hours(3));
    fixture.add_lines(&hours.to_rfc3339(), "26-14.gz", "of the second\n");
    assert_eq!(fixture.pull().await.files, 1);
    assert_eq!(fixture.lines(&second).await, ["", "of the second\n"]);
}

#[tokio::test]
async fn servers_side_by_side_keep_a_file_once() {
    let fixture = LogsFixture::new().await;
    let names: HashSet<String> = (10..20).map(|hour| format!("25-{hour}.gz")).collect();
    for name in &names {
        let hour: u32 = name[3..5].parse().unwrap();
        fixture.add_lines(&format!("2026-07-25T{:02}:00:00Z", hour - 8), name, &format!("{hour}\n"));
    }
    let server = &fixture.pilothouse;
    let (one, other, third) = tokio::join!(server.pull_logs(), server.pull_logs(), server.pull_logs());
    let files = |pulled: Result<Vec<PulledLogs>, Error>| pulled.unwrap()[0].files;
    assert_eq!(files(one) + files(other) + files(third), names.len());
    let lines = (10..20).fold(String::new(), |text, hour| format!("{text}{hour}\n"));
    assert_eq!(fixture.lines(&fixture.user).await, [lines, String::new()]);
}

#[tokio::test]
async fn a_vendor_that_lists_no_logs_is_named_where_there_are_none() {
    let fixture = LogsFixture::new().await;
    let days = fixture.days(&fixture.user, "2026-07-25", "2026-07-26").await.unwrap();
    assert!(days.iter().all(|day| (day.size, &day.link) == (0, &None)), "they may come yet");
    let mut work = fixture.fixture.storage.begin().await.unwrap();
    let held = work.domains().of_account(fixture.user.id, None).await.unwrap();
    work.domains().release(&[held[0].id]).await.unwrap();
    work.commit().await.unwrap();
    fixture.fixture.domains(&fixture.user, "cloud", &[DOMAIN]).await;
    let refused = fixture.days(&fixture.user, "2026-07-25", "2026-07-26").await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.to_string().as_str()),
        (ErrorKind::Unavailable, "cloud cannot list logs")
    );
    fixture.fixture.domains(&fixture.user, "qcloud", &[DOMAIN]).await;
    assert_eq!(fixture.days(&fixture.user, "2026-07-25", "2026-07-26").await.unwrap().len(), 2);
}
