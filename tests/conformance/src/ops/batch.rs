//! Batches: their rows, races of steps, and the whole way of one with its stops, its retry and its revert.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use pilothouse_core::account::{Caller, Group, Groups};
use pilothouse_core::ops::{
    Agent, AgentCaller, AgentFacts, Batch, BatchId, BatchLimits, BatchNumber, BatchState, BatchView,
    BatchWorker, FileOrder, Machine, MachineFilter, MachineNumber, NewBatch, NewFile, OnStop, OrderReport,
    OrderResult, OrderState, Phase, Poll, ResultState, Targets, Task, TaskFilter,
};
use pilothouse_core::ports::Storage;
use pilothouse_core::{ErrorKind, IdempotencyKey, Page};
use uuid::Uuid;

use super::machine::machine;
use super::task::task;
use super::update::{outcome, progress};
use crate::Fixture;
use crate::race::{kind, race};
use crate::rows::moment;

fn batch(n: i64) -> Batch {
    Batch::pending(BatchId(Uuid::from_u128(n.unsigned_abs().into())), moment(n))
}

/// A batch is read back unchanged, changed from the version that was read, listed by its state, and removed.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    for n in 1..=3 {
        work.batches().insert(&batch(n)).await.unwrap();
    }
    let held = work.batches().find(batch(1).batch_id).await.unwrap().unwrap();
    assert_eq!(held, Batch { id: held.id, ..batch(1) });
    assert_eq!(work.batches().find(batch(4).batch_id).await.unwrap(), None);
    let limits = BatchLimits { canary: 0, batch_size: 3, max_failures: 4, on_stop: OnStop::Revert };
    let full = Batch {
        state: BatchState::Running,
        limits,
        forgiven: 2,
        is_forced: true,
        begun: Some(moment(9)),
        ..held.clone()
    };
    assert!(!work.batches().update(&Batch { version: 2, ..full.clone() }).await.unwrap());
    let moved = Batch { create_time: moment(5), id: BatchNumber(77), ..full.clone() };
    assert!(work.batches().update(&moved).await.unwrap());
    assert!(!work.batches().update(&full).await.unwrap());
    let found = work.batches().find(held.batch_id).await.unwrap();
    assert_eq!(found, Some(Batch { version: 2, ..full.clone() }));
    let third = work.batches().find(batch(3).batch_id).await.unwrap().unwrap();
    assert!(work.batches().update(&Batch { state: BatchState::Reverting, ..third }).await.unwrap());
    let ids = |batches: Vec<Batch>| batches.into_iter().map(|batch| batch.batch_id).collect::<Vec<_>>();
    let active = ids(work.batches().active().await.unwrap());
    assert_eq!(active, [batch(1).batch_id, batch(3).batch_id]);
    work.batches().insert(&batch(4)).await.unwrap();
    let last = BatchNumber(i64::MAX);
    let pending = work.batches().in_state(BatchState::Pending, last, 10).await.unwrap();
    let newest = pending[0].id;
    assert_eq!(ids(pending), [batch(4).batch_id, batch(2).batch_id], "newest first");
    assert_eq!(work.batches().in_state(BatchState::Pending, last, 1).await.unwrap().len(), 1);
    let older = work.batches().in_state(BatchState::Pending, newest, 10).await.unwrap();
    assert_eq!(ids(older), [batch(2).batch_id]);
    assert!(work.batches().delete(batch(2).batch_id).await.unwrap());
    assert!(!work.batches().delete(batch(2).batch_id).await.unwrap());
    work.commit().await.unwrap();
}

/// Tasks, orders, machines and agents are found by their batch, orders by their state, too.
pub(crate) async fn what_belongs_to_it(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    for n in 1..=3 {
        assert!(work.machines().insert(&machine(n)).await.unwrap());
    }
    let machines = work.machines().list(&MachineFilter::default(), Page::default()).await.unwrap();
    let id = |n: usize| machines[n - 1].id;
    work.agents().save(&Agent::new(id(2))).await.unwrap();
    for (n, of, bound) in [(1, 1, Some(id(2))), (2, 1, None), (3, 2, Some(id(3))), (4, 1, Some(id(1)))] {
        let task = Task { batch: Some(batch(of).batch_id), ..task(n) };
        work.tasks().insert(&task).await.unwrap();
        let content = super::file_order::content(n);
        work.orders().insert(&content, bound).await.unwrap();
    }
    work.tasks().insert(&task(5)).await.unwrap();
    let of = |n: i64| batch(n).batch_id;
    let orders = work.orders().of_batch(of(1)).await.unwrap();
    let found: Vec<_> = orders.iter().map(|order| (order.task_id, order.machine)).collect();
    let expected = [(1, Some(id(2))), (2, None), (4, Some(id(1)))].map(|(n, id)| (task(n).task_id, id));
    assert_eq!(found, expected);
    let logged = FileOrder { log: "line".into(), state: OrderState::Failed, ..orders[0].clone() };
    assert!(work.orders().update(&orders[0], &logged).await.unwrap());
    assert!(work.orders().of_batch(of(1)).await.unwrap().iter().all(|order| order.log.is_empty()));
    let pending = work.orders().in_state(OrderState::Pending, 2).await.unwrap();
    let pending: Vec<_> = pending.into_iter().map(|order| order.task_id).collect();
    assert_eq!(pending, [4, 3].map(|n| task(n).task_id));
    let failed = work.orders().in_state(OrderState::Failed, 9).await.unwrap();
    assert!(failed.len() == 1 && failed[0].log.is_empty());
    let named: Vec<MachineNumber> =
        work.machines().of_batch(of(1)).await.unwrap().iter().map(|machine| machine.id).collect();
    assert_eq!(named, [id(1), id(2)]);
    let agents = work.agents().of_batch(of(1)).await.unwrap();
    assert_eq!(agents, [Agent::new(id(2))]);
    assert_eq!(work.agents().of_batch(of(2)).await.unwrap(), []);
    let filter = |n: i64, text: Option<&str>| TaskFilter {
        batch: Some(of(n)),
        text: text.map(str::to_owned),
        ..TaskFilter::default()
    };
    let listed = work.tasks().list(&filter(1, None), Page::default()).await.unwrap();
    assert!(listed.len() == 3 && listed.iter().all(|task| task.batch == Some(of(1))));
    assert_eq!(work.tasks().list_views(&filter(1, Some("nowhere")), Page::default()).await.unwrap(), []);
    assert_eq!(work.tasks().count(&filter(2, None), 0, i64::MAX).await.unwrap(), 1);
    work.commit().await.unwrap();
}

/// Machines with agents, and a batch for all of them.
struct Fleet {
    fixture: Fixture,
    ann: Caller,
    agents: BTreeMap<String, AgentCaller>,
    file: NewFile,
}

fn fleet_machine(n: u8) -> Machine {
    let inside_ip = IpAddr::V4(Ipv4Addr::new(10, 9, 9, n));
    Machine { machine_name: format!("m{n}"), inside_ip, outside_ip: None, ..machine(2) }
}

async fn fleet(storage: &Arc<dyn Storage>, machines: u8) -> Fleet {
    let fixture = Fixture::new(storage.clone());
    let ann = fixture.account("ann", Group::ALL.into_iter().collect::<Groups>()).await;
    let mut agents = BTreeMap::new();
    for n in 1..=machines {
        let machine = fleet_machine(n);
        fixture.pilothouse.machines().add(&ann, machine.clone()).await.unwrap();
        let code = fixture.pilothouse.agents().enroll(&ann, &machine.machine_name).await.unwrap().code;
        let token = fixture.pilothouse.agents().redeem(&code, AgentFacts::default()).await.unwrap().token;
        let agent = fixture.pilothouse.agents().authenticate(&token).await.unwrap();
        agents.insert(machine.machine_name, agent);
    }
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
    Fleet { fixture, ann, agents, file }
}

impl Fleet {
    fn new_batch(&self, targets: Targets) -> NewBatch {
        let (action, content, description) = ("update".into(), "/etc/motd".into(), "d".into());
        NewBatch { targets, action, content, description, file: self.file.clone() }
    }

    async fn add(&self, targets: Targets) -> BatchId {
        let new = self.new_batch(targets);
        self.fixture.pilothouse.batches().add(&self.ann, new, None).await.unwrap().batch_id
    }

    async fn execute(&self, batch: BatchId, limits: BatchLimits) {
        self.fixture.pilothouse.batches().execute(&self.ann, batch, limits).await.unwrap();
    }

    async fn view(&self, batch: BatchId) -> BatchView {
        self.fixture.pilothouse.batches().find(&self.ann, batch, None, 0).await.unwrap()
    }

    /// State of the batch, and of each machine's order.
    async fn states(&self, batch: BatchId) -> (&'static str, Vec<&'static str>) {
        let view = self.view(batch).await;
        (view.batch.state.as_str(), view.rows.iter().map(|row| row.order.state.as_str()).collect())
    }

    /// Has an agent poll; the task it is given is carried out with this result.
    async fn poll(&self, name: &str, result: Option<ResultState>) -> bool {
        let (agents, agent) = (self.fixture.pilothouse.agents(), &self.agents[name]);
        let poll = Poll { instance: "a".into(), boot: "b".into(), wait: 0 };
        let Some(given) = agents.poll(agent, &poll).await.unwrap() else { return false };
        if let Some(result) = result {
            let report = outcome(given.order.attempt, result);
            agents.report(agent, given.order.task_id, &report).await.unwrap();
        }
        true
    }

    async fn turn(&self) {
        while BatchWorker::new(&self.fixture.pilothouse).turn().await.unwrap() > 0 {}
    }
}

/// Targets are resolved and echoed; what is empty, unknown or named twice is refused; a repeated request adds nothing.
pub(crate) async fn targets(storage: Arc<dyn Storage>) {
    let fleet = fleet(&storage, 2).await;
    let batches = fleet.fixture.pilothouse.batches();
    let ip = |n: u8| fleet_machine(n).inside_ip;
    for (targets, machines) in [
        (Targets::All, vec!["m1", "m2"]),
        (Targets::Names(vec!["m2".into(), "m1".into()]), vec!["m2", "m1"]),
        (Targets::Usage(machine(2).usage), vec!["m1", "m2"]),
        (Targets::Location(machine(2).location), vec!["m1", "m2"]),
        (Targets::Addresses(vec![ip(2), ip(9)]), vec!["m2", ""]),
    ] {
        let added = batches.add(&fleet.ann, fleet.new_batch(targets), None).await.unwrap();
        assert_eq!(added.machines, machines);
        assert_eq!(added.task_ids.len(), machines.len());
    }
    for targets in [
        Targets::Names(vec![]),
        Targets::Addresses(vec![]),
        Targets::Names(vec!["m1".into(), "m1".into()]),
        Targets::Names(vec!["nobody".into()]),
        Targets::Usage("nothing".into()),
        Targets::Location("nowhere".into()),
    ] {
        let refused = batches.add(&fleet.ann, fleet.new_batch(targets.clone()), None).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{targets:?}");
    }
    let key = IdempotencyKey::new("k", &["same"]).unwrap();
    let first = batches.add(&fleet.ann, fleet.new_batch(Targets::All), Some(&key)).await.unwrap();
    let again = batches.add(&fleet.ann, fleet.new_batch(Targets::All), Some(&key)).await.unwrap();
    assert_eq!(first, again);
    let tasks = fleet.fixture.pilothouse.tasks();
    for task in &first.task_ids {
        assert!(batches.find(&fleet.ann, first.batch_id, None, 0).await.is_ok());
        tasks.delete(&fleet.ann, *task).await.unwrap();
    }
    let gone = batches.find(&fleet.ann, first.batch_id, None, 0).await.map(|_| ());
    assert_eq!(kind(&gone), Some(ErrorKind::NotFound), "it went with its last task");
}

/// Addresses are bound when the batch is executed: what no machine has, or two, is named, and nothing begins.
pub(crate) async fn addresses_are_bound_at_execution(storage: Arc<dyn Storage>) {
    let fleet = fleet(&storage, 2).await;
    let ip = |n: u8| fleet_machine(n).inside_ip;
    let batch = fleet.add(Targets::Addresses(vec![ip(1), ip(3), ip(2)])).await;
    let batches = fleet.fixture.pilothouse.batches();
    let refused = batches.execute(&fleet.ann, batch, BatchLimits::default()).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Conflict && refused.to_string().contains("10.9.9.3"), "{refused}");
    assert_eq!(fleet.states(batch).await, ("pending", vec!["pending"; 3]));
    fleet.fixture.pilothouse.machines().add(&fleet.ann, fleet_machine(3)).await.unwrap();
    let executed = batches.execute(&fleet.ann, batch, BatchLimits::default()).await.unwrap();
    assert_eq!(executed.machines, ["m1", "m3", "m2"]);
    assert_eq!(fleet.view(batch).await.reason, "none of the canaries is online");
}

/// A canary that is online comes first, then the others; machines that come online are handed their task.
pub(crate) async fn the_way_of_a_batch(storage: Arc<dyn Storage>) {
    let fleet = fleet(&storage, 4).await;
    let batch = fleet.add(Targets::All).await;
    for online in ["m2", "m3"] {
        assert!(!fleet.poll(online, None).await);
    }
    fleet.execute(batch, BatchLimits { batch_size: 2, ..BatchLimits::default() }).await;
    assert_eq!(fleet.states(batch).await, ("running", vec!["pending", "queued", "pending", "pending"]));
    let since = fleet.view(batch).await.since;
    assert!(!fleet.poll("m3", None).await, "the canary is awaited");
    assert!(fleet.poll("m2", Some(ResultState::Succeeded)).await);
    fleet.turn().await;
    let view = fleet.view(batch).await;
    assert_ne!(view.since, since);
    assert_eq!(view.counts[&OrderState::Pending], 2);
    assert_eq!(view.rows[0].reason, "the machine's agent was never seen");
    assert!(fleet.poll("m3", Some(ResultState::Succeeded)).await);
    for late in ["m1", "m4"] {
        assert!(!fleet.poll(late, None).await);
        fleet.turn().await;
        assert!(fleet.poll(late, Some(ResultState::Succeeded)).await);
    }
    fleet.turn().await;
    assert_eq!(fleet.states(batch).await, ("succeeded", vec!["succeeded"; 4]));
    let batches = fleet.fixture.pilothouse.batches();
    let reverted = batches.revert(&fleet.ann, batch, false).await.unwrap();
    assert_eq!(reverted.machines, ["m1", "m2", "m3", "m4"]);
    for name in ["m1", "m2", "m3", "m4"] {
        assert!(fleet.poll(name, Some(ResultState::Reverted)).await);
    }
    fleet.turn().await;
    assert_eq!(fleet.states(batch).await, ("reverted", vec!["reverted"; 4]));
}

/// A failure holds the batch until it is resumed or retried; a stop may revert by itself.
pub(crate) async fn failures_stop_it(storage: Arc<dyn Storage>) {
    let fleet = fleet(&storage, 3).await;
    let batches = fleet.fixture.pilothouse.batches();
    for name in ["m1", "m2", "m3"] {
        fleet.poll(name, None).await;
    }
    let batch = fleet.add(Targets::All).await;
    fleet.execute(batch, BatchLimits::default()).await;
    fleet.poll("m1", Some(ResultState::Failed)).await;
    fleet.turn().await;
    assert_eq!(fleet.states(batch).await, ("held", vec!["failed", "pending", "pending"]));
    assert_eq!(kind(&batches.pause(&fleet.ann, batch).await.map(|_| ())), Some(ErrorKind::Conflict));
    batches.resume(&fleet.ann, batch).await.unwrap();
    fleet.poll("m2", Some(ResultState::Succeeded)).await;
    fleet.turn().await;
    fleet.poll("m3", Some(ResultState::Succeeded)).await;
    fleet.turn().await;
    assert_eq!(fleet.states(batch).await, ("failed", vec!["failed", "succeeded", "succeeded"]));
    let retried = batches.retry(&fleet.ann, batch).await.unwrap();
    assert_eq!(retried.machines, ["m1"]);
    fleet.poll("m1", Some(ResultState::Succeeded)).await;
    fleet.turn().await;
    assert_eq!(fleet.states(batch).await.0, "succeeded");

    let batch = fleet.add(Targets::All).await;
    fleet.execute(batch, BatchLimits { on_stop: OnStop::Revert, ..BatchLimits::default() }).await;
    fleet.poll("m1", Some(ResultState::Succeeded)).await;
    fleet.turn().await;
    fleet.poll("m2", Some(ResultState::Conflict)).await;
    assert!(fleet.poll("m3", None).await, "it is under way");
    fleet.turn().await;
    assert_eq!(fleet.states(batch).await, ("reverting", vec!["reverting", "conflict", "running"]));
    fleet.poll("m3", Some(ResultState::Failed)).await;
    fleet.poll("m1", Some(ResultState::Reverted)).await;
    fleet.turn().await;
    assert_eq!(fleet.states(batch).await, ("reverted", vec!["reverted", "conflict", "cancelled"]));
}

/// What is paused hands out nothing, a cancel ends what has not swapped, and a plan changes no state.
pub(crate) async fn paused_planned_and_cancelled(storage: Arc<dyn Storage>) {
    let fleet = fleet(&storage, 3).await;
    let batches = fleet.fixture.pilothouse.batches();
    for name in ["m1", "m2", "m3"] {
        fleet.poll(name, None).await;
    }
    let batch = fleet.add(Targets::All).await;
    assert_eq!(batches.plan(&fleet.ann, batch).await.unwrap().task_ids.len(), 3);
    fleet.poll("m1", Some(ResultState::Planned)).await;
    assert_eq!(fleet.states(batch).await, ("pending", vec!["pending"; 3]));
    fleet.execute(batch, BatchLimits { canary: 0, batch_size: 2, ..BatchLimits::default() }).await;
    batches.pause(&fleet.ann, batch).await.unwrap();
    fleet.poll("m1", Some(ResultState::Succeeded)).await;
    fleet.turn().await;
    assert_eq!(fleet.states(batch).await, ("paused", vec!["succeeded", "queued", "pending"]));
    batches.resume(&fleet.ann, batch).await.unwrap();
    assert_eq!(fleet.states(batch).await, ("running", vec!["succeeded", "queued", "queued"]));
    assert!(fleet.poll("m2", None).await);
    let (agents, agent) = (fleet.fixture.pilothouse.agents(), &fleet.agents["m2"]);
    let order = fleet.view(batch).await.rows[1].order.clone();
    let swapping = OrderReport { attempt: order.attempt, ..progress(order.attempt, Phase::Swap, 60) };
    agents.report(agent, order.task_id, &swapping).await.unwrap();
    let cancelled = batches.cancel(&fleet.ann, batch).await.unwrap();
    assert_eq!(cancelled.machines, ["m3"], "m2 may have replaced the file");
    let again = batches.cancel(&fleet.ann, batch).await.map(|_| ());
    assert_eq!(kind(&again), Some(ErrorKind::Conflict));
    let result = OrderResult { state: ResultState::Succeeded, old_sha256: None, plan: String::new() };
    let done = OrderReport { result: Some(result), ..progress(order.attempt, Phase::Confirm, 99) };
    agents.report(agent, order.task_id, &done).await.unwrap();
    assert_eq!(fleet.states(batch).await, ("cancelled", vec!["succeeded", "succeeded", "cancelled"]));
}

/// Of steps at once by several servers one is taken: no more machines than may be are at work.
pub(crate) async fn race_of_steps(storage: Arc<dyn Storage>) {
    let fleet = fleet(&storage, 8).await;
    for name in fleet.agents.keys() {
        fleet.poll(name, None).await;
    }
    let batch = fleet.add(Targets::All).await;
    let server = Arc::new(fleet.fixture.another_server());
    let limits = BatchLimits { canary: 0, batch_size: 3, ..BatchLimits::default() };
    let executed = race(&storage, |_, _| {
        let (server, ann) = (server.clone(), fleet.ann.clone());
        async move { server.batches().execute(&ann, batch, limits).await.map(|_| ()) }
    })
    .await;
    assert_eq!(executed.iter().filter(|answer| answer.is_ok()).count(), 1);
    for at_work in [3, 3, 2] {
        race(&storage, |_, _| {
            let server = server.clone();
            async move {
                match server.batches().step(batch).await {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                }
            }
        })
        .await;
        let view = fleet.view(batch).await;
        assert_eq!(view.counts[&OrderState::Queued], at_work);
        for row in view.rows.iter().filter(|row| row.order.state == OrderState::Queued) {
            assert!(fleet.poll(&row.machine, Some(ResultState::Succeeded)).await);
        }
    }
    fleet.turn().await;
    assert_eq!(fleet.states(batch).await.0, "succeeded");
}
