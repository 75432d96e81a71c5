//! Cdns, customers, their domains, and companies.

use std::sync::Arc;

use super::account::add_account;
use super::{AWKWARD, race};
use crate::account::AccountId;
use crate::cdn::{Cdn, CdnId, Company, Customer, Domain, DomainId, DomainState};
use crate::ports::Storage;

/// Access for the account with this id, whose mail is that of [`super::account::account`] `n`.
pub fn customer(account_id: AccountId, n: i64) -> Customer {
    let mail = format!("Name{n}@Example.com");
    Customer { account_id, mail, password: "$argon2id$…".into(), operations: n % 2 == 1, version: 1 }
}

/// Adds an account `n` with cdn access.
pub async fn add_customer(storage: &Arc<dyn Storage>, n: i64) -> AccountId {
    let id = add_account(storage, n).await;
    let mut work = storage.begin().await.unwrap();
    assert!(work.customers().insert(&customer(id, n)).await.unwrap());
    work.commit().await.unwrap();
    id
}

/// Adds a cdn of this name.
pub async fn add_cdn(storage: &Arc<dyn Storage>, name: &str) -> CdnId {
    let mut work = storage.begin().await.unwrap();
    let id = work.cdns().insert(name).await.unwrap().unwrap();
    work.commit().await.unwrap();
    id
}

/// Claims a domain that nobody holds, and answers its id.
pub async fn add_domain(storage: &Arc<dyn Storage>, account: AccountId, cdn: CdnId, name: &str) -> DomainId {
    let mut work = storage.begin().await.unwrap();
    assert!(work.domains().claim(account, cdn, name).await.unwrap());
    let id = work.domains().find(cdn, name).await.unwrap().unwrap().id;
    work.commit().await.unwrap();
    id
}

/// Cdns are added, found, listed and renamed; a taken name is refused without spoiling the transaction.
pub async fn cdn_round_trip(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    let cdns = work.cdns();
    let first = Cdn { id: cdns.insert("level3").await.unwrap().unwrap(), name: "level3".into() };
    let second = Cdn { id: cdns.insert("qcloud").await.unwrap().unwrap(), name: "qcloud".into() };
    assert_eq!(cdns.insert("level3").await.unwrap(), None);
    assert_eq!(cdns.by_id(first.id).await.unwrap().as_ref(), Some(&first));
    assert_eq!(cdns.by_name("qcloud").await.unwrap().as_ref(), Some(&second));
    assert_eq!(cdns.by_name("Qcloud").await.unwrap(), None);
    assert_eq!(cdns.list().await.unwrap(), [first.clone(), second.clone()]);

    assert!(!cdns.rename(&Cdn { name: "level3".into(), ..second.clone() }).await.unwrap(), "a taken name");
    assert!(!cdns.rename(&Cdn { id: second.id + 1, name: "new".into() }).await.unwrap(), "no such cdn");
    let renamed = Cdn { name: "Qcloud".into(), ..second };
    assert!(cdns.rename(&renamed).await.unwrap());
    assert!(cdns.rename(&renamed).await.unwrap(), "its own name is free to it");
    assert_eq!(cdns.list().await.unwrap(), [first, renamed]);
    work.commit().await.unwrap();
}

/// Of many that want one name at once, one gets it.
pub async fn cdn_race_for_one_name(storage: Arc<dyn Storage>) {
    let won = race(&storage, async |storage: Arc<dyn Storage>, _| {
        let mut work = storage.begin().await.unwrap();
        let id = work.cdns().insert("level3").await.unwrap();
        work.commit().await.unwrap();
        id.is_some()
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    assert_eq!(storage.read().await.unwrap().cdns().list().await.unwrap().len(), 1);
}

/// Access is given once, carries the account's mail, changes by version, and is withdrawn.
pub async fn customer_round_trip(storage: Arc<dyn Storage>) {
    let (first, other) = (add_account(&storage, 1).await, add_customer(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    let customers = work.customers();
    assert_eq!(customers.find(first).await.unwrap(), None);
    let wanted = Customer { mail: "ignored".into(), version: 9, ..customer(first, 1) };
    assert!(customers.insert(&wanted).await.unwrap());
    assert!(!customers.insert(&wanted).await.unwrap());
    assert_eq!(customers.find(first).await.unwrap(), Some(customer(first, 1)));

    let changed = Customer { password: AWKWARD.into(), operations: false, ..customer(first, 1) };
    assert!(customers.update(&changed).await.unwrap());
    assert!(!customers.update(&customer(first, 1)).await.unwrap(), "an old version");
    assert_eq!(customers.find(first).await.unwrap(), Some(Customer { version: 2, ..changed }));
    assert_eq!(customers.find(other).await.unwrap(), Some(customer(other, 2)));

    assert!(customers.delete(first).await.unwrap());
    assert!(!customers.delete(first).await.unwrap());
    assert!(!customers.update(&customer(first, 1)).await.unwrap());
    assert_eq!(customers.find(first).await.unwrap(), None);
    assert!(work.accounts().by_id(first).await.unwrap().is_some(), "the account stays");
    work.commit().await.unwrap();
}

/// Of many that give one account access at once, one does.
pub async fn customer_race_for_one_account(storage: Arc<dyn Storage>) {
    let id = add_account(&storage, 1).await;
    let won = race(&storage, move |storage: Arc<dyn Storage>, _| async move {
        let mut work = storage.begin().await.unwrap();
        let won = work.customers().insert(&customer(id, 1)).await.unwrap();
        work.commit().await.unwrap();
        won
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
}

/// A customer is mapped to each cdn once, and its cdns go by id.
pub async fn customer_mappings(storage: Arc<dyn Storage>) {
    let (first, other) = (add_customer(&storage, 1).await, add_customer(&storage, 2).await);
    let (level3, qcloud) = (add_cdn(&storage, "level3").await, add_cdn(&storage, "qcloud").await);
    let mut work = storage.begin().await.unwrap();
    let customers = work.customers();
    for cdn in [qcloud, level3, qcloud] {
        customers.map(first, cdn).await.unwrap();
    }
    customers.map(other, qcloud).await.unwrap();
    let ids = |cdns: Vec<Cdn>| cdns.into_iter().map(|cdn| cdn.id).collect::<Vec<_>>();
    assert_eq!(ids(customers.cdns(first).await.unwrap()), [level3, qcloud]);
    assert_eq!(ids(customers.cdns(other).await.unwrap()), [qcloud]);
    assert!(customers.cdns(first + other).await.unwrap().is_empty());

    customers.delete(first).await.unwrap();
    customers.insert(&customer(first, 1)).await.unwrap();
    assert!(customers.cdns(first).await.unwrap().is_empty(), "new access starts without cdns");
    work.commit().await.unwrap();
}

/// Domains are found by name, id, cdn and customer; states are set.
pub async fn domain_round_trip(storage: Arc<dyn Storage>) {
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
    let unknown = domains[2].id + 1;
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
pub async fn domain_released_and_claimed_again(storage: Arc<dyn Storage>) {
    let (first, other) = (add_customer(&storage, 1).await, add_customer(&storage, 2).await);
    let level3 = add_cdn(&storage, "level3").await;
    let id = add_domain(&storage, first, level3, "a.test").await;
    let kept = add_domain(&storage, first, level3, "kept.test").await;

    let mut work = storage.begin().await.unwrap();
    work.domains().set_states(&[(id, DomainState::Active)]).await.unwrap();
    work.domains().release(&[id, kept + 1]).await.unwrap();
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
pub async fn domain_race_of_customers(storage: Arc<dyn Storage>) {
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
pub async fn domain_released_with_its_customer(storage: Arc<dyn Storage>) {
    let (first, deleted) = (add_customer(&storage, 1).await, add_customer(&storage, 2).await);
    let level3 = add_cdn(&storage, "level3").await;
    let id = add_domain(&storage, first, level3, "a.test").await;
    add_domain(&storage, deleted, level3, "b.test").await;

    let mut work = storage.begin().await.unwrap();
    work.customers().map(deleted, level3).await.unwrap();
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

/// A company's name is unique, and a company outlives its owner's account.
pub async fn company_round_trip(storage: Arc<dyn Storage>) {
    let owner = add_account(&storage, 1).await;
    let company = Company { id: 0, name: AWKWARD.into(), alias: "快".into(), owner_id: Some(owner) };
    let mut work = storage.begin().await.unwrap();
    let id = work.companies().insert(&company).await.unwrap().unwrap();
    assert_eq!(work.companies().insert(&company).await.unwrap(), None);
    let held = Company { id, ..company };
    assert_eq!(work.companies().by_name(AWKWARD).await.unwrap().as_ref(), Some(&held));
    assert_eq!(work.companies().by_name("another").await.unwrap(), None);
    assert!(work.accounts().delete(owner).await.unwrap());
    assert_eq!(work.companies().by_name(AWKWARD).await.unwrap(), Some(Company { owner_id: None, ..held }));
    work.commit().await.unwrap();
}

/// Of many that want one name at once, one gets it.
pub async fn company_race_for_one_name(storage: Arc<dyn Storage>) {
    let won = race(&storage, async |storage: Arc<dyn Storage>, _| {
        let mut work = storage.begin().await.unwrap();
        let company = Company { id: 0, name: "Example".into(), alias: String::new(), owner_id: None };
        let id = work.companies().insert(&company).await.unwrap();
        work.commit().await.unwrap();
        id.is_some()
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
}
