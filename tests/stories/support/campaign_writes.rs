//! Mixed load of a fault campaign: writers that go on through every fault, and the ledger of what was acknowledged.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::api_client::ApiClient;
use super::installation::ROOT;

const APP: &str = "campaign";
const PROFILE: &str = "dev";
/// Customer of the cdn jobs.
const MAIL: &str = "root@example.com";
/// Versions of one key, so that its history and the list of its releases are whole in one answer.
const VERSIONS: u64 = 200;
/// Versions from one release to the next.
const RELEASE: u64 = 5;
/// Pause of a writer between two writes, which bounds how much an hour stores.
const PAUSE: Duration = Duration::from_millis(30);
/// Time after which a writer gives an answer up.
const PATIENCE: Duration = Duration::from_secs(40);
/// Age of what readiness says, at the most, with some time for the machine.
const READINESS_AGE: Duration = Duration::from_millis(2500);
/// Time after a readiness answer in which a write has to succeed for it to be true.
const READINESS_REACH: Duration = Duration::from_millis(1500);

/// Acknowledged writes, and when any was.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    tasks: Vec<String>,
    jobs: Vec<String>,
    /// Acknowledged values by key.
    values: BTreeMap<String, Vec<String>>,
    /// Acknowledged releases by key.
    releases: BTreeMap<String, Vec<i64>>,
    /// Begin and end of each write that was acknowledged.
    successes: Vec<(Instant, Instant)>,
    /// Writes that were refused or not answered.
    refused: u64,
    /// Times at which the server said that it was ready.
    ready: Vec<Instant>,
}

impl Ledger {
    /// Number of acknowledged writes.
    pub(crate) fn len(&self) -> usize {
        let values: usize = self.values.values().map(Vec::len).sum();
        let releases: usize = self.releases.values().map(Vec::len).sum();
        self.tasks.len() + self.jobs.len() + values + releases
    }

    /// Time from a moment to the end of the first acknowledged write that began after it.
    fn recovery(&self, from: Instant) -> Option<Duration> {
        // They are in the order of their ends.
        let after = self.successes.iter().rev().take_while(|(_, end)| *end >= from);
        after.filter(|(begin, _)| *begin >= from).map(|(_, end)| end.duration_since(from)).min()
    }

    /// Readiness answers that were given while no write succeeded, before and after.
    fn lies(&self, until: Instant) -> usize {
        let is_near = |ready: Instant| {
            let next = self.successes.partition_point(|(_, end)| *end + READINESS_AGE < ready);
            self.successes.get(next).is_some_and(|(_, end)| *end <= ready + READINESS_REACH)
        };
        let settled = self.ready.iter().filter(|ready| **ready + READINESS_REACH <= until);
        settled.filter(|ready| !is_near(**ready)).count()
    }
}

/// Running writers.
pub(crate) struct CampaignWrites {
    root: ApiClient,
    ledger: Arc<Mutex<Ledger>>,
    stopped: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
}

impl CampaignWrites {
    /// Creates what is written to, and starts eight writers and the observer of readiness.
    pub(crate) async fn start(root: &ApiClient) -> Self {
        let app = json!({"app": APP, "appType": 0, "name": "n", "charger": ROOT});
        root.post("/app/create", app).await.ok();
        root.post("/level3/user", json!({"login_email": MAIL, "password": "another password"})).await.ok();
        let domains = json!({"login_email": MAIL, "cdn": "level3", "domains": "a.test"});
        root.post("/level3/user_domains", domains).await.ok();
        let mut writes =
            Self { root: root.clone(), ledger: Arc::default(), stopped: Arc::default(), writers: Vec::new() };
        for n in 0..9 {
            let writer =
                Writer { root: root.clone(), ledger: writes.ledger.clone(), stopped: writes.stopped.clone() };
            writes.writers.push(tokio::spawn(async move {
                match n {
                    0..=3 => writer.add_tasks().await,
                    4..=6 => writer.write_items(n).await,
                    7 => writer.refresh().await,
                    _ => writer.observe_readiness().await,
                }
            }));
        }
        writes
    }

    /// Waits for a write that begins and succeeds after a moment; the time it took.
    pub(crate) async fn recovery(&self, from: Instant, limit: Duration) -> Duration {
        loop {
            if let Some(took) = self.ledger.lock().unwrap().recovery(from) {
                return took;
            }
            assert!(from.elapsed() < limit, "no write succeeds within {limit:?} after the fault");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Number of writes that were refused or not answered so far.
    pub(crate) fn refused(&self) -> u64 {
        self.ledger.lock().unwrap().refused
    }

    /// Stops the writers; the ledger, the server's readiness answers that were no truth.
    pub(crate) async fn stop(self) -> (Ledger, usize) {
        let until = Instant::now();
        self.stopped.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.await.unwrap();
        }
        let ledger = std::mem::take(&mut *self.ledger.lock().unwrap());
        let lies = ledger.lies(until);
        (ledger, lies)
    }

    pub(crate) fn root(&self) -> &ApiClient {
        &self.root
    }
}

struct Writer {
    root: ApiClient,
    ledger: Arc<Mutex<Ledger>>,
    stopped: Arc<AtomicBool>,
}

impl Writer {
    fn goes_on(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    /// Sends a write; the answer where it was acknowledged, and then a pause.
    async fn write(&self, path: &str, body: Value) -> Option<Value> {
        let begin = Instant::now();
        let answer = timeout(PATIENCE, self.root.send("POST", path, Some(&body))).await;
        let answer = answer.ok().and_then(Result::ok).filter(super::api_client::Answer::is_ok);
        if answer.is_some() {
            let mut ledger = self.ledger.lock().unwrap();
            ledger.successes.push((begin, Instant::now()));
        } else {
            self.ledger.lock().unwrap().refused += 1;
        }
        sleep(PAUSE).await;
        answer.map(|answer| answer.body)
    }

    async fn add_tasks(&self) {
        while self.goes_on() {
            let data = json!({"ip": "::1", "action": "update", "content": "/a", "description": "d"});
            if let Some(answer) = self.write("/api/task", json!({"action": "add", "data": data})).await {
                let id = answer["info"]["task_id"].as_str().unwrap().to_owned();
                self.ledger.lock().unwrap().tasks.push(id);
            }
        }
    }

    async fn refresh(&self) {
        while self.goes_on() {
            let body = json!({"login_email": MAIL, "path": "http://a.test/1|http://a.test/2"});
            if let Some(queued) = self.write("/level3/refresh", body).await {
                let id = queued["results"][0]["taskid"].as_str().unwrap().to_owned();
                self.ledger.lock().unwrap().jobs.push(id);
            }
        }
    }

    /// Writes versions of one key after the other, each with a value of its own, and publishes some.
    async fn write_items(&self, writer: usize) {
        for round in 0.. {
            let key = format!("key-{writer}-{round}");
            let mut id = Value::Null;
            for n in 0..VERSIONS {
                if !self.goes_on() {
                    return;
                }
                let (path, value) =
                    (if id.is_null() { "/config/create" } else { "/config/update" }, n.to_string());
                let Some(_) = self.write(path, item(&key, Some(&value))).await else {
                    // An attempt that was not answered may have created it.
                    id = self.id_of(&key).await;
                    continue;
                };
                self.ledger.lock().unwrap().values.entry(key.clone()).or_default().push(value);
                if id.is_null() {
                    id = self.id_of(&key).await;
                }
                if n % RELEASE == 0
                    && !id.is_null()
                    && self.write("/config/approve", item(&key, None)).await.is_some()
                    && let Some(published) = self.write("/publish", json!({"id": id})).await
                {
                    let release = published["data"]["Release"].as_i64().unwrap();
                    self.ledger.lock().unwrap().releases.entry(key.clone()).or_default().push(release);
                }
            }
        }
    }

    async fn id_of(&self, key: &str) -> Value {
        while self.goes_on() {
            let answer =
                timeout(PATIENCE, self.root.send("POST", "/config/queryWithKey", Some(&item(key, None))))
                    .await;
            match answer {
                Ok(Ok(answer)) if answer.is_ok() => return answer.body["data"]["Id"].clone(),
                Ok(Ok(answer)) if answer.codes() == (200, 6) => return Value::Null,
                _ => sleep(PAUSE).await,
            }
        }
        Value::Null
    }

    async fn observe_readiness(&self) {
        while self.goes_on() {
            let asked = Instant::now();
            let answer = timeout(PATIENCE, self.root.send("GET", "/readyz", None)).await;
            // An answer that waited, as while the server is frozen, says nothing of when it was asked.
            if asked.elapsed() < Duration::from_secs(1)
                && answer.is_ok_and(|answer| answer.is_ok_and(|it| it.status == 200))
            {
                self.ledger.lock().unwrap().ready.push(Instant::now());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn item(key: &str, value: Option<&str>) -> Value {
    let mut item = json!({"app": APP, "profile": PROFILE, "key": key});
    if let Some(value) = value {
        item["value"] = value.into();
    }
    item
}

/// Checks that every acknowledged write is stored, that histories are whole, and that the app's revision counts its
/// releases without gaps; the acknowledged writes that are lost.
pub(crate) async fn lost_writes(root: &ApiClient, ledger: &Ledger) -> Vec<String> {
    let mut lost = Vec::new();
    let rows = root.all("/api/task").await;
    let stored: HashSet<&str> = rows.iter().map(|row| row["task_id"].as_str().unwrap()).collect();
    assert_eq!(stored.len(), rows.len(), "a task is listed twice");
    assert_eq!(root.all("/api/task_status").await.len(), rows.len(), "half a transaction");
    lost.extend(
        ledger.tasks.iter().filter(|id| !stored.contains(id.as_str())).map(|id| format!("task {id}")),
    );
    for id in &ledger.jobs {
        if !root.get(&format!("/level3/task?taskid={id}")).await.is_ok() {
            lost.push(format!("job {id}"));
        }
    }
    let items = root.post("/config/query", json!({"app": APP, "profile": PROFILE})).await.ok();
    let mut revisions = 0;
    let mut published: HashMap<String, BTreeSet<i64>> = HashMap::new();
    for found in items["data"].as_array().unwrap() {
        let key = found["Key"].as_str().unwrap().to_owned();
        let listed = root.post("/publish/list", item(&key, None)).await.ok();
        let ids = listed["data"].as_array().unwrap().iter().map(|row| row["Release"].as_i64().unwrap());
        let ids: BTreeSet<i64> = ids.collect();
        assert!(ids.len() < 100, "{key} has more releases than are listed");
        revisions += i64::try_from(ids.len()).unwrap();
        published.insert(key, ids);
    }
    for (key, values) in &ledger.values {
        let history = root.post("/config/history", item(key, None)).await;
        let history =
            if history.is_ok() { history.body["data"].as_array().unwrap().clone() } else { Vec::new() };
        let versions = history.iter().rev().map(|row| row["Version"].as_i64().unwrap());
        assert!(versions.eq(1..=i64::try_from(history.len()).unwrap()), "the history of {key} has a gap");
        let stored: HashSet<&str> = history.iter().map(|row| row["Value"].as_str().unwrap()).collect();
        lost.extend(
            values
                .iter()
                .filter(|value| !stored.contains(value.as_str()))
                .map(|value| format!("{key} {value}")),
        );
    }
    for (key, releases) in &ledger.releases {
        let stored = published.get(key).cloned().unwrap_or_default();
        lost.extend(
            releases.iter().filter(|id| !stored.contains(id)).map(|id| format!("release {id} of {key}")),
        );
    }
    // The lower half counts, the upper one is the epoch.
    assert_eq!(revision(root).await & 0xffff_ffff, revisions, "the revision has a gap, or a release none");
    lost
}

/// Revision of the app, as a node is told.
async fn revision(root: &ApiClient) -> i64 {
    let key = root.post("/app/key/create", json!({"app": APP})).await.ok();
    let node = root.with_token(key["data"]["Key"].as_str().unwrap());
    let new = json!({"app": APP, "profile": PROFILE, "pid": "1", "nodeId": "observer"});
    node.post("/node/register", new).await.ok()["data"]["Revision"].as_i64().unwrap()
}
