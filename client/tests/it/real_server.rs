//! Client against a real server in this process, over the memory store: releases, restart, deleted key.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::StreamExt;
use pilothouse_client::{Builder, Client, Error, Status};
use pilothouse_core::account::{Caller, Groups, Scope};
use pilothouse_core::config::{Content, ItemName, NewApp, NodeState, ReleaseId, Selector};
use pilothouse_core::{Pilothouse, Settings, Workers};
use pilothouse_http_axum::{ApiState, HttpSettings, router};
use pilothouse_storage_memory::MemoryStorage;
use pilothouse_test_support::free_port;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fake_server::eventually;

/// Pilothouse server with one app, `shop`, and a key of it, nested under `/fleet`.
struct TestServer {
    storage: Arc<MemoryStorage>,
    settings: Settings,
    pilothouse: Pilothouse,
    root: Caller,
    key: String,
    address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl TestServer {
    async fn new() -> Self {
        let (storage, settings) = (Arc::new(MemoryStorage::new()), Settings::default());
        let pilothouse = Pilothouse::new(storage.clone(), settings.clone()).unwrap();
        let id = pilothouse
            .accounts()
            .create_superuser("root", "root@example.com", "correct horse")
            .await
            .unwrap();
        let root = Caller {
            id,
            name: "root".into(),
            mail: "root@example.com".into(),
            groups: Groups::all(),
            scope: Scope::Account,
            limits: None,
            token: None,
            address: None,
        };
        let app = NewApp { app: "shop".into(), app_type: 0, name: "Shop".into(), charger: "root".into() };
        pilothouse.apps().create(&root, app).await.unwrap();
        let key = pilothouse.app_keys().create(&root, "shop").await.unwrap().text;
        let (address, tasks) = serve(&pilothouse, SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))).await;
        Self { storage, settings, pilothouse, root, key, address, tasks }
    }

    /// Restarts the server over the same store and on the same address.
    async fn restart(&mut self) {
        self.pilothouse.delivery().end_watches();
        for task in &mut self.tasks {
            task.abort();
            let _ = task.await;
        }
        self.pilothouse = Pilothouse::new(self.storage.clone(), self.settings.clone()).unwrap();
        (self.address, self.tasks) = serve(&self.pilothouse, self.address).await;
    }

    fn client(&self, node_id: &str) -> Builder {
        Client::builder(format!("http://{}/fleet", self.address), "shop", &self.key)
            .profile("production")
            .node_id(node_id)
            .backoff(Duration::from_millis(10), Duration::from_millis(100))
            .http(crate::http_client())
    }

    /// Publishes a value to all nodes, or to those in a comma-separated list.
    async fn publish(&self, key: &str, value: &str, nodes: Option<&str>) -> ReleaseId {
        let (items, root) = (self.pilothouse.items(), &self.root);
        let name = name(key);
        let content = Content { value: value.into(), ..Content::default() };
        let id = match items.find(root, &name).await {
            Ok(item) => {
                items.update(root, &name, content, None).await.unwrap();
                item.id
            }
            Err(_) => items.create(root, &name, content).await.unwrap(),
        };
        items.approve(root, &name, None).await.unwrap();
        let nodes = nodes.map(|ids| ids.parse().unwrap());
        let selector = Selector { nodes, stays_grey: true, ..Selector::default() };
        self.pilothouse.releases().publish(root, id, &selector, None).await.unwrap().release
    }

    /// Waits until every node of a release has acknowledged it, and returns node id, state and message of each.
    async fn settled_nodes(&self, release: ReleaseId) -> Vec<(String, NodeState, String)> {
        for _ in 0..1000 {
            let status = self.pilothouse.rollouts().status(&self.root, release).await.unwrap();
            let nodes: Vec<_> =
                status.nodes.into_iter().map(|node| (node.node_id, node.state, node.message)).collect();
            if !nodes.iter().any(|(_, state, _)| matches!(state, NodeState::Pending | NodeState::Sent)) {
                return nodes;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("timed out waiting for every node to acknowledge release {release}");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(pilothouse: &Pilothouse, address: SocketAddr) -> (SocketAddr, [JoinHandle<()>; 2]) {
    let api = ApiState::new(pilothouse.clone()).settings(HttpSettings::default().with_prefix("/fleet"));
    let (fleet, _) = router::<()>(api);
    let service = Router::new().nest("/fleet", fleet).into_make_service_with_connect_info::<SocketAddr>();
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    let working = tokio::spawn(Workers::new(pilothouse.clone()).run(CancellationToken::new()));
    (address, [serving, working])
}

fn name(key: &str) -> ItemName {
    ItemName { app: "shop".into(), profile: "production".into(), key: key.into() }
}

/// Predicate on the current value of a key.
fn value_is<'a>(client: &'a Client, key: &'a str) -> impl Fn(&str) -> bool + 'a {
    move |value| client.get_str(key).as_deref() == Some(value)
}

#[tokio::test]
async fn publish_grey_release_abort_reject_and_remove() {
    let server = TestServer::new().await;
    let first = server.client("n1").label("zone", "a").connect().await.unwrap();
    assert_eq!((first.status(), first.revision()), (Status::Connected, 0), "nothing was published");
    let second = server.client("n2").on_change(|change| match change.new.as_deref() {
        Some("bad") => Err("not with me".into()),
        _ => Ok(()),
    });
    let second = second.connect().await.unwrap();

    let release = server.publish("motto", "hello", None).await;
    eventually("the value on both", || {
        value_is(&first, "motto")("hello") && value_is(&second, "motto")("hello")
    })
    .await;
    let applied = |node: &str| (node.to_owned(), NodeState::Applied, String::new());
    assert_eq!(server.settled_nodes(release).await, [applied("n1"), applied("n2")]);

    let mut changes = second.changes();
    let grey = server.publish("motto", "grey", Some("n1")).await;
    eventually("the grey value", || value_is(&first, "motto")("grey")).await;
    assert_eq!(server.settled_nodes(grey).await, [applied("n1")]);
    server.pilothouse.releases().abort(&server.root, grey).await.unwrap();
    eventually("the value after the abort", || value_is(&first, "motto")("hello")).await;

    let release = server.publish("motto", "bad", None).await;
    eventually("the value on the node that accepts it", || value_is(&first, "motto")("bad")).await;
    let rejected = ("n2".to_owned(), NodeState::Rejected, "not with me".to_owned());
    assert_eq!(server.settled_nodes(release).await, [applied("n1"), rejected]);
    assert!(value_is(&second, "motto")("hello"));

    server.publish("port", "80", None).await;
    let change = changes.next().await.unwrap();
    assert_eq!(
        (&*change.key, change.new.as_deref()),
        ("port", Some("80")),
        "the grey and the rejected value were never visible"
    );
    assert_eq!(*second.get::<u16>("port").unwrap().unwrap(), 80);
    server.pilothouse.items().delete(&server.root, &name("port"), None).await.unwrap();
    eventually("the removal", || first.get_str("port").is_none() && second.get_str("port").is_none()).await;

    let nodes = || server.pilothouse.nodes();
    assert_eq!(nodes().list(&server.root, "shop", "production").await.unwrap().len(), 2);
    first.leave().await.unwrap();
    let left = nodes().list(&server.root, "shop", "production").await.unwrap();
    assert_eq!(left.iter().map(|node| &*node.node_id).collect::<Vec<_>>(), ["n2"]);
}

#[tokio::test]
async fn a_server_restart_neither_loses_nor_repeats_changes() {
    let mut server = TestServer::new().await;
    server.publish("a", "1", None).await;
    let (grey, plain) =
        (server.client("n1").connect().await.unwrap(), server.client("n2").connect().await.unwrap());
    server.publish("b", "1", Some("n1")).await;
    eventually("the grey value", || value_is(&grey, "b")("1")).await;
    assert!(plain.get_str("b").is_none());
    let mut grey_changes = grey.changes();
    let mut plain_changes = plain.changes();
    let mut statuses = plain.statuses();

    server.restart().await;
    while statuses.next().await != Some(Status::Connected) {}
    let release = server.publish("a", "2", None).await;
    for changes in [&mut grey_changes, &mut plain_changes] {
        let change = changes.next().await.unwrap();
        assert_eq!((&*change.key, change.new.as_deref()), ("a", Some("2")), "no earlier change is repeated");
    }
    assert!(value_is(&grey, "b")("1") && plain.get_str("b").is_none());
    let nodes = server.settled_nodes(release).await;
    assert!(nodes.len() == 2 && nodes.iter().all(|(_, state, _)| *state == NodeState::Applied), "{nodes:?}");
}

#[tokio::test]
async fn a_deleted_app_key_is_refused() {
    let mut server = TestServer::new().await;
    let wrong =
        Client::builder(format!("http://{}/fleet", server.address), "shop", "wrong").profile("production");
    assert!(matches!(wrong.connect().await, Err(Error::Refused(_))));

    server.publish("a", "1", None).await;
    let client = server.client("n1").connect().await.unwrap();
    let keys = server.pilothouse.app_keys();
    let id = keys.list(&server.root, "shop").await.unwrap()[0].id;
    keys.delete(&server.root, id).await.unwrap();
    server.restart().await;
    eventually("the refusal", || matches!(client.status(), Status::Refused(_))).await;
    assert!(value_is(&client, "a")("1"), "the configuration stays");
}
