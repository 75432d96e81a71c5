//! Serving, and the background work.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use pilothouse_core::Pilothouse;
use pilothouse_http_axum::router;
use tokio::net::TcpSocket;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::Serve;
use crate::failure::Failure;
use crate::prompt::Prompt;
use crate::settings::Settings;
use crate::terminal::{password, print};
use crate::{compose, metrics};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4096;
/// How long a client may take over a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests under way may go on after SIGTERM.
const DRAIN: Duration = Duration::from_secs(7);
/// How long the background work may take to write down what it holds.
const FAREWELL: Duration = Duration::from_millis(2500);
/// The longest head: a URL of 64 KiB, and headers.
const HEAD: usize = 96 * 1024;

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn serve(settings: Settings, serve: Serve) -> Result<(), Failure> {
    let opened = compose::open(&settings).await?;
    for name in &opened.applied {
        tracing::info!(migration = name, "applied");
    }
    let pilothouse = compose::domain(&settings, opened.storage).await?;
    let (pilothouse, logs) = compose::with_logs(&settings, pilothouse)?;
    if let Some(superuser) = serve.superuser {
        ensure_superuser(&pilothouse, &superuser).await?;
    }
    let listener = listen(settings.listen)?;
    let address = listener.local_addr().map_err(|error| Failure::failed("listen", error))?;
    let tls = match (&settings.tls_certificate, &settings.tls_key) {
        (Some(certificate), Some(key)) => {
            let loaded = RustlsConfig::from_pem_file(certificate, key).await;
            Some(loaded.map_err(|error| Failure::failed("tls_certificate and tls_key", error))?)
        }
        _ => None,
    };
    let ended = ended_by_signal()?;
    if let Some(listen) = settings.metrics_listen {
        metrics::serve(listen, ended.clone()).await?;
    }
    let (router, _) = router::<()>(compose::api(&settings, pilothouse.clone()));
    let work = tokio::spawn({
        let (settings, ended) = (settings.clone(), ended.clone());
        async move { compose::work(&settings, &logs, ended).await }
    });
    greet(&pilothouse, &settings, address, tls.is_some()).await?;
    let served = accept(listener, router, tls, ended.clone()).await;
    ended.cancel();
    // Whatever the background work is at is safe to drop.
    let _ = tokio::time::timeout(FAREWELL, work).await;
    served
}

/// Does only the background work, until SIGTERM or SIGINT.
pub(crate) async fn work(settings: Settings) -> Result<(), Failure> {
    let opened = compose::open(&settings).await?;
    let pilothouse = compose::domain(&settings, opened.storage).await?;
    let (_, logs) = compose::with_logs(&settings, pilothouse)?;
    let ended = ended_by_signal()?;
    print("working; stop with Ctrl-C")?;
    compose::work(&settings, &logs, ended).await;
    Ok(())
}

fn listen(address: SocketAddr) -> Result<std::net::TcpListener, Failure> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)?.into_std()
    };
    bind().map_err(|error: std::io::Error| Failure::failed(format!("listen {address}"), error))
}

async fn accept(
    listener: std::net::TcpListener,
    router: Router,
    tls: Option<RustlsConfig>,
    ended: CancellationToken,
) -> Result<(), Failure> {
    let handle = Handle::new();
    let drain = handle.clone();
    tokio::spawn(async move {
        ended.cancelled().await;
        drain.graceful_shutdown(Some(DRAIN));
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let failed = |error: std::io::Error| Failure::failed("listen", error);
    macro_rules! serve {
        ($acceptor:expr) => {{
            let mut server = axum_server::from_tcp(listener)
                .map_err(failed)?
                .handle(handle)
                .acceptor(Prompt::new($acceptor, HEAD_TIMEOUT));
            let mut http = server.http_builder().http1();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD);
            server.serve(service).await.map_err(failed)
        }};
    }
    match tls {
        Some(tls) => serve!(RustlsAcceptor::new(tls).acceptor(NoDelayAcceptor::new())),
        None => serve!(NoDelayAcceptor::new()),
    }
}

/// Cancelled by SIGTERM or SIGINT.
pub(crate) fn ended_by_signal() -> Result<CancellationToken, Failure> {
    let failed = |error| Failure::failed("signals", error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let ended = CancellationToken::new();
    let cancel = ended.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        cancel.cancel();
    });
    Ok(ended)
}

/// Makes the account unless there is one of that name.
async fn ensure_superuser(pilothouse: &Pilothouse, superuser: &str) -> Result<(), Failure> {
    let Some((name, mail)) = superuser.split_once(':') else {
        return Err(Failure::usage("--superuser: must be NAME:MAIL"));
    };
    let password = password()?;
    match pilothouse.accounts().create_superuser(name, mail, &password).await {
        Ok(_) => print(&format!("made the account {name} with every right")),
        Err(pilothouse_core::Error::AlreadyExists(_)) => print(&format!("the account {name} exists already")),
        Err(error) => Err(error.into()),
    }
}

/// Where the server is, and what comes next.
async fn greet(
    pilothouse: &Pilothouse,
    settings: &Settings,
    address: SocketAddr,
    tls: bool,
) -> Result<(), Failure> {
    let scheme = if tls { "https" } else { "http" };
    print(&format!("Pilothouse serves on {scheme}://{address}"))?;
    print(&format!("  API document: {scheme}://{address}/docs"))?;
    print(&format!("  Data folder:  {}", settings.data_dir.display()))?;
    if pilothouse.accounts().any().await? {
        return Ok(());
    }
    print("There is no account yet. Make the first one in another terminal:")?;
    let program = std::env::args().next().unwrap_or_else(|| "pilothouse".to_owned());
    print(&format!(
        "  echo 'a long password' | {program} create-superuser --name admin --mail admin@example.com --password-stdin"
    ))?;
    print("Then log in:")?;
    print(&format!(
        "  curl {scheme}://{address}/admin/user_login -d '{{\"name\":\"admin\",\"password\":\"a long password\"}}'"
    ))
}
