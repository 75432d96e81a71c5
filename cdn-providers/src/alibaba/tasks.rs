//! Tasks of Alibaba Cloud CDN: purges and preloads, their progress, and how one is found again.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::TimeDelta;
use pilothouse_core::ports::{
    Batch, CdnProvider as _, ItemState, Operation, Prefix, ProviderError, RemoteTask, Submission,
    Submissions, TaskState,
};

use super::answer::{PushAnswer, RefreshAnswer, Task, TaskPage, TasksById};
use super::api::stamp;
use super::{Alibaba, MAX_PAGES};
use crate::vendor::spelled;

/// Longest URL in bytes, escaped.
const MAX_URL: usize = 1024;
/// Most ids of one question about tasks.
const IDS_PER_CALL: usize = 10;
/// Rows of a page of tasks.
const TASKS_PER_PAGE: usize = 100;

impl Alibaba {
    pub(super) async fn submit_tasks(&self, batch: &Batch) -> Result<Submissions, ProviderError> {
        let paths: Vec<_> = batch.items.iter().map(|item| object_path(batch.operation, &item.url)).collect();
        let accepted: Vec<_> = paths.iter().filter_map(|path| path.as_deref().ok()).collect();
        let ids = if accepted.is_empty() {
            String::new()
        } else {
            self.make(batch.operation, &accepted.join("\n")).await?
        };
        // Several ids are one name: which URL is in which of them is not said, and only matters when they are asked about.
        let submitted = paths.into_iter().map(|path| path.map(|_| Submission::Running(ids.clone())));
        Ok(submitted.collect())
    }

    /// Makes tasks of paths on lines of their own; returns their ids joined by commas.
    async fn make(&self, operation: Operation, paths: &str) -> Result<String, ProviderError> {
        let path = ("ObjectPath", paths);
        let ids = match operation {
            Operation::PurgeUrls => {
                let form = [path, ("ObjectType", "File")];
                self.api.act::<RefreshAnswer>("RefreshObjectCaches", &form).await?.refresh_task_id
            }
            Operation::PurgePrefixes => {
                // Without Force, only what has changed at the origin would be dropped.
                let form = [path, ("ObjectType", "Directory"), ("Force", "true")];
                self.api.act::<RefreshAnswer>("RefreshObjectCaches", &form).await?.refresh_task_id
            }
            Operation::Preload => self.api.act::<PushAnswer>("PushObjectCache", &[path]).await?.push_task_id,
            _ => return Err(self.unsupported(operation.as_str())),
        };
        if ids.trim().is_empty() {
            return Err(ProviderError::Ambiguous("the vendor's answer names no task".to_owned()));
        }
        Ok(ids.trim().to_owned())
    }

    pub(super) async fn poll_tasks(&self, tasks: &[RemoteTask]) -> Result<Vec<TaskState>, ProviderError> {
        let ids: BTreeSet<_> = tasks.iter().flat_map(|task| task.id.split(',')).map(str::trim).collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let mut rows: HashMap<String, Vec<Task>> = HashMap::new();
        for ids in ids.chunks(IDS_PER_CALL) {
            let ids = ids.join(",");
            let answer: TasksById =
                self.api.read("DescribeRefreshTaskById", &[("TaskId", ids.as_str())]).await?;
            for row in answer.tasks {
                rows.entry(row.task_id.clone()).or_default().push(row);
            }
        }
        Ok(tasks.iter().map(|task| states(task, &rows)).collect())
    }

    pub(super) async fn find_tasks(&self, batch: &Batch) -> Result<Vec<Option<String>>, ProviderError> {
        let kind = match batch.operation {
            Operation::PurgeUrls => "file",
            Operation::PurgePrefixes => "directory",
            Operation::Preload => "preload",
            operation => return Err(self.unsupported(operation.as_str())),
        };
        // The vendor's times are whole seconds, and its clock decides what is new: the end is left some room.
        let (from, to) = (stamp(batch.accepted_at), stamp(self.api.clock.now() + TimeDelta::minutes(1)));
        let mut rows = Vec::new();
        for page in 1..=MAX_PAGES {
            let (page, size) = (page.to_string(), TASKS_PER_PAGE.to_string());
            let query = [
                ("ObjectType", kind),
                ("DomainName", &batch.group),
                ("StartTime", &from),
                ("EndTime", &to),
                ("PageNumber", &page),
                ("PageSize", &size),
            ];
            let answer: TaskPage = self.api.read("DescribeRefreshTasks", &query).await?;
            let is_last = answer.tasks.rows.is_empty();
            rows.extend(answer.tasks.rows);
            if is_last || rows.len() >= answer.total_count {
                break;
            }
        }
        Ok(ids(batch, &rows))
    }
}

/// URL as the vendor takes it.
fn object_path(operation: Operation, url: &str) -> Result<String, ProviderError> {
    if operation == Operation::PurgePrefixes {
        Prefix::Directory
            .check(url)
            .map_err(|reason| ProviderError::Refused(format!("the vendor {reason}")))?;
    }
    let path = spelled(url)?.to_string();
    if path.len() > MAX_URL {
        let reason = format!("the vendor takes URLs of at most {MAX_URL} bytes");
        return Err(ProviderError::Refused(reason));
    }
    Ok(path)
}

/// Id of the task of each item that was made after the batch was accepted. The vendor's times are whole seconds: a task of the
/// same second counts only if it has no URL but the batch's, so that it is the batch's own.
fn ids(batch: &Batch, rows: &[Task]) -> Vec<Option<String>> {
    let paths: Vec<_> = batch.items.iter().map(|item| object_path(batch.operation, &item.url).ok()).collect();
    let wanted: HashSet<_> = paths.iter().flatten().collect();
    let accepted = batch.accepted_at.timestamp();
    let others: HashSet<_> = rows
        .iter()
        .filter(|row| row.creation_time.timestamp() == accepted && !wanted.contains(&row.object_path))
        .map(|row| &row.task_id)
        .collect();
    let counts = |row: &&Task| {
        let made = row.creation_time.timestamp();
        made > accepted || (made == accepted && !others.contains(&row.task_id))
    };
    let by_path: HashMap<_, _> =
        rows.iter().filter(counts).map(|row| (&row.object_path, &row.task_id)).collect();
    paths.iter().map(|path| by_path.get(path.as_ref()?).map(|id| (*id).clone())).collect()
}

/// States of a task's items by the rows of its ids.
fn states(task: &RemoteTask, rows: &HashMap<String, Vec<Task>>) -> TaskState {
    let rows: Vec<_> = task.id.split(',').filter_map(|id| rows.get(id.trim())).flatten().collect();
    // Where the vendor spells a URL otherwise, its state is still known if all rows have the same.
    let common = rows.first().map(|row| row.state());
    let common = common.filter(|state| rows.iter().all(|row| row.state() == *state));
    let of = |url: &String| {
        let path = object_path(task.operation, url).ok()?;
        rows.iter().find(|row| row.object_path == path).map(|row| row.state())
    };
    let state = |url| of(url).or_else(|| common.clone()).unwrap_or(ItemState::Unknown);
    task.items.iter().map(state).collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use pilothouse_core::ports::Purge;

    use super::*;

    fn row(id: &str, path: &str, status: &str) -> Task {
        let (task_id, object_path, status) = (id.to_owned(), path.to_owned(), status.to_owned());
        let (process, description) = ("50%".to_owned(), String::new());
        Task { task_id, object_path, status, process, creation_time: DateTime::UNIX_EPOCH, description }
    }

    fn states_of(id: &str, items: &[&str], rows: &[Task]) -> TaskState {
        let mut by_id: HashMap<String, Vec<Task>> = HashMap::new();
        for row in rows {
            by_id.entry(row.task_id.clone()).or_default().push(row.clone());
        }
        let task = RemoteTask {
            id: id.to_owned(),
            operation: Operation::PurgeUrls,
            group: "a.example.com".to_owned(),
            items: items.iter().map(|url| (*url).to_owned()).collect(),
            accepted_at: DateTime::UNIX_EPOCH,
        };
        states(&task, &by_id)
    }

    #[test]
    fn of_the_batch_s_second_only_its_own_tasks_count() {
        let row = |id: &str, path: &str, second: i64| Task {
            creation_time: DateTime::from_timestamp(second, 0).unwrap(),
            ..row(id, &format!("https://a.example.com/{path}"), "Pending")
        };
        let item = |path: &str| Purge { url: format!("https://a.example.com/{path}"), stamp: 1 };
        let batch = Batch {
            id: "1".to_owned(),
            operation: Operation::PurgeUrls,
            edge: "aliyun".to_owned(),
            group: "a.example.com".to_owned(),
            items: vec![item("1"), item("2")],
            accepted_at: DateTime::from_timestamp_millis(100_500).unwrap(),
        };
        let own = [row("own", "1", 100), row("own", "2", 100)];
        assert_eq!(ids(&batch, &own), [Some("own".to_owned()), Some("own".to_owned())]);
        let of_another = [row("other", "1", 100), row("other", "3", 100), row("old", "2", 99)];
        assert_eq!(ids(&batch, &of_another), [None, None]);
        let later = [row("later", "1", 101), row("later", "3", 101)];
        assert_eq!(ids(&batch, &later), [Some("later".to_owned()), None]);
    }

    #[test]
    fn an_item_s_row_is_found_in_whichever_task_has_it() {
        let rows = [
            row("1", "https://a.example.com/1", "Complete"),
            row("2", "https://a.example.com/%E4%B8%AD", "Refreshing"),
            row("3", "https://a.example.com/2", "Complete"),
        ];
        let urls = ["https://a.example.com/中", "https://a.example.com/1", "https://a.example.com/2"];
        let running = ItemState::Running(Some(50));
        assert_eq!(states_of("1, 2", &urls, &rows), [running, ItemState::Done, ItemState::Unknown]);
        assert_eq!(states_of("4", &urls[..1], &rows), [ItemState::Unknown]);
    }

    #[test]
    fn a_url_that_the_vendor_spells_otherwise_has_the_state_that_all_have() {
        let rows = [row("1", "https://a.example.com/中", "Complete")];
        assert_eq!(states_of("1", &["https://a.example.com/中"], &rows), [ItemState::Done]);
    }

    #[test]
    fn what_the_vendor_cannot_take_is_refused_before_it_is_sent() {
        let long = format!("https://a.example.com/{}", "x".repeat(MAX_URL));
        for (operation, url, expected) in [
            (Operation::PurgeUrls, long.as_str(), "at most 1024 bytes"),
            (Operation::PurgePrefixes, "https://a.example.com/img-*", "/*"),
        ] {
            let Err(ProviderError::Refused(reason)) = object_path(operation, url) else {
                panic!("{url} must be refused")
            };
            assert!(reason.contains(expected), "{reason}");
        }
        let path = object_path(Operation::PurgePrefixes, "https://a.example.com/dir/*").unwrap();
        assert_eq!(path, "https://a.example.com/dir/");
    }
}
