//! A random sequence of release operations, node changes and kills.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pilothouse_test_support::Rng;
use serde_json::{Value as Json, json};
use tokio::time::sleep;

use super::{NODES, Tally};
use crate::support::{
    Active, Answer, ApiClient, Installation, KEYS, NodeEnvironment, NodeState, Operation, PROFILE, Protocol,
    ROOT, ReleaseHistory, TIMEOUT, TestNode, TestServer,
};

/// A sequence under way.
pub(super) struct Sequence<'a> {
    installations: &'a [Installation],
    servers: &'a mut Vec<TestServer>,
    tally: &'a mut Tally,
    root: ApiClient,
    /// Duration of the last call without a kill, from which the moment of a kill is drawn.
    call_duration: Duration,
    environment: NodeEnvironment,
    rng: Rng,
    history: ReleaseHistory,
    running: BTreeMap<&'static str, TestNode>,
    /// The last state of nodes that have left.
    left: BTreeMap<&'static str, NodeState>,
    log: Log,
}

/// The operations of the sequence, shown when the test fails.
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

impl<'a> Sequence<'a> {
    pub(super) async fn new(
        seed: u64,
        installations: &'a [Installation],
        servers: &'a mut Vec<TestServer>,
        root: ApiClient,
        tally: &'a mut Tally,
    ) -> Self {
        let environment = NodeEnvironment::create(&root, &format!("app{seed}"), servers).await;
        Self {
            installations,
            servers,
            tally,
            root,
            call_duration: Duration::from_millis(5),
            environment,
            rng: Rng::with_seed(seed),
            history: ReleaseHistory::new(),
            running: BTreeMap::new(),
            left: BTreeMap::new(),
            log: Log { seed, lines: Vec::new() },
        }
    }

    fn note(&mut self, line: String) {
        self.log.lines.push(line);
    }

    /// Runs a random operation.
    pub(super) async fn step(&mut self) {
        // Sometimes long enough for nodes to receive the last operation.
        sleep(Duration::from_millis(self.rng.u64(..40))).await;
        let key = KEYS[self.rng.usize(..KEYS.len())];
        match self.rng.u64(..18) {
            0..=3 => self.publish(key, json!({})).await,
            4 | 5 => {
                let mut nodes: Vec<&str> = self.running.keys().chain(self.left.keys()).copied().collect();
                nodes.retain(|_| self.rng.u64(..2) == 0);
                if nodes.is_empty() {
                    return;
                }
                self.publish(key, json!({"nodes": nodes.join(","), "grey": true})).await;
            }
            6 | 7 => {
                let percent = 1 + self.rng.u64(..100);
                self.publish(key, json!({"percent": percent})).await;
            }
            8 => {
                let labels = ["zone:0", "zone:1", "label:canary"][self.rng.usize(..3)];
                self.publish(key, json!({"labels": labels})).await;
            }
            9 => self.end_grey(key, "/publish/promote", Operation::Promote).await,
            10 => self.end_grey(key, "/publish/abort", Operation::Abort).await,
            11 if self.history.now().has(key) => {
                let name = self.parameters(key, &[]);
                self.release(key, "/config/del", name, Operation::Delete).await;
            }
            12 | 13 => {
                let node = NODES[self.rng.usize(..NODES.len())].0;
                if !self.running.contains_key(node) {
                    self.join(node);
                }
            }
            14 => self.leave().await,
            15 => self.crash_node(),
            16 => {
                let which = self.rng.usize(..self.servers.len());
                self.servers[which].process.kill9();
                self.restart(which).await;
            }
            _ => {}
        }
    }

    /// The name of an item as parameters, with others.
    fn parameters(&self, key: &str, more: &[(&str, Json)]) -> Json {
        let mut name = json!({"app": self.environment.app, "profile": PROFILE, "key": key});
        name.as_object_mut()
            .unwrap()
            .extend(more.iter().map(|(name, value)| ((*name).into(), value.clone())));
        name
    }

    /// Publishes a version of a key: a new one, an old one by a rollback, or the current one again.
    async fn publish(&mut self, key: &'static str, selector: Json) {
        let root = self.root.clone();
        let name = self.parameters(key, &[]);
        let text = json!(format!("{key} {}", self.rng.u64(..)));
        let new = self.parameters(key, &[("value", text)]);
        let found = root.post("/config/queryWithKey", name.clone()).await;
        match (found.is_ok(), self.rng.u64(..4)) {
            (false, _) => drop(root.post("/config/create", new).await.ok()),
            (true, 0) => {}
            (true, 1) => {
                let last = found.body["data"]["Version"].as_u64().unwrap();
                let version = json!(1 + self.rng.u64(..last));
                let back = self.parameters(key, &[("version", version)]);
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

    /// Runs a release operation, and reads from the server what became of it: it must be carried out if it was acknowledged,
    /// and completely or not at all if no answer came.
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
                // A node is unknown before its first request.
                let expected = ["selects no node that is online", "the node "];
                assert!(expected.iter().any(|text| why.contains(text)), "{answer:?}");
                assert_eq!(now, before, "{path} {arguments} was refused and carried out");
            }
            None => {
                self.tally.interrupted += 1;
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
        self.check_selected(key, &arguments, &nodes);
        let next = self.history.now().after(key, &operation, made, nodes);
        assert_eq!(next.active(), now, "{path} {arguments}");
        self.history.push(next);
    }

    /// Calls a server; in a third of the calls a server is killed meanwhile. `None` if no answer came.
    async fn call(&mut self, path: &str, arguments: &Json) -> Option<Answer> {
        let root = self.root.clone();
        if self.rng.u64(..3) > 0 {
            let begun = Instant::now();
            let answer = root.post(path, arguments.clone()).await;
            self.call_duration = begun.elapsed();
            return Some(answer);
        }
        let which = self.rng.usize(..self.servers.len());
        let moment = self.call_duration * u32::try_from(self.rng.u64(..150)).unwrap() / 100;
        let process = &mut self.servers[which].process;
        let kill = async {
            sleep(moment).await;
            process.kill9();
        };
        let (answer, ()) = tokio::join!(root.send("POST", path, Some(arguments)), kill);
        self.restart(which).await;
        answer.ok()
    }

    /// Restarts a killed server after a random time.
    async fn restart(&mut self, which: usize) {
        self.tally.kills += 1;
        self.note(format!("server {which} was killed"));
        sleep(Duration::from_millis(self.rng.u64(..100))).await;
        let port = self.servers[which].port;
        self.servers[which] = self.installations[which].serve_again(port).await;
        self.root = ApiClient::new(&self.servers.iter().collect::<Vec<_>>()).login(ROOT).await;
    }

    /// The active releases according to the server.
    async fn active(&self) -> Active {
        let name = json!({"app": self.environment.app, "profile": PROFILE});
        let listed = self.root.post("/publish/list", name).await.ok()["data"].clone();
        let active = listed.as_array().unwrap().iter().filter(|row| row["State"] == "active");
        let number = |json: &Json| json.as_i64().unwrap();
        active
            .map(|row| {
                let name = (row["Key"].as_str().unwrap().to_owned(), row["Kind"] == "grey");
                (name, (number(&row["Release"]), number(&row["Version"])))
            })
            .collect()
    }

    async fn nodes_of(&self, release: i64) -> BTreeSet<String> {
        let status = self.root.post("/publish/status", json!({"release": release})).await.ok();
        let nodes = status["data"]["Nodes"].as_array().unwrap().iter();
        nodes.map(|node| node["NodeId"].as_str().unwrap().to_owned()).collect()
    }

    /// Asserts that named nodes are selected exactly, and that a percentage keeps the nodes selected before.
    fn check_selected(&self, key: &str, arguments: &Json, nodes: &BTreeSet<String>) {
        if let Some(named) = arguments["nodes"].as_str() {
            assert_eq!(*nodes, named.split(',').map(str::to_owned).collect());
        }
        let before = self.history.now().grey(key).and_then(|grey| grey.nodes.as_ref());
        if let Some(before) = before.filter(|_| arguments.get("percent").is_some()) {
            let kept = before.intersection(nodes).count();
            assert!(kept == before.len() || kept == nodes.len(), "{before:?} became {nodes:?}");
        }
    }

    /// Starts a node without state.
    pub(super) fn join(&mut self, node: &'static str) {
        self.left.remove(node);
        self.start(node, None);
    }

    fn start(&mut self, node: &'static str, state: Option<NodeState>) {
        self.note(format!("{node} starts with {state:?}"));
        let protocol = NODES.iter().find(|(name, _)| *name == node).unwrap().1;
        self.running.insert(node, TestNode::start(&self.environment, protocol, node, state));
    }

    /// Stops a node, and lets it leave where its protocol can.
    async fn leave(&mut self) {
        let Some(node) = self.any_running() else { return };
        let state = self.running.remove(node).unwrap().state();
        self.note(format!("{node} leaves"));
        self.left.insert(node, state);
        let body = json!({"app": self.environment.app, "profile": PROFILE, "nodeId": node});
        // Apollo clients have no such call. The answer is not checked, as the node may not have registered yet.
        if NODES.iter().any(|(name, protocol)| *name == node && *protocol != Protocol::Apollo) {
            self.root.with_token(&self.environment.key).post("/node/leave", body).await;
        }
    }

    /// Restarts a node at once, with or without its state.
    fn crash_node(&mut self) {
        let Some(node) = self.any_running() else { return };
        let state = self.running.remove(node).unwrap().state();
        let keeps = self.rng.u64(..2) == 0;
        self.start(node, keeps.then_some(state));
    }

    fn any_running(&mut self) -> Option<&'static str> {
        let running: Vec<_> = self.running.keys().copied().collect();
        if running.is_empty() { None } else { Some(running[self.rng.usize(..running.len())]) }
    }

    /// Asserts that nodes were observed with exactly the items released to them.
    pub(super) fn check(&mut self) {
        let observations = self.environment.take_observations();
        for observation in &observations {
            self.history.check(observation);
            self.tally.values += observation.keys.len();
        }
        self.tally.observations += observations.len();
    }

    /// Waits until every node holds exactly the items released to it, and asserts that it keeps them.
    pub(super) async fn settle(&mut self) {
        let begun = Instant::now();
        loop {
            let released = self.history.now();
            let behind = self.running.iter().find_map(|(name, node)| {
                let items = node.state().items;
                (!released.is_held_by(name, &KEYS, &items)).then_some((name, items))
            });
            let Some(behind) = behind else { break };
            assert!(begun.elapsed() < TIMEOUT, "a final value is lost: {behind:?} of {released:?}");
            sleep(Duration::from_millis(5)).await;
        }
        self.tally.slowest = self.tally.slowest.max(begun.elapsed());
        sleep(Duration::from_millis(50)).await;
        self.check();
        let released = self.history.now();
        assert!(self.running.iter().all(|(name, node)| released.is_held_by(
            name,
            &KEYS,
            &node.state().items
        )));
    }
}
