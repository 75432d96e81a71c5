//! Embedded HTTP API: a host with its own state and sessions nests Pilothouse's routers under `/fleet`.
//!
//! `cargo run --example embed`, then `curl -H 'Authorization: Bearer session-of-ann' 127.0.0.1:3000/fleet/api/task`.

use std::collections::HashMap;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use pilothouse_core::account::{Caller, Groups, Scope};
use pilothouse_core::ports::Authenticator;
use pilothouse_core::{Pilothouse, Settings, Workers};
use pilothouse_http_axum::{ApiState, HttpSettings, router};
use pilothouse_storage_memory::MemoryStorage;
use tokio_util::sync::CancellationToken;

/// Sessions of the host, each mapped to a Pilothouse account.
#[derive(Debug)]
struct Sessions(HashMap<&'static str, Caller>);

#[async_trait]
impl Authenticator for Sessions {
    async fn authenticate(&self, bearer: &str, address: Option<IpAddr>) -> pilothouse_core::Result<Caller> {
        let caller = self.0.get(bearer).cloned().ok_or(pilothouse_core::Error::Unauthenticated)?;
        Ok(Caller { address, ..caller })
    }
}

/// State of the host, independent of Pilothouse.
#[derive(Clone)]
struct Host {
    greeting: &'static str,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new()), Settings::default())?;
    // Grants and customers belong to accounts, so each user of the host gets one. Its password is never used.
    let id = pilothouse.accounts().create_superuser("ann", "ann@example.com", "never used to log in").await?;
    let ann = Caller {
        id,
        name: "ann".into(),
        mail: "ann@example.com".into(),
        groups: Groups::all(),
        scope: Scope::Account,
        limits: None,
        token: None,
        address: None,
    };
    let api = ApiState::new(pilothouse.clone())
        .authenticator(Arc::new(Sessions(HashMap::from([("session-of-ann", ann)]))))
        .settings(HttpSettings::default().with_prefix("/fleet"));
    let (fleet, _openapi) = router(api);

    let shutdown = CancellationToken::new();
    let workers = tokio::spawn(Workers::new(pilothouse).run(shutdown.clone()));
    let app = Router::new()
        .route("/", get(async |State(host): State<Host>| host.greeting))
        .nest("/fleet", fleet)
        .with_state(Host { greeting: "the host; its fleet is under /fleet/docs" });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async {
            // If the signal handler cannot be installed, only a kill stops the program, which loses no data either.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    shutdown.cancel();
    Ok(workers.await?)
}
