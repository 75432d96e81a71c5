//! Random releases and nodes against a simple model of what each node should hold, with servers that begin anew and fall
//! behind: no node ever holds what was not meant for it, and none misses what was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::FutureExt;

use super::account::add_account;
use crate::account::{Caller, Groups, Scope};
use crate::config::{AckResult, Feed, ItemId};
use crate::config::{
    Change, Content, ItemName, NewApp, NewNode, ReleaseId, ReleaseKind, Report, Selector, Watch,
};
use crate::ports::Storage;
use crate::{Pilothouse, SecretKey, Settings};

/// How many operations a sequence has.
const STEPS: usize = 40;
const KEYS: [&str; 3] = ["a", "dir/b", "更新"];

/// What was released at one revision.
#[derive(Clone, Debug, Default)]
struct Released {
    full: BTreeMap<&'static str, i64>,
    grey: BTreeMap<&'static str, (i64, BTreeSet<String>)>,
}

impl Released {
    fn for_node(&self, node: &str) -> BTreeMap<String, i64> {
        let mut held: BTreeMap<String, i64> =
            self.full.iter().map(|(key, version)| ((*key).to_owned(), *version)).collect();
        for (key, (version, nodes)) in &self.grey {
            if nodes.contains(node) {
                held.insert((*key).to_owned(), *version);
            }
        }
        held
    }
}

/// A node as a client sees itself.
#[derive(Debug, Default)]
struct Client {
    held: BTreeMap<String, i64>,
    revision: i64,
    watch: Option<Watch>,
    /// Whether it has not left.
    there: bool,
}

struct World<'a> {
    caller: Caller,
    storage: Arc<dyn Storage>,
    servers: [Pilothouse; 2],
    key: String,
    random: Random,
    /// What was released, by revision.
    released: Vec<Released>,
    values: BTreeMap<(String, i64), String>,
    clients: BTreeMap<String, Client>,
    greys: BTreeMap<&'static str, ReleaseId>,
    log: &'a mut Vec<String>,
}

/// As many sequences as `PILOTHOUSE_TEST_SEQUENCES` says, or a few. `open` opens the store of a sequence, and opens it
/// again each time a server begins anew.
pub async fn nodes_hold_what_they_should(open: impl AsyncFn(u64) -> Arc<dyn Storage>) {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let first = number("PILOTHOUSE_TEST_SEED", 1);
    for seed in first..first + number("PILOTHOUSE_TEST_SEQUENCES", 12) {
        let mut log = Vec::new();
        let run = std::panic::AssertUnwindSafe(sequence(seed, &open, &mut log)).catch_unwind().await;
        if let Err(panic) = run {
            let log = log.join("\n");
            eprintln!("with PILOTHOUSE_TEST_SEED={seed} PILOTHOUSE_TEST_SEQUENCES=1 after\n{log}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn server(storage: &Arc<dyn Storage>) -> Pilothouse {
    let secret = SecretKey::new(&[7; 32]).unwrap();
    Pilothouse::new(storage.clone(), Settings { secret, ..Settings::default() }).unwrap()
}

async fn sequence(seed: u64, open: &impl AsyncFn(u64) -> Arc<dyn Storage>, log: &mut Vec<String>) {
    let storage = open(seed).await;
    let id = add_account(&storage, i64::try_from(seed).unwrap()).await;
    let caller = Caller {
        id,
        name: "ann".into(),
        mail: "ann@example.com".into(),
        groups: Groups::NONE,
        scope: Scope::Account,
        token: None,
        address: None,
    };
    let servers = [server(&storage), server(&storage)];
    let app = format!("app{seed}");
    let new = NewApp { app: app.clone(), app_type: 0, name: "n".into(), charger: "c".into() };
    servers[0].apps().create(&caller, new).await.unwrap();
    let key = servers[0].app_keys().create(&caller, &app).await.unwrap().text;
    let mut world = World {
        caller,
        storage,
        servers,
        key,
        random: Random(seed),
        released: vec![Released::default()],
        values: BTreeMap::new(),
        clients: BTreeMap::new(),
        greys: BTreeMap::new(),
        log,
    };
    for _ in 0..3 {
        world.join(&app).await;
    }
    for _ in 0..STEPS {
        world.step(&app, seed, open).await;
        world.listen();
    }
    for server in &world.servers {
        server.feeds().poll().await.unwrap();
    }
    world.listen();
    world.settle(&app).await;
}

impl World<'_> {
    fn now(&self) -> &Released {
        self.released.last().unwrap()
    }

    fn any_server(&mut self) -> Pilothouse {
        self.servers[self.random.below(2)].clone()
    }

    async fn feed(&self, server: &Pilothouse, app: &str) -> Feed {
        server.feeds().open(app, &self.key).await.unwrap()
    }

    async fn step(&mut self, app: &str, seed: u64, open: &impl AsyncFn(u64) -> Arc<dyn Storage>) {
        match self.random.below(16) {
            0..=2 => self.publish(app, &Selector::default()).await,
            3 | 4 => {
                let mut nodes: Vec<_> = self.clients.keys().cloned().collect();
                nodes.retain(|_| self.random.below(2) == 0);
                if nodes.is_empty() {
                    return;
                }
                let selector = Selector { nodes: Some(nodes.join(",")), ..Selector::default() };
                self.publish(app, &selector).await;
            }
            5 | 6 => {
                let percent = i64::try_from(1 + self.random.below(100)).unwrap();
                self.publish(app, &Selector { percent: Some(percent), ..Selector::default() }).await;
            }
            7 => self.end_grey(true).await,
            8 => self.end_grey(false).await,
            9 => self.delete(app).await,
            10 => self.join(app).await,
            11 => self.leave(app).await,
            12 => {
                // It falls over, with or without what it held.
                let Some(node) = self.some_node() else { return };
                let forgets = self.random.below(2) == 0;
                let client = self.clients.get_mut(&node).unwrap();
                client.watch = None;
                if forgets {
                    (client.held, client.revision) = (BTreeMap::new(), 0);
                    self.register(app, &node).await;
                }
                self.log.push(format!("{node} falls over, forgets: {forgets}"));
            }
            13 => {
                let which = self.random.below(2);
                for client in self.clients.values_mut() {
                    client.watch = None;
                }
                self.storage = open(seed).await;
                self.servers =
                    [0, 1].map(|n| if n == which { server(&self.storage) } else { self.servers[n].clone() });
                self.log.push(format!("server {which} begins anew"));
            }
            14 => self.config(app).await,
            _ => self.connect(app).await,
        }
    }

    fn some_node(&mut self) -> Option<String> {
        let there: Vec<_> =
            self.clients.iter().filter(|(_, client)| client.there).map(|(node, _)| node.clone()).collect();
        if there.is_empty() { None } else { Some(there[self.random.below(there.len())].clone()) }
    }

    /// Publishes a version of a key: a new one, an old one rolled back to, or the present one again.
    async fn publish(&mut self, app: &str, selector: &Selector) {
        let server = self.any_server();
        let key = KEYS[self.random.below(KEYS.len())];
        let name = ItemName { app: app.to_owned(), profile: "dev".into(), key: key.into() };
        let items = server.items();
        let content = |value: String| Content { value, ..Content::default() };
        let item: ItemId = match items.find(&self.caller, &name).await {
            Ok(item) => {
                match self.random.below(4) {
                    0 => {}
                    1 => {
                        let old = 1 + self.random.below(usize::try_from(item.current.version).unwrap());
                        items.roll_back(&self.caller, &name, i64::try_from(old).unwrap()).await.unwrap();
                    }
                    _ => {
                        let value = format!("{key} {}", self.random.next());
                        items.update(&self.caller, &name, content(value), None).await.unwrap();
                    }
                }
                item.id
            }
            Err(_) => {
                let value = format!("{key} {}", self.random.next());
                items.create(&self.caller, &name, content(value)).await.unwrap()
            }
        };
        items.approve(&self.caller, &name, None).await.unwrap();
        let current = items.find(&self.caller, &name).await.unwrap().current;
        let answer = server.releases().publish(&self.caller, item, selector, None).await;
        self.log.push(format!("publish {key} version {} {selector:?}: {answer:?}", current.version));
        let Ok(answer) = answer else {
            // Only a share of nobody is refused.
            let nobody = self.clients.values().all(|client| !client.there);
            assert!(selector.percent.is_some() && nobody, "{answer:?}");
            return;
        };
        self.values.insert((key.to_owned(), current.version), current.content.value);
        let mut next = self.now().clone();
        if answer.kind == ReleaseKind::Full {
            next.full.insert(key, current.version);
            next.grey.remove(key);
            self.greys.remove(key);
        } else {
            let mut snapshot = self.storage.read().await.unwrap();
            let release = snapshot.releases().by_id(answer.release).await.unwrap().unwrap();
            let nodes: BTreeSet<String> = match &selector.nodes {
                Some(nodes) => nodes.split(',').map(str::to_owned).collect(),
                None => release.nodes.iter().cloned().collect(),
            };
            if let (Some(percent), Some((_, before))) = (selector.percent, next.grey.get(key)) {
                let kept = before.intersection(&nodes).count();
                assert!(
                    kept == before.len() || kept == nodes.len(),
                    "{percent}: {before:?} became {nodes:?}"
                );
            }
            assert_eq!(nodes, release.nodes.into_iter().collect());
            next.grey.insert(key, (current.version, nodes));
            self.greys.insert(key, answer.release);
        }
        self.released.push(next);
    }

    async fn end_grey(&mut self, promote: bool) {
        let Some((key, release)) = self.greys.pop_first() else { return };
        let server = self.any_server();
        let mut next = self.now().clone();
        let (version, _) = next.grey.remove(key).unwrap();
        if promote {
            server.releases().promote(&self.caller, release).await.unwrap();
            next.full.insert(key, version);
        } else {
            server.releases().abort(&self.caller, release).await.unwrap();
        }
        self.log.push(format!("{} {key} version {version}", if promote { "promote" } else { "abort" }));
        self.released.push(next);
    }

    async fn delete(&mut self, app: &str) {
        let server = self.any_server();
        let key = KEYS[self.random.below(KEYS.len())];
        let name = ItemName { app: app.to_owned(), profile: "dev".into(), key: key.into() };
        if server.items().delete(&self.caller, &name, None).await.is_err() {
            return;
        }
        self.log.push(format!("delete {key}"));
        let mut next = self.now().clone();
        let was = next.full.remove(key).is_some() | next.grey.remove(key).is_some();
        self.greys.remove(key);
        if was {
            self.released.push(next);
        }
    }

    async fn register(&mut self, app: &str, node: &str) {
        let server = self.any_server();
        let feed = self.feed(&server, app).await;
        let new = NewNode { profile: "dev".into(), node_id: Some(node.to_owned()), ..NewNode::default() };
        feed.register(new).await.unwrap();
        self.clients.entry(node.to_owned()).or_default().there = true;
    }

    async fn join(&mut self, app: &str) {
        let back = self.clients.iter().find(|(_, client)| !client.there).map(|(node, _)| node.clone());
        let node = back.unwrap_or_else(|| format!("node-{}", self.clients.len()));
        self.log.push(format!("{node} joins"));
        self.register(app, &node).await;
        self.connect_node(app, &node).await;
    }

    async fn leave(&mut self, app: &str) {
        let Some(node) = self.some_node() else { return };
        let server = self.any_server();
        let feed = self.feed(&server, app).await;
        feed.node("dev", &node).await.unwrap().leave().await.unwrap();
        self.log.push(format!("{node} leaves"));
        self.clients.insert(node, Client::default());
    }

    async fn connect(&mut self, app: &str) {
        if let Some(node) = self.some_node() {
            self.connect_node(app, &node).await;
        }
    }

    async fn connect_node(&mut self, app: &str, node: &str) {
        let server = self.any_server();
        let client = &self.clients[node];
        let watch = self.feed(&server, app).await.node("dev", node).await.unwrap();
        let watch = watch.watch(client.revision).await.unwrap();
        self.log.push(format!("{node} watches from {}", client.revision));
        self.clients.get_mut(node).unwrap().watch = Some(watch);
    }

    /// A node asks for all it should hold, and says what it made of it.
    async fn config(&mut self, app: &str) {
        let Some(node) = self.some_node() else { return };
        let server = self.any_server();
        let feed = self.feed(&server, app).await.node("dev", &node).await.unwrap();
        let known = self.clients[&node].revision;
        let holding = feed.holding(known).await.unwrap();
        let client = self.clients.get_mut(&node).unwrap();
        client.held.clear();
        client.watch = None;
        self.told(&node, &holding.change);
        let held = &self.clients[&node].held;
        let report = |(key, version): (&String, &i64)| Report {
            key: key.clone(),
            version: *version,
            result: AckResult::Applied,
            message: String::new(),
        };
        feed.ack(held.iter().map(report).collect()).await.unwrap();
    }

    /// Every open watch is asked until it is silent.
    fn listen(&mut self) {
        let nodes: Vec<_> = self.clients.keys().cloned().collect();
        for node in nodes {
            while let Some(watch) = &mut self.clients.get_mut(&node).unwrap().watch {
                let Some(change) = watch.next().now_or_never() else { break };
                let Some(change) = change else { panic!("the watch of {node} ended") };
                let client = &self.clients[&node];
                let new = |key: &str, version: i64| client.held.get(key) != Some(&version);
                assert!(
                    change.items.iter().all(|held| new(&held.key, held.version)),
                    "{node} is told again what it holds: {change:?}"
                );
                self.told(&node, &change);
            }
        }
    }

    /// What a node holds after an answer is what was meant for it at that revision, which is not before its last.
    fn told(&mut self, node: &str, change: &Change) {
        let client = self.clients.get_mut(node).unwrap();
        self.log.push(format!("{node} is told {change:?}"));
        assert!(change.revision >= client.revision, "{node} went back from {}", client.revision);
        for held in &change.items {
            assert_eq!(self.values[&(held.key.to_string(), held.version)], *held.value);
            client.held.insert(held.key.to_string(), held.version);
        }
        for key in &change.removed {
            assert!(client.held.remove(&**key).is_some(), "{node} does not hold {key}");
        }
        client.revision = change.revision;
        let released = &self.released[usize::try_from(change.revision).unwrap()];
        assert_eq!(client.held, released.for_node(node), "{node} at {}", change.revision);
    }

    /// In the end everybody holds what is meant for them, whoever asks where.
    async fn settle(&mut self, app: &str) {
        let servers = self.servers.clone();
        let last = self.released.len() - 1;
        for server in &servers {
            let feed = self.feed(server, app).await;
            assert_eq!(feed.view().revision(), i64::try_from(last).unwrap());
            for (node, client) in &self.clients {
                if client.watch.is_some() {
                    assert_eq!(client.held, self.now().for_node(node), "{node} in the end");
                }
                let holding = feed.view().holding("dev", node);
                let held: BTreeMap<_, _> =
                    holding.change.items.iter().map(|held| (held.key.to_string(), held.version)).collect();
                assert_eq!(held, self.now().for_node(node), "{node} by config");
            }
        }
        for server in servers {
            let nodes: Vec<_> =
                self.clients.keys().filter(|node| self.clients[*node].there).cloned().collect();
            for node in nodes {
                let feed = self.feed(&server, app).await.node("dev", &node).await.unwrap();
                let watch = feed.watch(self.clients[&node].revision).await.unwrap();
                self.clients.get_mut(&node).unwrap().watch = Some(watch);
                self.listen();
                assert_eq!(self.clients[&node].held, self.now().for_node(&node), "{node} back again");
            }
        }
    }
}

/// Sebastiano Vigna's splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}

/// The same over one store that stays open.
pub async fn model(storage: Arc<dyn Storage>) {
    nodes_hold_what_they_should(async |_| storage.clone()).await;
}
