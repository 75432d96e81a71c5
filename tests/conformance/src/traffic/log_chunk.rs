//! Log chunks: where kept lines are in packs and sealed files.

use pilothouse_core::cdn::DomainId;
use pilothouse_core::cdn::LogChunkId;
use std::sync::Arc;

use chrono::NaiveDate;
use pilothouse_core::cdn::{LogChunk, LogFile};
use pilothouse_core::ports::Storage;

use super::series::begin;

/// The day `n` days after 2016-09-29.
pub(crate) fn day(n: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2016, 9, 29).unwrap() + chrono::Days::new(n)
}

fn chunk(domain_id: DomainId, n: u64, file: LogFile, offset: i64) -> LogChunk {
    LogChunk {
        id: LogChunkId::UNSAVED,
        domain_id,
        day: day(n),
        kept_from: day(n + 1),
        file,
        offset,
        length: 1904,
        lines: 17,
        raw_length: 9000,
        place: 0,
        is_open: false,
        sha256: None,
    }
}

fn pack(name: &str) -> LogFile {
    LogFile::Pack(name.into())
}

/// Chunks come out as they went in, in their order, and can be withdrawn one by one.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let mut work = begin(&storage).await;
    let chunks = work.log_chunks();
    let sealed = LogFile::Sealed("p1".into());
    let all = [
        chunk(DomainId(1), 0, pack("p1"), 0),
        LogChunk { sha256: Some([7; 32]), ..chunk(DomainId(1), 0, sealed.clone(), 0) },
        LogChunk { is_open: true, ..chunk(DomainId(2), 0, pack("p1"), 1904) },
        chunk(DomainId(1), 1, pack("p2"), 0),
    ];
    chunks.insert(&all).await.unwrap();
    chunks.insert(&[]).await.unwrap();
    let found = chunks.of_day(&[DomainId(2), DomainId(1)], day(0)).await.unwrap();
    let expected = found.iter().zip(&all);
    let expected: Vec<_> = expected
        .map(|(found, chunk)| LogChunk { id: found.id, place: found.id.0, ..chunk.clone() })
        .collect();
    assert_eq!(found, expected);
    assert!(found.len() == 3 && found.is_sorted_by_key(|chunk| chunk.id));
    let of_pack = chunks.of_pack("p1").await.unwrap();
    assert_eq!(of_pack, [expected[0].clone(), expected[2].clone()]);
    let mut files = chunks.files().await.unwrap();
    files.sort_unstable();
    assert_eq!(files, [pack("p1"), pack("p2"), sealed.clone()]);
    assert!(chunks.withdraw("p1", 0).await.unwrap());
    assert!(!chunks.withdraw("p1", 0).await.unwrap(), "a sealed file is no pack");
    assert!(!chunks.withdraw("p1", 5).await.unwrap());
    assert_eq!(chunks.of_day(&[DomainId(1), DomainId(2)], day(0)).await.unwrap(), expected[1..]);
    assert_eq!(chunks.delete(&[found[2].id, found[0].id]).await.unwrap(), 1);
    let mut files = chunks.files().await.unwrap();
    files.sort_unstable();
    assert_eq!(files, [pack("p2"), sealed]);
}

/// A chunk that stands for others stands where they stood.
pub(crate) async fn places(storage: Arc<dyn Storage>) {
    let mut work = begin(&storage).await;
    let chunks = work.log_chunks();
    let some =
        |names: &[&str]| names.iter().map(|name| chunk(DomainId(1), 0, pack(name), 0)).collect::<Vec<_>>();
    chunks.insert(&some(&["a", "b", "c"])).await.unwrap();
    let found = chunks.of_day(&[DomainId(1)], day(0)).await.unwrap();
    chunks.delete(&[found[0].id, found[1].id]).await.unwrap();
    let both = LogChunk { place: found[0].place, ..chunk(DomainId(1), 0, LogFile::Sealed("ab".into()), 0) };
    chunks.insert(&[both]).await.unwrap();
    chunks.insert(&some(&["d"])).await.unwrap();
    let found = chunks.of_day(&[DomainId(1)], day(0)).await.unwrap();
    let files: Vec<_> = found.into_iter().map(|chunk| chunk.file).collect();
    assert_eq!(files, [LogFile::Sealed("ab".into()), pack("c"), pack("d")]);
    assert_eq!(chunks.crowded(2).await.unwrap(), [(DomainId(1), day(0))]);
    assert_eq!(chunks.crowded(3).await.unwrap(), [], "what is sealed is not counted");
    let crowd: Vec<_> = (0..3).map(|n| chunk(DomainId(2 - n % 2), 1, pack("e"), n)).collect();
    chunks.insert(&crowd).await.unwrap();
    assert_eq!(
        chunks.crowded(1).await.unwrap(),
        [(DomainId(1), day(0)), (DomainId(1), day(1)), (DomainId(2), day(1))]
    );
    assert_eq!(chunks.crowded(2).await.unwrap(), [(DomainId(1), day(0)), (DomainId(2), day(1))]);
}

/// Sizes add up by day; days with chunks in packs, and chunks of old days, are told.
pub(crate) async fn days(storage: Arc<dyn Storage>) {
    let mut work = begin(&storage).await;
    let chunks = work.log_chunks();
    let sealed = LogFile::Sealed("s".into());
    let all = [
        chunk(DomainId(2), 1, pack("p"), 0),
        chunk(DomainId(1), 1, pack("p"), 1),
        chunk(DomainId(1), 1, pack("p"), 2),
        chunk(DomainId(1), 0, pack("p"), 3),
        chunk(DomainId(1), 2, sealed, 0),
    ];
    chunks.insert(&all).await.unwrap();
    let sizes = chunks.sizes(&[DomainId(1), DomainId(2)], day(1), day(5)).await.unwrap();
    assert_eq!(sizes, [(day(1), 3 * 1904), (day(2), 1904)]);
    assert_eq!(chunks.sizes(&[DomainId(2)], day(0), day(5)).await.unwrap(), [(day(1), 1904)]);
    assert_eq!(
        chunks.unsealed(day(9)).await.unwrap(),
        [(DomainId(1), day(0)), (DomainId(1), day(1)), (DomainId(2), day(1))]
    );
    assert_eq!(chunks.unsealed(day(1)).await.unwrap(), [(DomainId(1), day(0))]);
    let expired = chunks.expired(day(3), 3).await.unwrap();
    assert!(expired.len() == 3 && expired.is_sorted_by_key(|chunk| chunk.id));
    assert_eq!(chunks.expired(day(3), 99).await.unwrap().len(), 4);
    assert_eq!(chunks.expired(day(1), 99).await.unwrap(), []);
}
