//! Restores: nodes never keep what a lost history held, and nothing is restored over a running or another store.

use std::fs;
use std::path::Path;

use pilothouse_test_support::{Database, postgres_or_skip};
use serde_json::{Value, json};

use crate::support::{ApiClient, Installation, ROOT, TIMEOUT, TestServer, chmod, http_client};

/// A node of the app `shop` that speaks the protocol itself.
struct Node {
    http: reqwest::Client,
    key: String,
}

impl Node {
    /// Creates the app with a key, and registers the node.
    async fn create(root: &ApiClient, server: &TestServer) -> Self {
        root.get("/app/create?app=shop&appType=0&name=n&charger=c").await.ok();
        let key = root.get("/app/key/create?app=shop").await.ok()["data"]["Key"].as_str().unwrap().to_owned();
        let node = Self { http: http_client().build().unwrap(), key };
        node.register(server).await;
        node
    }

    async fn register(&self, server: &TestServer) {
        let body = json!({"app": "shop", "profile": "dev", "nodeId": "11", "pid": "1"});
        let request = self.http.post(format!("{}/node/register", server.url())).bearer_auth(&self.key);
        let answer: Value = request.json(&body).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["code"], 0, "{answer}");
    }

    /// Waits for what is new after a revision, for a second at most.
    async fn watch(&self, server: &TestServer, revision: i64) -> Value {
        let url = format!("{}/node/watch?app=shop&profile=dev&nodeId=11&wait=1", server.url());
        let request = self.http.get(format!("{url}&revision={revision}")).bearer_auth(&self.key);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["code"], 0, "{answer}");
        answer["data"].clone()
    }

    /// Status and entity tag of the whole configuration.
    async fn config(&self, server: &TestServer, tag: &str) -> (u16, String) {
        let url = format!("{}/node/config?app=shop&profile=dev&nodeId=11", server.url());
        let request = self.http.get(url).bearer_auth(&self.key).header("if-none-match", tag);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.headers()["etag"].to_str().unwrap().to_owned())
    }
}

/// Publishes a value of the key `k`.
async fn publish(root: &ApiClient, value: &str) {
    let name = "app=shop&profile=dev&key=k";
    let created = root.get(&format!("/config/create?{name}&value={value}")).await;
    if !created.is_ok() {
        root.get(&format!("/config/update?{name}&value={value}")).await.ok();
    }
    root.get(&format!("/config/approve?{name}")).await.ok();
    let item = root.get(&format!("/config/queryWithKey?{name}")).await.ok()["data"]["Id"].clone();
    root.get(&format!("/publish?id={item}")).await.ok();
}

/// What a node got of the history that is lost.
struct Lost {
    node: Node,
    revision: i64,
    tag: String,
}

/// Publishes `kept`, has `backup` keep that state, and publishes `lost`, which reaches a node.
async fn lose(server: &TestServer, backup: impl AsyncFnOnce()) -> Lost {
    let root = ApiClient::new(&[server]).login(ROOT).await;
    let node = Node::create(&root, server).await;
    publish(&root, "kept").await;
    backup().await;
    publish(&root, "lost").await;
    let held = node.watch(server, 0).await;
    assert_eq!(held["Items"][0]["Value"], "lost");
    let (_, tag) = node.config(server, "").await;
    Lost { node, revision: held["Revision"].as_i64().unwrap(), tag }
}

impl Lost {
    /// Asserts that the node gets what was restored, also where another value has the same version and number.
    async fn assert_replaced(&self, server: &TestServer) {
        let root = ApiClient::new(&[server]).login(ROOT).await;
        let told = self.node.watch(server, self.revision).await;
        assert_eq!(told["Items"][0]["Value"], "kept", "{told}");
        assert!(told["Revision"].as_i64().unwrap() > self.revision, "a revision goes back: {told}");
        publish(&root, "instead").await;
        let told = self.node.watch(server, self.revision).await;
        assert_eq!(told["Items"], json!([{"Key": "k", "Value": "instead", "Version": 2}]));
        assert_eq!(
            self.node.config(server, &self.tag).await.0,
            200,
            "another value has the tag of the lost one"
        );
    }
}

fn stop(mut server: TestServer) {
    server.process.stop(TIMEOUT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_reaches_every_node() {
    let installation = Installation::sqlite();
    let server = installation.serve().await;
    let lost = lose(&server, async || {
        assert_eq!(installation.run(&["backup", "copy.db"], "").code, Some(0));
    })
    .await;
    let refused = |arguments: &[&str], words: &str| {
        let ended = installation.run(arguments, "");
        assert!(ended.code == Some(2) && ended.stderr.contains(words), "{words}: {ended:?}");
    };
    refused(&["restore", "copy.db", "--replace"], "is in use by a server or a command: stop it first");
    stop(server);
    refused(&["restore", "copy.db"], "exists; with --replace it is put aside");
    fs::write(installation.file("notes.db"), "my notes").unwrap();
    assert_eq!(installation.run(&["restore", "notes.db", "--replace"], "").code, Some(1));
    let secret = installation.file("data/secret_key");
    let own = fs::read_to_string(&secret).unwrap();
    fs::write(&secret, "another secret of 32 bytes or more").unwrap();
    refused(&["restore", "copy.db", "--replace"], "is not the secret that the backup's store was used with");
    fs::remove_file(&secret).unwrap();
    refused(&["restore", "copy.db", "--replace"], "put the secret of the backup's store first into");
    assert!(!secret.exists(), "a refusal makes no secret");
    fs::write(&secret, own).unwrap();
    chmod(&secret, 0o600);

    let restored = installation.run(&["restore", "copy.db", "--replace"], "");
    assert_eq!(restored.code, Some(0), "{restored:?}");
    for words in ["the store that was there is ", "its epoch is ", "secret_key", "/logs"] {
        assert!(restored.stdout.contains(words), "{words}: {restored:?}");
    }
    let data = fs::read_dir(installation.file("data")).unwrap();
    let names: Vec<_> = data.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.iter().filter(|name| name.contains(".replaced-")).count(), 1, "{names:?}");
    assert!(!names.iter().any(|name| name.contains(".restoring")), "{names:?}");
    let epoch = restored.stdout.split_once("its epoch is ").unwrap().1;
    let epoch: i64 = epoch.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
    let server = installation.serve().await;
    lost.assert_replaced(&server).await;
    let told = lost.node.watch(&server, 0).await;
    assert_eq!(told["Revision"].as_i64().unwrap() >> 32, epoch, "the first start renews it no more");
}

/// Copies a backup over the stopped store by hand, which no command of this program sees.
fn put_back(backup: &Path, data: &Path) {
    for log in ["pilothouse.db-wal", "pilothouse.db-shm"] {
        let _ = fs::remove_file(data.join(log));
    }
    fs::copy(backup, data.join("pilothouse.db")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_put_back_by_hand_is_noticed() {
    let installation = Installation::sqlite();
    let server = installation.serve().await;
    let lost = lose(&server, async || {
        assert_eq!(installation.run(&["backup", "copy.db"], "").code, Some(0));
    })
    .await;
    stop(server);
    put_back(&installation.file("copy.db"), &installation.file("data"));
    let server = installation.serve().await;
    lost.assert_replaced(&server).await;
    // A restart of the same store renews nothing.
    let (_, tag) = lost.node.config(&server, "").await;
    stop(server);
    let server = installation.serve().await;
    assert_eq!(lost.node.config(&server, &tag).await.0, 304);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_postgres_database_is_noticed() {
    let Some(postgres) = postgres_or_skip("server::restore::a_copied_postgres_database_is_noticed") else {
        return;
    };
    let database = postgres.database();
    let installation = Installation::postgres(&database);
    let server = installation.start();
    server.wait_until_ready().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    let node = Node::create(&root, &server).await;
    publish(&root, "kept").await;
    stop(server);
    // Like a dump that is restored into a new database.
    let copy: Database = postgres.copy(&database);
    let server = installation.serve().await;
    let (root, tag) = (ApiClient::new(&[&server]).login(ROOT).await, node.config(&server, "").await.1);
    assert_eq!(node.config(&server, &tag).await.0, 304, "the same database after a restart");
    publish(&root, "lost").await;
    let held = node.watch(&server, 0).await;
    let (_, tag) = node.config(&server, "").await;
    let lost = Lost { node, revision: held["Revision"].as_i64().unwrap(), tag };
    stop(server);
    let restored = Installation::postgres(&copy);
    lost.assert_replaced(&restored.serve().await).await;

    let renewed = restored.run(&["renew-epoch"], "");
    assert!(renewed.code == Some(0) && renewed.stdout.starts_with("the epoch is "), "{renewed:?}");
    let refused = restored.run(&["restore", "copy.db"], "");
    assert!(refused.code == Some(2) && refused.stderr.contains("pg_restore"), "{refused:?}");
}
