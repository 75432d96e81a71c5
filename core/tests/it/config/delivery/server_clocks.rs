//! Acknowledgements at servers whose clocks differ: the store's clock orders them.

use std::sync::Arc;

use chrono::TimeDelta;
use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::ManualClock;
use pilothouse_conformance::rows::item_name;
use pilothouse_core::account::Groups;
use pilothouse_core::config::{AckResult, Report, Selector};
use pilothouse_storage_memory::MemoryStorage;

use super::fixture::new_node;

const NOW: i64 = 1_473_752_647;

#[tokio::test]
async fn the_later_acknowledgement_counts_whichever_server_it_reached() {
    let clock = Arc::new(ManualClock::at(NOW));
    let storage = Arc::new(MemoryStorage::with_clock(clock.clone()));
    let ahead = Arc::new(ManualClock::at(NOW + 8 * 3600));
    let servers =
        [ahead.clone(), clock.clone()].map(|clock| Fixture::builder(storage.clone()).clock(clock).build());
    let [first, second] = &servers;
    let owner = first.account("owner", Groups::NONE).await;
    first.app(&owner, "app").await;
    let item = first.approved_item(&owner, &item_name("app", "k"), "v").await;
    let release =
        first.pilothouse.releases().publish(&owner, item, &Selector::default(), None).await.unwrap().release;
    let session =
        async |server: &Fixture| server.pilothouse.delivery().open_unsigned("app").await.unwrap().unwrap();
    session(first).await.register(new_node("11")).await.unwrap();
    let ack = async |server: &Fixture, result: AckResult| {
        let report = Report { key: "k".into(), version: 1, result, message: String::new() };
        session(server).await.node("dev", "11").await.unwrap().ack(vec![report]).await.unwrap();
        ahead.advance(TimeDelta::seconds(1));
        clock.advance(TimeDelta::seconds(1));
    };
    let state = async || {
        let status = second.pilothouse.rollouts().status(&owner, release).await.unwrap();
        (format!("{:?}", status.nodes[0].state), status.nodes[0].acked.unwrap().timestamp() - NOW)
    };
    session(first).await.node("dev", "11").await.unwrap().config(0).await.unwrap();
    ack(first, AckResult::Rejected).await;
    assert_eq!(state().await, ("Rejected".to_owned(), 0));
    ack(second, AckResult::Applied).await;
    assert_eq!(state().await, ("Applied".to_owned(), 1), "the first server's clock is eight hours ahead");
    ack(first, AckResult::Failed).await;
    assert_eq!(state().await, ("Failed".to_owned(), 2));
    let status = second.pilothouse.rollouts().status(&owner, release).await.unwrap();
    assert_eq!(status.nodes[0].sent.unwrap().timestamp(), NOW, "sendings, too");
    assert_eq!(status.rollout.release.publish_time.timestamp(), NOW, "and the publication");
}
