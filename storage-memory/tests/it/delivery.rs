//! How configuration reaches nodes, and what is known of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use pilothouse_core::account::{Account, Caller, Groups, Scope};
use pilothouse_core::config::{
    AckResult, Change, Content, Feed, ItemId, ItemName, NewApp, NewNode, NodeState, ReleaseState, Report,
    Selector, Watch,
};
use pilothouse_core::conformance::delivery_model;
use pilothouse_core::ports::{RandomIds, Storage};
use pilothouse_core::{ErrorKind, Pilothouse, Settings, Workers};
use pilothouse_storage_memory::MemoryStorage;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::world::ManualClock;

struct World {
    clock: Arc<ManualClock>,
    storage: Arc<dyn Storage>,
    pilothouse: Pilothouse,
    owner: Caller,
    key: String,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(1_473_752_647));
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::with_clock(clock.clone()));
        let pilothouse = server(&storage, &clock);
        let account = Account {
            id: 0,
            name: "owner".into(),
            mail: "owner@example.com".into(),
            department: String::new(),
            groups: Groups::NONE,
            password: None,
            version: 1,
        };
        let mut work = storage.begin().await.unwrap();
        let id = work.accounts().insert(&account).await.unwrap().unwrap();
        work.commit().await.unwrap();
        let Account { name, mail, groups, .. } = account;
        let owner = Caller { id, name, mail, groups, scope: Scope::Account, token: None, address: None };
        let new = NewApp { app: "app".into(), app_type: 0, name: "n".into(), charger: "c".into() };
        pilothouse.apps().create(&owner, new).await.unwrap();
        let key = pilothouse.app_keys().create(&owner, "app").await.unwrap().text;
        Self { clock, storage, pilothouse, owner, key }
    }

    async fn feed(&self) -> Feed {
        self.feed_on(&self.pilothouse).await
    }

    async fn feed_on(&self, server: &Pilothouse) -> Feed {
        server.feeds().open("app", &self.key).await.unwrap()
    }

    async fn register(&self, node: &str) {
        self.feed().await.register(new_node(node)).await.unwrap();
    }

    async fn watch(&self, node: &str, revision: i64) -> Watch {
        self.feed().await.node("dev", node).await.unwrap().watch(revision).await.unwrap()
    }

    /// Makes and approves a version of `k`.
    async fn approved(&self, value: &str) -> ItemId {
        let items = self.pilothouse.items();
        let content = Content { value: value.into(), ..Content::default() };
        let id = match items.find(&self.owner, &name()).await {
            Ok(item) => {
                items.update(&self.owner, &name(), content, None).await.unwrap();
                item.id
            }
            Err(_) => items.create(&self.owner, &name(), content).await.unwrap(),
        };
        items.approve(&self.owner, &name(), None).await.unwrap();
        id
    }

    async fn publish(&self, value: &str, selector: &Selector) -> i64 {
        let id = self.approved(value).await;
        self.pilothouse.releases().publish(&self.owner, id, selector, None).await.unwrap().release
    }

    async fn online(&self, server: &Pilothouse) -> Vec<String> {
        let nodes = server.nodes().list(&self.owner, "app", "dev").await.unwrap();
        nodes.into_iter().map(|node| node.node_id).collect()
    }

    /// State and message of each node.
    async fn states(&self, release: i64) -> BTreeMap<String, (NodeState, i64, String)> {
        let status = self.pilothouse.rollouts().status(&self.owner, release).await.unwrap();
        let counted: usize = status.rollout.counts.iter().sum();
        assert_eq!((counted, status.rollout.targets), (status.nodes.len(), status.nodes.len()));
        let shown = |node: pilothouse_core::config::NodeRollout| {
            (node.node_id, (node.state, node.version, node.message))
        };
        status.nodes.into_iter().map(shown).collect()
    }

    async fn ack(&self, node: &str, version: i64, result: AckResult) {
        let report = Report { key: "k".into(), version, result, message: format!("{result:?} {version}") };
        self.feed().await.node("dev", node).await.unwrap().ack(vec![report]).await.unwrap();
    }
}

fn server(storage: &Arc<dyn Storage>, clock: &Arc<ManualClock>) -> Pilothouse {
    Pilothouse::with(storage.clone(), Settings::default(), clock.clone(), Arc::new(RandomIds)).unwrap()
}

fn name() -> ItemName {
    ItemName { app: "app".into(), profile: "dev".into(), key: "k".into() }
}

fn new_node(node: &str) -> NewNode {
    NewNode { profile: "dev".into(), node_id: Some(node.into()), pid: "1".into(), ..NewNode::default() }
}

fn to(nodes: &str) -> Selector {
    Selector { nodes: Some(nodes.into()), ..Selector::default() }
}

/// What a watch says at once, as version and value of `k`; 0 where it is removed.
fn said(watch: &mut Watch) -> Option<(i64, String)> {
    watch.next().now_or_never().map(|change| k(&change.unwrap()))
}

fn k(change: &Change) -> (i64, String) {
    match (&change.items[..], &change.removed[..]) {
        ([held], []) => (held.version, held.value.to_string()),
        ([], [key]) => (0, key.to_string()),
        _ => panic!("{change:?}"),
    }
}

async fn soon(watch: &mut Watch) -> Arc<Change> {
    timeout(Duration::from_secs(5), watch.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn keys_open_their_app_alone() {
    let world = World::new().await;
    let keys = world.pilothouse.app_keys();
    let new = NewApp { app: "other".into(), app_type: 0, name: "n".into(), charger: "c".into() };
    world.pilothouse.apps().create(&world.owner, new).await.unwrap();
    let feeds = world.pilothouse.feeds();
    let kind =
        async |app: &str, key: &str| feeds.open(app, key).await.map(|_| ()).map_err(|error| error.kind());
    assert_eq!(kind("app", &world.key).await, Ok(()));
    assert_eq!(kind("other", &world.key).await, Err(ErrorKind::Forbidden));
    assert_eq!(kind("nowhere", &world.key).await, Err(ErrorKind::Forbidden));
    assert_eq!(kind("app", "x").await, Err(ErrorKind::Unauthenticated));
    assert_eq!(kind("app", &world.key.to_uppercase()).await, Err(ErrorKind::Unauthenticated));

    let second = keys.create(&world.owner, "app").await.unwrap();
    assert_ne!(second.text, world.key);
    let listed = keys.list(&world.owner, "app").await.unwrap();
    assert_eq!(listed.len(), 2);
    assert!(!format!("{listed:?}").contains(&second.text));
    assert_eq!(kind("app", &second.text).await, Ok(()), "several at once");
    // Whoever signs is known by what only the key's holder can make.
    let signed = |key: &pilothouse_core::config::AppSecret| key.text == second.text;
    assert!(feeds.open_signed("app", signed).await.is_ok());
    assert!(feeds.open_signed("app", |_| false).await.is_err());
    assert!(feeds.open_signed("other", |_| true).await.is_err(), "it has no key");
    keys.delete(&world.owner, listed[0].id).await.unwrap();
    assert_eq!(kind("app", &world.key).await, Err(ErrorKind::Unauthenticated));
    assert_eq!(kind("app", &second.text).await, Ok(()));
    assert_eq!(keys.delete(&world.owner, listed[0].id).await.unwrap_err().kind(), ErrorKind::Forbidden);
}

#[tokio::test]
async fn a_node_is_online_while_its_lease_runs_or_its_watch_is_open() {
    let world = World::new().await;
    let other = server(&world.storage, &world.clock);
    let feed = world.feed().await;
    let refused = feed.node("dev", "11").await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.to_string().as_str()),
        (ErrorKind::NotFound, "the node does not exist")
    );
    world.register("11").await;
    world.register("22").await;
    let made = feed.register(NewNode { node_id: None, ..new_node("") }).await.unwrap();
    assert_eq!((made.node_id.len(), made.lease, made.revision), (32, 15, 0));
    assert_eq!(world.online(&other).await.len(), 3);
    let watch = world.watch("11", 0).await;
    for _ in 0..5 {
        world.clock.advance(TimeDelta::seconds(6));
        world.pilothouse.flush_reports().await.unwrap();
    }
    assert_eq!(world.online(&other).await, ["11"]);
    drop(watch);
    world.clock.advance(TimeDelta::seconds(14));
    assert_eq!(world.online(&other).await, ["11"], "until the lease ends");
    world.clock.advance(TimeDelta::seconds(6));
    assert_eq!(world.online(&other).await, [""; 0]);

    // Whatever a node asks for shows that it is there, also at another server.
    world.feed_on(&other).await.node("dev", "22").await.unwrap().holding(0).await.unwrap();
    assert_eq!(world.online(&other).await, ["22"]);
    let mut watch = world.watch("22", 0).await;
    world.feed().await.node("dev", "22").await.unwrap().leave().await.unwrap();
    assert!(timeout(Duration::from_secs(5), watch.next()).await.unwrap().is_none(), "its watch ends");
    assert_eq!(world.online(&other).await, [""; 0]);
    assert_eq!(feed.node("dev", "22").await.unwrap_err().kind(), ErrorKind::NotFound);
    world.register("22").await;
    assert_eq!(world.online(&other).await, ["22"]);
}

#[tokio::test]
async fn grey_releases_reach_their_nodes_alone() {
    let world = World::new().await;
    for node in ["11", "22", "33"] {
        world.register(node).await;
    }
    let (mut one, mut two) = (world.watch("11", 0).await, world.watch("22", 0).await);
    world.publish("first", &Selector::default()).await;
    for watch in [&mut one, &mut two] {
        assert_eq!(said(watch), Some((1, "first".into())));
        assert_eq!(said(watch), None);
    }
    let grey = world.publish("grey", &to("11,33")).await;
    assert_eq!((said(&mut one), said(&mut two)), (Some((2, "grey".into())), None));
    // A restart of a node, and of the server, change nothing; a node that appears now is not meant.
    world.register("11").await;
    world.register("44").await;
    let again = server(&world.storage, &world.clock);
    for (node, version) in [("11", 2), ("22", 1), ("33", 2), ("44", 1)] {
        for server in [&world.pilothouse, &again] {
            let feed = world.feed_on(server).await.node("dev", node).await.unwrap();
            assert_eq!(k(&feed.holding(0).await.unwrap().change).0, version, "{node}");
            assert_eq!(said(&mut feed.watch(2).await.unwrap()), None, "{node} was told");
            assert_eq!(said(&mut feed.watch(0).await.unwrap()).unwrap().0, version, "{node}");
        }
    }
    // Another grey one takes its place: who is no more meant goes back.
    world.publish("greyer", &to("22,33")).await;
    assert_eq!(said(&mut one), Some((1, "first".into())));
    assert_eq!(said(&mut two), Some((3, "greyer".into())));
    let releases = world.pilothouse.releases();
    assert_eq!(releases.abort(&world.owner, grey).await.unwrap_err().kind(), ErrorKind::Conflict);
    let listed = world.pilothouse.rollouts().list(&world.owner, "app", "dev", Some("k")).await.unwrap();
    assert_eq!(listed[1].release.state, ReleaseState::Superseded);
    releases.abort(&world.owner, listed[0].release.id).await.unwrap();
    assert_eq!((said(&mut one), said(&mut two)), (None, Some((1, "first".into()))));
    assert_eq!(
        releases.promote(&world.owner, listed[2].release.id).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );

    let grey = world.publish("last", &to("11")).await;
    let grey_at = said(&mut one);
    assert_eq!((grey_at, said(&mut two)), (Some((4, "last".into())), None));
    // Promoted is what the nodes have, whatever was written since.
    world.approved("written later").await;
    let promoted = releases.promote(&world.owner, grey).await.unwrap();
    assert_eq!((said(&mut one), said(&mut two)), (None, Some((4, "last".into()))));
    let item = world.pilothouse.items().find(&world.owner, &name()).await.unwrap();
    assert_eq!((item.published_version, item.published_value.as_str()), (4, "last"));
    let listed = world.pilothouse.rollouts().list(&world.owner, "app", "dev", None).await.unwrap();
    assert_eq!((listed[0].release.id, listed[1].release.state), (promoted.release, ReleaseState::Promoted));
    world.pilothouse.items().delete(&world.owner, &name(), None).await.unwrap();
    assert_eq!((said(&mut one), said(&mut two)), (Some((0, "k".into())), Some((0, "k".into()))));
}

#[tokio::test]
async fn the_status_of_a_release_is_what_its_nodes_made_of_it() {
    let world = World::new().await;
    for node in ["11", "22", "33", "44"] {
        world.register(node).await;
    }
    let full = world.publish("first", &Selector::default()).await;
    let state = |state, version| (state, version, String::new());
    assert!(world.states(full).await.values().all(|found| *found == state(NodeState::Pending, 0)));
    let mut watches = Vec::new();
    for node in ["11", "22", "33"] {
        let mut watch = world.watch(node, 0).await;
        assert!(said(&mut watch).is_some());
        watches.push(watch);
    }
    world.clock.advance(TimeDelta::milliseconds(20));
    world.ack("11", 1, AckResult::Applied).await;
    world.clock.advance(TimeDelta::milliseconds(20));
    world.ack("22", 1, AckResult::Rejected).await;
    let found = world.states(full).await;
    assert_eq!(found["11"], (NodeState::Applied, 1, "Applied 1".into()));
    assert_eq!(found["22"], (NodeState::Rejected, 0, "Rejected 1".into()));
    assert_eq!(found["33"], state(NodeState::Sent, 0));
    assert_eq!(found["44"], state(NodeState::Pending, 0));
    let status = world.pilothouse.rollouts().status(&world.owner, full).await.unwrap();
    assert_eq!(status.latency.unwrap().last, TimeDelta::milliseconds(20));
    assert_eq!(status.rollout.counts, [1, 1, 1, 1, 0, 0]);
    assert!(status.nodes[0].sent.unwrap() < status.nodes[0].acked.unwrap());

    // Another server, and one that begins anew, know the same.
    let again = server(&world.storage, &world.clock);
    assert_eq!(again.rollouts().status(&world.owner, full).await.unwrap(), status);

    // A grey release is for its nodes; promoted, they have the full one already.
    let grey = world.publish("second", &to("11,22")).await;
    assert_eq!(world.states(grey).await.keys().collect::<Vec<_>>(), ["11", "22"]);
    assert!(said(&mut watches[0]).is_some());
    world.ack("11", 2, AckResult::Applied).await;
    let promoted = world.pilothouse.releases().promote(&world.owner, grey).await.unwrap().release;
    let found = world.states(promoted).await;
    assert_eq!(found["11"], (NodeState::Applied, 2, "Applied 2".into()));
    assert_eq!(found["33"], state(NodeState::Pending, 0));
    assert_eq!(world.states(full).await["22"].2, "Rejected 1", "what was is not forgotten");
    // Who is away is offline; who held a value before it went still held it.
    drop(watches);
    world.clock.advance(TimeDelta::seconds(60));
    let found = world.states(promoted).await;
    assert_eq!((found["11"].0, found["33"].0), (NodeState::Applied, NodeState::Offline));
}

#[tokio::test]
async fn what_became_of_a_release_long_ago_is_forgotten() {
    let world = World::new().await;
    world.register("11").await;
    let full = world.publish("first", &Selector::default()).await;
    let mut watch = world.watch("11", 0).await;
    assert!(said(&mut watch).is_some());
    world.ack("11", 1, AckResult::Applied).await;
    let grey = world.publish("second", &to("11")).await;
    assert!(said(&mut watch).is_some());
    world.ack("11", 2, AckResult::Applied).await;
    let promoted = world.pilothouse.releases().promote(&world.owner, grey).await.unwrap().release;
    let applied = async || {
        world.pilothouse.housekeep().await.unwrap();
        let list = world.pilothouse.rollouts().list(&world.owner, "app", "dev", None).await.unwrap();
        let applied = |id| {
            let of = list.iter().find(|rollout| rollout.release.id == id).unwrap();
            (of.targets, of.counts[NodeState::Applied as usize])
        };
        [full, grey, promoted].map(applied)
    };
    world.clock.advance(TimeDelta::days(91));
    assert_eq!(applied().await, [(1, 1); 3]);
    world.clock.advance(TimeDelta::days(2));
    // The promoted one counts, and its node said so of the grey one.
    assert_eq!(applied().await, [(0, 0), (0, 0), (1, 1)]);
    assert_eq!(world.states(grey).await, BTreeMap::new());
    assert_eq!(world.states(promoted).await["11"], (NodeState::Applied, 2, "Applied 2".into()));
    let mut snapshot = world.storage.read().await.unwrap();
    assert_eq!(snapshot.deliveries().of_releases(&[full]).await.unwrap(), []);
}

#[tokio::test]
async fn a_node_that_holds_something_else_is_told_again() {
    let world = World::new().await;
    world.register("11").await;
    world.publish("first", &Selector::default()).await;
    world.publish("second", &Selector::default()).await;
    let mut watch = world.watch("11", 2).await;
    assert_eq!(said(&mut watch), None);
    world.ack("11", 2, AckResult::Applied).await;
    world.ack("11", 2, AckResult::Rejected).await;
    assert_eq!(said(&mut watch), None, "it holds what it should, or will not");
    world.ack("11", 1, AckResult::Applied).await;
    let again = soon(&mut watch).await;
    assert_eq!((k(&again), again.revision), ((2, "second".into()), 2));
    // Not in a circle.
    world.ack("11", 1, AckResult::Applied).await;
    assert_eq!(said(&mut watch), None);
    world.clock.advance(TimeDelta::seconds(6));
    assert_eq!(said(&mut watch), Some((2, "second".into())));
    let stray =
        Report { key: "stray".into(), version: 9, result: AckResult::Applied, message: String::new() };
    world.feed().await.node("dev", "11").await.unwrap().ack(vec![stray]).await.unwrap();
    world.clock.advance(TimeDelta::seconds(6));
    assert_eq!(said(&mut watch), Some((0, "stray".into())));
}

#[tokio::test]
async fn what_another_server_publishes_arrives() {
    let world = World::new().await;
    let other = server(&world.storage, &world.clock);
    world.register("11").await;
    let node = world.feed_on(&other).await.node("dev", "11").await.unwrap();
    let mut watch = node.watch(0).await.unwrap();
    let cancel = CancellationToken::new();
    let working = tokio::spawn(Workers::new(other.clone()).run(cancel.clone()));
    tokio::task::yield_now().await;
    world.publish("first", &Selector::default()).await;
    assert_eq!(k(&*soon(&mut watch).await), (1, "first".into()));
    // Unheard, it is found.
    let id = world.approved("second").await;
    let mut work = world.storage.begin().await.unwrap();
    assert!(work.items().publish(id, 2, 2).await.unwrap());
    work.apps().raise_revision(1).await.unwrap();
    let old = work.releases().active(id).await.unwrap().remove(0);
    work.releases().end(id, None, ReleaseState::Superseded, 2).await.unwrap();
    let next = pilothouse_core::config::Release { version: 2, revision: 2, ..old };
    work.releases().insert(&next).await.unwrap();
    work.commit().await.unwrap();
    assert_eq!(k(&*soon(&mut watch).await), (2, "second".into()));
    // What a node says to one server is answered by the one that it watches.
    assert_eq!(world.feed().await.view_at(2).await.unwrap().revision(), 2);
    world.ack("11", 1, AckResult::Applied).await;
    assert_eq!(k(&*soon(&mut watch).await), (2, "second".into()));
    // The end of a server is the end of its watches.
    cancel.cancel();
    assert!(timeout(Duration::from_secs(5), watch.next()).await.unwrap().is_none());
    working.await.unwrap();
}

#[tokio::test]
async fn who_knows_more_than_a_server_is_not_answered_with_less() {
    let world = World::new().await;
    let stale = server(&world.storage, &world.clock);
    world.register("11").await;
    let node = world.feed_on(&stale).await.node("dev", "11").await.unwrap();
    assert_eq!(node.holding(0).await.unwrap().change.revision, 0);
    world.publish("first", &Selector::default()).await;
    assert_eq!(node.holding(0).await.unwrap().change.revision, 0, "nobody told it");
    assert_eq!(k(&node.holding(1).await.unwrap().change), (1, "first".into()));
    world.publish("second", &Selector::default()).await;
    assert_eq!(said(&mut node.watch(2).await.unwrap()), None);
    world.ack("11", 2, AckResult::Applied).await;
    // A restored backup knows less than its nodes: they are told all there is.
    let mut watch = node.watch(1_000).await.unwrap();
    let change = watch.next().now_or_never().unwrap().unwrap();
    assert_eq!((k(&change), change.revision), ((2, "second".into()), 2));
}

#[tokio::test]
async fn who_was_away_for_long_is_told_everything() {
    let world = World::new().await;
    world.register("11").await;
    world.publish("first", &Selector::default()).await;
    world.pilothouse.items().delete(&world.owner, &name(), None).await.unwrap();
    let other = ItemName { key: "other".into(), ..name() };
    let items = world.pilothouse.items();
    let id = items.create(&world.owner, &other, Content::default()).await.unwrap();
    items.approve(&world.owner, &other, None).await.unwrap();
    for _ in 0..300 {
        world.pilothouse.releases().publish(&world.owner, id, &Selector::default(), None).await.unwrap();
    }
    for server in [world.pilothouse.clone(), server(&world.storage, &world.clock)] {
        let node = world.feed_on(&server).await.node("dev", "11").await.unwrap();
        let change = node.watch(1).await.unwrap().next().now_or_never().unwrap().unwrap();
        assert_eq!((change.revision, change.items.len()), (302, 1));
        assert_eq!(change.removed.iter().map(|key| &**key).collect::<Vec<_>>(), ["k"]);
        assert_eq!(said(&mut node.watch(300).await.unwrap()), None, "the same version all along");
    }
}

#[tokio::test]
async fn an_app_that_goes_takes_its_nodes_along() {
    let world = World::new().await;
    world.register("11").await;
    let feed = world.feed().await;
    let mut watch = world.watch("11", 0).await;
    world.pilothouse.apps().delete(&world.owner, "app").await.unwrap();
    assert!(timeout(Duration::from_secs(5), watch.next()).await.unwrap().is_none());
    assert_eq!(feed.register(new_node("11")).await.unwrap_err().kind(), ErrorKind::NotFound);
    let refused = world.pilothouse.feeds().open("app", &world.key).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
}

/// Each sequence in a store of its own.
#[tokio::test]
async fn nodes_hold_what_they_should() {
    let last: Mutex<Option<(u64, MemoryStorage)>> = Mutex::default();
    let open = async |seed: u64| {
        let mut last = last.lock().unwrap();
        if last.as_ref().is_none_or(|(of, _)| *of != seed) {
            *last = Some((seed, MemoryStorage::new()));
        }
        let storage: Arc<dyn Storage> = Arc::new(last.as_ref().unwrap().1.clone());
        storage
    };
    delivery_model::nodes_hold_what_they_should(open).await;
}
