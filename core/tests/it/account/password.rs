//! Passwords of other accounts: who may set them, and what an old one that is given has to be.

use std::sync::Arc;

use pilothouse_conformance::Fixture;
use pilothouse_conformance::rows::grant;
use pilothouse_core::ErrorKind;
use pilothouse_core::account::{Caller, Groups, UpdateAccount};
use pilothouse_core::config::Permission;
use pilothouse_storage_memory::MemoryStorage;

const PASSWORD: &str = "correct horse battery";

fn fixture() -> Fixture {
    Fixture::new(Arc::new(MemoryStorage::new().strict()))
}

/// Sets a password; the kind of the refusal.
async fn set(fixture: &Fixture, by: &Caller, name: &str, old: Option<&str>) -> Result<(), ErrorKind> {
    let change = UpdateAccount {
        name: Some(name.to_owned()),
        old_passwd: old.map(str::to_owned),
        new_passwd: Some(PASSWORD.to_owned()),
        ..UpdateAccount::default()
    };
    fixture.pilothouse.accounts().update(by, change).await.map_err(|error| error.kind())
}

/// Gives an account a grant on `all`.
async fn grant_all(fixture: &Fixture, account: &Caller) {
    let mut work = fixture.storage.begin().await.unwrap();
    assert!(work.grants().insert(&grant(account.id, None, Permission::Manage)).await.unwrap().is_some());
    work.commit().await.unwrap();
}

#[tokio::test]
async fn an_old_password_that_an_administrator_gives_must_be_right() {
    let fixture = fixture();
    let admin = fixture.account("admin", "7".parse().unwrap()).await;
    fixture.account("peer", Groups::NONE).await;
    assert_eq!(set(&fixture, &admin, "peer", Some("none was set")).await, Err(ErrorKind::Forbidden));
    assert_eq!(set(&fixture, &admin, "peer", None).await, Ok(()));
    assert_eq!(set(&fixture, &admin, "peer", Some(PASSWORD)).await, Ok(()));
    let only_old = UpdateAccount {
        name: Some("peer".to_owned()),
        old_passwd: Some("wrong".to_owned()),
        department: Some("dev".to_owned()),
        ..UpdateAccount::default()
    };
    let refused = fixture.pilothouse.accounts().update(&admin, only_old).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden, "also where no password is set");
    // Guessing is throttled like a log-in: the wrong ones above are two failures.
    for _ in 0..3 {
        assert_eq!(set(&fixture, &admin, "peer", Some("wrong")).await, Err(ErrorKind::Forbidden));
    }
    assert_eq!(set(&fixture, &admin, "peer", Some(PASSWORD)).await, Err(ErrorKind::TooMany));
    assert_eq!(set(&fixture, &admin, "peer", None).await, Ok(()));
}

#[tokio::test]
async fn a_password_of_an_account_with_accesses_takes_all_of_them() {
    let fixture = fixture();
    let owner = fixture.account("owner", Groups::NONE).await;
    fixture.app(&owner, "app").await;
    let developer = fixture.account("developer", Groups::NONE).await;
    fixture.grant(&owner, "app", &developer, Permission::Develop).await;
    fixture.customer("customer", "level3", &["a.example.com"]).await;
    fixture.account("plain", Groups::NONE).await;

    let only_7 = fixture.account("only7", "7".parse().unwrap()).await;
    let without_all = fixture.account("without-all", Groups::all()).await;
    let without_8 = fixture.account("without8", "1,2,3,4,5,6,7,9".parse().unwrap()).await;
    grant_all(&fixture, &without_8).await;
    let both = fixture.account("both", "7,8".parse().unwrap()).await;
    grant_all(&fixture, &both).await;
    for name in ["owner", "developer", "customer"] {
        for by in [&only_7, &without_all, &without_8] {
            assert_eq!(
                set(&fixture, by, name, None).await,
                Err(ErrorKind::Forbidden),
                "{name} by {}",
                by.name
            );
        }
        assert_eq!(set(&fixture, &both, name, None).await, Ok(()), "{name}");
    }
    assert_eq!(set(&fixture, &only_7, "plain", None).await, Ok(()));
}

#[tokio::test]
async fn an_account_with_accesses_may_be_demoted_and_deleted_without_them() {
    let fixture = fixture();
    let only_7 = fixture.account("only7", "1,7".parse().unwrap()).await;
    let peer = fixture.account("peer", "1".parse().unwrap()).await;
    fixture.app(&peer, "app").await;
    let customer = fixture.customer("customer", "level3", &["a.example.com"]).await;
    let accounts = fixture.pilothouse.accounts();
    for name in [&peer.name, &customer.name] {
        let demoted = UpdateAccount {
            name: Some(name.clone()),
            groups: Some(Groups::NONE),
            ..UpdateAccount::default()
        };
        accounts.update(&only_7, demoted).await.unwrap();
        accounts.delete(&only_7, name).await.unwrap();
    }
}
