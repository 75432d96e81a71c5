//! Events of updates and batches: each outcome of an update, stops and ends; and their rows of the audit trail.

use chrono::TimeDelta;
use pilothouse_conformance::rows::machine;
use pilothouse_core::ops::{BatchId, BatchLimits, BatchWorker, OrderSweeper, ResultState, TaskId};
use serde_json::{Value, json};

use super::{events, subscribed};
use crate::fleet::Fleet;

/// Data of the event of the task.
fn told(task: TaskId, batch: Option<BatchId>, state: &str, attempt: u32, message: &str) -> Value {
    json!({
        "task_id": task.to_string(), "machine": machine(2).machine_name, "path": "/etc/motd", "state": state,
        "batch": batch.map(|batch| batch.to_string()), "attempt": attempt, "message": message,
    })
}

#[tokio::test]
async fn failures_and_ends_are_told() {
    let fleet = Fleet::new(subscribed()).await;
    let batches = fleet.pilothouse().batches();
    let added = fleet.add_batch().await;
    batches.execute(&fleet.ann, added.batch_id, BatchLimits::default()).await.unwrap();
    fleet.attempt(ResultState::Failed, "the check said no").await;
    batches.retry(&fleet.ann, added.batch_id).await.unwrap();
    fleet.attempt(ResultState::Succeeded, "").await;
    let (batch, task) = (added.batch_id.to_string(), added.task_ids[0]);
    let held = json!({"batch": batch, "state": "held", "machines": 1, "failures": 1});
    let ended = json!({"batch": batch, "state": "succeeded", "machines": 1, "failures": 0});
    let of_batch = Some(added.batch_id);
    let expected = [
        ("update.failed", told(task, of_batch, "failed", 1, "the check said no")),
        ("batch.held", held),
        ("update.succeeded", told(task, of_batch, "succeeded", 2, "")),
        ("batch.ended", ended),
    ];
    let expected = expected.map(|(event, data)| (event.to_owned(), data));
    assert_eq!(events(&*fleet.storage).await, expected);
    let agent = format!("agent of {}: update.outcome", machine(2).machine_name);
    let expected = [
        "ann: task.add",
        "batch worker: update.execute",
        &agent,
        "ann: update.retry",
        "batch worker: update.execute",
        &agent,
    ];
    assert_eq!(fleet.audited(task).await, expected);
}

#[tokio::test]
async fn each_outcome_of_a_single_update_is_told() {
    let fleet = Fleet::new(subscribed()).await;
    let updates = fleet.pilothouse().updates();
    let task = fleet.add_task().await;
    updates.plan(&fleet.ann, task).await.unwrap();
    fleet.attempt(ResultState::Planned, "").await;
    updates.execute(&fleet.ann, task).await.unwrap();
    fleet.attempt(ResultState::Conflict, "edited").await;
    updates.retry(&fleet.ann, task).await.unwrap();
    fleet.attempt(ResultState::Succeeded, "").await;
    updates.revert(&fleet.ann, task, false).await.unwrap();
    fleet.attempt(ResultState::RevertFailed, "no space").await;
    updates.retry(&fleet.ann, task).await.unwrap();
    fleet.attempt(ResultState::Reverted, "").await;
    let expired = fleet.add_task().await;
    updates.execute(&fleet.ann, expired).await.unwrap();
    fleet.clock.advance(TimeDelta::days(2));
    OrderSweeper::new(fleet.pilothouse()).sweep().await.unwrap();
    let cancelled = fleet.add_task().await;
    updates.execute(&fleet.ann, cancelled).await.unwrap();
    updates.cancel(&fleet.ann, cancelled).await.unwrap();
    let late = "no agent began before the deadline";
    let expected = [
        ("update.failed", told(task, None, "conflict", 2, "edited")),
        ("update.succeeded", told(task, None, "succeeded", 3, "")),
        ("update.failed", told(task, None, "revert_failed", 4, "no space")),
        ("update.reverted", told(task, None, "reverted", 5, "")),
        ("update.failed", told(expired, None, "expired", 0, late)),
        ("update.cancelled", told(cancelled, None, "cancelled", 0, "")),
    ];
    let expected = expected.map(|(event, data)| (event.to_owned(), data));
    assert_eq!(events(&*fleet.storage).await, expected);
    let agent = format!("agent of {}: update.outcome", machine(2).machine_name);
    let expected = [
        "ann: task.add",
        "ann: update.plan",
        &agent,
        "ann: update.execute",
        &agent,
        "ann: update.retry",
        &agent,
        "ann: update.revert",
        &agent,
        "ann: update.retry",
        &agent,
    ];
    assert_eq!(fleet.audited(task).await, expected);
    assert_eq!(
        fleet.audited(expired).await,
        ["ann: task.add", "ann: update.execute", "order sweeper: update.lapse"]
    );
    assert_eq!(
        fleet.audited(cancelled).await,
        ["ann: task.add", "ann: update.execute", "ann: update.cancel"]
    );
}

#[tokio::test]
async fn what_a_batch_ends_by_itself_is_told_of_each_machine() {
    let fleet = Fleet::new(subscribed()).await;
    let batches = fleet.pilothouse().batches();
    let offline = fleet.add_batch().await;
    // Its machine was seen for the last time when the fleet was made.
    fleet.clock.advance(TimeDelta::minutes(2));
    batches.execute(&fleet.ann, offline.batch_id, BatchLimits::default()).await.unwrap();
    fleet.clock.advance(TimeDelta::days(2));
    while BatchWorker::new(fleet.pilothouse()).turn().await.unwrap() > 0 {}
    let cancelled = fleet.add_batch().await;
    batches.cancel(&fleet.ann, cancelled.batch_id).await.unwrap();
    let all = events(&*fleet.storage).await;
    let late = "the machine was not online before the deadline";
    let expired = told(offline.task_ids[0], Some(offline.batch_id), "expired", 0, late);
    let ended = told(cancelled.task_ids[0], Some(cancelled.batch_id), "cancelled", 0, "");
    assert_eq!(all[0], ("update.failed".to_owned(), expired));
    assert_eq!(all.last().unwrap(), &("update.cancelled".to_owned(), ended));
    assert_eq!(fleet.audited(offline.task_ids[0]).await, ["ann: task.add", "batch worker: update.lapse"]);
    assert_eq!(fleet.audited(cancelled.task_ids[0]).await, ["ann: task.add", "ann: update.cancel"]);
}
