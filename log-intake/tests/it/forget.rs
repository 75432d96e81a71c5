//! Forgetting of ingested logs: everything that they added is taken back, and they can be read again rightly.

use pilothouse_core::cdn::{BlockKind, Counters, Day, StatsQuery, StatsStep, TrafficQuery};
use pilothouse_core::ports::Storage;
use pilothouse_log_intake::{Format, IngestFileError, LogLayout};

use crate::test_domain::{TestDomain, line};

const CHANGCHUN: &str = "175.16.199.1";
const NOWHERE: &str = "127.0.0.1";

impl TestDomain {
    async fn forget(&self, names: &[&str]) -> Result<Vec<Counters>, IngestFileError> {
        self.forget_as(LogLayout::new(Format::Tsv), names).await
    }

    async fn forget_as(&self, layout: LogLayout, names: &[&str]) -> Result<Vec<Counters>, IngestFileError> {
        let paths: Vec<_> = names.iter().map(|name| self.directory.path().join(name)).collect();
        self.pipeline().edge("level3", "edge-1", layout).await.unwrap().forget(&paths).await
    }

    /// Figures, shares of cities and log of a domain, without rows of nothing.
    async fn figures(&self, name: &str) -> String {
        let query = TrafficQuery { domains: vec![name.to_owned()], ..Self::query() };
        let traffic = self.pilothouse.traffic();
        let stats = StatsQuery { traffic: query.clone(), by: None, step: StatsStep::default() };
        let stats = traffic.stats(&self.caller, &stats).await.unwrap();
        let areas = traffic.fluxs_area(&self.caller, &query).await.unwrap();
        format!("{stats:?}\n{areas:?}")
    }
}

fn log(host: &str) -> String {
    let purge = line(host, 5, NOWHERE).replace("GET", "PURGE");
    let slow = line(host, 900_000, CHANGCHUN).replace("0.000", "450.000");
    [&*line(host, 100, CHANGCHUN), &line(host, 20, NOWHERE), &purge, &slow, "?\n"].concat()
}

/// Whatever else was read, sealed or registered meanwhile stays, and the file is read again as a new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_log_leaves_what_was_before_and_is_read_again() {
    let domain = TestDomain::new().await;
    domain.ingest("other.tsv", line("a.example.com", 7, CHANGCHUN).as_bytes()).await.unwrap();
    let before = domain.figures("a.example.com").await;
    let text = log("a.example.com")
        + &line("late.example.com", 1, NOWHERE)
        + &line("late2.example.com", 2, CHANGCHUN);
    domain.ingest("one.tsv", text.as_bytes()).await.unwrap();
    let after = domain.figures("a.example.com").await;
    assert_ne!(after, before);
    domain.register("late.example.com").await;
    assert_eq!(domain.flux_of("late.example.com").await, 1);

    let counted = domain.forget(&["one.tsv"]).await.unwrap();
    assert_eq!((counted[0].lines, counted[0].billed, counted[0].unregistered), (7, 3, 2));
    assert_eq!(domain.figures("a.example.com").await, before);
    assert_eq!(domain.log().await, line("a.example.com", 7, CHANGCHUN));
    assert_eq!(domain.flux_of("late.example.com").await, 0, "counted when it was registered");
    assert_eq!(domain.hosts().await, [], "kept aside");
    let again = domain.forget(&["one.tsv"]).await.unwrap_err();
    assert!(again.to_string().ends_with("one.tsv was never read"), "{again}");

    let report = domain.ingest("one.tsv", text.as_bytes()).await.unwrap();
    assert_eq!((report.counters.lines, report.known_bytes), (7, 0));
    assert_eq!(domain.figures("a.example.com").await, after);
    assert_eq!(domain.flux_of("late.example.com").await, 1);
    assert_eq!(domain.hosts().await, [("late2.example.com".to_owned(), 1)]);
    assert_eq!(domain.log().await, line("a.example.com", 7, CHANGCHUN) + &kept("a.example.com"));
}

fn kept(host: &str) -> String {
    log(host).replace("?\n", "")
}

/// A log that has grown, with a last line without its end, is forgotten with all that its batches added.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_read_in_parts_is_forgotten_as_a_whole() {
    let domain = TestDomain::new().await;
    let before = domain.figures("a.example.com").await;
    let text =
        log("a.example.com") + &line("a.example.com", 29, CHANGCHUN) + &line("late.example.com", 29, NOWHERE);
    for cut in [text.len() / 2, text.len() - 40, text.len() - 3, text.len() - 1, text.len()] {
        domain.ingest("one.tsv", &text.as_bytes()[..cut]).await.unwrap();
    }
    domain.forget(&["one.tsv"]).await.unwrap();
    assert_eq!(domain.figures("a.example.com").await, before);
    assert_eq!(domain.hosts().await, []);
    let mut snapshot = domain.storage.read().await.unwrap();
    assert_eq!(snapshot.log_chunks().files().await.unwrap(), []);
    assert_eq!(snapshot.log_undo().packs().await.unwrap(), Vec::<String>::new());
}

/// Sealed days of traffic lose what is forgotten, and kept lines of a log that may be forgotten are not put into a day's file.
#[tokio::test(flavor = "multi_thread")]
async fn sealed_days_are_opened() {
    let domain = TestDomain::new().await;
    let mut work = domain.storage.read().await.unwrap();
    let cdn_id = work.cdns().by_name("level3").await.unwrap().unwrap().id;
    let domain_id = work.domains().find(cdn_id, "a.example.com").await.unwrap().unwrap().id;
    drop(work);
    let before = domain.figures("a.example.com").await;
    domain.ingest("one.tsv", log("a.example.com").as_bytes()).await.unwrap();
    let after = domain.figures("a.example.com").await;
    let blocks = async || {
        let mut snapshot = domain.storage.read().await.unwrap();
        snapshot.traffic().blocks(BlockKind::Flux, &[domain_id], Day(0)..=Day(i64::MAX)).await.unwrap().len()
    };
    domain.pilothouse.maintain().await.unwrap();
    assert_eq!(domain.figures("a.example.com").await, after);
    assert_eq!(blocks().await, 1, "the day of the lines is over");
    assert_eq!(domain.log().await, kept("a.example.com"));
    domain.forget(&["one.tsv"]).await.unwrap();
    assert_eq!(domain.figures("a.example.com").await, before);
    domain.pilothouse.maintain().await.unwrap();
    assert_eq!(domain.figures("a.example.com").await, before);
}

/// Each refusal names the file, and nothing changes: not even for another file of the same call.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_read_so_is_refused_by_name() {
    let domain = TestDomain::new().await;
    let (one, two) = (log("a.example.com"), line("b.example.com", 3, NOWHERE));
    domain.ingest("one.tsv", one.as_bytes()).await.unwrap();
    domain.ingest("two.tsv", two.as_bytes()).await.unwrap();
    let after = domain.figures("a.example.com").await;
    std::fs::write(domain.directory.path().join("never.tsv"), line("a.example.com", 9, NOWHERE)).unwrap();
    std::fs::write(domain.directory.path().join("grown.tsv"), format!("{one}{two}")).unwrap();
    std::fs::write(domain.directory.path().join("part.tsv"), &one[..one.len() - 2]).unwrap();
    for (names, expected) in [
        (["one.tsv", "never.tsv"], "never.tsv was never read"),
        (["one.tsv", "grown.tsv"], "grown.tsv has lines that were not read yet"),
        (["one.tsv", "part.tsv"], "part.tsv is only the beginning"),
        (["one.tsv", "one.tsv"], "one.tsv was forgotten already"),
        (["one.tsv", "none.tsv"], "cannot open"),
    ] {
        let refused = domain.forget(&names).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
        assert_eq!(domain.figures("a.example.com").await, after, "{expected}");
    }
    let other = domain.forget_as(LogLayout::new(Format::Tsv).domain("a.example.com"), &["one.tsv"]).await;
    let other = other.unwrap_err().to_string();
    assert!(other.contains("one.tsv was read with --format tsv (") && other.contains("not with"), "{other}");
    assert_eq!(domain.figures("a.example.com").await, after);
    domain.forget(&["one.tsv", "two.tsv"]).await.unwrap();
    assert_eq!(domain.flux().await, 0);
}
