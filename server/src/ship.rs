//! `pilothouse ship`: the log of an edge, followed on its machine and shipped to a server elsewhere.

mod http_log_server;
mod response;
mod retry;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use pilothouse_log_intake::{ShipError, ShippedLog};

use crate::args::Ship;
use crate::failure::Failure;
use crate::serve::ended_by_signal;
use crate::service_manager::ServiceManager;
use http_log_server::HttpLogServer;

/// Time that the reading of a file has after SIGTERM: whatever it is at is safe to drop.
const FAREWELL: Duration = Duration::from_secs(3);

/// Ships a log until SIGTERM or SIGINT, or with `--once` until everything is shipped.
pub(crate) async fn ship(options: Ship) -> Result<(), Failure> {
    let ended = ended_by_signal()?;
    let log = shipped_log(&options);
    let mut server = HttpLogServer::new(&options, ended.clone())?;
    if !options.once {
        tokio::spawn(ServiceManager::from_environment().accompany(ended.clone()));
    }
    let shipping = tokio::task::spawn_blocking(move || {
        let shipped = log.ship(&mut server);
        server.end(shipped.is_ok());
        shipped
    });
    let stopped = async {
        ended.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    let shipped = tokio::select! {
        shipped = shipping => shipped.map_err(|error| Failure::died(format!("the shipping ended: {error}")))?,
        () = stopped => Ok(()),
    };
    match shipped {
        Ok(()) | Err(ShipError::Stopped) => Ok(()),
        Err(error) => Err(failure(error)),
    }
}

fn shipped_log(options: &Ship) -> ShippedLog {
    let state = options.state.clone().unwrap_or_else(|| {
        let mut state = OsString::from(&options.file);
        state.push(".ship");
        PathBuf::from(state)
    });
    let mut log = ShippedLog::new(&options.cdn, &options.edge, &options.file, state);
    if let Some(folder) = &options.rotated_dir {
        log = log.rotated_folder(folder);
    }
    if let Some(from) = options.from {
        log = log.from(from);
    }
    if options.once { log.ends_when_shipped() } else { log }
}

/// Failure with the option that is to be changed.
fn failure(error: ShipError) -> Failure {
    match &error {
        ShipError::NoState { .. } | ShipError::OtherEdge { .. } => {
            Failure::usage(format!("--state: {error}"))
        }
        _ if error.is_usage() => Failure::usage(format!("--from: {error}")),
        ShipError::Ahead { .. } | ShipError::Differs { .. } => Failure::died(format!("{error} (--from)")),
        _ => Failure::failed("ship", error),
    }
}
