//! `/`: what wants to be looked at, of what the caller may see.

use askama::Template;
use pilothouse_core::account::{Group, Scope};
use pilothouse_core::cdn::{EdgeInfo, EdgeState, JobQuery, JobRequest, JobState};
use pilothouse_core::config::App;
use pilothouse_core::ops::{Status, TaskFilter, TaskView};
use pilothouse_core::{Order, Page as Rows};

use crate::failure::{Answer, Failure};
use crate::page::{Page, Visitor, html};

/// The most rows of a part.
const ROWS: i64 = 8;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    page: Page,
    apps: Option<Vec<App>>,
    edges: Option<Edges>,
    failed_jobs: Option<Vec<JobRequest>>,
    running_jobs: Vec<JobRequest>,
    failed_tasks: Option<Vec<TaskView>>,
    running_tasks: Vec<TaskView>,
    is_cdn_customer: bool,
}

struct Edges {
    all: usize,
    out: Vec<EdgeInfo>,
}

/// The page; a part that the caller may not see is not there.
pub(crate) async fn get_overview(visitor: Visitor) -> Answer {
    let page = visitor.page(visitor.t.overview).await?;
    let (pilothouse, caller) = (visitor.pilothouse(), &visitor.caller);
    let apps = if caller.scope == Scope::Cdn { None } else { Some(pilothouse.apps().list(caller).await?) };
    let is_operator = caller.holds(Group::Cdn);
    let (mut edges, mut failed_jobs, mut running_jobs) = (None, None, Vec::new());
    if is_operator {
        edges = Some(edges_of(&visitor).await?);
        failed_jobs = Some(jobs(&visitor, JobState::Failed).await?);
        running_jobs = jobs(&visitor, JobState::Pending).await?;
    }
    let (mut failed_tasks, mut running_tasks) = (None, Vec::new());
    if caller.holds(Group::ReadTasks) {
        failed_tasks = Some(tasks(&visitor, Status::Failed).await?);
        running_tasks = tasks(&visitor, Status::Running).await?;
    }
    let is_cdn_customer = pilothouse.customers().own(caller).await?.is_some();
    html(&Overview {
        page,
        apps,
        edges,
        failed_jobs,
        running_jobs,
        failed_tasks,
        running_tasks,
        is_cdn_customer,
    })
}

fn newest() -> Rows {
    Rows { order: Order::Newest, ..Rows::at(0, ROWS) }
}

async fn edges_of(visitor: &Visitor) -> Result<Edges, Failure> {
    let mut all = Vec::new();
    for cdn in visitor.pilothouse().cdns().list(&visitor.caller).await? {
        all.extend(visitor.pilothouse().edges().list(&visitor.caller, &cdn.name).await?);
    }
    let count = all.len();
    all.retain(|info| info.edge.state != EdgeState::InService);
    Ok(Edges { all: count, out: all })
}

async fn jobs(visitor: &Visitor, state: JobState) -> Result<Vec<JobRequest>, Failure> {
    let query = JobQuery { state: Some(state), ..JobQuery::default() };
    Ok(visitor.pilothouse().jobs().list_all(&visitor.caller, &query, newest()).await?.rows)
}

async fn tasks(visitor: &Visitor, status: Status) -> Result<Vec<TaskView>, Failure> {
    let filter = TaskFilter { outcome: Some(status), ..TaskFilter::default() };
    Ok(visitor.pilothouse().tasks().list_views(&visitor.caller, &filter, newest()).await?.rows)
}
