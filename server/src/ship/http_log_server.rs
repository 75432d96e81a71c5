//! HTTP log server: posts the pieces of a log, waits, and says what happens, on the terminal and in the log.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use pilothouse_core::error_chain;
use pilothouse_log_intake::{LogServer, Notice, SendError, ShipError, ShipEvent, Unavailable};
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::response::wanted;
use super::retry::pause;
use crate::args::Ship;
use crate::authorities::trusting;
use crate::failure::Failure;

/// Time limit of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit of sending a piece and being answered: the server takes a body for as long as a slow line needs.
const TIMEOUT: Duration = Duration::from_mins(2);
/// Time for which an idle connection is kept: less than most servers keep it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Interval of looking at the log.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Attempts after which `--once` gives up: half a minute.
const ATTEMPTS_ONCE: u32 = 6;
/// Interval of showing the progress on a terminal.
const SHOW_INTERVAL: Duration = Duration::from_millis(100);

/// Server behind a URL, that takes the log of one edge.
pub(super) struct HttpLogServer {
    runtime: Handle,
    http: Client,
    /// With cdn and edge.
    url: Url,
    ended: CancellationToken,
    gives_up: bool,
    is_away: bool,
    progress: ShownProgress,
}

impl HttpLogServer {
    /// Reads the key and the authorities, and refuses a URL that cannot be a server's. Asks nothing yet.
    pub(super) fn new(options: &Ship, ended: CancellationToken) -> Result<Self, Failure> {
        let key = options.key.read_edge_key("--key")?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {key}"))
            .map_err(|_| Failure::usage("--key: must be a valid header value"))?;
        authorization.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, authorization),
            (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        ]);
        let http = Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(Policy::none())
            .user_agent(concat!("pilothouse/", env!("CARGO_PKG_VERSION")));
        let http = trusting(http, options.ca.as_deref())?;
        Ok(Self {
            runtime: Handle::current(),
            http: http.build().map_err(|error| Failure::failed("--ca", error))?,
            url: piece_url(&options.url, &options.cdn, &options.edge).map_err(Failure::usage)?,
            ended,
            gives_up: options.once,
            is_away: false,
            progress: ShownProgress::new(std::io::stderr().is_terminal()),
        })
    }

    /// Ends the progress on the terminal.
    pub(super) fn end(&mut self, is_done: bool) {
        self.progress.end(is_done);
    }

    async fn post(&self, offset: u64, gzip: Vec<u8>) -> Result<u64, SendError> {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("offset", &offset.to_string());
        let mut request = self.http.post(url);
        if !gzip.is_empty() {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let answer = request.body(gzip).send().await.map_err(no_answer)?;
        let (status, headers): (StatusCode, HeaderMap) = (answer.status(), answer.headers().clone());
        wanted(status, &headers, &answer.bytes().await.map_err(no_answer)?)
    }

    fn wait(&self, time: Duration) -> Result<(), ShipError> {
        let ended = self.ended.cancelled();
        match self.runtime.block_on(async { tokio::time::timeout(time, ended).await }) {
            Ok(()) => Err(ShipError::Stopped),
            Err(_) => Ok(()),
        }
    }
}

impl LogServer for HttpLogServer {
    fn send(&mut self, offset: u64, gzip: &[u8]) -> Result<u64, SendError> {
        let posted = self.ended.run_until_cancelled(self.post(offset, gzip.to_vec()));
        let answered = self.runtime.block_on(posted).unwrap_or(Err(SendError::Stopped));
        if self.is_away && !matches!(answered, Err(SendError::Unavailable(_) | SendError::Stopped)) {
            self.is_away = false;
            self.progress.clear();
            tracing::warn!("the server is available again");
        }
        answered
    }

    fn wait_for_server(&mut self, attempt: u32, unavailable: &Unavailable) -> Result<(), ShipError> {
        if self.gives_up && attempt > ATTEMPTS_ONCE {
            return Err(ShipError::Unavailable(unavailable.why.clone()));
        }
        if !std::mem::replace(&mut self.is_away, true) {
            self.progress.clear();
            tracing::warn!(reason = unavailable.why, "the server is not available; it is tried again");
        }
        // Without random numbers the pauses are shorter, and no less right.
        let jitter = getrandom::u32().unwrap_or_default();
        self.wait(pause(attempt, unavailable.retry_after, jitter))
    }

    fn wait_for_lines(&mut self) -> Result<(), ShipError> {
        self.wait(LOOK_INTERVAL)
    }

    fn report(&mut self, event: ShipEvent<'_>) {
        if let ShipEvent::Shipped { offset, bytes } = event {
            return self.progress.show(offset, bytes);
        }
        self.progress.clear();
        match event {
            ShipEvent::Began { offset } => tracing::debug!(offset, "a log is shipped"),
            ShipEvent::Rewinding { from, to } => {
                tracing::warn!(from, to, "the server wants what it had taken once more; it is shipped again");
            }
            ShipEvent::LeftOut { bytes } => {
                tracing::warn!(bytes, "lines of a shipped log are longer than 1 MiB and were left out");
            }
            ShipEvent::Notice(notice) => warn_of(notice),
            ShipEvent::Unreadable(error) => {
                tracing::warn!(error = error_chain(error), "a log cannot be shipped; it is tried again");
            }
            event => tracing::debug!(?event, "shipping"),
        }
    }
}

fn warn_of(notice: &Notice) {
    let error = match notice {
        Notice::Unreadable { error, .. } => Some(error as &dyn std::error::Error),
        _ => None,
    };
    if notice.is_gap() {
        tracing::warn!(error, reason = %notice, "lines of a shipped log are missing");
    } else {
        tracing::warn!(error, reason = %notice, "a shipped log is not as it was expected");
    }
}

fn no_answer(error: reqwest::Error) -> SendError {
    SendError::Unavailable(unavailable(&error.without_url()))
}

fn unavailable(error: &reqwest::Error) -> Unavailable {
    Unavailable { why: error_chain(error), retry_after: None }
}

/// URL that pieces are posted to, without their offset.
fn piece_url(server: &str, cdn: &str, edge: &str) -> Result<Url, String> {
    let refused = || format!("--url: {server:?} must be http:// or https://, a host and perhaps a path");
    let mut url = Url::parse(server).map_err(|_| refused())?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_plain {
        return Err(refused());
    }
    let path = format!("{}/level3/edge_logs", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.query_pairs_mut().append_pair("cdn", cdn).append_pair("edge", edge);
    Ok(url)
}

/// Progress on a terminal; elsewhere nothing is shown.
struct ShownProgress {
    is_terminal: bool,
    is_shown: bool,
    shown: Option<Instant>,
    bytes: u64,
    offset: u64,
}

impl ShownProgress {
    fn new(is_terminal: bool) -> Self {
        Self { is_terminal, is_shown: false, shown: None, bytes: 0, offset: 0 }
    }

    fn text(&self) -> String {
        format!("{} KiB shipped, up to offset {}", self.bytes.div_ceil(1024), self.offset)
    }

    fn show(&mut self, offset: u64, bytes: u64) {
        self.bytes += bytes;
        self.offset = offset;
        if self.is_terminal && self.shown.is_none_or(|shown| shown.elapsed() >= SHOW_INTERVAL) {
            // A terminal that went away is no reason to stop.
            let _ = write!(std::io::stderr(), "\r\x1b[K{}", self.text());
            (self.is_shown, self.shown) = (true, Some(Instant::now()));
        }
    }

    /// Removes the progress from the terminal.
    fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn end(&mut self, is_done: bool) {
        self.clear();
        if self.is_terminal && is_done {
            let _ = writeln!(std::io::stderr(), "{}", self.text());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_go_below_the_path_of_the_server() {
        for (server, expected) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/level3/edge_logs?cdn=a&edge=b+%26"),
            ("https://a.example.com/fleet/", "https://a.example.com/fleet/level3/edge_logs?cdn=a&edge=b+%26"),
        ] {
            assert_eq!(piece_url(server, "a", "b &").unwrap().as_str(), expected);
        }
        for wrong in ["a.example.com", "ftp://a", "http://a?x=1", "http://a#x", "http://key@a", "unix:/a", ""]
        {
            assert!(piece_url(wrong, "a", "b").unwrap_err().starts_with("--url: "), "{wrong}");
        }
    }
}
