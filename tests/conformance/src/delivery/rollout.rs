//! Rollouts: counts of delivery records, the nodes that a release concerns, and acknowledgements of parts.

use std::sync::Arc;

use pilothouse_core::config::{
    Ack, AckResult, AppId, AppliedTimes, ConcernedNodes, DeliveryCount, DeliveryRecord, GreysBeside, Node,
    NodeAck, NodeCensus, NodeNumber, NodePage, NodeState, PartAck, PartId, ProfileAt, ReachCount, Release,
    ReleaseId, ReleaseKind, ReleasePart, ReleaseSize, ReleaseState, ReleasedItem, RolloutNode,
};
use pilothouse_core::ports::{Storage, UnitOfWork};

use super::node::node;
use super::release::release;
use crate::rows::{AWKWARD, add_app, add_item, moment};

fn ack(n: i64, result: AckResult) -> Ack {
    Ack { result, message: format!("{AWKWARD} {n}"), time: moment(n) }
}

fn record(release: ReleaseId, node: NodeNumber, ack: Option<Ack>) -> DeliveryRecord {
    DeliveryRecord { release, node, sent: Some(moment(1)), ack }
}

/// The nodes `numbers` of an app, whose leases end at the moments of these numbers.
async fn add_nodes(
    work: &mut dyn UnitOfWork,
    app: AppId,
    numbers: impl Iterator<Item = i64>,
) -> Vec<NodeNumber> {
    let mut added = Vec::new();
    for n in numbers {
        added.push(work.nodes().register(&node(app, n)).await.unwrap().unwrap());
    }
    added
}

/// Counts follow every way in which records come, change and go. Records of nodes of other profiles are skipped.
pub(crate) async fn counts(storage: Arc<dyn Storage>) {
    let (app, other) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let item = add_item(&storage, app, "k").await;
    let mut work = storage.begin().await.unwrap();
    let one = work.releases().insert(&release(item, 1)).await.unwrap();
    let two = work.releases().insert(&release(item, 2)).await.unwrap();
    let nodes = add_nodes(&mut *work, app, 1..=4).await;
    let [a, b, c, d] = nodes[..] else { panic!("{nodes:?}") };
    let foreign = work.nodes().register(&node(other, 1)).await.unwrap().unwrap();
    let elsewhere = Node { profile: "prod".into(), ..node(app, 1) };
    let elsewhere = work.nodes().register(&elsewhere).await.unwrap().unwrap();
    let count = |release, [nodes, applied, rejected, failed]: [i64; 4]| DeliveryCount {
        release,
        nodes,
        applied,
        rejected,
        failed,
    };
    assert_eq!(work.deliveries().counts(&[one, two]).await.unwrap(), []);
    let records = [
        record(one, a, None),
        record(one, b, Some(ack(5, AckResult::Applied))),
        record(one, c, Some(ack(5, AckResult::Rejected))),
        record(two, d, Some(ack(5, AckResult::Failed))),
        record(one, foreign, Some(ack(5, AckResult::Applied))),
        record(one, elsewhere, None),
    ];
    work.deliveries().record(&records, moment(9)).await.unwrap();
    let first = [count(one, [3, 1, 1, 0]), count(two, [1, 0, 0, 1])];
    assert_eq!(work.deliveries().counts(&[two, one]).await.unwrap(), first);
    assert_eq!(first[0].open(), 1);
    let records = [
        record(one, a, Some(ack(6, AckResult::Failed))),
        record(one, b, Some(ack(6, AckResult::Rejected))),
        record(one, c, Some(ack(4, AckResult::Applied))),
        record(two, d, None),
    ];
    work.deliveries().record(&records, moment(9)).await.unwrap();
    let changed = [count(one, [3, 0, 2, 1]), count(two, [1, 0, 0, 1])];
    assert_eq!(work.deliveries().counts(&[one, two]).await.unwrap(), changed);
    let records = [record(one, a, None), record(one, c, Some(ack(7, AckResult::Applied)))];
    work.deliveries().replace_acks(&records).await.unwrap();
    assert_eq!(work.deliveries().counts(&[one]).await.unwrap(), [count(one, [3, 1, 1, 0])]);
    work.deliveries().replace_acks(&[]).await.unwrap();
    let found = work.deliveries().find(&[(one, c), (one, a), (two, a)]).await.unwrap();
    assert_eq!(found, [record(one, a, None), record(one, c, Some(ack(7, AckResult::Applied)))]);
    assert_eq!(work.nodes().prune(moment(3), 10).await.unwrap(), 4, "also those of other profiles");
    assert_eq!(work.deliveries().counts(&[one]).await.unwrap(), [count(one, [1, 1, 0, 0])]);
    work.releases().end(item, None, ReleaseState::Superseded, 9).await.unwrap();
    assert_eq!(work.deliveries().prune(moment(2), 10).await.unwrap(), 1);
    assert_eq!(work.deliveries().counts(&[one, two]).await.unwrap(), [count(two, [1, 0, 0, 1])]);
    assert!(work.apps().delete(app).await.unwrap());
    assert_eq!(work.deliveries().counts(&[one, two]).await.unwrap(), []);
}

/// A full release concerns the nodes with a record, and where it is for everyone those that have not left and are not
/// excepted.
pub(crate) async fn concerned_nodes(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let item = add_item(&storage, app, "k").await;
    let mut work = storage.begin().await.unwrap();
    let one = work.releases().insert(&release(item, 1)).await.unwrap();
    // The leases of the first two have ended at the moment 2.
    let nodes = add_nodes(&mut *work, app, 1..=7).await;
    let id = |n: i64| node(app, n).node_id;
    assert!(work.nodes().leave(nodes[5]).await.unwrap() && work.nodes().leave(nodes[6]).await.unwrap());
    let applied = ack(5, AckResult::Applied);
    let records = [
        record(one, nodes[0], Some(applied.clone())),
        record(one, nodes[1], None),
        record(one, nodes[2], None),
        record(one, nodes[3], Some(ack(5, AckResult::Rejected))),
        record(one, nodes[6], None),
    ];
    work.deliveries().record(&records, moment(9)).await.unwrap();
    let of = ProfileAt { app, profile: "dev", now: moment(2) };
    let census = NodeCensus { online: 3, offline: 2, left: 2 };
    assert_eq!(work.nodes().census(app, "dev", of.now).await.unwrap(), census);
    assert_eq!(work.nodes().census(app, "prod", of.now).await.unwrap(), NodeCensus::default());
    let shown = async |work: &mut dyn UnitOfWork, everyone, except: &[&str], page: NodePage| {
        let concerned = ConcernedNodes { release: one, everyone, except };
        let found = work.deliveries().rollout_nodes(of, &concerned, page).await.unwrap();
        found.into_iter().map(|node: RolloutNode| (node.number, node.state)).collect::<Vec<_>>()
    };
    let [applied_at, offline, sent, rejected, pending, gone] = [
        (nodes[0], NodeState::Applied),
        (nodes[1], NodeState::Offline),
        (nodes[2], NodeState::Sent),
        (nodes[3], NodeState::Rejected),
        (nodes[4], NodeState::Pending),
        (nodes[6], NodeState::Offline),
    ];
    let all = [applied_at, offline, sent, rejected, pending, gone];
    assert_eq!(shown(&mut *work, true, &[], NodePage::WHOLE).await, all);
    assert_eq!(
        shown(&mut *work, false, &[], NodePage::WHOLE).await,
        [applied_at, offline, sent, rejected, gone]
    );
    let (fifth, third) = (id(5), id(3));
    let except = [&*fifth, &*third, "unknown"];
    assert_eq!(
        shown(&mut *work, true, &except, NodePage::WHOLE).await,
        [applied_at, offline, sent, rejected, gone],
        "a record counts all the same"
    );
    let page = NodePage { state: None, start: 1, count: 2 };
    assert_eq!(shown(&mut *work, true, &[], page).await, [offline, sent]);
    let page = NodePage { state: Some(NodeState::Offline), start: 1, count: 2 };
    assert_eq!(shown(&mut *work, true, &[], page).await, [gone]);
    let page = NodePage { state: Some(NodeState::Failed), ..NodePage::WHOLE };
    assert_eq!(shown(&mut *work, true, &[], page).await, []);
    let concerned = ConcernedNodes { release: one, everyone: true, except: &[] };
    assert_eq!(work.deliveries().rollout_states(of, &concerned).await.unwrap(), [1, 1, 1, 1, 0, 2]);
    let concerned = ConcernedNodes { everyone: false, ..concerned };
    assert_eq!(work.deliveries().rollout_states(of, &concerned).await.unwrap(), [0, 1, 1, 1, 0, 2]);

    let named = work.deliveries().named_nodes(of, one, &[&fifth, "unknown", &id(1), &id(6)]).await.unwrap();
    let expected = |n: usize, state, sent: Option<i64>, ack| RolloutNode {
        number: nodes[n - 1],
        node_id: id(i64::try_from(n).unwrap()),
        state,
        sent: sent.map(moment),
        ack,
    };
    let named_expected = [
        expected(1, NodeState::Applied, Some(1), Some(applied)),
        expected(5, NodeState::Pending, None, None),
        expected(6, NodeState::Offline, None, None),
    ];
    assert_eq!(named, named_expected);
    let reach = |left, is_acked, nodes| ReachCount { release: one, left, is_acked, nodes };
    let deliveries = work.deliveries();
    assert_eq!(
        deliveries.reach(of, &[one, ReleaseId(one.0 + 1)], false).await.unwrap(),
        [reach(false, false, 1), reach(false, true, 1), reach(true, false, 1)]
    );
    assert_eq!(
        deliveries.reach(of, &[one], true).await.unwrap(),
        [reach(false, false, 1), reach(false, true, 1)]
    );
    assert_eq!(deliveries.reach(of, &[], true).await.unwrap(), []);
}

/// Records at nodes that are offline, of releases beside each other and of releases with many others between them.
pub(crate) async fn reach(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let item = add_item(&storage, app, "k").await;
    let mut work = storage.begin().await.unwrap();
    let nodes = add_nodes(&mut *work, app, 1..=3).await;
    let mut releases = Vec::new();
    for version in 1..=40 {
        let release = work.releases().insert(&release(item, version)).await.unwrap();
        work.deliveries().record(&[record(release, nodes[0], None)], moment(9)).await.unwrap();
        releases.push(release);
    }
    let (first, last) = (releases[0], releases[39]);
    let applied = Some(ack(5, AckResult::Applied));
    work.deliveries().record(&[record(last, nodes[1], applied)], moment(9)).await.unwrap();
    // All leases have ended.
    let of = ProfileAt { app, profile: "dev", now: moment(1000) };
    let count = |release, is_acked| ReachCount { release, left: false, is_acked, nodes: 1 };
    let mut reach =
        async |releases: &[ReleaseId]| work.deliveries().reach(of, releases, false).await.unwrap();
    assert_eq!(reach(&[first, last]).await, [count(first, false), count(last, false), count(last, true)]);
    let mut all: Vec<ReachCount> = releases.iter().map(|release| count(*release, false)).collect();
    all.push(count(last, true));
    assert_eq!(reach(&releases).await, all);
    releases.remove(20);
    all.remove(20);
    assert_eq!(reach(&releases).await, all, "one that is not asked for, among those that are");
}

/// The first, the middle and the last of the nodes that applied a release since a moment.
pub(crate) async fn applied_times(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let item = add_item(&storage, app, "k").await;
    let mut work = storage.begin().await.unwrap();
    let one = work.releases().insert(&release(item, 1)).await.unwrap();
    let nodes = add_nodes(&mut *work, app, 1..=6).await;
    let times = async |work: &mut dyn UnitOfWork, since| {
        let times = work.deliveries().applied_times(one, moment(since)).await.unwrap();
        times.map(|AppliedTimes { first, median, last }| [first, median, last])
    };
    assert_eq!(times(&mut *work, 0).await, None);
    let results = [(3, AckResult::Applied), (9, AckResult::Rejected), (5, AckResult::Applied)];
    let others = [(4, AckResult::Applied), (2, AckResult::Failed), (8, AckResult::Applied)];
    for (node, (n, result)) in nodes.into_iter().zip(results.into_iter().chain(others)) {
        work.deliveries().record(&[record(one, node, Some(ack(n, result)))], moment(20)).await.unwrap();
    }
    let at = |moments: [i64; 3]| Some(moments.map(moment));
    assert_eq!(times(&mut *work, 0).await, at([3, 4, 8]));
    assert_eq!(times(&mut *work, 4).await, at([4, 5, 8]));
    assert_eq!(times(&mut *work, 5).await, at([5, 5, 8]));
    assert_eq!(times(&mut *work, 6).await, at([8, 8, 8]));
    assert_eq!(times(&mut *work, 9).await, None);
}

/// Acknowledgements of parts are kept beside a delivery record, count before it, and go with it.
pub(crate) async fn part_acks(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let (a, b) = (add_item(&storage, app, "a").await, add_item(&storage, app, "b").await);
    let mut work = storage.begin().await.unwrap();
    let set = work.releases().insert(&release(a, 3)).await.unwrap();
    let part = Release { set: Some(set), ..release(b, 4) };
    work.releases().insert_parts(&[part]).await.unwrap();
    let second = work.releases().part_versions(&[set]).await.unwrap()[1].part;
    let nodes = add_nodes(&mut *work, app, 1..=3).await;
    let applied = || Some(ack(5, AckResult::Applied));
    let records =
        [record(set, nodes[0], applied()), record(set, nodes[1], Some(ack(7, AckResult::Rejected)))];
    work.deliveries().record(&records, moment(9)).await.unwrap();
    let said = |node, part, n, result| PartAck { release: set, node, part, ack: ack(n, result) };
    let one = said(nodes[1], set, 6, AckResult::Applied);
    let other = said(nodes[1], second, 7, AckResult::Rejected);
    let without_record = said(nodes[2], set, 6, AckResult::Applied);
    work.deliveries().set_part_acks(&[other.clone(), one.clone(), without_record]).await.unwrap();
    work.deliveries().set_part_acks(&[]).await.unwrap();
    let keys = [(set, nodes[2]), (set, nodes[1]), (set, nodes[0]), (second, nodes[1])];
    let known = async |work: &mut dyn UnitOfWork| work.deliveries().part_acks(&keys).await.unwrap();
    assert_eq!(known(&mut *work).await, [one.clone(), other.clone()]);
    let held = async |work: &mut dyn UnitOfWork, item| {
        let held = work.deliveries().held(item, &nodes, 10).await.unwrap();
        held.into_iter().map(|held| (held.node, held.version)).collect::<Vec<_>>()
    };
    assert_eq!(held(&mut *work, a).await, [(nodes[0], 3), (nodes[1], 3)]);
    assert_eq!(
        held(&mut *work, b).await,
        [(nodes[0], 4)],
        "the record is true of each part, the refusal of one"
    );
    let of_node = |key: &str, version, n, result| NodeAck { key: key.into(), version, ack: ack(n, result) };
    assert_eq!(
        work.deliveries().of_node(nodes[0]).await.unwrap(),
        [of_node("a", 3, 5, AckResult::Applied), of_node("b", 4, 5, AckResult::Applied)]
    );
    assert_eq!(
        work.deliveries().of_node(nodes[1]).await.unwrap(),
        [of_node("a", 3, 6, AckResult::Applied), of_node("b", 4, 7, AckResult::Rejected)]
    );
    let again = said(nodes[1], second, 8, AckResult::Applied);
    work.deliveries().set_part_acks(std::slice::from_ref(&again)).await.unwrap();
    assert_eq!(known(&mut *work).await, [one, again]);
    assert_eq!(held(&mut *work, b).await, [(nodes[0], 4), (nodes[1], 4)]);
    work.deliveries().clear_part_acks(&[(set, nodes[0])]).await.unwrap();
    assert_eq!(known(&mut *work).await.len(), 2);
    work.deliveries().clear_part_acks(&[(set, nodes[1]), (set, nodes[2])]).await.unwrap();
    assert_eq!(known(&mut *work).await, []);
    work.deliveries().set_part_acks(&[other]).await.unwrap();
    assert_eq!(work.nodes().prune(moment(3), 10).await.unwrap(), 2);
    assert_eq!(known(&mut *work).await, []);
}

/// What is known of a release without its parts, of their versions, and of what they followed.
pub(crate) async fn parts(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let (a, b) = (add_item(&storage, app, "a").await, add_item(&storage, app, AWKWARD).await);
    let mut work = storage.begin().await.unwrap();
    let releases = work.releases();
    let single = releases.insert(&release(b, 7)).await.unwrap();
    releases.end_all(&[b], ReleaseKind::Full, ReleaseState::Superseded, 1).await.unwrap();
    let head = Release { origin: Some(ReleaseId(single.0 + 1000)), ..release(a, 0) };
    let set = releases.insert(&head).await.unwrap();
    let part = Release { set: Some(set), origin: Some(single), title: String::new(), ..release(b, 7) };
    releases.insert_parts(std::slice::from_ref(&part)).await.unwrap();
    let versions = releases.part_versions(&[set, single]).await.unwrap();
    let [of_single, first, second] = versions[..] else { panic!("{versions:?}") };
    assert_eq!(of_single, ReleasePart { release: single, part: single, version: 7, origin: None });
    assert_eq!(first, ReleasePart { release: set, part: set, version: 0, origin: None });
    let origin = Some(PartId { release: single, part: single });
    assert_eq!(second, ReleasePart { release: set, part: second.part, version: 7, origin });
    assert_eq!(releases.part_versions(&[second.part]).await.unwrap(), [], "a part names no release");
    assert_eq!(releases.followers(&[single]).await.unwrap(), [set]);
    assert_eq!(releases.followers(&[set]).await.unwrap(), []);
    let size = ReleaseSize { release: set, parts: 2, versions: 1 };
    assert_eq!(releases.sizes(&[single, set]).await.unwrap(), [size]);
    let items: Vec<ReleasedItem> = releases.items_of(set).await.unwrap();
    let items: Vec<_> = items.iter().map(|item| (item.item, &*item.key, item.version)).collect();
    assert_eq!(items, [(a, "a", 0), (b, AWKWARD, 7)]);
    assert_eq!(releases.items_of(second.part).await.unwrap(), []);

    let summaries = releases.summaries(&[set, second.part, single]).await.unwrap();
    assert_eq!(summaries.len(), 2);
    assert_eq!((&*summaries[0].key, summaries[0].items(), summaries[0].active()), (AWKWARD, 1, 0));
    assert_eq!(summaries[0].state(), ReleaseState::Superseded);
    assert_eq!(summaries[1].first, Release { id: set, ..head });
    assert_eq!((&*summaries[1].key, summaries[1].items(), summaries[1].active()), ("a", 2, 2));
    releases.end_all(&[a], ReleaseKind::Full, ReleaseState::Superseded, 9).await.unwrap();
    let ended = releases.summaries(&[set]).await.unwrap();
    assert_eq!((ended[0].active(), ended[0].state()), (1, ReleaseState::Active));

    assert_eq!(releases.greys_beside(&[set, single]).await.unwrap(), []);
    let nodes = vec!["11".to_owned(), "22".to_owned()];
    let grey = |item, nodes: &[String]| Release {
        kind: ReleaseKind::Grey,
        nodes: nodes.to_vec(),
        ..release(item, 9)
    };
    let first_grey = releases.insert(&grey(b, &nodes)).await.unwrap();
    let beside = |nodes: &[String]| GreysBeside { release: set, nodes: nodes.to_vec() };
    assert_eq!(releases.greys_beside(&[set, single, first_grey]).await.unwrap(), [beside(&nodes)]);
    let other = Release { set: Some(set), ..release(a, 3) };
    releases.insert_parts(&[other]).await.unwrap();
    assert_eq!(releases.greys_beside(&[set]).await.unwrap(), [], "a part without one is for everyone");
    releases.insert(&grey(a, &nodes[..1])).await.unwrap();
    assert_eq!(releases.greys_beside(&[set]).await.unwrap(), [beside(&nodes[..1]), beside(&nodes)]);
}
