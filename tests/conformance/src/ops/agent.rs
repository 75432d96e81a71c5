//! Agents of machines: their rows, codes and instances.

use std::sync::Arc;

use pilothouse_core::account::Group;
use pilothouse_core::ops::{Agent, AgentFacts, MachineNumber, Poll};
use pilothouse_core::ports::Storage;
use pilothouse_core::{ErrorKind, Pilothouse};

use super::machine::machine;
use crate::Fixture;
use crate::race::race;
use crate::rows::{AWKWARD, moment};

async fn add_machine(storage: &Arc<dyn Storage>, n: i64) -> MachineNumber {
    let mut work = storage.begin().await.unwrap();
    assert!(work.machines().insert(&machine(n)).await.unwrap());
    let id = work.machines().find(&machine(n).machine_name).await.unwrap().unwrap().id;
    work.commit().await.unwrap();
    id
}

/// An agent is saved, found by machine, token and code, changed, and goes with its machine.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let id = add_machine(&storage, 1).await;
    let facts = AgentFacts { hostname: "web01".into(), os: AWKWARD.into(), ..AgentFacts::default() };
    let agent = Agent {
        token: Some([1; 32]),
        code: Some([2; 32]),
        code_expires: Some(moment(5)),
        instance: "a b".into(),
        last_seen: Some(moment(1)),
        facts,
        ..Agent::new(id)
    };
    let mut work = storage.begin().await.unwrap();
    work.agents().save(&Agent::new(id)).await.unwrap();
    work.agents().save(&agent).await.unwrap();
    assert_eq!(work.agents().find(id).await.unwrap(), Some(agent.clone()));
    assert_eq!(work.agents().by_token(&[1; 32]).await.unwrap(), Some(agent.clone()));
    assert_eq!(work.agents().by_code(&[2; 32]).await.unwrap(), Some(agent.clone()));
    assert_eq!(work.agents().by_token(&[2; 32]).await.unwrap(), None);
    let seen = Agent { instance: "c".into(), duplicate_seen: Some(moment(9)), ..agent.clone() };
    assert!(!work.agents().touch(&[3; 32], &seen).await.unwrap(), "another token");
    assert!(work.agents().touch(&[1; 32], &seen).await.unwrap());
    assert_eq!(work.agents().find(id).await.unwrap(), Some(seen));
    assert!(work.machines().delete(&machine(1).machine_name).await.unwrap());
    assert_eq!(work.agents().find(id).await.unwrap(), None);
    work.commit().await.unwrap();
}

/// A next token is found beside the first, and takes its place once.
pub(crate) async fn tokens_are_renewed(storage: Arc<dyn Storage>) {
    let id = add_machine(&storage, 1).await;
    let agent = Agent { token: Some([1; 32]), ..Agent::new(id) };
    let mut work = storage.begin().await.unwrap();
    work.agents().save(&agent).await.unwrap();
    assert!(!work.agents().set_next_token(&[2; 32], &[3; 32]).await.unwrap(), "another token");
    assert!(work.agents().set_next_token(&[1; 32], &[3; 32]).await.unwrap());
    let renewed = Agent { next_token: Some([3; 32]), ..agent.clone() };
    for token in [[1; 32], [3; 32]] {
        assert_eq!(work.agents().by_token(&token).await.unwrap(), Some(renewed.clone()));
        let seen = Agent { last_seen: Some(moment(1)), ..renewed.clone() };
        assert!(work.agents().touch(&token, &seen).await.unwrap());
        work.agents().save(&renewed).await.unwrap();
    }
    assert!(!work.agents().set_next_token(&[3; 32], &[4; 32]).await.unwrap(), "it was not used yet");
    assert!(work.agents().promote_token(&[3; 32]).await.unwrap());
    assert!(!work.agents().promote_token(&[3; 32]).await.unwrap());
    let promoted = Agent { token: Some([3; 32]), ..agent };
    assert_eq!(work.agents().by_token(&[3; 32]).await.unwrap(), Some(promoted));
    assert_eq!(work.agents().by_token(&[1; 32]).await.unwrap(), None);
    work.commit().await.unwrap();
}

/// A fixture with a machine, and the code of its agent.
async fn with_code(storage: &Arc<dyn Storage>) -> (Fixture, String) {
    add_machine(storage, 1).await;
    let fixture = Fixture::new(storage.clone());
    let ann = fixture.account("ann", Group::ALL.into_iter().collect()).await;
    let code = fixture.pilothouse.agents().enroll(&ann, &machine(1).machine_name).await.unwrap().code;
    (fixture, code)
}

/// A code enrols one agent, however many use it at once, and sets its machine up.
pub(crate) async fn a_code_is_used_once(storage: Arc<dyn Storage>) {
    let (fixture, code) = with_code(&storage).await;
    let server = Arc::new(fixture.another_server());
    let enrolled = race(&storage, |_, _| {
        let (server, code): (Arc<Pilothouse>, _) = (server.clone(), code.clone());
        async move { server.agents().redeem(&code, AgentFacts::default()).await }
    })
    .await;
    assert_eq!(enrolled.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(enrolled.iter().flat_map(Result::as_ref).all(|one| one.token != code), "a token is no code");
    let kinds = enrolled.iter().filter_map(|answer| answer.as_ref().err()).map(pilothouse_core::Error::kind);
    assert!(kinds.into_iter().all(|kind| kind == ErrorKind::Unauthenticated));
    let found = storage.read().await.unwrap().machines().find(&machine(1).machine_name).await.unwrap();
    assert!(found.unwrap().is_initialized);
}

/// A revoked agent opens nothing, and who may not enrol gets no code.
pub(crate) async fn revoked(storage: Arc<dyn Storage>) {
    let (fixture, code) = with_code(&storage).await;
    let agents = fixture.pilothouse.agents();
    let token = agents.redeem(&code, AgentFacts::default()).await.unwrap().token;
    let reader = fixture.account("bob", [Group::ReadMachines].into_iter().collect()).await;
    let name = machine(1).machine_name;
    assert_eq!(agents.enroll(&reader, &name).await.unwrap_err().kind(), ErrorKind::Forbidden);
    let caller = agents.authenticate(&token).await.unwrap();
    let ann = fixture.account("eve", Group::ALL.into_iter().collect()).await;
    agents.revoke(&ann, &name).await.unwrap();
    assert_eq!(agents.authenticate(&token).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    let poll = Poll { instance: "a".into(), boot: "b".into(), wait: 0 };
    assert_eq!(agents.poll(&caller, &poll).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    assert_eq!(agents.revoke(&ann, &name).await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// While one instance polls, another with the same token is refused, and that is noted.
pub(crate) async fn a_second_instance_is_refused(storage: Arc<dyn Storage>) {
    let (fixture, code) = with_code(&storage).await;
    let agents = fixture.pilothouse.agents();
    let token = agents.redeem(&code, AgentFacts::default()).await.unwrap().token;
    let caller = agents.authenticate(&token).await.unwrap();
    let poll = |boot: &str| Poll { instance: "a".into(), boot: boot.into(), wait: 0 };
    assert_eq!(agents.poll(&caller, &poll("1")).await.unwrap(), None);
    assert_eq!(agents.poll(&caller, &poll("2")).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(agents.poll(&caller, &poll("1")).await.unwrap(), None);
    let agent = storage.read().await.unwrap().agents().find(caller.machine).await.unwrap().unwrap();
    assert!(agent.instance == "a 1" && agent.duplicate_seen.is_some());
}
