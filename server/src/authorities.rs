//! Authorities that a client of another server trusts.

use std::path::Path;

use reqwest::{Certificate, ClientBuilder};

use crate::failure::Failure;

/// Trusts the authorities in the file of `--ca` alone; those of the system without one.
pub(crate) fn trusting(http: ClientBuilder, file: Option<&Path>) -> Result<ClientBuilder, Failure> {
    let Some(file) = file else { return Ok(http) };
    let pem =
        std::fs::read(file).map_err(|error| Failure::usage(format!("--ca: {}: {error}", file.display())))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(authorities) if !authorities.is_empty() => Ok(http.tls_certs_only(authorities)),
        _ => Err(Failure::usage(format!("--ca: {} holds no certificate in PEM", file.display()))),
    }
}
