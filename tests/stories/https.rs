//! Edges whose control plane comes by https: with a certificate that the server trusts, and with one that it does not.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use pilothouse_test_support::{edges_or_skip, free_port};

use crate::fleet::{Fleet, done, edges_are, prepare};
use crate::place::Place;

#[tokio::test(flavor = "multi_thread")]
async fn only_what_proves_its_name_is_an_edge() {
    if !edges_or_skip("https::only_what_proves_its_name_is_an_edge") {
        return;
    }
    // For localhost and 127.0.0.1, signed by an authority that nobody trusts but who is told to.
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tls");
    let file = |name: &str| tls.join(name).display().to_string();
    let ports = RefCell::new(Vec::new());
    let with_tls = |shipped: String| {
        if !shipped.contains(" default_server;") {
            return shipped;
        }
        let port = free_port();
        ports.borrow_mut().push(port);
        let (certificate, key) = (file("localhost.pem"), file("localhost.key"));
        let more = format!(
            " default_server;\n    listen 127.0.0.1:{port} ssl;\n    ssl_certificate {certificate};\n    \
             ssl_certificate_key {key};\n"
        );
        shipped.replace(" default_server;", &more)
    };
    let mut fleet = Fleet::install_with(Place::sqlite(), with_tls).await;
    let settings = fleet.place.file("fleet.toml");
    let mut text = fs::read_to_string(&settings).unwrap();
    for (edge, port) in fleet.edges.iter().zip(ports.into_inner()) {
        let plain = format!("http://127.0.0.1:{}", edge.line.port);
        assert!(text.contains(&plain));
        text = text.replace(&plain, &format!("https://localhost:{port}"));
    }
    fs::write(&settings, text).unwrap();

    let (server, root) = fleet.serve().await;
    prepare(&root).await;
    edges_are(&root, &["varnish-1", "varnish-2"], "in service").await;
    let edges = edges_are(&root, &["nginx-1", "nginx-2"], "cut off").await;
    assert_eq!(edges["results"][0]["reason"], "it cannot be reached", "{edges}");
    drop(server);

    fleet.place.trust(&file("ca.pem"));
    let (_server, root) = fleet.serve().await;
    edges_are(&root, &[], "in service").await;
    let old = fleet.origin.change();
    done(&root, "refresh", &["/*"]).await;
    fleet.all_have("/object", old).await;
    let new = fleet.origin.change();
    done(&root, "refresh", &["/object"]).await;
    fleet.all_have("/object", new).await;
    done(&root, "preload", &["/preloaded"]).await;
    assert!(fleet.visit_all("/preloaded").await.iter().all(|(_, cache)| cache == "HIT"));
}
