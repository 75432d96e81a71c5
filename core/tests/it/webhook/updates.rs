//! Events of updates and batches: failures, stops and ends, and nothing for what goes well.

use std::sync::Arc;

use pilothouse_conformance::Fixture;
use pilothouse_conformance::rows::machine;
use pilothouse_core::account::Group;
use pilothouse_core::ops::{
    AgentFacts, BatchLimits, BatchWorker, NewBatch, NewFile, OrderReport, OrderResult, Phase, Poll,
    ResultState, Targets,
};
use pilothouse_storage_memory::MemoryStorage;
use serde_json::json;

use super::{events, subscribed};

#[tokio::test]
async fn failures_and_ends_are_told() {
    let storage = Arc::new(MemoryStorage::new().strict());
    let fixture = Fixture::builder(storage.clone()).settings(subscribed()).build();
    let ann = fixture.account("ann", Group::ALL.into_iter().collect()).await;
    let pilothouse = &fixture.pilothouse;
    pilothouse.machines().add(&ann, machine(2)).await.unwrap();
    let name = machine(2).machine_name;
    let code = pilothouse.agents().enroll(&ann, &name).await.unwrap().code;
    let token = pilothouse.agents().redeem(&code, AgentFacts::default()).await.unwrap().token;
    let agent = pilothouse.agents().authenticate(&token).await.unwrap();
    let poll = Poll { instance: "a".into(), boot: "b".into(), wait: 0 };
    assert_eq!(pilothouse.agents().poll(&agent, &poll).await.unwrap(), None);
    let file = NewFile {
        sha256: Some(fixture.blobs().put(b"new")),
        mode: None,
        owner: None,
        group: None,
        expect_sha256: None,
        check: None,
        reload: None,
        confirm_seconds: 0,
        not_before: None,
        deadline_seconds: None,
    };
    let new = NewBatch {
        targets: Targets::All,
        action: "update".into(),
        content: "/etc/motd".into(),
        description: "d".into(),
        file,
    };
    let batches = pilothouse.batches();
    let added = batches.add(&ann, new, None).await.unwrap();
    batches.execute(&ann, added.batch_id, BatchLimits::default()).await.unwrap();
    let attempt = async |state: ResultState, message: &str| {
        let given = pilothouse.agents().poll(&agent, &poll).await.unwrap().unwrap();
        let result = OrderResult { state, old_sha256: None, plan: String::new() };
        let report = OrderReport {
            attempt: given.order.attempt,
            seq: 1,
            phase: Phase::Confirm,
            percent: 99,
            observed_sha256: None,
            result: Some(result),
            message: message.into(),
            log: String::new(),
        };
        pilothouse.agents().report(&agent, given.order.task_id, &report).await.unwrap();
        while BatchWorker::new(pilothouse).turn().await.unwrap() > 0 {}
    };
    attempt(ResultState::Failed, "the check said no").await;
    batches.retry(&ann, added.batch_id).await.unwrap();
    attempt(ResultState::Succeeded, "").await;
    let (batch, task) = (added.batch_id.to_string(), added.task_ids[0].to_string());
    let failed = json!({
        "task_id": task, "machine": name, "path": "/etc/motd", "state": "failed", "batch": batch, "attempt": 1,
        "message": "the check said no",
    });
    let held = json!({"batch": batch, "state": "held", "machines": 1, "failures": 1});
    let ended = json!({"batch": batch, "state": "succeeded", "machines": 1, "failures": 0});
    let expected = [("update.failed", failed), ("batch.held", held), ("batch.ended", ended)];
    let expected = expected.map(|(event, data)| (event.to_owned(), data));
    assert_eq!(events(&*storage).await, expected);
}
