//! Spellings of URLs on one nginx and one Varnish: all spellings of a URL are one cached object, and a refresh of any of them
//! leaves no old one.

use std::collections::HashSet;

use pilothouse_test_support::{Rng, edges_or_skip, env_number};

use crate::support::{
    ApiClient, EdgeFleet, HOST, Installation, RawRequest, complete_urls, create_customer, wait_for_edges,
};

/// Positions in the fleet of one edge of each kind.
const EDGES: [usize; 2] = [0, 2];

/// Spellings of one URL each; the first is the normal form. The test's origin takes no raw `"`, `<`, `>` and no backquote.
const SPELLINGS: &[&[&str]] = &[
    &["/a%7Cb", "/a|b", "/a%7cb"],
    &["/x%2Fy?z=%3F", "/x%2fy?z=%3f"],
    &["/A~b-c.d_9", "/%41~b-c.d_9", "/A%7eb%2dc%2Ed%5F%39", "/%41%7E%62%2D%63%2E%64%5f%39"],
    &["/b/c?q=/../x", "/b/c?q=/%2e./x"],
    &["/..b/.c/d..?", "/%2e.b/.c/d%2e.?"],
    &["/q?a%5B%5D=1&b=%27%22", "/q?a[]=1&b='%22", "/q?a%5b]=1&b=%27%22"],
    &["/%E6%9B%B4", "/%e6%9b%b4"],
    &["/c%5C%5E%60%7B%7D%3C%3E", "/c%5c^%60{}%3c%3E", "/c%5c%5e%60%7b%7d%3c%3e"],
    &["/p%2541", "/p%25%34%31"],
];

/// URLs with dot segments, each with what they mean.
const DOTTED: &[[&str; 2]] = &[
    ["/b/c?q=/../x", "/a/../b/c?q=/../x"],
    ["/b/c?q=/../x", "/./b/./c?q=/../x"],
    ["/b/c?q=/../x", "/z/%2E%2e/b/c?q=/%2e./x"],
    ["/b/c?q=/../x", "/a/b/../../b/c?q=/../x"],
    ["/d/", "/d/."],
    ["/d/", "/d/e/.."],
    ["/d/", "/d/e/%2e%2E"],
];

/// Spellings of the host.
const HOSTS: &[&str] = &[HOST, "A.TEST", "a.test.", "a.Test.:80", "a.test:80"];

async fn start(test: &str) -> Option<(EdgeFleet, crate::support::TestServer, ApiClient)> {
    if !edges_or_skip(test) {
        return None;
    }
    let fleet = EdgeFleet::install(Installation::sqlite()).await;
    let (server, root) = fleet.serve().await;
    create_customer(&root).await;
    wait_for_edges(&root, &[], "in_service").await;
    Some((fleet, server, root))
}

/// URL as the API takes it, where a bar separates URLs.
fn url(host: &str, uri: &str) -> String {
    format!("http://{host}{}", uri.replace('|', "%7C"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_is_one_object() {
    let test = "cdn::edge_spellings::every_spelling_is_one_object";
    let Some((fleet, _server, root)) = start(test).await else { return };
    for first in 0..5 {
        let chosen: Vec<&str> = SPELLINGS.iter().map(|group| group[first % group.len()]).collect();
        for refresh in ["URL", "prefix", "host"] {
            let version = fleet.origin.change();
            let urls: Vec<_> = match refresh {
                "URL" => chosen.iter().map(|uri| url(HOSTS[first], uri)).collect(),
                "prefix" => chosen.iter().map(|uri| url(HOSTS[first], uri) + "*").collect(),
                _ => vec![format!("http://{HOST}/*")],
            };
            complete_urls(&root, "refresh", &urls).await;
            for (group, chosen) in SPELLINGS.iter().zip(&chosen) {
                assert_one_object(&fleet, group, chosen, version, refresh).await;
            }
        }
    }
}

/// Fetches a spelling, and asserts that it is new and that every other is a hit then.
async fn assert_one_object(fleet: &EdgeFleet, group: &[&str], chosen: &str, version: u64, refresh: &str) {
    for edge in EDGES.map(|n| &fleet.edges[n]) {
        let answer = edge.send(RawRequest::get(chosen)).await;
        assert_eq!(answer.body, version.to_string(), "{} {chosen} after a refresh by {refresh}", edge.name);
        for target in group {
            for host in HOSTS {
                let answer = edge.send(RawRequest { host, ..RawRequest::get(target) }).await;
                let found = (answer.body.as_str(), answer.cache.as_str());
                let expected = version.to_string();
                assert_eq!(found, (expected.as_str(), "HIT"), "{} {host}{target} after {chosen}", edge.name);
            }
        }
    }
}

/// The origin may answer them otherwise than the URLs that they mean, so neither is stored as the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_url_with_dot_segments_is_passed() {
    let test = "cdn::edge_spellings::a_url_with_dot_segments_is_passed";
    let Some((fleet, _server, root)) = start(test).await else { return };
    for [meant, dotted] in DOTTED {
        let old = fleet.origin.change();
        complete_urls(&root, "refresh", &[url(HOST, dotted)]).await;
        for edge in EDGES.map(|n| &fleet.edges[n]) {
            assert_eq!(
                edge.send(RawRequest::get(meant)).await.body,
                old.to_string(),
                "{} {dotted}",
                edge.name
            );
        }
        let new = fleet.origin.change();
        for edge in EDGES.map(|n| &fleet.edges[n]) {
            assert_eq!(
                edge.send(RawRequest::get(dotted)).await.body,
                new.to_string(),
                "{} {dotted}",
                edge.name
            );
            let kept = edge.send(RawRequest::get(meant)).await;
            assert_eq!((kept.body, &*kept.cache), (old.to_string(), "HIT"), "{} {dotted}", edge.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_without_a_normal_form_is_not_cached() {
    let test = "cdn::edge_spellings::a_url_without_a_normal_form_is_not_cached";
    let Some((fleet, _server, root)) = start(test).await else { return };
    let targets = ["/%", "/%4", "/%zz", "/a%%41"];
    for target in targets {
        for edge in EDGES.map(|n| &fleet.edges[n]) {
            for _ in 0..2 {
                let version = fleet.origin.change();
                let answer = edge.send(RawRequest::get(target)).await;
                // nginx refuses them itself.
                let is_fresh = answer.body == version.to_string();
                assert!(is_fresh || answer.status == 400, "{} {target}: {answer:?}", edge.name);
            }
        }
    }
    complete_urls(&root, "refresh", &targets.map(|target| url(HOST, target))).await;
}

/// Spells a URL in normal form at random; for the API if its syntax is to be kept.
fn spell(rng: &mut Rng, normal: &str, for_api: bool) -> String {
    let mut spelling = String::new();
    let mut is_query = false;
    let mut rest = normal;
    while let Some(c) = rest.chars().next() {
        if c == '%' {
            let (escape, after) = rest.split_at(3);
            let raw = char::from(u8::from_str_radix(&escape[1..], 16).unwrap());
            if "'[]^{|}".contains(raw) && rng.bool() && !(for_api && raw == '|') {
                spelling.push(raw);
            } else if rng.bool() {
                spelling.push_str(&escape.to_ascii_lowercase());
            } else {
                spelling.push_str(escape);
            }
            rest = after;
            continue;
        }
        rest = &rest[1..];
        is_query |= c == '?';
        if c == '/' && !is_query && rng.u8(..4) == 0 {
            spelling.push_str(["/.", "/a/..", "/%2e", "/x%2Fy/.%2E"][rng.usize(..4)]);
        }
        if (c.is_ascii_alphanumeric() || "-._~".contains(c)) && rng.u8(..6) == 0 {
            let escape = format!("%{:02X}", u32::from(c));
            spelling.push_str(&if rng.bool() { escape.to_ascii_lowercase() } else { escape });
        } else {
            spelling.push(c);
        }
    }
    spelling
}

fn has_dot_segments(target: &str) -> bool {
    let path = target.split('?').next().unwrap().replace("%2e", ".").replace("%2E", ".") + "/";
    path.contains("/./") || path.contains("/../")
}

/// Requests in random spellings, some of them private. `PILOTHOUSE_TEST_REQUESTS` says how many, 400 by default, and
/// `PILOTHOUSE_TEST_SEED` which.
#[tokio::test(flavor = "multi_thread")]
async fn random_requests_share_nothing_private_and_see_nothing_old() {
    let test = "cdn::edge_spellings::random_requests_share_nothing_private_and_see_nothing_old";
    let Some((fleet, _server, root)) = start(test).await else { return };
    let seed = env_number("PILOTHOUSE_TEST_SEED", 1);
    let mut rng = Rng::with_seed(seed);
    let private = ["", "h-set-cookie=a=b", "h-cache-control=private,max-age=9", "h-vary=*&end"];
    // By URL and edge, the version that is the oldest that may be answered.
    let mut oldest = vec![[0_u64; 2]; SPELLINGS.len() * private.len()];
    let mut secrets = HashSet::new();
    for round in 0..env_number("PILOTHOUSE_TEST_REQUESTS", 400) {
        let version = fleet.origin.change();
        let chosen = rng.usize(..oldest.len());
        let normal = SPELLINGS[chosen / private.len()][0];
        let separator = if normal.contains('?') { '&' } else { '?' };
        let spelling = spell(&mut rng, normal, round % 40 == 39);
        // The origin reads the names of headers as they are.
        let target = format!("{spelling}{separator}{}", private[chosen % private.len()]);
        if round % 40 == 39 {
            let refreshed = format!("http://{}{target}", HOSTS[rng.usize(..HOSTS.len())]);
            complete_urls(&root, "refresh", &[refreshed]).await;
            oldest[chosen] = [version; 2];
            continue;
        }
        let position = rng.usize(..EDGES.len());
        let edge = &fleet.edges[EDGES[position]];
        let (method, headers): (_, &[&str]) = match rng.u8(..8) {
            0 => ("GET", &["Authorization: Basic YTpi"]),
            1 => ("GET", &["Cookie: a=b"]),
            2 => ("GET", &["Cookie: a=b", "Accept-Encoding: gzip"]),
            3 => (["POST", "PUT", "ODD"][rng.usize(..3)], &[]),
            4 => ("GET", &["Accept-Encoding: br, gzip"]),
            5 => ("GET", &["Range: bytes=0-"]),
            _ => ("GET", &[]),
        };
        let is_private = matches!(headers.first(), Some(header) if !header.contains("bytes") && !header.contains("gzip"))
            || method != "GET"
            || !chosen.is_multiple_of(private.len());
        let host = HOSTS[rng.usize(..HOSTS.len())];
        let answer = edge.send(RawRequest { method, target: &target, host, headers }).await;
        let context = format!(
            "PILOTHOUSE_TEST_SEED={seed}, request {round}: {} {method} {host}{target} {headers:?}: {answer:?}",
            edge.name
        );
        assert!(matches!(answer.status, 200 | 206), "{context}");
        let found: u64 = answer.body.parse().unwrap_or_else(|_| panic!("{context}"));
        assert!(found >= oldest[chosen][position], "an old object: {context}");
        assert!(!secrets.contains(&found), "a private answer: {context}");
        if is_private {
            assert_eq!(found, version, "{context}");
            secrets.insert(version);
        }
        if method != "GET" && !has_dot_segments(&target) {
            oldest[chosen][position] = version;
        }
    }
}
