//! API with one object of every kind, and callers with and without permission on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_conformance::doubles::{ManualClock, MemoryBlobs, ScriptedProvider};
use pilothouse_core::cdn::LogShipper;
use pilothouse_core::ports::{CdnProvider, RandomIds, Storage};
use pilothouse_core::{Pilothouse, SecretKey, Settings};
use pilothouse_http_axum::HttpSettings;
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};

use crate::api::{Answer, Api, PASSWORD};

/// Every permission group.
pub(crate) const GROUPS: std::ops::RangeInclusive<u8> = 1..=9;

/// SHA-256 of the blob that is there, which has no bytes.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The identity of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Identity {
    /// An account with all groups, and grant 9 on `all`.
    Root,
    /// Root, with a token for the cdn family only.
    RootForCdn,
    /// The customer that holds `cdn.exrqs.com`; without groups.
    Customer,
    /// Another customer, without groups.
    OtherCustomer,
    /// An account with every group but this one, and without grants.
    WithoutGroup(u8),
    /// An account that may develop the app but not manage it.
    Developer,
    /// An account that may read the profile `dev` of the app and do no more.
    Reader,
    /// An account that manages the profile `stage` of the app and no other.
    ProfileManager,
    /// The manager of another app.
    OtherManager,
    /// The edge `edge-1` of `level3`, by its key.
    Edge,
    /// Another edge, by its own key.
    OtherEdge,
    /// The agent of the machine `agent01`, by its token.
    Agent,
    /// The agent of another machine, by its token.
    OtherAgent,
    /// A node of `app1`, by a key of that app.
    Node,
    /// A node of another app, by a key of that app.
    OtherNode,
    /// A caller without a token.
    Anonymous,
    /// A caller with a token that was never issued.
    UnknownToken,
    /// Root, with a token that has expired.
    ExpiredToken,
    /// Root, with a token that was revoked by a log-out.
    RevokedToken,
}

/// The API, tokens of all identities, and the seeded objects.
pub(crate) struct SeededApi {
    pub(crate) api: Api,
    pub(crate) clock: Arc<ManualClock>,
    /// The store, where it is in memory.
    memory: Option<MemoryStorage>,
    tokens: BTreeMap<Identity, String>,
    /// Ids of the seeded objects, by name.
    pub(crate) seeded: BTreeMap<&'static str, Value>,
}

impl SeededApi {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(1_473_752_647));
        let memory = MemoryStorage::with_clock(clock.clone()).strict();
        let mut this = Self::seeded(Arc::new(memory.clone()), clock).await;
        this.memory = Some(memory);
        this
    }

    /// Over an empty store, whose clock shows `now`.
    pub(crate) async fn over(storage: Arc<dyn Storage>, now: DateTime<Utc>) -> Self {
        let clock = Arc::new(ManualClock::at((now - TimeDelta::days(1)).timestamp()));
        Self::seeded(storage, clock).await
    }

    /// Over an empty store. A day passes on the clock.
    async fn seeded(storage: Arc<dyn Storage>, clock: Arc<ManualClock>) -> Self {
        let pilothouse = pilothouse(storage, &clock);
        pilothouse.accounts().create_superuser("root", "root@example.com", PASSWORD).await.unwrap();
        let api = Api::of(pilothouse, HttpSettings::default());
        api.pilothouse.cdns().ensure_configured().await.unwrap();
        let (tokens, seeded) = (BTreeMap::new(), BTreeMap::new());
        let mut this = Self { api, clock, memory: None, tokens, seeded };
        this.tokens.insert(Identity::ExpiredToken, this.api.login("root").await);
        this.clock.advance(TimeDelta::days(1));
        let revoked = this.api.login("root").await;
        assert_eq!(this.api.call("POST", &revoked, "/admin/user_logout", None).await.codes(), (200, 200));
        this.tokens.insert(Identity::RevokedToken, revoked);
        this.tokens.insert(Identity::UnknownToken, "0123456789abcdef".repeat(4));
        this.tokens.insert(Identity::Anonymous, String::new());
        for (who, shipper) in [Identity::Edge, Identity::OtherEdge].into_iter().zip(shippers()) {
            this.tokens.insert(who, shipper.key);
        }
        this.tokens.insert(Identity::Root, this.api.login("root").await);
        this.seed().await;
        this
    }

    /// An independent copy of the API and its store.
    pub(crate) fn fork(&self) -> Self {
        let memory = self.memory.as_ref().unwrap().fork();
        let api = Api::of(pilothouse(Arc::new(memory.clone()), &self.clock), HttpSettings::default());
        let (clock, tokens, seeded) = (self.clock.clone(), self.tokens.clone(), self.seeded.clone());
        Self { api, clock, memory: Some(memory), tokens, seeded }
    }

    /// Creates one object of every kind.
    async fn seed(&mut self) {
        let task = json!({"ip": "::1", "action": "update", "content": "x", "description": "x"});
        let task = self.make("/api/task", json!({"action": "add", "data": task})).await;
        self.seeded.insert("task", task["info"]["task_id"].clone());
        let machine = json!({
            "machine_name": "web01", "inside_ip": "10.2.2.2", "outside_ip": "111.111.11.1",
            "usage": "web", "is_initialized": 0, "location": "x",
        });
        self.make("/api/machine_info", json!({"action": "add", "data": machine})).await;

        self.seed_updates().await;
        self.seed_batches().await;

        for (who, name) in [(Identity::Customer, "xxx"), (Identity::OtherCustomer, "other")] {
            let mail = format!("{}@example.com", if name == "xxx" { "user" } else { name });
            let account =
                json!({"mail": mail, "name": name, "passwd": PASSWORD, "department": "", "permissions": ""});
            self.make("/admin/user", json!({"action": "add", "data": account})).await;
            self.make("/level3/user", json!({"login_email": mail, "password": PASSWORD})).await;
            let domain = if name == "xxx" { "cdn.exrqs.com" } else { "other.exrqs.com" };
            self.make(
                "/level3/user_domains",
                json!({"login_email": mail, "cdn": "level3", "domains": domain}),
            )
            .await;
            let threshold = json!({"login_email": mail, "domain": domain, "bandwidth": 1_000_000});
            self.make("/level3/threshold", threshold).await;
            let token = self.api.login(name).await;
            self.tokens.insert(who, token);
        }
        self.make("/level3/user", json!({"login_email": "root@example.com", "password": PASSWORD})).await;
        let login = json!({"login_email": "root@example.com", "password": PASSWORD});
        let login = self.make("/level3/login", login).await;
        self.tokens.insert(Identity::RootForCdn, login["token"].as_str().unwrap().to_owned());
        let program = json!({"action": "add", "data": {"name": "program", "days": 1}});
        let program = self.make("/admin/api_token", program).await;
        self.seeded.insert("api_token", program["info"]["id"].clone());
        let named = self.make("/level3/cdn", json!({"cdn": "bare"})).await;
        self.seeded.insert("cdn", named["id"].clone());
        let urls = json!({"login_email": "user@example.com", "path": "http://cdn.exrqs.com/test.html"});
        let job = self.make("/level3/refresh", urls).await;
        self.seeded.insert("job", job["results"][0]["taskid"].clone());

        for (app, manager) in
            [("app1", Identity::Root), ("app2", Identity::OtherManager), ("app3", Identity::Root)]
        {
            if manager == Identity::OtherManager {
                let token = self.api.account("manager", "").await;
                self.tokens.insert(manager, token);
            }
            let new = json!({"app": app, "appType": 1, "name": "test", "charger": "dyf"});
            assert_eq!(self.call(manager, "POST", "/app/create", Some(new)).await.codes(), (200, 0));
        }
        let developer = self.api.account("developer", "").await;
        self.tokens.insert(Identity::Developer, developer);
        let id = self
            .make(
                "/userauth/create",
                json!({"app": "app1", "permission": 1, "uid": self.uid("developer").await, "username": "d"}),
            )
            .await;
        self.seeded.insert("grant", id["data"].clone());
        for (who, name, profile, permission) in
            [(Identity::Reader, "reader", "dev", 0), (Identity::ProfileManager, "promoter", "stage", 9)]
        {
            let token = self.api.account(name, "").await;
            self.tokens.insert(who, token);
            let uid = self.uid(name).await;
            let new = json!({"app": "app1", "profile": profile, "permission": permission, "uid": uid, "username": name});
            self.make("/userauth/create", new).await;
        }
        let key = json!({"app": "app1", "profile": "dev", "key": "k1", "value": "v1"});
        let id = self.make("/config/create", key.clone()).await["data"].clone();
        let changed = json!({"app": "app1", "profile": "dev", "key": "k1", "value": "v2"});
        self.make("/config/update", changed).await;
        self.make("/config/approve", json!({"app": "app1", "profile": "dev", "key": "k1"})).await;
        self.make("/publish", json!({"id": id})).await;
        self.seeded.insert("config", id.clone());
        let text = json!({"app": "app1", "profile": "dev", "key": "k2.json", "value": "{}"});
        let text_id = self.make("/config/create", text.clone()).await["data"].clone();
        self.make("/config/approve", json!({"app": "app1", "profile": "dev", "key": "k2.json"})).await;
        self.make("/publish", json!({"id": text_id})).await;
        let changes = json!([{"key": "k3", "value": "v"}]);
        let set =
            self.make("/config/apply", json!({"app": "app1", "profile": "dev", "changes": changes})).await;
        self.seeded.insert("changeset", set["data"]["ChangeSet"].clone());
        for (who, app) in [(Identity::Node, "app1"), (Identity::OtherNode, "app2")] {
            let made = self.make("/app/key/create", json!({"app": app})).await["data"].clone();
            self.tokens.insert(who, made["Key"].as_str().unwrap().to_owned());
            if who == Identity::Node {
                self.seeded.insert("key", made["Id"].clone());
            }
        }
        let node = json!({"app": "app1", "profile": "dev", "nodeId": "11", "pid": "4711"});
        assert_eq!(self.call(Identity::Node, "POST", "/node/register", Some(node)).await.codes(), (200, 0));
        let grey = self.make("/publish", json!({"id": id, "nodes": "11", "grey": true})).await;
        self.seeded.insert("release", grey["data"]["Release"].clone());
        let token = self.api.get(self.token(Identity::Root), "/admin/token").await.ok();
        self.seeded.insert("token", token["info"][0]["id"].clone());
        self.seeded.insert("uid", self.uid("other").await);
    }

    /// Creates two machines with agents, a code for a third enrolment, and an order in each state that an action needs.
    async fn seed_updates(&mut self) {
        let named = |name: &str| json!({"machine_name": name});
        for (who, name, ip) in
            [(Identity::Agent, "agent01", "10.2.2.3"), (Identity::OtherAgent, "agent02", "10.2.2.4")]
        {
            let machine = json!({
                "machine_name": name, "inside_ip": ip, "outside_ip": "",
                "usage": "web", "is_initialized": 0, "location": "x",
            });
            self.make("/api/machine_info", json!({"action": "add", "data": machine})).await;
            let made = self.make("/api/machine_info", json!({"action": "enroll", "data": named(name)})).await;
            let enrolled = self.make("/api/agent/enroll", json!({"code": made["info"]["code"]})).await;
            self.tokens.insert(who, enrolled["info"]["token"].as_str().unwrap().to_owned());
        }
        let enroll = json!({"action": "enroll", "data": named("agent02")});
        let code = self.make("/api/machine_info", enroll).await["info"]["code"].clone();
        self.seeded.insert("code", code);
        for (name, outcome) in [
            ("succeeded_order", Some("succeeded")),
            ("failed_order", Some("failed")),
            ("running_order", None),
            ("pending_order", None),
        ] {
            let data = json!({
                "ip": "10.2.2.3", "action": "update", "content": "/etc/x", "description": "x",
                "sha256": EMPTY_SHA256,
            });
            let task = self.make("/api/task", json!({"action": "add", "data": data})).await;
            let task = task["info"]["task_id"].clone();
            self.seeded.insert(name, task.clone());
            if name == "pending_order" {
                break;
            }
            self.make("/api/update", json!({"action": "execute", "data": {"task_id": task}})).await;
            let poll = json!({"instance": "6f3d2b1a09f7d2a0", "boot": "0a0c5b64a4a9b1c8", "wait": 0});
            let order = self.call(Identity::Agent, "POST", "/api/agent/poll", Some(poll)).await.ok();
            assert_eq!(order["info"]["task_id"], task);
            let Some(outcome) = outcome else { continue };
            let report = json!({
                "task_id": task, "attempt": 1, "seq": 1, "phase": "confirm", "percent": 99,
                "result": {"state": outcome},
            });
            let reported = self.call(Identity::Agent, "POST", "/api/agent/report", Some(report)).await;
            assert_eq!(reported.codes(), (200, 200), "{}", reported.body);
        }
    }

    /// Creates a batch in each state that an action needs.
    async fn seed_batches(&mut self) {
        for (name, actions) in [
            ("pending_batch", &[][..]),
            ("running_batch", &["execute"]),
            ("paused_batch", &["execute", "pause"]),
            ("cancelled_batch", &["cancel"]),
        ] {
            let data = json!({
                "machines": {"names": ["agent02"]}, "action": "update", "content": "/etc/y", "description": "y",
                "sha256": EMPTY_SHA256,
            });
            let added = self.make("/api/task", json!({"action": "add", "data": data})).await;
            let batch = added["info"]["batch"].clone();
            for action in actions {
                self.make("/api/update", json!({"action": action, "data": {"batch": batch}})).await;
            }
            self.seeded.insert(name, batch);
        }
    }

    /// Adds the accounts of [`Identity::WithoutGroup`].
    pub(crate) async fn with_accounts_without_a_group(mut self) -> Self {
        for group in GROUPS {
            let others: Vec<_> =
                GROUPS.filter(|other| *other != group).map(|group| group.to_string()).collect();
            let token = self.api.account(&format!("without{group}"), &others.join(",")).await;
            self.tokens.insert(Identity::WithoutGroup(group), token);
        }
        self
    }

    /// Calls as root and expects success; the body of the answer.
    async fn make(&self, path: &str, body: Value) -> Value {
        let answer = self.call(Identity::Root, "POST", path, Some(body)).await;
        assert!([0, 200].contains(&answer.codes().1), "{path}: {}", answer.body);
        answer.body
    }

    async fn uid(&self, name: &str) -> Value {
        let path = format!("/admin/user?username={name}");
        self.call(Identity::Root, "GET", &path, None).await.body["info"]["id"].clone()
    }

    pub(crate) fn token(&self, who: Identity) -> &str {
        &self.tokens[&who]
    }

    pub(crate) async fn call(&self, who: Identity, method: &str, uri: &str, body: Option<Value>) -> Answer {
        self.api.call(&method.to_uppercase(), self.token(who), uri, body).await
    }

    /// The whole content of the store.
    pub(crate) fn dump(&self) -> String {
        format!("{:?}", self.api.pilothouse.storage())
    }

    /// The whole content of a store in memory.
    pub(crate) fn memory_dump(&self) -> Option<String> {
        self.memory.as_ref().map(|_| self.dump())
    }
}

fn pilothouse(storage: Arc<dyn Storage>, clock: &Arc<ManualClock>) -> Pilothouse {
    let secret = SecretKey::new(&[7; 32]).unwrap();
    let settings =
        Settings::default().with_cdns(["level3"]).with_log_shippers(shippers()).with_secret(secret);
    let provider = Arc::new(ScriptedProvider::new(&["edge-1"]));
    let pilothouse = Pilothouse::with(storage, settings, clock.clone(), Arc::new(RandomIds)).unwrap();
    let blobs = MemoryBlobs::default();
    assert_eq!(blobs.put(b"").to_string(), EMPTY_SHA256);
    pilothouse
        .with_providers([("level3".to_owned(), provider as Arc<dyn CdnProvider>)].into_iter().collect())
        .with_blob_store(Arc::new(blobs))
}

/// Two edges that ship their logs, with a key each.
fn shippers() -> Vec<LogShipper> {
    let shipper = |edge: &str| LogShipper {
        cdn: "level3".into(),
        edge: edge.into(),
        key: format!("the-key-that-{edge}-has-and-nobody-else"),
        is_followed: false,
    };
    ["edge-1", "edge-2"].map(shipper).into()
}
