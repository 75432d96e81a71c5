//! The main story of edges: two real Varnish and two real nginx from the shipped configuration, and a customer who changes
//! objects at the origin and never gets an old one once a refresh is at 100.

use std::time::{Duration, Instant};

use futures_util::future;
use pilothouse_test_support::{edges_or_skip, postgres_or_skip};

use crate::client::Client;
use crate::fleet::{Fleet, ask, done, edges_are, prepare, task, wait};
use crate::place::{EDGE_KEY, PATIENCE, Place};

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    if edges_or_skip("edges::on_sqlite") {
        told(Fleet::install(Place::sqlite()).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres() {
    let Some(postgres) = postgres_or_skip("edges::on_postgres") else { return };
    if edges_or_skip("edges::on_postgres") {
        told(Fleet::install(Place::postgres(&postgres.database())).await).await;
    }
}

async fn told(mut fleet: Fleet) {
    steady(&fleet).await;
    let (_server, root) = fleet.serve().await;
    prepare(&root).await;
    edges_are(&root, &[], "in service").await;
    let first = fleet.origin.change();
    fleet.all_have("/object", first).await;
    for (_, cache) in fleet.visit_all("/object").await {
        assert_eq!(cache, "HIT");
    }
    changed(&fleet, &root, first).await;
    changed_during_a_fetch(&fleet, &root).await;
    preloaded(&fleet, &root).await;
    by_prefix(&fleet, &root).await;
    only_the_control_plane(&fleet).await;
    away(&mut fleet, &root).await;
    reloaded(&fleet, &root).await;
}

/// What is cached stays so while the lease is renewed, however close a visit follows.
async fn steady(fleet: &Fleet) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
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

async fn changed(fleet: &Fleet, root: &Client, old: u64) {
    let new = fleet.origin.change();
    fleet.all_have("/object", old).await;
    done(root, "refresh", &["/object"]).await;
    fleet.all_have("/object", new).await;
}

async fn changed_during_a_fetch(fleet: &Fleet, root: &Client) {
    let path = "/slow/700/object";
    let old = fleet.origin.change();
    let fetch = fleet.edges.iter().map(|edge| fleet.visit(edge, path));
    let refresh = async {
        // When every edge has asked the origin, and none has an answer.
        while fleet.origin.asked(path) < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let new = fleet.origin.change();
        done(root, "refresh", &[path]).await;
        new
    };
    let (fetched, new) = future::join(future::join_all(fetch), refresh).await;
    assert!(fetched.iter().all(|(version, _)| *version == old), "{fetched:?}");
    fleet.all_have(path, new).await;
}

async fn preloaded(fleet: &Fleet, root: &Client) {
    let paths: Vec<_> = (0..100).map(|n| format!("/preloaded/{n}")).collect();
    let id = ask(root, "preload", &paths).await;
    let preloaded = wait(root, &id, |task| task["state"] != "pending").await;
    assert_eq!(preloaded["percentComplete"], "100", "{preloaded}");
    for path in &paths {
        let answers = fleet.visit_all(path).await;
        assert!(answers.iter().all(|(_, cache)| cache == "HIT"), "{path}: {answers:?}");
        assert_eq!(fleet.origin.asked(path), 4);
    }

    let paths = ["/missing/1".to_owned(), "/private/1".to_owned(), "/preloaded/1".to_owned()];
    let id = ask(root, "preload", &paths).await;
    let failed = wait(root, &id, |task| task["state"] != "pending").await;
    assert_eq!((failed["state"].as_str(), failed["percentComplete"].as_str()), (Some("failed"), Some("33")));
    for row in failed["results"].as_array().unwrap() {
        let reason = match row["url"].as_str().unwrap() {
            "http://a.test/missing/1" => "the origin answered 404",
            "http://a.test/private/1" => "the edge does not keep what the origin answers",
            _ => "",
        };
        assert_eq!(row["reason"], reason, "{row}");
    }
}

async fn by_prefix(fleet: &Fleet, root: &Client) {
    let old = fleet.origin.change();
    for path in ["/img.a/1", "/img.a/2?q=(x)", "/imgxa/1"] {
        fleet.all_have(path, old).await;
    }
    let new = fleet.origin.change();
    done(root, "refresh", &["/img.a/*"]).await;
    fleet.all_have("/img.a/1", new).await;
    fleet.all_have("/img.a/2?q=(x)", new).await;
    fleet.all_have("/imgxa/1", old).await;
    let newest = fleet.origin.change();
    done(root, "refresh", &["/*"]).await;
    fleet.all_have("/imgxa/1", newest).await;
    fleet.all_have("/img.a/1", newest).await;
}

/// Visitors can neither purge nor look like the control plane.
async fn only_the_control_plane(fleet: &Fleet) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for edge in &fleet.edges {
        let url = format!("http://127.0.0.1:{}/object", edge.server.port);
        for verb in ["purge", "hello", "lease", "refresh", "preload", "ban", "nonsense"] {
            let asked = http.get(&url).header("host", "a.test").header("x-pilothouse", verb);
            let status = asked.send().await.unwrap().status();
            assert_eq!(status, 403, "{} {verb}", edge.name);
        }
    }
}

/// One nginx is stopped and keeps its disk cache; one Varnish is cut off from the control plane, not from its visitors.
async fn away(fleet: &mut Fleet, root: &Client) {
    let old = fleet.origin.change();
    done(root, "refresh", &["/*"]).await;
    fleet.all_have("/object", old).await;
    fleet.all_have("/kept", old).await;
    let (nginx, varnish) = (1, 3);
    fleet.edges[nginx].server.stop();
    fleet.edges[varnish].line.cut();
    let names = ["nginx-2", "varnish-2"];
    edges_are(root, &names, "cut off").await;
    edges_are(root, &["nginx-1", "varnish-1"], "in service").await;

    let new = fleet.origin.change();
    let id = ask(root, "refresh", &["/object".to_owned(), "/other".to_owned()]).await;
    let partly = wait(root, &id, |task| task["percentComplete"] == "50").await;
    for row in partly["results"].as_array().unwrap() {
        let is_missing = names.contains(&row["edge"].as_str().unwrap());
        assert_eq!(row["state"], if is_missing { "pending" } else { "acked" }, "{row}");
        assert_eq!(row["reason"].as_str().unwrap().starts_with("cut off"), is_missing, "{row}");
    }
    let edges = edges_are(root, &names, "cut off").await;
    let debts: Vec<_> = edges["results"].as_array().unwrap().iter().map(|row| &row["debt"]).collect();
    assert_eq!(debts, [0, 2, 0, 2], "{edges}");
    let has_new = |(version, _): &(u64, String)| *version == new;
    assert!(has_new(&fleet.visit(&fleet.edges[0], "/object").await));
    assert!(has_new(&fleet.visit(&fleet.edges[2], "/object").await));
    // The lease of the Varnish ends, and from then on it asks the origin.
    let begun = Instant::now();
    while !has_new(&fleet.visit(&fleet.edges[varnish], "/object").await) {
        assert!(begun.elapsed() < PATIENCE);
    }
    assert_eq!(fleet.visit(&fleet.edges[varnish], "/object").await.1, "PASS");

    fleet.edges[nginx].server.restart();
    fleet.edges[varnish].line.mend();
    // From its first answer to when it is in service, and after.
    let visited = async {
        let mut until = None;
        while until.is_none_or(|until| Instant::now() < until) {
            for edge in [nginx, varnish] {
                let (version, cache) = fleet.visit(&fleet.edges[edge], "/object").await;
                assert_eq!(version, new, "{} is back with an old object ({cache})", fleet.edges[edge].name);
            }
            let task = task(root, &id).await;
            if task["percentComplete"] == "100" {
                until = until.or(Some(Instant::now() + Duration::from_millis(500)));
            }
        }
    };
    tokio::time::timeout(PATIENCE, visited).await.expect("the refresh is done when all edges are back");
    let edges = edges_are(root, &[], "in service").await;
    assert!(edges["results"].as_array().unwrap().iter().all(|row| row["debt"] == 0), "{edges}");
    fleet.all_have("/object", new).await;
    assert_eq!(task(root, &id).await["state"], "done");
}

/// A reload of nginx forgets nothing, and keeps its cache.
async fn reloaded(fleet: &Fleet, root: &Client) {
    let old = fleet.origin.change();
    done(root, "refresh", &["/*"]).await;
    fleet.all_have("/reloaded", old).await;
    fleet.all_have("/kept", old).await;
    let new = fleet.origin.change();
    done(root, "refresh", &["/reloaded"]).await;
    fleet.edges[0].server.reload();
    tokio::time::sleep(Duration::from_millis(300)).await;
    fleet.all_have("/reloaded", new).await;
    fleet.all_have("/kept", old).await;
}
