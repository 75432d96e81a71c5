//! A server with one of everything, and everybody who may or may not touch it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_core::cdn::LogShipper;
use pilothouse_core::ports::{Capabilities, CdnProvider, Clock, MockCdnProvider, RandomIds};
use pilothouse_core::{Pilothouse, SecretKey, Settings};
use pilothouse_http_axum::HttpSettings;
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};

use crate::api::{Answer, Api, PASSWORD};

/// Every permission group.
pub(crate) const GROUPS: std::ops::RangeInclusive<u8> = 1..=9;

/// A clock that tests set.
#[derive(Debug)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// Everybody's superior: all groups, and grant 9 on `all`.
    Root,
    /// Root, with a token that opens only the cdn family.
    RootForCdn,
    /// The customer that holds `cdn.exrqs.com`; without groups.
    Customer,
    /// Another customer, without groups.
    OtherCustomer,
    /// An account with every group but this one, and without grants.
    Without(u8),
    /// An account that may develop the app but not manage it.
    Developer,
    /// The manager of another app.
    OtherManager,
    /// The edge `edge-1` of `level3`, with its key.
    Edge,
    /// Another edge, with its own.
    OtherEdge,
    /// A node of `app1`, with that app's key.
    Node,
    /// A node of another app.
    OtherNode,
    /// Nobody: no token at all.
    Anonymous,
    /// A token that nobody was given.
    Stranger,
    /// Root's token of yesterday.
    Expired,
    /// A token that was logged out.
    Revoked,
}

/// The server, the tokens and what exists.
pub(crate) struct World {
    pub(crate) api: Api,
    clock: Arc<Hand>,
    storage: MemoryStorage,
    tokens: BTreeMap<Who, String>,
    /// What exists, by name: ids and the like.
    pub(crate) things: BTreeMap<&'static str, Value>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(Hand(AtomicI64::new(1_473_752_647_000_000)));
        let storage = MemoryStorage::with_clock(clock.clone());
        let pilothouse = pilothouse(&storage, &clock);
        pilothouse.accounts().create_superuser("root", "root@example.com", PASSWORD).await.unwrap();
        let api = Api::of(pilothouse, HttpSettings::default());
        api.pilothouse.cdns().ensure_configured().await.unwrap();
        let (tokens, things) = (BTreeMap::new(), BTreeMap::new());
        let mut world = Self { api, clock, storage, tokens, things };
        world.tokens.insert(Who::Expired, world.api.login("root").await);
        world.clock.0.fetch_add(TimeDelta::days(1).num_microseconds().unwrap(), Ordering::SeqCst);
        let revoked = world.api.login("root").await;
        assert_eq!(world.api.call("POST", &revoked, "/admin/user_logout", None).await.codes(), (200, 200));
        world.tokens.insert(Who::Revoked, revoked);
        world.tokens.insert(Who::Stranger, "0123456789abcdef".repeat(4));
        world.tokens.insert(Who::Anonymous, String::new());
        for (who, shipper) in [Who::Edge, Who::OtherEdge].into_iter().zip(shippers()) {
            world.tokens.insert(who, shipper.key);
        }
        world.tokens.insert(Who::Root, world.api.login("root").await);
        world.furnish().await;
        world
    }

    /// The same world once more, of which nothing that happens there reaches this one.
    pub(crate) fn fork(&self) -> Self {
        let storage = self.storage.fork();
        let api = Api::of(pilothouse(&storage, &self.clock), HttpSettings::default());
        let (clock, tokens, things) = (self.clock.clone(), self.tokens.clone(), self.things.clone());
        Self { api, clock, storage, tokens, things }
    }

    /// Makes one of everything.
    async fn furnish(&mut self) {
        let task = json!({"ip": "::1", "action": "update", "content": "x", "description": "x"});
        let task = self.make("/api/task", json!({"action": "add", "data": task})).await;
        self.things.insert("task", task["info"]["task_id"].clone());
        let machine = json!({
            "machine_name": "web01", "inside_ip": "10.2.2.2", "outside_ip": "111.111.11.1",
            "usage": "web", "is_initialized": 0, "location": "x",
        });
        self.make("/api/machine_info", json!({"action": "add", "data": machine})).await;

        for (who, name) in [(Who::Customer, "xxx"), (Who::OtherCustomer, "other")] {
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
            let token = self.api.login(name).await;
            self.tokens.insert(who, token);
        }
        self.make("/level3/user", json!({"login_email": "root@example.com", "password": PASSWORD})).await;
        let login = json!({"login_email": "root@example.com", "password": PASSWORD});
        let login = self.make("/level3/login", login).await;
        self.tokens.insert(Who::RootForCdn, login["token"].as_str().unwrap().to_owned());
        let named = self.make("/level3/cdn", json!({"cdn": "bare"})).await;
        self.things.insert("cdn", named["id"].clone());
        let urls = json!({"login_email": "user@example.com", "path": "http://cdn.exrqs.com/test.html"});
        let job = self.make("/level3/refresh", urls).await;
        self.things.insert("job", job["results"][0]["taskid"].clone());

        for (app, manager) in [("app1", Who::Root), ("app2", Who::OtherManager), ("app3", Who::Root)] {
            if manager == Who::OtherManager {
                let token = self.api.account("manager", "").await;
                self.tokens.insert(manager, token);
            }
            let new = json!({"app": app, "appType": 1, "name": "test", "charger": "dyf"});
            assert_eq!(self.call(manager, "POST", "/app/create", Some(new)).await.codes(), (200, 0));
        }
        let developer = self.api.account("developer", "").await;
        self.tokens.insert(Who::Developer, developer);
        let id = self
            .make(
                "/userauth/create",
                json!({"app": "app1", "permission": 1, "uid": self.uid("developer").await, "username": "d"}),
            )
            .await;
        self.things.insert("grant", id["data"].clone());
        let key = json!({"app": "app1", "profile": "dev", "key": "k1", "value": "v1"});
        let id = self.make("/config/create", key.clone()).await["data"].clone();
        let changed = json!({"app": "app1", "profile": "dev", "key": "k1", "value": "v2"});
        self.make("/config/update", changed).await;
        self.make("/config/approve", json!({"app": "app1", "profile": "dev", "key": "k1"})).await;
        self.make("/publish", json!({"id": id})).await;
        self.things.insert("config", id.clone());
        let text = json!({"app": "app1", "profile": "dev", "key": "k2.json", "value": "{}"});
        let text_id = self.make("/config/create", text.clone()).await["data"].clone();
        self.make("/config/approve", json!({"app": "app1", "profile": "dev", "key": "k2.json"})).await;
        self.make("/publish", json!({"id": text_id})).await;
        for (who, app) in [(Who::Node, "app1"), (Who::OtherNode, "app2")] {
            let made = self.make("/app/key/create", json!({"app": app})).await["data"].clone();
            self.tokens.insert(who, made["Key"].as_str().unwrap().to_owned());
            if who == Who::Node {
                self.things.insert("key", made["Id"].clone());
            }
        }
        let node = json!({"app": "app1", "profile": "dev", "nodeId": "11", "pid": "4711"});
        assert_eq!(self.call(Who::Node, "POST", "/node/register", Some(node)).await.codes(), (200, 0));
        let grey = self.make("/publish", json!({"id": id, "nodes": "11"})).await;
        self.things.insert("release", grey["data"]["Release"].clone());
        let token = self.api.get(self.token(Who::Root), "/admin/token").await.ok();
        self.things.insert("token", token["info"][0]["id"].clone());
        self.things.insert("uid", self.uid("other").await);
    }

    /// Adds accounts with every group but one.
    pub(crate) async fn with_lacking(mut self) -> Self {
        for group in GROUPS {
            let others: Vec<_> =
                GROUPS.filter(|other| *other != group).map(|group| group.to_string()).collect();
            let token = self.api.account(&format!("without{group}"), &others.join(",")).await;
            self.tokens.insert(Who::Without(group), token);
        }
        self
    }

    async fn make(&self, path: &str, body: Value) -> Value {
        let answer = self.call(Who::Root, "POST", path, Some(body)).await;
        assert!([0, 200].contains(&answer.codes().1), "{path}: {}", answer.body);
        answer.body
    }

    async fn uid(&self, name: &str) -> Value {
        let path = format!("/admin/user?username={name}");
        self.call(Who::Root, "GET", &path, None).await.body["info"]["id"].clone()
    }

    pub(crate) fn token(&self, who: Who) -> &str {
        &self.tokens[&who]
    }

    pub(crate) async fn call(&self, who: Who, method: &str, uri: &str, body: Option<Value>) -> Answer {
        self.api.call(&method.to_uppercase(), self.token(who), uri, body).await
    }

    /// All that the store holds.
    pub(crate) fn dump(&self) -> String {
        format!("{:?}", self.api.pilothouse.storage())
    }
}

fn pilothouse(storage: &MemoryStorage, clock: &Arc<Hand>) -> Pilothouse {
    let secret = SecretKey::new(&[7; 32]).unwrap();
    let settings =
        Settings { cdns: vec!["level3".into()], log_shippers: shippers(), secret, ..Settings::default() };
    let storage = Arc::new(storage.clone());
    let pilothouse = Pilothouse::with(storage, settings, clock.clone(), Arc::new(RandomIds)).unwrap();
    pilothouse.with_providers([("level3".to_owned(), provider())].into_iter().collect())
}

/// Two edges with a key each.
fn shippers() -> Vec<LogShipper> {
    let shipper = |edge: &str| LogShipper {
        cdn: "level3".into(),
        edge: edge.into(),
        key: format!("the-key-that-{edge}-has-and-nobody-else"),
        is_followed: false,
    };
    ["edge-1", "edge-2"].map(shipper).into()
}

/// Confirms everything.
fn provider() -> Arc<dyn CdnProvider> {
    let mut provider = MockCdnProvider::new();
    provider.expect_capabilities().return_const(Capabilities {
        purge_urls: true,
        purge_prefix: true,
        preload: true,
        list_domains: false,
        purge_batch: 1000,
        preload_batch: 1000,
        urls_per_second: None,
        edges: vec!["edge-1".into()],
    });
    provider.expect_purge().returning(|_, urls| Ok(vec![Ok(()); urls.len()]));
    provider.expect_preload().returning(|_, urls| Ok(vec![Ok(()); urls.len()]));
    Arc::new(provider)
}
