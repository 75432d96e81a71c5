//! Page of a node, and lists of more than one page.

use axum::http::StatusCode;
use chrono::TimeDelta;
use serde_json::json;

use crate::fixture::{CANARY, Fixture, escaped};

const PROD: &str = "/console/apps/shop/profiles/prod";

#[tokio::test]
async fn a_node_shows_what_it_holds_and_was_given() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("dev").await;
    let path = format!("{PROD}/nodes/node?id=n-1");
    assert_eq!(
        fixture.get(&session, &format!("{PROD}/nodes/node?id=n-9")).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        fixture.get(&session, &format!("{PROD}/nodes/node?id={}", escaped("a,b"))).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let key = fixture.register("n-1").await;
    let page = fixture.get(&session, &path).await.ok();
    assert!(
        page.contains("web:blue") && page.contains("<dd>4711</dd>") && page.contains(">online<"),
        "{page}"
    );
    assert!(page.contains("/item?key=motd") && !page.contains("<canary"), "{page}");
    let ack = |result: &str| {
        let result = json!({"key": "motd", "version": 1, "result": result, "message": CANARY});
        json!({"app": "shop", "profile": "prod", "nodeId": "n-1", "results": [result]})
    };
    assert_eq!(fixture.call(&key, "/node/ack", &ack("rejected")).await["code"], 0);
    let refused = fixture.get(&session, &path).await.ok();
    let release = refused.split(&format!("{PROD}/releases/")).nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(refused.matches("chip bad\">rejected").count(), 2, "of the key and of the release: {refused}");
    assert!(fixture.get(&session, &format!("{path}&show=problems")).await.ok().contains("/item?key=motd"));
    let rollout = fixture.get(&session, &format!("{PROD}/releases/{release}")).await.ok();
    assert!(rollout.contains("/nodes/node?id=n-1"), "the release leads to the node: {rollout}");
    fixture.clock.advance(TimeDelta::seconds(1));
    assert_eq!(fixture.call(&key, "/node/ack", &ack("applied")).await["code"], 0);
    let applied = fixture.get(&session, &path).await.ok();
    assert_eq!(applied.matches("chip good\">Applied").count(), 2, "{applied}");
    let problems = fixture.get(&session, &format!("{path}&show=problems")).await.ok();
    assert!(!problems.contains("/item?key=motd"), "{problems}");
    let drifted = json!({"app": "shop", "profile": "prod", "nodeId": "n-1", "results": [
        {"key": "stray", "version": 7, "result": "applied"}]});
    fixture.call(&key, "/node/ack", &drifted).await;
    let page = fixture.get(&session, &path).await.ok();
    assert!(page.contains("drift: 1") && page.contains("<code>stray</code>"), "{page}");
}

#[tokio::test]
async fn batches_are_paged() {
    let fixture = Fixture::seeded().await;
    let (session, root) = (fixture.session("root").await, fixture.caller("root").await);
    let oldest = fixture.batch(&root, "the oldest").await;
    for n in 0..100 {
        fixture.batch(&root, &format!("number {n}")).await;
    }
    let first = fixture.get(&session, "/console/batches?state=pending").await.ok();
    assert!(first.contains("number 99") && first.contains("number 0<"), "{first}");
    assert!(!first.contains("the oldest"), "{first}");
    let next = first.split("state=pending&amp;after=").nth(1).unwrap().split('"').next().unwrap();
    let path = |state: &str, after: &str| format!("/console/batches?state={state}&after={after}");
    let second = fixture.get(&session, &path("pending", next)).await.ok();
    assert!(second.contains("the oldest") && !second.contains("number 0<"), "{second}");
    assert!(!second.contains("&amp;after="), "it is the last page: {second}");
    assert!(second.contains(&format!("/console/batches/{oldest}")), "{second}");
    let unknown = fixture.get(&session, &path("", "00000000000000000000000000000000")).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(fixture.get(&session, &path("", "x")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn companies_are_listed_with_their_owners() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("clerk").await;
    let path = "/console/admin/companies";
    for (name, owner) in [("First", "first@example.com"), ("Second", "dev@example.com")] {
        let fields = [("company_name", name), ("owner_name", CANARY), ("owner_email", owner)];
        let made = fixture.post(&session, path, &fields).await.ok();
        assert!(made.contains(owner), "{made}");
    }
    let page = fixture.get(&session, path).await.ok();
    assert!(page.contains("<td>Second</td>") && page.contains("account?name=dev\""), "{page}");
    assert!(page.contains("account?name=first%40example.com") && !page.contains("<canary"), "{page}");
    let rest = fixture.get(&session, &format!("{path}?start=3")).await.ok();
    assert!(rest.contains("<td>Second</td>") && !rest.contains("first%40example.com"), "{rest}");
    let nobody = fixture.session("nobody").await;
    assert_eq!(fixture.get(&nobody, path).await.status, StatusCode::FORBIDDEN);
}
