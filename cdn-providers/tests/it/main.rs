//! Tests of the CDN settings, the providers built from them, and the edge configuration.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod answers;
mod edge_config;
#[cfg(feature = "tencent")]
mod tencent;
#[cfg(all(feature = "alibaba", feature = "cloudflare", feature = "cloudfront", feature = "tencent"))]
mod vendor;
#[cfg(all(feature = "alibaba", feature = "cloudfront", feature = "tencent"))]
mod vendor_settings;

use pilothouse_cdn_providers::{CdnSettings, providers};
use pilothouse_core::ports::{Operation, Prefix, Providers, Purge};
use pilothouse_test_support::free_port;
use serde::Deserialize;

use answers::{submit, submit_to};

#[derive(Deserialize)]
struct File {
    cdn: Vec<CdnSettings>,
}

/// Settings as the documentation shows them.
const DOCUMENTED: &str = r#"
[[cdn]]
name = "level3"                 # what users see in user_cdns
kind = "edges"                  # edges
domains = ["cdn.example.com"]   # optional for edges: else the domains customers are given
[[cdn.edge]]
name = "edge-1"
kind = "varnish"                # varnish | nginx
url = "http://127.0.0.1:6081"   # where purge and preload requests go
access_log = "/var/log/varnish/edge.tsv"   # optional; followed across rotation
log_format = "tsv"
[[cdn.edge]]
name = "edge-2"
kind = "nginx"
url = "https://edge-2.example.com"
"#;

/// Builds the providers of a settings file, or returns the error's text.
fn providers_from(text: &str) -> Result<Providers, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    providers(file.cdn).map_err(|error| error.to_string())
}

#[test]
fn the_documented_settings_build_a_provider() {
    let providers = providers_from(DOCUMENTED).unwrap();
    let capabilities = providers.get("level3").unwrap().capabilities();
    assert_eq!(capabilities.edges, ["edge-1", "edge-2"]);
    assert!(capabilities.list_domains);
    assert_eq!((capabilities.purge_batch, capabilities.preload_batch), (1000, 1000));
}

#[tokio::test]
async fn domains_are_listed_only_if_configured() {
    let providers = providers_from(&DOCUMENTED.replace("cdn.example.com", "CDN.Example.com")).unwrap();
    assert_eq!(providers.get("level3").unwrap().domains().await.unwrap(), ["cdn.example.com"]);
    let providers = providers_from(&DOCUMENTED.replace("domains =", "#")).unwrap();
    assert!(!providers.get("level3").unwrap().capabilities().list_domains);
}

#[tokio::test]
async fn an_unreachable_edge_is_unavailable_without_its_address_in_the_error() {
    let unused = format!("127.0.0.1:{}", free_port());
    let providers = providers_from(&DOCUMENTED.replace("127.0.0.1:6081", &unused)).unwrap();
    let level3 = providers.get("level3").unwrap();
    let capabilities = level3.capabilities();
    assert!(capabilities.purge_urls && capabilities.preload && !capabilities.is_vendor);
    assert_eq!(capabilities.purge_prefix, Prefix::Any);
    let items = vec![Purge { url: "http://cdn.example.com/".to_owned(), stamp: 1 }];
    let down = submit(&providers, Operation::PurgeUrls, items.clone()).await.unwrap_err();
    assert_eq!((down.to_string().as_str(), down.may_be_retried()), ("the edge cannot be reached", true));
    assert_eq!(submit(&providers, Operation::Preload, items.clone()).await.unwrap(), [Err(down.clone())]);
    assert_eq!(providers.control("level3").unwrap().begin_session("edge-1", 1, 1).await.unwrap_err(), down);
    let unknown = submit_to(&providers, "edge-9", Operation::PurgeUrls, items).await.unwrap_err();
    assert!(!unknown.may_be_retried());
}

#[test]
fn invalid_settings_are_refused_with_their_name() {
    let twice = format!("{DOCUMENTED}{DOCUMENTED}");
    let wrong = |old: &str, new: &str| DOCUMENTED.replace(old, new);
    for (text, named) in [
        (wrong("kind = \"edges\"", "kind = \"edgse\""), "edgse"),
        (wrong("domains =", "domain ="), "domain"),
        (wrong("access_log =", "access_logs ="), "access_logs"),
        (wrong("\"varnish\"", "\"squid\""), "squid"),
        (wrong("\"tsv\"", "\"csv\""), "csv"),
        (wrong("log_format =", "#"), "cdn.edge.log_format"),
        (wrong("edge-2\"\n", "edge-1\"\n"), "cdn.edge.name"),
        (wrong("http://127", "ftp://127"), "cdn.edge.url"),
        (wrong(":6081", ":6081/purge"), "cdn.edge.url"),
        (wrong("cdn.example.com", "*.example.com"), "cdn.domains"),
        (wrong("\"level3\"", "\"level 3\""), "cdn.name"),
        (twice, "cdn.name"),
        ("[[cdn]]\nname = \"level3\"\nkind = \"edges\"\n".to_owned(), "cdn.edge"),
        (
            wrong("log_format =", "key = \"env:PILOTHOUSE_TEST_NO_SUCH\"\nlog_format ="),
            "cdn.edge.key: the environment",
        ),
        (wrong("log_format =", "key = \"file:/dev/null\"\nlog_format ="), "cdn.edge.key: must be 32"),
    ] {
        let why = providers_from(&text).unwrap_err();
        assert!(why.contains(named), "{named}: {why}");
    }
    // As old documents spell it: a name like any other.
    assert!(providers_from(&wrong("\"level3\"", "\"qcould\"")).unwrap().get("qcould").is_some());
}

#[test]
fn a_literal_key_in_the_settings_is_refused() {
    let secret = DOCUMENTED.replace("log_format =", "key = \"hunter2hunter2\"\nlog_format =");
    let why = providers_from(&secret).unwrap_err();
    assert!(why.contains("must be env:NAME or file:PATH"), "{why}");
}
