//! Change sets: all or nothing, dry runs, approval, discarding.

use pilothouse_conformance::rows::item_name;
use pilothouse_core::config::{
    Applied, Change, ChangeAction, ChangeSetId, ChangeSetState, Content, ContentChange, ItemChange,
    NewChangeSet, Permission,
};
use pilothouse_core::{Error, ErrorKind, Page, Result, Settings};

use super::fixture::{AuthoringFixture, content, kind};

fn set(key: &str, value: &str) -> Change {
    let change = ContentChange { value: Some(value.into()), ..ContentChange::default() };
    Change { key: key.into(), seen: None, item: ItemChange::Content(change) }
}

fn delete(key: &str) -> Change {
    Change { key: key.into(), seen: None, item: ItemChange::Delete }
}

fn new_set(changes: impl Into<Vec<Change>>) -> NewChangeSet {
    NewChangeSet {
        app: "app".into(),
        profile: "dev".into(),
        changes: changes.into(),
        title: "title".into(),
        ..NewChangeSet::default()
    }
}

/// Key, action, version before and version now of each change.
fn told(applied: &Applied) -> Vec<(&str, ChangeAction, i64, i64)> {
    let changes = applied.changes.iter();
    changes.map(|change| (&*change.key, change.action, change.from, change.version)).collect()
}

async fn apply(fixture: &AuthoringFixture, changes: impl Into<Vec<Change>>) -> Result<Applied> {
    fixture.pilothouse.change_sets().apply(&fixture.owner, new_set(changes)).await
}

async fn state(fixture: &AuthoringFixture, id: ChangeSetId) -> ChangeSetState {
    fixture.pilothouse.change_sets().get(&fixture.owner, id).await.unwrap().set.state
}

#[tokio::test]
async fn a_set_is_made_whole_or_not_at_all_and_a_dry_run_makes_nothing() {
    let fixture = AuthoringFixture::new().await;
    fixture.app("app").await;
    let validated = Content { validator: "int".into(), description: "d".into(), ..content("1") };
    let items = fixture.pilothouse.items();
    for key in ["a", "b", "c"] {
        items.create(&fixture.owner, &item_name("app", key), validated.clone()).await.unwrap();
    }
    let changes = [set("a", "2"), set("b", "1"), delete("c"), set("new", "x")];
    let expected = vec![
        ("a", ChangeAction::Update, 1, 2),
        ("b", ChangeAction::Same, 1, 1),
        ("c", ChangeAction::Delete, 1, 0),
        ("new", ChangeAction::Create, 0, 1),
    ];
    let dry = NewChangeSet { dry_run: true, ..new_set(changes.clone()) };
    let planned = fixture.pilothouse.change_sets().apply(&fixture.owner, dry).await.unwrap();
    assert_eq!((planned.change_set, told(&planned)), (None, expected.clone()));
    let rows = |applied: Applied| applied.changes.len();
    assert_eq!(items.list(&fixture.owner, "app", "dev").await.unwrap().len(), 3, "{}", rows(planned));

    let mut wrong = changes.to_vec();
    wrong.extend([set("a2", "x"), delete("nothing")]);
    wrong[0] = set("a", "word");
    wrong[4].seen = Some(3);
    let refused = apply(&fixture, wrong.clone()).await.unwrap_err();
    let why = "changes: a: value: is not a whole number from -9223372036854775808 to 9223372036854775807; \
               a2: version 3 is not the current one: the key does not exist; nothing: the config does not exist";
    assert_eq!(refused.to_string(), why);
    let dry = NewChangeSet { dry_run: true, ..new_set(wrong) };
    let planned = fixture.pilothouse.change_sets().apply(&fixture.owner, dry).await.unwrap();
    let failed = planned.changes.iter().map(|change| change.error.as_ref().map(Error::kind));
    let (invalid, stale, absent) = (ErrorKind::Invalid, ErrorKind::Conflict, ErrorKind::NotFound);
    assert_eq!(failed.collect::<Vec<_>>(), [Some(invalid), None, None, None, Some(stale), Some(absent)]);
    assert_eq!(items.find(&fixture.owner, &item_name("app", "a")).await.unwrap().current.version, 1);

    let applied = apply(&fixture, changes).await.unwrap();
    assert_eq!(told(&applied), expected);
    let changed = items.find(&fixture.owner, &item_name("app", "a")).await.unwrap().current;
    assert_eq!((changed.version, changed.content), (2, Content { value: "2".into(), ..validated }));
    assert_eq!(kind(items.find(&fixture.owner, &item_name("app", "c")).await), ErrorKind::NotFound);
    let found =
        fixture.pilothouse.change_sets().get(&fixture.owner, applied.change_set.unwrap()).await.unwrap();
    assert_eq!((found.set.size, &*found.set.title, found.set.state), (3, "title", ChangeSetState::Draft));
    assert!(
        found.items[0]
            .diff
            .ends_with("@@ -1 +1 @@\n-1\n\\ No newline at end of file\n+2\n\\ No newline at end of file\n")
    );
    assert!(found.items[1].diff.starts_with("--- c (version 1)\n+++ c (none)\n"), "{}", found.items[1].diff);
    let again = apply(&fixture, [set("a", "2"), set("new", "x")]).await.unwrap();
    assert_eq!(again.change_set, None, "nothing was to change");
    // A key that was deleted goes on counting.
    let again = apply(&fixture, [set("c", "9")]).await.unwrap();
    assert_eq!(told(&again), [("c", ChangeAction::Create, 0, 2)]);
}

#[tokio::test]
async fn limits_of_a_set() {
    let fixture = AuthoringFixture::new().await;
    fixture.app("app").await;
    let refusal = async |new: NewChangeSet| {
        fixture.pilothouse.change_sets().apply(&fixture.owner, new).await.unwrap_err().to_string()
    };
    assert_eq!(refusal(new_set([])).await, "changes: must not be empty");
    let many: Vec<Change> = (0..10_001).map(|n| set(&format!("k{n}"), "")).collect();
    assert_eq!(refusal(new_set(many.clone())).await, "changes: must be at most 10000, not 10001");
    assert_eq!(refusal(new_set([set("k", "1"), delete("k")])).await, "changes: names the key k twice");
    let title = NewChangeSet { title: "x".repeat(257), ..new_set([set("k", "1")]) };
    assert_eq!(refusal(title).await, "title: must be at most 256 bytes, not 257");
    let profile = NewChangeSet { profile: "..".into(), ..new_set([set("k", "1")]) };
    assert_eq!(refusal(profile).await, "profile: must not be . or ..");
    assert_eq!(
        refusal(new_set([set(" k", "1")])).await,
        "changes:  k: key: must not begin or end with a blank"
    );
    let mib = "x".repeat(1 << 20);
    let large: Vec<Change> = (0..64).map(|n| set(&format!("k{n:02}"), &mib)).collect();
    assert_eq!(refusal(new_set(large)).await, "changes: must be at most 67108864 bytes, not 67109056");
    assert_eq!(apply(&fixture, &many[..10_000]).await.unwrap().changes.len(), 10_000);
}

#[tokio::test]
async fn who_may_apply_approve_and_discard() {
    let settings = Settings::default().with_four_eyes_profiles(["dev"]);
    let fixture = AuthoringFixture::with(settings).await;
    fixture.app("app").await;
    let sets = fixture.pilothouse.change_sets();
    let (dev, nobody) = (fixture.account("dev").await, fixture.account("nobody").await);
    fixture.grant(&fixture.owner, "app", &dev, Permission::Develop).await.unwrap();
    let changes = [set("a", "1"), set("b", "1")];
    assert_eq!(kind(sets.apply(&nobody, new_set(changes.clone())).await), ErrorKind::Forbidden);
    let approved = NewChangeSet { approve: true, ..new_set(changes.clone()) };
    assert_eq!(kind(sets.apply(&dev, approved.clone()).await), ErrorKind::Forbidden);
    assert_eq!(kind(sets.apply(&fixture.owner, approved).await), ErrorKind::Forbidden, "four eyes");
    let id = sets.apply(&dev, new_set(changes)).await.unwrap().change_set.unwrap();
    assert_eq!(kind(sets.get(&nobody, id).await), ErrorKind::Forbidden);
    assert_eq!(kind(sets.get(&nobody, ChangeSetId(id.0 + 1)).await), ErrorKind::Forbidden);
    assert_eq!(kind(sets.get(&fixture.root, ChangeSetId(id.0 + 1)).await), ErrorKind::NotFound);
    assert_eq!(kind(sets.approve(&dev, id).await), ErrorKind::Forbidden);
    assert_eq!(kind(sets.discard(&nobody, id).await), ErrorKind::Forbidden);
    let of = |caller| sets.list(caller, ("app", "dev"), Some(ChangeSetState::Draft), Page::default());
    assert_eq!(kind(of(&nobody).await), ErrorKind::Forbidden);
    assert_eq!(of(&dev).await.unwrap().rows[0].id, id);

    // What was edited since is named, and nothing of the set is approved.
    let edited = item_name("app", "b");
    fixture.pilothouse.items().update(&dev, &edited, content("2"), None).await.unwrap();
    let refused = sets.approve(&fixture.owner, id).await.unwrap_err();
    assert_eq!(
        (refused.kind(), &*refused.to_string()),
        (ErrorKind::Conflict, "edited since the change set was made: b")
    );
    let items = fixture.pilothouse.items();
    assert_eq!(items.find(&dev, &item_name("app", "a")).await.unwrap().current.approver, None);

    let id = sets.apply(&dev, new_set([set("a", "3"), set("b", "3")])).await.unwrap().change_set.unwrap();
    sets.approve(&fixture.owner, id).await.unwrap();
    sets.approve(&fixture.root, id).await.unwrap();
    let found = sets.get(&dev, id).await.unwrap().set;
    assert_eq!((found.state, found.approver), (ChangeSetState::Approved, Some(fixture.owner.id)));
    let current = items.find(&dev, &edited).await.unwrap().current;
    assert_eq!((current.version, current.approver), (3, Some(fixture.owner.id)));
}

#[tokio::test]
async fn a_discarded_set_brings_back_what_is_released() {
    let fixture = AuthoringFixture::new().await;
    fixture.app("app").await;
    let (sets, items) = (fixture.pilothouse.change_sets(), fixture.pilothouse.items());
    let (released, draft, other) =
        (item_name("app", "released"), item_name("app", "draft"), item_name("app", "other"));
    let id = fixture.item(&released, "1").await;
    fixture.approve(&released).await;
    fixture.publish(id).await;
    fixture.item(&draft, "1").await;
    fixture.item(&other, "1").await;
    let changes =
        [set("released", "2"), set("draft", "2"), set("other", "2"), set("new", "2"), set("kept", "2")];
    let made = apply(&fixture, changes).await.unwrap().change_set.unwrap();
    items.update(&fixture.owner, &other, content("3"), None).await.unwrap();
    items.update(&fixture.owner, &item_name("app", "kept"), content("3"), None).await.unwrap();
    sets.discard(&fixture.owner, made).await.unwrap();
    assert_eq!(state(&fixture, made).await, ChangeSetState::Discarded);
    let value = async |key: &str| {
        let current = items.find(&fixture.owner, &item_name("app", key)).await?.current;
        Ok::<_, Error>((current.content.value, current.version, current.approver.is_some()))
    };
    assert_eq!(value("released").await.unwrap(), ("1".into(), 3, true), "what is released was approved");
    assert_eq!(value("draft").await.unwrap(), ("1".into(), 3, false));
    assert_eq!(value("other").await.unwrap(), ("3".into(), 3, false), "edited since");
    assert_eq!(value("kept").await.unwrap(), ("3".into(), 2, false));
    assert_eq!(kind(value("new").await), ErrorKind::NotFound);
    assert_eq!(kind(sets.discard(&fixture.owner, made).await), ErrorKind::Conflict);
    assert_eq!(kind(sets.approve(&fixture.owner, made).await), ErrorKind::Conflict);

    // A deletion of what is released waits, and takes a manager.
    let dev = fixture.account("dev").await;
    fixture.grant(&fixture.owner, "app", &dev, Permission::Develop).await.unwrap();
    assert_eq!(kind(sets.apply(&dev, new_set([delete("released")])).await), ErrorKind::Forbidden);
    let gone = sets.apply(&dev, new_set([delete("draft")])).await.unwrap();
    assert_eq!(kind(value("draft").await), ErrorKind::NotFound);
    let staged = apply(&fixture, [delete("released")]).await.unwrap().change_set.unwrap();
    assert_eq!(value("released").await.unwrap().1, 3, "it goes with the release of the set");
    sets.discard(&fixture.owner, staged).await.unwrap();
    sets.approve(&fixture.owner, gone.change_set.unwrap()).await.unwrap();
}
