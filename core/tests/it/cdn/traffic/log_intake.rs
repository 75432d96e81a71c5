//! Log intake: validation of batches.

use chrono::{NaiveDate, TimeDelta};
use pilothouse_core::cdn::{Batch, Cell, EdgeRef, Figures, KeptLines, StatsQuery};

use super::fixture::{NOW, TrafficFixture, city, query};

#[tokio::test]
async fn the_last_gap_of_a_log_is_known() {
    let fixture = TrafficFixture::new(1).await;
    let (intake, edge) = (fixture.pilothouse.log_intake(), &fixture.edge);
    assert_eq!(intake.gap(edge).await.unwrap(), None);
    for reason in ["one", "two"] {
        intake.record_gap(edge, reason).await.unwrap();
        let gap = intake.gap(edge).await.unwrap().unwrap();
        assert_eq!((&*gap.reason, gap.noticed.timestamp()), (reason, NOW));
    }
    let other = EdgeRef { edge: "edge-9".to_owned(), ..edge.clone() };
    assert_eq!(intake.gap(&other).await.unwrap(), None);
}

#[tokio::test]
async fn a_malformed_batch_is_refused_with_its_field() {
    let fixture = TrafficFixture::new(1).await;
    let domain_id = fixture.domains[0];
    let cell =
        |bucket, requests| Cell { domain_id, bucket, figures: Figures { requests, ..Figures::default() } };
    let kept = KeptLines {
        domain_id,
        day: NaiveDate::from_ymd_opt(2016, 10, 1).unwrap(),
        offset: 0,
        length: -1,
        lines: 1,
        raw_length: 1,
        is_open: false,
    };
    let good = fixture.batch().await;
    for (batch, field) in [
        (Batch { cells: vec![cell(-1, 1)], ..good.clone() }, "bucket"),
        (Batch { cells: vec![cell(844_674_336, 1)], ..good.clone() }, "bucket"),
        (Batch { cells: vec![cell(1, i64::MIN)], ..good.clone() }, "cells"),
        (Batch { state: vec![0; 65_537], ..good.clone() }, "state"),
        (Batch { cities: vec![city(1, "")], ..good.clone() }, "city"),
        (Batch { cities: vec![city(1, "a\0")], ..good.clone() }, "city"),
        (Batch { pack: "p".into(), kept: vec![kept.clone()], ..good.clone() }, "kept"),
        (Batch { kept: vec![KeptLines { length: 1, ..kept }], ..good.clone() }, "pack"),
        (Batch { edge: EdgeRef { edge: String::new(), ..fixture.edge.clone() }, ..good.clone() }, "edge"),
    ] {
        let refused = fixture.pilothouse.log_intake().record(batch).await.unwrap_err();
        assert!(refused.to_string().starts_with(field), "{field}: {refused}");
    }
    let missing = fixture.pilothouse.log_intake().edge("nowhere", "edge-1").await.unwrap_err();
    assert_eq!(missing.to_string(), "the cdn nowhere does not exist");
    // Two cells of one bucket in a batch are summed.
    let twice = Batch { cells: vec![cell(NOW / 300, 1), cell(NOW / 300, 2)], ..good };
    fixture.pilothouse.log_intake().record(twice).await.unwrap();
    let stats = StatsQuery { traffic: query(NOW, NOW), ..StatsQuery::default() };
    let stats = fixture.pilothouse.traffic().stats(&fixture.caller, &stats).await.unwrap();
    assert_eq!(stats.groups[0].figures[0].requests, 3);
    let early = NOW - TimeDelta::days(1).num_seconds();
    assert_eq!(fixture.fluxs(early, early).await, [0]);
}
