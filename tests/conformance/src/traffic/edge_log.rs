//! Edge logs: a row per cdn, edge and kind that is replaced.

use std::sync::Arc;

use pilothouse_core::cdn::{CdnId, Counters, EdgeLog, LineStretch, LogKind, Refusal};
use pilothouse_core::ports::{LockKey, Storage};

use super::series::begin;
use crate::race::race;
use crate::rows::{AWKWARD, add_cdn, moment};

fn log(cdn_id: CdnId, edge: &str, kind: LogKind, n: i64) -> EdgeLog {
    let stretch = |m: i64| LineStretch { since: moment(n + m), lines: 100 + n, unreadable: m };
    let is_odd = n % 2 == 1;
    EdgeLog {
        cdn_id,
        edge: edge.into(),
        kind,
        bytes: 1000 + n,
        counters: Counters { lines: 6 + n, billed: 1, kept: 2, unreadable: 3, unregistered: 4, purges: 5 },
        last_line: is_odd.then_some(1_470_297_000 + n),
        recorded: is_odd.then(|| moment(n)),
        seen: moment(n + 1),
        unread: is_odd.then_some(n),
        recent: stretch(2),
        judged: is_odd.then(|| stretch(3)),
        refusal: is_odd.then(|| Refusal { since: moment(n + 4), reason: AWKWARD.into() }),
    }
}

/// A row is found as it was put last; those of other cdns, edges and kinds are others.
pub(crate) async fn put_replaces(storage: Arc<dyn Storage>) {
    let (a, b) = (add_cdn(&storage, "a").await, add_cdn(&storage, "b").await);
    let mut work = begin(&storage).await;
    let logs = work.edge_logs();
    assert_eq!(logs.find(a, "edge-1", LogKind::Shipped).await.unwrap(), None);
    for (cdn, edge, kind, n) in [
        (a, "edge-1", LogKind::Shipped, 1),
        (a, "edge-1", LogKind::Followed, 2),
        (a, "Edge-1", LogKind::Ingested, 3),
        (b, "edge-1", LogKind::Shipped, 5),
        (a, "edge-1", LogKind::Shipped, 6),
        (b, "edge-1", LogKind::Shipped, 7),
    ] {
        logs.put(&log(cdn, edge, kind, n)).await.unwrap();
    }
    let found = logs.find(a, "edge-1", LogKind::Shipped).await.unwrap();
    assert_eq!(found, Some(log(a, "edge-1", LogKind::Shipped, 6)), "what is none now is none");
    let expected = [
        log(a, "Edge-1", LogKind::Ingested, 3),
        log(a, "edge-1", LogKind::Followed, 2),
        log(a, "edge-1", LogKind::Shipped, 6),
    ];
    assert_eq!(logs.list(a).await.unwrap(), expected);
    work.commit().await.unwrap();
    let mut snapshot = storage.read().await.unwrap();
    assert_eq!(snapshot.edge_logs().list(b).await.unwrap(), [log(b, "edge-1", LogKind::Shipped, 7)]);
}

/// Of 16 that add a line each to what they read under the lock, none is lost.
pub(crate) async fn race_loses_nothing(storage: Arc<dyn Storage>) {
    let cdn = add_cdn(&storage, "a").await;
    race(&storage, move |storage: Arc<dyn Storage>, _| async move {
        let mut work = storage.begin().await.unwrap();
        work.lock(LockKey::Traffic).await.unwrap();
        let found = work.edge_logs().find(cdn, "edge-1", LogKind::Followed).await.unwrap();
        let mut next = found.unwrap_or_else(|| log(cdn, "edge-1", LogKind::Followed, 0));
        next.counters.lines += 1;
        work.edge_logs().put(&next).await.unwrap();
        work.commit().await.unwrap();
    })
    .await;
    let left = storage.read().await.unwrap().edge_logs().list(cdn).await.unwrap();
    assert_eq!((left.len(), left[0].counters.lines), (1, 6 + 16));
}
