//! `pilothouse serve` and `worker`: listeners, background jobs, graceful shutdown.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use pilothouse_core::Pilothouse;
use pilothouse_http_axum::router;
use pilothouse_log_intake::ObjectArchive;
use pilothouse_storage_sqlx::SqlxStorage;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::args::Serve;
use crate::connections::{ConnectionSlots, Limits, listen};
use crate::console::Console;
use crate::failure::Failure;
use crate::service_manager::ServiceManager;
use crate::settings::{Database, Settings};
use crate::terminal::{password, print};
use crate::tls::TlsPair;
use crate::{compose, connections, logging, metrics, tls};

/// The signal that a file reached its size limit, on every architecture of Linux but MIPS, and on macOS.
const SIGXFSZ: i32 = 25;

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn serve(settings: Settings, serve: Serve) -> Result<(), Failure> {
    let opened = compose::open(&settings).await?;
    for name in &opened.applied {
        tracing::info!(migration = name, "applied");
    }
    let pilothouse = compose::domain(&settings, &opened).await?;
    let database = opened.database;
    let logs = compose::log_pipeline(&settings, pilothouse)?;
    let pilothouse = logs.pilothouse().clone();
    let archive = object_archive(&settings, &pilothouse).await?;
    compose::confirm_bucket_blobs(&settings, &pilothouse).await?;
    if let Some(superuser) = serve.superuser {
        ensure_superuser(&pilothouse, &superuser).await?;
    }
    let listener = listen("listen", settings.listen)?;
    let address = listener.local_addr().map_err(|error| Failure::failed("listen", error))?;
    let tls = match TlsPair::of(&settings) {
        Some(pair) => Some(pair.load().await?),
        None => None,
    };
    let hang_up = signal(SignalKind::hangup()).map_err(|error| Failure::failed("signals", error))?;
    let ended = ended_by_signal()?;
    tokio::spawn(logging::count_dropped());
    let proxies = settings.trusted_proxies.iter().map(|proxy| proxy.0).collect();
    let limits = Limits {
        slots: ConnectionSlots::new(settings.connections_per_address, proxies),
        keep_alive: Duration::from_secs(settings.keep_alive_seconds.into()),
    };
    if let Some(address) = settings.metrics_listen {
        metrics::serve(
            listen("metrics_listen", address)?,
            pilothouse.clone(),
            limits.clone(),
            ended.clone(),
        )?;
    }
    let certificate = tls.as_ref().map(|loaded| loaded.config.clone());
    tokio::spawn(tls::keep_current(tls, hang_up));
    let mut console = Console::new(&settings, &pilothouse, address, ended.clone()).await?;
    let (router, _) = router::<()>(compose::api(&settings, pilothouse.clone()));
    let router = console.beside(router);
    let mut work = tokio::spawn({
        let (settings, ended) = (settings.clone(), ended.clone());
        async move { compose::work(&settings, logs, archive, ended).await }
    });
    if let Err(failure) = greet(&pilothouse, &settings, address, &console).await {
        tracing::warn!(reason = %failure, "the greeting could not be printed");
    }
    tokio::spawn(ServiceManager::from_environment().accompany(ended.clone()));
    let served = tokio::select! {
        served = connections::serve(listener, router, certificate, limits, ended.clone()) => {
            served.map_err(|error| Failure::failed("listen", error))
        }
        died = died(&mut work, &ended) => return Err(died),
        stopped = stopped(database.clone()) => Err(stopped),
    };
    ended.cancel();
    // Whatever the background work is at is safe to drop. Where it has ended, its result was taken above.
    let farewell = async {
        if !work.is_finished() {
            let _ = work.await;
        }
        // One that has stopped by itself has nothing more to write.
        if let Some(database) = database.filter(|_| served.is_ok()) {
            database.close().await;
        }
    };
    let _ = tokio::time::timeout(compose::FAREWELL, farewell).await;
    served
}

/// Waits until the store stops for good, such as after a failed flush. Only opening it again helps, so the process ends.
async fn stopped(database: Option<SqlxStorage>) -> Failure {
    match database {
        Some(database) => Failure::from(database.stopped().await),
        None => std::future::pending().await,
    }
}

/// Waits for an end of the background work that nobody asked for. A server without it would serve what it cannot keep true.
async fn died(work: &mut JoinHandle<()>, ended: &CancellationToken) -> Failure {
    let reason = match work.await {
        Ok(()) if ended.is_cancelled() => std::future::pending().await,
        Ok(()) => "it returned".to_owned(),
        Err(error) => error.to_string(),
    };
    Failure::died(format!("the background work ended: {reason}"))
}

/// Does only the background work, until SIGTERM or SIGINT.
pub(crate) async fn work(settings: Settings) -> Result<(), Failure> {
    let opened = compose::open(&settings).await?;
    let pilothouse = compose::domain(&settings, &opened).await?;
    let logs = compose::log_pipeline(&settings, pilothouse)?;
    let archive = object_archive(&settings, logs.pilothouse()).await?;
    let ended = ended_by_signal()?;
    tokio::spawn(logging::count_dropped());
    if let Err(failure) = print("working; stop with Ctrl-C") {
        tracing::warn!(reason = %failure, "the greeting could not be printed");
    }
    tokio::spawn(ServiceManager::from_environment().accompany(ended.clone()));
    tokio::select! {
        () = compose::work(&settings, logs, archive, ended) => opened.close().await,
        // One that has stopped by itself has nothing more to write.
        stopped = stopped(opened.database.clone()) => return Err(stopped),
    }
    Ok(())
}

/// Archive of kept lines that goes up into object storage; one of another store is refused.
async fn object_archive(
    settings: &Settings,
    pilothouse: &Pilothouse,
) -> Result<Option<ObjectArchive>, Failure> {
    let archive = compose::object_archive(settings, pilothouse).await?;
    if let Some(archive) = &archive {
        compose::claim_objects(settings, archive).await?;
    }
    Ok(archive)
}

/// Cancelled by SIGTERM or SIGINT.
pub(crate) fn ended_by_signal() -> Result<CancellationToken, Failure> {
    let failed = |error| Failure::failed("signals", error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    // A file at its size limit is a write that fails, like one on a full disk; by default it would end the process.
    let _ = signal(SignalKind::from_raw(SIGXFSZ)).map_err(failed)?;
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

/// Prints the server's address and the next steps.
async fn greet(
    pilothouse: &Pilothouse,
    settings: &Settings,
    address: SocketAddr,
    console: &Console,
) -> Result<(), Failure> {
    let scheme = if settings.tls_certificate.is_some() { "https" } else { "http" };
    print(&format!("Pilothouse serves on {scheme}://{address}"))?;
    let document = if cfg!(feature = "docs-ui") { "docs" } else { "openapi.json" };
    print(&format!("  API document: {scheme}://{address}/{document}"))?;
    if let Some(url) = &console.url {
        print(&format!("  Console:      {url}"))?;
    }
    print(&format!("  Data folder:  {}", settings.data_dir.display()))?;
    if pilothouse.accounts().any().await? {
        return Ok(());
    }
    if let Some(url) = &console.setup_url {
        print("There is no account yet. Make the first one by this link, which works once:")?;
        print(&format!("  {url}"))?;
        print("or in another terminal:")?;
    } else {
        print("There is no account yet. Make the first one in another terminal:")?;
    }
    print(&format!("  {} --name admin --mail admin@example.com", create_superuser(settings)))?;
    print("Then log in:")?;
    print(&format!(
        "  curl {scheme}://{address}/admin/user_login -d '{{\"name\":\"admin\",\"password\":\"a long password\"}}'"
    ))
}

/// The command that makes the first account in the store of these settings, from whatever folder it is called.
fn create_superuser(settings: &Settings) -> String {
    let absolute = |path: &Path| {
        std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
    };
    let program = std::env::args().next().unwrap_or_else(|| "pilothouse".to_owned());
    // One without a slash was found on the path.
    let program = if program.contains('/') { absolute(Path::new(&program)) } else { program };
    let mut words = vec![program, "create-superuser".to_owned()];
    if let Some(file) = &settings.file {
        words.extend(["--config".to_owned(), absolute(file)]);
    }
    words.extend(["--data-dir".to_owned(), absolute(&settings.data_dir)]);
    // The URL of a Postgres may hold a password.
    if settings.database_url.is_some()
        && let Ok(Database::Sqlite(path)) = settings.database()
    {
        words.extend(["--database-url".to_owned(), format!("sqlite:{}", absolute(&path))]);
    }
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(quoted("/srv/pilot-house.d"), "/srv/pilot-house.d");
        assert_eq!(quoted("/srv/my data"), "'/srv/my data'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
