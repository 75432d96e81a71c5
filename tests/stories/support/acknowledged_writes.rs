//! Concurrent writers that write until the server disconnects, and record the acknowledged writes.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::api_client::ApiClient;
use super::installation::ROOT;

/// App and profile of the written items.
const NAME: [(&str, &str); 2] = [("app", "written"), ("profile", "dev")];
/// Customer of the cdn jobs.
const MAIL: &str = "root@example.com";

/// Writes that the server acknowledged, and so must still have after a crash.
#[derive(Debug, Default)]
pub(crate) struct AcknowledgedWrites {
    /// Task ids, as `/api/task` answered them.
    pub(crate) tasks: Vec<String>,
    /// Last version by key; the value of a version is its number.
    pub(crate) versions: HashMap<String, i64>,
    /// Last published version by key.
    pub(crate) published: HashMap<String, i64>,
    /// Ids of cdn jobs.
    pub(crate) jobs: Vec<String>,
}

impl AcknowledgedWrites {
    /// Number of acknowledged writes.
    pub(crate) fn len(&self) -> i64 {
        let rows = self.tasks.len() + self.jobs.len() + self.published.len();
        i64::try_from(rows).unwrap() + self.versions.values().sum::<i64>()
    }

    /// Adds writes of other keys.
    pub(crate) fn extend(&mut self, other: Self) {
        self.tasks.extend(other.tasks);
        self.versions.extend(other.versions);
        self.published.extend(other.published);
        self.jobs.extend(other.jobs);
    }
}

/// Creates what the writers need: an app, and a customer of the cdn `level3` with a domain.
pub(crate) async fn prepare_writes(root: &ApiClient) {
    root.post("/app/create", json!({"app": NAME[0].1, "appType": 0, "name": "n", "charger": ROOT}))
        .await
        .ok();
    root.post("/level3/user", json!({"login_email": MAIL, "password": "another password"})).await.ok();
    let domains = json!({"login_email": MAIL, "cdn": "level3", "domains": "a.test"});
    root.post("/level3/user_domains", domains).await.ok();
}

/// Writes from sixteen clients at once until the server disconnects: ten add tasks, four write configuration, two
/// refresh. `round` distinguishes their writes from those of other rounds.
pub(crate) async fn write_until_disconnected(root: &ApiClient, round: u32) -> AcknowledgedWrites {
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
    let mut writes = AcknowledgedWrites::default();
    for writer in writers {
        writes.extend(writer.await.unwrap());
    }
    writes
}

/// The answer to an acknowledged write; `None` where it was refused or not answered.
async fn acknowledged(root: &ApiClient, path: &str, body: Value) -> Option<Value> {
    let answer = root.send("POST", path, Some(&body)).await.ok()?;
    answer.is_ok().then_some(answer.body)
}

async fn add_tasks(root: &ApiClient, name: &str) -> AcknowledgedWrites {
    let mut writes = AcknowledgedWrites::default();
    while let Ok(answer) = root.add_task(name).await
        && answer.is_ok()
    {
        writes.tasks.push(answer.body["info"]["task_id"].as_str().unwrap().to_owned());
    }
    writes
}

/// The parameters of a config call: the name of the item, and others.
fn parameters(key: &str, others: &[(&str, Value)]) -> Value {
    let name = NAME.into_iter().chain([("key", key)]).map(|(name, text)| (name, json!(text)));
    Value::Object(name.chain(others.iter().cloned()).map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Writes version after version of one item, and publishes every third.
async fn write_item(root: &ApiClient, key: &str) -> AcknowledgedWrites {
    let mut writes = AcknowledgedWrites::default();
    let mut id = Value::Null;
    for version in 1.. {
        let path = if version == 1 { "/config/create" } else { "/config/update" };
        let body = parameters(key, &[("value", json!(version.to_string()))]);
        let Some(written) = acknowledged(root, path, body).await else { break };
        writes.versions.insert(key.to_owned(), version);
        if version == 1 {
            id = written["data"].clone();
        }
        if version % 3 == 0 {
            if acknowledged(root, "/config/approve", parameters(key, &[])).await.is_none()
                || acknowledged(root, "/publish", json!({"id": id})).await.is_none()
            {
                break;
            }
            writes.published.insert(key.to_owned(), version);
        }
    }
    writes
}

async fn refresh(root: &ApiClient, name: &str) -> AcknowledgedWrites {
    let mut writes = AcknowledgedWrites::default();
    let body = json!({"login_email": MAIL, "path": format!("http://a.test/{name}|http://a.test/")});
    while let Some(queued) = acknowledged(root, "/level3/refresh", body.clone()).await {
        writes.jobs.push(queued["results"][0]["taskid"].as_str().unwrap().to_owned());
    }
    writes
}

/// Asserts that every acknowledged write is stored. Anything else in the store was written by a request that was not
/// answered, and must be complete.
pub(crate) async fn assert_stored(root: &ApiClient, writes: &AcknowledgedWrites) {
    let tasks = root.all("/api/task").await;
    let statuses = root.all("/api/task_status").await;
    let (tasks, statuses) = (by_task_id(&tasks), by_task_id(&statuses));
    for id in &writes.tasks {
        assert!(tasks.contains_key(id.as_str()), "task {id} was acknowledged and is lost");
    }
    assert_eq!(tasks.len(), statuses.len());
    for (id, task) in &tasks {
        assert!(statuses.contains_key(id), "half a transaction: {task} has no status");
    }
    assert_items_stored(root, writes).await;
    for id in &writes.jobs {
        let job = root.get(&format!("/level3/task?taskid={id}")).await;
        assert!(job.is_ok(), "job {id} was acknowledged and is lost: {job:?}");
        assert_eq!(job.body["results"].as_array().unwrap().len(), 2, "half a job: {job:?}");
    }
}

async fn assert_items_stored(root: &ApiClient, writes: &AcknowledgedWrites) {
    let items = root.post("/config/query", json!({"app": NAME[0].1, "profile": NAME[1].1})).await.ok();
    let items: HashMap<&str, &Value> =
        items["data"].as_array().unwrap().iter().map(|item| (item["Key"].as_str().unwrap(), item)).collect();
    for (key, acknowledged) in &writes.versions {
        let item = items.get(key.as_str());
        let item = item.unwrap_or_else(|| panic!("{key} was acknowledged and is lost"));
        let current = item["Version"].as_i64().unwrap();
        assert!((*acknowledged..=acknowledged + 1).contains(&current), "{key} at {acknowledged}: {item}");
        assert_eq!(item["Value"], current.to_string());
        let published = item["PublishedVersion"].as_i64().unwrap();
        assert!(
            published >= writes.published.get(key).copied().unwrap_or(0),
            "{key} is not published: {item}"
        );
        assert_eq!(
            item["PublishedValue"],
            if published == 0 { String::new() } else { published.to_string() }
        );

        let history = root.post("/config/history", parameters(key, &[])).await.ok();
        let history: Vec<(i64, &str)> = history["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row["Version"].as_i64().unwrap(), row["Value"].as_str().unwrap()))
            .collect();
        let texts: Vec<String> = (1..=current).map(|version| version.to_string()).collect();
        let whole: Vec<(i64, &str)> = (1..).zip(texts.iter().map(String::as_str)).collect();
        assert!(history.iter().rev().eq(&whole), "the history of {key} has a gap: {history:?}");
    }
}

fn by_task_id(rows: &[Value]) -> HashMap<&str, &Value> {
    let by_id: HashMap<_, _> = rows.iter().map(|row| (row["task_id"].as_str().unwrap(), row)).collect();
    assert_eq!(by_id.len(), rows.len(), "a task is listed twice");
    by_id
}
