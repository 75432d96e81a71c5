//! Edge lease manager against scripted edges: states, replay of missed purges, take-over.

use std::sync::Arc;
use std::time::Duration;

use pilothouse_conformance::doubles::{Behaviour, Reply, ScriptedEdges, ScriptedProvider, unavailable};
use pilothouse_core::Pilothouse;
use pilothouse_core::cdn::{Edge, EdgeLeases, EdgeState};
use pilothouse_core::ports::{CdnProvider, EdgeControl, ProviderError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::cdn::CdnFixture;
use crate::webhook::{events, subscribed};

/// Two edges that need leases.
struct EdgeLeaseFixture {
    cdn: CdnFixture,
    edges: Arc<ScriptedEdges>,
    pilothouse: Pilothouse,
}

impl EdgeLeaseFixture {
    async fn new() -> Self {
        let provider = ScriptedProvider::new(&["edge-1", "edge-2"]);
        let cdn = CdnFixture::with_settings(provider, subscribed()).await;
        let edges = Arc::new(ScriptedEdges::default());
        let pilothouse = with_control(&cdn, &edges);
        Self { cdn, edges, pilothouse }
    }

    /// Starts the edge lease manager of one more server.
    fn start_leases(&self) -> JoinHandle<()> {
        let leases = EdgeLeases::new(self.pilothouse.clone());
        tokio::spawn(async move { leases.run().await })
    }

    async fn rows(&self) -> Vec<Edge> {
        self.cdn.storage.read().await.unwrap().edges().list("level3").await.unwrap()
    }

    /// Waits until an edge is in a state, at most twenty seconds.
    async fn until(&self, edge: &str, state: EdgeState) -> Edge {
        let begun = Instant::now();
        loop {
            let rows = self.rows().await;
            if let Some(found) = rows.iter().find(|row| row.name == edge && row.state == state) {
                return found.clone();
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{rows:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

fn with_control(cdn: &CdnFixture, edges: &Arc<ScriptedEdges>) -> Pilothouse {
    let provider = cdn.level3.clone() as Arc<dyn CdnProvider>;
    let control = edges.clone() as Arc<dyn EdgeControl>;
    let providers = [("level3".to_owned(), provider)].into_iter().collect();
    let providers = pilothouse_core::ports::Providers::with_controls(
        providers,
        [("level3".to_owned(), control)].into_iter().collect(),
    );
    cdn.pilothouse.clone().with_providers(providers)
}

#[tokio::test(start_paused = true)]
async fn a_failing_or_hanging_edge_is_unreachable_within_a_second_with_the_reason() {
    let fixture = EdgeLeaseFixture::new().await;
    let _leases = fixture.start_leases();
    fixture.until("edge-1", EdgeState::InService).await;
    fixture.until("edge-2", EdgeState::InService).await;
    let refused = ProviderError::Unavailable("it answered 500".into());
    for (behaviour, reason) in [
        (Behaviour::Fails(refused), "it answered 500"),
        (Behaviour::Fails(unavailable()), "connection refused"),
        (Behaviour::Hangs, "no answer within 300 ms"),
    ] {
        let begun = Instant::now();
        fixture.edges.set("edge-1", behaviour);
        let unreachable = fixture.until("edge-1", EdgeState::Unreachable).await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{reason}: {:?}", begun.elapsed());
        assert_eq!(unreachable.reason, reason);
        fixture.until("edge-2", EdgeState::InService).await;
        fixture.edges.set("edge-1", Behaviour::Answers);
        let back = fixture.until("edge-1", EdgeState::InService).await;
        assert_eq!(back.reason, "");
    }
}

#[tokio::test(start_paused = true)]
async fn no_lease_is_granted_before_the_missed_purges_are_confirmed() {
    let fixture = EdgeLeaseFixture::new().await;
    fixture.edges.set("edge-1", Behaviour::Fails(unavailable()));
    let _leases = fixture.start_leases();
    fixture.until("edge-2", EdgeState::InService).await;
    fixture.cdn.refresh("http://cdn.exrqs.com/1|http://cdn.exrqs.com/2").await;
    for _ in 0..3 {
        fixture.cdn.level3.next("edge-1", Reply::Fails(unavailable()));
    }
    let each = vec![Ok(()), Err(ProviderError::Unavailable("it answered 503".into()))];
    fixture.cdn.level3.next("edge-1", Reply::Each(each));
    fixture.cdn.level3.next("edge-1", Reply::Waits(Arc::default()));
    fixture.edges.set("edge-1", Behaviour::Answers);
    fixture.until("edge-1", EdgeState::CatchingUp).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        assert!(!fixture.edges.is_leased("edge-1"), "the missed purges are not confirmed yet");
        sleep(Duration::from_millis(50)).await;
    }
    // The replay that hangs times out, and the next one is confirmed.
    let begun = Instant::now();
    while !fixture.edges.is_leased("edge-1") {
        assert!(begun.elapsed() < Duration::from_mins(1));
        sleep(Duration::from_millis(50)).await;
    }
    let calls: Vec<_> = fixture.cdn.level3.calls().into_iter().filter(|(edge, _)| edge == "edge-1").collect();
    assert_eq!(calls, vec![("edge-1".to_owned(), 2); 6]);
}

#[tokio::test(start_paused = true)]
async fn a_purge_the_edge_refuses_for_good_does_not_block_its_lease() {
    let fixture = EdgeLeaseFixture::new().await;
    fixture.cdn.refresh("http://cdn.exrqs.com/1").await;
    let refused = ProviderError::Refused("the edge does not understand it".into());
    fixture.cdn.level3.next("edge-1", Reply::Each(vec![Err(refused)]));
    let _leases = fixture.start_leases();
    fixture.until("edge-1", EdgeState::InService).await;
}

#[tokio::test(start_paused = true)]
async fn an_expired_lease_begins_a_new_session_and_lost_state_purges_every_host() {
    let fixture = EdgeLeaseFixture::new().await;
    fixture.cdn.refresh("http://cdn.exrqs.com/1|http://img.exrqs.com/2").await;
    fixture.cdn.job_runner().turn().await.unwrap();
    let _leases = fixture.start_leases();
    fixture.until("edge-1", EdgeState::InService).await;
    fixture.cdn.level3.urls();
    let first = fixture.edges.session("edge-1").0;
    fixture.edges.end_lease("edge-1");
    while fixture.edges.session("edge-1").0 == first || !fixture.edges.is_leased("edge-1") {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(fixture.edges.session("edge-1").0 > first);
    assert!(fixture.cdn.level3.urls().is_empty(), "it missed no purge");

    fixture.edges.lose_state("edge-1");
    fixture.edges.end_lease("edge-1");
    while !fixture.edges.is_leased("edge-1") {
        sleep(Duration::from_millis(10)).await;
    }
    let hosts = ["http://cdn.exrqs.com/*", "http://img.exrqs.com/*"].map(str::to_owned).to_vec();
    assert_eq!(fixture.cdn.level3.urls(), [("edge-1".to_owned(), hosts)]);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_numbered_after_the_latest_one_of_the_edge() {
    let fixture = EdgeLeaseFixture::new().await;
    let last = 9_000_000_000_000_000;
    fixture.edges.set("edge-1", Behaviour::InLaterSession(last));
    let _leases = fixture.start_leases();
    fixture.until("edge-1", EdgeState::InService).await;
    assert_eq!(fixture.edges.session("edge-1"), (last + 1, true));
}

#[tokio::test(start_paused = true)]
async fn another_server_takes_over_only_when_the_leader_is_gone() {
    let fixture = EdgeLeaseFixture::new().await;
    let first = fixture.start_leases();
    fixture.until("edge-1", EdgeState::InService).await;
    let session = || fixture.edges.session("edge-1").0;
    let of_first = session();
    let _second = fixture.start_leases();
    for _ in 0..20 {
        // The store's clock advances with the time of the runtime.
        sleep(Duration::from_millis(500)).await;
        fixture.cdn.clock.advance(chrono::TimeDelta::milliseconds(500));
    }
    assert_eq!(session(), of_first, "the second server does not begin a session of its own");
    first.abort();
    let begun = Instant::now();
    while session() == of_first {
        assert!(begun.elapsed() < Duration::from_secs(10));
        sleep(Duration::from_millis(100)).await;
        fixture.cdn.clock.advance(chrono::TimeDelta::milliseconds(100));
    }
    fixture.until("edge-1", EdgeState::InService).await;
}

#[tokio::test(start_paused = true)]
async fn webhooks_are_told_of_edges_that_go_and_come_back_but_not_of_restarts() {
    let fixture = EdgeLeaseFixture::new().await;
    let leases = fixture.start_leases();
    for edge in ["edge-1", "edge-2"] {
        fixture.until(edge, EdgeState::InService).await;
    }
    fixture.edges.set("edge-1", Behaviour::Fails(unavailable()));
    fixture.until("edge-1", EdgeState::Unreachable).await;
    fixture.edges.set("edge-1", Behaviour::Answers);
    fixture.until("edge-1", EdgeState::InService).await;
    leases.abort();
    fixture.cdn.clock.advance(chrono::TimeDelta::seconds(6));
    let session = fixture.edges.session("edge-1").0;
    let _leases = fixture.start_leases();
    while fixture.edges.session("edge-1").0 == session || !fixture.edges.is_leased("edge-1") {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_secs(1)).await;
    let mut told = Vec::new();
    for (event, data) in events(&*fixture.cdn.storage).await {
        assert_eq!(data["cdn"], "level3");
        if data["edge"] == "edge-1" {
            told.push((event, data["reason"].as_str().unwrap().to_owned()));
        }
    }
    let expected =
        [("edge.in_service", ""), ("edge.unreachable", "connection refused"), ("edge.in_service", "")];
    assert_eq!(told, expected.map(|(event, reason)| (event.to_owned(), reason.to_owned())));
}
