//! Most requested URLs: of batches, merged, taken back with their log, and forgotten.

use pilothouse_core::cdn::{
    Batch, Counters, ForgetLog, LogSourceId, PathCount, PathSketch, TopUrls, TopUrlsAnswer, TrafficQuery,
};
use pilothouse_core::ports::Storage;
use pilothouse_core::{Error, ErrorKind};

use super::fixture::{DAY, NOW, TrafficFixture, query};

/// An hour of the fixture's domains.
const HOUR: i64 = NOW / 3600 - 2;

fn sketch(paths: &[(&str, i64, i64)], missed: i64) -> PathSketch {
    let path =
        |&(path, requests, error): &(&str, i64, i64)| PathCount { path: path.to_owned(), requests, error };
    PathSketch { paths: paths.iter().map(path).collect(), missed }
}

impl TrafficFixture {
    /// Records the paths of a domain in an hour, of a log that may be forgotten where it has options.
    async fn record_paths(
        &self,
        (domain, hour): (usize, i64),
        sketch: PathSketch,
        options: Option<&str>,
    ) -> LogSourceId {
        let top_urls = vec![TopUrls { domain_id: self.domains[domain], hour, sketch }];
        let counters = Counters { lines: 1, billed: 1, ..Counters::default() };
        let undo_options = options.map(str::to_owned);
        let key = if options.is_some() { [1; 16] } else { [0; 16] };
        let batch = Batch { top_urls, counters, undo_options, key, ..self.batch().await };
        self.pilothouse.log_intake().record(batch).await.unwrap()
    }

    async fn top(&self, query: &TrafficQuery, count: usize) -> Result<TopUrlsAnswer, Error> {
        self.pilothouse.traffic().top_urls(&self.caller, query, count).await
    }

    /// Paths and figures of all domains in the hour.
    async fn top_of_hour(&self) -> (Vec<(String, i64, i64)>, i64) {
        let found = self.top(&query(HOUR * 3600, HOUR * 3600), 200).await.unwrap();
        let row = |url: pilothouse_core::cdn::TopUrl| {
            let PathCount { path, requests, error } = url.count;
            (format!("{}{path}", url.domain), requests, error)
        };
        (found.urls.into_iter().map(row).collect(), found.missed)
    }

    async fn pieces(&self) -> usize {
        let mut snapshot = self.storage.read().await.unwrap();
        snapshot.top_urls().of_hours(self.domains[0], HOUR..=HOUR).await.unwrap().len()
    }
}

fn rows(rows: &[(&str, i64, i64)]) -> Vec<(String, i64, i64)> {
    rows.iter().map(|(url, requests, error)| ((*url).to_owned(), *requests, *error)).collect()
}

#[tokio::test]
async fn pieces_are_added_up_over_batches_hours_and_domains() {
    let fixture = TrafficFixture::new(2).await;
    fixture.record_paths((0, HOUR), sketch(&[("/a", 10, 0), ("/b", 3, 0)], 0), None).await;
    fixture.record_paths((0, HOUR), sketch(&[("/a", 1, 0), ("/c", 2, 1)], 1), None).await;
    fixture.record_paths((1, HOUR), sketch(&[("/a", 7, 0)], 0), None).await;
    fixture.record_paths((0, HOUR + 1), sketch(&[("/late", 50, 0)], 0), None).await;
    let all = [
        ("d0.example.com/a", 11, 0),
        ("d1.example.com/a", 7, 0),
        ("d0.example.com/b", 4, 1),
        ("d0.example.com/c", 2, 1),
    ];
    assert_eq!(fixture.top_of_hour().await, (rows(&all), 1));
    let two = fixture.top(&query(HOUR * 3600 + 3599, HOUR * 3600 + 3600), 2).await.unwrap();
    let paths: Vec<_> = two.urls.iter().map(|url| (&*url.count.path, url.count.requests)).collect();
    assert_eq!((paths, two.missed), (vec![("/late", 51), ("/a", 11)], 7));
    let one = TrafficQuery { domains: vec!["d1.example.com".to_owned()], ..query(HOUR * 3600, NOW) };
    assert_eq!(fixture.top(&one, 200).await.unwrap().urls.len(), 1);
}

#[tokio::test]
async fn limits_are_named() {
    let fixture = TrafficFixture::new(31).await;
    let refused =
        async |query: &TrafficQuery, count| fixture.top(query, count).await.unwrap_err().to_string();
    for count in [0, 201] {
        assert_eq!(refused(&query(0, 1), count).await, "count: must be from 1 to 200");
    }
    assert_eq!(refused(&query(0, 1), 1).await, "domain: must be at most 30 domains");
    let long = query(0, 31 * DAY + 1);
    assert_eq!(refused(&long, 1).await, "endTime: must be at most 31 days after startTime");
    let foreign = TrafficQuery { domains: vec!["other.com".to_owned()], ..query(0, 1) };
    assert_eq!(fixture.top(&foreign, 1).await.unwrap_err().kind(), ErrorKind::Forbidden);
    let many: Vec<_> = (0..401).map(|n| (format!("/{n}"), 1, 0)).collect();
    let many: Vec<_> = many.iter().map(|(path, requests, error)| (&**path, *requests, *error)).collect();
    let top_urls = vec![TopUrls { domain_id: fixture.domains[0], hour: HOUR, sketch: sketch(&many, 0) }];
    let batch = Batch { top_urls, ..fixture.batch().await };
    let refused = fixture.pilothouse.log_intake().record(batch).await.unwrap_err();
    assert!(refused.to_string().starts_with("top_urls: must name at most 200 paths"), "{refused}");
}

#[tokio::test]
async fn many_pieces_become_one_and_say_the_same() {
    let fixture = TrafficFixture::new(1).await;
    for n in 0..20 {
        let path = format!("/{}", n % 3);
        fixture.record_paths((0, HOUR), sketch(&[(&path, 5, 1), ("/x", 1, 0)], n % 2), None).await;
    }
    let before = fixture.top_of_hour().await;
    assert_eq!(fixture.maintain().await.merged_hours, 1);
    assert_eq!((fixture.pieces().await, fixture.top_of_hour().await), (1, before));
    assert_eq!(fixture.maintain().await.merged_hours, 0);
}

#[tokio::test]
async fn a_forgotten_log_takes_its_urls_along() {
    let fixture = TrafficFixture::new(1).await;
    fixture.record_paths((0, HOUR), sketch(&[("/a", 3, 0)], 0), None).await;
    let before = fixture.top_of_hour().await;
    let source_id = fixture.record_paths((0, HOUR), sketch(&[("/a", 9, 0)], 4), Some("tsv")).await;
    for _ in 0..8 {
        fixture.record_paths((0, HOUR), sketch(&[], 0), None).await;
    }
    fixture.maintain().await;
    assert_eq!(fixture.pieces().await, 2, "those of the log stay apart");
    let log = ForgetLog { name: "log".to_owned(), source_id, options: "tsv".to_owned() };
    fixture.pilothouse.log_intake().forget(&fixture.edge, &[log]).await.unwrap();
    assert_eq!(fixture.top_of_hour().await, before);
}

#[tokio::test]
async fn urls_are_forgotten_after_their_days() {
    let fixture = TrafficFixture::new(1).await;
    fixture.record_paths((0, HOUR), sketch(&[("/a", 3, 0)], 0), Some("tsv")).await;
    for (days, left) in [(31, 1), (1, 0)] {
        for _ in 0..days * 24 {
            fixture.advance(3600);
            fixture.maintain().await;
        }
        assert_eq!(fixture.pieces().await, left, "after {days} more");
    }
}
