//! Caching rules of the shipped edges, on one nginx and one Varnish: private answers, writes, ranges, methods, and preloads for
//! browsers.

use pilothouse_test_support::edges_or_skip;

use crate::support::{
    ApiClient, Edge, EdgeFleet, Installation, RawAnswer, RawRequest, complete, create_customer,
    wait_for_edges,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cached() {
    if !edges_or_skip("cdn::edge_rules::what_is_cached") {
        return;
    }
    let mut fleet = EdgeFleet::install(Installation::sqlite()).await;
    let (_server, root) = fleet.serve().await;
    create_customer(&root).await;
    wait_for_edges(&root, &[], "in_service").await;
    for edge in both(&fleet) {
        private_requests_are_passed(&fleet, edge).await;
        private_answers_are_not_stored(&fleet, edge).await;
        public_answers_are_stored(&fleet, edge).await;
        a_write_purges_its_url(&fleet, edge).await;
        unknown_methods_are_passed(&fleet, edge).await;
        ranges_are_served(edge).await;
    }
    preloads_are_hits_of_browsers(&fleet, &root).await;
    a_write_is_remembered_by_a_restarted_nginx(&mut fleet, &root).await;
    orders_are_not_logged(&fleet);
}

/// One edge of each kind.
fn both(fleet: &EdgeFleet) -> [&Edge; 2] {
    [&fleet.edges[0], &fleet.edges[2]]
}

/// Sends a request after the origin's objects have changed, so that its body says whether it came from the origin.
async fn fetch(fleet: &EdgeFleet, edge: &Edge, request: RawRequest<'_>) -> (RawAnswer, bool) {
    let version = fleet.origin.change();
    let answer = edge.send(request).await;
    let is_fresh = answer.body == version.to_string();
    (answer, is_fresh)
}

async fn private_requests_are_passed(fleet: &EdgeFleet, edge: &Edge) {
    let directives = [
        "none=",
        "h-cache-control=max-age=60",
        "h-cache-control=public,max-age=60",
        "h-cache-control=s-maxage=60",
        "h-cache-control=max-age=60,must-revalidate",
    ];
    let headers = ["Authorization: Basic YTpi", "Cookie: session=1", "Content-Length: 1\r\n\r\nx"];
    for (n, directive) in directives.iter().enumerate() {
        for (m, header) in headers.iter().enumerate() {
            let target = format!("/own/{n}/{m}?{directive}");
            let own = RawRequest { headers: &[header], ..RawRequest::get(&target) };
            for (request, expected) in [
                (own, true),
                (RawRequest::get(&target), true),
                (own, true),
                (RawRequest::get(&target), false),
            ] {
                let (answer, is_fresh) = fetch(fleet, edge, request).await;
                assert_eq!(is_fresh, expected, "{} {target} {header}: {answer:?}", edge.name);
            }
        }
    }
}

async fn private_answers_are_not_stored(fleet: &EdgeFleet, edge: &Edge) {
    for headers in [
        "h-cache-control=private",
        "h-cache-control=Private,max-age=60",
        "h-cache-control=no-store",
        "h-cache-control=no-cache",
        "h-set-cookie=a=b",
        "h-vary=*",
        "h-vary=Accept-Encoding,%20*",
        "h-surrogate-control=no-store",
        "h-surrogate-control=max-age=60&h-cache-control=private",
        "h-cache-control=none&h-expires=0",
        "h-cache-control=none&h-expires=-1",
        "h-x-accel-expires=60&h-cache-control=private",
        "s=500",
        "s=401",
        "s=206",
        "h-cache-control=none&s=302",
    ] {
        let target = format!("/answer?{headers}");
        for _ in 0..3 {
            let (answer, is_fresh) = fetch(fleet, edge, RawRequest::get(&target)).await;
            assert!(is_fresh && answer.cache != "HIT", "{} {target}: {answer:?}", edge.name);
        }
    }
}

async fn public_answers_are_stored(fleet: &EdgeFleet, edge: &Edge) {
    for headers in ["", "h-cache-control=none", "s=301", "s=302", "s=404"] {
        let target = format!("/answer?{headers}&public");
        for (expected, cache) in [(true, "MISS"), (false, "HIT")] {
            let (answer, is_fresh) = fetch(fleet, edge, RawRequest::get(&target)).await;
            assert_eq!((is_fresh, answer.cache.as_str()), (expected, cache), "{} {target}", edge.name);
        }
    }
}

async fn a_write_purges_its_url(fleet: &EdgeFleet, edge: &Edge) {
    for method in ["POST", "PUT", "DELETE", "PATCH", "MKCOL", "ODD", "OPTIONS", "HEAD"] {
        let is_write = !matches!(method, "OPTIONS" | "HEAD");
        for (status, is_successful) in [(200, true), (202, true), (303, true), (404, false), (503, false)] {
            let target = format!("/written/{method}/{status},1?a=%7C");
            fetch(fleet, edge, RawRequest::get(&target)).await;
            let (cached, is_fresh) = fetch(fleet, edge, RawRequest::get(&target)).await;
            assert!(!is_fresh && cached.cache == "HIT", "{} {target}: {cached:?}", edge.name);
            let spelling = target.replace("/written/", "/%77ritten/").replace("%7C", "|");
            let header = format!("X-Status: {status}");
            let write = RawRequest { method, headers: &[&header], ..RawRequest::get(&spelling) };
            let written = edge.send(write).await;
            assert!(written.status == status || method == "HEAD", "{} {target}: {written:?}", edge.name);
            let (answer, is_fresh) = fetch(fleet, edge, RawRequest::get(&target)).await;
            assert_eq!(is_fresh, is_write && is_successful, "{} {target}: {answer:?}", edge.name);
        }
    }
}

async fn unknown_methods_are_passed(fleet: &EdgeFleet, edge: &Edge) {
    for (method, status) in
        [("PROPFIND", 207), ("BAN", 200), ("REFRESH", 404), ("PURGE", 405), ("TRACE", 405)]
    {
        let header = format!("X-Status: {status}");
        let request = RawRequest { method, headers: &[&header], ..RawRequest::get("/method") };
        let (answer, is_fresh) = fetch(fleet, edge, request).await;
        assert_eq!((answer.status, is_fresh), (status, status != 405), "{} {method}: {answer:?}", edge.name);
    }
}

async fn ranges_are_served(edge: &Edge) {
    for target in ["/range", "/range?h-cache-control=private", "/range?h-cache-control=none"] {
        for _ in 0..3 {
            let request = RawRequest { headers: &["Range: bytes=0-0"], ..RawRequest::get(target) };
            let answer = edge.send(request).await;
            assert_eq!((answer.status, answer.body.len()), (206, 1), "{} {target}: {answer:?}", edge.name);
        }
    }
}

async fn preloads_are_hits_of_browsers(fleet: &EdgeFleet, root: &ApiClient) {
    let target = "/varies?h-vary=Accept-Encoding";
    complete(root, "preload", &[target]).await;
    for edge in both(fleet) {
        for accepted in [
            "Accept-Encoding: gzip, deflate, br",
            "Accept-Encoding: gzip, deflate, br, zstd",
            "Accept-Encoding: br;q=1.0, gzip;q=0.8, *;q=0.1",
            "Accept-Encoding: GZIP",
            "Accept-Encoding: gzip;q=0",
            "Accept-Encoding: br",
            "Accept-Language: en",
        ] {
            let answer = edge.send(RawRequest { headers: &[accepted], ..RawRequest::get(target) }).await;
            assert_eq!(answer.cache, "HIT", "{} {accepted}", edge.name);
        }
    }
}

async fn a_write_is_remembered_by_a_restarted_nginx(fleet: &mut EdgeFleet, root: &ApiClient) {
    let (written, other) = (RawRequest::get("/restart/1"), RawRequest::get("/restart/2"));
    for request in [written, other] {
        fetch(fleet, &fleet.edges[0], request).await;
    }
    fleet.edges[0].send(RawRequest { method: "POST", ..written }).await;
    fleet.edges[0].server.stop();
    wait_for_edges(root, &["nginx-1"], "unreachable").await;
    fleet.edges[0].server.restart();
    wait_for_edges(root, &["nginx-1"], "in_service").await;
    assert!(fetch(fleet, &fleet.edges[0], written).await.1, "a restart brings back what a write purged");
    assert!(!fetch(fleet, &fleet.edges[0], other).await.1, "a restart loses the cache");
}

/// What visitors send is in nginx's log, and what the control plane sends is not.
fn orders_are_not_logged(fleet: &EdgeFleet) {
    let log = std::fs::read_to_string(fleet.edges[0].server.file("tsv")).unwrap();
    let methods: Vec<_> = log.lines().map(|line| line.split('\t').nth(7).unwrap()).collect();
    for method in ["PROPFIND", "BAN", "REFRESH", "PURGE", "POST"] {
        assert!(methods.contains(&method), "{method}");
    }
    assert!(!log.contains("_pilothouse"), "{log}");
    let preloads = log.lines().filter(|line| line.contains("HEAD\t/varies")).count();
    assert_eq!(preloads, 0, "{log}");
}
