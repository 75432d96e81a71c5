//! Figures of a scripted vendor: pulled, corrected, known up to a time, and billed only where they are known.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::{ManualClock, ScriptedProvider, ScriptedVendor};
use pilothouse_core::account::Caller;
use pilothouse_core::cdn::{
    BillingQuery, BillingRule, Figures as StoredFigures, StatsBy, StatsQuery, StatsStep, TrafficQuery,
};
use pilothouse_core::ports::{Clock, Figure, Figures, ProviderError};
use pilothouse_core::{Error, ErrorKind};
use pilothouse_storage_memory::MemoryStorage;

const DOMAIN: &str = "cdn.exrqs.com";

/// A customer with a domain on `qcloud`, a vendor that knows its traffic, and another on `level3`.
struct FiguresFixture {
    fixture: Fixture,
    clock: Arc<ManualClock>,
    vendor: Arc<ScriptedVendor>,
    user: Caller,
}

impl FiguresFixture {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(1_473_752_647));
        let vendor = ScriptedVendor::new("qcloud").with_capabilities(|can| can.series = true);
        let vendor = Arc::new(vendor);
        let fixture = Fixture::builder(Arc::new(MemoryStorage::with_clock(clock.clone()).strict()))
            .clock(clock.clone())
            .provider("qcloud", vendor.clone())
            .provider("level3", Arc::new(ScriptedProvider::new(&["edge-1"])))
            .build();
        fixture.cdn("qcloud").await;
        fixture.cdn("level3").await;
        let user = fixture.customer("user", "qcloud", &[DOMAIN]).await;
        fixture.domains(&user, "level3", &["img.exrqs.com"]).await;
        // Whatever customers are given is served, which makes the domains active.
        fixture.pilothouse.sync().await.unwrap();
        Self { fixture, clock, vendor, user }
    }

    /// The bucket that began so many minutes before the last whole one.
    fn bucket(&self, minutes: i64) -> DateTime<Utc> {
        let now = self.clock.now().timestamp();
        DateTime::from_timestamp(now - now.rem_euclid(300), 0).unwrap() - TimeDelta::minutes(minutes)
    }

    fn set(&self, rows: &[(DateTime<Utc>, i64)], known_until: DateTime<Utc>) {
        let row = |&(bucket, bytes)| Figure::new(DOMAIN, bucket, bytes);
        self.set_rows(rows.iter().map(row).collect(), known_until);
    }

    fn set_rows(&self, rows: Vec<Figure>, known_until: DateTime<Utc>) {
        self.vendor.set_figures(Ok(Figures { rows, known_until, estimated: false }));
    }

    /// Number of buckets that a pull changed; `None` where the vendor was not asked.
    async fn pull(&self) -> Option<usize> {
        let pulled = self.fixture.pilothouse.pull_figures().await.unwrap();
        pulled.into_iter().next().map(|pulled| pulled.changed.unwrap())
    }

    async fn flux(&self, bucket: DateTime<Utc>) -> i64 {
        let time = bucket.timestamp();
        let query = TrafficQuery { start_time: time, end_time: time, ..TrafficQuery::default() };
        self.fixture.pilothouse.traffic().fluxs(&self.user, &query).await.unwrap()[0].value
    }

    /// All figures of a bucket.
    async fn figures(&self, bucket: DateTime<Utc>) -> StoredFigures {
        let time = bucket.timestamp();
        let traffic = TrafficQuery { start_time: time, end_time: time, ..TrafficQuery::default() };
        let query = StatsQuery { traffic, by: None, step: StatsStep::Bucket };
        let stats = self.fixture.pilothouse.traffic().stats(&self.user, &query).await.unwrap();
        stats.groups[0].figures[0]
    }

    async fn bill(&self, month: &str) -> Result<i64, Error> {
        let (month, rule) = (month.parse().unwrap(), BillingRule::DailyPeak);
        let query = BillingQuery { login_email: None, domains: Vec::new(), month, rule };
        Ok(self.fixture.pilothouse.billing().bill(&self.user, &query).await?.until)
    }
}

#[tokio::test]
async fn what_a_vendor_says_last_counts() {
    let fixture = FiguresFixture::new().await;
    let (early, late, unknown) = (fixture.bucket(30), fixture.bucket(20), fixture.bucket(10));
    fixture.set(&[(early, 1000), (late, 2000), (unknown, 5)], fixture.bucket(15));
    assert_eq!(fixture.pull().await, Some(2));
    assert_eq!(
        (fixture.flux(early).await, fixture.flux(late).await, fixture.flux(unknown).await),
        (1000, 2000, 0)
    );
    assert_eq!(fixture.pull().await, None, "it was asked just now");

    fixture.clock.advance(TimeDelta::minutes(5));
    fixture.set(&[(early, 900), (unknown, 7)], fixture.bucket(10));
    assert_eq!(fixture.pull().await, Some(3));
    assert_eq!(
        (fixture.flux(early).await, fixture.flux(late).await, fixture.flux(unknown).await),
        (900, 0, 7)
    );

    // The day is sealed meanwhile; the figures are corrected all the same.
    fixture.clock.advance(TimeDelta::hours(20));
    fixture.fixture.pilothouse.maintain().await.unwrap();
    fixture.set(&[(early, 800), (unknown, 9)], fixture.bucket(15));
    assert_eq!(fixture.pull().await, Some(2));
    fixture.fixture.pilothouse.maintain().await.unwrap();
    assert_eq!((fixture.flux(early).await, fixture.flux(unknown).await), (800, 9));
}

#[tokio::test]
async fn hits_and_status_classes_are_stored_and_corrected() {
    let fixture = FiguresFixture::new().await;
    let (bucket, known_until) = (fixture.bucket(30), fixture.bucket(15));
    let told = Figure {
        hit_bytes: Some(700),
        requests: Some(10),
        hits: Some(6),
        classes: Some([7, 1, 1, 1]),
        ..Figure::new(DOMAIN, bucket, 1000)
    };
    let stored = StoredFigures { flux: 1000, hit_flux: 700, requests: 10, hits: 6, classes: [7, 1, 1, 1] };
    fixture.set_rows(vec![told.clone()], known_until);
    assert_eq!(fixture.pull().await, Some(1));
    assert_eq!(fixture.figures(bucket).await, stored);

    // The same again changes nothing.
    fixture.clock.advance(TimeDelta::minutes(5));
    assert_eq!(fixture.pull().await, Some(0));

    // What the vendor does not know at this time stays, and what it corrects is corrected.
    fixture.clock.advance(TimeDelta::minutes(5));
    let unknown = Figure { hits: Some(5), ..Figure::new(DOMAIN, bucket, 1100) };
    fixture.set_rows(vec![unknown], known_until);
    assert_eq!(fixture.pull().await, Some(1));
    assert_eq!(fixture.figures(bucket).await, StoredFigures { flux: 1100, hits: 5, ..stored });

    fixture.clock.advance(TimeDelta::minutes(5));
    let corrected = Figure { hit_bytes: Some(-1), classes: Some([6, 1, 2, 1]), ..told };
    fixture.set_rows(vec![corrected], known_until);
    assert_eq!(fixture.pull().await, Some(1));
    let expected = StoredFigures { hit_flux: 0, classes: [6, 1, 2, 1], ..stored };
    assert_eq!(fixture.figures(bucket).await, expected, "no count is below 0");

    // A bucket that it leaves out had no traffic at all.
    fixture.clock.advance(TimeDelta::minutes(5));
    fixture.set_rows(Vec::new(), known_until);
    assert_eq!(fixture.pull().await, Some(1));
    assert_eq!(fixture.figures(bucket).await, StoredFigures::default());
}

#[tokio::test]
async fn a_pull_goes_on_from_what_is_known_with_a_look_back() {
    let fixture = FiguresFixture::new().await;
    fixture.set(&[], fixture.bucket(15));
    fixture.pull().await;
    let day = TimeDelta::hours(24);
    let now = fixture.clock.now();
    let (from, to) = fixture.vendor.figures_asked()[0];
    assert_eq!(to, fixture.bucket(0));
    assert!(from <= now - day && from > now - day - TimeDelta::minutes(5));
    let known = fixture.bucket(15);
    fixture.clock.advance(TimeDelta::minutes(5));
    fixture.pull().await;
    assert_eq!(fixture.vendor.figures_asked(), [(known - TimeDelta::hours(1), fixture.bucket(0))]);
    fixture.clock.advance(TimeDelta::minutes(65));
    fixture.pull().await;
    assert_eq!(fixture.vendor.figures_asked(), [(known - day, fixture.bucket(0))], "once an hour a day");

    fixture.vendor.set_figures(Err(ProviderError::Unavailable("the vendor cannot be reached".into())));
    fixture.clock.advance(TimeDelta::minutes(5));
    let failed = fixture.fixture.pilothouse.pull_figures().await.unwrap().remove(0);
    assert!(failed.changed.is_err());
    fixture.set(&[], fixture.bucket(15));
    assert_eq!(fixture.pull().await, Some(0), "it is asked again at the next turn");
}

#[tokio::test]
async fn statistics_say_until_when_a_vendor_s_figures_are_known() {
    let fixture = FiguresFixture::new().await;
    let traffic = |domains: &[&str]| TrafficQuery {
        domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
        start_time: fixture.bucket(60).timestamp(),
        end_time: fixture.bucket(0).timestamp(),
        ..TrafficQuery::default()
    };
    let sources = async |domains: &[&str]| {
        let query = StatsQuery { traffic: traffic(domains), by: Some(StatsBy::Cdn), step: StatsStep::Bucket };
        fixture.fixture.pilothouse.traffic().stats(&fixture.user, &query).await.unwrap().sources
    };
    let before = sources(&[]).await;
    assert_eq!(
        before.iter().map(|one| (one.cdn.as_str(), one.known_until)).collect::<Vec<_>>(),
        [("qcloud", None)]
    );
    fixture.set(&[(fixture.bucket(30), 1000)], fixture.bucket(15));
    fixture.pull().await;
    let after = sources(&[DOMAIN]).await;
    assert_eq!((after[0].known_until, after[0].is_estimated), (Some(fixture.bucket(15).timestamp()), false));
    assert!(sources(&["img.exrqs.com"]).await.is_empty(), "own edges know at once");
}

#[tokio::test]
async fn a_month_that_is_not_known_is_not_billed() {
    let fixture = FiguresFixture::new().await;
    fixture.set(&[], fixture.bucket(15));
    fixture.pull().await;
    assert_eq!(
        fixture.bill("201609").await.unwrap(),
        fixture.bucket(15).timestamp(),
        "as far as it is known"
    );
    let refused = fixture.bill("201608").await;
    assert_eq!(refused.unwrap(), 1_472_659_200, "the month before is known to its end");
    fixture.clock.advance(TimeDelta::days(20));
    let refused = fixture.bill("201609").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(refused.to_string().contains("qcloud are not yet known to the end of the month"), "{refused}");
    let known_until = fixture.bucket(15);
    fixture.vendor.set_figures(Ok(Figures { rows: Vec::new(), known_until, estimated: true }));
    fixture.pull().await;
    let refused = fixture.bill("201609").await.unwrap_err();
    assert!(refused.to_string().contains("estimates"), "{refused}");
}
