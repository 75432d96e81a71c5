//! What is made of the answers of edges that are not well.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pilothouse_core::ports::{EdgeControl, Hello, Outcomes, ProviderError, Providers, Purge};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Something that listens where an edge should, and answers every request the same.
struct Mock {
    providers: Providers,
    /// How many requests came.
    asked: Arc<AtomicUsize>,
    came: Arc<Notify>,
}

impl Mock {
    /// `None`: it never answers. Otherwise these bytes, after which it closes the connection.
    async fn answers(kind: &str, answer: Option<&'static [u8]>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, came) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (count, tell) = (asked.clone(), came.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (count, tell) = (count.clone(), tell.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                    tell.notify_one();
                    match answer {
                        Some(answer) => stream.write_all(answer).await.unwrap(),
                        None => std::future::pending().await,
                    }
                });
            }
        });
        let settings = format!(
            "[[cdn]]\nname = \"level3\"\nkind = \"edges\"\n\
             [[cdn.edge]]\nname = \"edge-1\"\nkind = \"{kind}\"\nurl = \"{url}\"\n"
        );
        Self { providers: super::read(&settings).unwrap(), asked, came }
    }

    fn control(&self) -> &Arc<dyn EdgeControl> {
        self.providers.control("level3").unwrap()
    }

    async fn purge(&self, paths: usize) -> Result<Outcomes, ProviderError> {
        let url = |n| format!("http://cdn.example.com/{n}");
        let purges: Vec<_> = (0..paths).map(|n| Purge { url: url(n), stamp: 1 }).collect();
        self.providers.get("level3").unwrap().purge("edge-1", &purges).await
    }

    async fn preload(&self) -> Result<Outcomes, ProviderError> {
        let urls = ["http://cdn.example.com/".to_owned()];
        self.providers.get("level3").unwrap().preload("edge-1", &urls).await
    }
}

const WELL: &[u8] = b"HTTP/1.1 200 OK\r\nx-pilothouse: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const FAILS: &[u8] =
    b"HTTP/1.1 500 Oops\r\nx-pilothouse: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const REFUSES: &[u8] = b"HTTP/1.1 403 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const ANYBODY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
const CONFLICT: &[u8] =
    b"HTTP/1.1 409 No\r\nx-pilothouse: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const GARBAGE: &[u8] = b"\x16\x03\x01 this is no HTTP\r\n\r\n";
const CUT: &[u8] = b"HTTP/1.1 200 OK\r\nx-pilothouse: 1\r\ncontent-length: 100\r\n\r\nnot a hundred";
const SILENT: &[u8] = b"";

#[tokio::test]
async fn only_an_edges_own_yes_confirms_a_purge() {
    for kind in ["varnish", "nginx"] {
        assert_eq!(Mock::answers(kind, Some(WELL)).await.purge(2).await, Ok(vec![Ok(()); 2]), "{kind}");
        for (answer, reason) in [
            (FAILS, "it answered 500"),
            (CONFLICT, "it answered 409"),
            (REFUSES, "it refuses this server's address or key"),
            (ANYBODY, "it is not set up as an edge"),
            (GARBAGE, "the connection broke"),
            (CUT, "the connection broke"),
            (SILENT, "the connection broke"),
        ] {
            let mock = Mock::answers(kind, Some(answer)).await;
            let outcomes = mock.purge(2).await.unwrap_or_else(|error| vec![Err(error); 2]);
            let expected = ProviderError::Unavailable(reason.into());
            assert_eq!(outcomes, vec![Err(expected); 2], "{kind}");
        }
    }
}

#[tokio::test]
async fn a_session_is_what_the_edge_says_and_nothing_else() {
    for kind in ["varnish", "nginx"] {
        let well = Mock::answers(kind, Some(WELL)).await;
        assert_eq!(well.control().hello("edge-1", 7, 1).await, Ok(Hello::Remembers));
        assert_eq!(well.control().grant("edge-1", 7).await, Ok(true));
        assert_eq!(well.control().renew("edge-1", 7).await, Ok(true));
        let conflict = Mock::answers(kind, Some(CONFLICT)).await;
        assert_eq!(conflict.control().grant("edge-1", 7).await, Ok(false));
        assert_eq!(conflict.control().renew("edge-1", 7).await, Ok(false));
        let hello = conflict.control().hello("edge-1", 7, 1).await.unwrap_err();
        assert!(hello.may_be_retried(), "a conflict that names no session: {hello}");
        let later: &[u8] = b"HTTP/1.1 409 No\r\nx-pilothouse: 1\r\nx-pilothouse-session: 9\r\n\
            content-length: 0\r\nconnection: close\r\n\r\n";
        let later = Mock::answers(kind, Some(later)).await;
        assert_eq!(later.control().hello("edge-1", 7, 1).await, Ok(Hello::Later(9)));
        for answer in [FAILS, REFUSES, ANYBODY, GARBAGE, CUT, SILENT] {
            let mock = Mock::answers(kind, Some(answer)).await;
            for error in [
                mock.control().hello("edge-1", 7, 1).await.unwrap_err(),
                mock.control().grant("edge-1", 7).await.unwrap_err(),
                mock.control().renew("edge-1", 7).await.unwrap_err(),
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
async fn a_preload_is_confirmed_only_by_what_is_cached() {
    for kind in ["varnish", "nginx"] {
        let hit: &[u8] = b"HTTP/1.1 200 OK\r\nx-cache: HIT\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        assert_eq!(Mock::answers(kind, Some(hit)).await.preload().await, Ok(vec![Ok(())]));
        let miss: &[u8] =
            b"HTTP/1.1 200 OK\r\nx-cache: MISS\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let pass: &[u8] =
            b"HTTP/1.1 200 OK\r\nx-cache: PASS\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        for (answer, is_final) in
            [(miss, true), (ANYBODY, true), (FAILS, true), (pass, false), (GARBAGE, false), (SILENT, false)]
        {
            let outcome = Mock::answers(kind, Some(answer)).await.preload().await.unwrap().remove(0);
            assert_eq!(outcome.unwrap_err().may_be_retried(), !is_final, "{kind}");
        }
    }
}

#[tokio::test]
async fn an_edge_that_does_not_answer_is_given_up() {
    for kind in ["varnish", "nginx"] {
        let mock = Mock::answers(kind, None).await;
        let came = mock.came.clone();
        let clock = async move {
            // The connection stands: now the time may run.
            came.notified().await;
            tokio::time::pause();
        };
        let (purged, ()) = tokio::join!(mock.purge(1), clock);
        let outcome = purged.unwrap_or_else(|error| vec![Err(error)]).remove(0);
        tokio::time::resume();
        assert_eq!(outcome, Err(ProviderError::Unavailable("no answer within 10 s".into())), "{kind}");
    }
}

#[tokio::test]
async fn an_edge_that_cannot_be_reached_is_not_tried_a_thousand_times() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = format!(
        "[[cdn]]\nname = \"level3\"\nkind = \"edges\"\n\
         [[cdn.edge]]\nname = \"edge-1\"\nkind = \"varnish\"\nurl = \"http://{gone}\"\n"
    );
    let mock =
        Mock { providers: super::read(&settings).unwrap(), asked: Arc::default(), came: Arc::default() };
    let begun = std::time::Instant::now();
    assert_eq!(mock.purge(1000).await, Err(ProviderError::Unavailable("it cannot be reached".into())));
    assert!(begun.elapsed() < Duration::from_secs(10));
    // A thousand on nginx are one request.
    let nginx = Mock::answers("nginx", Some(FAILS)).await;
    assert!(nginx.purge(1000).await.is_err());
    assert_eq!(nginx.asked.load(Ordering::SeqCst), 1);
}
