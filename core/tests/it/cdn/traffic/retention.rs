//! Retention of traffic and of log sources.

use super::fixture::{DAY, NOW, TrafficFixture, city, query};

#[tokio::test]
async fn areas_are_kept_for_92_days_and_traffic_for_800() {
    let fixture = TrafficFixture::new(1).await;
    fixture.record(&[(0, NOW - DAY, 5, Some(0))], &[city(1, "Miami")]).await;
    fixture.maintain().await;
    let rows = async || {
        let query = query(NOW - DAY, NOW - DAY);
        let rows = fixture.pilothouse.traffic().fluxs_area(&fixture.caller, &query).await.unwrap();
        rows.into_iter().map(|row| row.city).collect::<Vec<_>>()
    };
    assert_eq!(rows().await, ["Miami"]);
    fixture.advance(92 * DAY);
    assert_eq!(fixture.maintain().await.pruned_blocks, 0);
    fixture.advance(DAY);
    assert_eq!(fixture.maintain().await.pruned_blocks, 1);
    assert_eq!(rows().await, ["Unknown"], "traffic is kept longer than its areas");
    fixture.advance(707 * DAY);
    assert_eq!(fixture.maintain().await.pruned_blocks, 0);
    let sources =
        async || fixture.pilothouse.log_intake().sources(&fixture.edge, &[[0; 16]]).await.unwrap().sources;
    assert_eq!(sources().await.len(), 1);
    fixture.advance(DAY + 1);
    assert_eq!(fixture.maintain().await.pruned_blocks, 2);
    assert_eq!(sources().await, []);
    assert_eq!(rows().await, Vec::<String>::new());
}
