//! What the providers serve, as the states of domains.

use pilothouse_core::cdn::{DomainState, Synced};

use crate::world::{Fake, World, down};

async fn states(world: &World) -> Vec<DomainState> {
    let mut snapshot = world.storage.read().await.unwrap();
    let domains = snapshot.domains().of_account(world.user.id, None).await.unwrap();
    domains.iter().map(|domain| domain.state).collect()
}

fn changed(n: usize) -> Vec<Synced> {
    vec![Synced { cdn: "level3".into(), changed: Ok(n) }]
}

#[tokio::test]
async fn states_follow_what_the_provider_serves() {
    use DomainState::{Active, Offline, Pending};
    let world = World::with(Fake::new(&["edge-1"]).that(|can| can.list_domains = true)).await;
    assert_eq!(states(&world).await, [Pending, Pending]);
    world.level3.serves(Ok(&["stranger.com", "cdn.exrqs.com"]));
    assert_eq!(world.pilothouse.sync().await.unwrap(), changed(1));
    assert_eq!(states(&world).await, [Active, Pending]);
    world.level3.serves(Ok(&["img.exrqs.com"]));
    assert_eq!(world.pilothouse.sync().await.unwrap(), changed(2));
    assert_eq!(states(&world).await, [Offline, Active]);
    assert_eq!(world.pilothouse.sync().await.unwrap(), changed(0));
    assert_eq!(states(&world).await, [Offline, Active]);

    world.level3.serves(Err(down()));
    let failed = world.pilothouse.sync().await.unwrap();
    assert_eq!(failed, [Synced { cdn: "level3".into(), changed: Err(down()) }]);
    assert_eq!(states(&world).await, [Offline, Active], "who does not answer changes nothing");
}

#[tokio::test]
async fn a_provider_without_a_list_serves_whatever_customers_are_given() {
    let world = World::new().await;
    world.add_qcloud_domain("q.exrqs.com").await;
    assert_eq!(world.pilothouse.sync().await.unwrap(), changed(3), "the other customer's domain too");
    let pending = DomainState::Pending;
    assert_eq!(
        states(&world).await,
        [DomainState::Active, DomainState::Active, pending],
        "qcloud has no provider"
    );
}
