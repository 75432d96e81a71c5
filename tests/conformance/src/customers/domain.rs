//! Domains of customers: claims, states, release and reclaim.

use std::sync::Arc;

use pilothouse_core::account::{AccountId, Group};
use pilothouse_core::cdn::{CdnId, Domain, DomainId, DomainState};
use pilothouse_core::ports::Storage;

use super::customer::customer;
use crate::Fixture;
use crate::doubles::ScriptedProvider;
use crate::race::race;
use crate::rows::{add_cdn, add_customer};

/// Claims a domain that nobody holds, and answers its id.
pub async fn add_domain(storage: &Arc<dyn Storage>, account: AccountId, cdn: CdnId, name: &str) -> DomainId {
    let mut work = storage.begin().await.unwrap();
    assert!(work.domains().claim(account, cdn, name).await.unwrap());
    let id = work.domains().find(cdn, name).await.unwrap().unwrap().id;
    work.commit().await.unwrap();
    id
}

/// Domains are found by name, id, cdn and customer; states are set.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let (first, other) = (add_customer(&storage, 1).await, add_customer(&storage, 2).await);
    let (level3, qcloud) = (add_cdn(&storage, "level3").await, add_cdn(&storage, "qcloud").await);
    let mut domains = Vec::new();
    for (account_id, cdn_id, name) in
        [(first, level3, "b.test"), (first, qcloud, "b.test"), (other, level3, "a.test")]
    {
        let id = add_domain(&storage, account_id, cdn_id, name).await;
        domains.push(Domain { id, cdn_id, account_id, name: name.into(), state: DomainState::Pending });
    }
    let mut work = storage.begin().await.unwrap();
    let held = work.domains();
    assert!(held.claim(first, level3, "b.test").await.unwrap(), "its own again");
    assert!(!held.claim(other, level3, "b.test").await.unwrap(), "another's");
    assert_eq!(held.find(level3, "b.test").await.unwrap().as_ref(), Some(&domains[0]));
    assert_eq!(held.find(qcloud, "a.test").await.unwrap(), None);
    assert_eq!(held.of_account(first, None).await.unwrap(), domains[..2]);
    assert_eq!(held.of_account(first, Some(qcloud)).await.unwrap(), domains[1..2]);
    assert_eq!(held.of_account(other, Some(qcloud)).await.unwrap(), []);
    assert_eq!(held.of_cdn(level3).await.unwrap(), [domains[0].clone(), domains[2].clone()]);
    let unknown = DomainId(domains[2].id.0 + 1);
    let ids = [domains[2].id, unknown, domains[0].id];
    assert_eq!(held.by_ids(&ids).await.unwrap(), [domains[2].clone(), domains[0].clone()]);

    let states = [
        (domains[0].id, DomainState::Active),
        (unknown, DomainState::Active),
        (domains[2].id, DomainState::Offline),
    ];
    held.set_states(&states).await.unwrap();
    assert!(held.claim(first, level3, "b.test").await.unwrap());
    let now: Vec<_> = held.of_cdn(level3).await.unwrap().into_iter().map(|domain| domain.state).collect();
    assert_eq!(now, [DomainState::Active, DomainState::Offline], "its own again leaves the state");
    work.commit().await.unwrap();
}

/// A released domain is anybody's; its first holder gets the same id back, another one a new id.
pub(crate) async fn released_and_claimed_again(storage: Arc<dyn Storage>) {
    let (first, other) = (add_customer(&storage, 1).await, add_customer(&storage, 2).await);
    let level3 = add_cdn(&storage, "level3").await;
    let id = add_domain(&storage, first, level3, "a.test").await;
    let kept = add_domain(&storage, first, level3, "kept.test").await;

    let mut work = storage.begin().await.unwrap();
    work.domains().set_states(&[(id, DomainState::Active)]).await.unwrap();
    work.domains().release(&[id, DomainId(kept.0 + 1)]).await.unwrap();
    work.domains().release(&[id]).await.unwrap();
    assert_eq!(work.domains().find(level3, "a.test").await.unwrap(), None);
    assert_eq!(work.domains().by_ids(&[id]).await.unwrap(), []);
    let left = work.domains().of_account(first, None).await.unwrap();
    assert_eq!(left.iter().map(|domain| domain.id).collect::<Vec<_>>(), [kept]);
    work.commit().await.unwrap();

    let others = add_domain(&storage, other, level3, "a.test").await;
    assert_ne!(others, id);
    let mut work = storage.begin().await.unwrap();
    assert!(!work.domains().claim(first, level3, "a.test").await.unwrap());
    work.domains().release(&[others]).await.unwrap();
    work.commit().await.unwrap();

    assert_eq!(add_domain(&storage, first, level3, "a.test").await, id);
    let again = storage.read().await.unwrap().domains().by_ids(&[id]).await.unwrap();
    assert_eq!(again[0].state, DomainState::Pending);
}

/// Of many customers that claim one domain at once, one gets it.
pub(crate) async fn race_of_customers(storage: Arc<dyn Storage>) {
    let level3 = add_cdn(&storage, "level3").await;
    let mut customers = Vec::new();
    for n in 0..16 {
        customers.push(add_customer(&storage, n).await);
    }
    // Every second one held it before, so that claims of both kinds meet.
    for account in customers.iter().step_by(2) {
        let id = add_domain(&storage, *account, level3, "a.test").await;
        let mut work = storage.begin().await.unwrap();
        work.domains().release(&[id]).await.unwrap();
        work.commit().await.unwrap();
    }
    let claimants = customers.clone();
    let won = race(&storage, move |storage: Arc<dyn Storage>, n| {
        let account = claimants[usize::try_from(n).unwrap()];
        async move {
            let mut work = storage.begin().await.unwrap();
            let won = work.domains().claim(account, level3, "a.test").await.unwrap();
            work.commit().await.unwrap();
            won.then_some(account)
        }
    })
    .await;
    let winners: Vec<_> = won.into_iter().flatten().collect();
    let holder = storage.read().await.unwrap().domains().find(level3, "a.test").await.unwrap().unwrap();
    assert_eq!(winners, [holder.account_id]);
}

/// Withdrawn access releases its domains, and so does a deleted account; new access gets the old ids back.
pub(crate) async fn released_with_its_customer(storage: Arc<dyn Storage>) {
    let (first, deleted) = (add_customer(&storage, 1).await, add_customer(&storage, 2).await);
    let level3 = add_cdn(&storage, "level3").await;
    let id = add_domain(&storage, first, level3, "a.test").await;
    add_domain(&storage, deleted, level3, "b.test").await;

    let mut work = storage.begin().await.unwrap();
    work.customers().map(deleted, level3, None).await.unwrap();
    assert!(work.customers().delete(first).await.unwrap());
    assert!(work.accounts().delete(deleted).await.unwrap());
    assert_eq!(work.domains().of_cdn(level3).await.unwrap(), []);
    assert_eq!(work.customers().find(deleted).await.unwrap(), None);
    assert!(work.customers().cdns(deleted).await.unwrap().is_empty());
    assert!(work.customers().insert(&customer(first, 1)).await.unwrap());
    work.commit().await.unwrap();

    assert_eq!(add_domain(&storage, first, level3, "a.test").await, id);
    add_domain(&storage, first, level3, "b.test").await;
}

/// A domain that is known to be served is active as soon as it is claimed; a cdn without a provider shows none as such.
pub(crate) async fn known_domains_are_active_at_once(storage: Arc<dyn Storage>) {
    let listing = ScriptedProvider::new(&["edge-1"]).with_capabilities(|can| {
        can.list_domains = true;
        can.known_domains = vec!["known.test".to_owned()];
    });
    let fixture = Fixture::builder(storage)
        .provider("listing", Arc::new(listing))
        .provider("own", Arc::new(ScriptedProvider::new(&["edge-1"])))
        .build();
    let root = fixture.account("root", [Group::Cdn].into_iter().collect()).await;
    fixture.customer("ann", "bare", &[]).await;
    let names = ["known.test".to_owned(), "other.test".to_owned()];
    for (cdn, expected) in [
        ("listing", [DomainState::Active, DomainState::Pending]),
        ("own", [DomainState::Active, DomainState::Active]),
        ("bare", [DomainState::Pending, DomainState::Pending]),
    ] {
        fixture.cdn(cdn).await;
        let held = fixture.pilothouse.domains().add(&root, "ann@example.com", cdn, &names).await.unwrap();
        let held = held.into_iter().find(|held| held.cdn.name == cdn).unwrap();
        assert_eq!(held.domains.iter().map(|domain| domain.state).collect::<Vec<_>>(), expected, "{cdn}");
    }
}
