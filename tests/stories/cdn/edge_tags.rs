//! Purges by tag on real Varnish edges: what carries the tag on the host goes, on every edge, and nothing else.

use std::fs;
use std::time::{Duration, Instant};

use pilothouse_test_support::edges_or_skip;
use serde_json::{Value, json};

use crate::support::{
    ApiClient, Edge, EdgeFleet, HOST, Installation, RawRequest, TIMEOUT, create_customer_of, wait_for,
};

const MAIL: &str = "root@example.com";
const OTHER: &str = "b.test";

/// Leaves the fleet its Varnish edges.
fn without_nginx(mut fleet: EdgeFleet) -> EdgeFleet {
    let file = fleet.installation.file("fleet.toml");
    let settings = fs::read_to_string(&file).unwrap();
    let mut parts = settings.split("[[cdn.edge]]");
    let head = parts.next().unwrap().to_owned();
    let varnish = parts.filter(|part| part.contains("kind = \"varnish\""));
    let settings = varnish.fold(head, |text, part| format!("{text}[[cdn.edge]]{part}"));
    fs::write(&file, settings).unwrap();
    fleet.edges.retain(|edge| edge.name.starts_with("varnish"));
    fleet
}

async fn wait_until_in_service(root: &ApiClient) {
    let begun = Instant::now();
    loop {
        let edges = root.get("/level3/edges?cdn=level3").await.ok();
        if edges["results"].as_array().unwrap().iter().all(|row| row["state"] == "in_service") {
            return;
        }
        assert!(begun.elapsed() < TIMEOUT, "{edges}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn tags(host: &str, tags: &[&str]) -> Value {
    json!({"login_email": MAIL, "domain": host, "tags": tags})
}

async fn purge(root: &ApiClient, host: &str, names: &[&str]) {
    let queued = root.post("/level3/refresh", tags(host, names)).await.ok();
    let id = queued["results"][0]["taskid"].as_str().unwrap();
    let done = wait_for(root, id, |task| task["state"] != "pending").await;
    assert_eq!(done["state"], "done", "{done}");
}

/// Version of an object of a host on an edge.
async fn version(edge: &Edge, host: &str, target: &str) -> u64 {
    let answer = edge.send(RawRequest { host, ..RawRequest::get(target) }).await;
    answer.body.parse().unwrap_or_else(|_| panic!("{} {target}: {answer:?}", edge.name))
}

async fn assert_version(fleet: &EdgeFleet, host: &str, target: &str, expected: u64) {
    for edge in &fleet.edges {
        assert_eq!(version(edge, host, target).await, expected, "{} {host}{target}", edge.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_carries_the_tag_goes_and_nothing_else() {
    if !edges_or_skip("cdn::edge_tags::what_carries_the_tag_goes_and_nothing_else") {
        return;
    }
    let fleet = without_nginx(EdgeFleet::install(Installation::sqlite()).await);
    let (_server, root) = fleet.serve().await;
    create_customer_of(&root, &[HOST, OTHER]).await;
    wait_until_in_service(&root).await;
    let old = fleet.origin.change();
    let news = ["/1?h-xkey=news%20blog", "/2?h-cache-tag=news,page/1*", "/3?h-xkey=other&h-cache-tag=news"];
    let others = ["/4?h-xkey=newsletter", "/5?h-xkey=News", "/6?none=", "/7?h-xkey=blog"];
    let own = news.iter().chain(&others).map(|target| (HOST, *target));
    let all: Vec<_> = own.chain([(OTHER, news[0]), (OTHER, "/8?h-xkey=tag:a.test/news")]).collect();
    for (host, target) in &all {
        assert_version(&fleet, host, target, old).await;
        assert_version(&fleet, host, target, old).await;
    }
    let new = fleet.origin.change();
    purge(&root, HOST, &["news"]).await;
    for (host, target) in &all {
        let is_purged = *host == HOST && news.contains(target);
        assert_version(&fleet, host, target, if is_purged { new } else { old }).await;
    }
    let newest = fleet.origin.change();
    purge(&root, HOST, &["page/1*", "newsletter"]).await;
    for (target, expected) in [(news[1], newest), (others[0], newest), (news[0], new), (others[1], old)] {
        assert_version(&fleet, HOST, target, expected).await;
    }

    // A purge during a fetch: what the origin answered before is not stored.
    let slow = "/slow/700/9?h-xkey=late";
    let edge = &fleet.edges[0];
    let (fetched, changed) = tokio::join!(version(edge, HOST, slow), async {
        let begun = Instant::now();
        while fleet.origin.requests("/slow/700/9") == 0 {
            assert!(begun.elapsed() < TIMEOUT);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let changed = fleet.origin.change();
        purge(&root, HOST, &["late"]).await;
        changed
    });
    assert_eq!((fetched, version(edge, HOST, slow).await), (newest, changed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cdn_with_an_nginx_edge_refuses_tags() {
    if !edges_or_skip("cdn::edge_tags::a_cdn_with_an_nginx_edge_refuses_tags") {
        return;
    }
    let fleet = EdgeFleet::install(Installation::sqlite()).await;
    let (_server, root) = fleet.serve().await;
    create_customer_of(&root, &[HOST]).await;
    let refused = root.post("/level3/refresh", tags(HOST, &["news"])).await;
    let words = "tags: level3 cannot purge by tag: it purges URLs and prefixes only";
    assert_eq!((refused.body["err"].as_i64(), refused.body["msg"].as_str()), (Some(2), Some(words)));
}
