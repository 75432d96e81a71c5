//! Ingest of whole files: counted once however they come, kept, and readable again.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use pilothouse_core::cdn::Counters;
use pilothouse_log_intake::{Format, IngestFileError, LogLayout};

use crate::test_domain::{TestDomain, line};

fn gzipped(content: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(content.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_counted_once_under_any_name_and_gzipped() {
    let domain = TestDomain::new().await;
    let (changchun, nowhere) = ("175.16.199.1", "127.0.0.1");
    let (first, second) = (line("a.example.com", 100, changchun), line("a.example.com", 20, nowhere));
    let whole =
        [&*first, &second, &line("b.example.com", 7, nowhere), &line("c.com", 1, nowhere), "?\n"].concat();
    let report = domain.ingest("one.tsv", whole.as_bytes()).await.unwrap();
    let counters = Counters { lines: 5, billed: 3, kept: 3, unreadable: 1, unregistered: 1, purges: 0 };
    assert_eq!((report.counters, report.known_bytes), (counters, 0));
    let known = whole.len() as u64;
    assert_eq!(
        report.to_string(),
        "lines 5, billed 3, kept 3, unreadable 1, unregistered 1, purges 0, known bytes 0"
    );
    assert_eq!(domain.flux().await, 120);

    for (name, content) in [("again.tsv", whole.clone().into_bytes()), ("renamed.gz", gzipped(&whole))] {
        let report = domain.ingest(name, &content).await.unwrap();
        assert_eq!((report.counters, report.known_bytes), (Counters::default(), known), "{name}");
    }
    let third = line("a.example.com", 3, nowhere);
    let report = domain.ingest("grown.gz", &gzipped(&format!("{whole}{third}"))).await.unwrap();
    assert_eq!((report.counters.lines, report.counters.billed, report.known_bytes), (1, 1, known));
    assert_eq!(domain.flux().await, 123);
    assert_eq!(domain.log().await, [first, second, third].concat());

    let rows = domain.pilothouse.traffic().fluxs_area(&domain.caller, &TestDomain::query()).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (&*row.city, &*row.city_cn, row.value)).collect();
    assert_eq!(rows, [("Changchun", "长春", 100), ("Unknown", "未知", 23)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unterminated_line_is_replaced_when_it_grows() {
    let domain = TestDomain::new().await;
    let (first, second) = (line("a.example.com", 100, "127.0.0.1"), line("a.example.com", 29, "127.0.0.1"));
    let cut = second.len() - 2;
    domain.ingest("cut.tsv", format!("{first}{}", &second[..cut]).as_bytes()).await.unwrap();
    domain.ingest("whole.tsv", format!("{first}{second}").as_bytes()).await.unwrap();
    assert_eq!(domain.flux().await, 129);
    assert_eq!(domain.log().await, format!("{first}{second}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_ingested_at_once_is_counted_once() {
    let domain = TestDomain::new().await;
    let content = line("a.example.com", 100, "127.0.0.1").repeat(1000);
    let [a, b, c] = ["a.tsv", "b.tsv", "c.tsv"].map(|name| domain.ingest(name, content.as_bytes()));
    let (a, b, c) = tokio::join!(a, b, c);
    let lines: Vec<_> = [a, b, c].map(|report| report.unwrap().counters.lines).into();
    assert_eq!(lines.iter().sum::<i64>(), 1000, "{lines:?}");
    assert_eq!(domain.flux().await, 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_files_and_unknown_cdns_are_named() {
    let domain = TestDomain::new().await;
    let mut cut = gzipped(&line("a.example.com", 100, "127.0.0.1").repeat(100));
    cut.truncate(cut.len() - 9);
    let failure = domain.ingest("cut.gz", &cut).await.unwrap_err();
    assert!(
        matches!(failure, IngestFileError::Ingest(_)) && failure.to_string().contains("cut.gz"),
        "{failure}"
    );
    let layout = LogLayout::new(Format::Tsv);
    let edge = domain.pipeline().edge("level3", "edge-1", layout.clone()).await.unwrap();
    let failure = edge.file(&domain.directory.path().join("none.tsv")).await.unwrap_err();
    assert!(
        matches!(failure, IngestFileError::Open { .. }) && failure.to_string().contains("none.tsv"),
        "{failure}"
    );
    let failure = domain.pipeline().edge("nowhere", "edge-1", layout).await.unwrap_err();
    assert!(failure.to_string().contains("nowhere"), "{failure}");
}
