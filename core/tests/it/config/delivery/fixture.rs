//! App with an item `k`, its nodes, and servers over one store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::ManualClock;
use pilothouse_conformance::rows::item_name;
use pilothouse_core::account::{Caller, Groups};
use pilothouse_core::config::{
    AckResult, AppSession, ConfigDelta, Content, ItemId, NewNode, NodeState, Permission, ReleaseId, Report,
    Selector, Watch,
};
use pilothouse_core::ports::Storage;
use pilothouse_core::{Epoch, Pilothouse, Settings};
use pilothouse_storage_memory::MemoryStorage;
use tokio::time::timeout;

pub(crate) struct DeliveryFixture {
    fixture: Fixture,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) storage: Arc<dyn Storage>,
    /// The same store.
    pub(crate) memory: MemoryStorage,
    pub(crate) pilothouse: Pilothouse,
    pub(crate) owner: Caller,
    /// A key of the app `app`.
    pub(crate) key: String,
}

impl DeliveryFixture {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let clock = Arc::new(ManualClock::at(1_473_752_647));
        let memory = MemoryStorage::with_clock(clock.clone()).strict();
        let fixture =
            Fixture::builder(Arc::new(memory.clone())).clock(clock.clone()).settings(settings).build();
        let owner = fixture.account("owner", Groups::NONE).await;
        fixture.app(&owner, "app").await;
        let key = fixture.pilothouse.app_keys().create(&owner, "app").await.unwrap().text;
        let (storage, pilothouse) = (fixture.storage.clone(), fixture.pilothouse.clone());
        Self { fixture, clock, storage, memory, pilothouse, owner, key }
    }

    /// One more server over the same store and clock; it shares no memory with the others.
    pub(crate) fn server(&self) -> Pilothouse {
        self.fixture.another_server()
    }

    /// One more manager of the app.
    pub(crate) async fn another_manager(&self) -> Caller {
        let other = self.fixture.account("other", Groups::NONE).await;
        self.fixture.grant(&self.owner, "app", &other, Permission::Manage).await;
        other
    }

    pub(crate) async fn session(&self) -> AppSession {
        self.session_on(&self.pilothouse).await
    }

    pub(crate) async fn session_on(&self, server: &Pilothouse) -> AppSession {
        server.delivery().open("app", &self.key).await.unwrap()
    }

    pub(crate) async fn register(&self, node: &str) {
        self.session().await.register(new_node(node)).await.unwrap();
    }

    pub(crate) async fn watch(&self, node: &str, revision: i64) -> Watch {
        self.session().await.node("dev", node).await.unwrap().watch(revision).await.unwrap()
    }

    /// Creates or updates `k` and approves the version.
    pub(crate) async fn approved(&self, value: &str) -> ItemId {
        let items = self.pilothouse.items();
        let content = Content { value: value.into(), ..Content::default() };
        let id = match items.find(&self.owner, &item_name("app", "k")).await {
            Ok(item) => {
                items.update(&self.owner, &item_name("app", "k"), content, None).await.unwrap();
                item.id
            }
            Err(_) => items.create(&self.owner, &item_name("app", "k"), content).await.unwrap(),
        };
        items.approve(&self.owner, &item_name("app", "k"), None).await.unwrap();
        id
    }

    /// Publishes a new version of `k`; the id of the release.
    pub(crate) async fn publish(&self, value: &str, selector: &Selector) -> ReleaseId {
        let id = self.approved(value).await;
        self.pilothouse.releases().publish(&self.owner, id, selector, None).await.unwrap().release
    }

    /// The nodes that are online as a server knows them.
    pub(crate) async fn online(&self, server: &Pilothouse) -> Vec<String> {
        let nodes = server.nodes().list(&self.owner, "app", "dev").await.unwrap();
        nodes.into_iter().map(|node| node.node_id).collect()
    }

    /// State, acknowledged version and message of each node of a release.
    pub(crate) async fn states(&self, release: ReleaseId) -> BTreeMap<String, (NodeState, i64, String)> {
        let status = self.pilothouse.rollouts().status(&self.owner, release).await.unwrap();
        let counted: usize = status.rollout.counts.iter().sum();
        assert_eq!((counted, status.rollout.targets), (status.nodes.len(), status.nodes.len()));
        let shown = |node: pilothouse_core::config::NodeRollout| {
            (node.node_id, (node.state, node.version, node.message))
        };
        status.nodes.into_iter().map(shown).collect()
    }

    pub(crate) async fn ack(&self, node: &str, version: i64, result: AckResult) {
        let report = Report { key: "k".into(), version, result, message: format!("{result:?} {version}") };
        self.session().await.node("dev", node).await.unwrap().ack(vec![report]).await.unwrap();
    }
}

/// The revision of a number in the first epoch of a store; the clock stands before 2020.
pub(crate) fn revision(number: i64) -> i64 {
    Epoch(1).revision(number)
}

pub(crate) fn new_node(node: &str) -> NewNode {
    NewNode { profile: "dev".into(), node_id: Some(node.into()), pid: "1".into(), ..NewNode::default() }
}

/// A grey selector that names its nodes, comma-separated.
pub(crate) fn to_nodes(nodes: &str) -> Selector {
    Selector { nodes: Some(nodes.parse().unwrap()), stays_grey: true, ..Selector::default() }
}

/// The change of `k` that a watch has ready, see [`change_of_k`]; `None` where it has to wait.
pub(crate) fn ready_change(watch: &mut Watch) -> Option<(i64, String)> {
    watch.next().now_or_never().map(|delta| change_of_k(&delta.unwrap()))
}

/// Version and value of the one item of a delta; version 0 and the key where it is removed.
pub(crate) fn change_of_k(delta: &ConfigDelta) -> (i64, String) {
    match (&delta.items[..], &delta.removed[..]) {
        ([held], []) => (held.version, held.value.to_string()),
        ([], [key]) => (0, key.to_string()),
        _ => panic!("{delta:?}"),
    }
}

/// The next delta of a watch, within five seconds.
pub(crate) async fn next_delta(watch: &mut Watch) -> Arc<ConfigDelta> {
    timeout(Duration::from_mins(1), watch.next()).await.unwrap().unwrap()
}
