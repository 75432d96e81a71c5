//! Acknowledgements, leases and refusals while the store refuses writes: what was not stored is stored later.

use std::sync::Arc;

use chrono::TimeDelta;
use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::{FaultyStorage, ManualClock};
use pilothouse_conformance::rows::item_name;
use pilothouse_core::account::{AuditFilter, Caller, Groups};
use pilothouse_core::config::{AckResult, AppSession, Content, NodeState, Report, Selector};
use pilothouse_core::ops::TaskFilter;
use pilothouse_core::{ErrorKind, Page};
use pilothouse_storage_memory::MemoryStorage;

use super::fixture::new_node;

/// An app with a published item `k` and a node `11`, over a store that can be told to refuse.
struct Outage {
    fixture: Fixture,
    faulty: Arc<FaultyStorage>,
    clock: Arc<ManualClock>,
    owner: Caller,
    session: AppSession,
    release: pilothouse_core::config::ReleaseId,
}

impl Outage {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(1_473_752_647));
        let faulty = FaultyStorage::new(Arc::new(MemoryStorage::with_clock(clock.clone()).strict()));
        let fixture = Fixture::builder(faulty.clone()).clock(clock.clone()).build();
        let owner = fixture.account("owner", Groups::all()).await;
        fixture.app(&owner, "app").await;
        let pilothouse = &fixture.pilothouse;
        let content = Content { value: "v".into(), ..Content::default() };
        let id = pilothouse.items().create(&owner, &item_name("app", "k"), content).await.unwrap();
        pilothouse.items().approve(&owner, &item_name("app", "k"), None).await.unwrap();
        let published = pilothouse.releases().publish(&owner, id, &Selector::default(), None).await.unwrap();
        let session = pilothouse.delivery().open_unsigned("app").await.unwrap().unwrap();
        session.register(new_node("11")).await.unwrap();
        Self { release: published.release, fixture, faulty, clock, owner, session }
    }

    async fn state(&self) -> NodeState {
        let status = self.fixture.pilothouse.rollouts().status(&self.owner, self.release).await.unwrap();
        status.nodes[0].state
    }
}

#[tokio::test]
async fn an_acknowledgement_that_was_refused_is_stored_by_the_next_flush() {
    let outage = Outage::new().await;
    let node = outage.session.node("dev", "11").await.unwrap();
    let report = Report { key: "k".into(), version: 1, result: AckResult::Applied, message: String::new() };
    // The lease is due, too: renewing it must not take the report with it when that fails.
    outage.clock.advance(TimeDelta::seconds(6));
    outage.session.node("dev", "11").await.unwrap();
    outage.faulty.refuse_writes(true);
    let refused = node.ack(vec![report]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Internal, "the node is not told that its report was taken");
    outage.faulty.refuse_writes(false);
    outage.fixture.pilothouse.flush_reports().await.unwrap();
    assert_eq!(outage.state().await, NodeState::Applied);
}

#[tokio::test]
async fn a_lease_that_could_not_be_renewed_is_renewed_by_the_next_flush() {
    let outage = Outage::new().await;
    let _watch = outage.session.node("dev", "11").await.unwrap().watch(0).await.unwrap();
    outage.clock.advance(TimeDelta::seconds(14));
    outage.faulty.refuse_writes(true);
    outage.fixture.pilothouse.flush_reports().await.unwrap_err();
    outage.faulty.refuse_writes(false);
    outage.fixture.pilothouse.flush_reports().await.unwrap();
    outage.clock.advance(TimeDelta::seconds(2));
    let nodes = outage.fixture.another_server().nodes().list(&outage.owner, "app", "dev").await.unwrap();
    assert_eq!(nodes.len(), 1, "its lease did not end 15 seconds after the registration");
}

#[tokio::test]
async fn refusals_of_callers_reach_the_trail_once_after_an_outage() {
    let outage = Outage::new().await;
    let nobody = outage.fixture.account("nobody", Groups::NONE).await;
    let pilothouse = &outage.fixture.pilothouse;
    for _ in 0..3 {
        pilothouse.tasks().list(&nobody, &TaskFilter::default(), Page::default()).await.unwrap_err();
    }
    outage.faulty.refuse_writes(true);
    pilothouse.housekeep().await.unwrap_err();
    outage.faulty.refuse_writes(false);
    pilothouse.housekeep().await.unwrap();
    pilothouse.housekeep().await.unwrap();
    let mut snapshot = outage.fixture.storage.read().await.unwrap();
    let trail = snapshot.audit().list(&AuditFilter::default(), Page::at(0, 1000)).await.unwrap();
    let counts: Vec<i64> = trail.iter().filter(|row| row.action == "refused").map(|row| row.count).collect();
    assert_eq!(counts, [3]);
}
