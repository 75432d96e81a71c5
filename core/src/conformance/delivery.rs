//! Releases over time, app keys, nodes, and what became of releases there.

use std::sync::Arc;

use chrono::TimeDelta;

use super::config::{add_app, add_item, release, version};
use super::{AWKWARD, moment, race};
use crate::config::{
    Ack, AckResult, AppId, AppKey, Deliverable, Delivery, DeliveryRepository, Node, NodeNumber, Release,
    ReleaseId, ReleaseKind, ReleaseState,
};
use crate::ports::Storage;

fn grey(item: i64, version: i64) -> Release {
    let nodes = vec!["11".into(), "fe80::1%eth0".into()];
    Release { kind: ReleaseKind::Grey, nodes, origin: Some(7), ..release(item, version) }
}

/// Releases keep all they are; ending touches one item's active ones of a kind.
pub async fn release_round_trip(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let (id, other) = (add_item(&storage, app, "k").await, add_item(&storage, app, "other").await);
    let mut work = storage.begin().await.unwrap();
    let releases = work.releases();
    let full = releases.insert(&release(id, 1)).await.unwrap();
    let kept = releases.insert(&release(other, 1)).await.unwrap();
    let part = releases.insert(&grey(id, 2)).await.unwrap();
    assert!(full < kept && kept < part);
    let (full_row, part_row) = (Release { id: full, ..release(id, 1) }, Release { id: part, ..grey(id, 2) });
    let kept_row = Release { id: kept, ..release(other, 1) };
    assert_eq!(releases.active(id).await.unwrap(), [full_row.clone(), part_row.clone()]);
    assert_eq!(releases.by_id(part).await.unwrap(), Some(part_row.clone()));
    assert_eq!(releases.by_id(part + 1).await.unwrap(), None);

    releases.end(id, Some(ReleaseKind::Grey), ReleaseState::Aborted, 20).await.unwrap();
    let aborted = Release { state: ReleaseState::Aborted, end_revision: Some(20), ..part_row };
    assert_eq!(releases.by_id(part).await.unwrap(), Some(aborted.clone()));
    assert_eq!(releases.active(id).await.unwrap(), std::slice::from_ref(&full_row));
    releases.end(id, None, ReleaseState::Superseded, 21).await.unwrap();
    let superseded = Release { state: ReleaseState::Superseded, end_revision: Some(21), ..full_row };
    assert_eq!(releases.active(id).await.unwrap(), []);
    assert_eq!(releases.by_id(part).await.unwrap(), Some(aborted.clone()), "what ended stays as it ended");

    let listed = [(aborted, "k".into()), (kept_row.clone(), "other".into()), (superseded, "k".into())];
    assert_eq!(releases.list(app, "dev", None, 10).await.unwrap(), listed);
    assert_eq!(releases.list(app, "dev", None, 2).await.unwrap(), listed[..2]);
    assert_eq!(releases.list(app, "dev", Some("other"), 10).await.unwrap(), [(kept_row, "other".into())]);
    assert_eq!(releases.list(app, "prod", None, 10).await.unwrap(), []);
    assert_eq!(releases.list(app + 1, "dev", None, 10).await.unwrap(), []);
}

/// What began or ended after a revision is found, with values of what is active; and, as a whole, what counts anyway.
pub async fn release_since(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let (id, other) = (add_item(&storage, app, "k").await, add_item(&storage, app, AWKWARD).await);
    let elsewhere = add_item(&storage, add_app(&storage, 2).await, "k").await;
    let mut work = storage.begin().await.unwrap();
    assert!(work.items().amend(id, &version(2)).await.unwrap());
    let releases = work.releases();
    let at = |release: Release, revision: i64| Release { revision, ..release };
    let first = releases.insert(&at(release(id, 1), 1)).await.unwrap();
    releases.insert(&at(release(elsewhere, 1), 9)).await.unwrap();
    let lone = releases.insert(&at(release(other, 1), 2)).await.unwrap();
    releases.end(id, None, ReleaseState::Superseded, 3).await.unwrap();
    let second = releases.insert(&at(release(id, 2), 3)).await.unwrap();
    let part = releases.insert(&at(grey(id, 1), 4)).await.unwrap();
    releases.end(other, None, ReleaseState::Superseded, 5).await.unwrap();
    let ids = |found: Vec<Deliverable>| found.into_iter().map(|found| found.release.id).collect::<Vec<_>>();
    assert_eq!(ids(releases.since(app, 0, false).await.unwrap()), [first, lone, second, part]);
    assert_eq!(ids(releases.since(app, 2, false).await.unwrap()), [first, lone, second, part]);
    assert_eq!(ids(releases.since(app, 3, false).await.unwrap()), [lone, part]);
    assert_eq!(ids(releases.since(app, 5, false).await.unwrap()), [0; 0]);
    assert_eq!(
        ids(releases.since(app, 5, true).await.unwrap()),
        [lone, second, part],
        "the last and the active"
    );
    let found = releases.since(app, 4, true).await.unwrap();
    let row = |release: Release, key: &str, value: Option<String>| Deliverable {
        release,
        profile: "dev".into(),
        key: key.into(),
        value,
    };
    let ended = Release {
        id: lone,
        state: ReleaseState::Superseded,
        end_revision: Some(5),
        ..at(release(other, 1), 2)
    };
    assert_eq!(found[0], row(ended, AWKWARD, None));
    let value = |n: i64| Some(version(n).content.value);
    assert_eq!(found[1], row(Release { id: second, ..at(release(id, 2), 3) }, "k", value(2)));
    assert_eq!(found[2], row(Release { id: part, ..at(grey(id, 1), 4) }, "k", value(1)));
}

fn key(app: AppId, n: u8) -> AppKey {
    AppKey { id: 0, app, salt: [n; 32], digest: [!n; 32], create_time: moment(n.into()) }
}

/// Keys are found by id, app and digest, and deleted; revisions and keys of several apps are told at once.
pub async fn app_key_round_trip(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    let keys = work.app_keys();
    let a = keys.insert(&key(first, 1)).await.unwrap();
    let b = keys.insert(&key(second, 2)).await.unwrap();
    let c = keys.insert(&key(first, 3)).await.unwrap();
    let (a_row, c_row) = (AppKey { id: a, ..key(first, 1) }, AppKey { id: c, ..key(first, 3) });
    assert_eq!(keys.of_app(first).await.unwrap(), [a_row.clone(), c_row]);
    assert_eq!(keys.find(a).await.unwrap(), Some(a_row));
    assert_eq!(keys.find(c + 1).await.unwrap(), None);
    assert_eq!(keys.app_by_digest(&[!2; 32]).await.unwrap(), Some(second));
    assert_eq!(keys.app_by_digest(&[2; 32]).await.unwrap(), None);
    assert_eq!(keys.ids(&[second, first]).await.unwrap(), [(first, a), (second, b), (first, c)]);
    assert_eq!(keys.ids(&[second]).await.unwrap(), [(second, b)]);
    assert_eq!(keys.ids(&[]).await.unwrap(), []);
    assert!(keys.delete(a).await.unwrap() && !keys.delete(a).await.unwrap());
    assert_eq!(keys.app_by_digest(&[!1; 32]).await.unwrap(), None);
    assert_eq!(work.apps().raise_revision(second).await.unwrap(), Some(1));
    let revisions = work.apps().revisions(&[second, second + 1, first]).await.unwrap();
    assert_eq!(revisions, [(first, 0), (second, 1)]);
    assert!(work.apps().delete(first).await.unwrap());
    assert_eq!(work.app_keys().find(c).await.unwrap(), None, "keys go with their app");
}

/// A node told apart by `n`, with its lease until moment `n`.
pub fn node(app: AppId, n: i64) -> Node {
    Node {
        number: 0,
        app,
        profile: "dev".into(),
        node_id: format!("fe80::{n}%eth0"),
        pid: AWKWARD.into(),
        ip: "fe80::1".parse().ok(),
        labels: [
            ("zone".to_owned(), format!("a:{n} {AWKWARD}").replace(',', ";")),
            ("empty".to_owned(), String::new()),
        ]
        .into(),
        register_time: moment(n),
        lease_until: moment(n),
        left: false,
    }
}

/// Nodes register, again, are listed, renewed, leave and are forgotten.
pub async fn node_round_trip(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    let nodes = work.nodes();
    let a = nodes.register(&node(first, 1)).await.unwrap().unwrap();
    let b = nodes.register(&node(first, 2)).await.unwrap().unwrap();
    let elsewhere = Node { profile: "Dev".into(), ..node(first, 1) };
    let c = nodes.register(&elsewhere).await.unwrap().unwrap();
    let d = nodes.register(&node(second, 1)).await.unwrap().unwrap();
    assert_eq!(nodes.register(&node(second + 1, 1)).await.unwrap(), None);
    assert!(a < b && b < c && c < d);
    let (a_row, b_row) = (Node { number: a, ..node(first, 1) }, Node { number: b, ..node(first, 2) });
    assert_eq!(nodes.list(first, "dev").await.unwrap(), [a_row.clone(), b_row.clone()]);
    assert_eq!(nodes.find(first, "dev", &node(0, 2).node_id).await.unwrap(), Some(b_row.clone()));
    assert_eq!(nodes.find(second, "dev", &node(0, 2).node_id).await.unwrap(), None);
    let named = |number, profile: &str, n| (number, profile.to_owned(), node(0, n).node_id);
    let present = [named(a, "dev", 1), named(b, "dev", 2), named(c, "Dev", 1)];
    assert_eq!(nodes.present(first).await.unwrap(), present);
    let until = node(first, 1).lease_until;
    let before = until - chrono::TimeDelta::microseconds(1);
    assert_eq!(nodes.count_online(first, "dev", before).await.unwrap(), 2);
    assert_eq!(nodes.count_online(first, "dev", until).await.unwrap(), 1, "a lease ends at its time");
    assert_eq!(nodes.count_online(second, "Dev", before).await.unwrap(), 0);

    assert!(nodes.leave(a).await.unwrap() && !nodes.leave(a).await.unwrap());
    assert_eq!(nodes.present(first).await.unwrap(), present[1..]);
    assert_eq!(nodes.count_online(first, "dev", before).await.unwrap(), 1, "who left is not online");
    nodes.renew(&[a, b, d + 1], moment(50)).await.unwrap();
    nodes.renew(&[], moment(90)).await.unwrap();
    let renewed = Node { lease_until: moment(50), ..b_row };
    let gone = Node { left: true, ..a_row };
    assert_eq!(nodes.list(first, "dev").await.unwrap(), [gone, renewed.clone()]);
    nodes.renew(&[b], moment(40)).await.unwrap();
    assert_eq!(nodes.list(first, "dev").await.unwrap()[1], renewed, "a lease does not become shorter");

    let bare =
        Node { ip: None, labels: [].into(), pid: String::new(), lease_until: moment(60), ..node(first, 1) };
    assert_eq!(nodes.register(&bare).await.unwrap(), Some(a), "it comes back as what it was");
    assert_eq!(nodes.list(first, "dev").await.unwrap(), [Node { number: a, ..bare }, renewed]);
    assert_eq!(nodes.prune(moment(50)).await.unwrap(), 2);
    let numbers: Vec<_> = nodes.list(first, "dev").await.unwrap().iter().map(|node| node.number).collect();
    assert_eq!(numbers, [a, b]);
    assert_eq!(nodes.list(second, "dev").await.unwrap(), []);
    assert!(work.apps().delete(first).await.unwrap());
    assert_eq!(work.nodes().find(first, "dev", &node(0, 1).node_id).await.unwrap(), None);
}

/// What nodes are to be told again is noted once, found by app, and taken by one.
pub async fn node_drift(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    let nodes = work.nodes();
    let a = nodes.register(&node(first, 1)).await.unwrap().unwrap();
    let b = nodes.register(&node(second, 1)).await.unwrap().unwrap();
    let keys = ["b", AWKWARD, "B"].map(str::to_owned);
    let [k, awkward, upper] = keys.clone();
    nodes.add_drift(&[]).await.unwrap();
    nodes
        .add_drift(&[(b, k.clone()), (a, k.clone()), (a, awkward.clone()), (b + 1, k.clone())])
        .await
        .unwrap();
    nodes.add_drift(&[(a, k.clone()), (a, upper.clone())]).await.unwrap();
    let of_first = [(first, a, upper.clone()), (first, a, k.clone()), (first, a, awkward)];
    assert_eq!(nodes.drift(&[first]).await.unwrap(), of_first);
    assert_eq!(nodes.drift(&[second, first]).await.unwrap().len(), 4);
    assert_eq!(nodes.drift(&[]).await.unwrap(), []);
    work.commit().await.unwrap();
    let taken = race(&storage, move |storage: Arc<dyn Storage>, _| async move {
        let mut work = storage.begin().await.unwrap();
        let taken = work.nodes().remove_drift(a, "B").await.unwrap();
        work.commit().await.unwrap();
        taken
    })
    .await;
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
    let mut work = storage.begin().await.unwrap();
    assert_eq!(work.nodes().drift(&[first]).await.unwrap(), of_first[1..]);
    work.nodes().prune(moment(100)).await.unwrap();
    assert_eq!(work.nodes().drift(&[first, second]).await.unwrap(), []);
}

/// Of many that register as one node at once, all are that node.
pub async fn node_race_for_one_id(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let numbers = race(&storage, move |storage: Arc<dyn Storage>, _| async move {
        let mut work = storage.begin().await.unwrap();
        let number = work.nodes().register(&node(app, 1)).await.unwrap().unwrap();
        work.commit().await.unwrap();
        number
    })
    .await;
    assert!(numbers.iter().all(|number| *number == numbers[0]), "{numbers:?}");
    assert_eq!(storage.read().await.unwrap().nodes().list(app, "dev").await.unwrap().len(), 1);
}

/// Whoever registers with an app while it is deleted goes with it or is refused, and nothing breaks.
pub async fn node_race_with_its_app(storage: Arc<dyn Storage>) {
    for round in 0..8 {
        let app = add_app(&storage, round).await;
        race(&storage, move |storage: Arc<dyn Storage>, n| async move {
            let mut work = storage.begin().await.unwrap();
            if n == 7 {
                assert!(work.apps().delete(app).await.unwrap());
            } else {
                work.nodes().register(&node(app, n)).await.unwrap();
            }
            work.commit().await.unwrap();
        })
        .await;
        assert_eq!(storage.read().await.unwrap().nodes().list(app, "dev").await.unwrap(), []);
    }
}

fn sent(release: ReleaseId, node: NodeNumber, n: i64) -> Delivery {
    Delivery { release, node, sent: Some(moment(n)), ack: None }
}

fn acked(release: ReleaseId, node: NodeNumber, n: i64, result: AckResult) -> Delivery {
    let ack = Ack { result, message: format!("{AWKWARD} {n}"), time: moment(n) };
    Delivery { release, node, sent: None, ack: Some(ack) }
}

/// The first sending and the last answer count, in whatever order they come; what is gone is passed over.
pub async fn delivery_round_trip(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let item = add_item(&storage, app, "k").await;
    let mut work = storage.begin().await.unwrap();
    let one = work.releases().insert(&release(item, 1)).await.unwrap();
    let two = work.releases().insert(&grey(item, 1)).await.unwrap();
    let a = work.nodes().register(&node(app, 1)).await.unwrap().unwrap();
    let b = work.nodes().register(&node(app, 2)).await.unwrap().unwrap();
    let rejected = acked(two, a, 5, AckResult::Rejected);
    let deliveries = work.deliveries();
    deliveries.record(&[]).await.unwrap();
    deliveries
        .record(&[
            sent(one, a, 3),
            sent(one, b, 4),
            rejected.clone(),
            sent(two + 1, a, 1),
            sent(one, b + 1, 1),
        ])
        .await
        .unwrap();
    assert_eq!(
        deliveries.of_releases(&[two, one]).await.unwrap(),
        [sent(one, a, 3), sent(one, b, 4), rejected.clone()]
    );
    assert_eq!(deliveries.of_releases(&[two]).await.unwrap(), std::slice::from_ref(&rejected));
    assert_eq!(deliveries.of_releases(&[]).await.unwrap(), []);

    let (failed, applied) = (acked(one, a, 6, AckResult::Failed), acked(one, a, 8, AckResult::Applied));
    deliveries.record(&[sent(two, a, 9), sent(one, b, 5), failed]).await.unwrap();
    deliveries.record(&[sent(one, b, 2), applied.clone()]).await.unwrap();
    deliveries
        .record(&[acked(one, a, 7, AckResult::Rejected), acked(two, a, 5, AckResult::Applied)])
        .await
        .unwrap();
    let expected = [
        Delivery { sent: sent(one, a, 3).sent, ..applied },
        sent(one, b, 2),
        Delivery { sent: sent(two, a, 9).sent, ..rejected },
    ];
    assert_eq!(deliveries.of_releases(&[one, two]).await.unwrap(), expected);
    work.nodes().prune(moment(2)).await.unwrap();
    assert_eq!(work.deliveries().of_releases(&[one, two]).await.unwrap(), [sent(one, b, 2)]);
    assert!(work.apps().delete(app).await.unwrap());
    assert_eq!(work.deliveries().of_releases(&[one, two]).await.unwrap(), []);
}

/// What became of releases that ended long ago is forgotten, so many at a time; not of those that another one followed
/// which counts, or did not end so long ago.
pub async fn delivery_prune(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let item = add_item(&storage, app, "k").await;
    let mut work = storage.begin().await.unwrap();
    let a = work.nodes().register(&node(app, 1)).await.unwrap().unwrap();
    let mut add = async |state, published, origin| {
        let release = Release { state, publish_time: moment(published), origin, ..release(item, published) };
        let id = work.releases().insert(&release).await.unwrap();
        work.deliveries().record(&[sent(id, a, published)]).await.unwrap();
        id
    };
    let over = ReleaseState::Superseded;
    let one = add(over, 1, None).await;
    let two = add(over, 2, None).await;
    let grey = add(ReleaseState::Promoted, 3, None).await;
    let wider = add(ReleaseState::Promoted, 4, Some(grey)).await;
    let recent = add(over, 20, Some(two)).await;
    let present = add(ReleaseState::Active, 5, Some(wider)).await;
    let other = add(over, 6, Some(one)).await;
    let all = [one, two, grey, wider, recent, present, other];
    let deliveries = work.deliveries();
    assert_eq!(deliveries.prune(moment(1), 10).await.unwrap(), 0);
    assert_eq!(deliveries.prune(moment(10), 1).await.unwrap(), 1);
    let known = async |deliveries: &mut dyn DeliveryRepository| -> Vec<ReleaseId> {
        deliveries.of_releases(&all).await.unwrap().iter().map(|delivery| delivery.release).collect()
    };
    let mut expected = vec![two, grey, wider, recent, present, other];
    expected.sort_unstable();
    assert_eq!(known(deliveries).await, expected);
    assert_eq!(deliveries.prune(moment(10), 10).await.unwrap(), 1);
    expected.retain(|id| *id != other);
    assert_eq!(known(deliveries).await, expected);
    assert_eq!(deliveries.prune(moment(10), 10).await.unwrap(), 0);
    assert_eq!(deliveries.prune(moment(30), 10).await.unwrap(), 2, "recent, and what it followed");
}

/// Thousands of reports are one call, and many calls at once lose none.
pub async fn delivery_race(storage: Arc<dyn Storage>) {
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
            work.deliveries().record(&reports).await.unwrap();
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
