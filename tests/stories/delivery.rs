//! Configuration that arrives: from an edit to programs with our client and with Apollo's, grey, through a crash.

use std::path::Path;
use std::time::{Duration, Instant};

use pilothouse_client::Client as Node;
use pilothouse_test_support::{Postgres, postgres_or_skip, stock_clients_or_skip};
use serde_json::{Value, json};

use crate::client::Client;
use crate::place::{PASSWORD, PATIENCE, Place, ROOT, Server};
use crate::stock::{Program, Stock};

const APP: &str = "shop";
const PROFILE: &str = "prod";

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    let Some(installed) = stock_clients_or_skip("delivery::on_sqlite") else { return };
    let place = Place::sqlite().with("APOLLO_UNSIGNED_APPS", APP);
    let servers = vec![place.serve().await];
    told(&installed, &[place], servers, || {}).await;
}

/// Nodes are spread over both servers, and wake-ups between them are lost all the time.
#[tokio::test(flavor = "multi_thread")]
async fn on_two_servers_over_one_postgres_that_lose_wake_ups() {
    const NAME: &str = "delivery::on_two_servers_over_one_postgres_that_lose_wake_ups";
    let Some(installed) = stock_clients_or_skip(NAME) else { return };
    let Some(postgres) = postgres_or_skip(NAME) else { return };
    let database = postgres.database();
    let place = || Place::postgres(&database).with("APOLLO_UNSIGNED_APPS", APP);
    let places = [place(), place()];
    let (one, two) = tokio::join!(places[0].serve(), places[1].serve());
    let lost = || {
        Postgres::end_listeners(postgres);
    };
    told(&installed, &places, vec![one, two], lost).await;
}

/// Every client that nobody here wrote reads, is told of a publication, and signs where it can.
#[tokio::test(flavor = "multi_thread")]
async fn stock_clients_read_are_told_and_sign() {
    let Some(installed) = stock_clients_or_skip("delivery::stock_clients_read_are_told_and_sign") else {
        return;
    };
    let place = Place::memory().with("APOLLO_UNSIGNED_APPS", "open");
    let server = place.serve().await;
    let root = Client::new(&[&server]).login(ROOT).await;
    let mut programs = Vec::new();
    for (app, signs) in [(APP, true), ("open", false)] {
        make_app(&root, app).await;
        publish(&root, app, "first", json!({})).await;
        let key = make_key(&root, app).await;
        for stock in
            [Stock::ApolloClientPython, Stock::Py3ApolloClient, Stock::CtripApollo, Stock::ApolloRustClient]
        {
            if signs && stock == Stock::CtripApollo {
                continue;
            }
            let secret = signs.then_some(key.as_str());
            programs.push(stock.start(
                &installed,
                &server.url(),
                [app, PROFILE, "motto"],
                secret,
                "10.9.0.1",
            ));
        }
    }
    let stranger = Stock::Py3ApolloClient.start(
        &installed,
        &server.url(),
        [APP, PROFILE, "motto"],
        Some("wrong"),
        "10.9.0.2",
    );
    for program in &programs {
        program.shows("first").await;
    }
    for app in [APP, "open"] {
        publish(&root, app, "second", json!({})).await;
    }
    for program in &programs {
        program.shows("second").await;
    }
    assert_ne!(stranger.value().as_deref(), Some("second"), "its key is none");
}

/// The nodes of the story.
struct Fleet {
    nodes: Vec<Node>,
    python: Program,
    node_js: Program,
}

impl Fleet {
    async fn start(installed: &Path, servers: &[Server], key: &str) -> Self {
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
        let python = Stock::Py3ApolloClient.start(installed, &url(0), of, Some(key), "10.9.0.1");
        let node_js = Stock::CtripApollo.start(installed, &url(1), of, None, "10.9.0.2");
        Self { nodes, python, node_js }
    }

    /// Waits until each node has its value: the three, Python and Node.js.
    async fn has(&self, values: [&str; 5]) {
        for (node, value) in self.nodes.iter().zip(values) {
            eventually(&format!("{} has {value}", node.node_id()), async || {
                node.get_str("motto").as_deref() == Some(value)
            })
            .await;
        }
        self.python.shows(values[3]).await;
        self.node_js.shows(values[4]).await;
    }
}

async fn told(installed: &Path, places: &[Place], mut servers: Vec<Server>, lose_wake_ups: impl Fn()) {
    let caller = |servers: &[Server]| Client::new(&servers.iter().collect::<Vec<_>>());
    let root = caller(&servers).login(ROOT).await;
    make_app(&root, APP).await;
    let developer = make_developer(&root, &caller(&servers)).await;
    let key = make_key(&root, APP).await;
    edit(&developer, APP, "first").await;
    let refused = developer.post("/publish", json!({"id": item(&root, APP).await["Id"]})).await;
    assert_eq!(refused.codes(), (200, 4), "a developer does not publish");
    release(&root, APP, json!({})).await;

    let fleet = Fleet::start(installed, &servers, &key).await;
    fleet.has(["first"; 5]).await;
    let path = format!("/node/list?app={APP}&profile={PROFILE}");
    let listed = root.get(&path).await.ok()["data"].clone();
    let ids: Vec<&String> = listed.as_object().unwrap().keys().collect();
    assert_eq!(ids, ["10.9.0.1", "10.9.0.2", "node-0", "node-1", "node-2"]);

    // Grey: exactly that node.
    lose_wake_ups();
    edit(&developer, APP, "second").await;
    let grey = release(&root, APP, json!({"nodes": "node-1"})).await;
    assert_eq!((&grey["Kind"], &grey["Targets"]), (&json!("grey"), &json!(1)));
    let grey_values = ["first", "second", "first", "first", "first"];
    fleet.has(grey_values).await;
    stays(&fleet, grey_values).await;

    // A crash changes nothing of that.
    let port = servers[0].port;
    servers[0].process.kill9();
    servers[0] = places[0].serve_again(port).await;
    let root = caller(&servers).login(ROOT).await;
    let developer = caller(&servers).login("dev").await;
    fleet.has(grey_values).await;
    stays(&fleet, grey_values).await;

    // Everybody, who had it when, and how fast.
    lose_wake_ups();
    let promoted = root.get(&format!("/publish/promote?release={}", grey["Release"])).await.ok();
    fleet.has(["second"; 5]).await;
    let full = &promoted["data"]["Release"];
    let full = if full.is_null() { &grey["Release"] } else { full };
    let applied = all_in(&root, full, "applied").await;
    for node in applied["Nodes"].as_array().unwrap() {
        assert!(!node["SentTime"].is_null() && !node["AckTime"].is_null(), "{node}");
    }

    // A bad value, which one node refuses.
    lose_wake_ups();
    edit(&developer, APP, "bad").await;
    let bad = release(&root, APP, json!({})).await;
    fleet.has(["bad", "bad", "second", "bad", "bad"]).await;
    eventually("the status names who rejects it", async || {
        let status = status(&root, &bad["Release"]).await;
        let nodes = status["Nodes"].as_array().unwrap();
        nodes.iter().any(|node| {
            node["NodeId"] == "node-2" && node["State"] == "rejected" && node["Message"] == "no motto is bad"
        })
    })
    .await;

    // Back to what was.
    lose_wake_ups();
    let back = json!({"app": APP, "profile": PROFILE, "key": "motto", "version": 2});
    developer.post("/config/rollback", back).await.ok();
    release(&root, APP, json!({})).await;
    fleet.has(["second"; 5]).await;

    // Who leaves is gone from the list at once.
    fleet.nodes[0].leave().await.unwrap();
    eventually("the node is off the list", async || {
        root.get(&path).await.ok()["data"].get("node-0").is_none()
    })
    .await;
}

/// Looks for two seconds whether anybody gets what is not theirs.
async fn stays(fleet: &Fleet, values: [&str; 5]) {
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        for (node, value) in fleet.nodes.iter().zip(values) {
            assert_eq!(node.get_str("motto").as_deref(), Some(value), "{}", node.node_id());
        }
        assert_eq!(fleet.python.value().as_deref(), Some(values[3]));
        assert_eq!(fleet.node_js.value().as_deref(), Some(values[4]));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not so: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn status(root: &Client, release: &Value) -> Value {
    root.get(&format!("/publish/status?release={release}")).await.ok()["data"].clone()
}

/// Waits until all five nodes are in a state of a release.
async fn all_in(root: &Client, release: &Value, state: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
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

async fn make_app(root: &Client, app: &str) {
    root.post("/app/create", json!({"app": app, "appType": 0, "name": app, "charger": "ann"})).await.ok();
}

async fn make_key(root: &Client, app: &str) -> String {
    let made = root.post("/app/key/create", json!({"app": app})).await.ok();
    made["data"]["Key"].as_str().unwrap().to_owned()
}

async fn make_developer(root: &Client, anybody: &Client) -> Client {
    let data = json!({
        "mail": "dev@example.com", "name": "dev", "passwd": PASSWORD, "department": "dev", "permissions": "",
    });
    root.post("/admin/user", json!({"action": "add", "data": data})).await.ok();
    let account = root.get("/admin/user?username=dev").await.ok();
    let grant = json!({"app": APP, "permission": 1, "uid": account["info"]["id"], "username": "dev"});
    root.post("/userauth/create", grant).await.ok();
    anybody.login("dev").await
}

async fn edit(developer: &Client, app: &str, value: &str) {
    let item = json!({"app": app, "profile": PROFILE, "key": "motto", "value": value});
    if !developer.post("/config/create", item.clone()).await.is_ok() {
        developer.post("/config/update", item).await.ok();
    }
}

async fn item(root: &Client, app: &str) -> Value {
    let path = format!("/config/queryWithKey?app={app}&profile={PROFILE}&key=motto");
    root.get(&path).await.ok()["data"].clone()
}

/// Approves and publishes the present version.
async fn release(root: &Client, app: &str, more: Value) -> Value {
    root.post("/config/approve", json!({"app": app, "profile": PROFILE, "key": "motto"})).await.ok();
    let mut arguments = json!({"id": item(root, app).await["Id"]});
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    root.post("/publish", arguments).await.ok()["data"].clone()
}

async fn publish(root: &Client, app: &str, value: &str, more: Value) -> Value {
    edit(root, app, value).await;
    release(root, app, more).await
}
