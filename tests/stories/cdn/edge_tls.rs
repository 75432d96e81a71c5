//! nginx edges with TLS: the control plane requires a certificate of a trusted authority, and visitors come by either scheme.

use std::cell::RefCell;
use std::fs;

use pilothouse_test_support::{edges_or_skip, free_port};

use crate::support::{
    EdgeFleet, HOST, Installation, OriginPorts, complete, create_customer, http_client, tls_file,
    wait_for_edges,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_with_an_untrusted_certificate_is_unreachable() {
    if !edges_or_skip("cdn::edge_tls::an_edge_with_an_untrusted_certificate_is_unreachable") {
        return;
    }
    let file = |name: &str| tls_file(name).display().to_string();
    let ports = RefCell::new(Vec::new());
    let with_tls = |kind: &str, origin: OriginPorts| {
        let mut options = vec!["--origin".to_owned(), format!("127.0.0.1:{}", origin.http)];
        if kind == "nginx" {
            let port = free_port();
            ports.borrow_mut().push(port);
            options.push(format!("--listen=127.0.0.1:{port} ssl"));
            options.push(format!("--certificate={}", file("localhost.pem")));
            options.push(format!("--certificate-key={}", file("localhost.key")));
        }
        options
    };
    let mut fleet =
        EdgeFleet::install_with_options(Installation::sqlite(), with_tls, |shipped| shipped).await;
    let ports = ports.into_inner();
    let settings = fleet.installation.file("fleet.toml");
    let mut text = fs::read_to_string(&settings).unwrap();
    for (edge, port) in fleet.edges.iter().zip(&ports) {
        let plain = format!("http://127.0.0.1:{}", edge.proxy.port);
        assert!(text.contains(&plain));
        text = text.replace(&plain, &format!("https://localhost:{port}"));
    }
    fs::write(&settings, text).unwrap();

    let (server, root) = fleet.serve().await;
    create_customer(&root).await;
    wait_for_edges(&root, &["varnish-1", "varnish-2"], "in_service").await;
    let edges = wait_for_edges(&root, &["nginx-1", "nginx-2"], "unreachable").await;
    assert_eq!(edges["results"][0]["reason"], "the edge cannot be reached", "{edges}");
    drop(server);

    fleet.installation.trust(&file("ca.pem"));
    let (_server, root) = fleet.serve().await;
    wait_for_edges(&root, &[], "in_service").await;
    let old = fleet.origin.change();
    complete(&root, "refresh", &["/*"]).await;
    fleet.assert_version("/object", old).await;
    let new = fleet.origin.change();
    complete(&root, "refresh", &["/object"]).await;
    fleet.assert_version("/object", new).await;
    complete(&root, "preload", &["/preloaded"]).await;
    assert!(fleet.visit_all("/preloaded").await.iter().all(|(_, cache)| cache == "HIT"));
    visitors_come_by_tls(&fleet, ports[0]).await;
}

/// One object answers both schemes, and the origin is told the better one.
async fn visitors_come_by_tls(fleet: &EdgeFleet, port: u16) {
    let authority = reqwest::Certificate::from_pem(&fs::read(tls_file("ca.pem")).unwrap()).unwrap();
    let visitor = http_client().tls_certs_only([authority]).build().unwrap();
    for (url, cache) in [
        (format!("http://127.0.0.1:{}/both", fleet.edges[0].server.port), "MISS"),
        (format!("https://localhost:{port}/both"), "HIT"),
    ] {
        let answer = visitor.get(url).header("host", HOST).send().await.unwrap();
        assert_eq!(answer.headers()["x-cache"], cache);
        assert_eq!(answer.headers()["x-seen"], format!("{HOST} https  /both"));
    }
}
