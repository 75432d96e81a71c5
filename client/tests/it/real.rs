//! A client against the real thing, over the memory store.

use std::net::SocketAddr;
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
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fake::eventually;

struct Real {
    storage: Arc<MemoryStorage>,
    settings: Settings,
    pilothouse: Pilothouse,
    root: Caller,
    key: String,
    address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Real {
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
            token: None,
            address: None,
        };
        let app = NewApp { app: "shop".into(), app_type: 0, name: "Shop".into(), charger: "root".into() };
        pilothouse.apps().create(&root, app).await.unwrap();
        let key = pilothouse.app_keys().create(&root, "shop").await.unwrap().text;
        let (address, tasks) = serve(&pilothouse, "127.0.0.1:0".parse().unwrap()).await;
        Self { storage, settings, pilothouse, root, key, address, tasks }
    }

    /// Stops, and starts again over the same store.
    async fn restart(&mut self) {
        self.pilothouse.feeds().end_watches();
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
            .http(reqwest::Client::builder().no_proxy().build().unwrap())
    }

    /// Publishes a value to everybody, or to some nodes.
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
        let selector = Selector { nodes: nodes.map(str::to_owned), ..Selector::default() };
        self.pilothouse.releases().publish(root, id, &selector, None).await.unwrap().release
    }

    /// State and message of each node, once every one of them has said something.
    async fn said(&self, release: ReleaseId) -> Vec<(String, NodeState, String)> {
        for _ in 0..1000 {
            let status = self.pilothouse.rollouts().status(&self.root, release).await.unwrap();
            let nodes: Vec<_> =
                status.nodes.into_iter().map(|node| (node.node_id, node.state, node.message)).collect();
            if !nodes.iter().any(|(_, state, _)| matches!(state, NodeState::Pending | NodeState::Sent)) {
                return nodes;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: every node has said something about release {release}");
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(pilothouse: &Pilothouse, address: SocketAddr) -> (SocketAddr, [JoinHandle<()>; 2]) {
    let api = ApiState::new(pilothouse.clone())
        .settings(HttpSettings { prefix: "/fleet".into(), ..HttpSettings::default() });
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

fn of<'a>(client: &'a Client, key: &'a str) -> impl Fn(&str) -> bool + 'a {
    move |value| client.get_str(key).as_deref() == Some(value)
}

#[tokio::test]
async fn publish_grey_abort_reject_remove() {
    let real = Real::new().await;
    let first = real.client("n1").label("zone", "a").connect().await.unwrap();
    assert_eq!((first.status(), first.revision()), (Status::Connected, 0), "nothing was published");
    let second = real.client("n2").on_change(|change| match change.new.as_deref() {
        Some("bad") => Err("not with me".into()),
        _ => Ok(()),
    });
    let second = second.connect().await.unwrap();

    let release = real.publish("motto", "hello", None).await;
    eventually("the value on both", || of(&first, "motto")("hello") && of(&second, "motto")("hello")).await;
    let applied = |node: &str| (node.to_owned(), NodeState::Applied, String::new());
    assert_eq!(real.said(release).await, [applied("n1"), applied("n2")]);

    let mut changes = second.changes();
    let grey = real.publish("motto", "grey", Some("n1")).await;
    eventually("the grey value", || of(&first, "motto")("grey")).await;
    assert_eq!(real.said(grey).await, [applied("n1")]);
    real.pilothouse.releases().abort(&real.root, grey).await.unwrap();
    eventually("the value before", || of(&first, "motto")("hello")).await;

    let release = real.publish("motto", "bad", None).await;
    eventually("the value where it is taken", || of(&first, "motto")("bad")).await;
    let rejected = ("n2".to_owned(), NodeState::Rejected, "not with me".to_owned());
    assert_eq!(real.said(release).await, [applied("n1"), rejected]);
    assert!(of(&second, "motto")("hello"));

    real.publish("port", "80", None).await;
    let change = changes.next().await.unwrap();
    assert_eq!((&*change.key, change.new.as_deref()), ("port", Some("80")), "nothing else reached it");
    assert_eq!(*second.get::<u16>("port").unwrap().unwrap(), 80);
    real.pilothouse.items().delete(&real.root, &name("port"), None).await.unwrap();
    eventually("the removal", || first.get_str("port").is_none() && second.get_str("port").is_none()).await;

    let nodes = || real.pilothouse.nodes();
    assert_eq!(nodes().list(&real.root, "shop", "production").await.unwrap().len(), 2);
    first.leave().await.unwrap();
    let left = nodes().list(&real.root, "shop", "production").await.unwrap();
    assert_eq!(left.iter().map(|node| &*node.node_id).collect::<Vec<_>>(), ["n2"]);
}

#[tokio::test]
async fn a_restart_of_the_server_loses_nothing_and_repeats_nothing() {
    let mut real = Real::new().await;
    real.publish("a", "1", None).await;
    let (grey, plain) =
        (real.client("n1").connect().await.unwrap(), real.client("n2").connect().await.unwrap());
    real.publish("b", "1", Some("n1")).await;
    eventually("the grey value", || of(&grey, "b")("1")).await;
    assert!(plain.get_str("b").is_none());
    let (mut of_grey, mut of_plain) = (grey.changes(), plain.changes());
    let mut statuses = plain.statuses();

    real.restart().await;
    while statuses.next().await != Some(Status::Connected) {}
    let release = real.publish("a", "2", None).await;
    for changes in [&mut of_grey, &mut of_plain] {
        let change = changes.next().await.unwrap();
        assert_eq!((&*change.key, change.new.as_deref()), ("a", Some("2")), "the first thing it was told");
    }
    assert!(of(&grey, "b")("1") && plain.get_str("b").is_none());
    let said = real.said(release).await;
    assert!(said.len() == 2 && said.iter().all(|(_, state, _)| *state == NodeState::Applied), "{said:?}");
}

#[tokio::test]
async fn a_key_that_is_deleted_is_refused() {
    let mut real = Real::new().await;
    let wrong =
        Client::builder(format!("http://{}/fleet", real.address), "shop", "wrong").profile("production");
    assert!(matches!(wrong.connect().await, Err(Error::Refused(_))));

    real.publish("a", "1", None).await;
    let client = real.client("n1").connect().await.unwrap();
    let keys = real.pilothouse.app_keys();
    let id = keys.list(&real.root, "shop").await.unwrap()[0].id;
    keys.delete(&real.root, id).await.unwrap();
    real.restart().await;
    eventually("the refusal", || matches!(client.status(), Status::Refused(_))).await;
    assert!(of(&client, "a")("1"), "what it holds stays");
}
