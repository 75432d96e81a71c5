//! Traffic series over open buckets and sealed blocks.

use std::collections::BTreeMap;
use std::time::Duration;

use pilothouse_core::Workers;
use pilothouse_core::cdn::StatsQuery;
use pilothouse_test_support::Rng;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::fixture::{DAY, NOW, TrafficFixture, query};

#[tokio::test]
async fn open_buckets_and_sealed_blocks_are_read_as_one_series() {
    let fixture = TrafficFixture::new(3).await;
    let start = NOW - 4 * DAY;
    let mut model = BTreeMap::<i64, i64>::new();
    let mut rng = Rng::with_seed(7);
    for round in 0..40 {
        let mut cells = Vec::new();
        for _ in 0..rng.i64(0..40) {
            let (time, flux) = (start + rng.i64(0..4 * DAY), rng.i64(0..2_000_000_000));
            *model.entry(time / 300).or_default() += flux;
            cells.push((rng.usize(..3), time, flux, None));
        }
        fixture.record(&cells, &[]).await;
        if round % 5 == 0 {
            fixture.maintain().await;
        }
        let (from, to) = (start + rng.i64(0..DAY), NOW - rng.i64(0..DAY));
        let expected: Vec<_> =
            (from / 300..=to / 300).map(|bucket| model.get(&bucket).copied().unwrap_or_default()).collect();
        assert_eq!(fixture.fluxs(from, to).await, expected, "round {round}");
    }
    let stats = StatsQuery { traffic: query(start, NOW), ..StatsQuery::default() };
    let stats = fixture.pilothouse.traffic().stats(&fixture.caller, &stats).await.unwrap();
    let sum = stats.groups[0].total();
    assert_eq!(sum.flux, model.values().sum::<i64>());
    assert!(sum.requests > 0 && sum.requests == 2 * sum.hits && sum.classes == [sum.hits, sum.hits, 0, 0]);
}

#[tokio::test]
async fn days_are_sealed_two_hours_after_their_end() {
    let fixture = TrafficFixture::new(2).await;
    // The day ends at midnight UTC.
    let midnight = NOW - NOW % DAY;
    fixture.record(&[(0, midnight - 1, 5, None), (1, midnight, 6, None)], &[]).await;
    fixture.clock.set(midnight + 7199);
    assert_eq!(fixture.maintain().await.sealed_days, 0);
    fixture.advance(1);
    assert_eq!(fixture.maintain().await.sealed_days, 1);
    assert_eq!(fixture.maintain().await.sealed_days, 0);
    fixture.record(&[(0, midnight - 1, 7, None)], &[]).await;
    assert_eq!(fixture.fluxs(midnight - 300, midnight).await, [12, 6]);
    assert_eq!(fixture.maintain().await.sealed_days, 1, "late traffic is sealed into the same day");
    assert_eq!(fixture.fluxs(midnight - 300, midnight).await, [12, 6]);
}

#[tokio::test]
async fn workers_seal_finished_days() {
    let fixture = TrafficFixture::new(1).await;
    let midnight = NOW - NOW % DAY;
    fixture.record(&[(0, midnight - 1, 5, None)], &[]).await;
    fixture.clock.set(midnight + 7200);
    let cancel = CancellationToken::new();
    let running = tokio::spawn(Workers::new(fixture.pilothouse.clone()).run(cancel.clone()));
    let sealed = async {
        loop {
            let mut snapshot = fixture.pilothouse.storage().read().await.unwrap();
            if snapshot.traffic().unsealed(midnight / 300, 1).await.unwrap().is_empty() {
                return;
            }
            drop(snapshot);
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_mins(1), sealed).await.unwrap();
    cancel.cancel();
    running.await.unwrap();
}
