//! Audit trail of configuration.

use pilothouse_conformance::rows::item_name;
use pilothouse_core::Page;
use pilothouse_core::account::AuditFilter;
use pilothouse_core::config::{Permission, UpdateApp};

use super::fixture::{AuthoringFixture, content};

#[tokio::test]
async fn every_write_is_audited_without_values() {
    let fixture = AuthoringFixture::new().await;
    let (items, secret) = (fixture.pilothouse.items(), "do-not-tell");
    fixture.app("app").await;
    let name = item_name("app", "k");
    let dev = fixture.account("dev").await;
    let grant = fixture.grant(&fixture.owner, "app", &dev, Permission::Develop).await.unwrap();
    fixture.pilothouse.grants().update(&fixture.owner, grant, Permission::Manage).await.unwrap();
    fixture.pilothouse.grants().delete(&fixture.owner, grant).await.unwrap();
    fixture.pilothouse.apps().update(&fixture.owner, "app", UpdateApp::default()).await.unwrap();
    let id = fixture.item(&name, secret).await;
    items.update(&fixture.owner, &name, content("other"), None).await.unwrap();
    items.roll_back(&fixture.owner, &name, 1).await.unwrap();
    fixture.approve(&name).await;
    fixture.publish(id).await;
    items.delete(&fixture.owner, &name, None).await.unwrap();
    fixture.pilothouse.apps().delete(&fixture.owner, "app").await.unwrap();
    let filter = AuditFilter { actor: Some("owner".into()), ..AuditFilter::default() };
    let page = Page::at(0, 100);
    let rows = fixture.pilothouse.audit_trail().list(&fixture.root, &filter, page).await.unwrap();
    let actions: Vec<_> = rows.rows.iter().map(|row| (row.action.as_str(), row.object.as_str())).collect();
    let uid = format!("app uid {}", dev.id);
    assert_eq!(
        actions,
        [
            ("app.create", "app"),
            ("grant.create", &uid),
            ("grant.update", &uid),
            ("grant.delete", &uid),
            ("app.update", "app"),
            ("config.create", "app/dev/k"),
            ("config.update", "app/dev/k"),
            ("config.rollback", "app/dev/k"),
            ("config.approve", "app/dev/k"),
            ("config.publish", "app/dev/k"),
            ("config.delete", "app/dev/k"),
            ("app.delete", "app"),
        ]
    );
    assert!(!format!("{rows:?}").contains(secret));
}
