//! Nodes: registration, leases, drift.

use std::sync::Arc;

use chrono::TimeDelta;
use pilothouse_core::account::Groups;
use pilothouse_core::config::{AppId, LEASE, NewNode, Node, NodeNumber};
use pilothouse_core::ports::Storage;
use pilothouse_core::{ErrorKind, Settings};

use crate::Fixture;
use crate::race::race;
use crate::rows::{AWKWARD, add_app, moment};

/// A node told apart by `n`, with its lease until moment `n`.
pub fn node(app: AppId, n: i64) -> Node {
    Node {
        number: NodeNumber::UNSAVED,
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
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    let nodes = work.nodes();
    let a = nodes.register(&node(first, 1)).await.unwrap().unwrap();
    let b = nodes.register(&node(first, 2)).await.unwrap().unwrap();
    let elsewhere = Node { profile: "Dev".into(), ..node(first, 1) };
    let c = nodes.register(&elsewhere).await.unwrap().unwrap();
    let d = nodes.register(&node(second, 1)).await.unwrap().unwrap();
    assert_eq!(nodes.register(&node(AppId(second.0 + 1), 1)).await.unwrap(), None);
    assert!(a < b && b < c && c < d);
    let (a_row, b_row) = (Node { number: a, ..node(first, 1) }, Node { number: b, ..node(first, 2) });
    assert_eq!(nodes.list(first, "dev").await.unwrap(), [a_row.clone(), b_row.clone()]);
    assert_eq!(
        nodes.find(first, "dev", &node(AppId::UNSAVED, 2).node_id).await.unwrap(),
        Some(b_row.clone())
    );
    assert_eq!(nodes.find(second, "dev", &node(AppId::UNSAVED, 2).node_id).await.unwrap(), None);
    let named = |number, profile: &str, n| (number, profile.to_owned(), node(AppId::UNSAVED, n).node_id);
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
    nodes.renew(&[a, b, NodeNumber(d.0 + 1)], moment(50)).await.unwrap();
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
    assert_eq!(nodes.prune(moment(50), 1).await.unwrap(), 1);
    assert_eq!(nodes.prune(moment(50), 10).await.unwrap(), 1);
    let numbers: Vec<_> = nodes.list(first, "dev").await.unwrap().iter().map(|node| node.number).collect();
    assert_eq!(numbers, [a, b]);
    assert_eq!(nodes.list(second, "dev").await.unwrap(), []);
    assert!(work.apps().delete(first).await.unwrap());
    assert_eq!(work.nodes().find(first, "dev", &node(AppId::UNSAVED, 1).node_id).await.unwrap(), None);
}

/// A lease that ends further away than its length, since a clock was ahead, keeps nobody online and is renewed.
pub(crate) async fn lease_of_a_clock_ahead_is_void(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let (now, ahead) = (moment(0), TimeDelta::days(1));
    let mut work = storage.begin().await.unwrap();
    let nodes = work.nodes();
    let leased = |n, until| Node { lease_until: until, ..node(app, n) };
    let gone = nodes.register(&leased(1, LEASE.end(now + ahead))).await.unwrap().unwrap();
    let alive = nodes.register(&leased(2, LEASE.end(now + ahead))).await.unwrap().unwrap();
    let known = nodes.register(&leased(3, LEASE.end(now))).await.unwrap().unwrap();
    assert_eq!(nodes.count_online(app, "dev", now).await.unwrap(), 1);
    nodes.renew(&[alive], LEASE.end(now)).await.unwrap();
    assert_eq!(nodes.count_online(app, "dev", now).await.unwrap(), 2);
    assert_eq!(nodes.end_void_leases(now).await.unwrap(), 1);
    let found = nodes.list(app, "dev").await.unwrap();
    let until = |number| found.iter().find(|node| node.number == number).unwrap().lease_until;
    assert_eq!([gone, alive, known].map(until), [now, LEASE.end(now), LEASE.end(now)]);
    assert!(found.iter().all(|node| node.is_online(now) == (node.number != gone)));
    assert_eq!(nodes.prune(moment(1), 10).await.unwrap(), 1, "it is removed like one that went now");
}

/// Drifted keys of nodes are recorded once, found by app, and taken by one caller.
pub(crate) async fn drift(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    let nodes = work.nodes();
    let a = nodes.register(&node(first, 1)).await.unwrap().unwrap();
    let b = nodes.register(&node(second, 1)).await.unwrap().unwrap();
    let keys = ["b", AWKWARD, "B"].map(str::to_owned);
    let [k, awkward, upper] = keys.clone();
    nodes.add_drift(&[]).await.unwrap();
    nodes
        .add_drift(&[(b, k.clone()), (a, k.clone()), (a, awkward.clone()), (NodeNumber(b.0 + 1), k.clone())])
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
    work.nodes().prune(moment(100), 10).await.unwrap();
    assert_eq!(work.nodes().drift(&[first, second]).await.unwrap(), []);
}

/// Of many that register as one node at once, all are that node.
pub(crate) async fn race_for_one_id(storage: Arc<dyn Storage>) {
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
pub(crate) async fn race_with_its_app(storage: Arc<dyn Storage>) {
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

/// An app that has as many nodes as it may takes no new one; those it has may come back.
pub(crate) async fn most_of_an_app(storage: Arc<dyn Storage>) {
    let settings = Settings::default().with_nodes_per_app(2);
    let fixture = Fixture::builder(storage).settings(settings).build();
    let ann = fixture.account("ann", Groups::NONE).await;
    let mut sessions = Vec::new();
    for app in ["app", "other"] {
        fixture.app(&ann, app).await;
        sessions.push(fixture.pilothouse.delivery().open_unsigned(app).await.unwrap().unwrap());
    }
    let register = async |session: usize, profile: &str, id: &str| {
        let node =
            NewNode { profile: profile.to_owned(), node_id: Some(id.to_owned()), ..NewNode::default() };
        sessions[session].register(node).await.map(drop).map_err(|error| error.kind())
    };
    assert_eq!(register(0, "dev", "1").await, Ok(()));
    assert_eq!(register(0, "live", "1").await, Ok(()));
    assert_eq!(register(0, "dev", "2").await, Err(ErrorKind::Conflict));
    assert_eq!(register(0, "dev", "1").await, Ok(()), "a restart of a node is no other node");
    assert_eq!(register(1, "dev", "2").await, Ok(()), "another app has its own");
}
