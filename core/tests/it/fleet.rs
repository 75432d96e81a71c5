//! Fleet: a server over the memory store with a machine and its agent, and a clock that the test sets.

use std::sync::Arc;

use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::ManualClock;
use pilothouse_conformance::rows::machine;
use pilothouse_core::account::{AuditFilter, Caller, Group};
use pilothouse_core::ops::{
    AddedBatch, AgentCaller, AgentFacts, AgentOrder, BatchWorker, NewBatch, NewFile, NewTask, OrderReport,
    OrderResult, Phase, Poll, ResultState, Targets, TaskId,
};
use pilothouse_core::{Page, Pilothouse, Settings};
use pilothouse_storage_memory::MemoryStorage;

/// A server with a machine and its agent.
pub(crate) struct Fleet {
    pub(crate) storage: Arc<MemoryStorage>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) ann: Caller,
    fixture: Fixture,
    agent: AgentCaller,
}

fn a_poll() -> Poll {
    Poll { instance: "a".into(), boot: "b".into(), wait: 0 }
}

impl Fleet {
    pub(crate) async fn new(settings: Settings) -> Self {
        let clock = Arc::new(ManualClock::at(1_480_471_675));
        let storage = Arc::new(MemoryStorage::with_clock(clock.clone()).strict());
        let fixture = Fixture::builder(storage.clone()).clock(clock.clone()).settings(settings).build();
        let ann = fixture.account("ann", Group::ALL.into_iter().collect()).await;
        let pilothouse = &fixture.pilothouse;
        pilothouse.machines().add(&ann, machine(2)).await.unwrap();
        let code = pilothouse.agents().enroll(&ann, &machine(2).machine_name).await.unwrap().code;
        let token = pilothouse.agents().redeem(&code, AgentFacts::default()).await.unwrap().token;
        let agent = pilothouse.agents().authenticate(&token).await.unwrap();
        assert_eq!(pilothouse.agents().poll(&agent, &a_poll()).await.unwrap(), None);
        Self { storage, clock, ann, fixture, agent }
    }

    pub(crate) fn pilothouse(&self) -> &Pilothouse {
        &self.fixture.pilothouse
    }

    fn file(&self) -> NewFile {
        NewFile { sha256: Some(self.fixture.blobs().put(b"new")), ..NewFile::default() }
    }

    pub(crate) async fn add_batch(&self) -> AddedBatch {
        let new = NewBatch {
            targets: Targets::All,
            action: "update".into(),
            content: "/etc/motd".into(),
            description: "d".into(),
            file: self.file(),
        };
        self.pilothouse().batches().add(&self.ann, new, None).await.unwrap()
    }

    pub(crate) async fn add_task(&self) -> TaskId {
        let task = NewTask {
            ip: machine(2).inside_ip,
            action: "update".into(),
            content: "/etc/motd".into(),
            description: "d".into(),
            file: Some(self.file()),
        };
        self.pilothouse().tasks().add(&self.ann, task).await.unwrap()
    }

    /// The order that the agent is given.
    pub(crate) async fn poll(&self) -> Option<AgentOrder> {
        self.pilothouse().agents().poll(&self.agent, &a_poll()).await.unwrap()
    }

    pub(crate) async fn report(&self, given: &AgentOrder, report: &OrderReport) {
        self.pilothouse().agents().report(&self.agent, given.order.task_id, report).await.unwrap();
    }

    /// Takes the next order and reports its result; batches go on.
    pub(crate) async fn attempt(&self, state: ResultState, message: &str) {
        let given = self.poll().await.unwrap();
        let result = Some(OrderResult { state, old_sha256: None, plan: String::new() });
        let ended = OrderReport { result, message: message.into(), ..report(&given, 1, Phase::Confirm) };
        self.report(&given, &ended).await;
        while BatchWorker::new(self.pilothouse()).turn().await.unwrap() > 0 {}
    }

    /// Actors and actions of the rows about a task, oldest first.
    pub(crate) async fn audited(&self, task: TaskId) -> Vec<String> {
        let filter = AuditFilter { object: Some(task.to_string()), ..AuditFilter::default() };
        let rows =
            self.pilothouse().audit_trail().list(&self.ann, &filter, Page::at(0, 100)).await.unwrap().rows;
        rows.iter().map(|row| format!("{}: {}", row.actor_name, row.action)).collect()
    }
}

/// Report on an order that goes on.
pub(crate) fn report(given: &AgentOrder, seq: i64, phase: Phase) -> OrderReport {
    OrderReport {
        attempt: given.order.attempt,
        seq,
        phase,
        percent: 50,
        observed_sha256: None,
        result: None,
        message: String::new(),
        log: String::new(),
    }
}
