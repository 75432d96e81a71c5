//! Following of a log while it is written and rotated, until it is stopped.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use pilothouse_core::cdn::{LogKind, LogOverview};
use pilothouse_log_intake::{FollowedLog, Format, IntakeSettings, LogLayout, LogPipeline};
use tokio_util::sync::CancellationToken;

use crate::test_domain::{TIME, TestDomain, line};

fn quick(pipeline: LogPipeline) -> LogPipeline {
    let mut settings = IntakeSettings::default();
    settings.poll_interval = Duration::from_millis(10);
    settings.retry_interval = Duration::from_millis(10);
    settings.takeover_after = Duration::from_millis(50);
    pipeline.settings(settings)
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

async fn wait_for_flux(domain: &TestDomain, flux: i64) {
    let start = Instant::now();
    while domain.flux().await != flux {
        assert!(start.elapsed() < Duration::from_secs(30), "{} of {flux} bytes", domain.flux().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_across_rotation_until_it_is_stopped() {
    let domain = TestDomain::new().await;
    let path = domain.directory.path().join("edge.tsv");
    let followed = || vec![FollowedLog::new("level3", "edge-1", &path, LogLayout::new(Format::Tsv))];
    let stop = CancellationToken::new();
    let following = tokio::spawn(quick(domain.pipeline()).follow(followed(), stop.clone()));
    let lines = [1, 20, 300, 4000, 50_000].map(|bytes| line("a.example.com", bytes, "127.0.0.1"));
    append(&path, &lines[0]);
    wait_for_flux(&domain, 1).await;
    append(&path, &lines[1]);
    fs::rename(&path, path.with_extension("tsv.1")).unwrap();
    append(&path, &lines[2]);
    wait_for_flux(&domain, 321).await;
    stop.cancel();
    following.await.unwrap();

    append(&path, &lines[3]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(domain.flux().await, 321, "nobody follows");
    // Two that follow one log count it once.
    let (one, two) = (CancellationToken::new(), CancellationToken::new());
    let first = tokio::spawn(quick(domain.pipeline()).follow(followed(), one.clone()));
    let second = tokio::spawn(quick(domain.pipeline()).follow(followed(), two.clone()));
    wait_for_flux(&domain, 4321).await;
    one.cancel();
    first.await.unwrap();
    append(&path, &lines[4]);
    wait_for_flux(&domain, 54_321).await;
    two.cancel();
    second.await.unwrap();
    assert_eq!(domain.log().await, lines.concat());
    let logs = domain.pilothouse.log_intake().logs(&domain.caller, None).await.unwrap();
    let [LogOverview { log, offset, .. }] = &logs[..] else { panic!("{logs:?}") };
    assert_eq!((log.kind, log.counters.lines, log.counters.billed, *offset), (LogKind::Followed, 5, 5, None));
    // Of both files, whoever read them.
    assert_eq!(usize::try_from(log.bytes).unwrap(), lines.concat().len());
    assert!(log.last_line == Some(TIME) && log.unread.is_some(), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn following_ends_when_its_future_is_dropped() {
    let domain = TestDomain::new().await;
    let path = domain.directory.path().join("edge.tsv");
    let followed = vec![FollowedLog::new("level3", "edge-1", &path, LogLayout::new(Format::Tsv))];
    let following = tokio::spawn(quick(domain.pipeline()).follow(followed, CancellationToken::new()));
    append(&path, &line("a.example.com", 1, "127.0.0.1"));
    wait_for_flux(&domain, 1).await;
    following.abort();
    assert!(following.await.unwrap_err().is_cancelled());
    tokio::time::sleep(Duration::from_millis(300)).await;
    append(&path, &line("a.example.com", 20, "127.0.0.1"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(domain.flux().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_again_after_a_panic() {
    let domain = TestDomain::new().await;
    let path = domain.directory.path().join("edge.tsv");
    let followed = vec![FollowedLog::new("level3", "edge-1", &path, LogLayout::new(Format::Tsv))];
    let stop = CancellationToken::new();
    domain.storage.panic_next_writes(2);
    let following = tokio::spawn(quick(domain.pipeline()).follow(followed, stop.clone()));
    append(&path, &line("a.example.com", 7, "127.0.0.1"));
    wait_for_flux(&domain, 7).await;
    stop.cancel();
    following.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nothing_continues_is_a_gap_of_its_edge() {
    let domain = TestDomain::new().await;
    let path = domain.directory.path().join("edge.tsv");
    let neighbour = domain.directory.path().join("edge-20261121.tsv");
    let log = |edge: &str, path: &Path| FollowedLog::new("level3", edge, path, LogLayout::new(Format::Tsv));
    let follow = |stop: &CancellationToken| {
        let logs = vec![log("edge-1", &path), log("edge-2", &neighbour)];
        tokio::spawn(quick(domain.pipeline()).follow(logs, stop.clone()))
    };
    let stop = CancellationToken::new();
    let following = follow(&stop);
    append(&path, &line("a.example.com", 1, "127.0.0.1"));
    wait_for_flux(&domain, 1).await;
    stop.cancel();
    following.await.unwrap();
    let intake = domain.pilothouse.log_intake();
    let edge = intake.edge("level3", "edge-1").await.unwrap();
    assert_eq!(intake.gap(&edge).await.unwrap(), None);

    fs::remove_file(&path).unwrap();
    append(&neighbour, &line("a.example.com", 20, "127.0.0.1"));
    append(&path, &line("a.example.com", 300, "127.0.0.1"));
    let stop = CancellationToken::new();
    let following = follow(&stop);
    wait_for_flux(&domain, 321).await;
    stop.cancel();
    following.await.unwrap();
    let gap = intake.gap(&edge).await.unwrap().unwrap();
    assert_eq!(gap.reason, "the file that was being read is gone, and no rotated file continues it");
    let other = intake.edge("level3", "edge-2").await.unwrap();
    assert_eq!(intake.gap(&other).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn followed_lines_of_an_unregistered_host_are_counted_once_it_is_registered() {
    let domain = TestDomain::new().await;
    let path = domain.directory.path().join("edge.tsv");
    let followed = vec![FollowedLog::new("level3", "edge-1", &path, LogLayout::new(Format::Tsv))];
    let stop = CancellationToken::new();
    let following = tokio::spawn(quick(domain.pipeline()).follow(followed, stop.clone()));
    let lines: Vec<_> = (1..=40).map(|bytes| line("late.example.com", bytes, "127.0.0.1")).collect();
    // Registered in the midst of it, so that some lines are kept aside, some counted, and one perhaps recorded meanwhile.
    for (n, text) in lines.iter().enumerate() {
        append(&path, text);
        tokio::time::sleep(Duration::from_millis(5)).await;
        if n == 20 {
            domain.register("late.example.com").await;
        }
    }
    let start = Instant::now();
    while domain.flux_of("late.example.com").await != 820 {
        assert!(start.elapsed() < Duration::from_secs(30), "{}", domain.flux_of("late.example.com").await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    following.await.unwrap();
    assert_eq!(domain.hosts().await, []);
    assert_eq!(domain.log_of("late.example.com").await, lines.concat());
}
