//! Releases of several items: one revision, one event, one way back.

use futures_util::FutureExt;
use pilothouse_conformance::rows::item_name;
use pilothouse_core::config::{
    AckResult, Change, ChangeSetId, ChangeSetState, ContentChange, ItemChange, NewChangeSet, NewReleaseSet,
    NodeState, ReleaseContent, ReleaseId, ReleaseKind, ReleaseState, Released, Report, Selector, Watch,
};
use pilothouse_core::{ErrorKind, Page, Result, Settings};

use super::fixture::{DeliveryFixture, revision, to_nodes};

fn change(key: &str, value: &str) -> Change {
    let item = match value {
        "" => ItemChange::Delete,
        _ => ItemChange::Content(ContentChange { value: Some(value.into()), ..ContentChange::default() }),
    };
    Change { key: key.into(), seen: None, item }
}

/// A set of these changes; an empty value is a deletion.
fn set_of(changes: &[(&str, &str)]) -> NewChangeSet {
    NewChangeSet {
        app: "app".into(),
        profile: "dev".into(),
        changes: changes.iter().map(|(key, value)| change(key, value)).collect(),
        title: "title".into(),
        approve: true,
        ..NewChangeSet::default()
    }
}

impl DeliveryFixture {
    async fn change_set(&self, changes: &[(&str, &str)]) -> ChangeSetId {
        self.pilothouse.change_sets().apply(&self.owner, set_of(changes)).await.unwrap().change_set.unwrap()
    }

    async fn release(&self, content: ReleaseContent, selector: Selector) -> Result<Released> {
        let (app, profile) = ("app".into(), "dev".into());
        let new = NewReleaseSet { app, profile, content, selector, title: String::new() };
        self.pilothouse.releases().publish_set(&self.owner, &new).await
    }

    /// Applies and releases these changes.
    async fn release_changes(&self, changes: &[(&str, &str)], selector: Selector) -> Result<Released> {
        self.release(ReleaseContent::ChangeSet(self.change_set(changes).await), selector).await
    }

    async fn set_state(&self, set: ChangeSetId) -> ChangeSetState {
        self.pilothouse.change_sets().get(&self.owner, set).await.unwrap().set.state
    }

    async fn ack_key(&self, node: &str, key: &str, version: i64, result: AckResult) {
        let report = Report { key: key.into(), version, result, message: String::new() };
        self.session().await.node("dev", node).await.unwrap().ack(vec![report]).await.unwrap();
    }
}

/// Values and removed keys of the delta that a watch has ready; `None` where it has to wait.
/// Values that came by key, and the keys that went.
type Changes = (Vec<(String, String)>, Vec<String>);

fn ready(watch: &mut Watch) -> Option<Changes> {
    let delta = watch.next().now_or_never()?.unwrap();
    let items = delta.items.iter().map(|item| (item.key.to_string(), item.value.to_string())).collect();
    Some((items, delta.removed.iter().map(ToString::to_string).collect()))
}

/// A delta as [`ready`] answers it.
#[expect(clippy::unnecessary_wraps, reason = "compared with what may have come")]
fn delta(items: &[(&str, &str)], removed: &[&str]) -> Option<Changes> {
    let items = items.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Some((items, removed.iter().map(|key| (*key).to_owned()).collect()))
}

#[tokio::test]
async fn a_set_is_one_revision_and_one_event_for_each_node_and_goes_back_as_one() {
    let fixture = DeliveryFixture::new().await;
    let releases = fixture.pilothouse.releases();
    for node in ["11", "22"] {
        fixture.register(node).await;
    }
    let (mut one, mut two) = (fixture.watch("11", 0).await, fixture.watch("22", 0).await);
    let first = fixture.release_changes(&[("a", "1"), ("b", "1"), ("gone", "1")], Selector::default()).await;
    let first = first.unwrap();
    assert_eq!((first.kind, first.targets, first.items), (ReleaseKind::Full, 2, 3));
    for watch in [&mut one, &mut two] {
        assert_eq!(ready(watch), delta(&[("a", "1"), ("b", "1"), ("gone", "1")], &[]));
        assert_eq!((ready(watch), watch.revision()), (None, revision(1)));
    }

    // To one node: it alone gets the new values, and loses the key.
    let set = fixture.change_set(&[("a", "2"), ("new", "2"), ("gone", "")]).await;
    let content = ReleaseContent::ChangeSet(set);
    let grey = fixture.release(content.clone(), to_nodes("11")).await.unwrap();
    assert_eq!((grey.kind, grey.targets, grey.items), (ReleaseKind::Grey, 1, 3));
    assert_eq!((ready(&mut one), ready(&mut two)), (delta(&[("a", "2"), ("new", "2")], &["gone"]), None));
    assert_eq!(fixture.set_state(set).await, ChangeSetState::Released);
    for (node, keys) in [("11", vec!["a", "b", "new"]), ("22", vec!["a", "b", "gone"])] {
        let session = fixture.session_on(&fixture.server()).await.node("dev", node).await.unwrap();
        let config = session.config(0).await.unwrap();
        assert_eq!(config.delta.items.iter().map(|item| &*item.key).collect::<Vec<_>>(), keys, "{node}");
    }
    // The same set to other nodes takes its place; aborted, it can be released again.
    let again = fixture.release(content.clone(), to_nodes("22")).await.unwrap().release;
    assert_eq!(ready(&mut one), delta(&[("a", "1"), ("gone", "1")], &["new"]));
    assert_eq!(ready(&mut two), delta(&[("a", "2"), ("new", "2")], &["gone"]));
    assert_eq!(
        releases.promote(&fixture.owner, grey.release, false).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    let planned = releases.preview_rollback(&fixture.owner, again).await.unwrap();
    assert_eq!(planned.iter().map(|item| (item.from, item.to)).collect::<Vec<_>>(), [(2, 1), (0, 1), (1, 0)]);
    assert_eq!(releases.roll_back(&fixture.owner, again).await.unwrap().release, again, "it is the abort");
    assert_eq!(
        releases.preview_rollback(&fixture.owner, again).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(ready(&mut two), delta(&[("a", "1"), ("gone", "1")], &["new"]));
    assert_eq!(fixture.set_state(set).await, ChangeSetState::Approved);
    let grey = fixture.release(content.clone(), to_nodes("11")).await.unwrap().release;
    assert_eq!(ready(&mut one), delta(&[("a", "2"), ("new", "2")], &["gone"]));
    let promoted = releases.promote(&fixture.owner, grey, false).await.unwrap();
    assert_eq!((promoted.kind, promoted.items), (ReleaseKind::Full, 3));
    assert_eq!((ready(&mut one), ready(&mut two)), (None, delta(&[("a", "2"), ("new", "2")], &["gone"])));
    let items = fixture.pilothouse.items();
    let find = async |key: &str| items.find(&fixture.owner, &item_name("app", key)).await;
    assert_eq!(find("gone").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(find("a").await.unwrap().published_version, 2);
    let refused = fixture.release(content, Selector::default()).await.unwrap_err();
    assert_eq!(refused.to_string(), "the change set is released already");

    // One call back; the draft written since stays.
    let draft = ContentChange { value: Some("draft".into()), ..ContentChange::default() };
    items.update(&fixture.owner, &item_name("app", "a"), draft, None).await.unwrap();
    let refused = releases.roll_back(&fixture.owner, first.release).await.unwrap_err();
    assert_eq!(refused.to_string(), "released again or deleted since: a, gone");
    let planned = releases.preview_rollback(&fixture.owner, first.release).await.unwrap_err();
    assert_eq!(planned.to_string(), refused.to_string());
    let planned = releases.preview_rollback(&fixture.owner, promoted.release).await.unwrap();
    let planned: Vec<_> = planned.iter().map(|item| (&*item.key, item.from, item.to)).collect();
    assert_eq!(planned, [("a", 2, 1), ("gone", 0, 1), ("new", 1, 0)]);
    let back = releases.roll_back(&fixture.owner, promoted.release).await.unwrap();
    assert_eq!((back.kind, back.items), (ReleaseKind::Full, 3));
    for watch in [&mut one, &mut two] {
        assert_eq!(ready(watch), delta(&[("a", "1"), ("gone", "1")], &["new"]));
    }
    let a = find("a").await.unwrap();
    assert_eq!((a.published_version, a.current.version, &*a.current.content.value), (1, 3, "draft"));
    assert_eq!(find("gone").await.unwrap().published_version, 1);
    assert_eq!(find("new").await.unwrap().published_version, 0);
    let forth = releases.roll_back(&fixture.owner, back.release).await.unwrap();
    assert_eq!(ready(&mut one), delta(&[("a", "2"), ("new", "2")], &["gone"]));
    assert_eq!(
        releases.roll_back(&fixture.owner, back.release).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    let rollouts = fixture.pilothouse.rollouts();
    let listed = rollouts.list(&fixture.owner, "app", "dev", Some("new"), Page::default()).await.unwrap();
    let shown: Vec<_> =
        listed.iter().map(|rollout| (rollout.release.id, rollout.release.state, rollout.items)).collect();
    assert_eq!(shown[0], (forth.release, ReleaseState::Active, 3));
    assert_eq!(shown[1], (back.release, ReleaseState::Superseded, 3));
    assert_eq!(shown[3], (grey, ReleaseState::Promoted, 3));
    assert_eq!(listed[3].release.title, "title");
}

#[tokio::test]
async fn a_partial_overlap_with_a_grey_release_is_refused() {
    let fixture = DeliveryFixture::new().await;
    fixture.register("11").await;
    let grey = fixture.release_changes(&[("a", "1"), ("b", "1")], to_nodes("11")).await.unwrap().release;
    let a = fixture.pilothouse.items().find(&fixture.owner, &item_name("app", "a")).await.unwrap().id;
    let releases = fixture.pilothouse.releases();
    let more = format!("the grey release {grey} has other keys as well: b");
    let refused = releases.publish(&fixture.owner, a, &Selector::default(), None).await.unwrap_err();
    assert_eq!((refused.kind(), refused.to_string()), (ErrorKind::Conflict, more.clone()));
    let keys = |keys: &[&str]| ReleaseContent::Keys(keys.iter().map(|key| (*key).to_owned()).collect());
    let refused = fixture.release(keys(&["a"]), to_nodes("11")).await.unwrap_err();
    assert_eq!(refused.to_string(), more);
    fixture.change_set(&[("c", "1")]).await;
    let refused = fixture.release(keys(&["a", "b", "c"]), to_nodes("11")).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("the grey release {grey} has a part of the keys: promote or abort it first")
    );
    let equal = fixture.release(keys(&["b", "a"]), to_nodes("11")).await.unwrap().release;
    assert_eq!(releases.abort(&fixture.owner, grey).await.unwrap_err().kind(), ErrorKind::Conflict);
    // A full release of all its keys and more ends it.
    fixture.release(keys(&["a", "b", "c"]), Selector::default()).await.unwrap();
    assert_eq!(releases.abort(&fixture.owner, equal).await.unwrap_err().kind(), ErrorKind::Conflict);

    let refused = fixture.release(keys(&["a", "x"]), Selector::default()).await.unwrap_err();
    assert_eq!(refused.to_string(), "a config of a key (x) does not exist");
    fixture
        .pilothouse
        .change_sets()
        .apply(&fixture.owner, NewChangeSet { approve: false, ..set_of(&[("a", "9")]) })
        .await
        .unwrap();
    let refused = fixture.release(keys(&["a", "b"]), Selector::default()).await.unwrap_err();
    assert_eq!(refused.to_string(), "the current version is not approved: a");
    for (wrong, why) in [(keys(&[]), "keys: must not be empty"), (keys(&["a", "a"]), "keys: names a twice")] {
        assert_eq!(fixture.release(wrong, Selector::default()).await.unwrap_err().to_string(), why);
    }
}

#[tokio::test]
async fn a_node_has_applied_a_set_when_it_applied_every_key() {
    let fixture = DeliveryFixture::new().await;
    for node in ["11", "22"] {
        fixture.register(node).await;
    }
    let mut watches = [fixture.watch("11", 0).await, fixture.watch("22", 0).await];
    fixture.release_changes(&[("gone", "1")], Selector::default()).await.unwrap();
    let release = fixture.release_changes(&[("a", "1"), ("b", "1"), ("gone", "")], Selector::default()).await;
    let release = release.unwrap().release;
    for watch in &mut watches {
        assert!(ready(watch).is_some());
    }
    let states = async || {
        let found = fixture.states(release).await;
        ["11", "22"].map(|node| found[node].0)
    };
    assert_eq!(states().await, [NodeState::Sent, NodeState::Sent]);
    fixture.ack_key("11", "a", 1, AckResult::Applied).await;
    fixture.ack_key("22", "a", 1, AckResult::Applied).await;
    assert_eq!(states().await, [NodeState::Sent, NodeState::Sent], "one key of two");
    fixture.ack_key("11", "b", 1, AckResult::Applied).await;
    fixture.ack_key("22", "b", 1, AckResult::Rejected).await;
    assert_eq!(states().await, [NodeState::Applied, NodeState::Rejected]);
    // Nodes that come back, also to a server that knows nothing of what was sent, are where they were.
    drop(watches);
    for server in [fixture.pilothouse.clone(), fixture.server()] {
        for node in ["11", "22"] {
            let session = fixture.session_on(&server).await.node("dev", node).await.unwrap();
            assert_eq!(ready(&mut session.watch(revision(2)).await.unwrap()), None);
        }
        server.housekeep().await.unwrap();
        assert_eq!(states().await, [NodeState::Applied, NodeState::Rejected]);
    }
    // A later release of one key leaves the rest of the set in effect.
    let part = fixture.release_changes(&[("b", "2")], Selector::default()).await.unwrap().release;
    let rollout = fixture.pilothouse.rollouts().status(&fixture.owner, release).await.unwrap().rollout;
    assert_eq!((rollout.release.state, rollout.items), (ReleaseState::Active, 3));
    let rollouts = fixture.pilothouse.rollouts();
    let refused = rollouts.status(&fixture.owner, ReleaseId(part.0 - 1)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden, "a part is no release of its own, as an unknown one");
}

#[tokio::test]
async fn a_grey_release_holds_while_a_node_of_it_refuses() {
    let fixture = DeliveryFixture::new().await;
    for node in ["11", "22", "33"] {
        fixture.register(node).await;
    }
    let mut watches = [fixture.watch("11", 0).await, fixture.watch("22", 0).await];
    let grey = fixture.release_changes(&[("a", "1"), ("b", "1")], to_nodes("11,22")).await.unwrap().release;
    for watch in &mut watches {
        assert!(ready(watch).is_some());
    }
    let releases = fixture.pilothouse.releases();
    fixture.ack_key("11", "a", 1, AckResult::Failed).await;
    fixture.ack_key("22", "b", 1, AckResult::Rejected).await;
    let refused = releases.promote(&fixture.owner, grey, false).await.unwrap_err();
    let why = "the release holds, as nodes reject or fail it: 11, 22; force=true promotes it all the same";
    assert_eq!((refused.kind(), &*refused.to_string()), (ErrorKind::Conflict, why));
    fixture.clock.advance(chrono::TimeDelta::seconds(1));
    fixture.ack_key("11", "a", 1, AckResult::Applied).await;
    let refused = releases.promote(&fixture.owner, grey, false).await.unwrap_err();
    assert_eq!(refused.to_string(), why.replace("11, ", ""));
    assert_eq!(releases.promote(&fixture.owner, grey, true).await.unwrap().items, 2);
}

#[tokio::test]
async fn apply_publishes_at_once_and_one_person_rolls_back_under_four_eyes() {
    let settings = Settings::default().with_four_eyes_profiles(["prod"]);
    let fixture = DeliveryFixture::with(settings).await;
    fixture.register("11").await;
    let mut watch = fixture.watch("11", 0).await;
    let sets = fixture.pilothouse.change_sets();
    let dry = NewChangeSet { dry_run: true, approve: false, ..set_of(&[("a", "1"), ("b", "1")]) };
    assert_eq!(sets.apply_and_publish(&fixture.owner, dry.clone()).await.unwrap().released, None);
    assert_eq!(ready(&mut watch), None);
    let made = sets.apply_and_publish(&fixture.owner, NewChangeSet { dry_run: false, ..dry }).await.unwrap();
    assert_eq!(made.released.unwrap().items, 2);
    assert_eq!(ready(&mut watch), delta(&[("a", "1"), ("b", "1")], &[]));
    assert_eq!(fixture.set_state(made.applied.change_set.unwrap()).await, ChangeSetState::Released);
    let same = sets.apply_and_publish(&fixture.owner, set_of(&[("a", "1")])).await.unwrap();
    assert_eq!((same.released, same.applied.change_set), (None, None));
    let made = sets.apply_and_publish(&fixture.owner, set_of(&[("a", ""), ("b", "2")])).await.unwrap();
    assert_eq!(ready(&mut watch), delta(&[("b", "2")], &["a"]));
    fixture.pilothouse.releases().roll_back(&fixture.owner, made.released.unwrap().release).await.unwrap();
    assert_eq!(ready(&mut watch), delta(&[("a", "1"), ("b", "1")], &[]));

    let prod = NewChangeSet { profile: "prod".into(), ..set_of(&[("a", "1")]) };
    let refused = sets.apply_and_publish(&fixture.owner, prod.clone()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    let set = sets.apply(&fixture.owner, NewChangeSet { approve: false, ..prod }).await.unwrap();
    let other = fixture.another_manager().await;
    sets.approve(&other, set.change_set.unwrap()).await.unwrap();
    let new = NewReleaseSet {
        app: "app".into(),
        profile: "prod".into(),
        content: ReleaseContent::ChangeSet(set.change_set.unwrap()),
        ..NewReleaseSet::default()
    };
    let release = fixture.pilothouse.releases().publish_set(&fixture.owner, &new).await.unwrap().release;
    fixture.pilothouse.releases().roll_back(&fixture.owner, release).await.unwrap();
    let snapshot = fixture.session().await.snapshot();
    assert!(snapshot.node_config("prod", "11").delta.items.is_empty());
}
