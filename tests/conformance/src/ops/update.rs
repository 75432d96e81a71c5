//! Orders for tasks with a content: races, and the whole way of an update and of its revert.

use std::sync::Arc;

use pilothouse_core::account::{Caller, Group, Groups};
use pilothouse_core::ops::{
    AgentCaller, AgentFacts, AgentOrder, FileOrder, NewFile, NewTask, OrderAction, OrderReport, OrderResult,
    OrderState, OrderSweeper, Phase, Poll, ResultState, Revert, Sha256Digest, Status, StatusReport, TaskId,
    UPDATE_LEASE,
};
use pilothouse_core::ports::Storage;
use pilothouse_core::{ErrorKind, Pilothouse};

use super::file_order::update;
use super::machine::machine;
use crate::race::race;
use crate::rows::moment;
use crate::{Fixture, doubles};

fn all_groups() -> Groups {
    Group::ALL.into_iter().collect()
}

/// A server with a machine, its agent, an operator, and a task with a content.
struct Fleet {
    fixture: Fixture,
    ann: Caller,
    agent: AgentCaller,
    task_id: TaskId,
}

async fn fleet(storage: &Arc<dyn Storage>) -> Fleet {
    let mut work = storage.begin().await.unwrap();
    assert!(work.machines().insert(&machine(2)).await.unwrap());
    work.commit().await.unwrap();
    let fixture = Fixture::new(storage.clone());
    let ann = fixture.account("ann", all_groups()).await;
    let sha256 = fixture.blobs().put(b"new");
    let agents = fixture.pilothouse.agents();
    let code = agents.enroll(&ann, &machine(2).machine_name).await.unwrap().code;
    let token = agents.redeem(&code, AgentFacts::default()).await.unwrap().token;
    let agent = agents.authenticate(&token).await.unwrap();
    let task_id = fixture.pilothouse.tasks().add(&ann, new_task(sha256)).await.unwrap();
    Fleet { fixture, ann, agent, task_id }
}

fn new_task(sha256: Sha256Digest) -> NewTask {
    let file = NewFile {
        sha256: Some(sha256),
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
    NewTask {
        ip: machine(2).inside_ip,
        action: "update".into(),
        content: "/etc/motd".into(),
        description: "d".into(),
        file: Some(file),
    }
}

impl Fleet {
    fn pilothouse(&self) -> &Pilothouse {
        &self.fixture.pilothouse
    }

    async fn poll(&self) -> Option<AgentOrder> {
        let poll = Poll { instance: "a".into(), boot: "b".into(), wait: 0 };
        self.pilothouse().agents().poll(&self.agent, &poll).await.unwrap()
    }

    async fn report(&self, report: OrderReport) -> pilothouse_core::Result<()> {
        self.pilothouse().agents().report(&self.agent, self.task_id, &report).await.map(|_| ())
    }

    async fn order(&self) -> FileOrder {
        self.pilothouse().updates().find(&self.ann, self.task_id, None, 0).await.unwrap().order
    }

    /// Status, revert and percent as `/api/task_status` shows them.
    async fn status(&self) -> (Status, Revert, i64) {
        let found = self.pilothouse().tasks().find_status(&self.ann, self.task_id).await.unwrap().unwrap();
        (found.status, found.revert, found.percent)
    }
}

pub(super) fn progress(attempt: i64, phase: Phase, percent: i64) -> OrderReport {
    OrderReport {
        attempt,
        seq: percent,
        phase,
        percent,
        observed_sha256: None,
        result: None,
        message: String::new(),
        log: String::new(),
    }
}

pub(super) fn outcome(attempt: i64, state: ResultState) -> OrderReport {
    let result = OrderResult { state, old_sha256: Some(Sha256Digest([1; 32])), plan: String::new() };
    OrderReport { result: Some(result), ..progress(attempt, Phase::Confirm, 99) }
}

/// Of executes at once one orders the task; the others are conflicts.
pub(crate) async fn race_of_executes(storage: Arc<dyn Storage>) {
    let fleet = fleet(&storage).await;
    let server = Arc::new(fleet.fixture.another_server());
    let answers = race(&storage, |_, _| {
        let (server, ann, task_id) = (server.clone(), fleet.ann.clone(), fleet.task_id);
        async move { server.updates().execute(&ann, task_id).await.map(|_| ()) }
    })
    .await;
    let kinds: Vec<_> = answers.iter().filter_map(crate::race::kind).collect();
    assert_eq!(kinds, [ErrorKind::Conflict; 15]);
    assert_eq!(fleet.order().await.state, OrderState::Queued);
}

/// Of claims at once of one instance every one is given the same attempt, and there is but one.
pub(crate) async fn race_of_claims(storage: Arc<dyn Storage>) {
    let fleet = fleet(&storage).await;
    fleet.pilothouse().updates().execute(&fleet.ann, fleet.task_id).await.unwrap();
    let server = Arc::new(fleet.fixture.another_server());
    let claims = race(&storage, |_, _| {
        let (server, agent) = (server.clone(), fleet.agent.clone());
        let poll = Poll { instance: "a".into(), boot: "b".into(), wait: 0 };
        async move { server.agents().poll(&agent, &poll).await.unwrap() }
    })
    .await;
    let attempts: Vec<_> = claims.into_iter().flatten().map(|claim| claim.order.attempt).collect();
    assert!(!attempts.is_empty() && attempts.iter().all(|attempt| *attempt == 1), "{attempts:?}");
    let order = fleet.order().await;
    assert_eq!((order.state, order.attempt, order.tries), (OrderState::Running, 1, 1));
}

/// The way of an update and of its revert, with the documented numbers of `/api/task_status`.
pub(crate) async fn an_update_and_its_revert(storage: Arc<dyn Storage>) {
    let fleet = fleet(&storage).await;
    let updates = fleet.pilothouse().updates();
    assert_eq!(fleet.poll().await, None);
    updates.execute(&fleet.ann, fleet.task_id).await.unwrap();
    assert_eq!(fleet.status().await, (Status::Pending, Revert::None, 0));
    let claimed = fleet.poll().await.unwrap();
    assert_eq!((claimed.order.attempt, &*claimed.path), (1, "/etc/motd"));
    assert_eq!(fleet.poll().await.unwrap().order.attempt, 1, "the answer was lost");
    fleet.report(progress(1, Phase::Stage, 40)).await.unwrap();
    assert_eq!(fleet.status().await, (Status::Running, Revert::None, 40));
    let by_hand = StatusReport {
        start_time: None,
        revert_time: None,
        percent: 50,
        status: Status::Succeeded,
        revert: Revert::None,
    };
    let refused = fleet.pilothouse().tasks().report(&fleet.ann, fleet.task_id, by_hand.clone()).await;
    assert_eq!(crate::race::kind(&refused), Some(ErrorKind::Conflict));
    fleet.report(outcome(1, ResultState::Succeeded)).await.unwrap();
    fleet.report(outcome(1, ResultState::Succeeded)).await.unwrap();
    assert_eq!(fleet.status().await, (Status::Succeeded, Revert::None, 100));
    let asked = StatusReport { percent: 100, revert: Revert::Asked, ..by_hand };
    fleet.pilothouse().tasks().report(&fleet.ann, fleet.task_id, asked).await.unwrap();
    assert_eq!(fleet.status().await, (Status::Succeeded, Revert::Asked, 0));
    let claimed = fleet.poll().await.unwrap();
    assert_eq!((claimed.order.attempt, claimed.order.action), (2, OrderAction::Revert));
    let stale = fleet.report(outcome(1, ResultState::Reverted)).await;
    assert_eq!(crate::race::kind(&stale), Some(ErrorKind::Conflict));
    fleet.report(outcome(2, ResultState::Reverted)).await.unwrap();
    assert_eq!(fleet.status().await, (Status::Succeeded, Revert::Done, 100));
    assert_eq!(fleet.poll().await, None);
}

/// A lost lease queues the order again before the swap, and makes it unknown after; the next word resolves it.
pub(crate) async fn a_lost_lease_is_swept(storage: Arc<dyn Storage>) {
    let fleet = fleet(&storage).await;
    fleet.pilothouse().updates().execute(&fleet.ann, fleet.task_id).await.unwrap();
    fleet.poll().await.unwrap();
    let sweeper = OrderSweeper::new(fleet.pilothouse());
    assert_eq!(sweeper.sweep().await.unwrap(), 0);
    let end_lease = async || {
        let old = fleet.order().await;
        let lease_until = old.lease_until.map(|end| end - UPDATE_LEASE.length());
        assert!(update(&storage, &old, &FileOrder { lease_until, ..old.clone() }).await);
        assert_eq!(sweeper.sweep().await.unwrap(), 1);
    };
    end_lease().await;
    let queued = fleet.order().await;
    assert_eq!((queued.state, queued.lease_until), (OrderState::Queued, None));
    let late = fleet.report(progress(1, Phase::Swap, 60)).await;
    assert_eq!(crate::race::kind(&late), Some(ErrorKind::Conflict));
    assert_eq!(fleet.poll().await, None, "it is put off");
    let due = FileOrder { due: Some(moment(0)), ..queued.clone() };
    assert!(update(&storage, &queued, &due).await);
    assert_eq!(fleet.poll().await.unwrap().order.attempt, 2);
    fleet.report(progress(2, Phase::Swap, 60)).await.unwrap();
    let cancelled = fleet.pilothouse().updates().cancel(&fleet.ann, fleet.task_id).await.map(|_| ());
    assert_eq!(crate::race::kind(&cancelled), Some(ErrorKind::Conflict), "the swap may have begun");
    end_lease().await;
    assert_eq!(fleet.status().await, (Status::Unknown, Revert::None, 60));
    assert_eq!(fleet.poll().await.unwrap().order.attempt, 2, "its word is asked for");
    fleet.report(outcome(2, ResultState::Failed)).await.unwrap();
    assert_eq!(fleet.order().await.state, OrderState::Failed);
}

/// An agent sees the blob of a live order of its own machine, and reports on no other.
pub(crate) async fn foreign_orders_and_blobs_are_hidden(storage: Arc<dyn Storage>) {
    let fleet = fleet(&storage).await;
    let agents = fleet.pilothouse().agents();
    let sha256 = doubles::sha256(b"new");
    assert_eq!(agents.content(&fleet.agent, sha256).await.unwrap_err().kind(), ErrorKind::NotFound);
    fleet.pilothouse().updates().execute(&fleet.ann, fleet.task_id).await.unwrap();
    fleet.poll().await.unwrap();
    assert_eq!(agents.content(&fleet.agent, sha256).await.unwrap().size, 3);
    let other = doubles::sha256(b"other");
    assert_eq!(agents.content(&fleet.agent, other).await.unwrap_err().kind(), ErrorKind::NotFound);
    let mut work = storage.begin().await.unwrap();
    assert!(work.machines().insert(&machine(4)).await.unwrap());
    work.commit().await.unwrap();
    let code = agents.enroll(&fleet.ann, &machine(4).machine_name).await.unwrap().code;
    let token = agents.redeem(&code, AgentFacts::default()).await.unwrap().token;
    let stranger = agents.authenticate(&token).await.unwrap();
    let hidden = agents.content(&stranger, sha256).await.unwrap_err();
    assert_eq!(hidden.kind(), ErrorKind::NotFound);
    let report = outcome(1, ResultState::Succeeded);
    let refused = agents.report(&stranger, fleet.task_id, &report).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    let executed = fleet.pilothouse().tasks().add(&fleet.ann, new_task(sha256)).await.unwrap();
    let ambiguous = fleet.pilothouse().updates().execute(&fleet.ann, executed).await.map(|_| ());
    assert_eq!(crate::race::kind(&ambiguous), Some(ErrorKind::Conflict), "two machines have the address");
}

/// A task that an agent has is not deleted, and neither is its machine; a content needs a complete blob.
pub(crate) async fn a_held_task_is_not_deleted(storage: Arc<dyn Storage>) {
    let fleet = fleet(&storage).await;
    let tasks = fleet.pilothouse().tasks();
    let missing = tasks.add(&fleet.ann, new_task(Sha256Digest([3; 32]))).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Invalid);
    fleet.pilothouse().updates().execute(&fleet.ann, fleet.task_id).await.unwrap();
    fleet.poll().await.unwrap();
    let held = tasks.delete(&fleet.ann, fleet.task_id).await;
    assert_eq!(crate::race::kind(&held), Some(ErrorKind::Conflict));
    let name = machine(2).machine_name;
    let held = fleet.pilothouse().machines().delete(&fleet.ann, &name, &[fleet.task_id]).await;
    assert_eq!(crate::race::kind(&held), Some(ErrorKind::Conflict));
    fleet.pilothouse().updates().cancel(&fleet.ann, fleet.task_id).await.unwrap();
    fleet.report(outcome(1, ResultState::Failed)).await.unwrap();
    assert_eq!(fleet.status().await.0, Status::Cancelled);
    tasks.delete(&fleet.ann, fleet.task_id).await.unwrap();
}
