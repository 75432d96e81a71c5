//! Top URLs: pieces by domain, hour and log.

use std::ops::RangeInclusive;
use std::sync::Arc;

use pilothouse_core::cdn::{Day, DomainId, Hour, LogSourceId, TopUrlsKey, TopUrlsPiece, UndoRecord};
use pilothouse_core::ports::Storage;

use crate::race::race;
use crate::rows::moment;

/// A piece told apart by `n`, kept from that day.
fn piece(domain: i64, hour: Hour, source: i64, n: u8) -> TopUrlsPiece {
    TopUrlsPiece {
        domain_id: DomainId(domain),
        hour,
        source_id: LogSourceId(source),
        kept_from: Day(n.into()),
        data: vec![0, n],
    }
}

async fn add(storage: &Arc<dyn Storage>, pieces: &[TopUrlsPiece]) {
    let mut work = storage.begin().await.unwrap();
    work.top_urls().insert(pieces).await.unwrap();
    work.commit().await.unwrap();
}

async fn of_hours(storage: &Arc<dyn Storage>, domain: i64, hours: RangeInclusive<Hour>) -> Vec<TopUrlsPiece> {
    storage.read().await.unwrap().top_urls().of_hours(DomainId(domain), hours).await.unwrap()
}

/// What is added is found by domain and hour, in its order; what is rolled back is not.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let pieces = [piece(1, 9, 0, 1), piece(1, 7, 3, 2), piece(2, 7, 0, 3), piece(1, 7, 0, 4)];
    add(&storage, &pieces).await;
    add(&storage, &[]).await;
    let mut work = storage.begin().await.unwrap();
    work.top_urls().insert(&[piece(1, 7, 0, 5)]).await.unwrap();
    work.rollback().await.unwrap();
    let [late, first, other, second] = pieces;
    assert_eq!(of_hours(&storage, 1, 7..=8).await, [first.clone(), second.clone()]);
    assert_eq!(of_hours(&storage, 1, 7..=9).await, [first, second, late]);
    assert_eq!(of_hours(&storage, 2, 0..=99).await, [other]);
    assert!(of_hours(&storage, 3, 0..=99).await.is_empty());
}

/// Keys with many pieces are found in order, and their pieces are taken once.
pub(crate) async fn crowded_are_taken(storage: Arc<dyn Storage>) {
    let pieces: Vec<_> = (0..3)
        .flat_map(|n| [piece(2, 5, 0, n), piece(1, 5, 4, n), piece(1, 5, 0, n), piece(1, 6, 0, 9)])
        .chain([piece(1, 7, 0, 1)])
        .collect();
    add(&storage, &pieces).await;
    let key = |domain, hour, source| TopUrlsKey {
        domain_id: DomainId(domain),
        hour,
        source_id: LogSourceId(source),
    };
    let mut work = storage.begin().await.unwrap();
    let all = [key(1, 5, 0), key(1, 5, 4), key(1, 6, 0), key(2, 5, 0)];
    assert_eq!(work.top_urls().crowded(3, 9).await.unwrap(), all);
    assert_eq!(work.top_urls().crowded(2, 2).await.unwrap(), all[..2]);
    assert!(work.top_urls().crowded(4, 9).await.unwrap().is_empty());
    let taken = work.top_urls().take(all[1]).await.unwrap();
    assert_eq!(taken, [piece(1, 5, 4, 0), piece(1, 5, 4, 1), piece(1, 5, 4, 2)]);
    assert!(work.top_urls().take(all[1]).await.unwrap().is_empty());
    work.commit().await.unwrap();
    assert_eq!(of_hours(&storage, 1, 5..=5).await.len(), 3);
}

/// Pieces of a log go with it, or become those of no log when it cannot be forgotten any more.
pub(crate) async fn pieces_of_a_log(storage: Arc<dyn Storage>) {
    add(&storage, &[piece(1, 5, 3, 1), piece(1, 5, 4, 2), piece(1, 6, 4, 3), piece(1, 5, 0, 4)]).await;
    let mut work = storage.begin().await.unwrap();
    let record = UndoRecord {
        source_id: LogSourceId(3),
        domain_id: DomainId(1),
        recorded: moment(1),
        options: "tsv".into(),
        pack: String::new(),
        lines: 1,
        counted_later: 0,
        figures: vec![1],
    };
    work.log_undo().insert(&[record]).await.unwrap();
    assert_eq!(work.top_urls().settle().await.unwrap(), 2);
    assert_eq!(work.top_urls().settle().await.unwrap(), 0);
    assert_eq!(work.top_urls().delete_source(LogSourceId(4)).await.unwrap(), 0, "they are of no log now");
    assert_eq!(work.top_urls().delete_source(LogSourceId(3)).await.unwrap(), 1);
    work.commit().await.unwrap();
    assert_eq!(of_hours(&storage, 1, 5..=6).await, [piece(1, 5, 0, 2), piece(1, 5, 0, 4), piece(1, 6, 0, 3)]);
}

/// What is kept from before a day goes, the first first.
pub(crate) async fn prune(storage: Arc<dyn Storage>) {
    add(&storage, &[piece(1, 5, 0, 4), piece(1, 6, 0, 1), piece(1, 7, 0, 2), piece(1, 8, 0, 3)]).await;
    let mut work = storage.begin().await.unwrap();
    assert_eq!(work.top_urls().prune(Day(1), 9).await.unwrap(), 0);
    assert_eq!(work.top_urls().prune(Day(4), 2).await.unwrap(), 2);
    work.commit().await.unwrap();
    assert_eq!(of_hours(&storage, 1, 0..=9).await, [piece(1, 5, 0, 4), piece(1, 8, 0, 3)]);
}

/// 16 that take the same pieces side by side take them once.
pub(crate) async fn race_to_take(storage: Arc<dyn Storage>) {
    add(&storage, &[piece(1, 5, 0, 1), piece(1, 5, 0, 2)]).await;
    let taken = race(&storage, async |storage: Arc<dyn Storage>, _| {
        let key = TopUrlsKey { domain_id: DomainId(1), hour: 5, source_id: LogSourceId::UNSAVED };
        let mut work = storage.begin().await.unwrap();
        work.lock(pilothouse_core::ports::LockKey::Traffic).await.unwrap();
        let taken = work.top_urls().take(key).await.unwrap();
        work.commit().await.unwrap();
        taken.len()
    })
    .await;
    assert_eq!(taken.into_iter().sum::<usize>(), 2);
}
