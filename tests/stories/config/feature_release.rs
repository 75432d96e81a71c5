//! A feature of 50 keys: one set from the import to the way back. Its grey release reaches one node, its promotion each
//! client once, and one call takes it back, byte by byte.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use pilothouse_client::Client as Node;
use pilothouse_config_exchange::{Entry, Profile, apollo};
use pilothouse_test_support::{postgres_or_skip, stock_clients_or_skip};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{
    ApiClient, ClientLibrary, ClientProgram, Installation, PASSWORD, Received, RecordingProxy, ServerGroup,
    TIMEOUT,
};

const APP: &str = "shop";
const PROFILE: &str = "prod";
/// Keys of the export, in three namespaces.
const KEYS: usize = 300;
/// Keys that the feature changes; the two after them it deletes.
const CHANGED: usize = 50;
/// Position of the node of the grey release.
const GREY: usize = 1;

/// Values by key.
type Items = BTreeMap<String, String>;

#[tokio::test(flavor = "multi_thread")]
async fn a_feature_is_released_and_taken_back_on_sqlite() {
    let name = "config::feature_release::a_feature_is_released_and_taken_back_on_sqlite";
    let Some(installed) = stock_clients_or_skip(name) else { return };
    run(&installed, vec![with_settings(Installation::sqlite())]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feature_is_released_and_taken_back_on_two_servers_over_one_postgres() {
    let name =
        "config::feature_release::a_feature_is_released_and_taken_back_on_two_servers_over_one_postgres";
    let Some(installed) = stock_clients_or_skip(name) else { return };
    let Some(postgres) = postgres_or_skip(name) else { return };
    let database = postgres.database();
    let installation = || with_settings(Installation::postgres(&database));
    run(&installed, vec![installation(), installation()]).await;
}

fn with_settings(installation: Installation) -> Installation {
    installation.with("APOLLO_UNSIGNED_APPS", APP).with("FOUR_EYES_PROFILES", PROFILE)
}

/// Apollo's export of the app, with values that are easily damaged.
fn export() -> Vec<Entry> {
    let entry = |n: usize| {
        let key = match n % 3 {
            0 => format!("key.{n:03}"),
            1 => format!("db/pool.{n:03}"),
            _ => format!("DEMO.shared/limit-{n:03}"),
        };
        let value = ["Grüße, 世界 😀", "first\nsecond = 2\n", " kept blanks ", "C:\\temp\\new", ""][n % 5];
        Entry { key, value: format!("{value}{n}"), description: String::new() }
    };
    (0..KEYS).map(entry).collect()
}

/// The items below a prefix, by their names within it; of none, those without a slash.
fn namespace(items: &Items, prefix: &str) -> Items {
    let name = |key: &str| match prefix {
        "" => (!key.contains('/')).then(|| key.to_owned()),
        _ => key.strip_prefix(prefix).map(str::to_owned),
    };
    items.iter().filter_map(|(key, value)| Some((name(key)?, value.clone()))).collect()
}

/// Three nodes with the client library and three Apollo clients, each behind a proxy of its own.
struct Clients {
    nodes: Vec<(Node, RecordingProxy)>,
    /// With the prefix of the namespace that each reads.
    stock: Vec<(ClientProgram, &'static str, RecordingProxy)>,
}

impl Clients {
    async fn start(installed: &Path, group: &ServerGroup, key: &str) -> Self {
        let server = |number: usize| group.running[number % group.running.len()].url();
        let (mut nodes, mut stock) = (Vec::new(), Vec::new());
        for number in 0..3 {
            let proxy = RecordingProxy::to(server(number)).await;
            let node = Node::builder(proxy.url(), APP, key).profile(PROFILE);
            nodes.push((node.node_id(format!("node-{number}")).connect().await.unwrap(), proxy));
        }
        let libraries = [
            (ClientLibrary::ApolloClientPython, "*", "", Some(key)),
            (ClientLibrary::Py3ApolloClient, "*", "", Some(key)),
            (ClientLibrary::CtripApollo, "db/*", "db/", None),
        ];
        for (number, (library, wanted, prefix, secret)) in libraries.into_iter().enumerate() {
            let proxy = RecordingProxy::to(server(number)).await;
            let (url, address) = (proxy.url(), format!("10.9.0.{number}"));
            let program = library.start(installed, &url, [APP, PROFILE, wanted], secret, &address);
            stock.push((program, prefix, proxy));
        }
        Self { nodes, stock }
    }

    /// Waits until each holds exactly its items, those of the grey node as given, and has come to rest.
    async fn wait_for(&self, items: &Items, of_grey_node: &Items) {
        let begun = Instant::now();
        while let Some(behind) = self.behind(items, of_grey_node) {
            assert!(begun.elapsed() < TIMEOUT, "{behind}");
            sleep(Duration::from_millis(20)).await;
        }
        for proxy in self.proxies() {
            proxy.wait_until_idle().await;
        }
        let behind = self.behind(items, of_grey_node);
        assert!(behind.is_none(), "{behind:?}");
    }

    /// Who does not hold exactly its items.
    fn behind(&self, items: &Items, of_grey_node: &Items) -> Option<String> {
        for (number, (node, _)) in self.nodes.iter().enumerate() {
            let held = |key: &str| node.get_str(key).map(|value| value.to_string());
            let held: Items =
                node.keys().iter().filter_map(|key| Some((key.to_string(), held(key)?))).collect();
            if held != *(if number == GREY { of_grey_node } else { items }) {
                return Some(format!("node-{number} holds {held:?}"));
            }
        }
        self.stock.iter().find_map(|(program, prefix, _)| {
            let held = program.value().unwrap_or_default();
            let read: Option<Items> = serde_json::from_str(&held).ok();
            (read.as_ref() != Some(&namespace(items, prefix))).then_some(held)
        })
    }

    fn proxies(&self) -> impl Iterator<Item = &RecordingProxy> {
        self.nodes.iter().map(|(_, proxy)| proxy).chain(self.stock.iter().map(|(.., proxy)| proxy))
    }

    /// What each was given so far: the nodes, then the Apollo clients.
    fn received(&self) -> Vec<Received> {
        self.proxies().map(RecordingProxy::received).collect()
    }

    /// What the Apollo clients hold, as they print it.
    fn printed(&self) -> Vec<Option<String>> {
        self.stock.iter().map(|(program, ..)| program.value()).collect()
    }

    /// What each was given since.
    fn since(&self, before: &[Received]) -> Vec<Received> {
        let pairs = self.received().into_iter().zip(before);
        pairs
            .map(|(now, before)| Received {
                notifications: now.notifications - before.notifications,
                fetches: now.fetches - before.fetches,
                events: now.events - before.events,
            })
            .collect()
    }
}

const NOTHING: Received = Received { notifications: 0, fetches: 0, events: 0 };
const ONE_EVENT: Received = Received { events: 1, ..NOTHING };
const ONE_FETCH: Received = Received { notifications: 1, fetches: 1, ..NOTHING };

async fn create_account(root: &ApiClient, name: &str) -> ApiClient {
    let mail = format!("{name}@example.com");
    let data = json!({"mail": mail, "name": name, "passwd": PASSWORD, "department": "", "permissions": ""});
    root.post("/admin/user", json!({"action": "add", "data": data})).await.ok();
    root.login(name).await
}

/// Number and revision of the configuration that a node should hold.
async fn revision(key: &ApiClient) -> i64 {
    let path = format!("/node/config?app={APP}&profile={PROFILE}&nodeId=node-0");
    key.get(&path).await.ok()["data"]["Revision"].as_i64().unwrap()
}

/// Waits until the nodes have applied a release, and the Apollo clients were sent what they read of it.
async fn wait_until_applied(root: &ApiClient, release: i64) {
    let begun = Instant::now();
    loop {
        let status = root.get(&format!("/publish/status?release={release}")).await.ok()["data"].clone();
        let has_come = |node: &Value| match node["NodeId"].as_str().unwrap() {
            id if id.starts_with("node-") => node["State"] == "applied",
            _ => node["State"] == "sent" || node["State"] == "applied",
        };
        let nodes = status["Nodes"].as_array().unwrap();
        if nodes.len() == 6 && nodes.iter().all(has_come) {
            return;
        }
        assert!(begun.elapsed() < TIMEOUT, "not applied by all: {status}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Imports the export and releases it, approved by somebody else; the items.
async fn move_in(ann: &ApiClient, root: &ApiClient) -> (Vec<Entry>, Items) {
    let entries = export();
    let profile = Profile { app: APP.into(), profile: PROFILE.into(), entries: entries.clone() };
    let archive = apollo::write(&[profile]).unwrap();
    let tried = ann.octets("/config/import?format=apollo&dryRun=true", archive.clone()).await.ok();
    let changes = |answer: &Value| answer["data"]["Changes"].as_array().unwrap().len();
    assert_eq!((changes(&tried), &tried["data"]["ChangeSet"]), (KEYS, &json!(0)));
    let kept = ann.post("/config/query", json!({"app": APP, "profile": PROFILE})).await.ok();
    assert_eq!(kept["data"], json!([]), "a dry run does nothing");
    let moved = ann.octets("/config/import?format=apollo&title=moved", archive).await.ok();
    assert_eq!(changes(&moved), KEYS);
    let set = moved["data"]["ChangeSet"].clone();
    root.post("/changeset/approve", json!({"changeset": set})).await.ok();
    root.post("/publish/set", json!({"app": APP, "profile": PROFILE, "changeset": set})).await.ok();
    let items = entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect();
    (entries, items)
}

/// Makes the set of the feature, tried before, and has it approved by somebody else; its id and the items with it.
async fn make_set(ann: &ApiClient, root: &ApiClient, entries: &[Entry], items: &Items) -> (Value, Items) {
    let value = |entry: &Entry| format!("{} changed\n", entry.value);
    let mut feature = items.clone();
    let mut changes = Vec::new();
    for entry in &entries[..CHANGED] {
        changes.push(json!({"key": entry.key, "value": value(entry), "version": 1}));
        feature.insert(entry.key.clone(), value(entry));
    }
    for entry in &entries[CHANGED..CHANGED + 2] {
        changes.push(json!({"key": entry.key, "delete": true}));
        feature.remove(&entry.key);
    }
    let set = json!({"app": APP, "profile": PROFILE, "title": "feature", "changes": changes});
    let mut tried = set.clone();
    tried["dryRun"] = json!(true);
    let tried = ann.post("/config/apply", tried).await.ok();
    assert_eq!(tried["data"]["ChangeSet"], 0);
    let made = ann.post("/config/apply", set).await.ok();
    let actions = |answer: &Value| -> Vec<Value> {
        let changes = answer["data"]["Changes"].as_array().unwrap().iter();
        changes.map(|change| change["Action"].clone()).collect()
    };
    assert_eq!(actions(&tried), actions(&made), "a dry run answers the same");
    let id = made["data"]["ChangeSet"].clone();
    let own = ann.post("/changeset/approve", json!({"changeset": id})).await;
    assert_eq!(own.codes(), (200, 4), "nobody approves what they changed: {own:?}");
    root.post("/changeset/approve", json!({"changeset": id})).await.ok();
    (id, feature)
}

async fn run(installed: &Path, installations: Vec<Installation>) {
    let mut group = ServerGroup::start(installations).await;
    let root = group.root().await;
    let ann = create_account(&root, "ann").await;
    ann.post("/app/create", json!({"app": APP, "appType": 0, "name": "Shop", "charger": "ann"})).await.ok();
    let made = ann.post("/app/key/create", json!({"app": APP})).await.ok();
    let key = made["data"]["Key"].as_str().unwrap();
    let (entries, items) = move_in(&ann, &root).await;
    let (set, feature) = make_set(&ann, &root, &entries, &items).await;

    let clients = Clients::start(installed, &group, key).await;
    clients.wait_for(&items, &items).await;
    let of_key = root.with_token(key);
    let (start, printed) = (revision(&of_key).await, clients.printed());

    // The grey release reaches one node, in one event; the others keep what they have.
    let before = clients.received();
    let arguments = json!({"app": APP, "profile": PROFILE, "changeset": set, "nodes": "node-1"});
    let grey = ann.post("/publish/set", arguments).await.ok()["data"].clone();
    let answered = ["Kind", "Targets", "Items"].map(|name| grey[name].clone());
    assert_eq!(answered, [json!("grey"), json!(1), json!(CHANGED + 2)]);
    clients.wait_for(&items, &feature).await;
    assert_eq!(clients.since(&before)[..3], [NOTHING, ONE_EVENT, NOTHING]);
    assert_eq!(revision(&of_key).await, start + 1);

    // A kill changes nothing: the nodes come back, and nobody is given anything.
    group.kill(0).await;
    clients.wait_for(&items, &feature).await;
    assert_eq!(clients.since(&before)[..3], [NOTHING, ONE_EVENT, NOTHING]);
    assert_eq!((revision(&of_key).await, clients.printed()), (start + 1, printed.clone()));
    let root = group.root().await;
    let ann = root.login("ann").await;
    let listed = root.get(&format!("/publish/list?app={APP}&profile={PROFILE}")).await.ok();
    let shown = |row: &Value| ["Release", "Title", "Kind", "State", "Items"].map(|name| row[name].clone());
    let of_grey =
        [grey["Release"].clone(), json!("feature"), json!("grey"), json!("active"), json!(CHANGED + 2)];
    assert_eq!(shown(&listed["data"][0]), of_grey);

    // The promotion reaches everybody else once.
    let before = clients.received();
    let promoted = ann.post("/publish/promote", json!({"release": grey["Release"]})).await.ok();
    let full = promoted["data"]["Release"].as_i64().unwrap();
    clients.wait_for(&feature, &feature).await;
    let given = clients.since(&before);
    assert_eq!(given, [ONE_EVENT, NOTHING, ONE_EVENT, ONE_FETCH, ONE_FETCH, ONE_FETCH]);
    assert_eq!(revision(&of_key).await, start + 2);
    wait_until_applied(&root, full).await;

    // One call of one person takes it back, though the profile is under four-eyes.
    let before = clients.received();
    let back = ann.post("/publish/rollback", json!({"release": full})).await.ok();
    assert_eq!(back["data"]["Items"], CHANGED + 2);
    clients.wait_for(&items, &items).await;
    assert_eq!(clients.printed(), printed, "every client is where it was, byte by byte");
    let given = clients.since(&before);
    assert_eq!(given, [ONE_EVENT, ONE_EVENT, ONE_EVENT, ONE_FETCH, ONE_FETCH, ONE_FETCH]);
    assert_eq!(revision(&of_key).await, start + 3);
    wait_until_applied(&root, back["data"]["Release"].as_i64().unwrap()).await;

    // The set is in the audit trail, from the apply to the way back.
    let release = |id: &Value| format!("{APP}/{PROFILE} release {id}");
    let (of_set, of_grey, of_full) =
        (format!("{APP}/{PROFILE} changeset {set}"), release(&grey["Release"]), release(&json!(full)));
    for (object, actor, action) in [
        (&of_set, "ann", "changeset.apply"),
        (&of_set, "root", "changeset.approve"),
        (&of_grey, "ann", "release.publish"),
        (&of_grey, "ann", "release.promote"),
        (&of_full, "ann", "release.rollback"),
    ] {
        let rows = root.post("/audit/list", json!({"object": object, "count": 100})).await.ok();
        let rows = rows["data"].as_array().unwrap();
        let found = rows.iter().filter(|row| row["Actor"] == actor && row["Action"] == action).count();
        assert_eq!(found, 1, "{action} of {object} by {actor}: {rows:?}");
    }
}
