//! Purges on real edges: two Varnish and two nginx with the generated configuration. After objects change at the origin,
//! no edge serves an old one once the refresh is at 100.

use std::time::{Duration, Instant};

use futures_util::future;
use pilothouse_test_support::{edges_or_skip, postgres_or_skip};

use crate::support::{
    ApiClient, EDGE_KEY, EdgeFleet, Installation, TIMEOUT, complete, create_customer, queue, task, wait_for,
    wait_for_edges,
};

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    if edges_or_skip("cdn::edge_purges::on_sqlite") {
        run(EdgeFleet::install(Installation::sqlite()).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let Some(postgres) = postgres_or_skip("cdn::edge_purges::on_postgres") else { return };
    if edges_or_skip("cdn::edge_purges::on_postgres") {
        run(EdgeFleet::install(Installation::postgres(&postgres.database())).await).await;
    }
}

async fn run(mut fleet: EdgeFleet) {
    cache_survives_renewals(&fleet).await;
    let (_server, root) = fleet.serve().await;
    create_customer(&root).await;
    wait_for_edges(&root, &[], "in_service").await;
    let first = fleet.origin.change();
    fleet.assert_version("/object", first).await;
    for (_, cache) in fleet.visit_all("/object").await {
        assert_eq!(cache, "HIT");
    }
    refresh_replaces_an_object(&fleet, &root, first).await;
    refresh_during_a_fetch(&fleet, &root).await;
    preload_fills_the_caches(&fleet, &root).await;
    refresh_by_prefix(&fleet, &root).await;
    visitors_cannot_control_edges(&fleet).await;
    purges_are_replayed_after_an_outage(&mut fleet, &root).await;
    nginx_reload_keeps_purges_and_cache(&fleet, &root).await;
}

/// A cached object stays cached while the lease is renewed, however close a request follows the renewal.
async fn cache_survives_renewals(fleet: &EdgeFleet) {
    let http = crate::support::http_client().build().unwrap();
    for edge in &fleet.edges {
        let control = async |verb: &str| {
            let url = format!("http://127.0.0.1:{}/_pilothouse", edge.server.port);
            let asked = http.post(url).header("x-pilothouse", verb).header("x-pilothouse-key", EDGE_KEY);
            let asked = asked.header("x-pilothouse-session", "1").header("x-pilothouse-epoch", "1");
            asked.header("x-pilothouse-lease", "3s").send().await.unwrap().error_for_status().unwrap();
        };
        control("hello").await;
        control("lease").await;
        fleet.visit(edge, "/steady").await;
        for renewed in 0..300 {
            let visits = future::join_all((0..4).map(|_| fleet.visit(edge, "/steady")));
            for (_, cache) in future::join(control("renew"), visits).await.1 {
                assert_eq!(cache, "HIT", "{} renewed {renewed} times", edge.name);
            }
        }
    }
}

async fn refresh_replaces_an_object(fleet: &EdgeFleet, root: &ApiClient, old: u64) {
    let new = fleet.origin.change();
    fleet.assert_version("/object", old).await;
    complete(root, "refresh", &["/object"]).await;
    fleet.assert_version("/object", new).await;
}

async fn refresh_during_a_fetch(fleet: &EdgeFleet, root: &ApiClient) {
    let path = "/slow/700/object";
    let old = fleet.origin.change();
    let fetch = fleet.edges.iter().map(|edge| fleet.visit(edge, path));
    let refresh = async {
        // Every edge has asked the origin, and none has an answer yet.
        while fleet.origin.requests(path) < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let new = fleet.origin.change();
        complete(root, "refresh", &[path]).await;
        new
    };
    let (fetched, new) = future::join(future::join_all(fetch), refresh).await;
    assert!(fetched.iter().all(|(version, _)| *version == old), "{fetched:?}");
    fleet.assert_version(path, new).await;
}

async fn preload_fills_the_caches(fleet: &EdgeFleet, root: &ApiClient) {
    let paths: Vec<_> = (0..100).map(|n| format!("/preloaded/{n}")).collect();
    let id = queue(root, "preload", &paths).await;
    let preload = wait_for(root, &id, |task| task["state"] != "pending").await;
    assert_eq!(preload["percentComplete"], "100", "{preload}");
    for path in &paths {
        let answers = fleet.visit_all(path).await;
        assert!(answers.iter().all(|(_, cache)| cache == "HIT"), "{path}: {answers:?}");
        assert_eq!(fleet.origin.requests(path), 4);
    }

    let paths = ["/missing/1".to_owned(), "/private/1".to_owned(), "/preloaded/1".to_owned()];
    let id = queue(root, "preload", &paths).await;
    let failed = wait_for(root, &id, |task| task["state"] != "pending").await;
    assert_eq!((failed["state"].as_str(), failed["percentComplete"].as_str()), (Some("failed"), Some("33")));
    for row in failed["results"].as_array().unwrap() {
        let reason = match row["url"].as_str().unwrap() {
            "http://a.test/missing/1" => "the origin answered 404",
            "http://a.test/private/1" => "the edge does not cache the origin's response",
            _ => "",
        };
        assert_eq!(row["reason"], reason, "{row}");
    }
}

async fn refresh_by_prefix(fleet: &EdgeFleet, root: &ApiClient) {
    let old = fleet.origin.change();
    for path in ["/img.a/1", "/img.a/2?q=(x)", "/imgxa/1"] {
        fleet.assert_version(path, old).await;
    }
    let new = fleet.origin.change();
    complete(root, "refresh", &["/img.a/*"]).await;
    fleet.assert_version("/img.a/1", new).await;
    fleet.assert_version("/img.a/2?q=(x)", new).await;
    fleet.assert_version("/imgxa/1", old).await;
    let newest = fleet.origin.change();
    complete(root, "refresh", &["/*"]).await;
    fleet.assert_version("/imgxa/1", newest).await;
    fleet.assert_version("/img.a/1", newest).await;
}

/// Control requests without the key are refused.
async fn visitors_cannot_control_edges(fleet: &EdgeFleet) {
    let http = crate::support::http_client().build().unwrap();
    for edge in &fleet.edges {
        let url = format!("http://127.0.0.1:{}/object", edge.server.port);
        for verb in ["purge", "hello", "lease", "refresh", "preload", "ban", "nonsense"] {
            let asked = http.get(&url).header("host", "a.test").header("x-pilothouse", verb);
            let status = asked.send().await.unwrap().status();
            assert_eq!(status, 403, "{} {verb}", edge.name);
        }
    }
}

/// One nginx is stopped and keeps its disk cache; one Varnish is partitioned from the control plane, not from visitors.
async fn purges_are_replayed_after_an_outage(fleet: &mut EdgeFleet, root: &ApiClient) {
    let old = fleet.origin.change();
    complete(root, "refresh", &["/*"]).await;
    fleet.assert_version("/object", old).await;
    fleet.assert_version("/kept", old).await;
    let (nginx, varnish) = (1, 3);
    fleet.edges[nginx].server.stop();
    fleet.edges[varnish].proxy.partition();
    let names = ["nginx-2", "varnish-2"];
    wait_for_edges(root, &names, "unreachable").await;
    wait_for_edges(root, &["nginx-1", "varnish-1"], "in_service").await;

    let new = fleet.origin.change();
    let id = queue(root, "refresh", &["/object".to_owned(), "/other".to_owned()]).await;
    let partly = wait_for(root, &id, |task| task["percentComplete"] == "50").await;
    for row in partly["results"].as_array().unwrap() {
        let is_missing = names.contains(&row["edge"].as_str().unwrap());
        assert_eq!(row["state"], if is_missing { "pending" } else { "acked" }, "{row}");
        assert_eq!(row["reason"].as_str().unwrap().starts_with("unreachable"), is_missing, "{row}");
    }
    let edges = wait_for_edges(root, &names, "unreachable").await;
    let missed: Vec<_> = edges["results"].as_array().unwrap().iter().map(|row| &row["debt"]).collect();
    assert_eq!(missed, [0, 2, 0, 2], "{edges}");
    let has_new = |(version, _): &(u64, String)| *version == new;
    assert!(has_new(&fleet.visit(&fleet.edges[0], "/object").await));
    assert!(has_new(&fleet.visit(&fleet.edges[2], "/object").await));
    // The lease of the Varnish expires, and from then on it asks the origin.
    let begun = Instant::now();
    while !has_new(&fleet.visit(&fleet.edges[varnish], "/object").await) {
        assert!(begun.elapsed() < TIMEOUT);
    }
    assert_eq!(fleet.visit(&fleet.edges[varnish], "/object").await.1, "PASS");

    fleet.edges[nginx].server.restart();
    fleet.edges[varnish].proxy.heal();
    // From the first answer of each edge until 500 ms after the refresh is done.
    let visited = async {
        let mut until = None;
        while until.is_none_or(|until| Instant::now() < until) {
            for edge in [nginx, varnish] {
                let (version, cache) = fleet.visit(&fleet.edges[edge], "/object").await;
                assert_eq!(
                    version, new,
                    "{} serves an old object after the outage ({cache})",
                    fleet.edges[edge].name
                );
            }
            let task = task(root, &id).await;
            if task["percentComplete"] == "100" {
                until = until.or(Some(Instant::now() + Duration::from_millis(500)));
            }
        }
    };
    tokio::time::timeout(TIMEOUT, visited).await.expect("the refresh is done when all edges are back");
    let edges = wait_for_edges(root, &[], "in_service").await;
    assert!(edges["results"].as_array().unwrap().iter().all(|row| row["debt"] == 0), "{edges}");
    fleet.assert_version("/object", new).await;
    assert_eq!(task(root, &id).await["state"], "done");
}

/// A reload of nginx keeps its purges and its cache.
async fn nginx_reload_keeps_purges_and_cache(fleet: &EdgeFleet, root: &ApiClient) {
    let old = fleet.origin.change();
    complete(root, "refresh", &["/*"]).await;
    fleet.assert_version("/reloaded", old).await;
    fleet.assert_version("/kept", old).await;
    let new = fleet.origin.change();
    complete(root, "refresh", &["/reloaded"]).await;
    fleet.edges[0].server.reload();
    tokio::time::sleep(Duration::from_millis(300)).await;
    fleet.assert_version("/reloaded", new).await;
    fleet.assert_version("/kept", old).await;
}
