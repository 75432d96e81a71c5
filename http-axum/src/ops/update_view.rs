//! `/api/update`, to look: how far orders and batches have come.

use std::collections::BTreeMap;

use axum::extract::State;
use pilothouse_core::Error;
use pilothouse_core::ops::{Batch, BatchView, OrderView, Phase, Sha256Digest, StateView};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Info, Reply, info};
use crate::optional_member::selector;
use crate::state::ApiState;

/// Order, batch or state to look at: exactly one of `task_id`, `batch` and `state`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UpdateQuery {
    /// The task: a UUID in any spelling.
    #[serde(default, deserialize_with = "selector")]
    #[param(max_length = 45, example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: Option<String>,
    /// The batch: a UUID in any spelling.
    #[serde(default, deserialize_with = "selector")]
    #[param(max_length = 45, example = "6f1d0a6cc78f5211e685855cf9389306")]
    batch: Option<String>,
    /// Orders and batches that are in this state.
    #[serde(default, deserialize_with = "selector")]
    #[param(max_length = 32, example = "running")]
    state: Option<String>,
    /// The most orders, and the most batches, of a `state`: the newest.
    #[serde(default, deserialize_with = "selector")]
    #[param(minimum = 1, maximum = 1000, default = 100, example = 10)]
    count: Option<i64>,
    /// The `since` of an earlier answer: it is answered once there is something newer.
    #[serde(default, deserialize_with = "selector")]
    #[param(minimum = 0, example = 0)]
    since: Option<i64>,
    /// Seconds to wait for something newer than `since`.
    #[serde(default, deserialize_with = "selector")]
    #[param(minimum = 0, maximum = 60, default = 0, example = 0)]
    wait: Option<i64>,
}

/// Order of a task, and how far it has come.
#[derive(Serialize, ToSchema)]
pub(super) struct UpdateInfo {
    /// Task id: 32 hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{32}$", example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: String,
    /// Name of the machine that it is bound to; empty before the first order.
    #[schema(example = "web01")]
    machine: String,
    /// `pending`, `queued`, `running`, `succeeded`, `failed`, `cancelled`, `expired`, `unknown`, `conflict`, `reverting`,
    /// `reverted` or `revert_failed`.
    #[schema(example = "queued")]
    state: &'static str,
    /// `preflight`, `download`, `backup`, `stage`, `check`, `swap` or `confirm`; `null` before an agent has reported.
    #[schema(example = "preflight")]
    phase: Option<&'static str>,
    /// Why nobody has it yet; else empty.
    #[schema(example = "the machine has no agent")]
    reason: String,
    /// Progress of the attempt: 0 to 99, and 100 with success.
    #[schema(example = 0)]
    percent: i64,
    /// Number of the last attempt, from 1; 0 before.
    #[schema(example = 0)]
    attempt: i64,
    /// Instance of the agent that has it or had it last; empty before.
    #[schema(example = "")]
    agent: String,
    /// End of the lease in unix seconds; `null` where nobody has it.
    lease_until: Option<i64>,
    /// SHA-256 of the file that the update found.
    old_sha256: Option<String>,
    /// SHA-256 of the new content.
    new_sha256: String,
    /// SHA-256 of the file as the agent saw it last.
    observed_sha256: Option<String>,
    /// Cause of a failure, or a warning beside a success.
    #[schema(example = "")]
    message: String,
    /// Grows with every change; the `since` to wait with.
    #[schema(example = 1)]
    since: i64,
    /// Output of commands.
    #[schema(example = "")]
    log: String,
    /// Outcome of the last plan, as JSON text; empty before.
    #[schema(example = "")]
    plan: String,
}

impl From<OrderView> for UpdateInfo {
    fn from(view: OrderView) -> Self {
        let OrderView { order, content, machine, reason } = view;
        let text = |digest: Option<Sha256Digest>| digest.map(|one| one.to_string());
        Self {
            task_id: order.task_id.to_string(),
            machine,
            state: order.state.as_str(),
            phase: order.phase.map(Phase::as_str),
            reason,
            percent: order.percent,
            attempt: order.attempt,
            agent: order.instance,
            lease_until: order.lease_until.map(|end| end.timestamp()),
            old_sha256: text(order.old_sha256),
            new_sha256: content.sha256.to_string(),
            observed_sha256: text(order.observed_sha256),
            message: order.message,
            since: order.version,
            log: order.log,
            plan: order.plan,
        }
    }
}

/// Batch, without its tasks.
#[derive(Serialize, ToSchema)]
pub(super) struct BatchInfo {
    /// Batch id: 32 hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{32}$", example = "6f1d0a6cc78f5211e685855cf9389306")]
    batch: String,
    /// `pending`, `running`, `paused`, `held`, `succeeded`, `failed`, `cancelled`, `reverting`, `reverted` or
    /// `revert_failed`.
    #[schema(example = "running")]
    state: &'static str,
    /// Time it was added in unix seconds.
    #[schema(example = 1_480_471_675)]
    create_time: i64,
    /// Machines that must succeed before the others begin.
    #[schema(example = 1)]
    canary: i64,
    /// The most machines at work at the same time, after the canaries.
    #[schema(example = 10)]
    batch_size: i64,
    /// Failures at which it stops, besides those that were passed over when it was resumed.
    #[schema(example = 1)]
    max_failures: i64,
    /// `hold` or `revert`.
    #[schema(example = "hold")]
    on_stop: &'static str,
}

impl From<&Batch> for BatchInfo {
    fn from(batch: &Batch) -> Self {
        Self {
            batch: batch.batch_id.to_string(),
            state: batch.state.as_str(),
            create_time: batch.create_time.timestamp(),
            canary: batch.limits.canary,
            batch_size: batch.limits.batch_size,
            max_failures: batch.limits.max_failures,
            on_stop: batch.limits.on_stop.as_str(),
        }
    }
}

/// Batch with its tasks, and how far it has come.
#[derive(Serialize, ToSchema)]
pub(super) struct BatchProgress {
    /// The batch.
    #[serde(flatten)]
    batch: BatchInfo,
    /// Why it does not go on by itself; else empty.
    #[schema(example = "")]
    reason: String,
    /// Number of its tasks in each state; states without one are left out.
    #[schema(value_type = BTreeMap<String, i64>, example = json!({"queued": 1}))]
    counts: BTreeMap<&'static str, i64>,
    /// Failures so far, those that were passed over included.
    #[schema(example = 0)]
    failures: i64,
    /// Changes with every change of the batch or one of its tasks; the `since` to wait with.
    #[schema(example = 1)]
    since: i64,
    /// The orders of its tasks, by the number of the task, without `log`.
    tasks: Vec<UpdateInfo>,
}

impl From<BatchView> for BatchProgress {
    fn from(view: BatchView) -> Self {
        let BatchView { batch, reason, counts, failures, since, rows } = view;
        let counts = counts.into_iter().map(|(state, number)| (state.as_str(), number)).collect();
        let tasks = rows.into_iter().map(UpdateInfo::from).collect();
        Self { batch: (&batch).into(), reason, counts, failures, since, tasks }
    }
}

/// What is in a state.
#[derive(Serialize, ToSchema)]
pub(super) struct InState {
    /// Orders, newest task first, without `log`.
    tasks: Vec<UpdateInfo>,
    /// Batches, newest first.
    batches: Vec<BatchInfo>,
}

impl From<StateView> for InState {
    fn from(StateView { orders, batches }: StateView) -> Self {
        let tasks = orders.into_iter().map(UpdateInfo::from).collect();
        Self { tasks, batches: batches.iter().map(BatchInfo::from).collect() }
    }
}

/// Order of a task, a batch, or what is in a state.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Progress {
    /// Of a task.
    Task(Box<UpdateInfo>),
    /// Of a batch.
    Batch(BatchProgress),
    /// Of a state.
    State(InState),
}

/// Tells how far the order of a task or a batch has come, with `wait` and `since` once there is news; or what is in a state.
#[utoipa::path(
    get,
    path = "/api/update",
    tag = "ops",
    params(UpdateQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 1"))),
    responses((status = 200, description = "The order, the batch, or what is in the state.", body = Info<Progress>)),
)]
pub(super) async fn get_update(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<UpdateQuery>,
) -> Reply<Info<Progress>> {
    let UpdateQuery { task_id, batch, state, count, since, wait } = query;
    let (updates, batches) = (api.pilothouse.updates(), api.pilothouse.batches());
    if state.is_none() && count.is_some() {
        return Err(Error::invalid("count", "needs state").into());
    }
    info(match (task_id, batch, state) {
        (Some(task_id), None, None) => {
            let view = updates.find(&caller, task_id.parse()?, since, wait.unwrap_or(0)).await?;
            Progress::Task(Box::new(view.into()))
        }
        (None, Some(batch), None) => {
            let view = batches.find(&caller, batch.parse()?, since, wait.unwrap_or(0)).await?;
            Progress::Batch(view.into())
        }
        (None, None, Some(state)) => {
            if let Some(field) = wait.map(|_| "wait").or(since.map(|_| "since")) {
                return Err(Error::invalid(field, "needs task_id or batch").into());
            }
            Progress::State(batches.in_state(&caller, &state, count.unwrap_or(100)).await?.into())
        }
        _ => return Err(Error::invalid("task_id", "is required, or batch or state in its place").into()),
    })
}
