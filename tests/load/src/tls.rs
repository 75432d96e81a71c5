//! TLS of the load generator: the certificate that the server shows, and a client that believes its authority alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::http::Result;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tls").join(name)
}

/// Certificate of the authority that vouches for the server.
pub(crate) fn authority() -> PathBuf {
    data("ca.pem")
}

/// Settings of a server that shows the certificate of `localhost`.
pub(crate) fn settings() -> Result<String> {
    let [certificate, key] = [data("localhost.pem"), data("localhost.key")];
    let [certificate, key] = [certificate.canonicalize()?, key.canonicalize()?];
    Ok(format!("tls_certificate = \"{}\"\ntls_key = \"{}\"\n", certificate.display(), key.display()))
}

/// Client side of TLS connections.
#[derive(Clone)]
pub(crate) struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    pub(crate) fn new() -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority())?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    pub(crate) async fn connect(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        Ok(self.0.connect(ServerName::try_from("localhost")?, stream).await?)
    }
}
