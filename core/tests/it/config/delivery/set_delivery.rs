//! What is kept of a release of several items at its nodes, and how it is counted.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use futures_util::FutureExt;
use pilothouse_core::Page;
use pilothouse_core::config::{
    AckResult, Change, ContentChange, DeliveryRecord, ItemChange, NewChangeSet, NewReleaseSet, NodeState,
    PartAck, ReleaseContent, ReleaseId, Report, Selector, Watch,
};

use super::fixture::{DeliveryFixture, to_nodes};

impl DeliveryFixture {
    /// Releases these keys with this value.
    async fn release_keys(&self, keys: &[&str], value: &str, selector: &Selector) -> ReleaseId {
        let change = |key: &&str| Change {
            key: (*key).to_owned(),
            seen: None,
            item: ItemChange::Content(ContentChange {
                value: Some(value.into()),
                ..ContentChange::default()
            }),
        };
        let new = NewChangeSet {
            app: "app".into(),
            profile: "dev".into(),
            changes: keys.iter().map(change).collect(),
            approve: true,
            ..NewChangeSet::default()
        };
        self.pilothouse.change_sets().apply(&self.owner, new).await.unwrap();
        self.release_again(keys, selector).await
    }

    /// Releases the current versions of these keys.
    async fn release_again(&self, keys: &[&str], selector: &Selector) -> ReleaseId {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let new = NewReleaseSet {
            app: "app".into(),
            profile: "dev".into(),
            content: ReleaseContent::Keys(keys),
            selector: selector.clone(),
            title: String::new(),
        };
        self.pilothouse.releases().publish_set(&self.owner, &new).await.unwrap().release
    }

    async fn report(&self, node: &str, said: &[(&str, i64, AckResult)]) {
        let report = |(key, version, result): &(&str, i64, AckResult)| Report {
            key: (*key).to_owned(),
            version: *version,
            result: *result,
            message: String::new(),
        };
        let session = self.session().await.node("dev", node).await.unwrap();
        session.ack(said.iter().map(report).collect()).await.unwrap();
    }

    async fn state(&self, release: ReleaseId, node: &str) -> NodeState {
        self.states(release).await[node].0
    }

    /// The delivery records of a release, and what is kept of its parts beside them.
    async fn kept(&self, release: ReleaseId) -> (Vec<DeliveryRecord>, Vec<PartAck>) {
        self.pilothouse.flush_reports().await.unwrap();
        let mut snapshot = self.storage.read().await.unwrap();
        let records = snapshot.deliveries().of_releases(&[release]).await.unwrap();
        let keys: Vec<_> = records.iter().map(|record| (record.release, record.node)).collect();
        let parts = snapshot.deliveries().part_acks(&keys).await.unwrap();
        (records, parts)
    }
}

fn take(watch: &mut Watch) {
    assert!(watch.next().now_or_never().is_some());
}

const APPLIED: AckResult = AckResult::Applied;

#[tokio::test]
async fn a_set_is_one_record_at_each_node() {
    let fixture = DeliveryFixture::new().await;
    let keys = ["a", "b", "c"];
    let mut watches = Vec::new();
    for node in ["11", "22", "33"] {
        fixture.register(node).await;
        watches.push(fixture.watch(node, 0).await);
    }
    let release = fixture.release_keys(&keys, "1", &Selector::default()).await;
    watches.iter_mut().for_each(take);
    let (records, parts) = fixture.kept(release).await;
    assert_eq!((records.len(), parts.len()), (3, 0));
    assert!(records.iter().all(|record| record.sent.is_some() && record.ack.is_none()));

    fixture.report("11", &keys.map(|key| (key, 1, APPLIED))).await;
    assert_eq!(fixture.state(release, "11").await, NodeState::Applied);
    assert_eq!(fixture.kept(release).await.1, []);
    // One by one: what is said of each key is kept until it is the same of all.
    fixture.report("22", &[("a", 1, APPLIED), ("b", 1, APPLIED)]).await;
    assert_eq!(fixture.state(release, "22").await, NodeState::Sent);
    assert_eq!(fixture.kept(release).await.1.len(), 2);
    fixture.clock.advance(TimeDelta::milliseconds(1));
    fixture.report("22", &[("c", 1, APPLIED)]).await;
    assert_eq!(fixture.state(release, "22").await, NodeState::Applied);
    assert_eq!(fixture.kept(release).await.1, []);
    // A refusal of one key counts for the release, and takes nothing from the others.
    fixture.report("33", &[("a", 1, APPLIED), ("b", 1, AckResult::Rejected), ("c", 1, APPLIED)]).await;
    assert_eq!(fixture.state(release, "33").await, NodeState::Rejected);
    assert_eq!(fixture.kept(release).await.1.len(), 3);
    fixture.clock.advance(TimeDelta::milliseconds(1));
    fixture.report("11", &[("b", 1, AckResult::Failed)]).await;
    assert_eq!(fixture.state(release, "11").await, NodeState::Failed);
    let detail = async |node: &str| {
        let nodes = fixture.pilothouse.nodes();
        let detail = nodes.detail(&fixture.owner, ("app", "dev"), node).await.unwrap();
        detail.items.into_iter().map(|item| (item.key, item.version)).collect::<BTreeMap<_, _>>()
    };
    let held = |versions: [i64; 3]| -> BTreeMap<String, i64> {
        keys.map(str::to_owned).into_iter().zip(versions).collect()
    };
    assert_eq!((detail("22").await, detail("33").await), (held([1, 1, 1]), held([1, 0, 1])));
    fixture.clock.advance(TimeDelta::milliseconds(1));
    for node in ["11", "33"] {
        fixture.report(node, &[("b", 1, APPLIED)]).await;
        assert_eq!(fixture.state(release, node).await, NodeState::Applied);
        assert_eq!(detail(node).await, held([1, 1, 1]));
    }
    let (records, parts) = fixture.kept(release).await;
    assert_eq!((records.len(), parts.len()), (3, 0));
}

#[tokio::test]
async fn a_release_that_repeats_versions_takes_over_what_nodes_said_of_them() {
    let fixture = DeliveryFixture::new().await;
    let other = fixture.server();
    for node in ["11", "22", "33"] {
        fixture.register(node).await;
    }
    let mut one = fixture.watch("11", 0).await;
    let grey = fixture.release_keys(&["a", "b"], "1", &to_nodes("11,22")).await;
    take(&mut one);
    fixture.report("11", &[("a", 1, APPLIED), ("b", 1, APPLIED)]).await;
    // The other server has not stored yet that it sent the release when it is promoted.
    let session = fixture.session_on(&other).await.node("dev", "22").await.unwrap();
    let mut two = session.watch(0).await.unwrap();
    take(&mut two);
    let promoted = fixture.pilothouse.releases().promote(&fixture.owner, grey, false).await.unwrap().release;
    assert_eq!(fixture.state(promoted, "11").await, NodeState::Applied);
    assert_eq!(fixture.state(promoted, "22").await, NodeState::Pending);
    other.flush_reports().await.unwrap();
    assert_eq!(fixture.state(promoted, "22").await, NodeState::Sent);
    assert_eq!(fixture.state(promoted, "33").await, NodeState::Pending);
    // The same versions again, in one release and by themselves, and with a key that is new to all.
    let again = fixture.release_again(&["a", "b"], &Selector::default()).await;
    let single = fixture.release_again(&["a"], &Selector::default()).await;
    for release in [again, single] {
        assert_eq!(fixture.state(release, "11").await, NodeState::Applied);
        assert_eq!(fixture.state(release, "22").await, NodeState::Sent);
    }
    fixture.release_keys(&["c"], "1", &to_nodes("33")).await;
    let more = fixture.release_again(&["b", "c"], &Selector::default()).await;
    assert_eq!(fixture.state(more, "11").await, NodeState::Pending);
    take(&mut one);
    fixture.clock.advance(TimeDelta::milliseconds(1));
    fixture.report("11", &[("c", 1, APPLIED)]).await;
    assert_eq!(fixture.state(more, "11").await, NodeState::Applied, "it holds the other version already");
}

#[tokio::test]
async fn counts_of_a_list_are_those_of_the_nodes() {
    let fixture = DeliveryFixture::new().await;
    let nodes = ["11", "22", "33", "44", "55", "66", "77"];
    let mut watches = Vec::new();
    for node in nodes {
        fixture.register(node).await;
        watches.push(fixture.watch(node, 0).await);
    }
    fixture.release_keys(&["a", "b"], "1", &Selector::default()).await;
    watches.iter_mut().for_each(take);
    fixture.report("11", &[("a", 1, APPLIED), ("b", 1, APPLIED)]).await;
    fixture.report("22", &[("a", 1, AckResult::Rejected)]).await;
    let leave = async |node: &str| {
        fixture.session().await.node("dev", node).await.unwrap().leave().await.unwrap();
    };
    let agree = async || {
        let rollouts = fixture.pilothouse.rollouts();
        let listed = rollouts.list(&fixture.owner, "app", "dev", None, Page::default()).await.unwrap();
        for rollout in &listed {
            let status = rollouts.status(&fixture.owner, rollout.release.id).await.unwrap();
            let mut counts = [0; 6];
            for node in &status.nodes {
                counts[node.state as usize] += 1;
            }
            assert_eq!((rollout.targets, rollout.counts), (status.nodes.len(), counts), "{listed:?}");
        }
        listed.iter().map(|rollout| rollout.counts).collect::<Vec<_>>()
    };
    assert_eq!(agree().await, [[0, 5, 1, 1, 0, 0]]);
    leave("33").await;
    // Some are away when the next ones are released.
    watches.truncate(6);
    fixture.clock.advance(TimeDelta::seconds(60));
    assert_eq!(agree().await, [[0, 3, 1, 1, 0, 2]]);
    fixture.release_keys(&["a"], "2", &Selector::default()).await;
    assert_eq!(agree().await[0], [5, 0, 0, 0, 0, 1], "one left before");
    for watch in watches.iter_mut().filter(|watch| watch.revision() > 0).take(2) {
        take(watch);
    }
    fixture.report("11", &[("a", 2, APPLIED)]).await;
    agree().await;
    fixture.release_keys(&["a"], "3", &to_nodes("11,44")).await;
    fixture.release_keys(&["b"], "3", &to_nodes("44,77")).await;
    agree().await;
    fixture.report("44", &[("a", 3, APPLIED)]).await;
    // Now most of them are away, and several left.
    drop(watches);
    fixture.clock.advance(TimeDelta::seconds(60));
    for node in ["22", "44"] {
        leave(node).await;
    }
    agree().await;
    fixture.register("88").await;
    let mut late = fixture.watch("88", 0).await;
    take(&mut late);
    agree().await;
    fixture.release_keys(&["a", "b", "c"], "4", &Selector::default()).await;
    assert_eq!(agree().await[0], [1, 0, 0, 0, 0, 4]);
}
