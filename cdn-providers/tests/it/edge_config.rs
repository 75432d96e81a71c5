//! Rendered edge configurations: what they hold, and what is refused.

use pilothouse_cdn_providers::{CacheRules, EdgeConfig, EdgeKind, ForwardedProto};

const KINDS: [EdgeKind; 2] = [EdgeKind::Varnish, EdgeKind::Nginx];

fn config(kind: EdgeKind) -> EdgeConfig {
    let allow = vec!["10.1.0.0/16".parse().unwrap(), "::1/128".parse().unwrap()];
    EdgeConfig::new(kind, "origin.example.com:8000", allow)
}

/// Renders a changed configuration that must be refused; the error's text.
fn refusal(kind: EdgeKind, change: impl FnOnce(&mut EdgeConfig)) -> String {
    let mut config = config(kind);
    change(&mut config);
    config.render().unwrap_err().to_string()
}

#[test]
fn a_rendered_edge_configuration_has_its_values_and_rejects_injection() {
    for kind in KINDS {
        let mut config = config(kind);
        config.key = Some("k".repeat(32));
        config.log = "/var/log/edge.tsv".into();
        config.origins.push("*.example.net=http://10.0.0.1:81".parse().unwrap());
        config.host_headers.push("*.example.net=www.example.net".parse().unwrap());
        config.rules = toml::from_str::<CacheRules>(
            "[[domain]]\nname = 'q.example.net'\nignore_query = true\nhonour_cookies = false\n\
             ttl = [{ prefix = '/s.t/', seconds = 4711 }]\n",
        )
        .unwrap()
        .domain;
        let text = config.render().unwrap();
        let (origin, key) = ("origin.example.com", "k".repeat(32));
        for part in [
            origin,
            "10.1.0.0",
            "::1",
            &key,
            "/var/log/edge.tsv",
            "10.0.0.1",
            "www.example.net",
            "q.example.net",
            "4711",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let places: Vec<_> = text
            .split(|c: char| c.is_whitespace() || "\"$;".contains(c))
            .filter(|word| word.len() > 2 && word.starts_with('@') && word.ends_with('@'))
            .collect();
        assert!(places.is_empty(), "{places:?} are still in {text}");
    }
}

#[test]
fn what_cannot_be_rendered_is_refused_by_name() {
    for kind in KINDS {
        for (why, name) in [
            (refusal(kind, |config| config.origins.clear()), "origin"),
            (refusal(kind, |config| config.origins[0].value = "a;b:80".into()), "origin"),
            (refusal(kind, |config| config.allow.clear()), "allow"),
            (refusal(kind, |config| config.listen.clear()), "listen"),
            (refusal(kind, |config| config.listen[0].push_str("; include /x")), "listen"),
            (refusal(kind, |config| config.log = "/var/log/{x}".into()), "log"),
            (refusal(kind, |config| config.cache = "/cache x".into()), "cache"),
            (refusal(kind, |config| config.origin_ca = "/ca;x".into()), "origin-ca"),
            (refusal(kind, |config| config.certificates.push("/a;b".parse().unwrap())), "certificate"),
        ] {
            assert!(why.contains(name), "{kind:?} {name}: {why}");
        }
    }
}

#[test]
fn varnish_has_no_tls() {
    for why in [
        refusal(EdgeKind::Varnish, |config| config.listen = vec!["443 ssl".into()]),
        refusal(EdgeKind::Varnish, |config| config.certificates.push("/a.pem".parse().unwrap())),
    ] {
        assert!(why.contains("TLS terminator") && why.contains("PROXY"), "{why}");
    }
    let why = refusal(EdgeKind::Varnish, |config| config.origins[0].value = "https://o.example.com".into());
    assert!(why.contains("origin") && why.contains("o.example.com") && why.contains("TLS"), "{why}");
    let mut behind = config(EdgeKind::Varnish);
    assert!(behind.render().unwrap().contains("X-Forwarded-Proto = \"http\""));
    behind.listen.push("127.0.0.1:8443,PROXY".into());
    let text = behind.render().unwrap();
    assert!(
        text.contains("-a :80 -a 127.0.0.1:8443,PROXY") && text.contains("X-Forwarded-Proto = \"https\"")
    );
    behind.forwarded_proto = Some(ForwardedProto::Http);
    assert!(behind.render().unwrap().contains("X-Forwarded-Proto = \"http\""));
}

#[test]
fn nginx_needs_a_key_for_each_certificate() {
    let tls = |certificates: &[&str], keys: &[&str]| {
        let mut config = config(EdgeKind::Nginx);
        config.listen = vec!["80".into(), "443 ssl".into()];
        config.certificates = certificates.iter().map(|text| text.parse().unwrap()).collect();
        config.certificate_keys = keys.iter().map(|text| text.parse().unwrap()).collect();
        config.render().map_err(|error| error.to_string())
    };
    let text = tls(&["/a.pem", "*.b.test=/b.pem"], &["/a.key", "*.b.test=/b.key"]).unwrap();
    for line in [
        "listen 80 default_server;",
        "listen 443 default_server ssl;",
        "listen 443 ssl;",
        "server_name *.b.test;",
        "ssl_certificate /b.pem;",
        "ssl_certificate_key /a.key;",
        "proxy_set_header X-Forwarded-Proto https;",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    let text = tls(&["b.test=/b.pem"], &["b.test=/b.key"]).unwrap();
    assert!(text.contains("ssl_reject_handshake on;"), "{text}");
    for (refused, name) in [
        (tls(&[], &[]), "certificate: must be given with --listen"),
        (tls(&["/a.pem"], &[]), "certificate-key: must be given for *"),
        (tls(&["/a.pem"], &["/a.key", "b.test=/b.key"]), "certificate: must be given for b.test"),
        (tls(&["/a.pem", "/b.pem"], &["/a.key"]), "* is given twice"),
    ] {
        let why = refused.unwrap_err();
        assert!(why.contains(name), "{name}: {why}");
    }
    let why = refusal(EdgeKind::Nginx, |config| config.certificates.push("/a.pem".parse().unwrap()));
    assert!(why.contains("needs --listen"), "{why}");
}

#[test]
fn only_varnish_has_a_log_writer() {
    let mut config = config(EdgeKind::Varnish);
    config.log = "/var/log/edge.tsv".into();
    let script = config.render_log_writer().unwrap();
    assert!(script.contains("'/var/log/edge.tsv'") && !script.contains("@log@"), "{script}");
    config.log = "/var/log/'x".into();
    assert!(config.render_log_writer().unwrap_err().to_string().contains("log"));
    config.kind = EdgeKind::Nginx;
    assert!(config.render_log_writer().unwrap_err().to_string().contains("log-writer"));
}
