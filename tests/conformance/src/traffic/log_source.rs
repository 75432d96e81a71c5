//! Log sources: how far each access log was read.

use pilothouse_core::cdn::CdnId;
use pilothouse_core::cdn::LogSourceId;
use std::sync::Arc;

use pilothouse_core::cdn::{Counters, LogSource};
use pilothouse_core::ports::Storage;

use super::series::begin;
use crate::race::race;
use crate::rows::{AWKWARD, add_cdn, moment};

fn source(cdn_id: CdnId, edge: &str, key: u8) -> LogSource {
    LogSource {
        id: LogSourceId::UNSAVED,
        cdn_id,
        edge: edge.into(),
        key: [key; 16],
        length: 10,
        state: vec![0, 255, key],
        counters: Counters { lines: 6, billed: 1, kept: 2, unreadable: 3, unregistered: 4, purges: 5 },
        recorded: moment(0),
        skipped: 0,
    }
}

/// Sources are found by edge and key; one changes only while it has the length it is thought to have.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let (a, b) = (add_cdn(&storage, "a").await, add_cdn(&storage, "b").await);
    let mut work = begin(&storage).await;
    let sources = work.log_sources();
    assert_eq!(sources.newest(a, "edge-1").await.unwrap(), None);
    let mut ids = Vec::new();
    for (cdn, edge, key) in
        [(a, "edge-1", 1), (a, "edge-1", 1), (a, "edge-1", 2), (a, AWKWARD, 1), (b, "edge-1", 1)]
    {
        ids.push(sources.insert(&source(cdn, edge, key)).await.unwrap());
    }
    assert!(ids.is_sorted());
    assert_eq!(sources.newest(a, "edge-1").await.unwrap(), Some(ids[2]));
    let held = |n: usize, key| LogSource { id: ids[n], ..source(a, "edge-1", key) };
    let keys = |keys: &[u8]| keys.iter().map(|key| [*key; 16]).collect::<Vec<_>>();
    let found = sources.find(a, "edge-1", &keys(&[2, 1, 1])).await.unwrap();
    assert_eq!(found, [held(0, 1), held(1, 1), held(2, 2)]);
    assert_eq!(sources.find(a, "edge-1", &keys(&[3])).await.unwrap(), []);
    assert_eq!(sources.find(a, AWKWARD, &keys(&[1, 2])).await.unwrap().len(), 1);

    let grown = LogSource {
        key: [9; 16],
        length: 20,
        state: vec![7; 36 << 10],
        counters: Counters { lines: 60, ..source(a, "", 1).counters },
        recorded: moment(5),
        skipped: 4096,
        ..held(0, 1)
    };
    assert!(!sources.update(&grown, 11).await.unwrap(), "another length");
    assert!(sources.update(&grown, 10).await.unwrap());
    assert!(!sources.update(&grown, 10).await.unwrap(), "it has grown already");
    assert_eq!(sources.by_id(ids[0]).await.unwrap(), Some(grown.clone()));
    assert_eq!(sources.find(a, "edge-1", &keys(&[9])).await.unwrap(), [grown]);
    assert_eq!(sources.prune(moment(5), 1).await.unwrap(), 1);
    assert_eq!(sources.prune(moment(5), 2).await.unwrap(), 2);
    assert!(sources.delete(ids[4]).await.unwrap() && !sources.delete(ids[4]).await.unwrap());
    assert_eq!(sources.by_id(ids[1]).await.unwrap(), None);
    assert!(sources.by_id(ids[0]).await.unwrap().is_some());
    assert!(sources.insert(&source(a, "edge-1", 1)).await.unwrap() > ids[4], "ids are never used twice");
}

/// Of many that go on from one length at once, one does; also without the lock.
pub(crate) async fn race_for_one_length(storage: Arc<dyn Storage>) {
    let cdn = add_cdn(&storage, "a").await;
    let mut work = begin(&storage).await;
    let id = work.log_sources().insert(&source(cdn, "edge-1", 1)).await.unwrap();
    work.commit().await.unwrap();
    let won = race(&storage, move |storage: Arc<dyn Storage>, n| async move {
        let mut work = storage.begin().await.unwrap();
        let next = LogSource { id, length: 100 + n, ..source(cdn, "edge-1", 1) };
        let won = work.log_sources().update(&next, 10).await.unwrap();
        work.commit().await.unwrap();
        won
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
}
