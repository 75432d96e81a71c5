//! Publishing an item: approval, selectors, revisions.

use futures_util::StreamExt;
use pilothouse_conformance::rows::item_name;
use pilothouse_core::ErrorKind;
use pilothouse_core::config::{Permission, ReleaseState, Selector};
use pilothouse_core::ports::{Signal, Topic};

use super::fixture::{AuthoringFixture, content, kind};

#[tokio::test]
async fn publishing_requires_an_approval_and_raises_the_revision() {
    let fixture = AuthoringFixture::new().await;
    let (items, releases) = (fixture.pilothouse.items(), fixture.pilothouse.releases());
    fixture.app("app").await;
    let name = item_name("app", "k");
    let id = fixture.item(&name, "1").await;
    let publish = async |selector: &Selector| releases.publish(&fixture.owner, id, selector, None).await;
    let everyone = Selector::default();
    let refused = publish(&everyone).await.unwrap_err();
    assert_eq!(
        (refused.to_string().as_str(), refused.kind()),
        ("version 1 is not approved", ErrorKind::Conflict)
    );
    fixture.approve(&name).await;

    // A selection of nobody is refused, and nothing is published.
    let nodes = Selector { nodes: Some("11,22".parse().unwrap()), ..Selector::default() };
    let unknown = publish(&nodes).await.unwrap_err();
    assert_eq!(unknown.to_string(), "the node 11 does not exist");
    for grey in [
        Selector { percent: Some(50.try_into().unwrap()), ..Selector::default() },
        Selector { labels: Some("zone:a".parse().unwrap()), ..Selector::default() },
    ] {
        assert_eq!(kind(publish(&grey).await), ErrorKind::Invalid);
    }
    let item = items.find(&fixture.owner, &name).await.unwrap();
    assert_eq!((item.published_version, item.published_value.as_str()), (0, ""));
    assert_eq!(fixture.revision("app").await, 0);

    let mut signals = fixture.pilothouse.storage().signals();
    let app = item.app;
    let released = publish(&everyone).await.unwrap();
    assert_eq!((released.targets, fixture.revision("app").await), (0, 1));
    assert_eq!(signals.next().await, Some(Signal::Changed(Topic::App(app))));
    items.update(&fixture.owner, &name, content("2"), None).await.unwrap();
    let item = items.find(&fixture.owner, &name).await.unwrap();
    assert_eq!((item.current.version, item.published_version, item.published_value.as_str()), (2, 1, "1"));
    assert_eq!(kind(publish(&everyone).await), ErrorKind::Conflict, "the new version is not approved");
    fixture.approve(&name).await;
    publish(&everyone).await.unwrap();
    let rows = fixture.releases(app).await;
    let shown: Vec<_> = rows
        .iter()
        .map(|row| (row.version, row.revision, row.end_revision, row.state, row.publisher, row.origin))
        .collect();
    let (by, active, ended) = (fixture.owner.id, ReleaseState::Active, ReleaseState::Superseded);
    assert_eq!(shown, [(2, 2, None, active, by, None), (1, 1, Some(2), ended, by, None)]);
    assert_eq!(signals.next().await, Some(Signal::Changed(Topic::App(app))));

    // Deletion of a published item raises the revision; of an unpublished one it does not.
    fixture.item(&item_name("app", "draft"), "").await;
    items.delete(&fixture.owner, &item_name("app", "draft"), None).await.unwrap();
    assert_eq!(fixture.revision("app").await, 2);
    items.delete(&fixture.owner, &name, None).await.unwrap();
    assert_eq!(fixture.revision("app").await, 3);
    assert_eq!(signals.next().await, Some(Signal::Changed(Topic::App(app))));
    assert_eq!(kind(publish(&everyone).await), ErrorKind::NotFound);
    let rows = fixture.releases(app).await;
    assert!(rows.iter().all(|row| row.state == ReleaseState::Superseded));
    assert_eq!(rows[0].end_revision, Some(3));

    // The item created again is unpublished, so a developer may delete it.
    fixture.item(&name, "3").await;
    let item = items.find(&fixture.owner, &name).await.unwrap();
    assert_eq!((item.current.version, item.published_version, item.published_value.as_str()), (3, 0, ""));
    let dev = fixture.account("dev").await;
    fixture.grant(&fixture.owner, "app", &dev, Permission::Develop).await.unwrap();
    items.delete(&dev, &name, None).await.unwrap();
}
