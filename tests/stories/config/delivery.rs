//! Delivery of configuration: edits, grey releases, drift and crashes, to our client library and to Apollo clients.

use std::path::Path;
use std::time::{Duration, Instant};

use pilothouse_client::Client as Node;
use pilothouse_test_support::{Postgres, postgres_or_skip, stock_clients_or_skip};
use serde_json::{Value, json};

use crate::support::{
    ApiClient, ClientLibrary, ClientProgram, Installation, PASSWORD, ROOT, TIMEOUT, TestServer,
};

const APP: &str = "shop";
const PROFILE: &str = "prod";

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    let Some(installed) = stock_clients_or_skip("config::delivery::on_sqlite") else { return };
    let installation = Installation::sqlite().with("APOLLO_UNSIGNED_APPS", APP);
    let servers = vec![installation.serve().await];
    run(&installed, &[installation], servers, || {}).await;
}

/// Nodes are spread over both servers, and wake-ups between them are lost all the time.
#[tokio::test(flavor = "multi_thread")]
async fn on_two_servers_over_one_postgres_that_lose_wake_ups() {
    const NAME: &str = "config::delivery::on_two_servers_over_one_postgres_that_lose_wake_ups";
    let Some(installed) = stock_clients_or_skip(NAME) else { return };
    let Some(postgres) = postgres_or_skip(NAME) else { return };
    let database = postgres.database();
    let installation = || Installation::postgres(&database).with("APOLLO_UNSIGNED_APPS", APP);
    let installations = [installation(), installation()];
    let (one, two) = tokio::join!(installations[0].serve(), installations[1].serve());
    let lost = || {
        Postgres::end_listeners(postgres);
    };
    run(&installed, &installations, vec![one, two], lost).await;
}

/// Every third-party client reads, is notified of a publication, and signs if it can.
#[tokio::test(flavor = "multi_thread")]
async fn apollo_clients_read_get_notifications_and_sign() {
    let Some(installed) =
        stock_clients_or_skip("config::delivery::apollo_clients_read_get_notifications_and_sign")
    else {
        return;
    };
    let installation = Installation::memory().with("APOLLO_UNSIGNED_APPS", "open");
    let server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    let mut programs = Vec::new();
    for (app, signs) in [(APP, true), ("open", false)] {
        create_app(&root, app).await;
        publish(&root, app, "first", json!({})).await;
        // The secret that the app's clients have had elsewhere.
        let key = format!("{app}-df23df3f59884980844ff3dada30fa97");
        root.post("/app/key/create", json!({"app": app, "secret": key})).await.ok();
        for client in [
            ClientLibrary::ApolloClientPython,
            ClientLibrary::Py3ApolloClient,
            ClientLibrary::CtripApollo,
            ClientLibrary::ApolloRustClient,
        ] {
            if signs && client == ClientLibrary::CtripApollo {
                continue;
            }
            let secret = signs.then_some(key.as_str());
            programs.push(client.start(
                &installed,
                &server.url(),
                [app, PROFILE, "motto"],
                secret,
                "10.9.0.1",
            ));
        }
    }
    let foreign = Some("a secret that only another system knows");
    let open = ["open", PROFILE, "motto"];
    programs.push(ClientLibrary::Py3ApolloClient.start(&installed, &server.url(), open, foreign, "10.9.0.3"));
    let wrong_key = ClientLibrary::Py3ApolloClient.start(
        &installed,
        &server.url(),
        [APP, PROFILE, "motto"],
        Some("wrong"),
        "10.9.0.2",
    );
    for program in &programs {
        program.wait_for("first").await;
    }
    for app in [APP, "open"] {
        publish(&root, app, "second", json!({})).await;
    }
    for program in &programs {
        program.wait_for("second").await;
    }
    assert_ne!(wrong_key.value().as_deref(), Some("second"), "a client with a wrong key must get nothing");
}

/// Stock clients of two apps get what a third one shares, are told of its changes, and keep their own keys on top.
#[tokio::test(flavor = "multi_thread")]
async fn apollo_clients_get_a_shared_namespace() {
    let name = "config::delivery::apollo_clients_get_a_shared_namespace";
    let Some(installed) = stock_clients_or_skip(name) else { return };
    let installation = Installation::memory().with("APOLLO_UNSIGNED_APPS", "open");
    let server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    for app in ["base", APP, "open"] {
        create_app(&root, app).await;
    }
    let set = async |app: &str, profile: &str, key: &str, value: &str| {
        let name = json!({"app": app, "profile": profile, "key": key});
        let item = json!({"app": app, "profile": profile, "key": key, "value": value});
        if !root.post("/config/create", item.clone()).await.is_ok() {
            root.post("/config/update", item).await.ok();
        }
        root.post("/config/approve", name.clone()).await.ok();
        let id = root.post("/config/queryWithKey", name).await.ok()["data"]["Id"].clone();
        root.post("/publish", json!({"id": id})).await.ok();
    };
    set("base", "default", "mid/motto", "first").await;
    root.post("/app/share", json!({"app": "base", "namespace": "mid", "shared": true})).await.ok();
    let key = create_key(&root, APP).await;
    let url = server.url();
    let start = |client: ClientLibrary, app: &str, secret: Option<&str>, address: &str| {
        client.start(&installed, &url, [app, PROFILE, "mid/motto"], secret, address)
    };
    let programs = [
        start(ClientLibrary::ApolloClientPython, APP, Some(&key), "10.9.1.1"),
        start(ClientLibrary::CtripApollo, "open", None, "10.9.1.2"),
    ];
    for program in &programs {
        program.wait_for("first").await;
    }
    set("base", "default", "mid/motto", "second").await;
    for program in &programs {
        program.wait_for("second").await;
    }
    set(APP, PROFILE, "mid/motto", "own").await;
    programs[0].wait_for("own").await;
    set("base", "default", "mid/motto", "third").await;
    programs[1].wait_for("third").await;
    assert_eq!(programs[0].value().as_deref(), Some("own"));
    let gone = json!({"app": APP, "profile": PROFILE, "key": "mid/motto"});
    root.post("/config/del", gone).await.ok();
    programs[0].wait_for("third").await;
}

/// Three nodes with the client library, and two Apollo clients.
struct Nodes {
    nodes: Vec<Node>,
    python: ClientProgram,
    node_js: ClientProgram,
}

impl Nodes {
    async fn start(installed: &Path, servers: &[TestServer], key: &str) -> Self {
        let url = |number: usize| servers[number % servers.len()].url();
        let mut nodes = Vec::new();
        for number in 0..3 {
            let mut builder = Node::builder(url(number), APP, key).profile(PROFILE);
            builder = builder.node_id(format!("node-{number}")).url(url(number + 1));
            if number == 2 {
                builder = builder.on_change(|change| match change.new.as_deref() {
                    Some("bad") => Err("no motto is bad".into()),
                    _ => Ok(()),
                });
            }
            nodes.push(builder.connect().await.unwrap());
        }
        let of = [APP, PROFILE, "motto"];
        let python = ClientLibrary::Py3ApolloClient.start(installed, &url(0), of, Some(key), "10.9.0.1");
        let node_js = ClientLibrary::CtripApollo.start(installed, &url(1), of, None, "10.9.0.2");
        Self { nodes, python, node_js }
    }

    /// Waits until each node has its value: the three with the client library, Python, Node.js.
    async fn wait_for(&self, values: [&str; 5]) {
        for (node, value) in self.nodes.iter().zip(values) {
            eventually(&format!("{} has {value}", node.node_id()), async || {
                node.get_str("motto").as_deref() == Some(value)
            })
            .await;
        }
        self.python.wait_for(values[3]).await;
        self.node_js.wait_for(values[4]).await;
    }
}

/// Runs the story; `lose_wake_ups` drops those under way between servers.
async fn run(
    installed: &Path,
    installations: &[Installation],
    mut servers: Vec<TestServer>,
    lose_wake_ups: impl Fn(),
) {
    let anonymous = |servers: &[TestServer]| ApiClient::new(&servers.iter().collect::<Vec<_>>());
    let root = anonymous(&servers).login(ROOT).await;
    create_app(&root, APP).await;
    let developer = create_developer(&root, &anonymous(&servers)).await;
    let key = create_key(&root, APP).await;
    edit(&developer, APP, "first").await;
    let refused = developer.post("/publish", json!({"id": item(&root, APP).await["Id"]})).await;
    assert_eq!(refused.codes(), (200, 4), "a developer may not publish");
    release(&root, APP, json!({})).await;

    let nodes = Nodes::start(installed, &servers, &key).await;
    nodes.wait_for(["first"; 5]).await;
    let path = format!("/node/list?app={APP}&profile={PROFILE}");
    let listed = root.get(&path).await.ok()["data"].clone();
    let ids: Vec<&String> = listed.as_object().unwrap().keys().collect();
    assert_eq!(ids, ["10.9.0.1", "10.9.0.2", "node-0", "node-1", "node-2"]);

    // A grey release reaches the selected node only.
    lose_wake_ups();
    edit(&developer, APP, "second").await;
    let grey = release(&root, APP, json!({"nodes": "node-1", "grey": true})).await;
    assert_eq!((&grey["Kind"], &grey["Targets"]), (&json!("grey"), &json!(1)));
    let grey_values = ["first", "second", "first", "first", "first"];
    nodes.wait_for(grey_values).await;
    assert_stable(&nodes, grey_values).await;

    // A crash of a server changes nothing.
    let port = servers[0].port;
    servers[0].process.kill9();
    servers[0] = installations[0].serve_again(port).await;
    let root = anonymous(&servers).login(ROOT).await;
    let developer = anonymous(&servers).login("dev").await;
    nodes.wait_for(grey_values).await;
    assert_stable(&nodes, grey_values).await;

    // Promotion reaches every node, and the status has the times of each.
    lose_wake_ups();
    let promoted = root.get(&format!("/publish/promote?release={}", grey["Release"])).await.ok();
    nodes.wait_for(["second"; 5]).await;
    let full = &promoted["data"]["Release"];
    let full = if full.is_null() { &grey["Release"] } else { full };
    let applied = all_in(&root, full, "applied").await;
    for node in applied["Nodes"].as_array().unwrap() {
        assert!(!node["SentTime"].is_null() && !node["AckTime"].is_null(), "{node}");
    }

    // A bad value, which one node rejects.
    lose_wake_ups();
    edit(&developer, APP, "bad").await;
    let bad = release(&root, APP, json!({})).await;
    nodes.wait_for(["bad", "bad", "second", "bad", "bad"]).await;
    eventually("the status names the node that rejects it", async || {
        let status = status(&root, &bad["Release"]).await;
        let nodes = status["Nodes"].as_array().unwrap();
        nodes.iter().any(|node| {
            node["NodeId"] == "node-2" && node["State"] == "rejected" && node["Message"] == "no motto is bad"
        })
    })
    .await;

    // A rollback publishes the earlier value.
    lose_wake_ups();
    let back = json!({"app": APP, "profile": PROFILE, "key": "motto", "version": 2});
    developer.post("/config/rollback", back).await.ok();
    release(&root, APP, json!({})).await;
    nodes.wait_for(["second"; 5]).await;

    // A node that leaves is removed from the list at once.
    nodes.nodes[0].leave().await.unwrap();
    eventually("the node is off the list", async || {
        root.get(&path).await.ok()["data"].get("node-0").is_none()
    })
    .await;
}

/// Asserts for two seconds that every node keeps its value.
async fn assert_stable(nodes: &Nodes, values: [&str; 5]) {
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        for (node, value) in nodes.nodes.iter().zip(values) {
            assert_eq!(node.get_str("motto").as_deref(), Some(value), "{}", node.node_id());
        }
        assert_eq!(nodes.python.value().as_deref(), Some(values[3]));
        assert_eq!(nodes.node_js.value().as_deref(), Some(values[4]));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not reached: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn status(root: &ApiClient, release: &Value) -> Value {
    root.get(&format!("/publish/status?release={release}")).await.ok()["data"].clone()
}

/// Waits until all five nodes are in a state of a release.
async fn all_in(root: &ApiClient, release: &Value, state: &str) -> Value {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let status = status(root, release).await;
        let nodes = status["Nodes"].as_array().unwrap();
        if nodes.len() == 5 && nodes.iter().all(|node| node["State"] == state) {
            return status;
        }
        assert!(Instant::now() < deadline, "not all are {state}: {status}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn create_app(root: &ApiClient, app: &str) {
    root.post("/app/create", json!({"app": app, "appType": 0, "name": app, "charger": "ann"})).await.ok();
}

async fn create_key(root: &ApiClient, app: &str) -> String {
    let made = root.post("/app/key/create", json!({"app": app})).await.ok();
    made["data"]["Key"].as_str().unwrap().to_owned()
}

async fn create_developer(root: &ApiClient, anonymous: &ApiClient) -> ApiClient {
    let data = json!({
        "mail": "dev@example.com", "name": "dev", "passwd": PASSWORD, "department": "dev", "permissions": "",
    });
    root.post("/admin/user", json!({"action": "add", "data": data})).await.ok();
    let account = root.get("/admin/user?username=dev").await.ok();
    let grant = json!({"app": APP, "permission": 1, "uid": account["info"]["id"], "username": "dev"});
    root.post("/userauth/create", grant).await.ok();
    anonymous.login("dev").await
}

async fn edit(developer: &ApiClient, app: &str, value: &str) {
    let item = json!({"app": app, "profile": PROFILE, "key": "motto", "value": value});
    if !developer.post("/config/create", item.clone()).await.is_ok() {
        developer.post("/config/update", item).await.ok();
    }
}

async fn item(root: &ApiClient, app: &str) -> Value {
    let path = format!("/config/queryWithKey?app={app}&profile={PROFILE}&key=motto");
    root.get(&path).await.ok()["data"].clone()
}

/// Approves and publishes the current version.
async fn release(root: &ApiClient, app: &str, more: Value) -> Value {
    root.post("/config/approve", json!({"app": app, "profile": PROFILE, "key": "motto"})).await.ok();
    let mut arguments = json!({"id": item(root, app).await["Id"]});
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    root.post("/publish", arguments).await.ok()["data"].clone()
}

async fn publish(root: &ApiClient, app: &str, value: &str, more: Value) -> Value {
    edit(root, app, value).await;
    release(root, app, more).await
}
