//! Writers that go on until no answer arrives any more, and remember what was acknowledged.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::client::Client;
use crate::place::ROOT;

/// The profile that all writers write to.
const NAME: [(&str, &str); 2] = [("app", "written"), ("profile", "dev")];
/// Whose cdn jobs they are.
const MAIL: &str = "root@example.com";

/// What was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The ids of tasks.
    pub(crate) tasks: Vec<String>,
    /// By key the last version; the value of each version is its number.
    pub(crate) versions: HashMap<String, i64>,
    /// By key the last version published.
    pub(crate) published: HashMap<String, i64>,
    /// The ids of cdn jobs.
    pub(crate) jobs: Vec<String>,
}

impl Ledger {
    /// How much was acknowledged.
    pub(crate) fn len(&self) -> i64 {
        let rows = self.tasks.len() + self.jobs.len() + self.published.len();
        i64::try_from(rows).unwrap() + self.versions.values().sum::<i64>()
    }

    /// Takes over what another holds, of other keys.
    pub(crate) fn extend(&mut self, other: Self) {
        self.tasks.extend(other.tasks);
        self.versions.extend(other.versions);
        self.published.extend(other.published);
        self.jobs.extend(other.jobs);
    }
}

/// Makes what the writers need: an app, and a customer of the cdn `level3` with a domain.
pub(crate) async fn prepare(root: &Client) {
    root.post("/app/create", json!({"app": NAME[0].1, "appType": 0, "name": "n", "charger": ROOT}))
        .await
        .ok();
    root.post("/level3/user", json!({"login_email": MAIL, "password": "another password"})).await.ok();
    let domains = json!({"login_email": MAIL, "cdn": "level3", "domains": "a.test"});
    root.post("/level3/user_domains", domains).await.ok();
}

/// Writes from sixteen clients at once: ten add tasks, four write configuration, two refresh. `round` tells their
/// writes from those of other rounds.
pub(crate) async fn write_to_the_end(root: &Client, round: u32) -> Ledger {
    let writers: Vec<_> = (0..16)
        .map(|n| {
            let (root, name) = (root.clone(), format!("{round}-{n}"));
            tokio::spawn(async move {
                match n {
                    0..=9 => add_tasks(&root, &name).await,
                    10..=13 => write_item(&root, &name).await,
                    _ => refresh(&root, &name).await,
                }
            })
        })
        .collect();
    let mut ledger = Ledger::default();
    for writer in writers {
        ledger.extend(writer.await.unwrap());
    }
    ledger
}

/// The answer to a write; `None` where none came, or not that it was done.
async fn answered(root: &Client, path: &str, body: Value) -> Option<Value> {
    let answer = root.send("POST", path, Some(&body)).await.ok()?;
    answer.is_ok().then_some(answer.body)
}

async fn add_tasks(root: &Client, name: &str) -> Ledger {
    let mut ledger = Ledger::default();
    while let Ok(answer) = root.add_task(name).await
        && answer.is_ok()
    {
        ledger.tasks.push(answer.body["info"]["task_id"].as_str().unwrap().to_owned());
    }
    ledger
}

/// The parameters of a config call, with others.
fn named(key: &str, others: &[(&str, Value)]) -> Value {
    let name = NAME.into_iter().chain([("key", key)]).map(|(name, text)| (name, json!(text)));
    Value::Object(name.chain(others.iter().cloned()).map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Writes version after version of one item, and publishes every third.
async fn write_item(root: &Client, key: &str) -> Ledger {
    let mut ledger = Ledger::default();
    let mut id = Value::Null;
    for version in 1.. {
        let path = if version == 1 { "/config/create" } else { "/config/update" };
        let body = named(key, &[("value", json!(version.to_string()))]);
        let Some(written) = answered(root, path, body).await else { break };
        ledger.versions.insert(key.to_owned(), version);
        if version == 1 {
            id = written["data"].clone();
        }
        if version % 3 == 0 {
            if answered(root, "/config/approve", named(key, &[])).await.is_none()
                || answered(root, "/publish", json!({"id": id})).await.is_none()
            {
                break;
            }
            ledger.published.insert(key.to_owned(), version);
        }
    }
    ledger
}

async fn refresh(root: &Client, name: &str) -> Ledger {
    let mut ledger = Ledger::default();
    let body = json!({"login_email": MAIL, "path": format!("http://a.test/{name}|http://a.test/")});
    while let Some(queued) = answered(root, "/level3/refresh", body.clone()).await {
        ledger.jobs.push(queued["results"][0]["taskid"].as_str().unwrap().to_owned());
    }
    ledger
}

/// Compares the store with what was acknowledged. Whatever else is there was written by a request that was not answered,
/// and must be whole.
pub(crate) async fn check(root: &Client, ledger: &Ledger) {
    let tasks = root.all("/api/task").await;
    let statuses = root.all("/api/task_status").await;
    let (tasks, statuses) = (by_task_id(&tasks), by_task_id(&statuses));
    for id in &ledger.tasks {
        assert!(tasks.contains_key(id.as_str()), "task {id} was acknowledged and is gone");
    }
    assert_eq!(tasks.len(), statuses.len());
    for (id, task) in &tasks {
        assert!(statuses.contains_key(id), "half a transaction: {task} has no status");
    }
    check_items(root, ledger).await;
    for id in &ledger.jobs {
        let job = root.get(&format!("/level3/task?taskid={id}")).await;
        assert!(job.is_ok(), "job {id} was acknowledged and is gone: {job:?}");
        assert_eq!(job.body["results"].as_array().unwrap().len(), 2, "half a job: {job:?}");
    }
}

async fn check_items(root: &Client, ledger: &Ledger) {
    let items = root.post("/config/query", json!({"app": NAME[0].1, "profile": NAME[1].1})).await.ok();
    let items: HashMap<&str, &Value> =
        items["data"].as_array().unwrap().iter().map(|item| (item["Key"].as_str().unwrap(), item)).collect();
    for (key, acknowledged) in &ledger.versions {
        let item = items.get(key.as_str());
        let item = item.unwrap_or_else(|| panic!("{key} was acknowledged and is gone"));
        let current = item["Version"].as_i64().unwrap();
        assert!((*acknowledged..=acknowledged + 1).contains(&current), "{key} at {acknowledged}: {item}");
        assert_eq!(item["Value"], current.to_string());
        let published = item["PublishedVersion"].as_i64().unwrap();
        assert!(
            published >= ledger.published.get(key).copied().unwrap_or(0),
            "{key} is not published: {item}"
        );
        assert_eq!(
            item["PublishedValue"],
            if published == 0 { String::new() } else { published.to_string() }
        );

        let history = root.post("/config/history", named(key, &[])).await.ok();
        let history: Vec<(i64, &str)> = history["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row["Version"].as_i64().unwrap(), row["Value"].as_str().unwrap()))
            .collect();
        let texts: Vec<String> = (1..=current).map(|version| version.to_string()).collect();
        let whole: Vec<(i64, &str)> = (1..).zip(texts.iter().map(String::as_str)).collect();
        assert!(history.iter().rev().eq(&whole), "the history of {key} has a hole: {history:?}");
    }
}

fn by_task_id(rows: &[Value]) -> HashMap<&str, &Value> {
    let by_id: HashMap<_, _> = rows.iter().map(|row| (row["task_id"].as_str().unwrap(), row)).collect();
    assert_eq!(by_id.len(), rows.len(), "a task is there twice");
    by_id
}
