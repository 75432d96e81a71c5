//! Lists of release tasks, of their statuses, and of both joined, by one filter.

use std::net::IpAddr;

use super::{BatchId, Status, Task, TaskId, TaskStatus, Tasks};
use crate::account::{Caller, Group};
use crate::ports::Repositories;
use crate::{Listing, Page, Result, check_text};

/// A task and its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskView {
    /// The task.
    pub task: Task,
    /// Its status.
    pub status: TaskStatus,
}

/// Filter of a list of tasks; an absent field matches every task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only those for this machine.
    pub ip: Option<IpAddr>,
    /// Only those whose run has this [outcome](TaskStatus::outcome).
    pub outcome: Option<Status>,
    /// Only those of this command.
    pub action: Option<String>,
    /// Only those that hold this text in their content or description, letter by letter: 1 to 4096 bytes.
    pub text: Option<String>,
    /// Only those of this batch.
    pub batch: Option<BatchId>,
}

impl TaskFilter {
    /// The most tasks that a search for text looks at.
    pub const SEARCHED: i64 = 100_000;

    /// Whether a task passes.
    pub fn accepts(&self, TaskView { task, status }: &TaskView) -> bool {
        let Self { ip, outcome, action, text, batch } = self;
        ip.is_none_or(|ip| task.ip == ip)
            && outcome.is_none_or(|outcome| status.outcome() == outcome)
            && action.as_ref().is_none_or(|action| task.action == *action)
            && text.as_ref().is_none_or(|text| task.content.contains(text) || task.description.contains(text))
            && batch.is_none_or(|batch| task.batch == Some(batch))
    }
}

/// The page of a list that is read, and where a search that ends with it goes on.
#[derive(Clone, Copy, Debug)]
struct Scope {
    page: Page,
    /// Bounds of the ids that [`Page::total`] counts.
    counted: (i64, i64),
    search_before: Option<i64>,
}

impl Scope {
    /// A search reads the newest tasks before [`Page::before`] and no others, which bounds its cost.
    async fn of(repositories: &mut dyn Repositories, filter: &TaskFilter, page: Page) -> Result<Self> {
        let whole = Self { page, counted: (0, i64::MAX), search_before: None };
        let Some(text) = &filter.text else { return Ok(whole) };
        check_text("text", text, 1, 4096, false)?;
        let oldest = repositories.tasks().nth_before(page.before, TaskFilter::SEARCHED).await?;
        let start = oldest.map_or(0, |id| id.0);
        let search_before = Some(start).filter(|start| *start > page.start);
        let counted = (start, page.before);
        Ok(Self { page: Page { start: page.start.max(start), ..page }, counted, search_before })
    }

    async fn listing<T>(
        self,
        repositories: &mut dyn Repositories,
        filter: &TaskFilter,
        rows: Vec<T>,
    ) -> Result<Listing<T>> {
        let (start, before) = self.counted;
        let is_asked = self.page.total;
        let total =
            if is_asked { Some(repositories.tasks().count(filter, start, before).await?) } else { None };
        // A full page goes on from its own last row.
        let is_full = i64::try_from(rows.len()).unwrap_or(i64::MAX) == self.page.count;
        let search_before = self.search_before.filter(|_| !is_full);
        Ok(Listing { rows, total, search_before })
    }
}

impl Tasks<'_> {
    /// A page of tasks; needs group 1. A search for text looks at the newest [`TaskFilter::SEARCHED`] tasks before
    /// [`Page::before`], and says where to go on.
    pub async fn list(&self, caller: &Caller, filter: &TaskFilter, page: Page) -> Result<Listing<Task>> {
        self.0.require(caller, Group::ReadTasks)?;
        let mut snapshot = self.0.storage().peek().await?;
        let scope = Scope::of(snapshot.as_mut(), filter, page).await?;
        let rows = snapshot.tasks().list(filter, scope.page).await?;
        scope.listing(snapshot.as_mut(), filter, rows).await
    }

    /// A page of tasks with their statuses; needs group 1. Filter and search are those of [`Tasks::list`].
    pub async fn list_views(
        &self,
        caller: &Caller,
        filter: &TaskFilter,
        page: Page,
    ) -> Result<Listing<TaskView>> {
        self.0.require(caller, Group::ReadTasks)?;
        let mut snapshot = self.0.storage().peek().await?;
        let scope = Scope::of(snapshot.as_mut(), filter, page).await?;
        let rows = snapshot.tasks().list_views(filter, scope.page).await?;
        scope.listing(snapshot.as_mut(), filter, rows).await
    }

    /// A page of statuses, by the id of their task; needs group 1. Filter and search are those of [`Tasks::list`].
    pub async fn list_statuses(
        &self,
        caller: &Caller,
        filter: &TaskFilter,
        page: Page,
    ) -> Result<Listing<TaskStatus>> {
        Ok(self.list_views(caller, filter, page).await?.map(|view| view.status))
    }

    /// One task with its status, where there is one of that id; needs group 1.
    pub async fn find_view(&self, caller: &Caller, task_id: TaskId) -> Result<Option<TaskView>> {
        self.0.require(caller, Group::ReadTasks)?;
        let mut snapshot = self.0.storage().read().await?;
        let task = snapshot.tasks().find(task_id).await?;
        let status = snapshot.tasks().find_status(task_id).await?;
        Ok(task.zip(status).map(|(task, status)| TaskView { task, status }))
    }
}
