//! A random sequence of release operations, node changes, kills and restores.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pilothouse_test_support::Rng;
use serde_json::{Value as Json, json};
use tokio::time::sleep;

use super::campaign::SharedCluster;
use super::cluster::{Backup, Cluster};
use super::{NODES, Tally};
use crate::support::{
    Answer, ApiClient, Contents, FullReleases, KEYS, NodeEnvironment, NodeState, Operation, PROFILE,
    Protocol, ReleaseBackup, ReleaseHistory, TIMEOUT, TestNode,
};

/// The latest full releases that are taken back.
const ROLLED_BACK: usize = 4;

/// Access of a sequence to the servers.
pub(super) enum Access<'a> {
    /// The only sequence, which kills and restores them itself.
    Alone(&'a mut Cluster),
    /// One of several sequences, which share servers and kills.
    Shared(SharedCluster),
}

impl Access<'_> {
    pub(super) fn cluster(&self) -> &Cluster {
        match self {
            Self::Alone(cluster) => cluster,
            Self::Shared(shared) => shared.cluster(),
        }
    }

    pub(super) fn alone(&mut self) -> &mut Cluster {
        match self {
            Self::Alone(cluster) => cluster,
            Self::Shared(_) => unreachable!("others use the servers"),
        }
    }
}

/// A sequence under way.
pub(super) struct Sequence<'a> {
    pub(super) access: Access<'a>,
    pub(super) tally: &'a mut Tally,
    pub(super) root: ApiClient,
    /// Duration of the last call without a kill, from which the moment of a kill is drawn.
    call_duration: Duration,
    pub(super) environment: NodeEnvironment,
    pub(super) rng: Rng,
    pub(super) history: ReleaseHistory,
    /// The full releases so far.
    pub(super) fulls: FullReleases,
    /// Id of the newest release of the profile; 0 before the first.
    pub(super) newest: i64,
    pub(super) backup: Option<(Backup, ReleaseBackup, FullReleases)>,
    pub(super) restores: u32,
    pub(super) running: BTreeMap<&'static str, TestNode>,
    /// The last state of nodes that have left.
    pub(super) left: BTreeMap<&'static str, NodeState>,
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
    pub(super) async fn new(seed: u64, access: Access<'a>, tally: &'a mut Tally) -> Self {
        let root = access.cluster().root().await;
        let servers = access.cluster().servers();
        let environment = NodeEnvironment::create(&root, &format!("app{seed}"), servers).await;
        let sequence = Self {
            access,
            tally,
            root,
            call_duration: Duration::from_millis(5),
            environment,
            rng: Rng::with_seed(seed),
            history: ReleaseHistory::new(),
            fulls: FullReleases::new(),
            newest: 0,
            backup: None,
            restores: 0,
            running: BTreeMap::new(),
            left: BTreeMap::new(),
            log: Log { seed, lines: Vec::new() },
        };
        sequence.register_probe().await;
        sequence
    }

    pub(super) fn note(&mut self, line: String) {
        self.log.lines.push(line);
    }

    /// Runs a random operation.
    pub(super) async fn step(&mut self) {
        // Sometimes long enough for nodes to receive the last operation.
        sleep(Duration::from_millis(self.rng.u64(..40))).await;
        let key = KEYS[self.rng.usize(..KEYS.len())];
        match self.rng.u64(..28) {
            0..=3 => self.publish(key, json!({})).await,
            4..=6 => {
                if let Some(selector) = self.selector() {
                    self.publish(key, selector).await;
                }
            }
            7..=10 => self.publish_set(json!({})).await,
            11..=14 => {
                if let Some(selector) = self.selector() {
                    self.publish_set(selector).await;
                }
            }
            15 | 16 => self.promote().await,
            17 => {
                if let Some(grey) = self.any_grey() {
                    self.release("/publish/abort", json!({"release": grey}), Operation::Abort { grey }).await;
                }
            }
            18 | 19 => self.roll_back().await,
            20 => self.delete(key).await,
            21 | 22 => {
                let node = NODES[self.rng.usize(..NODES.len())].0;
                if !self.running.contains_key(node) {
                    self.join(node);
                }
            }
            23 => self.leave().await,
            24 => self.crash_node(),
            25 => {
                let which = self.rng.usize(..self.access.cluster().servers().len());
                self.access.alone().process(which).kill9();
                self.restart(which).await;
            }
            26 => self.create_again().await,
            _ => {}
        }
    }

    /// Nodes of a grey release: by id, by percentage or by labels. `None` where there is none to name.
    pub(super) fn selector(&mut self) -> Option<Json> {
        match self.rng.u64(..5) {
            0 | 1 => {
                let mut nodes: Vec<&str> = self.running.keys().chain(self.left.keys()).copied().collect();
                nodes.retain(|_| self.rng.bool());
                (!nodes.is_empty()).then(|| json!({"nodes": nodes.join(","), "grey": true}))
            }
            2 | 3 => Some(json!({"percent": 1 + self.rng.u64(..100)})),
            _ => {
                let labels = ["zone:0", "zone:1", "label:canary"][self.rng.usize(..3)];
                Some(json!({"labels": labels}))
            }
        }
    }

    pub(super) fn any_grey(&mut self) -> Option<i64> {
        let greys = self.history.now().greys();
        self.rng.choice(greys)
    }

    /// The name of an item as parameters, with others.
    pub(super) fn parameters(&self, key: &str, more: &[(&str, Json)]) -> Json {
        let mut name = json!({"app": self.environment.app, "profile": PROFILE, "key": key});
        name.as_object_mut()
            .unwrap()
            .extend(more.iter().map(|(name, value)| ((*name).into(), value.clone())));
        name
    }

    /// Takes a full release back, which works as long as each of its keys is as it left it; or an active grey one.
    pub(super) async fn roll_back(&mut self) {
        if self.rng.u64(..4) == 0
            && let Some(grey) = self.any_grey()
        {
            let arguments = json!({"release": grey});
            self.release("/publish/rollback", arguments, Operation::Abort { grey }).await;
            return;
        }
        let latest: Vec<i64> = self.fulls.keys().rev().take(ROLLED_BACK).copied().collect();
        let Some(release) = self.rng.choice(latest) else { return };
        let contents = self.fulls[&release].clone();
        let arguments = json!({"release": release});
        if !self.history.now().is_current(release, &contents) {
            let refused = self.root.post("/publish/rollback", arguments).await;
            assert_eq!(refused.codes(), (200, 7), "{release}: {refused:?}");
            let (newest, known) = (self.newest_release().await, self.newest);
            assert_eq!(newest, known, "a rollback was refused and carried out");
            return;
        }
        self.tally.rollbacks += 1;
        self.release("/publish/rollback", arguments, Operation::Publish { contents, grey: false }).await;
    }

    pub(super) async fn delete(&mut self, key: &'static str) {
        let name = self.parameters(key, &[]);
        if self.root.post("/config/queryWithKey", name.clone()).await.is_ok() {
            self.release("/config/del", name, Operation::Delete { key }).await;
        }
    }

    /// Runs a release operation, and reads from the server what became of it: it must be carried out if it was acknowledged,
    /// and completely or not at all if no answer came. Answers whether it was carried out.
    pub(super) async fn release(&mut self, path: &str, arguments: Json, operation: Operation) -> bool {
        self.note(format!("{path} {arguments}: {operation:?}"));
        let overlaps = match &operation {
            Operation::Publish { contents, grey } => self.history.now().overlaps(contents, *grey),
            _ => false,
        };
        let answer = self.call(path, &arguments).await;
        let made = self.outcome(&operation).await;
        match &answer {
            Some(answer) if answer.is_ok() => {
                self.tally.acknowledged += 1;
                assert!(made.is_some(), "{path} {arguments} was acknowledged and is lost");
            }
            Some(answer) => {
                self.tally.refused += 1;
                let why = answer.body["msg"].as_str().unwrap();
                // A node is unknown before its first request.
                let nobody = ["selects no node that is online", "the node "];
                let is_expected = answer.is_overload()
                    || nobody.iter().any(|text| why.contains(text))
                    || overlaps && why.contains("the grey release");
                assert!(is_expected, "{answer:?}");
                assert!(made.is_none(), "{path} {arguments} was refused and carried out");
            }
            None => {
                self.tally.interrupted += 1;
                self.tally.carried_out += u32::from(made.is_some());
            }
        }
        self.note(format!("answered {answer:?}, made {made:?}"));
        let Some(made) = made else { return false };
        assert!(!overlaps, "{path} {arguments} overlaps a grey release and was carried out");
        self.record(made, &arguments, operation).await;
        true
    }

    /// Id of the release that an operation made, or 0 where it makes none; `None` where it was not carried out.
    async fn outcome(&self, operation: &Operation) -> Option<i64> {
        let (is_done, made) = match operation {
            Operation::Publish { .. } | Operation::Promote { .. } => {
                let newest = self.newest_release().await;
                (newest > self.newest, newest)
            }
            Operation::Abort { grey } => (self.status(*grey).await["State"] == "aborted", 0),
            Operation::Delete { key } => {
                let found = self.root.post("/config/queryWithKey", self.parameters(key, &[])).await;
                (!found.is_ok(), 0)
            }
        };
        is_done.then_some(made)
    }

    /// Adds what an operation made to the history.
    async fn record(&mut self, made: i64, arguments: &Json, mut operation: Operation) {
        let now = self.history.now().clone();
        let mut nodes = BTreeSet::new();
        match &mut operation {
            Operation::Publish { contents, grey } => {
                let status = self.status(made).await;
                complete(contents, &status);
                assert_eq!(status["Kind"], if *grey { "grey" } else { "full" }, "{status}");
                if *grey {
                    let listed = status["Nodes"].as_array().unwrap().iter();
                    nodes = listed.map(|node| node["NodeId"].as_str().unwrap().to_owned()).collect();
                    let key = contents.keys().next().unwrap();
                    let before = now.grey(key).and_then(|grey| grey.nodes.as_ref());
                    self.check_selected(arguments, before, &nodes);
                } else {
                    self.fulls.insert(made, now.before(contents));
                }
            }
            Operation::Promote { grey } => drop(self.fulls.insert(made, now.before(&now.contents(*grey)))),
            Operation::Delete { key } if !now.has(key) => return,
            Operation::Abort { .. } | Operation::Delete { .. } => {}
        }
        self.newest = self.newest.max(made);
        self.history.push(now.after(&operation, made, &nodes));
    }

    pub(super) async fn newest_release(&self) -> i64 {
        let name = json!({"app": self.environment.app, "profile": PROFILE, "count": 1});
        let listed = self.root.post("/publish/list", name).await.ok();
        listed["data"][0]["Release"].as_i64().unwrap_or(0)
    }

    async fn status(&self, release: i64) -> Json {
        self.root.post("/publish/status", json!({"release": release})).await.ok()["data"].clone()
    }

    /// Calls a server; in a third of the calls a server is killed meanwhile. `None` if no answer came.
    pub(super) async fn call(&mut self, path: &str, arguments: &Json) -> Option<Answer> {
        let root = self.root.clone();
        if let Access::Shared(shared) = &mut self.access {
            return shared.run(root.send("POST", path, Some(arguments))).await.ok();
        }
        if self.rng.u64(..3) > 0 {
            let begun = Instant::now();
            let answer = root.post(path, arguments.clone()).await;
            self.call_duration = begun.elapsed();
            return Some(answer);
        }
        let which = self.rng.usize(..self.access.cluster().servers().len());
        let moment = self.call_duration * u32::try_from(self.rng.u64(..150)).unwrap() / 100;
        let process = self.access.alone().process(which);
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
        self.access.alone().start_again(which).await;
    }

    /// Asserts that named nodes are selected exactly, and that a percentage keeps the nodes selected before.
    fn check_selected(&self, arguments: &Json, before: Option<&BTreeSet<String>>, nodes: &BTreeSet<String>) {
        if let Some(named) = arguments["nodes"].as_str() {
            assert_eq!(*nodes, named.split(',').map(str::to_owned).collect());
        }
        // A restored store does not know the nodes that came since.
        let has_percent = arguments.get("percent").is_some() && self.restores == 0;
        if let Some(before) = before.filter(|_| has_percent) {
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
        self.running.insert(node, TestNode::start(&self.environment, protocol_of(node), node, state));
    }

    /// Stops a node, and lets it leave where its protocol can.
    async fn leave(&mut self) {
        let Some(node) = self.any_running() else { return };
        let state = self.running.remove(node).unwrap().state();
        self.note(format!("{node} leaves"));
        self.left.insert(node, state);
        let body = json!({"app": self.environment.app, "profile": PROFILE, "nodeId": node});
        // Apollo clients have no such call. The answer is not checked, as the node may not have registered yet.
        if !matches!(protocol_of(node), Protocol::Apollo | Protocol::ConfigFiles) {
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

fn protocol_of(node: &str) -> Protocol {
    NODES.iter().find(|(name, _)| *name == node).unwrap().1
}

/// Takes over the versions of a release that were not known before, and asserts the others.
fn complete(contents: &mut Contents, status: &Json) {
    let listed = status["Items"].as_array().unwrap().iter();
    let versions: BTreeMap<&str, i64> =
        listed.map(|item| (item["Key"].as_str().unwrap(), item["Version"].as_i64().unwrap())).collect();
    assert!(versions.keys().eq(contents.keys()), "a part of a set was released: {contents:?}, {status}");
    for (key, content) in contents {
        let version = versions[&**key];
        if content.version == UNKNOWN {
            content.version = version;
        }
        assert_eq!(content.version, version, "{key}: {status}");
    }
}

/// Version of a content until the server has told it.
pub(super) const UNKNOWN: i64 = -1;
