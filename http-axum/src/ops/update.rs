//! `/api/update`, to order: updates, reverts and plans of tasks with a content, and of batches.

use axum::extract::State;
use pilothouse_core::Error;
use pilothouse_core::ops::{BatchChanged, BatchId, BatchLimits, OnStop, TaskId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::args::{Action, Args};
use crate::caller::Auth;
use crate::envelope::{Info, Reply, info};
use crate::optional_member::selector;
use crate::state::ApiState;

/// Body of `/api/update`: one action on the order of a task, or on a batch.
#[derive(ToSchema)]
#[serde(tag = "action", content = "data", rename_all = "lowercase")]
#[expect(dead_code, reason = "the shape of an Action, for the document")]
pub(super) enum PostUpdate {
    /// Orders the update of a task that was not ordered yet, or begins to hand out the tasks of a batch.
    Execute(Execute),
    /// Orders that the old file comes back.
    Revert(RevertOf),
    /// Cancels before the file is replaced.
    Cancel(TaskOrBatch),
    /// Orders again what ended without success.
    Retry(TaskOrBatch),
    /// Asks the agents what the update would do.
    Plan(TaskOrBatch),
    /// Hands out no more tasks of a batch.
    Pause(OfBatch),
    /// Goes on with a batch that was paused, or held after too many failures.
    Resume(OfBatch),
}

/// Task or batch: exactly one.
#[derive(Deserialize, ToSchema)]
pub(super) struct TaskOrBatch {
    /// The task: a UUID in any spelling.
    #[serde(default, deserialize_with = "selector")]
    #[schema(max_length = 45, example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: Option<String>,
    /// The batch: a UUID in any spelling.
    #[serde(default, deserialize_with = "selector")]
    #[schema(max_length = 45)]
    batch: Option<String>,
}

/// Task to execute, or batch and the limits that it is rolled out by.
#[derive(Deserialize, ToSchema)]
pub(super) struct Execute {
    /// The task: a UUID in any spelling.
    #[serde(default, deserialize_with = "selector")]
    #[schema(max_length = 45, example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: Option<String>,
    /// The batch: a UUID in any spelling. The members below belong to it.
    #[serde(default, deserialize_with = "selector")]
    #[schema(max_length = 45)]
    batch: Option<String>,
    /// Machines that must succeed before the others begin, chosen among those online; by default 1.
    #[schema(minimum = 0, maximum = 1000)]
    canary: Option<i64>,
    /// The most machines at work at the same time, after the canaries; by default 10.
    #[schema(minimum = 1, maximum = 1000)]
    batch_size: Option<i64>,
    /// Failures at which it stops; by default 1.
    #[schema(minimum = 1, maximum = 1000)]
    max_failures: Option<i64>,
    /// `hold`, the default: nobody begins any more; or `revert`: the old files are put back.
    #[schema(pattern = "^(hold|revert)$")]
    on_stop: Option<String>,
}

/// Task or batch whose files are put back.
#[derive(Deserialize, ToSchema)]
pub(super) struct RevertOf {
    /// The task: a UUID in any spelling.
    #[serde(default, deserialize_with = "selector")]
    #[schema(max_length = 45, example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: Option<String>,
    /// The batch: a UUID in any spelling.
    #[serde(default, deserialize_with = "selector")]
    #[schema(max_length = 45)]
    batch: Option<String>,
    /// Whether a file that was changed since is overwritten; by default it is a conflict.
    #[schema(example = false)]
    force: Option<bool>,
}

/// Batch that is meant.
#[derive(Deserialize, ToSchema)]
pub(super) struct OfBatch {
    /// The batch: a UUID in any spelling.
    #[schema(max_length = 45, example = "6f1d0a6cc78f5211e685855cf9389306")]
    batch: String,
}

/// What an order is about.
enum Subject {
    Task(TaskId),
    Batch(BatchId),
}

impl Subject {
    fn of(task_id: Option<&str>, batch: Option<&str>) -> Result<Self, Error> {
        match (task_id, batch) {
            (Some(task_id), None) => task_id.parse().map(Self::Task),
            (None, Some(batch)) => batch.parse().map(Self::Batch),
            _ => Err(Error::invalid("data.task_id", "is required, or batch in its place")),
        }
    }
}

impl Execute {
    /// Limits of a batch; of a task none may be given.
    fn limits(&self, subject: &Subject) -> Result<BatchLimits, Error> {
        let Self { canary, batch_size, max_failures, on_stop, .. } = self;
        if matches!(subject, Subject::Task(_)) {
            let given = [
                ("canary", canary.is_some()),
                ("batch_size", batch_size.is_some()),
                ("max_failures", max_failures.is_some()),
                ("on_stop", on_stop.is_some()),
            ];
            if let Some((field, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
                return Err(Error::invalid(field, "needs batch"));
            }
        }
        let default = BatchLimits::default();
        let on_stop = on_stop.as_deref().map(|name| {
            OnStop::from_name(name).ok_or_else(|| Error::invalid("on_stop", "must be hold or revert"))
        });
        Ok(BatchLimits {
            canary: canary.unwrap_or(default.canary),
            batch_size: batch_size.unwrap_or(default.batch_size),
            max_failures: max_failures.unwrap_or(default.max_failures),
            on_stop: on_stop.transpose()?.unwrap_or(default.on_stop),
        })
    }
}

/// Tasks that an order is about, and the machines that they were resolved to.
#[derive(Serialize, ToSchema)]
pub(super) struct Ordered {
    /// The batch, where one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<String>,
    /// Ids of the tasks: 32 hexadecimal digits each. Of a batch that is executed, paused or resumed all of its tasks.
    #[schema(example = json!(["0358c3c78f5211e685855cf9389306a2"]))]
    task_ids: Vec<String>,
    /// Names of their machines, in the same order; empty for a task that was never ordered.
    #[schema(example = json!(["web01"]))]
    machines: Vec<String>,
}

impl Ordered {
    fn task(task_id: TaskId, machine: String) -> Self {
        Self { batch: None, task_ids: vec![task_id.to_string()], machines: vec![machine] }
    }

    fn batch(batch_id: BatchId, changed: BatchChanged) -> Self {
        let BatchChanged { task_ids, machines } = changed;
        let task_ids = task_ids.iter().map(ToString::to_string).collect();
        Self { batch: Some(batch_id.to_string()), task_ids, machines }
    }
}

/// Orders, cancels, retries or plans one task or a batch. A move that the present state does not allow is 409.
///
/// A batch begins with its canaries, chosen among the machines that are online; when they have succeeded, `batch_size`
/// machines are at work at a time. It stops when `max_failures` have failed: a machine counts as failed when its file is the
/// old one, when it is neither, when the machine was offline until its deadline, and when it fell silent after the swap may
/// have begun.
#[utoipa::path(
    post,
    path = "/api/update",
    tag = "ops",
    request_body = PostUpdate,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 3"))),
    responses((status = 200, description = "The tasks, and their machines.", body = Info<Ordered>)),
)]
pub(super) async fn post_update(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(action): Args<Action>,
) -> Reply<Info<Ordered>> {
    let (updates, batches) = (api.pilothouse.updates(), api.pilothouse.batches());
    let known = ["execute", "revert", "cancel", "retry", "plan", "pause", "resume"];
    info(match action.verb(&known)? {
        "execute" => {
            let data: Execute = action.data()?;
            let subject = Subject::of(data.task_id.as_deref(), data.batch.as_deref())?;
            let limits = data.limits(&subject)?;
            match subject {
                Subject::Task(task) => Ordered::task(task, updates.execute(&caller, task).await?),
                Subject::Batch(batch) => {
                    Ordered::batch(batch, batches.execute(&caller, batch, limits).await?)
                }
            }
        }
        "revert" => {
            let RevertOf { task_id, batch, force } = action.data()?;
            let force = force.unwrap_or(false);
            match Subject::of(task_id.as_deref(), batch.as_deref())? {
                Subject::Task(task) => Ordered::task(task, updates.revert(&caller, task, force).await?),
                Subject::Batch(batch) => Ordered::batch(batch, batches.revert(&caller, batch, force).await?),
            }
        }
        verb @ ("pause" | "resume") => {
            let OfBatch { batch } = action.data()?;
            let batch: BatchId = batch.parse()?;
            let changed = match verb {
                "pause" => batches.pause(&caller, batch).await?,
                _ => batches.resume(&caller, batch).await?,
            };
            Ordered::batch(batch, changed)
        }
        verb => {
            let TaskOrBatch { task_id, batch } = action.data()?;
            match (verb, Subject::of(task_id.as_deref(), batch.as_deref())?) {
                ("cancel", Subject::Task(task)) => Ordered::task(task, updates.cancel(&caller, task).await?),
                ("retry", Subject::Task(task)) => Ordered::task(task, updates.retry(&caller, task).await?),
                (_, Subject::Task(task)) => Ordered::task(task, updates.plan(&caller, task).await?),
                ("cancel", Subject::Batch(batch)) => {
                    Ordered::batch(batch, batches.cancel(&caller, batch).await?)
                }
                ("retry", Subject::Batch(batch)) => {
                    Ordered::batch(batch, batches.retry(&caller, batch).await?)
                }
                (_, Subject::Batch(batch)) => Ordered::batch(batch, batches.plan(&caller, batch).await?),
            }
        }
    })
}
