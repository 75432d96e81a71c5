//! Delivery records: when each release was sent to each node, and what the node answered.

use std::sync::Arc;

use chrono::TimeDelta;
use pilothouse_core::config::{
    Ack, AckResult, DeliveryRecord, DeliveryRepository, HeldVersion, ItemId, NodeAck, NodeNumber, Release,
    ReleaseId, ReleaseState,
};
use pilothouse_core::ports::{Storage, UnitOfWork};

use super::node::node;
use super::release::{grey, release};
use crate::race::race;
use crate::rows::{AWKWARD, add_app, add_item, moment};

fn sent(release: ReleaseId, node: NodeNumber, n: i64) -> DeliveryRecord {
    DeliveryRecord { release, node, sent: Some(moment(n)), ack: None }
}

fn acked(release: ReleaseId, node: NodeNumber, n: i64, result: AckResult) -> DeliveryRecord {
    let ack = Ack { result, message: format!("{AWKWARD} {n}"), time: moment(n) };
    DeliveryRecord { release, node, sent: None, ack: Some(ack) }
}

/// The first sending and the last answer count, in whatever order they come; what is gone is passed over.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let item = add_item(&storage, app, "k").await;
    let mut work = storage.begin().await.unwrap();
    let one = work.releases().insert(&release(item, 1)).await.unwrap();
    let two = work.releases().insert(&grey(item, 1)).await.unwrap();
    let a = work.nodes().register(&node(app, 1)).await.unwrap().unwrap();
    let b = work.nodes().register(&node(app, 2)).await.unwrap().unwrap();
    let rejected = acked(two, a, 5, AckResult::Rejected);
    let deliveries = work.deliveries();
    deliveries.record(&[], moment(9)).await.unwrap();
    deliveries
        .record(
            &[
                sent(one, a, 3),
                sent(one, b, 4),
                rejected.clone(),
                sent(ReleaseId(two.0 + 1), a, 1),
                sent(one, NodeNumber(b.0 + 1), 1),
            ],
            moment(9),
        )
        .await
        .unwrap();
    assert_eq!(
        deliveries.of_releases(&[two, one]).await.unwrap(),
        [sent(one, a, 3), sent(one, b, 4), rejected.clone()]
    );
    assert_eq!(deliveries.of_releases(&[two]).await.unwrap(), std::slice::from_ref(&rejected));
    assert_eq!(deliveries.of_releases(&[]).await.unwrap(), []);

    let (failed, applied) = (acked(one, a, 6, AckResult::Failed), acked(one, a, 8, AckResult::Applied));
    deliveries.record(&[sent(two, a, 9), sent(one, b, 5), failed], moment(9)).await.unwrap();
    deliveries.record(&[sent(one, b, 2), applied.clone()], moment(9)).await.unwrap();
    deliveries
        .record(&[acked(one, a, 7, AckResult::Rejected), acked(two, a, 5, AckResult::Applied)], moment(9))
        .await
        .unwrap();
    let expected = [
        DeliveryRecord { sent: sent(one, a, 3).sent, ..applied },
        sent(one, b, 2),
        DeliveryRecord { sent: sent(two, a, 9).sent, ..rejected },
    ];
    assert_eq!(deliveries.of_releases(&[one, two]).await.unwrap(), expected);
    work.nodes().prune(moment(2), 10).await.unwrap();
    assert_eq!(work.deliveries().of_releases(&[one, two]).await.unwrap(), [sent(one, b, 2)]);
    assert!(work.apps().delete(app).await.unwrap());
    assert_eq!(work.deliveries().of_releases(&[one, two]).await.unwrap(), []);
}

/// An acknowledgement of a clock that was ahead gives way to one of now.
pub(crate) async fn acknowledgement_of_a_clock_ahead_gives_way(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let item = add_item(&storage, app, "k").await;
    let mut work = storage.begin().await.unwrap();
    let one = work.releases().insert(&release(item, 1)).await.unwrap();
    let a = work.nodes().register(&node(app, 1)).await.unwrap().unwrap();
    let b = work.nodes().register(&node(app, 2)).await.unwrap().unwrap();
    let ahead = acked(one, a, 100, AckResult::Rejected);
    work.deliveries()
        .record(&[ahead.clone(), acked(one, b, 5, AckResult::Applied)], moment(100))
        .await
        .unwrap();
    work.deliveries().record(&[acked(one, a, 60, AckResult::Failed)], moment(100)).await.unwrap();
    let of = async |work: &mut dyn UnitOfWork| work.deliveries().of_releases(&[one]).await.unwrap();
    assert_eq!(of(&mut *work).await[0], ahead, "not later than now, so that the later one counts");
    work.deliveries().record(&[sent(one, a, 70)], moment(70)).await.unwrap();
    let known = DeliveryRecord { sent: sent(one, a, 70).sent, ..ahead };
    assert_eq!(of(&mut *work).await[0], known, "a sending is no acknowledgement");
    let (applied, earlier) = (acked(one, a, 70, AckResult::Applied), acked(one, b, 4, AckResult::Failed));
    work.deliveries().record(&[applied.clone(), earlier], moment(70)).await.unwrap();
    let known = DeliveryRecord { sent: sent(one, a, 70).sent, ..applied };
    assert_eq!(of(&mut *work).await, [known, acked(one, b, 5, AckResult::Applied)]);
}

/// A node holds what it last acknowledged as applied, among the last releases of the item.
pub(crate) async fn held_versions(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let (item, other) = (add_item(&storage, app, "k").await, add_item(&storage, app, "other").await);
    let mut work = storage.begin().await.unwrap();
    let mut of_item = Vec::new();
    for version in [1, 3, 2] {
        of_item.push(work.releases().insert(&release(item, version)).await.unwrap());
    }
    let [one, three, two] = of_item[..] else { panic!("{of_item:?}") };
    let elsewhere = work.releases().insert(&release(other, 9)).await.unwrap();
    let mut nodes = Vec::new();
    for n in 1..=4 {
        nodes.push(work.nodes().register(&node(app, n)).await.unwrap().unwrap());
    }
    let [a, b, c, d] = nodes[..] else { panic!("{nodes:?}") };
    let applied = |release, node, n| acked(release, node, n, AckResult::Applied);
    let records = [
        applied(one, a, 1),
        applied(three, a, 5),
        acked(two, a, 6, AckResult::Rejected),
        applied(elsewhere, a, 9),
        applied(one, b, 2),
        applied(three, c, 4),
        applied(two, c, 4),
        sent(two, d, 7),
    ];
    work.deliveries().record(&records, moment(10)).await.unwrap();
    let held = async |work: &mut dyn UnitOfWork, item: ItemId, of: &[NodeNumber], releases| {
        let held = work.deliveries().held(item, of, releases).await.unwrap();
        held.into_iter().map(|HeldVersion { node, version, .. }| (node, version)).collect::<Vec<_>>()
    };
    assert_eq!(held(&mut *work, item, &[d, c, b, a], 10).await, [(a, 3), (b, 1), (c, 3)]);
    assert_eq!(
        held(&mut *work, item, &[a, b], 2).await,
        [(a, 3)],
        "the first release is the third from the last"
    );
    assert_eq!(held(&mut *work, other, &nodes, 10).await, [(a, 9)]);
    assert_eq!(held(&mut *work, item, &[], 10).await, []);
    work.commit().await.unwrap();
}

/// Of each key the newest acknowledgement that applied it and the newest other one are answered.
pub(crate) async fn of_a_node(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let (item, other) = (add_item(&storage, app, "k").await, add_item(&storage, app, AWKWARD).await);
    let mut work = storage.begin().await.unwrap();
    let a = work.nodes().register(&node(app, 1)).await.unwrap().unwrap();
    let b = work.nodes().register(&node(app, 2)).await.unwrap().unwrap();
    let mut releases = Vec::new();
    for (item, version) in [(item, 1), (item, 2), (item, 3), (item, 4), (other, 5), (other, 0)] {
        releases.push(work.releases().insert(&release(item, version)).await.unwrap());
    }
    let [one, two, three, four, five, gone] = releases[..] else { panic!("{releases:?}") };
    let records = [
        acked(one, a, 4, AckResult::Applied),
        acked(two, a, 3, AckResult::Applied),
        acked(three, a, 5, AckResult::Rejected),
        acked(four, a, 6, AckResult::Failed),
        acked(four, b, 7, AckResult::Applied),
        acked(five, a, 8, AckResult::Applied),
        acked(gone, a, 8, AckResult::Applied),
        sent(one, b, 9),
    ];
    assert_eq!(work.deliveries().of_node(a).await.unwrap(), []);
    work.deliveries().record(&records, moment(10)).await.unwrap();
    let of = |key: &str, version, n, result| NodeAck {
        key: key.into(),
        version,
        ack: acked(one, a, n, result).ack.unwrap(),
    };
    let expected = [
        of("k", 4, 6, AckResult::Failed),
        of("k", 1, 4, AckResult::Applied),
        of(AWKWARD, 0, 8, AckResult::Applied),
    ];
    assert_eq!(work.deliveries().of_node(a).await.unwrap(), expected);
    assert_eq!(work.deliveries().of_node(b).await.unwrap(), [of("k", 4, 7, AckResult::Applied)]);
    let newest = work.deliveries().newest_of_node(a, 3).await.unwrap();
    assert_eq!(newest, [records[6].clone(), records[5].clone(), records[3].clone()], "newest first");
    let of_b = work.deliveries().newest_of_node(b, 10).await.unwrap();
    assert_eq!(of_b, [records[4].clone(), records[7].clone()]);
    work.commit().await.unwrap();
}

/// Delivery records of releases that ended long ago in all of their parts are pruned in batches.
pub(crate) async fn prune(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let (item, other) = (add_item(&storage, app, "k").await, add_item(&storage, app, "other").await);
    let mut work = storage.begin().await.unwrap();
    let a = work.nodes().register(&node(app, 1)).await.unwrap().unwrap();
    let mut add = async |state, published, origin| {
        let release = Release { state, publish_time: moment(published), origin, ..release(item, published) };
        let id = work.releases().insert(&release).await.unwrap();
        work.deliveries().record(&[sent(id, a, published)], moment(99)).await.unwrap();
        id
    };
    let over = ReleaseState::Superseded;
    let one = add(over, 1, None).await;
    let two = add(ReleaseState::Promoted, 2, None).await;
    let recent = add(over, 20, Some(two)).await;
    let present = add(ReleaseState::Active, 5, Some(two)).await;
    let set = add(ReleaseState::Aborted, 6, None).await;
    let partly = add(over, 7, None).await;
    let part = |set, state| Release { set: Some(set), state, ..release(other, 1) };
    work.releases().insert_parts(&[part(set, over), part(partly, ReleaseState::Active)]).await.unwrap();
    let all = [one, two, recent, present, set, partly];
    let deliveries = work.deliveries();
    assert_eq!(deliveries.prune(moment(1), 10).await.unwrap(), 0);
    assert_eq!(deliveries.prune(moment(10), 1).await.unwrap(), 1);
    let known = async |deliveries: &mut dyn DeliveryRepository| -> Vec<ReleaseId> {
        deliveries.of_releases(&all).await.unwrap().iter().map(|delivery| delivery.release).collect()
    };
    assert_eq!(known(deliveries).await, [two, recent, present, set, partly]);
    assert_eq!(deliveries.prune(moment(10), 10).await.unwrap(), 2);
    assert_eq!(known(deliveries).await, [recent, present, partly]);
    assert_eq!(deliveries.prune(moment(10), 10).await.unwrap(), 0);
    assert_eq!(deliveries.prune(moment(30), 10).await.unwrap(), 1);
}

/// Thousands of reports are one call, and many calls at once lose none.
pub(crate) async fn race_of_reports(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let item = add_item(&storage, app, "k").await;
    let mut work = storage.begin().await.unwrap();
    let one = work.releases().insert(&release(item, 1)).await.unwrap();
    let mut numbers = Vec::new();
    for n in 0..120 {
        numbers.push(work.nodes().register(&node(app, n)).await.unwrap().unwrap());
    }
    work.commit().await.unwrap();
    let nodes = numbers.clone();
    race(&storage, move |storage: Arc<dyn Storage>, n| {
        let reports: Vec<_> = nodes.iter().map(|node| sent(one, *node, n)).collect();
        async move {
            let mut work = storage.begin().await.unwrap();
            work.deliveries().record(&reports, moment(99)).await.unwrap();
            work.commit().await.unwrap();
        }
    })
    .await;
    let found = storage.read().await.unwrap().deliveries().of_releases(&[one]).await.unwrap();
    assert_eq!(found, numbers.iter().map(|node| sent(one, *node, 0)).collect::<Vec<_>>());
    let mut work = storage.begin().await.unwrap();
    let later = moment(0) + TimeDelta::seconds(1);
    work.nodes().renew(&numbers, later).await.unwrap();
    assert!(work.nodes().list(app, "dev").await.unwrap().iter().all(|node| node.lease_until == later));
}
