//! Undo records: what batches of an ingested log added.

use std::sync::Arc;

use pilothouse_core::cdn::{DomainId, LogSourceId, UndoRecord};
use pilothouse_core::ports::Storage;

use super::series::begin;
use crate::rows::{AWKWARD, moment};

fn record(source: i64, n: i64, pack: &str) -> UndoRecord {
    UndoRecord {
        source_id: LogSourceId(source),
        domain_id: DomainId(n),
        recorded: moment(n),
        options: AWKWARD.to_owned(),
        pack: pack.to_owned(),
        lines: 10 + n,
        counted_later: 20 + n,
        figures: vec![0, 255, 1],
    }
}

/// Records come out as they went in, and go with their log or by their age.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let mut work = begin(&storage).await;
    let undo = work.log_undo();
    let all = [record(1, 3, "p2"), record(2, 4, ""), record(1, 5, "p1"), record(1, 6, "p2")];
    undo.insert(&all).await.unwrap();
    undo.insert(&[]).await.unwrap();
    let expected = [&all[0], &all[2], &all[3]].map(Clone::clone);
    assert_eq!(undo.of_source(LogSourceId(1)).await.unwrap(), expected);
    assert_eq!(undo.packs().await.unwrap(), ["p1", "p2"]);
    assert_eq!(undo.expire(moment(4)).await.unwrap(), 1);
    assert_eq!(undo.of_source(LogSourceId(1)).await.unwrap(), expected[1..]);
    assert_eq!(undo.delete(LogSourceId(1)).await.unwrap(), 2);
    assert_eq!(undo.delete(LogSourceId(1)).await.unwrap(), 0);
    assert_eq!(undo.of_source(LogSourceId(2)).await.unwrap(), [all[1].clone()]);
    assert_eq!(undo.packs().await.unwrap(), Vec::<String>::new());
}
