//! systemd's notification protocol: ready, alive, stopping. Without a service manager nothing is sent.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// The socket of the service manager, if one started this process.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// As the environment names it.
    pub(crate) fn from_environment() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|address| match connect(&address) {
            Ok(socket) => Some(socket),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the service manager cannot be notified");
                None
            }
        });
        Self { socket, watchdog: watchdog() }
    }

    /// Says that the process serves, and that it lives from then on; at the end that it stops.
    pub(crate) async fn accompany(self, ended: CancellationToken) {
        self.send("READY=1");
        if let Some(within) = self.watchdog {
            // A runtime whose threads are all stuck sends nothing.
            let mut beats = tokio::time::interval(within / 3);
            while ended.run_until_cancelled(beats.tick()).await.is_some() {
                self.send("WATCHDOG=1");
            }
        }
        ended.cancelled().await;
        self.send("STOPPING=1");
    }

    fn send(&self, state: &str) {
        // A manager that does not listen any more needs nothing, and one that is busy is not waited for.
        if let Some(socket) = &self.socket {
            let _ = socket.send(state.as_bytes());
        }
    }
}

/// A path, or with an `@` at its beginning a name without a file.
fn connect(address: &OsString) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    #[cfg(target_os = "linux")]
    if let Some(name) = address.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        socket.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)?;
        return Ok(socket);
    }
    socket.connect(address)?;
    Ok(socket)
}

/// Time within which a sign of life is expected; none where that is another process' matter.
fn watchdog() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    if number("WATCHDOG_PID").is_some_and(|process| process != u64::from(std::process::id())) {
        return None;
    }
    number("WATCHDOG_USEC").filter(|micros| *micros > 0).map(Duration::from_micros)
}
