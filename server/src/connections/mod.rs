//! Connections of every listener: plain, TLS and metrics ones have the same time limits and the same caps.

mod activity;
mod slots;
mod timed_stream;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::accept::{Accept, NoDelayAcceptor};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use self::activity::{Activity, Counted};
pub(crate) use self::slots::ConnectionSlots;
use self::timed_stream::TimedStream;
use crate::failure::Failure;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// Time limit of requests under way after SIGTERM.
const DRAIN: Duration = Duration::from_secs(7);
/// The longest head: a URL of 64 KiB, and headers.
const HEAD: usize = 96 * 1024;
/// Time between two pings of an HTTP/2 connection that is silent, and the time an answer may take.
const PING: Duration = Duration::from_secs(20);

/// Limits of connections, shared by the listeners of a process.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) slots: ConnectionSlots,
    /// Time that a connection is kept after the last answer.
    pub(crate) keep_alive: Duration,
}

/// Binds an address. `setting` names it in an error.
pub(crate) fn listen(setting: &str, address: SocketAddr) -> Result<std::net::TcpListener, Failure> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)?.into_std()
    };
    bind().map_err(|error: io::Error| Failure::failed(format!("{setting} {address}"), error))
}

/// Serves until cancelled; then requests under way have their time to end.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    router: Router,
    tls: Option<RustlsConfig>,
    limits: Limits,
    ended: CancellationToken,
) -> io::Result<()> {
    let handle = Handle::new();
    let drain = handle.clone();
    tokio::spawn(async move {
        ended.cancelled().await;
        drain.graceful_shutdown(Some(DRAIN));
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    macro_rules! serve {
        ($acceptor:expr) => {{
            let mut server = axum_server::from_tcp(listener)?
                .handle(handle)
                .acceptor(Limited { inner: $acceptor, limits })
                .accept_error_handler(|peer, _| {
                    // With a peer it is that connection's own fault, such as a handshake that failed.
                    if peer.is_none() {
                        metrics::counter!("pilothouse_accept_errors_total").increment(1);
                    }
                });
            // Time limits are those of `TimedStream`; hyper's for a head runs between two requests, too.
            let mut http = server.http_builder().http1();
            http.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD);
            let mut http = server.http_builder().http2();
            http.timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PING);
            http.max_header_list_size(u32::try_from(HEAD).unwrap_or(u32::MAX));
            server.serve(service).await
        }};
    }
    match tls {
        Some(tls) => serve!(RustlsAcceptor::new(tls).acceptor(NoDelayAcceptor::new())),
        None => serve!(NoDelayAcceptor::new()),
    }
}

/// Accepts as the acceptor inside, within the limits.
#[derive(Clone, Debug)]
struct Limited<A> {
    inner: A,
    limits: Limits,
}

impl<A, S> Accept<TcpStream, S> for Limited<A>
where
    A: Accept<TcpStream, S, Stream: Unpin, Future: Send + 'static>,
{
    type Stream = TimedStream<A::Stream>;
    type Service = Counted<A::Service>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let slot = stream.peer_addr().and_then(|peer| self.limits.slots.take(peer.ip()));
        // Before the handshake, which is the dear part.
        let slot = match slot {
            Ok(slot) => slot,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        let accepting = self.inner.accept(stream, service);
        let keep_alive = self.limits.keep_alive;
        Box::pin(async move {
            let (stream, service) = accepting.await?;
            let activity = Activity::default();
            let service = Counted::new(service, activity.clone());
            Ok((TimedStream::new(stream, activity, keep_alive, slot), service))
        })
    }
}
