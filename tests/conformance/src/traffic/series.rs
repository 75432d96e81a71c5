//! Traffic series: open five-minute buckets, and sealed blocks of a day.

use pilothouse_core::cdn::CityId;
use pilothouse_core::cdn::DomainId;
use std::sync::Arc;

use pilothouse_core::cdn::{Block, BlockKind, Cell, CityCell, Day, Figures};
use pilothouse_core::ports::{LockKey, Storage, UnitOfWork};

/// A cell told apart by all it holds.
pub fn cell(domain_id: DomainId, bucket: i64, flux: i64) -> Cell {
    let figures = Figures { flux, hit_flux: flux / 2, requests: 7, hits: 3, classes: [4, 1, 2, 0] };
    Cell { domain_id, bucket, figures }
}

pub(crate) async fn begin(storage: &Arc<dyn Storage>) -> Box<dyn UnitOfWork> {
    let mut work = storage.begin().await.unwrap();
    work.lock(LockKey::Traffic).await.unwrap();
    work
}

/// Additions to a bucket add up in every figure, and are found by domain and time, in order.
pub(crate) async fn open_buckets_add_up(storage: Arc<dyn Storage>) {
    let mut work = begin(&storage).await;
    let traffic = work.traffic();
    traffic.add(&[]).await.unwrap();
    traffic
        .add(&[cell(DomainId(2), 10, 5), cell(DomainId(1), 12, 6), cell(DomainId(1), 11, 7)])
        .await
        .unwrap();
    traffic.add(&[cell(DomainId(1), 11, 100), cell(DomainId(1), 13, -8)]).await.unwrap();
    let sum = Figures { flux: 107, hit_flux: 53, requests: 14, hits: 6, classes: [8, 2, 4, 0] };
    let eleven = Cell { domain_id: DomainId(1), bucket: 11, figures: sum };
    assert_eq!(
        traffic.open(&[DomainId(2), DomainId(1), DomainId(2), DomainId(9)], 10..=12).await.unwrap(),
        [eleven, cell(DomainId(1), 12, 6), cell(DomainId(2), 10, 5)]
    );
    assert_eq!(
        traffic.open(&[DomainId(1)], 12..=20).await.unwrap(),
        [cell(DomainId(1), 12, 6), cell(DomainId(1), 13, -8)]
    );
    assert_eq!(traffic.open(&[], 0..=20).await.unwrap(), []);
    assert_eq!(traffic.open(&[DomainId(3)], 0..=20).await.unwrap(), []);
    let many: Vec<_> = (0..2000).map(|n| cell(DomainId(5), n, n)).collect();
    traffic.add(&many).await.unwrap();
    assert_eq!(traffic.open(&[DomainId(5)], 0..=5000).await.unwrap(), many);
    work.commit().await.unwrap();
    assert_eq!(
        storage.read().await.unwrap().traffic().open(&[DomainId(1)], 11..=11).await.unwrap(),
        [eleven]
    );
}

/// Bytes that do not fit stay at the greatest number, and can be read.
pub(crate) async fn open_buckets_never_overflow(storage: Arc<dyn Storage>) {
    let mut work = begin(&storage).await;
    let flux = |flux| {
        let figures = Figures { flux, hit_flux: flux, ..Figures::default() };
        Cell { domain_id: DomainId(1), bucket: 1, figures }
    };
    for (added, sum) in [(i64::MAX, i64::MAX), (i64::MAX, i64::MAX), (-5, i64::MAX - 5), (9, i64::MAX)] {
        work.traffic().add(&[flux(added)]).await.unwrap();
        assert_eq!(work.traffic().open(&[DomainId(1)], 1..=1).await.unwrap(), [flux(sum)]);
    }
    let city = |flux| CityCell { domain_id: DomainId(1), bucket: 1, city_id: CityId(1), flux };
    for added in [i64::MAX - 1, 5] {
        work.cities().add(&[city(added)]).await.unwrap();
    }
    assert_eq!(work.cities().open(&[DomainId(1)], 1..=1).await.unwrap(), [city(i64::MAX)]);
}

/// Taken buckets are gone, others stay; days with open buckets before a time are told.
pub(crate) async fn open_buckets_are_taken_once(storage: Arc<dyn Storage>) {
    let mut work = begin(&storage).await;
    let traffic = work.traffic();
    traffic
        .add(&[
            cell(DomainId(1), 288, 1),
            cell(DomainId(1), 575, 2),
            cell(DomainId(1), 576, 3),
            cell(DomainId(2), 288, 4),
        ])
        .await
        .unwrap();
    let mut unsealed = traffic.unsealed(576, 10).await.unwrap();
    unsealed.sort_unstable();
    assert_eq!(unsealed, [(DomainId(1), Day(1)), (DomainId(2), Day(1))]);
    assert_eq!(traffic.unsealed(576, 1).await.unwrap().len(), 1);
    assert_eq!(traffic.unsealed(288, 10).await.unwrap(), []);
    assert_eq!(
        traffic.take(DomainId(1), 288..=575).await.unwrap(),
        [cell(DomainId(1), 288, 1), cell(DomainId(1), 575, 2)]
    );
    assert_eq!(traffic.take(DomainId(1), 288..=575).await.unwrap(), []);
    assert_eq!(
        traffic.open(&[DomainId(1), DomainId(2)], 0..=999).await.unwrap(),
        [cell(DomainId(1), 576, 3), cell(DomainId(2), 288, 4)]
    );
    assert_eq!(traffic.unsealed(576, 10).await.unwrap(), [(DomainId(2), Day(1))]);
}

/// A block is kept per domain, part and day; another one takes its place; old ones go, part by part.
pub(crate) async fn blocks_round_trip(storage: Arc<dyn Storage>) {
    let block = |domain_id, day, byte| Block {
        domain_id,
        day: Day(day),
        kept_from: Day(day + 1),
        data: vec![byte; 3000],
    };
    let mut work = begin(&storage).await;
    let traffic = work.traffic();
    for (domain, day) in [(2, 5), (1, 6), (1, 5)] {
        traffic.put_block(BlockKind::Flux, &block(DomainId(domain), day, 1)).await.unwrap();
        traffic.put_block(BlockKind::Cities, &block(DomainId(domain), day, 2)).await.unwrap();
    }
    traffic.put_block(BlockKind::Flux, &block(DomainId(1), 6, 3)).await.unwrap();
    let flux = [block(DomainId(1), 5, 1), block(DomainId(1), 6, 3), block(DomainId(2), 5, 1)];
    assert_eq!(
        traffic
            .blocks(BlockKind::Flux, &[DomainId(2), DomainId(1), DomainId(1)], Day(5)..=Day(6))
            .await
            .unwrap(),
        flux
    );
    assert_eq!(traffic.blocks(BlockKind::Flux, &[DomainId(1)], Day(6)..=Day(9)).await.unwrap(), flux[1..2]);
    assert_eq!(
        traffic.blocks(BlockKind::Counts, &[DomainId(1), DomainId(2)], Day(0)..=Day(9)).await.unwrap(),
        []
    );
    assert_eq!(
        traffic.prune_blocks(BlockKind::Cities, Day(6), 10).await.unwrap(),
        0,
        "written the day after"
    );
    assert_eq!(traffic.prune_blocks(BlockKind::Cities, Day(7), 1).await.unwrap(), 1);
    assert_eq!(traffic.prune_blocks(BlockKind::Cities, Day(7), 10).await.unwrap(), 1);
    assert_eq!(traffic.prune_blocks(BlockKind::Cities, Day(7), 10).await.unwrap(), 0);
    assert_eq!(
        traffic.blocks(BlockKind::Cities, &[DomainId(1), DomainId(2)], Day(0)..=Day(9)).await.unwrap(),
        [block(DomainId(1), 6, 2)]
    );
    assert_eq!(
        traffic.blocks(BlockKind::Flux, &[DomainId(1), DomainId(2)], Day(0)..=Day(9)).await.unwrap(),
        flux
    );
}
