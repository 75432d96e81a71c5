//! Traffic by region: cities of own edges, and what scripted vendors tell of theirs.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::{ManualClock, ScriptedProvider, ScriptedVendor};
use pilothouse_core::Settings;
use pilothouse_core::account::Caller;
use pilothouse_core::cdn::{
    Batch, BatchCityCell, Cell, DomainId, Figures as Cells, Regions, SourceChange, TrafficQuery,
};
use pilothouse_core::ports::{AreaFigure, AreaLevel, Figure, Figures, ProviderError};
use pilothouse_storage_memory::MemoryStorage;

use super::fixture::{NOW, TrafficFixture, city, query};

const DOMAIN: &str = "cdn.exrqs.com";
const BEGIN: i64 = NOW - 3600;

/// A customer with one domain on the own edges of `level3`, on `qcloud`, which knows regions, and on `cloud`, another vendor.
struct RegionsFixture {
    fixture: Fixture,
    clock: Arc<ManualClock>,
    qcloud: Arc<ScriptedVendor>,
    cloud: Arc<ScriptedVendor>,
    user: Caller,
}

fn at(time: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(time, 0).unwrap()
}

fn area(level: AreaLevel, name: &str, bytes: i64) -> AreaFigure {
    AreaFigure { name: name.to_owned(), level, bytes }
}

impl RegionsFixture {
    async fn new(cloud_knows_regions: bool) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let vendor = |name: &str, knows_regions: bool| {
            Arc::new(ScriptedVendor::new(name).with_capabilities(|can| {
                can.series = true;
                can.areas = knows_regions;
            }))
        };
        let (qcloud, cloud) = (vendor("qcloud", true), vendor("cloud", cloud_knows_regions));
        let settings = Settings::default().with_cdns(["level3"]).with_geo_city_database(true);
        let fixture = Fixture::builder(Arc::new(MemoryStorage::with_clock(clock.clone()).strict()))
            .clock(clock.clone())
            .settings(settings)
            .provider("level3", Arc::new(ScriptedProvider::new(&["edge-1"])))
            .provider("qcloud", qcloud.clone())
            .provider("cloud", cloud.clone())
            .build();
        fixture.cdn("qcloud").await;
        fixture.cdn("cloud").await;
        let user = fixture.customer("user", "level3", &[DOMAIN]).await;
        fixture.domains(&user, "qcloud", &[DOMAIN]).await;
        fixture.domains(&user, "cloud", &[DOMAIN]).await;
        // Whatever customers are given is served, which makes the domains active.
        fixture.pilothouse.sync().await.unwrap();
        Self { fixture, clock, qcloud, cloud, user }
    }

    /// Has the vendors tell their bytes of the first bucket, known until a quarter of an hour ago.
    async fn pull(&self, qcloud: i64, cloud: i64) {
        for (vendor, bytes) in [(&self.qcloud, qcloud), (&self.cloud, cloud)] {
            let row = Figure { requests: Some(1), ..Figure::new(DOMAIN, at(BEGIN), bytes) };
            let figures = Figures { rows: vec![row], known_until: at(NOW - 900), estimated: false };
            vendor.set_figures(Ok(figures));
        }
        self.fixture.pilothouse.pull_figures().await.unwrap();
    }

    /// Has the own edge log bytes to a city and to none.
    async fn log(&self, to_miami: i64, to_nowhere: i64) {
        let intake = self.fixture.pilothouse.log_intake();
        let edge = intake.edge("level3", "edge-1").await.unwrap();
        let domains = intake.hosts(edge.cdn_id).await.unwrap().domains;
        let domain_id: DomainId = domains[0].id;
        let seen = intake.sources(&edge, &[[0; 16]]).await.unwrap().seen;
        let flux = to_miami + to_nowhere;
        let figures = Cells { flux, hit_flux: 0, requests: 2, hits: 1, classes: [1, 1, 0, 0] };
        let bucket = BEGIN / 300;
        let batch = Batch {
            edge,
            change: SourceChange::New(seen),
            length: 1,
            cells: vec![Cell { domain_id, bucket, figures }],
            cities: vec![city(1, "Miami")],
            city_cells: vec![BatchCityCell { domain_id, bucket, city: 0, flux: to_miami }],
            ..Batch::default()
        };
        intake.record(batch).await.unwrap();
    }

    async fn regions(&self) -> Regions {
        self.fixture.pilothouse.traffic().regions(&self.user, &query(BEGIN, NOW)).await.unwrap()
    }
}

/// The rows with their levels, names and bytes.
fn rows(regions: &Regions) -> Vec<(&str, &str, i64)> {
    let level = |level: Option<AreaLevel>| level.map_or("unknown", AreaLevel::as_str);
    regions.rows.iter().map(|row| (level(row.level), row.name.as_str(), row.flux)).collect()
}

fn failures(regions: &Regions) -> Vec<(&str, &str)> {
    regions.failures.iter().map(|failure| (failure.cdn.as_str(), failure.reason.as_str())).collect()
}

#[tokio::test]
async fn each_figure_has_its_level_and_the_rows_add_up() {
    let fixture = RegionsFixture::new(true).await;
    fixture.log(5000, 300).await;
    fixture.pull(9000, 800).await;
    let told = [area(AreaLevel::Province, "Guangdong", 6000), area(AreaLevel::Country, "Japan", 2500)];
    fixture.qcloud.set_areas(DOMAIN, Ok(told.to_vec()));
    fixture.cloud.set_areas(DOMAIN, Ok(vec![area(AreaLevel::Country, "Japan", 750)]));
    let regions = fixture.regions().await;
    let expected = [
        ("province", "Guangdong", 6000),
        ("city", "Miami", 5000),
        ("country", "Japan", 3250),
        ("unknown", "Unknown", 300 + 500 + 50),
    ];
    assert_eq!(rows(&regions), expected);
    assert!(regions.failures.is_empty());
    assert_eq!(regions.rows[1].name_cn, "Miami市");
    let sum: i64 = regions.rows.iter().map(|row| row.flux).sum();
    assert_eq!(sum, 5300 + 9000 + 800);
    assert_eq!(fixture.qcloud.areas_asked(), [(at(BEGIN), at(NOW - 900))], "until what is known");
}

#[tokio::test]
async fn documented_areas_have_what_vendors_know_no_city_of_as_unknown() {
    let fixture = RegionsFixture::new(true).await;
    fixture.log(5000, 300).await;
    fixture.pull(9000, 800).await;
    fixture.qcloud.set_areas(DOMAIN, Ok(vec![area(AreaLevel::Province, "Guangdong", 6000)]));
    let traffic = fixture.fixture.pilothouse.traffic();
    let areas = traffic.fluxs_area(&fixture.user, &query(BEGIN, NOW)).await.unwrap();
    let rows: Vec<_> = areas.iter().map(|row| (row.city.as_str(), row.value)).collect();
    assert_eq!(rows, [("Unknown", 300 + 9000 + 800), ("Miami", 5000)]);
}

#[tokio::test]
async fn regions_of_whole_days_count_by_their_share() {
    let fixture = RegionsFixture::new(true).await;
    fixture.pull(1000, 0).await;
    let told = [area(AreaLevel::Province, "Guangdong", 6000), area(AreaLevel::Country, "Japan", 3000)];
    fixture.qcloud.set_areas(DOMAIN, Ok(told.to_vec()));
    let regions = fixture.regions().await;
    let expected = [("province", "Guangdong", 666), ("country", "Japan", 333), ("unknown", "Unknown", 1)];
    assert_eq!(rows(&regions), expected);
    assert!(fixture.cloud.areas_asked().is_empty(), "it served nothing");
}

#[tokio::test]
async fn a_vendor_that_fails_is_named_and_hides_nothing_of_the_others() {
    let fixture = RegionsFixture::new(true).await;
    fixture.log(5000, 0).await;
    fixture.pull(9000, 800).await;
    fixture.qcloud.set_areas(DOMAIN, Err(ProviderError::Unavailable("the vendor cannot be reached".into())));
    fixture.cloud.set_areas(DOMAIN, Ok(vec![area(AreaLevel::Country, "Japan", 800)]));
    let regions = fixture.regions().await;
    let expected = [("unknown", "Unknown", 9000), ("city", "Miami", 5000), ("country", "Japan", 800)];
    assert_eq!(rows(&regions), expected);
    assert_eq!(failures(&regions), [("qcloud", "the vendor cannot be reached")]);
}

#[tokio::test]
async fn a_vendor_without_regions_is_named_with_what_it_cannot() {
    let fixture = RegionsFixture::new(false).await;
    fixture.pull(0, 800).await;
    let regions = fixture.regions().await;
    assert_eq!(rows(&regions), [("unknown", "Unknown", 800)]);
    assert_eq!(failures(&regions), [("cloud", "cloud cannot tell traffic by region")]);
    assert!(fixture.cloud.areas_asked().is_empty());
}

#[tokio::test]
async fn what_a_vendor_does_not_know_yet_is_not_asked_for() {
    let fixture = RegionsFixture::new(true).await;
    fixture.pull(9000, 800).await;
    fixture.clock.advance(TimeDelta::hours(2));
    let late = query(NOW, NOW + 3600);
    let regions = fixture.fixture.pilothouse.traffic().regions(&fixture.user, &late).await.unwrap();
    assert_eq!(regions, Regions::default());
    assert!(fixture.qcloud.areas_asked().is_empty());
}

#[tokio::test]
async fn regions_are_of_at_most_thirty_domains_and_thirty_one_days() {
    let fixture = TrafficFixture::new(31).await;
    let ask = async |query: TrafficQuery| {
        fixture.pilothouse.traffic().regions(&fixture.caller, &query).await.unwrap_err().to_string()
    };
    assert_eq!(ask(query(BEGIN, NOW)).await, "domain: must be at most 30 domains, not 31");
    let long = ask(query(NOW - 31 * 86_400 - 1, NOW)).await;
    assert_eq!(long, "endTime: must be at most 31 days after startTime");
}
