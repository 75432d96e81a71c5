//! Domain states synchronised with the domains that a provider lists.

use pilothouse_conformance::doubles::{ScriptedProvider, unavailable};
use pilothouse_core::ErrorKind;
use pilothouse_core::cdn::{DomainState, Synced};

use crate::cdn::CdnFixture;

async fn states(fixture: &CdnFixture) -> Vec<DomainState> {
    let mut snapshot = fixture.storage.read().await.unwrap();
    let domains = snapshot.domains().of_account(fixture.user.id, None).await.unwrap();
    domains.iter().map(|domain| domain.state).collect()
}

fn changed(n: usize) -> Vec<Synced> {
    vec![Synced { cdn: "level3".into(), changed: Ok(n) }]
}

#[tokio::test]
async fn domain_states_follow_the_list_of_the_provider() {
    use DomainState::{Active, Offline, Pending};
    let fixture =
        CdnFixture::with(ScriptedProvider::new(&["edge-1"]).with_capabilities(|can| can.list_domains = true))
            .await;
    assert_eq!(states(&fixture).await, [Pending, Pending]);
    fixture.level3.serves(Ok(&["stranger.com", "cdn.exrqs.com"]));
    assert_eq!(fixture.pilothouse.sync().await.unwrap(), changed(1));
    assert_eq!(states(&fixture).await, [Active, Pending]);
    fixture.level3.serves(Ok(&["img.exrqs.com"]));
    assert_eq!(fixture.pilothouse.sync().await.unwrap(), changed(2));
    assert_eq!(states(&fixture).await, [Offline, Active]);
    assert_eq!(fixture.pilothouse.sync().await.unwrap(), changed(0));
    assert_eq!(states(&fixture).await, [Offline, Active]);

    fixture.level3.serves(Err(unavailable()));
    let failed = fixture.pilothouse.sync().await.unwrap();
    assert_eq!(failed, [Synced { cdn: "level3".into(), changed: Err(unavailable()) }]);
    assert_eq!(states(&fixture).await, [Offline, Active], "a provider that fails changes no state");
}

#[tokio::test]
async fn what_a_provider_serves_is_recorded_until_it_says_otherwise() {
    let fixture =
        CdnFixture::with(ScriptedProvider::new(&["edge-1"]).with_capabilities(|can| can.list_domains = true))
            .await;
    let operator = fixture.operator.clone();
    let services = async || {
        let listed = fixture.pilothouse.cdn_services().list(&operator, "level3").await.unwrap();
        listed.into_iter().map(|served| served.domain).collect::<Vec<_>>()
    };
    assert_eq!(services().await, [""; 0]);
    fixture.level3.serves(Ok(&["stranger.com", "cdn.exrqs.com", "cdn.exrqs.com"]));
    fixture.pilothouse.sync().await.unwrap();
    assert_eq!(services().await, ["cdn.exrqs.com", "stranger.com"], "also what no customer has");
    fixture.level3.serves(Err(unavailable()));
    fixture.pilothouse.sync().await.unwrap();
    assert_eq!(services().await, ["cdn.exrqs.com", "stranger.com"]);
    fixture.level3.serves(Ok(&["img.exrqs.com"]));
    fixture.pilothouse.sync().await.unwrap();
    assert_eq!(services().await, ["img.exrqs.com"]);
    let services = fixture.pilothouse.cdn_services();
    let refused = services.list(&fixture.user, "level3").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    assert_eq!(services.list(&operator, "nothing").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn every_domain_is_active_on_a_provider_that_lists_none() {
    let fixture = CdnFixture::new().await;
    fixture.add_qcloud_domain("q.exrqs.com").await;
    assert_eq!(fixture.pilothouse.sync().await.unwrap(), changed(3), "the other customer's domain too");
    let pending = DomainState::Pending;
    assert_eq!(
        states(&fixture).await,
        [DomainState::Active, DomainState::Active, pending],
        "qcloud has no provider"
    );
}
