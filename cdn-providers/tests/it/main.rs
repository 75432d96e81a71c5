//! Providers as the settings file asks for them.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod answers;

use pilothouse_cdn_providers::{CdnSettings, EdgeConfig, EdgeKind, providers};
use pilothouse_core::ports::{Providers, Purge};
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    cdn: Vec<CdnSettings>,
}

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

/// The providers, or why there are none.
fn read(text: &str) -> Result<Providers, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    providers(file.cdn).map_err(|error| error.to_string())
}

#[test]
fn the_documented_settings_are_a_provider() {
    let providers = read(DOCUMENTED).unwrap();
    let can = providers.get("level3").unwrap().capabilities();
    assert_eq!(can.edges, ["edge-1", "edge-2"]);
    assert!(can.list_domains);
    assert_eq!((can.purge_batch, can.preload_batch), (1000, 1000));
}

#[tokio::test]
async fn domains_are_those_configured_or_whatever_customers_are_given() {
    let providers = read(&DOCUMENTED.replace("cdn.example.com", "CDN.Example.com")).unwrap();
    assert_eq!(providers.get("level3").unwrap().domains().await.unwrap(), ["cdn.example.com"]);
    let providers = read(&DOCUMENTED.replace("domains =", "#")).unwrap();
    assert!(!providers.get("level3").unwrap().capabilities().list_domains);
}

#[tokio::test]
async fn what_does_not_answer_is_unavailable_and_has_no_address_in_it() {
    // Nothing listens on the port that a listener had a moment ago.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let providers = read(&DOCUMENTED.replace("127.0.0.1:6081", &gone.to_string())).unwrap();
    let level3 = providers.get("level3").unwrap();
    let can = level3.capabilities();
    assert!(can.purge_urls && can.purge_prefix && can.preload);
    let urls = ["http://cdn.example.com/".to_owned()];
    let purges = urls.clone().map(|url| Purge { url, stamp: 1 });
    let down = level3.purge("edge-1", &purges).await.unwrap_err();
    assert_eq!((down.to_string().as_str(), down.may_be_retried()), ("it cannot be reached", true));
    assert_eq!(level3.preload("edge-1", &urls).await.unwrap(), [Err(down.clone())]);
    assert_eq!(providers.control("level3").unwrap().hello("edge-1", 1, 1).await.unwrap_err(), down);
    assert!(!level3.purge("edge-9", &purges).await.unwrap_err().may_be_retried());
}

#[test]
fn an_edges_configuration_holds_what_it_is_given_and_nothing_breaks_out_of_it() {
    for kind in [EdgeKind::Varnish, EdgeKind::Nginx] {
        let config = EdgeConfig {
            kind,
            origin: "origin.example.com:8000".into(),
            listen: "127.0.0.1:80".into(),
            allow: vec!["10.1.0.0/16".parse().unwrap(), "::1/128".parse().unwrap()],
            key: Some("k".repeat(32)),
            log: "/var/log/edge.tsv".into(),
            cache: "/var/cache/edge".into(),
        };
        let text = config.render().unwrap();
        for part in ["origin.example.com", "10.1.0.0", "::1", &"k".repeat(32), "/var/log/edge.tsv"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        for name in ["@origin", "@listen", "@allow", "@key", "@log", "@cache"] {
            assert!(!text.contains(name), "{name} is still in {text}");
        }
        for origin in ["origin", "origin:", "origin:http", ":80", "a b:80", "a;b:80", "a\"b:80"] {
            assert!(EdgeConfig { origin: origin.into(), ..config.clone() }.render().is_err(), "{origin}");
        }
        assert!(EdgeConfig { allow: Vec::new(), ..config.clone() }.render().is_err());
        assert!(EdgeConfig { log: "/var/log/{x}".into(), ..config }.render().is_err());
    }
}

#[test]
fn wrong_settings_are_named() {
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
        (wrong("\"level3\"", "\"qcould\""), "cdn.name"),
        (twice, "cdn.name"),
        ("[[cdn]]\nname = \"level3\"\nkind = \"edges\"\n".to_owned(), "cdn.edge"),
        (
            wrong("log_format =", "key = \"env:PILOTHOUSE_TEST_NO_SUCH\"\nlog_format ="),
            "cdn.edge.key: the environment",
        ),
        (wrong("log_format =", "key = \"file:/dev/null\"\nlog_format ="), "cdn.edge.key: must be 32"),
    ] {
        let why = read(&text).unwrap_err();
        assert!(why.contains(named), "{named}: {why}");
    }
}

#[test]
fn a_key_is_named_by_where_it_is() {
    let secret = DOCUMENTED.replace("log_format =", "key = \"hunter2hunter2\"\nlog_format =");
    let why = read(&secret).unwrap_err();
    assert!(why.contains("must be env:NAME or file:PATH"), "{why}");
}
