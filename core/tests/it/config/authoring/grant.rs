//! Grants on an app and on `all`.

use pilothouse_core::ErrorKind;
use pilothouse_core::account::{AccountId, Caller};
use pilothouse_core::config::{NewGrant, Permission};

use super::fixture::{AuthoringFixture, kind};

#[tokio::test]
async fn the_last_manager_of_an_app_and_of_all_stays() {
    let fixture = AuthoringFixture::new().await;
    let grants = fixture.pilothouse.grants();
    let (ann, bob) = (fixture.account("ann").await, fixture.account("bob").await);
    fixture.app("app").await;
    let of_owner = grants.list(&fixture.owner, "app").await.unwrap()[0].id;
    let ghost = Caller { id: AccountId(1_000_000), ..ann.clone() };
    let given = fixture.grant(&fixture.owner, "app", &ghost, Permission::Develop).await;
    assert_eq!(given.unwrap_err().to_string(), "the account of this uid does not exist");
    let of_ann = fixture.grant(&fixture.owner, "app", &ann, Permission::Develop).await.unwrap();
    let twice = fixture.grant(&fixture.owner, "app", &ann, Permission::Manage).await;
    assert_eq!(kind(twice), ErrorKind::AlreadyExists);
    let named = NewGrant {
        app: "app".into(),
        profile: None,
        account: bob.id,
        uname: "x".repeat(129),
        permission: Permission::Develop,
    };
    assert_eq!(kind(grants.create(&fixture.owner, named).await), ErrorKind::Invalid);

    // The last manager stays until there is another; a holder of `all` does not count as one.
    assert_eq!(kind(grants.delete(&fixture.owner, of_owner).await), ErrorKind::Conflict);
    let demoted = grants.update(&fixture.root, of_owner, Permission::Develop).await;
    assert_eq!(kind(demoted), ErrorKind::Conflict);
    grants.update(&fixture.owner, of_owner, Permission::Manage).await.unwrap();
    grants.update(&fixture.owner, of_ann, Permission::Manage).await.unwrap();
    grants.update(&ann, of_owner, Permission::Develop).await.unwrap();
    assert_eq!(kind(grants.delete(&ann, of_ann).await), ErrorKind::Conflict);
    grants.delete(&ann, of_owner).await.unwrap();
    assert_eq!(
        kind(grants.list(&fixture.owner, "app").await),
        ErrorKind::Forbidden,
        "a withdrawn grant has no effect any more"
    );
    assert_eq!(grants.list(&ann, "app").await.unwrap().len(), 1);
    assert_eq!(kind(grants.delete(&fixture.root, of_owner).await), ErrorKind::NotFound);

    // Grants on `all` have permission 9, are given by holders only, and the last one stays.
    assert_eq!(kind(fixture.grant(&ann, "all", &bob, Permission::Manage).await), ErrorKind::Forbidden);
    assert_eq!(kind(grants.list(&ann, "all").await), ErrorKind::Forbidden);
    let develop = fixture.grant(&fixture.root, "all", &bob, Permission::Develop).await;
    assert_eq!(develop.unwrap_err().to_string(), "permission: on all must be 9");
    let of_root = grants.list(&fixture.root, "all").await.unwrap()[0].id;
    assert_eq!(kind(grants.delete(&fixture.root, of_root).await), ErrorKind::Conflict);
    assert_eq!(kind(grants.delete(&ann, of_root).await), ErrorKind::Forbidden);
    let of_bob = fixture.grant(&fixture.root, "all", &bob, Permission::Manage).await.unwrap();
    assert_eq!(kind(grants.update(&bob, of_bob, Permission::Develop).await), ErrorKind::Invalid);
    grants.delete(&bob, of_root).await.unwrap();
    assert_eq!(kind(grants.list(&fixture.root, "all").await), ErrorKind::Forbidden);
}
