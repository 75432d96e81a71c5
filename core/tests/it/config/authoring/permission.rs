//! Permission that each operation on an app requires.

use pilothouse_conformance::rows::item_name;
use pilothouse_core::account::{AuditFilter, Caller, Group, Groups, Scope, UpdateAccount};
use pilothouse_core::config::{GrantId, HistoryQuery, ItemId, Permission, Selector, UpdateApp};
use pilothouse_core::{Error, ErrorKind, Page, Result};

use super::fixture::{AuthoringFixture, content, kind};

/// Every operation on an app, and the permission it needs.
const OPERATIONS: [(&str, Permission); 19] = [
    ("find", Permission::Develop),
    ("list", Permission::Develop),
    ("profiles", Permission::Develop),
    ("history", Permission::Develop),
    ("diff", Permission::Develop),
    ("nodes", Permission::Develop),
    ("list grants", Permission::Develop),
    ("create", Permission::Develop),
    ("update", Permission::Develop),
    ("roll back", Permission::Develop),
    ("delete never published", Permission::Develop),
    ("delete published", Permission::Manage),
    ("approve", Permission::Manage),
    ("publish", Permission::Manage),
    ("update app", Permission::Manage),
    ("delete app", Permission::Manage),
    ("give grant", Permission::Manage),
    ("change grant", Permission::Manage),
    ("take grant", Permission::Manage),
];

/// Runs an operation on an app that has an item `live`, published, and one `draft`.
async fn operate(
    fixture: &AuthoringFixture,
    caller: &Caller,
    operation: &str,
    app: &str,
    ids: Ids,
) -> Result<()> {
    let (apps, grants) = (fixture.pilothouse.apps(), fixture.pilothouse.grants());
    let (items, releases) = (fixture.pilothouse.items(), fixture.pilothouse.releases());
    let (draft, live) = (item_name(app, "draft"), item_name(app, "live"));
    match operation {
        "find" => items.find(caller, &draft).await.map(|_| ()),
        "list" => items.list(caller, app, "dev").await.map(|_| ()),
        "profiles" => items.profiles(caller, app).await.map(|_| ()),
        "history" => items.history(caller, &draft, HistoryQuery::default()).await.map(|_| ()),
        "diff" => items.diff(caller, &draft, 1, 1).await.map(|_| ()),
        "nodes" => fixture.pilothouse.nodes().list(caller, app, "dev").await.map(|_| ()),
        "list grants" => grants.list(caller, app).await.map(|_| ()),
        "create" => items.create(caller, &item_name(app, "new"), content("")).await.map(|_| ()),
        "update" => items.update(caller, &draft, content("2"), None).await,
        "roll back" => items.roll_back(caller, &live, 1).await,
        "delete never published" => items.delete(caller, &draft, None).await,
        "delete published" => items.delete(caller, &live, None).await,
        "approve" => items.approve(caller, &draft, None).await,
        "publish" => releases.publish(caller, ids.live, &Selector::default(), None).await.map(|_| ()),
        "update app" => apps.update(caller, app, UpdateApp::default()).await,
        // The app has items, so an authorised caller gets a conflict.
        "delete app" => match apps.delete(caller, app).await {
            Err(Error::Conflict(_)) => Ok(()),
            answer => answer,
        },
        "give grant" => fixture.grant(caller, app, &fixture.root, Permission::Develop).await.map(|_| ()),
        "change grant" => grants.update(caller, ids.grant, Permission::Develop).await,
        "take grant" => grants.delete(caller, ids.grant).await,
        other => panic!("{other}"),
    }
}

#[derive(Clone, Copy)]
struct Ids {
    live: ItemId,
    grant: GrantId,
}

#[tokio::test]
async fn every_operation_requires_its_permission() {
    let fixture = AuthoringFixture::new().await;
    let (nobody, elsewhere, dev, admin, guest) = (
        fixture.account("nobody").await,
        fixture.account("elsewhere").await,
        fixture.account("dev").await,
        fixture.account("admin").await,
        fixture.account("guest").await,
    );
    fixture.app("other").await;
    fixture.grant(&fixture.owner, "other", &elsewhere, Permission::Manage).await.unwrap();
    let grouped = fixture.account_in("grouped", Groups::all()).await;
    let cdn = Caller { scope: Scope::Cdn, ..fixture.root.clone() };
    for (n, (operation, needed)) in OPERATIONS.into_iter().enumerate() {
        for (who, caller, granted) in [
            ("nobody", &nobody, None),
            ("every group", &grouped, None),
            ("an admin elsewhere", &elsewhere, None),
            ("a cdn token", &cdn, None),
            ("1", &dev, Some(Permission::Develop)),
            ("9", &admin, Some(Permission::Manage)),
            ("all", &fixture.root, Some(Permission::Manage)),
        ] {
            let app = format!("app{n}-{}", caller.id.0 + i64::from(who == "a cdn token") * 100);
            fixture.app(&app).await;
            fixture.grant(&fixture.owner, &app, &dev, Permission::Develop).await.unwrap();
            fixture.grant(&fixture.owner, &app, &admin, Permission::Manage).await.unwrap();
            let grant = fixture.grant(&fixture.owner, &app, &guest, Permission::Manage).await.unwrap();
            fixture.item(&item_name(&app, "draft"), "1").await;
            let live = fixture.item(&item_name(&app, "live"), "1").await;
            fixture.approve(&item_name(&app, "live")).await;
            fixture.publish(live).await;
            let ids = Ids { live, grant };
            let answer = operate(&fixture, caller, operation, &app, ids).await;
            if granted >= Some(needed) {
                assert!(answer.is_ok(), "{who} may {operation}: {answer:?}");
                continue;
            }
            assert_eq!(kind(answer), ErrorKind::Forbidden, "{who} may not {operation}");
            let unchanged =
                fixture.pilothouse.items().find(&fixture.owner, &item_name(&app, "live")).await.unwrap();
            assert_eq!(
                (unchanged.current.version, unchanged.published_version, fixture.revision(&app).await),
                (1, 1, 1)
            );
            if granted.is_none() {
                // A caller without a grant cannot probe which apps and ids exist.
                let ids = Ids { live: ItemId(1_000_000), grant: GrantId(1_000_000) };
                for unknown in ["absent", "all", "..", ""] {
                    let answer = operate(&fixture, caller, operation, unknown, ids).await;
                    assert_eq!(kind(answer), ErrorKind::Forbidden, "{who}: {operation} on {unknown:?}");
                }
            }
        }
    }
    for (operation, _) in OPERATIONS {
        let ids = Ids { live: ItemId(1_000_000), grant: GrantId(1_000_000) };
        let answer = operate(&fixture, &fixture.root, operation, "absent", ids).await;
        assert_eq!(kind(answer), ErrorKind::NotFound, "{operation}");
    }
}

#[tokio::test]
async fn refusals_are_audited_as_a_count_without_object_names() {
    let fixture = AuthoringFixture::new().await;
    let nobody = fixture.account("nobody").await;
    for n in 0..50 {
        let refused = fixture.pilothouse.items().find(&nobody, &item_name(&format!("guess{n}"), "k")).await;
        assert_eq!(kind(refused), ErrorKind::Forbidden);
    }
    let filter = AuditFilter { actor: Some("nobody".into()), ..AuditFilter::default() };
    let rows =
        fixture.pilothouse.audit_trail().list(&fixture.root, &filter, Page::default()).await.unwrap().rows;
    assert!(rows.len() <= 2 && rows.iter().map(|row| row.count).sum::<i64>() == 50, "{rows:?}");
}

#[tokio::test]
async fn an_account_with_a_grant_on_all_is_changed_only_by_another_such() {
    let fixture = AuthoringFixture::new().await;
    let accounts = fixture.pilothouse.accounts();
    // One account has every group and no grant; the other holds `all` and has no group.
    let chief = fixture.account_in("chief", Groups::all()).await;
    let holder = fixture.account_in("holder", Groups::NONE).await;
    fixture.grant(&fixture.root, "all", &holder, Permission::Manage).await.unwrap();
    let change = |name: &str| UpdateAccount { name: Some(name.into()), ..UpdateAccount::default() };
    for change in [
        UpdateAccount { new_passwd: Some("correct horse".into()), ..change("holder") },
        UpdateAccount { groups: Some(Groups::from_iter([Group::Cdn])), ..change("holder") },
        UpdateAccount { department: Some("x".into()), ..change("holder") },
    ] {
        assert_eq!(kind(accounts.update(&chief, change.clone()).await), ErrorKind::Forbidden);
        accounts.update(&fixture.root, change).await.unwrap();
    }
    assert_eq!(kind(accounts.delete(&chief, "holder").await), ErrorKind::Forbidden);
    // A grant on a single app does not protect an account.
    fixture.app("app").await;
    accounts.delete(&chief, "owner").await.unwrap();
    accounts.delete(&fixture.root, "holder").await.unwrap();

    // The app lost its only manager with that account: a holder of `all` grants it to another.
    let grants = fixture.pilothouse.grants();
    assert!(grants.list(&fixture.root, "app").await.unwrap().is_empty());
    fixture.grant(&fixture.root, "app", &chief, Permission::Manage).await.unwrap();
}
