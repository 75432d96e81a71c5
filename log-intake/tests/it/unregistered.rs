//! Lines of unregistered hosts: kept aside, and counted when the host is registered as if it had been before.

use std::time::SystemTime;

use pilothouse_core::cdn::{NamedUnregisteredHost, StatsQuery, StatsStep, Tenure, TrafficQuery};
use pilothouse_core::ports::Storage;
use pilothouse_log_intake::{Format, LogLayout};

use crate::test_domain::{TIME, TestDomain, line};

const CHANGCHUN: &str = "175.16.199.1";
const NOWHERE: &str = "127.0.0.1";

impl TestDomain {
    pub(crate) async fn register(&self, name: &str) {
        let domains = [name.to_owned()];
        self.pilothouse.domains().add(&self.caller, &self.caller.mail, "level3", &domains).await.unwrap();
    }

    async fn unregistered(&self) -> Vec<NamedUnregisteredHost> {
        self.pilothouse.log_intake().unregistered(&self.caller, Some("level3")).await.unwrap()
    }

    /// Hosts kept aside with their lines.
    pub(crate) async fn hosts(&self) -> Vec<(String, i64)> {
        self.unregistered().await.into_iter().map(|found| (found.host.host, found.host.lines)).collect()
    }

    /// Everything that is told of a domain: figures by bucket, shares of cities, and the log.
    async fn told(&self, name: &str) -> String {
        let query = TrafficQuery { domains: vec![name.to_owned()], ..Self::query() };
        let traffic = self.pilothouse.traffic();
        let stats = StatsQuery { traffic: query.clone(), by: None, step: StatsStep::default() };
        let stats = traffic.stats(&self.caller, &stats).await.unwrap();
        let areas = traffic.fluxs_area(&self.caller, &query).await.unwrap();
        format!("{stats:?}\n{areas:?}\n{}", self.log_of(name).await)
    }
}

fn log() -> String {
    let purge = line("late.example.com", 5, NOWHERE).replace("GET", "PURGE");
    let incomplete = line("late.example.com", 6, NOWHERE).replace("\t200\t", "\tx\t");
    let slow = line("late.example.com", 900_000, CHANGCHUN).replace("0.000", "450.000");
    [
        &*line("a.example.com", 100, CHANGCHUN),
        &line("late.example.com", 20, CHANGCHUN),
        &line("LATE.example.com.:8080", 3, NOWHERE),
        &purge,
        &incomplete,
        &slow,
        &line("192.0.2.7", 9, NOWHERE),
        &line("other.example.com", 1, NOWHERE),
        "?\n",
    ]
    .concat()
}

/// The lines are those of the domain as though it had been there before: figures, cities, purges and the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_registered_late_is_counted_as_if_it_had_been_before() {
    let (late, early) = (TestDomain::new().await, TestDomain::new().await);
    early.register("late.example.com").await;
    for domain in [&late, &early] {
        domain.ingest("one.tsv", log().as_bytes()).await.unwrap();
    }
    let hosts = [("late.example.com".to_owned(), 5), ("other.example.com".to_owned(), 1)];
    assert_eq!(late.hosts().await, hosts, "an address is no host name and cannot be registered");
    let host = &late.unregistered().await[0];
    assert_eq!((&*host.cdn, host.host.dropped), ("level3", 0));
    assert_eq!(host.host.times, Some((1_795_235_520, 1_795_235_520)));
    assert_eq!(early.hosts().await.len(), 1);

    late.register("late.example.com").await;
    assert_eq!(late.hosts().await, hosts[1..]);
    assert_eq!(late.told("late.example.com").await, early.told("late.example.com").await);
    assert!(late.told("late.example.com").await.contains("PURGE"));
    let again = late.ingest("again.tsv", log().as_bytes()).await.unwrap();
    assert_eq!(again.counters.lines, 0);
    assert_eq!(late.told("late.example.com").await, early.told("late.example.com").await);
}

/// A last line without its end is kept aside once, however the log goes on, and whether or not the host is registered between.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_line_is_kept_aside_once() {
    let (first, second) = (line("late.example.com", 100, NOWHERE), line("late.example.com", 29, NOWHERE));
    let whole = format!("{first}{second}");
    let ended = whole.len() - 1;
    for (cut, flux) in [(whole.len() - 3, 129), (ended, 129)] {
        let domain = TestDomain::new().await;
        domain.ingest("cut.tsv", &whole.as_bytes()[..cut]).await.unwrap();
        assert_eq!(domain.hosts().await, [("late.example.com".to_owned(), 2)]);
        domain.ingest("whole.tsv", whole.as_bytes()).await.unwrap();
        assert_eq!(domain.hosts().await, [("late.example.com".to_owned(), 2)]);
        domain.register("late.example.com").await;
        assert_eq!(domain.flux_of("late.example.com").await, flux);
        assert_eq!(domain.log_of("late.example.com").await, whole);
    }
    let domain = TestDomain::new().await;
    domain.ingest("cut.tsv", &whole.as_bytes()[..ended]).await.unwrap();
    domain.register("late.example.com").await;
    domain.ingest("whole.tsv", whole.as_bytes()).await.unwrap();
    assert_eq!(domain.flux_of("late.example.com").await, 129);
    assert_eq!(domain.log_of("late.example.com").await, whole);
}

/// A reader that knew of no domain when the host was registered records lines that are counted, not kept aside.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_registered_while_its_log_is_read_is_counted() {
    let domain = TestDomain::new().await;
    let file = domain.directory.path().join("racing.tsv");
    std::fs::write(&file, log()).unwrap();
    let layout = LogLayout::new(Format::Tsv);
    let reader = domain.pipeline().edge("level3", "edge-1", layout).await.unwrap();
    domain.register("late.example.com").await;
    reader.file(&file).await.unwrap();
    assert_eq!(domain.hosts().await, [("other.example.com".to_owned(), 1)]);
    assert_eq!(
        domain.flux_of("late.example.com").await,
        900_000 * 120 / 450 + 23,
        "120 of 450 s are in this bucket"
    );
}

/// At most 1,000 hosts are kept aside; the lines of the others are counted as dropped.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_hosts_drop_the_oldest() {
    let domain = TestDomain::new().await;
    let hosts = |first: usize, count: usize| -> String {
        (first..first + count).map(|n| line(&format!("h{n}.example.com"), 1, NOWHERE)).collect()
    };
    domain.ingest("many.tsv", hosts(0, 1200).as_bytes()).await.unwrap();
    let listed = domain.hosts().await;
    assert_eq!((listed.len(), &*listed[0].0), (1001, "*"));
    assert_eq!(domain.unregistered().await[0].host.dropped, 200);
    domain.ingest("more.tsv", hosts(5000, 10).as_bytes()).await.unwrap();
    let listed = domain.unregistered().await;
    assert_eq!((listed.len(), listed[0].host.dropped), (1001, 210));
    assert!(listed.iter().any(|found| found.host.host == "h5009.example.com"));
}

/// A domain that nobody holds is no customer's: its lines are kept aside until somebody gets it.
#[tokio::test(flavor = "multi_thread")]
async fn lines_between_two_holders_are_kept_aside() {
    let domain = TestDomain::new().await;
    let held = domain.pilothouse.domains();
    let cdns = ["level3".to_owned()];
    held.replace(&domain.caller, &domain.caller.mail, &cdns, None, &["b.example.com".to_owned()])
        .await
        .unwrap();
    let later = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() + 1;
    let line = line("a.example.com", 50, NOWHERE).replace(&format!("{TIME}."), &format!("{later}."));
    domain.ingest("one.tsv", line.as_bytes()).await.unwrap();
    assert_eq!(domain.hosts().await, [("a.example.com".to_owned(), 1)]);
    domain.register("a.example.com").await;
    let later = i64::try_from(later).unwrap();
    let query = TrafficQuery { start_time: later, end_time: later, ..TestDomain::query() };
    let points = domain.pilothouse.traffic().fluxs(&domain.caller, &query).await.unwrap();
    assert_eq!(points.into_iter().map(|point| point.value).sum::<i64>(), 50);
}

/// Lines of before a hand-over that are read after it stay the former owner's: billed, and in its log.
#[tokio::test(flavor = "multi_thread")]
async fn lines_of_before_a_hand_over_stay_the_former_owners() {
    let domain = TestDomain::new().await;
    let edge = domain.pilothouse.log_intake().edge("level3", "edge-1").await.unwrap();
    let held = domain.pilothouse.log_intake().hosts(edge.cdn_id).await.unwrap().domains;
    let (domain_id, account_id, name) = (held[1].id, domain.caller.id, "a.example.com".to_owned());
    let tenure = Tenure { domain_id, account_id, cdn_id: edge.cdn_id, name, since: 0, until: TIME };
    let mut work = domain.storage.begin().await.unwrap();
    work.tenures().insert(&tenure).await.unwrap();
    work.commit().await.unwrap();
    let before = line("a.example.com", 50, NOWHERE).replace(&format!("{TIME}."), &format!("{}.", TIME - 1));
    let after = line("a.example.com", 7, NOWHERE);
    domain.ingest("one.tsv", format!("{before}{after}").as_bytes()).await.unwrap();
    let query = TrafficQuery { start_time: TIME - 300, ..TestDomain::query() };
    for (name, expected) in [("a.example.com", 7), ("b.example.com", 50)] {
        let query = TrafficQuery { domains: vec![name.to_owned()], ..query.clone() };
        let points = domain.pilothouse.traffic().fluxs(&domain.caller, &query).await.unwrap();
        assert_eq!(points.into_iter().map(|point| point.value).sum::<i64>(), expected, "{name}");
    }
    assert_eq!(domain.log_of("a.example.com").await, after);
    assert_eq!(domain.log_of("b.example.com").await, before);
}
