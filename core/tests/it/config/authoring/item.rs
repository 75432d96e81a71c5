//! Items: versions, approval and limits.

use pilothouse_conformance::rows::item_name;
use pilothouse_core::config::{Content, HistoryQuery, ItemName, Permission, Selector};
use pilothouse_core::{ErrorKind, Settings};

use super::fixture::{AuthoringFixture, content, kind};

#[tokio::test]
async fn a_changed_item_gets_a_new_version_without_approval() {
    let fixture = AuthoringFixture::new().await;
    let items = fixture.pilothouse.items();
    fixture.app("app").await;
    let name = item_name("app", "k");
    let dev = fixture.account("dev").await;
    fixture.grant(&fixture.owner, "app", &dev, Permission::Develop).await.unwrap();
    let id = items.create(&dev, &name, content("1")).await.unwrap();
    assert_eq!(kind(items.create(&dev, &name, content("1")).await), ErrorKind::AlreadyExists);
    fixture.approve(&name).await;
    let approver = async || items.find(&dev, &name).await.unwrap().current.approver;
    assert_eq!(approver().await, Some(fixture.owner.id));
    items.approve(&fixture.root, &name, None).await.unwrap();
    assert_eq!(approver().await, Some(fixture.owner.id), "the first approver stays");

    // An update that changes nothing adds no version and keeps the approval; every change clears it.
    items.update(&dev, &name, content("1"), Some(1)).await.unwrap();
    let item = items.find(&dev, &name).await.unwrap();
    assert_eq!((item.id, item.current.version, item.current.approver), (id, 1, Some(fixture.owner.id)));
    let changes = [
        content("2"),
        Content { validator: "v".into(), ..content("2") },
        Content { validator: "v".into(), description: "d".into(), ..content("2") },
    ];
    for (n, change) in (2..).zip(changes) {
        items.update(&fixture.owner, &name, change.clone(), Some(n - 1)).await.unwrap();
        let current = items.find(&dev, &name).await.unwrap().current;
        assert_eq!((current.version, current.content, current.approver), (n, change, None));
        assert_eq!(current.modifier, fixture.owner.id);
        items.approve(&fixture.owner, &name, Some(n)).await.unwrap();
    }
    // A caller that names another version than the current one is refused.
    for seen in [Some(3), Some(5), Some(0)] {
        assert_eq!(kind(items.update(&dev, &name, content("x"), seen).await), ErrorKind::Conflict);
        assert_eq!(kind(items.approve(&fixture.owner, &name, seen).await), ErrorKind::Conflict);
        // Version 3 is approved, and stays publishable by its number.
        if seen != Some(3) {
            let (releases, everyone) = (fixture.pilothouse.releases(), Selector::default());
            let published = releases.publish(&fixture.owner, id, &everyone, seen).await;
            assert_eq!(kind(published), ErrorKind::Conflict);
        }
        assert_eq!(kind(items.delete(&dev, &name, seen).await), ErrorKind::Conflict);
    }
    items.roll_back(&dev, &name, 1).await.unwrap();
    let current = items.find(&dev, &name).await.unwrap().current;
    assert_eq!((current.version, current.content, current.modifier), (5, content("1"), dev.id));
    assert_eq!(current.approver, None, "a rolled-back version needs an approval of its own");
    assert_eq!(kind(items.roll_back(&dev, &name, 6).await), ErrorKind::NotFound);
    let history = items.history(&dev, &name, HistoryQuery::default()).await.unwrap().rows;
    assert_eq!(history.iter().map(|version| version.version).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
    assert_eq!(history[4].approver, Some(fixture.owner.id));
    let diff = items.diff(&dev, &name, 1, 2).await.unwrap();
    assert!(diff.starts_with("--- k (version 1)\n+++ k (version 2)\n@@ -1 +1 @@\n-1\n"), "{diff}");
    assert_eq!(kind(items.diff(&dev, &name, 1, 6).await), ErrorKind::NotFound);
    assert_eq!(
        kind(items.history(&dev, &item_name("app", "none"), HistoryQuery::default()).await),
        ErrorKind::NotFound
    );

    // An item that is created again continues its versions and its history.
    items.delete(&dev, &name, Some(5)).await.unwrap();
    assert_eq!(kind(items.find(&dev, &name).await), ErrorKind::NotFound);
    assert_eq!(kind(items.update(&dev, &name, content("x"), None).await), ErrorKind::NotFound);
    assert_eq!(items.history(&dev, &name, HistoryQuery::default()).await.unwrap().rows.len(), 5);
    assert_eq!(items.create(&dev, &name, content("1")).await.unwrap(), id);
    assert_eq!(items.find(&dev, &name).await.unwrap().current.version, 6);
}

#[tokio::test]
async fn items_over_their_limits_are_refused() {
    let fixture = AuthoringFixture::new().await;
    let items = fixture.pilothouse.items();
    fixture.app("app").await;
    let mib = "x".repeat(1 << 20);
    let refusal = async |name: ItemName, content: Content| {
        items.create(&fixture.owner, &name, content).await.unwrap_err().to_string()
    };
    let name = item_name("app", "k");
    assert_eq!(refusal(item_name("app", ""), content("")).await, "key: must not be empty");
    assert_eq!(
        refusal(item_name("app", &"x".repeat(257)), content("")).await,
        "key: must be at most 256 bytes, not 257"
    );
    assert_eq!(
        refusal(item_name("app", "a\tb"), content("")).await,
        "key: must not hold the control character U+0009"
    );
    let elsewhere = ItemName { profile: "..".into(), ..name.clone() };
    assert_eq!(refusal(elsewhere, content("")).await, "profile: must not be . or ..");
    let long = format!("{mib}x");
    assert_eq!(
        refusal(name.clone(), content(&long)).await,
        "value: must be at most 1048576 bytes, not 1048577"
    );
    assert_eq!(
        refusal(name.clone(), content("\0")).await,
        "value: must not hold the control character U+0000"
    );
    let validator = Content { validator: "x".repeat(65537), ..content("") };
    assert_eq!(refusal(name.clone(), validator).await, "validator: must be at most 65536 bytes, not 65537");
    let description = Content { description: "x".repeat(4097), ..content("") };
    assert_eq!(refusal(name.clone(), description).await, "description: must be at most 4096 bytes, not 4097");
    assert!(items.profiles(&fixture.owner, "app").await.unwrap().is_empty(), "nothing was created");

    let malformed = items.find(&fixture.root, &item_name("a/b", "k")).await.unwrap_err();
    assert_eq!(malformed.to_string(), "app: may hold only A-Z, a-z, 0-9, ., _ and -");
    assert_eq!(kind(items.list(&fixture.owner, "app", "..").await), ErrorKind::Invalid);
    assert_eq!(kind(fixture.pilothouse.nodes().list(&fixture.owner, "app", "").await), ErrorKind::Invalid);
    for read in [item_name("app", ""), ItemName { profile: "..".into(), ..name.clone() }] {
        assert_eq!(kind(items.find(&fixture.owner, &read).await), ErrorKind::Invalid);
        assert_eq!(
            kind(items.history(&fixture.owner, &read, HistoryQuery::default()).await),
            ErrorKind::Invalid
        );
        assert_eq!(kind(items.diff(&fixture.owner, &read, 1, 1).await), ErrorKind::Invalid);
    }

    let most = Content { value: mib, validator: "x".repeat(65536), description: "\t\r\n".repeat(1365) };
    items.create(&fixture.owner, &item_name("app", &"键".repeat(85)), most.clone()).await.unwrap();
    let listed = items.list(&fixture.owner, "app", "dev").await.unwrap();
    assert!(listed[0].current.content == most);
    let updated =
        items.update(&fixture.owner, &item_name("app", &"键".repeat(85)), content(&long), None).await;
    assert_eq!(kind(updated), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_four_eyes_profile_is_approved_by_another_account_than_the_author() {
    let settings = Settings::default().with_four_eyes_profiles(["prod"]);
    let fixture = AuthoringFixture::with(settings).await;
    let items = fixture.pilothouse.items();
    fixture.app("app").await;
    let (dev, prod) = (item_name("app", "k"), ItemName { profile: "prod".into(), ..item_name("app", "k") });
    for name in [&dev, &prod] {
        fixture.item(name, "1").await;
    }
    items.approve(&fixture.owner, &dev, None).await.unwrap();
    assert_eq!(kind(items.approve(&fixture.owner, &prod, None).await), ErrorKind::Forbidden);
    assert_eq!(items.find(&fixture.owner, &prod).await.unwrap().current.approver, None);
    items.approve(&fixture.root, &prod, None).await.unwrap();
    items.update(&fixture.root, &prod, content("2"), None).await.unwrap();
    assert_eq!(kind(items.approve(&fixture.root, &prod, None).await), ErrorKind::Forbidden);
    items.approve(&fixture.owner, &prod, None).await.unwrap();
}
