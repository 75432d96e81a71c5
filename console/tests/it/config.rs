//! Pages of the configuration centre.

use axum::http::StatusCode;
use pilothouse_core::config::Selector;
use serde_json::json;

use crate::fixture::{Fixture, item};

const PROD: &str = "/console/apps/shop/profiles/prod";

/// Version of an item.
async fn version(fixture: &Fixture, profile: &str, key: &str) -> String {
    let root = fixture.caller("root").await;
    let found = fixture.pilothouse.items().find(&root, &item(profile, key)).await.unwrap();
    found.current.version.to_string()
}

#[tokio::test]
async fn a_value_is_changed_approved_and_published_in_few_steps() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let edit = fixture.get(&session, &format!("{PROD}?edit=motd")).await.ok();
    assert!(edit.contains("name=\"version\" value=\"1\""), "{edit}");
    let fields =
        [("key", "motd"), ("version", "1"), ("value", "one\r\ntwo"), ("validator", ""), ("description", "d")];
    let saved = fixture.post(&session, &format!("{PROD}/update"), &fields).await;
    assert_eq!(saved.location(), "/console/apps/shop/profiles/prod?notice=saved");
    let sheet = fixture.get(&session, &format!("{PROD}/publish?key=motd")).await.ok();
    assert!(sheet.contains("<span class=\"add\">+one</span><span class=\"add\">+two</span>"), "{sheet}");
    let publish =
        [("key", "motd"), ("version", "2"), ("to", "all"), ("percent", ""), ("labels", ""), ("nodes", "")];
    let published = fixture.post(&session, &format!("{PROD}/publish"), &publish).await;
    let release = published.location().to_owned();
    assert!(release.starts_with("/console/apps/shop/profiles/prod/releases/"), "{}", published.body);
    assert!(fixture.get(&session, &release).await.ok().contains("v2"));
    let root = fixture.caller("root").await;
    let found = fixture.pilothouse.items().find(&root, &item("prod", "motd")).await.unwrap();
    assert_eq!((found.published_version, &*found.published_value), (2, "one\ntwo"), "lines end as in a file");
}

#[tokio::test]
async fn a_lost_race_shows_both_texts_and_writes_nothing() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("dev").await;
    let fields = |value: &'static str, version: &'static str| {
        [("key", "motd"), ("version", version), ("value", value), ("validator", ""), ("description", "")]
    };
    let path = format!("{PROD}/update");
    assert_eq!(fixture.post(&session, &path, &fields("theirs", "1")).await.status, StatusCode::SEE_OTHER);
    let lost = fixture.post(&session, &path, &fields("mine", "1")).await;
    assert_eq!(lost.status, StatusCode::CONFLICT);
    assert!(lost.body.contains("theirs") && lost.body.contains("mine"), "{}", lost.body);
    assert!(lost.body.contains("name=\"version\" value=\"2\""), "the version that is seen now");
    assert_eq!(version(&fixture, "prod", "motd").await, "2");
    assert_eq!(fixture.post(&session, &path, &fields("mine", "2")).await.status, StatusCode::SEE_OTHER);
    assert_eq!(version(&fixture, "prod", "motd").await, "3");
}

#[tokio::test]
async fn what_a_validator_rejects_stays_typed() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("dev").await;
    let fields = [("key", "port"), ("value", "eighty"), ("validator", "int"), ("description", "")];
    let refused = fixture.post(&session, PROD, &fields).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.body.contains("eighty") && refused.body.contains("<details open>"), "{}", refused.body);
    let unknown = [("key", "port"), ("value", "80"), ("surprise", "x")];
    let refused = fixture.post(&session, PROD, &unknown).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.body.contains("surprise"), "{}", refused.body);
}

#[tokio::test]
async fn nobody_is_offered_to_approve_their_own_change_under_four_eyes() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let page = fixture.get(&session, "/console/apps/shop/profiles/guarded").await.ok();
    assert!(page.contains("secret") && !page.contains("/approve\"") && !page.contains("/publish?"), "{page}");
    let publish = [("key", "secret"), ("version", "1"), ("to", "all")];
    let refused = fixture.post(&session, "/console/apps/shop/profiles/guarded/publish", &publish).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_wrong_choice_of_nodes_approves_nothing() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    for (to, name, value) in
        [("percent", "percent", "101"), ("nodes", "nodes", "unknown"), ("labels", "labels", "x")]
    {
        let fields = [("key", "draft/key"), ("version", "1"), ("to", to), (name, value)];
        let refused = fixture.post(&session, &format!("{PROD}/publish"), &fields).await;
        assert!(matches!(refused.status.as_u16(), 404 | 422), "{to}: {}", refused.status);
    }
    let root = fixture.caller("root").await;
    let found = fixture.pilothouse.items().find(&root, &item("prod", "draft/key")).await.unwrap();
    assert_eq!((found.current.approver, found.published_version), (None, 0));
}

#[tokio::test]
async fn a_grey_release_is_previewed_followed_and_promoted() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let root = fixture.caller("root").await;
    let key = fixture.pilothouse.app_keys().create(&root, "shop").await.unwrap().text;
    for n in 1..=3 {
        let labels = if n == 1 { json!({"web": "blue"}) } else { json!({}) };
        let node = json!({"app": "shop", "profile": "prod", "nodeId": format!("n-{n}"), "pid": "1", "labels": labels});
        assert_eq!(fixture.call(&key, "/node/register", &node).await["code"], 0);
    }
    let nodes = fixture.get(&session, &format!("{PROD}/nodes")).await.ok();
    assert!(nodes.contains("n-3") && nodes.contains("web:blue"), "{nodes}");
    for (query, reached) in
        [("to=percent&percent=50", "2 / 3"), ("to=labels&labels=web:blue", "1 / 3"), ("to=all", "3 / 3")]
    {
        let sheet = fixture.get(&session, &format!("{PROD}/publish?key=draft%2Fkey&{query}")).await.ok();
        assert!(sheet.contains(&format!("Nodes reached: {reached}")), "{query}: {sheet}");
    }
    let fields = [("key", "draft/key"), ("version", "1"), ("to", "nodes"), ("nodes", "n-1\r\nn-2")];
    let release = fixture.post(&session, &format!("{PROD}/publish"), &fields).await.location().to_owned();
    let ack = json!({"app": "shop", "profile": "prod", "nodeId": "n-1", "results": [
        {"key": "draft/key", "version": 1, "result": "rejected", "message": "<canary>no"}]});
    assert_eq!(fixture.call(&key, "/node/ack", &ack).await["code"], 0);
    let page = fixture.get(&session, &release).await.ok();
    assert!(page.contains("Applied 0 / 2") && page.contains("rejected 1"), "{page}");
    assert!(page.contains("&#60;canary&#62;no") || page.contains("&lt;canary&gt;no"), "{page}");

    let dev = fixture.session("dev").await;
    assert!(!fixture.get(&dev, &release).await.ok().contains("/promote"));
    assert_eq!(fixture.post(&dev, &format!("{release}/promote"), &[]).await.status, StatusCode::FORBIDDEN);
    let held = fixture.post(&session, &format!("{release}/promote"), &[]).await;
    assert_eq!(held.status, StatusCode::CONFLICT, "a node rejects it");
    let promoted = fixture.post(&session, &format!("{release}/promote"), &[("force", "true")]).await;
    assert_eq!(promoted.status, StatusCode::SEE_OTHER);
    let found = fixture.pilothouse.items().find(&root, &item("prod", "draft/key")).await.unwrap();
    assert_eq!(found.published_version, 1);
    let other = release.replace("/prod/", "/guarded/");
    assert_eq!(fixture.get(&session, &other).await.status, StatusCode::NOT_FOUND, "of another profile");
}

#[tokio::test]
async fn history_compares_any_two_versions_and_rolls_back() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    for (version, value) in [("1", "alpha"), ("2", "beta")] {
        let fields =
            [("key", "motd"), ("version", version), ("value", value), ("validator", ""), ("description", "")];
        fixture.post(&session, &format!("{PROD}/update"), &fields).await;
    }
    let page = fixture.get(&session, &format!("{PROD}/item?key=motd&from=2&to=3")).await.ok();
    assert!(page.contains("-alpha") && page.contains("+beta"), "{page}");
    let back =
        fixture.post(&session, &format!("{PROD}/rollback"), &[("key", "motd"), ("version", "2")]).await;
    assert_eq!(back.location(), "/console/apps/shop/profiles/prod/item?key=motd&notice=saved");
    assert_eq!(version(&fixture, "prod", "motd").await, "4");
}

#[tokio::test]
async fn of_many_nodes_those_with_problems_come_first() {
    let fixture = Fixture::seeded().await;
    let (session, root) = (fixture.session("root").await, fixture.caller("root").await);
    let key = fixture.pilothouse.app_keys().create(&root, "shop").await.unwrap().text;
    for n in 1..=210 {
        let node = json!({"app": "shop", "profile": "prod", "nodeId": format!("n-{n:03}"), "pid": "1"});
        assert_eq!(fixture.call(&key, "/node/register", &node).await["code"], 0);
    }
    let publish = [("key", "draft/key"), ("version", "1"), ("to", "all")];
    let release = fixture.post(&session, &format!("{PROD}/publish"), &publish).await.location().to_owned();
    for (node, result) in [("n-001", "applied"), ("n-210", "rejected")] {
        let results = json!([{"key": "draft/key", "version": 1, "result": result, "message": "why"}]);
        let ack = json!({"app": "shop", "profile": "prod", "nodeId": node, "results": results});
        assert_eq!(fixture.call(&key, "/node/ack", &ack).await["code"], 0);
    }
    let all = fixture.get(&session, &release).await.ok();
    assert!(all.contains("Applied 1 / 210") && all.contains("More: 10"), "{all}");
    let rows = all.split("<tbody>").nth(1).unwrap();
    assert!(rows.find("n-210") < rows.find("n-002") && !rows.contains("n-001"), "{rows}");
    let problems = fixture.get(&session, &format!("{release}?show=problems")).await.ok();
    assert!(problems.contains("n-210") && problems.contains("More: 9"), "{problems}");
    let applied = fixture.get(&session, &format!("{release}?show=applied")).await.ok();
    assert!(applied.contains("n-001") && !applied.contains("n-210"), "{applied}");
}

#[tokio::test]
async fn a_host_that_stops_ends_its_streams() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let root = fixture.caller("root").await;
    let page = pilothouse_core::Page::default();
    let rollouts = fixture.pilothouse.rollouts().list(&root, "shop", "prod", None, page).await.unwrap();
    let live = format!("{PROD}/releases/{}/live", rollouts[0].release.id);
    let stop = async {
        tokio::task::yield_now().await;
        fixture.console.end_streams();
    };
    let (stream, ()) = tokio::join!(fixture.get(&session, &live), stop);
    assert!(stream.body.contains("Applied 0 / 0") && !stream.body.contains("event: end"), "{}", stream.body);
}

#[tokio::test]
async fn an_end_of_a_release_ends_its_stream() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let root = fixture.caller("root").await;
    let name = item("prod", "motd");
    let id = fixture.pilothouse.items().find(&root, &name).await.unwrap().id;
    let first = fixture
        .pilothouse
        .rollouts()
        .list(&root, "shop", "prod", None, pilothouse_core::Page::default())
        .await
        .unwrap()[0]
        .release
        .id;
    fixture.pilothouse.releases().publish(&root, id, &Selector::default(), None).await.unwrap();
    let stream = fixture.get(&session, &format!("{PROD}/releases/{first}/live")).await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert!(
        stream.body.contains("Applied 0 / 0") && stream.body.ends_with("event: end\ndata: end\n\n"),
        "{}",
        stream.body
    );
}
