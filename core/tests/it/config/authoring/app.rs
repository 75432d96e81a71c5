//! Apps: validation, update and deletion.

use pilothouse_conformance::rows::item_name;
use pilothouse_core::ErrorKind;
use pilothouse_core::account::{AccountId, Caller, Scope};
use pilothouse_core::config::{NewApp, Permission, UpdateApp};

use super::fixture::{AuthoringFixture, content, kind, new_app};

#[tokio::test]
async fn apps_are_validated_and_deleted_with_their_grants() {
    let fixture = AuthoringFixture::new().await;
    let apps = fixture.pilothouse.apps();
    for app in ["", ".", "..", "all", "a b", "a/b", &"x".repeat(65)] {
        assert_eq!(kind(apps.create(&fixture.owner, new_app(app)).await), ErrorKind::Invalid, "{app}");
    }
    let long = "x".repeat(129);
    for wrong in [
        NewApp { name: String::new(), ..new_app("app") },
        NewApp { name: long.clone(), ..new_app("app") },
        NewApp { charger: long.clone(), ..new_app("app") },
        NewApp { charger: "a\nb".into(), ..new_app("app") },
    ] {
        assert_eq!(kind(apps.create(&fixture.owner, wrong).await), ErrorKind::Invalid);
    }
    let ghost = Caller { id: AccountId(1_000_000), ..fixture.owner.clone() };
    assert_eq!(kind(apps.create(&ghost, new_app("app")).await), ErrorKind::NotFound);
    let cdn = Caller { scope: Scope::Cdn, ..fixture.owner.clone() };
    assert_eq!(kind(apps.create(&cdn, new_app("app")).await), ErrorKind::Forbidden);
    assert_eq!(kind(apps.list(&cdn).await), ErrorKind::Forbidden);

    let id = apps.create(&fixture.owner, new_app("app")).await.unwrap();
    assert_eq!(kind(apps.create(&fixture.root, new_app("app")).await), ErrorKind::AlreadyExists);
    let listed = apps.list(&fixture.owner).await.unwrap();
    assert_eq!(listed.iter().map(|app| (app.id, app.app.as_str())).collect::<Vec<_>>(), [(id, "app")]);
    let grants = fixture.pilothouse.grants().list(&fixture.owner, "app").await.unwrap();
    assert_eq!((grants[0].account, grants[0].uname.as_str()), (fixture.owner.id, "owner"));
    assert_eq!(grants[0].permission, Permission::Manage);

    let change = UpdateApp { charger: Some("新人".into()), ..UpdateApp::default() };
    apps.update(&fixture.owner, "app", change).await.unwrap();
    let wrong = UpdateApp { name: Some(long), ..UpdateApp::default() };
    assert_eq!(kind(apps.update(&fixture.owner, "app", wrong).await), ErrorKind::Invalid);
    let app = apps.list(&fixture.root).await.unwrap().remove(0);
    assert_eq!((app.app_type, app.name.as_str(), app.charger.as_str()), (9, "test-name2", "新人"));

    let dev = fixture.account("dev").await;
    fixture.grant(&fixture.owner, "app", &dev, Permission::Develop).await.unwrap();
    let name = item_name("app", "k");
    fixture.item(&name, "1").await;
    assert_eq!(kind(apps.delete(&fixture.owner, "app").await), ErrorKind::Conflict);
    fixture.pilothouse.items().delete(&fixture.owner, &name, None).await.unwrap();
    apps.delete(&fixture.owner, "app").await.unwrap();
    assert_eq!(
        kind(apps.delete(&fixture.owner, "app").await),
        ErrorKind::Forbidden,
        "the grants of the app were deleted with it"
    );
    let again = apps.create(&fixture.root, new_app("app")).await.unwrap();
    assert!(again > id);
    for former in [&fixture.owner, &dev] {
        assert_eq!(kind(fixture.pilothouse.items().profiles(former, "app").await), ErrorKind::Forbidden);
        assert!(apps.list(former).await.unwrap().is_empty());
    }
    fixture.pilothouse.items().create(&fixture.root, &name, content("")).await.unwrap();
    let item = fixture.pilothouse.items().find(&fixture.root, &name).await.unwrap();
    assert_eq!(item.current.version, 1, "an app of the same name begins without history");
}
