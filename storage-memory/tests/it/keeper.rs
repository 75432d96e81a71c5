//! The keeper of edges against edges that do as they are told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pilothouse_core::Pilothouse;
use pilothouse_core::cdn::{Edge, EdgeKeeper, EdgeState};
use pilothouse_core::ports::{CdnProvider, EdgeControl, Hello, ProviderError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::world::{Fake, Reply, World, down};

/// How an edge answers about its session from now on.
#[derive(Clone, Debug)]
enum Mood {
    /// As it should.
    Well,
    /// Every call fails.
    Fails(ProviderError),
    /// No call is ever answered.
    Hangs,
    /// It is in a session of this number or later, of another server.
    Later(i64),
}

/// Edges with sessions and leases.
#[derive(Debug, Default)]
struct Sessions {
    moods: Mutex<BTreeMap<String, Mood>>,
    /// The session of each edge, and whether it was granted a lease in it.
    sessions: Mutex<BTreeMap<String, (i64, bool)>>,
    /// Edges that have lost what they knew.
    forgetful: Mutex<Vec<String>>,
}

impl Sessions {
    fn set(&self, edge: &str, mood: Mood) {
        self.moods.lock().unwrap().insert(edge.to_owned(), mood);
    }

    fn is_leased(&self, edge: &str) -> bool {
        self.sessions.lock().unwrap().get(edge).is_some_and(|(_, leased)| *leased)
    }

    /// The lease ends, as it does when nobody renews it in time.
    fn end_lease(&self, edge: &str) {
        self.sessions.lock().unwrap().get_mut(edge).unwrap().1 = false;
    }

    async fn answer(&self, edge: &str) -> Result<(), ProviderError> {
        let mood = self.moods.lock().unwrap().get(edge).cloned().unwrap_or(Mood::Well);
        match mood {
            Mood::Well | Mood::Later(_) => Ok(()),
            Mood::Fails(error) => Err(error),
            Mood::Hangs => std::future::pending().await,
        }
    }
}

#[async_trait]
impl EdgeControl for Sessions {
    async fn hello(&self, edge: &str, session: i64, _epoch: i64) -> Result<Hello, ProviderError> {
        self.answer(edge).await?;
        if let Some(Mood::Later(last)) = self.moods.lock().unwrap().get(edge)
            && session <= *last
        {
            return Ok(Hello::Later(*last));
        }
        self.sessions.lock().unwrap().insert(edge.to_owned(), (session, false));
        let mut forgetful = self.forgetful.lock().unwrap();
        let before = forgetful.len();
        forgetful.retain(|name| name != edge);
        Ok(if forgetful.len() < before { Hello::Forgot } else { Hello::Remembers })
    }

    async fn grant(&self, edge: &str, session: i64) -> Result<bool, ProviderError> {
        self.answer(edge).await?;
        let mut sessions = self.sessions.lock().unwrap();
        let held = sessions.get_mut(edge).filter(|(held, _)| *held == session);
        Ok(held.map(|held| held.1 = true).is_some())
    }

    async fn renew(&self, edge: &str, session: i64) -> Result<bool, ProviderError> {
        self.answer(edge).await?;
        Ok(self.sessions.lock().unwrap().get(edge) == Some(&(session, true)))
    }
}

/// A world whose two edges need leases.
struct Place {
    world: World,
    sessions: Arc<Sessions>,
    pilothouse: Pilothouse,
}

impl Place {
    async fn new() -> Self {
        let world = World::with(Fake::new(&["edge-1", "edge-2"])).await;
        let sessions = Arc::new(Sessions::default());
        let pilothouse = with(&world, &sessions);
        Self { world, sessions, pilothouse }
    }

    /// A keeper, as of one more server.
    fn keeper(&self) -> JoinHandle<()> {
        let keeper = EdgeKeeper::new(self.pilothouse.clone());
        tokio::spawn(async move { keeper.run().await })
    }

    async fn edges(&self) -> Vec<Edge> {
        self.world.storage.read().await.unwrap().edges().list("level3").await.unwrap()
    }

    /// Waits until an edge is in a state, for some seconds at the most.
    async fn until(&self, edge: &str, state: EdgeState) -> Edge {
        let begun = Instant::now();
        loop {
            let edges = self.edges().await;
            if let Some(found) = edges.iter().find(|row| row.name == edge && row.state == state) {
                return found.clone();
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{edges:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

fn with(world: &World, sessions: &Arc<Sessions>) -> Pilothouse {
    let provider = world.level3.clone() as Arc<dyn CdnProvider>;
    let control = sessions.clone() as Arc<dyn EdgeControl>;
    let providers = [("level3".to_owned(), provider)].into_iter().collect();
    let providers = pilothouse_core::ports::Providers::with_controls(
        providers,
        [("level3".to_owned(), control)].into_iter().collect(),
    );
    world.pilothouse.clone().with_providers(providers)
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_fails_or_hangs_is_cut_off_within_a_second_and_named() {
    let place = Place::new().await;
    let _keeper = place.keeper();
    place.until("edge-1", EdgeState::InService).await;
    place.until("edge-2", EdgeState::InService).await;
    let refused = ProviderError::Unavailable("it answered 500".into());
    for (mood, reason) in [
        (Mood::Fails(refused), "it answered 500"),
        (Mood::Fails(down()), "connection refused"),
        (Mood::Hangs, "no answer within 300 ms"),
    ] {
        let begun = Instant::now();
        place.sessions.set("edge-1", mood);
        let cut = place.until("edge-1", EdgeState::CutOff).await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{reason}: {:?}", begun.elapsed());
        assert_eq!(cut.reason, reason);
        place.until("edge-2", EdgeState::InService).await;
        place.sessions.set("edge-1", Mood::Well);
        let back = place.until("edge-1", EdgeState::InService).await;
        assert_eq!(back.reason, "");
    }
}

#[tokio::test(start_paused = true)]
async fn an_edge_is_granted_nothing_before_it_was_told_what_it_missed() {
    let place = Place::new().await;
    place.sessions.set("edge-1", Mood::Fails(down()));
    let _keeper = place.keeper();
    place.until("edge-2", EdgeState::InService).await;
    place.world.refresh("http://cdn.exrqs.com/1|http://cdn.exrqs.com/2").await;
    for _ in 0..3 {
        place.world.level3.next("edge-1", Reply::Fails(down()));
    }
    let each = vec![Ok(()), Err(ProviderError::Unavailable("it answered 503".into()))];
    place.world.level3.next("edge-1", Reply::Each(each));
    place.world.level3.next("edge-1", Reply::Waits(Arc::default()));
    place.sessions.set("edge-1", Mood::Well);
    place.until("edge-1", EdgeState::Paying).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        assert!(!place.sessions.is_leased("edge-1"), "it has not confirmed what it missed");
        sleep(Duration::from_millis(50)).await;
    }
    // The payment that hangs is given up, and the next one is confirmed.
    let begun = Instant::now();
    while !place.sessions.is_leased("edge-1") {
        assert!(begun.elapsed() < Duration::from_mins(1));
        sleep(Duration::from_millis(50)).await;
    }
    let told: Vec<_> = place.world.level3.calls().into_iter().filter(|(edge, _)| edge == "edge-1").collect();
    assert_eq!(told, vec![("edge-1".to_owned(), 2); 6]);
}

#[tokio::test(start_paused = true)]
async fn what_an_edge_will_never_do_does_not_keep_it_out() {
    let place = Place::new().await;
    place.world.refresh("http://cdn.exrqs.com/1").await;
    let refused = ProviderError::Refused("the edge does not understand it".into());
    place.world.level3.next("edge-1", Reply::Each(vec![Err(refused)]));
    let _keeper = place.keeper();
    place.until("edge-1", EdgeState::InService).await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_ended_is_a_new_session_and_one_that_forgot_is_told_its_hosts() {
    let place = Place::new().await;
    place.world.refresh("http://cdn.exrqs.com/1|http://img.exrqs.com/2").await;
    place.world.engine().turn().await.unwrap();
    let _keeper = place.keeper();
    place.until("edge-1", EdgeState::InService).await;
    place.world.level3.urls();
    let session = |place: &Place| place.sessions.sessions.lock().unwrap()["edge-1"];
    let first = session(&place).0;
    place.sessions.end_lease("edge-1");
    while session(&place).0 == first || !place.sessions.is_leased("edge-1") {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(session(&place).0 > first);
    assert!(place.world.level3.urls().is_empty(), "it owed nothing");

    place.sessions.forgetful.lock().unwrap().push("edge-1".into());
    place.sessions.end_lease("edge-1");
    while !place.sessions.is_leased("edge-1") {
        sleep(Duration::from_millis(10)).await;
    }
    let hosts = ["http://cdn.exrqs.com/*", "http://img.exrqs.com/*"].map(str::to_owned).to_vec();
    assert_eq!(place.world.level3.urls(), [("edge-1".to_owned(), hosts)]);
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_was_in_a_later_session_begins_one_after_it() {
    let place = Place::new().await;
    let last = 9_000_000_000_000_000;
    place.sessions.set("edge-1", Mood::Later(last));
    let _keeper = place.keeper();
    place.until("edge-1", EdgeState::InService).await;
    assert_eq!(place.sessions.sessions.lock().unwrap()["edge-1"], (last + 1, true));
}

#[tokio::test(start_paused = true)]
async fn another_keeper_takes_over_when_the_first_is_gone_and_not_before() {
    let place = Place::new().await;
    let first = place.keeper();
    place.until("edge-1", EdgeState::InService).await;
    let session = |place: &Place| place.sessions.sessions.lock().unwrap()["edge-1"].0;
    let of_first = session(&place);
    let _second = place.keeper();
    for _ in 0..20 {
        // The store's clock goes as time does.
        sleep(Duration::from_millis(500)).await;
        place.world.clock.advance(chrono::TimeDelta::milliseconds(500));
    }
    assert_eq!(session(&place), of_first, "two keepers do not fight for an edge");
    first.abort();
    let begun = Instant::now();
    while session(&place) == of_first {
        assert!(begun.elapsed() < Duration::from_secs(10));
        sleep(Duration::from_millis(100)).await;
        place.world.clock.advance(chrono::TimeDelta::milliseconds(100));
    }
    place.until("edge-1", EdgeState::InService).await;
}
