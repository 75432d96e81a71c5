//! Failing edges: wrong, truncated and missing responses, and the errors the provider makes of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pilothouse_core::ports::{
    Batch, EdgeControl, Operation, ProviderError, Providers, Purge, SessionStart, Submission,
};
use pilothouse_test_support::free_port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Stub of an edge: answers every request with the same bytes.
struct StubEdge {
    providers: Providers,
    /// Number of received requests.
    requests: Arc<AtomicUsize>,
    /// Signal of each received request.
    received: Arc<Notify>,
}

impl StubEdge {
    /// Starts an edge that sends these bytes and closes the connection, or never answers if there are none.
    async fn start(kind: &str, response: Option<&'static [u8]>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, received) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (count, signal) = (requests.clone(), received.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (count, signal) = (count.clone(), signal.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                    signal.notify_one();
                    match response {
                        Some(response) => stream.write_all(response).await.unwrap(),
                        None => std::future::pending().await,
                    }
                });
            }
        });
        let settings = format!(
            "[[cdn]]\nname = \"level3\"\nkind = \"edges\"\n\
             [[cdn.edge]]\nname = \"edge-1\"\nkind = \"{kind}\"\nurl = \"{url}\"\n"
        );
        Self { providers: super::providers_from(&settings).unwrap(), requests, received }
    }

    fn control(&self) -> &Arc<dyn EdgeControl> {
        self.providers.control("level3").unwrap()
    }

    async fn purge(&self, paths: usize) -> Result<Outcomes, ProviderError> {
        let url = |n| format!("http://cdn.example.com/{n}");
        let purges: Vec<_> = (0..paths).map(|n| Purge { url: url(n), stamp: 1 }).collect();
        submit(&self.providers, Operation::PurgeUrls, purges).await
    }

    async fn preload(&self) -> Result<Outcomes, ProviderError> {
        let items = vec![Purge { url: "http://cdn.example.com/".to_owned(), stamp: 0 }];
        submit(&self.providers, Operation::Preload, items).await
    }
}

/// Outcome of each URL of a call.
pub(crate) type Outcomes = Vec<Result<(), ProviderError>>;

/// Submits a batch to `edge-1` of `level3`, which has no tasks.
pub(crate) async fn submit(
    providers: &Providers,
    operation: Operation,
    items: Vec<Purge>,
) -> Result<Outcomes, ProviderError> {
    submit_to(providers, "edge-1", operation, items).await
}

/// Submits a batch to an edge of `level3`, which has no tasks.
pub(crate) async fn submit_to(
    providers: &Providers,
    edge: &str,
    operation: Operation,
    items: Vec<Purge>,
) -> Result<Outcomes, ProviderError> {
    let (id, group) = ("00000000-0000-4000-8000-000000000001".to_owned(), String::new());
    let accepted_at = std::time::SystemTime::UNIX_EPOCH.into();
    let batch = Batch { id, operation, edge: edge.to_owned(), group, items, accepted_at };
    let outcomes = providers.get("level3").unwrap().submit(&batch).await?;
    let done = |submission| assert_eq!(submission, Submission::Done);
    Ok(outcomes.into_iter().map(|outcome| outcome.map(done)).collect())
}

const OK_RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nx-pilothouse: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const SERVER_ERROR: &[u8] =
    b"HTTP/1.1 500 Oops\r\nx-pilothouse: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const FORBIDDEN: &[u8] = b"HTTP/1.1 403 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const OTHER_WEB_SERVER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
const CONFLICT: &[u8] =
    b"HTTP/1.1 409 No\r\nx-pilothouse: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const NOT_HTTP: &[u8] = b"\x16\x03\x01 this is no HTTP\r\n\r\n";
const TRUNCATED: &[u8] = b"HTTP/1.1 200 OK\r\nx-pilothouse: 1\r\ncontent-length: 100\r\n\r\nnot a hundred";
const CLOSED: &[u8] = b"";

#[tokio::test]
async fn a_purge_is_confirmed_only_by_an_edge_response() {
    for kind in ["varnish", "nginx"] {
        assert_eq!(
            StubEdge::start(kind, Some(OK_RESPONSE)).await.purge(2).await,
            Ok(vec![Ok(()); 2]),
            "{kind}"
        );
        for (answer, reason) in [
            (SERVER_ERROR, "the edge answered 500"),
            (CONFLICT, "the edge answered 409"),
            (FORBIDDEN, "the edge refuses this server's address or key"),
            (OTHER_WEB_SERVER, "the server does not have the edge configuration of Pilothouse"),
            (NOT_HTTP, "connection lost"),
            (TRUNCATED, "connection lost"),
            (CLOSED, "connection lost"),
        ] {
            let edge = StubEdge::start(kind, Some(answer)).await;
            let outcomes = edge.purge(2).await.unwrap_or_else(|error| vec![Err(error); 2]);
            let expected = ProviderError::Unavailable(reason.into());
            assert_eq!(outcomes, vec![Err(expected); 2], "{kind}");
        }
    }
}

#[tokio::test]
async fn a_session_is_confirmed_only_by_an_edge_response() {
    for kind in ["varnish", "nginx"] {
        let healthy = StubEdge::start(kind, Some(OK_RESPONSE)).await;
        assert_eq!(healthy.control().begin_session("edge-1", 7, 1).await, Ok(SessionStart::Resumed));
        assert_eq!(healthy.control().grant("edge-1", 7).await, Ok(true));
        assert_eq!(healthy.control().renew("edge-1", 7).await, Ok(true));
        let conflict = StubEdge::start(kind, Some(CONFLICT)).await;
        assert_eq!(conflict.control().grant("edge-1", 7).await, Ok(false));
        assert_eq!(conflict.control().renew("edge-1", 7).await, Ok(false));
        let hello = conflict.control().begin_session("edge-1", 7, 1).await.unwrap_err();
        assert!(hello.may_be_retried(), "a conflict without the current session: {hello}");
        let later: &[u8] = b"HTTP/1.1 409 No\r\nx-pilothouse: 1\r\nx-pilothouse-session: 9\r\n\
            content-length: 0\r\nconnection: close\r\n\r\n";
        let later = StubEdge::start(kind, Some(later)).await;
        assert_eq!(later.control().begin_session("edge-1", 7, 1).await, Ok(SessionStart::Deferred(9)));
        for answer in [SERVER_ERROR, FORBIDDEN, OTHER_WEB_SERVER, NOT_HTTP, TRUNCATED, CLOSED] {
            let edge = StubEdge::start(kind, Some(answer)).await;
            for error in [
                edge.control().begin_session("edge-1", 7, 1).await.unwrap_err(),
                edge.control().grant("edge-1", 7).await.unwrap_err(),
                edge.control().renew("edge-1", 7).await.unwrap_err(),
            ] {
                assert!(
                    error.may_be_retried() && !error.to_string().contains("127.0.0.1"),
                    "{kind}: {error}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_preload_is_confirmed_only_by_a_cache_hit() {
    for kind in ["varnish", "nginx"] {
        let hit: &[u8] = b"HTTP/1.1 200 OK\r\nx-cache: HIT\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        assert_eq!(StubEdge::start(kind, Some(hit)).await.preload().await, Ok(vec![Ok(())]));
        let miss: &[u8] =
            b"HTTP/1.1 200 OK\r\nx-cache: MISS\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let pass: &[u8] =
            b"HTTP/1.1 200 OK\r\nx-cache: PASS\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        for (answer, is_final) in [
            (miss, true),
            (OTHER_WEB_SERVER, true),
            (SERVER_ERROR, true),
            (pass, false),
            (NOT_HTTP, false),
            (CLOSED, false),
        ] {
            let outcome = StubEdge::start(kind, Some(answer)).await.preload().await.unwrap().remove(0);
            assert_eq!(outcome.unwrap_err().may_be_retried(), !is_final, "{kind}");
        }
    }
}

#[tokio::test]
async fn a_purge_without_a_response_times_out() {
    for kind in ["varnish", "nginx"] {
        let edge = StubEdge::start(kind, None).await;
        let received = edge.received.clone();
        let clock = async move {
            // The request has arrived, so from here on the paused clock may skip to the time-out.
            received.notified().await;
            tokio::time::pause();
        };
        let (purged, ()) = tokio::join!(edge.purge(1), clock);
        let outcome = purged.unwrap_or_else(|error| vec![Err(error)]).remove(0);
        tokio::time::resume();
        assert_eq!(
            outcome,
            Err(ProviderError::Unavailable("the edge did not answer within 10 s".into())),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn an_unreachable_edge_fails_the_whole_call_at_once() {
    let unused = free_port();
    let settings = format!(
        "[[cdn]]\nname = \"level3\"\nkind = \"edges\"\n\
         [[cdn.edge]]\nname = \"edge-1\"\nkind = \"varnish\"\nurl = \"http://127.0.0.1:{unused}\"\n"
    );
    let edge = StubEdge {
        providers: super::providers_from(&settings).unwrap(),
        requests: Arc::default(),
        received: Arc::default(),
    };
    let started = std::time::Instant::now();
    assert_eq!(edge.purge(1000).await, Err(ProviderError::Unavailable("the edge cannot be reached".into())));
    assert!(started.elapsed() < Duration::from_secs(10));
    // nginx takes all purges of a call in one request.
    let nginx = StubEdge::start("nginx", Some(SERVER_ERROR)).await;
    assert!(nginx.purge(1000).await.is_err());
    assert_eq!(nginx.requests.load(Ordering::SeqCst), 1);
}
