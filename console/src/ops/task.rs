//! `/tasks/{id}`: a task as it goes on, and orders for its agent.

use askama::Template;
use axum::response::Response;
use pilothouse_core::account::Group;
use pilothouse_core::ops::{FileOrder, MachineNumber, OrderView, TaskId, TaskView};
use pilothouse_core::{Error, ErrorKind};
use serde::Deserialize;

use crate::failure::{Answer, Failure};
use crate::form::{Form, Segments};
use crate::live::{Fragment, still_in, stream};
use crate::page::{Page, Visitor, html};

#[derive(Template)]
#[template(path = "task.html")]
struct TaskPage {
    page: Page,
    view: TaskView,
    body: String,
    /// Demands that the order's state allows, for a holder of group 3.
    demands: Vec<&'static str>,
    may_delete: bool,
}

/// Part of the page that changes while the task goes on.
#[derive(Template)]
#[template(path = "task_live.html")]
struct Live {
    page: Page,
    view: TaskView,
    order: Option<OrderView>,
}

/// Result of a plan, as agents report it.
#[derive(Deserialize)]
pub(super) struct Plan {
    /// `create`, `replace` or `nothing`.
    pub(super) action: String,
    pub(super) from: FileRights,
    pub(super) to: FileRights,
}

/// Size and rights of a file; nothing of one that is not there.
#[derive(Deserialize)]
pub(super) struct FileRights {
    pub(super) size: Option<u64>,
    pub(super) mode: Option<String>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

impl Plan {
    /// The plan that an order holds; `None` where it has none, or one of a later version.
    pub(super) fn of(order: &FileOrder) -> Option<Self> {
        serde_json::from_str(&order.plan).ok()
    }
}

async fn find(visitor: &Visitor, id: TaskId) -> Result<TaskView, Failure> {
    let view = visitor.pilothouse().tasks().find_view(&visitor.caller, id).await?;
    Ok(view.ok_or_else(|| Error::not_found("the task"))?)
}

/// The order of a task; `None` of a task without a content, which has none.
async fn order(visitor: &Visitor, id: TaskId) -> Result<Option<OrderView>, Failure> {
    match visitor.pilothouse().updates().find(&visitor.caller, id, None, 0).await {
        Ok(order) => Ok(Some(order)),
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Demands that the caller may make on an order in its present state.
fn demands(visitor: &Visitor, view: &OrderView) -> Vec<&'static str> {
    let OrderView { order, content, .. } = view;
    let now = visitor.pilothouse().clock().now();
    let machine = order.machine.unwrap_or(MachineNumber::UNSAVED);
    let demands = [
        ("execute", order.execute(machine, content, now).is_ok()),
        ("retry", order.retry(machine, content, now).is_ok()),
        ("plan", order.plan(machine, content, now).is_ok()),
        ("cancel", order.cancel().is_ok()),
        ("revert", order.revert(content, false, now).is_ok()),
    ];
    demands.into_iter().filter(|(_, is_allowed)| *is_allowed).map(|(demand, _)| demand).collect()
}

async fn live(visitor: &Visitor, id: TaskId) -> Result<Fragment, Failure> {
    let view = find(visitor, id).await?;
    let order = order(visitor, id).await?;
    let page = visitor.page("").await?;
    let html = Live { page, view, order }.render()?;
    // A task that has ended may be undone, so nothing is final.
    Ok(Fragment { html, is_final: false })
}

/// The page.
pub(crate) async fn get_task(visitor: Visitor, Segments(id): Segments<String>) -> Answer {
    let id: TaskId = id.parse()?;
    let view = find(&visitor, id).await?;
    let body = live(&visitor, id).await?.html;
    let order = order(&visitor, id).await?.filter(|_| visitor.caller.holds(Group::ExecuteTasks));
    let demands = order.map(|order| demands(&visitor, &order)).unwrap_or_default();
    let may_delete = visitor.caller.holds(Group::WriteTasks);
    let page = visitor.page(format!("{} {}", view.task.ip, view.task.content)).await?;
    html(&TaskPage { page, view, body, demands, may_delete })
}

/// The task as it goes on.
pub(crate) async fn get_live(visitor: Visitor, Segments(id): Segments<String>) -> Result<Response, Failure> {
    let id: TaskId = id.parse()?;
    find(&visitor, id).await?;
    let console = visitor.visit.console.clone();
    let visitor = std::sync::Arc::new(visitor);
    Ok(stream(&console, move || {
        let visitor = visitor.clone();
        Box::pin(async move {
            still_in(&visitor).await?;
            live(&visitor, id).await
        })
    }))
}

/// A demand by its name in the API.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Demand {
    demand: String,
}

/// Asks something of the order of a task.
pub(crate) async fn post_order(
    visitor: Visitor,
    Segments(id): Segments<String>,
    Form(form): Form<Demand>,
) -> Answer {
    let task: TaskId = id.parse()?;
    let (updates, caller) = (visitor.pilothouse().updates(), &visitor.caller);
    match &*form.demand {
        "execute" => updates.execute(caller, task).await?,
        "retry" => updates.retry(caller, task).await?,
        "plan" => updates.plan(caller, task).await?,
        "cancel" => updates.cancel(caller, task).await?,
        "revert" => updates.revert(caller, task, false).await?,
        _ => {
            let reason = "must be execute, retry, plan, cancel or revert";
            return Err(Error::invalid("demand", reason).into());
        }
    };
    Ok(visitor.done(&format!("/tasks/{task}"), "queued"))
}

/// A form without fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Empty {}

/// Deletes a task.
pub(crate) async fn post_delete(
    visitor: Visitor,
    Segments(id): Segments<String>,
    Form(Empty {}): Form<Empty>,
) -> Answer {
    visitor.pilothouse().tasks().delete(&visitor.caller, id.parse()?).await?;
    Ok(visitor.done("/tasks", "deleted"))
}
