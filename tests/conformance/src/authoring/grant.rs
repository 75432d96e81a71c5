//! Grants: one per account, app and profile, and who holds them.

use pilothouse_core::account::AccountId;
use pilothouse_core::config::GrantId;
use std::sync::Arc;

use pilothouse_core::config::{AppId, Grant, Permission};
use pilothouse_core::ports::Storage;

use crate::race::race;
use crate::rows::{AWKWARD, account, add_account, add_app};

/// A grant; `None` for the app is `all`.
pub fn grant(account: AccountId, app: Option<AppId>, permission: Permission) -> Grant {
    Grant { id: GrantId::UNSAVED, account, uname: AWKWARD.into(), app, profile: None, permission }
}

/// A grant on one profile of an app.
pub(crate) fn profile_grant(account: AccountId, app: AppId, profile: &str, permission: Permission) -> Grant {
    Grant { profile: Some(profile.to_owned()), ..grant(account, Some(app), permission) }
}

/// Grants are added, found, listed per app, changed and deleted.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let (ann, bob) = (add_account(&storage, 1).await, add_account(&storage, 2).await);
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    let mut ids = Vec::new();
    let grants = [
        grant(ann, Some(first), Permission::Manage),
        grant(bob, Some(first), Permission::Develop),
        grant(ann, Some(second), Permission::Develop),
        grant(bob, None, Permission::Manage),
        profile_grant(ann, second, "dev", Permission::Read),
        profile_grant(ann, second, "Dev", Permission::Manage),
    ];
    for grant in &grants {
        ids.push(work.grants().insert(grant).await.unwrap().unwrap());
        assert_eq!(
            work.grants().insert(grant).await.unwrap(),
            None,
            "one grant per account, app and profile"
        );
    }
    let kept = |n: usize| Grant { id: ids[n], ..grants[n].clone() };
    assert_eq!(work.grants().find(ids[1]).await.unwrap(), Some(kept(1)));
    assert_eq!(work.grants().list(Some(first)).await.unwrap(), [kept(0), kept(1)]);
    assert_eq!(work.grants().list(Some(second)).await.unwrap(), [kept(2), kept(4), kept(5)]);
    assert_eq!(work.grants().list(None).await.unwrap(), [kept(3)]);

    assert!(work.grants().update(ids[0], Permission::Develop).await.unwrap());
    let changed = work.grants().find(ids[0]).await.unwrap();
    assert_eq!(changed, Some(Grant { permission: Permission::Develop, ..kept(0) }));
    assert_eq!(work.grants().find(ids[1]).await.unwrap(), Some(kept(1)), "another grant stays as it was");
    assert!(work.grants().delete(ids[0]).await.unwrap());
    assert!(!work.grants().delete(ids[0]).await.unwrap());
    assert!(!work.grants().update(ids[0], Permission::Manage).await.unwrap());
    assert_eq!(work.grants().find(ids[0]).await.unwrap(), None);
    assert_eq!(work.grants().list(Some(first)).await.unwrap(), [kept(1)]);
}

/// An account holds its grants on the app, on its profiles and on `all`; it sees the apps on which it has any.
pub(crate) async fn reaches(storage: Arc<dyn Storage>) {
    let (ann, bob, eve) =
        (add_account(&storage, 1).await, add_account(&storage, 2).await, add_account(&storage, 3).await);
    let tim = add_account(&storage, 4).await;
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    let given = [
        grant(ann, Some(first), Permission::Develop),
        grant(bob, Some(first), Permission::Develop),
        grant(bob, None, Permission::Manage),
        profile_grant(tim, first, "dev", Permission::Manage),
        profile_grant(ann, first, "prod", Permission::Read),
    ];
    let mut grants = Vec::new();
    for grant in given {
        let id = work.grants().insert(&grant).await.unwrap().unwrap();
        grants.push(Grant { id, ..grant });
    }
    for (account, app, expected) in [
        (ann, Some(first), vec![0, 4]),
        (ann, Some(second), vec![]),
        (ann, None, vec![]),
        (bob, Some(first), vec![1, 2]),
        (bob, Some(second), vec![2]),
        (bob, Some(AppId(second.0 + 1)), vec![2]),
        (bob, None, vec![2]),
        (eve, Some(first), vec![]),
        (tim, Some(first), vec![3]),
        (tim, None, vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|n: usize| grants[n].clone()).collect();
        assert_eq!(work.grants().held(account, app).await.unwrap(), expected, "{account} on {app:?}");
    }
    for (account, expected) in
        [(ann, vec![first]), (bob, vec![first, second]), (eve, vec![]), (tim, vec![first])]
    {
        let apps = work.apps().of_account(account).await.unwrap();
        assert_eq!(apps.iter().map(|app| app.id).collect::<Vec<_>>(), expected);
    }
}

/// An account's grants end with it.
pub(crate) async fn ends_with_its_account(storage: Arc<dyn Storage>) {
    let (gone, stays) = (add_account(&storage, 1).await, add_account(&storage, 2).await);
    let app = add_app(&storage, 1).await;
    let mut work = storage.begin().await.unwrap();
    for account in [gone, stays] {
        work.grants().insert(&grant(account, Some(app), Permission::Manage)).await.unwrap();
        work.grants().insert(&grant(account, None, Permission::Manage)).await.unwrap();
    }
    work.accounts().delete(gone).await.unwrap();
    let again = work.accounts().insert(&account(1)).await.unwrap().unwrap();
    work.commit().await.unwrap();
    let mut snapshot = storage.read().await.unwrap();
    for app in [Some(app), None] {
        let left = snapshot.grants().list(app).await.unwrap();
        assert_eq!(left.iter().map(|grant| grant.account).collect::<Vec<_>>(), [stays]);
        assert_eq!(snapshot.grants().held(again, app).await.unwrap(), []);
    }
}

/// Of many that give one account a grant on one app at once, one does; on `all` and on a profile likewise.
pub(crate) async fn race_for_one_account(storage: Arc<dyn Storage>) {
    let (owner, app) = (add_account(&storage, 1).await, add_app(&storage, 1).await);
    let of_profile = profile_grant(owner, app, "dev", Permission::Manage);
    for new in
        [grant(owner, Some(app), Permission::Manage), grant(owner, None, Permission::Manage), of_profile]
    {
        let won = race(&storage, move |storage: Arc<dyn Storage>, _| {
            let new = new.clone();
            async move {
                let mut work = storage.begin().await.unwrap();
                let id = work.grants().insert(&new).await.unwrap();
                work.commit().await.unwrap();
                id.is_some()
            }
        })
        .await;
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
    }
}
