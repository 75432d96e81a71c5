//! Edges of several domains: one nginx and one Varnish with two origins, one of them by https on nginx, a wildcard and cache rules.

use std::cell::RefCell;
use std::fs;
use std::time::{Duration, Instant};

use pilothouse_test_support::edges_or_skip;

use crate::support::{
    ApiClient, Edge, EdgeFleet, Installation, Origin, RawAnswer, RawRequest, TIMEOUT, complete_urls,
    create_customer_of, tls_file, wait_for_edges,
};

const RULES: &str = r#"
[[domain]]
name = "a.test"
ignore_query = true
honour_cookies = false

[[domain]]
name = "b.test"
ttl = [
    { prefix = "/long/", seconds = 3600 },
    { prefix = "/long/but%20short/", seconds = 1 },
]
"#;

/// Versions of the second origin are greater than all of the first.
const SECOND: u64 = 1_000_000;

struct Sites {
    fleet: EdgeFleet,
    second: Origin,
    root: ApiClient,
}

#[tokio::test(flavor = "multi_thread")]
async fn two_customers_share_an_edge() {
    if !edges_or_skip("cdn::edge_sites::two_customers_share_an_edge") {
        return;
    }
    let installation = Installation::sqlite();
    let rules = installation.file("rules.toml");
    fs::write(&rules, RULES).unwrap();
    let (second, second_ports) = Origin::start(SECOND).await;
    // The second nginx trusts another certificate than that of the origin's authority.
    let authorities = RefCell::new(vec!["renewed.pem", "ca.pem"]);
    let fleet = EdgeFleet::install_with_options(
        installation,
        |kind, first| {
            let secure = kind == "nginx";
            let (first, b_test) = (
                first.http,
                if secure {
                    format!("b.test=https://localhost:{}", second_ports.https)
                } else {
                    format!("b.test=http://127.0.0.1:{}", second_ports.http)
                },
            );
            let own = [
                "--origin".to_owned(),
                format!("a.test=127.0.0.1:{first}"),
                "--origin".to_owned(),
                b_test,
                "--origin".to_owned(),
                format!("*.w.test=http://127.0.0.1:{first}/"),
                "--host-header=b.test=www.b.test:81".to_owned(),
                format!("--rules={}", rules.display()),
            ];
            let authority = secure.then(|| authorities.borrow_mut().pop().unwrap());
            let authority = authority.map(|name| format!("--origin-ca={}", tls_file(name).display()));
            own.into_iter().chain(authority).collect()
        },
        |shipped| shipped,
    )
    .await;
    let (_server, root) = fleet.serve().await;
    create_customer_of(&root, &["a.test", "b.test", "x.w.test", "x.y.w.test"]).await;
    wait_for_edges(&root, &[], "in_service").await;
    let sites = Sites { fleet, second, root };
    for edge in [&sites.fleet.edges[0], &sites.fleet.edges[2]] {
        each_domain_has_its_origin(edge).await;
        queries_are_ignored(&sites, edge).await;
        cookies_are_ignored(&sites, edge).await;
        lifetimes_go_by_prefix(&sites, edge).await;
        private_answers_are_not_stored(&sites, edge).await;
    }
    let refused = sites.fleet.edges[1].send(request("b.test", "/site")).await;
    assert_eq!((refused.status, refused.seen.as_str()), (502, ""), "an origin without a trusted certificate");
    purges_reach_each_domain(&sites).await;
    nothing_old_comes_back_with_other_rules(&sites).await;
}

fn request<'a>(host: &'a str, target: &'a str) -> RawRequest<'a> {
    RawRequest { host, ..RawRequest::get(target) }
}

/// Sends a request after both origins have changed; the answer, and whether it came from an origin.
async fn fetch(sites: &Sites, edge: &Edge, request: RawRequest<'_>) -> (RawAnswer, bool) {
    let versions = [sites.fleet.origin.change().to_string(), sites.second.change().to_string()];
    let answer = edge.send(request).await;
    let is_fresh = versions.contains(&answer.body);
    (answer, is_fresh)
}

async fn assert_fresh(sites: &Sites, edge: &Edge, request: RawRequest<'_>, expected: bool) -> RawAnswer {
    let (answer, is_fresh) = fetch(sites, edge, request).await;
    let RawRequest { method, host, target, .. } = request;
    assert_eq!(is_fresh, expected, "{} {method} {host}{target}: {answer:?}", edge.name);
    answer
}

async fn each_domain_has_its_origin(edge: &Edge) {
    for (host, seen, is_second) in [
        ("a.test", "a.test http  /site", false),
        ("b.test", "www.b.test:81 http  /site", true),
        ("B.test.:80", "www.b.test:81 http  /site", true),
        ("x.w.test", "x.w.test http  /site", false),
        ("x.y.w.test", "x.y.w.test http  /site", false),
    ] {
        let answer = edge.send(request(host, "/site")).await;
        assert_eq!((answer.status, answer.seen.as_str()), (200, seen), "{} {host}", edge.name);
        let version: u64 = answer.body.parse().unwrap();
        assert_eq!(version >= SECOND, is_second, "{} {host}: {version}", edge.name);
        // What a visitor says of its way here does not reach the origin, which may answer by it.
        let headers =
            ["X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test", "Forwarded: host=evil.test"];
        let forged = RawRequest { headers: &headers, ..request(host, "/forged") };
        let expected = seen.replace("/site", "/forged");
        assert_eq!(edge.send(forged).await.seen, expected, "{} {host}", edge.name);
    }
    for host in ["w.test", "c.test", "a.test.b", "xw.test", "b.testx"] {
        let answer = edge.send(request(host, "/site")).await;
        assert_eq!((answer.status, answer.seen.as_str()), (404, ""), "{} {host}", edge.name);
    }
}

async fn queries_are_ignored(sites: &Sites, edge: &Edge) {
    let path = format!("/q/{}", edge.name);
    let spelled = |query: &str| format!("{path}?{query}");
    assert_fresh(sites, edge, request("a.test", &spelled("x=1")), true).await;
    for query in ["x=1", "y=2", ""] {
        let answer = assert_fresh(sites, edge, request("a.test", &spelled(query)), false).await;
        assert_eq!((answer.cache.as_str(), answer.seen), ("HIT", format!("a.test http  {path}")), "{query}");
    }
    // A write keeps its query, and purges what is answered for any other.
    let written = spelled("w=1");
    let write = RawRequest { method: "POST", ..request("a.test", &written) };
    assert!(edge.send(write).await.seen.ends_with("?w=1"), "{}", edge.name);
    assert_fresh(sites, edge, request("a.test", &spelled("v=1")), true).await;
    for purged in ["r=1", "s=*", "*"] {
        assert_fresh(sites, edge, request("a.test", &path), false).await;
        complete_urls(&sites.root, "refresh", &[format!("http://a.test{}", spelled(purged))]).await;
        assert_fresh(sites, edge, request("a.test", &spelled("x=1")), true).await;
    }
    let preloaded = format!("/preloaded/{}", edge.name);
    complete_urls(&sites.root, "preload", &[format!("http://a.test{preloaded}?p=1")]).await;
    assert_eq!(edge.send(request("a.test", &preloaded)).await.cache, "HIT", "{}", edge.name);
    // Other domains keep their queries apart.
    for target in [spelled("x=1"), spelled("x=2")] {
        assert_fresh(sites, edge, request("b.test", &target), true).await;
        assert_fresh(sites, edge, request("b.test", &target), false).await;
    }
}

async fn cookies_are_ignored(sites: &Sites, edge: &Edge) {
    let path = format!("/cookies/{}", edge.name);
    let headers: &[&str] = &["Cookie: session=1"];
    let with_cookie = RawRequest { headers, ..request("a.test", &path) };
    let answer = assert_fresh(sites, edge, with_cookie, true).await;
    assert_eq!(answer.seen, format!("a.test http  {path}"), "{}", edge.name);
    assert_fresh(sites, edge, with_cookie, false).await;
    assert_fresh(sites, edge, request("a.test", &path), false).await;
    let write = RawRequest { method: "PUT", ..with_cookie };
    assert!(edge.send(write).await.seen.contains("session=1"), "{}", edge.name);
    let secret = RawRequest { headers: &["Authorization: Basic YTpi"], ..with_cookie };
    assert_fresh(sites, edge, secret, true).await;
    assert_fresh(sites, edge, secret, true).await;
    let honoured = RawRequest { host: "b.test", ..with_cookie };
    assert!(assert_fresh(sites, edge, honoured, true).await.seen.contains("session=1"));
    assert_fresh(sites, edge, honoured, true).await;
}

async fn lifetimes_go_by_prefix(sites: &Sites, edge: &Edge) {
    let of = |target: &str| format!("{target}&{}", edge.name);
    for target in
        ["/long/1?h-cache-control=max-age=0", "/%6cong/2?h-cache-control=max-age=1", "/long/3?s=301"]
    {
        assert_fresh(sites, edge, request("b.test", &of(target)), true).await;
    }
    let (short, other) = (of("/long/but%20short/1?x"), of("/other?h-cache-control=max-age=1"));
    for target in [&short, &other] {
        let begun = Instant::now();
        let first = assert_fresh(sites, edge, request("b.test", target), true).await;
        while fetch(sites, edge, request("b.test", target)).await.0.body == first.body {
            assert!(begun.elapsed() < TIMEOUT, "{} {target}", edge.name);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(begun.elapsed() > Duration::from_millis(500), "{} {target}", edge.name);
    }
    for target in ["/long/1?h-cache-control=max-age=0", "/long/2?h-cache-control=max-age=1", "/long/3?s=301"]
    {
        let answer = assert_fresh(sites, edge, request("b.test", &of(target)), false).await;
        assert_eq!(answer.cache, "HIT", "{} {target}", edge.name);
    }
}

async fn private_answers_are_not_stored(sites: &Sites, edge: &Edge) {
    for headers in [
        "h-cache-control=private",
        "h-cache-control=no-store",
        "h-cache-control=no-cache,max-age=60",
        "h-set-cookie=a=b",
        "h-vary=*",
        "h-cache-control=none&h-expires=0",
        "h-cache-control=none&h-expires=Thu,%2001%20Jan%201970%2000:00:00%20GMT",
        "s=500",
        "s=302",
        "s=206",
    ] {
        let target = format!("/long/private?{headers}&{}", edge.name);
        for _ in 0..3 {
            let answer = assert_fresh(sites, edge, request("b.test", &target), true).await;
            assert_ne!(answer.cache, "HIT", "{} {target}", edge.name);
        }
    }
}

/// A purge of one domain is not one of another.
async fn purges_reach_each_domain(sites: &Sites) {
    let targets = [("b.test", "/long/purged"), ("x.w.test", "/purged"), ("x.y.w.test", "/purged")];
    for refreshed in ["URL", "prefix", "host"] {
        for (n, (host, target)) in targets.into_iter().enumerate() {
            for edge in [&sites.fleet.edges[0], &sites.fleet.edges[2]] {
                for (host, target) in targets {
                    edge.send(request(host, target)).await;
                }
            }
            let url = match refreshed {
                "URL" => format!("http://{host}{target}"),
                "prefix" => format!("https://{host}{target}*"),
                _ => format!("http://{host}/*"),
            };
            complete_urls(&sites.root, "refresh", &[url]).await;
            for edge in [&sites.fleet.edges[0], &sites.fleet.edges[2]] {
                for (m, (host, target)) in targets.into_iter().enumerate() {
                    assert_fresh(sites, edge, request(host, target), m == n).await;
                }
            }
        }
    }
}

/// A query that was purged while queries were ignored does not come back, whatever is ignored later.
async fn nothing_old_comes_back_with_other_rules(sites: &Sites) {
    let edge = &sites.fleet.edges[0];
    let config = edge.server.file("config");
    let ignoring = fs::read_to_string(&config).unwrap();
    let honouring =
        ignoring.replace("ignore_query = true", "ignore_query = false").replace("~= \"a.test\"", "~= \"\"");
    let honouring = honouring.replace("(\"ignoring\", \"a.test\")", "(\"ignoring\", \"\")");
    assert_ne!(ignoring, honouring);
    let reload = async |text: &str| {
        fs::write(&config, text).unwrap();
        edge.server.reload();
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    reload(&honouring).await;
    for target in ["/kept?1", "/kept?2"] {
        assert_fresh(sites, edge, request("a.test", target), true).await;
        assert_fresh(sites, edge, request("a.test", target), false).await;
    }
    reload(&ignoring).await;
    complete_urls(&sites.root, "refresh", &["http://a.test/kept?3".to_owned()]).await;
    reload(&honouring).await;
    for target in ["/kept?1", "/kept?2"] {
        assert_fresh(sites, edge, request("a.test", target), true).await;
    }
}
