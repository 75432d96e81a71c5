//! HTTP client of a vendor's API: time-outs, a limit of the answer, and whether a request that failed may have been done.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
#[cfg(any(feature = "alibaba", feature = "cloudfront", feature = "tencent"))]
use futures_util::{StreamExt as _, stream};
#[cfg(any(feature = "alibaba", feature = "cloudfront", feature = "tencent"))]
use pilothouse_core::ports::LogContent;
use pilothouse_core::ports::ProviderError;
use pilothouse_core::{Error, Result};
use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};

#[cfg(any(feature = "alibaba", feature = "cloudfront", feature = "tencent"))]
use super::of_reading;

/// Time-out of opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time-out of a whole call: less than the time after which callers drop it.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// Time-out of a file as a whole. The caller gives up one that stands still.
#[cfg(any(feature = "alibaba", feature = "cloudfront", feature = "tencent"))]
const FILE_TIMEOUT: Duration = Duration::from_hours(1);
/// Limit of an answer. The largest are pages of a thousand rows.
const MAX_ANSWER: usize = 16 << 20;
/// Difference of the clocks from which one is told of: the least that a vendor tolerates.
const CLOCK_TOLERANCE: i64 = 300;

/// Request to a vendor. Its debug output has neither headers nor body, which may hold credentials.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: String,
    /// Headers besides `Host`, by names in lower case.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.url.split('?').next();
        let mut shown = formatter.debug_struct("Request");
        shown.field("method", &self.method).field("url", &path).finish_non_exhaustive()
    }
}

/// Answer of a vendor, with whatever status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header's value; `None` if it is missing or no text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Pause that the answer asks for: of `header`, in units of `unit`.
    #[cfg(any(feature = "alibaba", feature = "cloudflare", test))]
    pub(crate) fn pause(&self, header: &str, unit: Duration) -> Option<Duration> {
        let count: u32 = self.header(header)?.trim().parse().ok()?;
        Some(unit * count)
    }

    /// Failure of the credentials, with how far the clock of this server is off, which looks the same to a vendor.
    pub(crate) fn credentials(&self, mut reason: String, now: DateTime<Utc>) -> ProviderError {
        let date = self.header(DATE.as_str());
        let theirs = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        let ahead = theirs.map_or(0, |theirs| now.signed_duration_since(theirs).num_seconds());
        if ahead.abs() >= CLOCK_TOLERANCE {
            let side = if ahead > 0 { "ahead of" } else { "behind" };
            reason = format!("{reason}; this server's clock is {} s {side} the vendor's", ahead.abs());
        }
        ProviderError::Credentials(reason)
    }
}

/// HTTP client of one CDN's vendor.
#[derive(Clone, Debug)]
pub(crate) struct VendorClient {
    http: Client,
    /// Name of the CDN, for log lines.
    cdn: String,
}

impl VendorClient {
    pub(crate) fn new(cdn: &str) -> Result<Self> {
        // Fails where the program has chosen a TLS provider itself, which then counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            // A request is signed for one host.
            .redirect(Policy::none())
            .http1_only()
            .build()
            .map_err(|error| Error::Unavailable(format!("no HTTP client: {error}")))?;
        Ok(Self { http, cdn: cdn.to_owned() })
    }

    /// Sends a request once and reads the answer, whatever its status is.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer, ProviderError> {
        let Request { method, url, headers, body } = request;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let mut value = HeaderValue::try_from(value).map_err(|_| {
                ProviderError::Credentials("they have characters that HTTP does not allow".to_owned())
            })?;
            // Signatures and tokens are shown in no debug output.
            value.set_sensitive(name == "authorization");
            map.insert(HeaderName::from_static(name), value);
        }
        map.insert(USER_AGENT, HeaderValue::from_static(concat!("pilothouse/", env!("CARGO_PKG_VERSION"))));
        let sent = self.http.request(method, url).headers(map).body(body).send().await;
        let mut response = sent.map_err(|error| self.transport_fault(error))?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport_fault(error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                let reason = format!("the vendor's answer is larger than {MAX_ANSWER} bytes");
                return Err(ProviderError::Ambiguous(reason));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body })
    }

    /// Opens a file by its link, which holds what credentials it needs.
    #[cfg(any(feature = "alibaba", feature = "cloudfront", feature = "tencent"))]
    pub(crate) async fn file(&self, link: &str) -> Result<LogContent, ProviderError> {
        let agent = concat!("pilothouse/", env!("CARGO_PKG_VERSION"));
        let sent = self.http.get(link).header(USER_AGENT, agent).timeout(FILE_TIMEOUT).send().await;
        let failed = |error| of_reading(self.transport_fault(error));
        let response = sent.map_err(failed)?;
        let status = response.status().as_u16();
        if status != 200 {
            let reason = format!("the vendor answered {status} for a file of its logs");
            return Err(ProviderError::Unavailable(reason));
        }
        let next = |(client, mut response): (Self, reqwest::Response)| async move {
            match response.chunk().await {
                Ok(chunk) => Ok(chunk.map(|chunk| (chunk.to_vec(), (client, response)))),
                Err(error) => Err(of_reading(client.transport_fault(error))),
            }
        };
        Ok(stream::try_unfold((self.clone(), response), next).boxed())
    }

    /// Logs a transport failure with its causes, and converts it to a reason without addresses.
    fn transport_fault(&self, error: reqwest::Error) -> ProviderError {
        // The URL may hold a signature.
        let error = error.without_url();
        let cause = &error as &(dyn StdError + 'static);
        tracing::warn!(cdn = self.cdn, error = cause, "vendor request failed");
        if error.is_connect() || error.is_builder() {
            return ProviderError::Unavailable("the vendor cannot be reached".to_owned());
        }
        let reason = if error.is_timeout() {
            "the vendor did not answer in time"
        } else {
            "the connection to the vendor was lost"
        };
        ProviderError::Ambiguous(reason.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&'static str, &'static str)]) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        Answer { status: 403, headers, body: Vec::new() }
    }

    #[test]
    fn refused_credentials_say_how_far_the_clock_is_off() {
        let answer = answer(&[("date", "Sat, 25 Jul 2026 17:20:00 GMT")]);
        for (now, expected) in [
            ("2026-07-25T17:24:59Z", "refused"),
            ("2026-07-25T17:30:00Z", "refused; this server's clock is 600 s ahead of the vendor's"),
            ("2026-07-25T17:10:00Z", "refused; this server's clock is 600 s behind the vendor's"),
        ] {
            let error = answer.credentials("refused".to_owned(), now.parse().unwrap());
            assert_eq!(error, ProviderError::Credentials(expected.to_owned()));
        }
    }

    #[test]
    fn a_pause_is_read_in_the_vendor_s_unit() {
        let answer = answer(&[("retry-after", "30"), ("x-acs-retry-after", "soon")]);
        assert_eq!(answer.pause("retry-after", Duration::from_secs(1)), Some(Duration::from_secs(30)));
        assert_eq!(answer.pause("x-acs-retry-after", Duration::from_millis(1)), None);
    }

    #[test]
    fn a_request_shows_neither_credentials_nor_query_nor_body() {
        let request = Request {
            method: Method::POST,
            url: "https://a.test/p?signature=1".to_owned(),
            headers: vec![("authorization", "Bearer hunter2".to_owned())],
            body: b"hunter2".to_vec(),
        };
        assert_eq!(format!("{request:?}"), "Request { method: POST, url: Some(\"https://a.test/p\"), .. }");
    }

    #[tokio::test]
    async fn a_vendor_that_does_not_listen_was_sent_nothing() {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let request = Request {
            method: Method::GET,
            url: format!("http://{unused}/"),
            headers: Vec::new(),
            body: Vec::new(),
        };
        let error = VendorClient::new("a").unwrap().send(request).await.unwrap_err();
        assert!(matches!(error, ProviderError::Unavailable(_)), "{error:?}");
    }

    #[tokio::test]
    async fn an_answer_that_is_lost_or_endless_is_ambiguous() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        for head in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", "HTTP/1.1 200 OK\r\n\r\n"] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            let serve = async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(head.as_bytes()).await;
                // Of the endless one, more than the client accepts.
                let chunk = vec![b' '; if head.ends_with("\n\r\n") { MAX_ANSWER + 1 } else { 0 }];
                let _ = stream.write_all(&chunk).await;
            };
            let request = Request { method: Method::POST, url, headers: Vec::new(), body: b"x".to_vec() };
            let client = VendorClient::new("a").unwrap();
            let ((), answer) = tokio::join!(serve, client.send(request));
            assert!(matches!(answer, Err(ProviderError::Ambiguous(_))), "{head}");
        }
    }
}
