//! Tests of the client against a scripted server, and against a real one in the same process.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod acknowledgements;
mod changes;
mod fake_server;
mod real_server;
mod reconnect;
mod snapshot;

/// HTTP client that goes past the machine's proxy, with the TLS provider that the client would choose.
fn http_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}
