//! TLS certificates that are renewed while the server runs.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pilothouse_test_support::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::support::{Installation, TIMEOUT, TestServer};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tls").join(name)
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(data(name)).unwrap()
}

/// A client that trusts both certificates.
pub(super) fn client() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for name in ["ca.pem", "renewed.pem"] {
        roots.add(certificate(name)).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// The certificate that a server shows; none while it does not listen.
fn shown(server: &TestServer) -> Option<CertificateDer<'static>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).ok()?;
    let mut session = ClientConnection::new(client(), "localhost".try_into().unwrap()).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut stream).unwrap();
    }
    Some(session.peer_certificates().unwrap()[0].clone().into_owned())
}

/// Waits until the server shows this certificate.
fn wait_for(server: &TestServer, name: &str) -> Duration {
    let (begun, wanted) = (Instant::now(), certificate(name));
    while shown(server).as_ref() != Some(&wanted) {
        assert!(begun.elapsed() < TIMEOUT, "{name} is not shown");
        std::thread::sleep(Duration::from_millis(20));
    }
    begun.elapsed()
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart() {
    let installation = Installation::memory();
    let (pem, key) = (installation.file("server.pem"), installation.file("server.key"));
    // As programs that renew certificates do: whole files, put in place by renaming.
    let install = |name: &str| {
        for (from, to) in [(format!("{name}.pem"), &pem), (format!("{name}.key"), &key)] {
            let draft = to.with_extension("draft");
            fs::copy(data(&from), &draft).unwrap();
            fs::rename(draft, to).unwrap();
        }
    };
    install("localhost");
    let installation = installation
        .with("TLS_CERTIFICATE", &pem.display().to_string())
        .with("TLS_KEY", &key.display().to_string());
    let mut server = installation.start();
    wait_for(&server, "localhost.pem");

    install("renewed");
    let waited = wait_for(&server, "renewed.pem");
    assert!(waited < Duration::from_secs(45), "the files changed {waited:?} ago");

    fs::write(&key, "no key").unwrap();
    server.process.signal(Signal::HUP);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(
        shown(&server),
        Some(certificate("renewed.pem")),
        "a pair that cannot be read changes nothing"
    );

    install("localhost");
    server.process.signal(Signal::HUP);
    let waited = wait_for(&server, "localhost.pem");
    assert!(waited < Duration::from_secs(4), "asked {waited:?} ago");
    server.process.stop(TIMEOUT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_ends_no_server_without_tls() {
    let mut server = Installation::memory().serve().await;
    server.process.signal(Signal::HUP);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(server.is_ready().await);
}
