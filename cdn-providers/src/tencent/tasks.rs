//! Purge and preload tasks: made, asked about, and found again after a lost answer.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_core::ports::{
    Batch, CdnProvider as _, ItemState, Operation, ProviderError, RemoteTask, Submission, Submissions,
    TaskState,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AREAS, GLOBAL, Tencent, china_time, parse_china_time};
use crate::vendor::spelled;

/// Rows of a page, and most pages of one task that are read.
const PAGE: usize = 100;
const MAX_PAGES: usize = 50;
/// Time before the acceptance of a batch, and after the present, in which its task is looked for: clocks differ.
const AROUND: TimeDelta = TimeDelta::seconds(60);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    task_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TaskPage {
    total_count: usize,
    #[serde(alias = "PurgeLogs", alias = "PushLogs")]
    rows: Vec<TaskRow>,
}

/// One URL of a task.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TaskRow {
    task_id: String,
    url: String,
    status: String,
    create_time: String,
    #[serde(default)]
    percent: Option<u8>,
}

impl TaskRow {
    fn state(&self) -> ItemState {
        match self.status.as_str() {
            "done" => ItemState::Done,
            "fail" => ItemState::Failed("the vendor says that it failed".to_owned()),
            "invalid" => ItemState::Refused("the origin answered with an error".to_owned()),
            _ => ItemState::Running(self.percent),
        }
    }
}

/// URL as it is sent, and as rows have it.
fn sent(url: &str) -> Result<String, ProviderError> {
    Ok(spelled(url)?.to_string())
}

impl Tencent {
    pub(super) async fn submit_task(&self, batch: &Batch) -> Result<Submissions, ProviderError> {
        let urls: Vec<_> = batch.items.iter().map(|item| sent(&item.url)).collect();
        let good: Vec<_> = urls.iter().filter_map(|url| url.as_ref().ok()).collect();
        if good.is_empty() {
            return Ok(urls.into_iter().map(|url| url.map(|_| Submission::Done)).collect());
        }
        let (action, body) = match batch.operation {
            Operation::PurgeUrls => ("PurgeUrlsCache", json!({"Urls": good})),
            Operation::PurgePrefixes => ("PurgePathCache", json!({"Paths": good, "FlushType": "delete"})),
            Operation::Preload => ("PushUrlsCache", json!({"Urls": good, "Area": area(batch)})),
            operation => return Err(self.unsupported(operation.as_str())),
        };
        let made: Made = self.api.act(action, &body).await?;
        let task = |_| Submission::Running(made.task_id.clone());
        Ok(urls.into_iter().map(|url| url.map(task)).collect())
    }

    /// Rows of a task list, all pages of them.
    async fn task_rows(&self, operation: Operation, filter: &Value) -> Result<Vec<TaskRow>, ProviderError> {
        let (action, kind) = match operation {
            Operation::Preload => ("DescribePushTasks", None),
            Operation::PurgePrefixes => ("DescribePurgeTasks", Some("path")),
            _ => ("DescribePurgeTasks", Some("url")),
        };
        let mut rows: Vec<TaskRow> = Vec::new();
        for _ in 0..MAX_PAGES {
            let mut asked = filter.clone();
            asked["Offset"] = rows.len().into();
            asked["Limit"] = PAGE.into();
            if let Some(kind) = kind {
                asked["PurgeType"] = kind.into();
            }
            let page: TaskPage = self.api.read(action, &asked).await?;
            let is_last = page.rows.is_empty() || rows.len() + page.rows.len() >= page.total_count;
            rows.extend(page.rows);
            if is_last {
                break;
            }
        }
        Ok(rows)
    }

    /// Number of a purge's rows in a state; `None` where the vendor shows others.
    async fn count(&self, task: &RemoteTask, status: &str) -> Result<Option<usize>, ProviderError> {
        let asked = json!({"TaskId": task.id, "Status": status, "Offset": 0, "Limit": 1});
        let page: TaskPage = self.api.read("DescribePurgeTasks", &asked).await?;
        let is_asked = page.rows.iter().all(|row| row.status == status && row.task_id == task.id);
        Ok(is_asked.then_some(page.total_count))
    }

    /// State of a purge of more URLs than a page, by the number of its rows in a state: reading them takes many calls. `None`
    /// where they have to be read, since some failed, or not all are known.
    async fn counted_state(&self, task: &RemoteTask) -> Result<Option<TaskState>, ProviderError> {
        let urls = task.items.len();
        if task.operation == Operation::Preload || urls <= PAGE {
            return Ok(None);
        }
        // A row for each area.
        let rows = if task.group == GLOBAL { urls * AREAS.len() } else { urls };
        let Some(done) = self.count(task, "done").await? else { return Ok(None) };
        if done >= rows {
            return Ok(Some(vec![ItemState::Done; urls]));
        }
        let running = self.count(task, "process").await?;
        let state = ItemState::Running(u8::try_from(done * 100 / rows).ok());
        Ok(running.filter(|running| *running > 0).map(|_| vec![state; urls]))
    }

    pub(super) async fn task_state(&self, task: &RemoteTask) -> Result<TaskState, ProviderError> {
        if let Some(states) = self.counted_state(task).await? {
            return Ok(states);
        }
        let rows = self.task_rows(task.operation, &json!({"TaskId": task.id})).await?;
        let mut states: HashMap<String, ItemState> = HashMap::new();
        for row in rows.iter().filter(|row| row.task_id == task.id) {
            let state = row.state();
            match states.get_mut(&row.url) {
                // A row for each area: one that is under way or failed counts for both.
                Some(ItemState::Done) | None => {
                    states.insert(row.url.clone(), state);
                }
                Some(_) => {}
            }
        }
        let state = |url: &String| {
            let known = sent(url).ok().and_then(|url| states.get(&url).cloned());
            known.unwrap_or(ItemState::Unknown)
        };
        Ok(task.items.iter().map(state).collect())
    }

    /// Looks for the task of a batch by its URLs, one after the other. If the batch was taken, all its URLs are in one task;
    /// so the first URL that is in none says that it was not.
    pub(super) async fn find_tasks(&self, batch: &Batch) -> Result<Vec<Option<String>>, ProviderError> {
        let urls: Vec<_> = batch.items.iter().map(|item| sent(&item.url).ok()).collect();
        let wanted: HashSet<&String> = urls.iter().flatten().collect();
        let mut found: HashMap<String, String> = HashMap::new();
        for url in urls.iter().flatten() {
            if found.contains_key(url) {
                continue;
            }
            let Some(task) = self.find_task(batch, url, &wanted).await? else { break };
            for row in self.task_rows(batch.operation, &json!({"TaskId": task})).await? {
                if wanted.contains(&row.url) {
                    found.entry(row.url).or_insert_with(|| task.clone());
                }
            }
            found.entry(url.clone()).or_insert(task);
        }
        Ok(urls.into_iter().map(|url| url.and_then(|url| found.get(&url).cloned())).collect())
    }

    /// Newest task with a URL that was made after the batch was accepted. Times of the vendor are whole seconds: one of the
    /// same second counts only if it has no URL besides the batch's, so that it is hardly another's.
    async fn find_task(
        &self,
        batch: &Batch,
        url: &str,
        wanted: &HashSet<&String>,
    ) -> Result<Option<String>, ProviderError> {
        let (from, until) = (batch.accepted_at - AROUND, self.clock.now() + AROUND);
        let filter = json!({"StartTime": china_time(from), "EndTime": china_time(until), "Keyword": url});
        let mut rows = self.task_rows(batch.operation, &filter).await?;
        rows.retain(|row| row.url == url);
        rows.sort_by(|one, other| other.create_time.cmp(&one.create_time));
        for row in rows {
            let Some(made) = parse_china_time(&row.create_time) else { continue };
            if made > batch.accepted_at {
                return Ok(Some(row.task_id));
            }
            if is_same_second(made, batch.accepted_at) {
                let rows = self.task_rows(batch.operation, &json!({"TaskId": row.task_id})).await?;
                if rows.iter().all(|row| wanted.contains(&row.url)) {
                    return Ok(Some(row.task_id));
                }
            }
        }
        Ok(None)
    }
}

fn is_same_second(one: DateTime<Utc>, other: DateTime<Utc>) -> bool {
    one.timestamp() == other.timestamp()
}

/// Area of a preload, which is in the mainland alone where none is given.
fn area(batch: &Batch) -> &str {
    if batch.group.is_empty() { GLOBAL } else { &batch.group }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_both_lists_are_read() {
        let page = r#"{"TotalCount":1,"PushLogs":[{"TaskId":"1-a","Url":"https://a.test/","Status":"process",
            "Percent":37,"CreateTime":"2026-07-26 01:20:00","UpdateTime":null,"Area":"mainland"}]}"#;
        let page: TaskPage = serde_json::from_str(page).unwrap();
        assert_eq!(page.rows[0].state(), ItemState::Running(Some(37)));
        let page = r#"{"TotalCount":1,"PurgeLogs":[{"TaskId":"1-a","Url":"https://a.test/","Status":"fail",
            "PurgeType":"url","FlushType":"","CreateTime":"2026-07-26 01:20:00"}]}"#;
        let page: TaskPage = serde_json::from_str(page).unwrap();
        assert!(matches!(page.rows[0].state(), ItemState::Failed(_)));
    }
}
