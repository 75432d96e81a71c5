//! `/batches/{id}`: a batch as it goes on, machine by machine, and orders for it.

use std::borrow::Borrow;
use std::sync::Arc;

use askama::Template;
use axum::response::Response;
use pilothouse_core::Error;
use pilothouse_core::account::Group;
use pilothouse_core::ops::{
    Batch, BatchId, BatchLimits, BatchView, MachineNumber, OnStop, OrderState, OrderView,
};
use serde::Deserialize;

use crate::failure::{Answer, Failure};
use crate::form::{Form, Segments, filled};
use crate::live::{Fragment, still_in, stream};
use crate::ops::task::Plan;
use crate::page::{Page, Visitor, html};

/// The most machines of one page. Those that want to be looked at come first.
const ROWS: usize = 200;

#[derive(Template)]
#[template(path = "batch.html")]
struct BatchPage {
    page: Page,
    view: BatchView,
    path: String,
    description: String,
    body: String,
    /// Whether it may be executed, by a holder of group 3.
    may_execute: bool,
    limits: BatchLimits,
}

/// Part of the page that changes while the batch goes on.
#[derive(Template)]
#[template(path = "batch_live.html")]
struct Live {
    page: Page,
    view: BatchView,
    rows: Vec<OrderView>,
    more: usize,
    /// Canaries that have succeeded.
    canaries: i64,
    settled: i64,
    total: i64,
    /// Demands that its state allows, for a holder of group 3.
    demands: Vec<&'static str>,
}

/// Path that demands are sent to.
fn order_path(page: &Page, batch: &Batch) -> String {
    format!("{}/batches/{}/order", page.prefix, batch.batch_id)
}

impl Live {
    fn allows(&self, demand: &str) -> bool {
        self.demands.contains(&demand)
    }
}

/// Place of a machine in the list: what failed, what is at work, what waits, what is done.
fn urgency(state: OrderState) -> u8 {
    use OrderState::{Conflict, Expired, Failed, Queued, RevertFailed, Reverting, Running, Unknown};
    match state {
        Failed | Conflict | Expired | RevertFailed | Unknown => 0,
        Running | Reverting => 1,
        Queued => 2,
        OrderState::Pending => 3,
        _ => 4,
    }
}

/// Colour of a state.
fn chip(state: impl Borrow<OrderState>) -> &'static str {
    let state = *state.borrow();
    match urgency(state) {
        0 => "bad",
        1 | 2 => "warn",
        _ if state == OrderState::Succeeded => "good",
        _ => "",
    }
}

async fn find(visitor: &Visitor, id: BatchId) -> Result<BatchView, Failure> {
    Ok(visitor.pilothouse().batches().find(&visitor.caller, id, None, 0).await?)
}

async fn live(visitor: &Visitor, mut view: BatchView) -> Result<Fragment, Failure> {
    let demands = demands(visitor, &view);
    let mut rows = std::mem::take(&mut view.rows);
    let total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let is_open = |state: &OrderState| state.is_open() || *state == OrderState::Pending;
    let settled = view.counts.iter().filter(|(state, _)| !is_open(state)).map(|(_, count)| *count).sum();
    let succeeded = view.counts.get(&OrderState::Succeeded).copied().unwrap_or_default();
    let canaries = succeeded.min(view.batch.limits.canary);
    rows.sort_by_key(|row| urgency(row.order.state));
    let more = rows.len().saturating_sub(ROWS);
    rows.truncate(ROWS);
    let page = visitor.page("").await?;
    let html = Live { page, view, rows, more, canaries, settled, total, demands }.render()?;
    // A batch that has ended may be reverted, so nothing is final.
    Ok(Fragment { html, is_final: false })
}

/// Demands that the caller may make on a batch in its present state.
fn demands(visitor: &Visitor, view: &BatchView) -> Vec<&'static str> {
    if !visitor.caller.holds(Group::ExecuteTasks) {
        return Vec::new();
    }
    let now = visitor.pilothouse().clock().now();
    let mut demands = view.batch.demands();
    let can_plan = |row: &OrderView| {
        row.order.plan(row.order.machine.unwrap_or(MachineNumber::UNSAVED), &row.content, now).is_ok()
    };
    if view.rows.iter().any(can_plan) {
        demands.push("plan");
    }
    demands
}

/// The page.
pub(crate) async fn get_batch(visitor: Visitor, Segments(id): Segments<String>) -> Answer {
    let id: BatchId = id.parse()?;
    let view = find(&visitor, id).await?;
    let task = match view.rows.first() {
        Some(row) => visitor.pilothouse().tasks().find_view(&visitor.caller, row.order.task_id).await?,
        None => None,
    };
    let (path, description) = task.map(|view| (view.task.content, view.task.description)).unwrap_or_default();
    let may_execute = demands(&visitor, &view).contains(&"execute");
    let body = live(&visitor, view.clone()).await?.html;
    let page = visitor.page(format!("{} {path}", visitor.t.ops().batch)).await?;
    html(&BatchPage { page, view, path, description, body, may_execute, limits: BatchLimits::default() })
}

/// The batch as it goes on.
pub(crate) async fn get_live(visitor: Visitor, Segments(id): Segments<String>) -> Result<Response, Failure> {
    let id: BatchId = id.parse()?;
    find(&visitor, id).await?;
    let console = visitor.visit.console.clone();
    let visitor = Arc::new(visitor);
    Ok(stream(&console, move || {
        let visitor = visitor.clone();
        Box::pin(async move {
            still_in(&visitor).await?;
            let view = find(&visitor, id).await?;
            live(&visitor, view).await
        })
    }))
}

/// A demand by its name in the API, with the limits of an execution.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Demand {
    demand: String,
    #[serde(default)]
    canary: String,
    #[serde(default)]
    batch_size: String,
    #[serde(default)]
    max_failures: String,
    #[serde(default)]
    on_stop: String,
    #[serde(default)]
    force: bool,
}

impl Demand {
    fn limits(&self) -> Result<BatchLimits, Error> {
        let default = BatchLimits::default();
        let number = |field: &'static str, text: &str, default: i64| {
            let wrong = |_| Error::invalid(field, "must be a number");
            filled(text).map_or(Ok(default), |text| text.parse().map_err(wrong))
        };
        let on_stop = filled(&self.on_stop).map_or(Some(default.on_stop), OnStop::from_name);
        Ok(BatchLimits {
            canary: number("canary", &self.canary, default.canary)?,
            batch_size: number("batch_size", &self.batch_size, default.batch_size)?,
            max_failures: number("max_failures", &self.max_failures, default.max_failures)?,
            on_stop: on_stop.ok_or_else(|| Error::invalid("on_stop", "must be hold or revert"))?,
        })
    }
}

/// Asks something of a batch.
pub(crate) async fn post_order(
    visitor: Visitor,
    Segments(id): Segments<String>,
    Form(form): Form<Demand>,
) -> Answer {
    let batch: BatchId = id.parse()?;
    let (batches, caller) = (visitor.pilothouse().batches(), &visitor.caller);
    match &*form.demand {
        "execute" => batches.execute(caller, batch, form.limits()?).await?,
        "pause" => batches.pause(caller, batch).await?,
        "resume" => batches.resume(caller, batch).await?,
        "retry" => batches.retry(caller, batch).await?,
        "plan" => batches.plan(caller, batch).await?,
        "cancel" => batches.cancel(caller, batch).await?,
        "revert" => batches.revert(caller, batch, form.force).await?,
        _ => {
            let reason = "must be execute, pause, resume, retry, plan, cancel or revert";
            return Err(Error::invalid("demand", reason).into());
        }
    };
    Ok(visitor.done(&format!("/batches/{batch}"), "queued"))
}
