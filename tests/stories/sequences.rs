//! Random sequences of releases, with nodes that come, go and fall over, and servers that are killed in the midst of all
//! that: on every protocol no node ever holds what was not meant for it, and in the end none misses what was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pilothouse_test_support::postgres_or_skip;
use serde_json::{Value as Json, json};
use tokio::time::sleep;

use crate::client::{Answer, Client};
use crate::follower::{Follower, Memory, PROFILE, Protocol, Site};
use crate::place::{PATIENCE, Place, ROOT, Server};
use crate::random::{Random, number};
use crate::released::{Active, History, KEYS, Operation};

/// How many operations a sequence has.
const STEPS: usize = 30;
/// The nodes of a sequence. The first of each protocol are there from the beginning.
const NODES: [(&str, Protocol); 10] = [
    ("stream-0", Protocol::Stream),
    ("long-poll-0", Protocol::LongPoll),
    ("poll-0", Protocol::Poll),
    ("embedded-0", Protocol::Embedded),
    ("10.9.0.1", Protocol::Apollo),
    ("stream-1", Protocol::Stream),
    ("long-poll-1", Protocol::LongPoll),
    ("poll-1", Protocol::Poll),
    ("embedded-1", Protocol::Embedded),
    ("10.9.0.2/canary", Protocol::Apollo),
];

/// As many sequences as `PILOTHOUSE_TEST_KILLS` says, or three, from the one of `PILOTHOUSE_TEST_SEED` on.
fn seeds() -> std::ops::Range<u64> {
    let first = number("PILOTHOUSE_TEST_SEED", 1);
    first..first + number("PILOTHOUSE_TEST_KILLS", 3)
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    sequences("SQLite", &[Place::sqlite()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_two_servers_over_one_postgres() {
    let Some(postgres) = postgres_or_skip("sequences::on_two_servers_over_one_postgres") else { return };
    let database = postgres.database();
    sequences("two servers on Postgres", &[Place::postgres(&database), Place::postgres(&database)]).await;
}

/// What happened so far.
#[derive(Debug, Default)]
struct Tally {
    kills: u32,
    acknowledged: u32,
    /// Calls that were cut, and how many of them were carried out.
    cut: u32,
    carried_out: u32,
    refused: u32,
    /// How often a node was seen to hold something, and of how many keys altogether.
    seen: usize,
    values: usize,
    /// The longest from the last operation until every node had everything.
    slowest: Duration,
}

async fn sequences(on: &str, places: &[Place]) {
    let mut servers = vec![places[0].serve().await];
    for place in &places[1..] {
        servers.push(place.serve().await);
    }
    let mut tally = Tally::default();
    for seed in seeds() {
        let root = Client::new(&servers.iter().collect::<Vec<_>>()).login(ROOT).await;
        let mut world = World::new(seed, places, &mut servers, root, &mut tally).await;
        for (node, _) in &NODES[..5] {
            world.join(node);
        }
        for _ in 0..STEPS {
            world.step().await;
            world.check();
        }
        world.settle().await;
        if seed % 10 == 0 {
            println!("{on}: after the sequence {seed} {tally:?}");
        }
    }
    println!("{on}: {} sequences, {tally:?}; no grey value leaked, no final value lost", seeds().count());
    assert!(tally.acknowledged > 0 && tally.kills > 0 && tally.values > 0, "it shows nothing");
}

struct World<'a> {
    places: &'a [Place],
    servers: &'a mut Vec<Server>,
    tally: &'a mut Tally,
    root: Client,
    /// How long a call takes.
    usual: Duration,
    site: Site,
    random: Random,
    history: History,
    there: BTreeMap<&'static str, Follower>,
    /// What nodes held that are not there.
    away: BTreeMap<&'static str, Memory>,
    log: Log,
}

/// What was done, shown where the test fails.
struct Log {
    seed: u64,
    lines: Vec<String>,
}

impl Drop for Log {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, lines } = self;
            eprintln!("PILOTHOUSE_TEST_SEED={seed} PILOTHOUSE_TEST_KILLS=1 after\n{}", lines.join("\n"));
        }
    }
}

impl<'a> World<'a> {
    async fn new(
        seed: u64,
        places: &'a [Place],
        servers: &'a mut Vec<Server>,
        root: Client,
        tally: &'a mut Tally,
    ) -> Self {
        let site = Site::make(&root, &format!("app{seed}"), servers).await;
        Self {
            places,
            servers,
            tally,
            root,
            usual: Duration::from_millis(5),
            site,
            random: Random(seed),
            history: History::new(),
            there: BTreeMap::new(),
            away: BTreeMap::new(),
            log: Log { seed, lines: Vec::new() },
        }
    }

    fn note(&mut self, line: String) {
        self.log.lines.push(line);
    }

    async fn step(&mut self) {
        // Nodes get something of it now and then before the next.
        sleep(Duration::from_millis(self.random.below(40))).await;
        let key = KEYS[self.random.index(KEYS.len())];
        match self.random.below(18) {
            0..=3 => self.publish(key, json!({})).await,
            4 | 5 => {
                let mut nodes: Vec<&str> = self.there.keys().chain(self.away.keys()).copied().collect();
                nodes.retain(|_| self.random.below(2) == 0);
                if nodes.is_empty() {
                    return;
                }
                self.publish(key, json!({"nodes": nodes.join(",")})).await;
            }
            6 | 7 => {
                let percent = 1 + self.random.below(100);
                self.publish(key, json!({"percent": percent})).await;
            }
            8 => {
                let labels = ["zone:0", "zone:1", "label:canary"][self.random.index(3)];
                self.publish(key, json!({"labels": labels})).await;
            }
            9 => self.end_grey(key, "/publish/promote", Operation::Promote).await,
            10 => self.end_grey(key, "/publish/abort", Operation::Abort).await,
            11 if self.history.now().has(key) => {
                let name = self.named(key, &[]);
                self.release(key, "/config/del", name, Operation::Delete).await;
            }
            12 | 13 => {
                let node = NODES[self.random.index(NODES.len())].0;
                if !self.there.contains_key(node) {
                    self.join(node);
                }
            }
            14 => self.leave().await,
            15 => self.fall_over(),
            16 => {
                let which = self.random.index(self.servers.len());
                self.servers[which].process.kill9();
                self.restart(which).await;
            }
            _ => {}
        }
    }

    fn named(&self, key: &str, more: &[(&str, Json)]) -> Json {
        let mut name = json!({"app": self.site.app, "profile": PROFILE, "key": key});
        name.as_object_mut()
            .unwrap()
            .extend(more.iter().map(|(name, value)| ((*name).into(), value.clone())));
        name
    }

    /// Publishes a version of a key: a new one, an old one rolled back to, or the present one again.
    async fn publish(&mut self, key: &'static str, selector: Json) {
        let root = self.root.clone();
        let name = self.named(key, &[]);
        let text = json!(format!("{key} {}", self.random.next()));
        let new = self.named(key, &[("value", text)]);
        let found = root.post("/config/queryWithKey", name.clone()).await;
        match (found.is_ok(), self.random.below(4)) {
            (false, _) => drop(root.post("/config/create", new).await.ok()),
            (true, 0) => {}
            (true, 1) => {
                let last = found.body["data"]["Version"].as_u64().unwrap();
                let version = json!(1 + self.random.below(last));
                let back = self.named(key, &[("version", version)]);
                root.post("/config/rollback", back).await.ok();
            }
            (true, _) => drop(root.post("/config/update", new).await.ok()),
        }
        root.post("/config/approve", name.clone()).await.ok();
        let item = root.post("/config/queryWithKey", name).await.ok()["data"].clone();
        let operation = Operation::Publish {
            version: item["Version"].as_i64().unwrap(),
            text: item["Value"].as_str().unwrap().to_owned(),
            grey: selector != json!({}),
        };
        let mut arguments = selector;
        arguments["id"] = item["Id"].clone();
        self.release(key, "/publish", arguments, operation).await;
    }

    async fn end_grey(&mut self, key: &'static str, path: &str, operation: Operation) {
        let Some(grey) = self.history.now().grey(key) else { return };
        let arguments = json!({"release": grey.id});
        self.release(key, path, arguments, operation).await;
    }

    /// Changes what is released, and learns from the server what came of it: all of it where that was acknowledged, all or
    /// nothing where no answer came.
    async fn release(&mut self, key: &'static str, path: &str, arguments: Json, operation: Operation) {
        self.note(format!("{path} {arguments} of {key}: {operation:?}"));
        let answer = self.call(path, &arguments).await;
        let (before, now) = (self.history.now().active(), self.active().await);
        match &answer {
            Some(answer) if answer.is_ok() => {
                self.tally.acknowledged += 1;
                assert_ne!(now, before, "{path} {arguments} was acknowledged and is lost");
            }
            Some(answer) => {
                self.tally.refused += 1;
                let why = answer.body["msg"].as_str().unwrap();
                // A node is not known before it has asked for the first time.
                let expected = ["selects no node that is online", "the node "];
                assert!(expected.iter().any(|text| why.contains(text)), "{answer:?}");
                assert_eq!(now, before, "{path} {arguments} was refused and done");
            }
            None => {
                self.tally.cut += 1;
                self.tally.carried_out += u32::from(now != before);
            }
        }
        self.note(format!("answered {answer:?}, now {now:?}"));
        if now == before {
            return;
        }
        let grey = matches!(operation, Operation::Publish { grey: true, .. });
        let made = now.get(&(key.to_owned(), grey)).map_or(0, |(id, _)| *id);
        let nodes = if grey { self.nodes_of(made).await } else { BTreeSet::new() };
        self.check_chosen(key, &arguments, &nodes);
        let next = self.history.now().after(key, &operation, made, nodes);
        assert_eq!(next.active(), now, "{path} {arguments}");
        self.history.push(next);
    }

    /// Calls a server, which perhaps, or another, is killed in the midst of it. `None` where no answer came.
    async fn call(&mut self, path: &str, arguments: &Json) -> Option<Answer> {
        let root = self.root.clone();
        if self.random.below(3) > 0 {
            let begun = Instant::now();
            let answer = root.post(path, arguments.clone()).await;
            self.usual = begun.elapsed();
            return Some(answer);
        }
        let which = self.random.index(self.servers.len());
        let moment = self.usual * u32::try_from(self.random.below(150)).unwrap() / 100;
        let process = &mut self.servers[which].process;
        let kill = async {
            sleep(moment).await;
            process.kill9();
        };
        let (answer, ()) = tokio::join!(root.send("POST", path, Some(arguments)), kill);
        self.restart(which).await;
        answer.ok()
    }

    /// Starts a server that was killed again, some time later.
    async fn restart(&mut self, which: usize) {
        self.tally.kills += 1;
        self.note(format!("server {which} was killed"));
        sleep(Duration::from_millis(self.random.below(100))).await;
        let port = self.servers[which].port;
        self.servers[which] = self.places[which].serve_again(port).await;
        self.root = Client::new(&self.servers.iter().collect::<Vec<_>>()).login(ROOT).await;
    }

    /// The releases that are active, as the server says.
    async fn active(&self) -> Active {
        let name = json!({"app": self.site.app, "profile": PROFILE});
        let listed = self.root.post("/publish/list", name).await.ok()["data"].clone();
        let active = listed.as_array().unwrap().iter().filter(|row| row["State"] == "active");
        let number = |json: &Json| json.as_i64().unwrap();
        active
            .map(|row| {
                let place = (row["Key"].as_str().unwrap().to_owned(), row["Kind"] == "grey");
                (place, (number(&row["Release"]), number(&row["Version"])))
            })
            .collect()
    }

    async fn nodes_of(&self, release: i64) -> BTreeSet<String> {
        let status = self.root.post("/publish/status", json!({"release": release})).await.ok();
        let nodes = status["data"]["Nodes"].as_array().unwrap().iter();
        nodes.map(|node| node["NodeId"].as_str().unwrap().to_owned()).collect()
    }

    /// Nodes that are named are those, and a share keeps whom it had as long as there is room.
    fn check_chosen(&self, key: &str, arguments: &Json, nodes: &BTreeSet<String>) {
        if let Some(named) = arguments["nodes"].as_str() {
            assert_eq!(*nodes, named.split(',').map(str::to_owned).collect());
        }
        let held = self.history.now().grey(key).and_then(|grey| grey.nodes.as_ref());
        if let Some(held) = held.filter(|_| arguments.get("percent").is_some()) {
            let kept = held.intersection(nodes).count();
            assert!(kept == held.len() || kept == nodes.len(), "{held:?} became {nodes:?}");
        }
    }

    /// A node begins, for the first time or again.
    fn join(&mut self, node: &'static str) {
        self.away.remove(node);
        self.begin(node, None);
    }

    fn begin(&mut self, node: &'static str, memory: Option<Memory>) {
        self.note(format!("{node} begins with {memory:?}"));
        let protocol = NODES.iter().find(|(name, _)| *name == node).unwrap().1;
        self.there.insert(node, Follower::start(&self.site, protocol, node, memory));
    }

    /// A node ends, as well as its protocol can.
    async fn leave(&mut self) {
        let Some(node) = self.some_node() else { return };
        let memory = self.there.remove(node).unwrap().memory();
        self.note(format!("{node} leaves"));
        self.away.insert(node, memory);
        let body = json!({"app": self.site.app, "profile": PROFILE, "nodeId": node});
        // Apollo clients do not, and one that did not get to register is not known.
        if NODES.iter().any(|(name, protocol)| *name == node && *protocol != Protocol::Apollo) {
            self.root.with_token(&self.site.key).post("/node/leave", body).await;
        }
    }

    /// A node falls over and begins again at once, with or without what it held.
    fn fall_over(&mut self) {
        let Some(node) = self.some_node() else { return };
        let memory = self.there.remove(node).unwrap().memory();
        let keeps = self.random.below(2) == 0;
        self.begin(node, keeps.then_some(memory));
    }

    fn some_node(&mut self) -> Option<&'static str> {
        let there: Vec<_> = self.there.keys().copied().collect();
        if there.is_empty() { None } else { Some(there[self.random.index(there.len())]) }
    }

    /// All that nodes were seen to hold so far was meant for them.
    fn check(&mut self) {
        let seen = self.site.seen();
        for seen in &seen {
            self.history.check(seen);
            self.tally.values += seen.keys.len();
        }
        self.tally.seen += seen.len();
    }

    /// Every node comes to hold all that is meant for it, and nothing else, and stays so.
    async fn settle(&mut self) {
        let begun = Instant::now();
        loop {
            let released = self.history.now();
            let behind = self.there.iter().find_map(|(node, follower)| {
                let held = follower.memory().held;
                (!released.fits(node, &KEYS, &held)).then_some((node, held))
            });
            let Some(behind) = behind else { break };
            assert!(begun.elapsed() < PATIENCE, "a final value is lost: {behind:?} of {released:?}");
            sleep(Duration::from_millis(5)).await;
        }
        self.tally.slowest = self.tally.slowest.max(begun.elapsed());
        sleep(Duration::from_millis(50)).await;
        self.check();
        let released = self.history.now();
        assert!(self.there.iter().all(|(node, follower)| released.fits(
            node,
            &KEYS,
            &follower.memory().held
        )));
    }
}
