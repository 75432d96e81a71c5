//! Customers: cdn access of accounts, and the cdns each customer is mapped to.

use std::sync::Arc;

use pilothouse_core::account::{AccountId, Group};
use pilothouse_core::cdn::{Cdn, Customer, CustomerOverview};
use pilothouse_core::ports::Storage;
use pilothouse_core::{ErrorKind, Order, Page};

use crate::Fixture;
use crate::race::race;
use crate::rows::{AWKWARD, add_account, add_cdn};

/// Access for the account with this id, whose mail is that of `rows::account` `n`.
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

/// Access is given once, carries the account's mail, changes by version, and is withdrawn.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
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
pub(crate) async fn race_for_one_account(storage: Arc<dyn Storage>) {
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

/// A customer is mapped to each cdn once, under the last alias, and its cdns go by id.
pub(crate) async fn mappings(storage: Arc<dyn Storage>) {
    let (first, other) = (add_customer(&storage, 1).await, add_customer(&storage, 2).await);
    let (level3, qcloud) = (add_cdn(&storage, "level3").await, add_cdn(&storage, "qcloud").await);
    let mut work = storage.begin().await.unwrap();
    let customers = work.customers();
    for cdn in [qcloud, level3, qcloud] {
        customers.map(first, cdn, None).await.unwrap();
    }
    customers.map(other, qcloud, Some("qcould")).await.unwrap();
    let ids = |cdns: Vec<Cdn>| cdns.into_iter().map(|cdn| cdn.id).collect::<Vec<_>>();
    assert_eq!(ids(customers.cdns(first).await.unwrap()), [level3, qcloud]);
    assert_eq!(ids(customers.cdns(other).await.unwrap()), [qcloud]);
    let names = |cdns: Vec<Cdn>| cdns.into_iter().map(|cdn| cdn.name).collect::<Vec<_>>();
    assert_eq!(names(customers.cdns(first).await.unwrap()), ["level3", "qcloud"]);
    assert_eq!(names(customers.cdns(other).await.unwrap()), ["qcould"]);
    customers.map(other, qcloud, None).await.unwrap();
    assert_eq!(names(customers.cdns(other).await.unwrap()), ["qcloud"]);
    assert!(customers.cdns(AccountId(first.0 + other.0)).await.unwrap().is_empty());

    customers.delete(first).await.unwrap();
    customers.insert(&customer(first, 1)).await.unwrap();
    assert!(customers.cdns(first).await.unwrap().is_empty(), "new access starts without cdns");
    work.commit().await.unwrap();
}

/// A customer sees a cdn under the name it was mapped by, where that is understood as another.
pub(crate) async fn cdns_are_answered_as_given(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage);
    let root = fixture.account("root", [Group::Cdn].into_iter().collect()).await;
    fixture.customer("ann", "qcloud", &[]).await;
    fixture.customer("bob", "qcloud", &[]).await;
    let customers = fixture.pilothouse.customers();
    let names = |cdns: Vec<Cdn>| cdns.into_iter().map(|cdn| cdn.name).collect::<Vec<_>>();
    let map = async |who: &str, cdn: &str| {
        names(customers.map(&root, &format!("{who}@example.com"), &[cdn.to_owned()]).await.unwrap())
    };
    assert_eq!(map("ann", "qcould").await, ["qcould"]);
    assert_eq!(names(customers.cdns(&root, "bob@example.com").await.unwrap()), ["qcloud"]);
    let refused = fixture.pilothouse.cdns().add(&root, "qcould").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists, "it is understood already");
    // A cdn that has that name itself is that one.
    fixture.cdn("qcould").await;
    assert_eq!(map("bob", "qcould").await, ["qcloud", "qcould"]);
}

/// Customers go by account id, each with its cdns under its aliases and the number of names it holds.
pub(crate) async fn pages(storage: Arc<dyn Storage>) {
    let first = add_customer(&storage, 1).await;
    add_account(&storage, 2).await;
    let (second, third) = (add_customer(&storage, 3).await, add_customer(&storage, 4).await);
    let (level3, qcloud) = (add_cdn(&storage, "level3").await, add_cdn(&storage, "qcloud").await);
    let mut work = storage.begin().await.unwrap();
    work.customers().map(first, qcloud, Some("qcould")).await.unwrap();
    work.customers().map(first, level3, None).await.unwrap();
    work.customers().map(third, level3, None).await.unwrap();
    for (cdn, name) in [(level3, "a.com"), (qcloud, "a.com"), (level3, "b.com"), (level3, "gone.com")] {
        assert!(work.domains().claim(first, cdn, name).await.unwrap());
    }
    let gone = work.domains().find(level3, "gone.com").await.unwrap().unwrap();
    work.domains().release(&[gone.id]).await.unwrap();
    assert!(work.domains().claim(third, level3, "gone.com").await.unwrap());
    work.commit().await.unwrap();

    let cdn = |id, name: &str| Cdn { id, name: name.to_owned() };
    let overview = |id, n, cdns, domains| CustomerOverview { customer: customer(id, n), cdns, domains };
    let rows = [
        overview(first, 1, vec![cdn(level3, "level3"), cdn(qcloud, "qcould")], 2),
        overview(second, 3, Vec::new(), 0),
        overview(third, 4, vec![cdn(level3, "level3")], 1),
    ];
    let mut snapshot = storage.read().await.unwrap();
    let customers = snapshot.customers();
    assert_eq!(customers.count().await.unwrap(), 3);
    assert_eq!(customers.list(Page::at(0, 1000)).await.unwrap(), rows);
    assert_eq!(customers.list(Page::at(first.0 + 1, 1)).await.unwrap(), rows[1..2]);
    let newest = Page { order: Order::Newest, before: third.0, ..Page::at(0, 2) };
    assert_eq!(customers.list(newest).await.unwrap(), [rows[1].clone(), rows[0].clone()]);
    assert_eq!(customers.list(Page::at(third.0 + 1, 5)).await.unwrap(), []);
}
