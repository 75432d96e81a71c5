//! How one edge is spoken to: see the templates in `edge`.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use pilothouse_core::Result;
use pilothouse_core::ports::{Hello, Outcomes, ProviderError, Purge};
use reqwest::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode};
use url::{Position, Url};

use crate::{EdgeKind, EdgeSettings};

/// What is asked; in answers that it was understood.
const VERB: HeaderName = HeaderName::from_static("x-pilothouse");
const KEY: HeaderName = HeaderName::from_static("x-pilothouse-key");
const SESSION: HeaderName = HeaderName::from_static("x-pilothouse-session");
const EPOCH: HeaderName = HeaderName::from_static("x-pilothouse-epoch");
const LEASE: HeaderName = HeaderName::from_static("x-pilothouse-lease");
const FORGOT: HeaderName = HeaderName::from_static("x-pilothouse-forgot");
const MATCH: HeaderName = HeaderName::from_static("x-pilothouse-match");

/// How long an edge answers from its cache after it was last heard.
const LEASE_SECONDS: &str = "3s";
/// How long a purge may take. On a Varnish that is fetching the same URL it takes until the origin answers.
const PURGE: Duration = Duration::from_secs(10);
/// How many purges are under way on one Varnish.
const PURGES: usize = 16;
/// What is longer than any fetch takes from its check of what was purged to its place in Varnish's cache.
const SETTLED: Duration = Duration::from_millis(250);

/// One edge.
#[derive(Debug)]
pub(crate) struct Wire {
    http: Client,
    kind: EdgeKind,
    /// Its URL without a slash at the end.
    base: String,
    key: Option<HeaderValue>,
}

/// A URL as browsers ask for it.
pub(crate) struct Target {
    pub(crate) host: String,
    /// Path and query.
    pub(crate) uri: String,
}

impl Target {
    pub(crate) fn new(url: &str) -> Result<Self, ProviderError> {
        let parsed = Url::parse(url).ok();
        let target = parsed.as_ref().and_then(|url| {
            let uri = url[Position::BeforePath..Position::AfterQuery].to_owned();
            Some(Self { host: url.host_str()?.to_owned(), uri })
        });
        target.ok_or_else(|| ProviderError::Refused("it is no URL that a browser can ask for".to_owned()))
    }
}

/// What of a host is purged.
enum Scope {
    Url(String),
    Prefix(String),
    Host,
}

fn scope(purge: &Purge) -> Result<(String, Scope), ProviderError> {
    let Some(prefix) = purge.url.strip_suffix('*') else {
        let Target { host, uri } = Target::new(&purge.url)?;
        return Ok((host, Scope::Url(uri)));
    };
    let Target { host, uri } = Target::new(prefix)?;
    Ok((host, if uri == "/" { Scope::Host } else { Scope::Prefix(uri) }))
}

impl Wire {
    pub(crate) fn new(http: Client, settings: &EdgeSettings) -> Result<Self> {
        let mut key = None;
        if let Some(text) = settings.read_key()? {
            let mut value = HeaderValue::try_from(text)
                .map_err(|_| pilothouse_core::Error::invalid("cdn.edge.key", "cannot be sent"))?;
            value.set_sensitive(true);
            key = Some(value);
        }
        Ok(Self { http, kind: settings.kind, base: settings.url.trim_end_matches('/').to_owned(), key })
    }

    pub(crate) fn kind(&self) -> EdgeKind {
        self.kind
    }

    /// Asks for something at a URI of a host, and waits for the head of the answer.
    pub(crate) async fn send(
        &self,
        method: Method,
        (host, uri): (Option<&str>, &str),
        verb: &'static str,
        others: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        body: String,
    ) -> Result<Response, ProviderError> {
        let mut headers: HeaderMap = others.into_iter().collect();
        headers.insert(VERB, HeaderValue::from_static(verb));
        if let Some(key) = &self.key {
            headers.insert(KEY, key.clone());
        }
        if let Some(host) = host {
            headers.insert(HOST, value(host)?);
        }
        let request = self.http.request(method, format!("{}{uri}", self.base)).headers(headers);
        let request = if body.is_empty() { request } else { request.body(body) };
        request.send().await.map_err(|error| unavailable(&error))
    }

    /// The same for what only the edge itself answers: its status, and its headers.
    async fn control(
        &self,
        method: Method,
        at: (Option<&str>, &str),
        verb: &'static str,
        others: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        body: String,
    ) -> Result<(StatusCode, HeaderMap), ProviderError> {
        let mut answer = self.send(method, at, verb, others, body).await?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        // Read to its end, so that the connection can be used again.
        answer.bytes().await.map_err(|error| unavailable(&error))?;
        if status == StatusCode::FORBIDDEN {
            return Err(ProviderError::Unavailable("it refuses this server's address or key".to_owned()));
        }
        // Anything may answer 200 to anything.
        if !headers.contains_key(VERB) {
            return Err(ProviderError::Unavailable("it is not set up as an edge".to_owned()));
        }
        Ok((status, headers))
    }

    /// Asks for something about a session.
    async fn session(
        &self,
        verb: &'static str,
        session: i64,
        other: (HeaderName, HeaderValue),
    ) -> Result<(StatusCode, HeaderMap), ProviderError> {
        let uri = match self.kind {
            EdgeKind::Varnish => "/",
            EdgeKind::Nginx => "/_pilothouse",
        };
        let others = [(SESSION, HeaderValue::from(session)), other];
        let (status, headers) = self.control(Method::POST, (None, uri), verb, others, String::new()).await?;
        match status {
            StatusCode::OK | StatusCode::CONFLICT => Ok((status, headers)),
            status => Err(ProviderError::Unavailable(format!("it answered {}", status.as_u16()))),
        }
    }

    pub(crate) async fn hello(&self, session: i64, epoch: i64) -> Result<Hello, ProviderError> {
        let (status, headers) = self.session("hello", session, (EPOCH, HeaderValue::from(epoch))).await?;
        if status == StatusCode::OK {
            return Ok(if headers.contains_key(FORGOT) { Hello::Forgot } else { Hello::Remembers });
        }
        let later = headers.get(SESSION).and_then(|value| value.to_str().ok()?.parse().ok());
        later.map(Hello::Later).ok_or_else(|| ProviderError::Unavailable("it answered 409".to_owned()))
    }

    /// Grants or renews a lease; whether it was.
    pub(crate) async fn lease(&self, verb: &'static str, session: i64) -> Result<bool, ProviderError> {
        let lease = (LEASE, HeaderValue::from_static(LEASE_SECONDS));
        Ok(self.session(verb, session, lease).await?.0 == StatusCode::OK)
    }

    pub(crate) async fn purge(&self, purges: &[Purge]) -> Result<Outcomes, ProviderError> {
        match self.kind {
            EdgeKind::Varnish => self.purge_varnish(purges).await,
            EdgeKind::Nginx => in_time(self.purge_nginx(purges)).await,
        }
    }

    /// All at once, a line each.
    async fn purge_nginx(&self, purges: &[Purge]) -> Result<Outcomes, ProviderError> {
        let (mut lines, mut outcomes) = (String::new(), Vec::with_capacity(purges.len()));
        for purge in purges {
            outcomes.push(scope(purge).map(|(host, scope)| {
                let (what, uri) = match &scope {
                    Scope::Url(uri) => ("url", uri.as_str()),
                    Scope::Prefix(uri) => ("prefix", uri.as_str()),
                    Scope::Host => ("host", ""),
                };
                for part in [what, " ", &purge.stamp.to_string(), " ", &host, " ", uri, "\n"] {
                    lines.push_str(part);
                }
            }));
        }
        if !lines.is_empty() {
            let at = (None, "/_pilothouse");
            confirmed(self.control(Method::POST, at, "purge", [], lines).await?.0)?;
        }
        Ok(outcomes)
    }

    /// One request each.
    async fn purge_varnish(&self, purges: &[Purge]) -> Result<Outcomes, ProviderError> {
        let ask = |(n, purge)| async move { (n, in_time(self.purge_varnish_one(purge)).await) }.boxed();
        let all: Vec<_> = purges.iter().enumerate().map(ask).collect();
        let mut all = stream::iter(all).buffer_unordered(PURGES);
        let mut outcomes = vec![Ok(()); purges.len()];
        while let Some((n, outcome)) = all.next().await {
            // An edge that cannot be reached once is not tried a thousand times.
            if outcome == Err(unreachable()) {
                return Err(unreachable());
            }
            outcomes[n] = outcome;
        }
        Ok(outcomes)
    }

    async fn purge_varnish_one(&self, purge: &Purge) -> Result<(), ProviderError> {
        let (host, scope) = scope(purge)?;
        let ask = async |verb, uri: &str, others: Option<(HeaderName, HeaderValue)>| {
            let method = Method::from_bytes(b"PURGE").unwrap_or(Method::POST);
            confirmed(self.control(method, (Some(&host), uri), verb, others, String::new()).await?.0)
        };
        match scope {
            Scope::Url(uri) => ask("purge", &uri, None).await,
            Scope::Host => ask("host", "/", None).await,
            Scope::Prefix(uri) => {
                let header = (MATCH, value(&pattern(&uri))?);
                ask("ban", "/", Some(header.clone())).await?;
                // A ban does not see what is on its way into the cache at this moment.
                tokio::time::sleep(SETTLED).await;
                ask("ban", "/", Some(header)).await
            }
        }
    }
}

/// A regular expression for what begins with a URI; without the marks that mean something to Varnish itself, in whose place
/// any one character may stand.
fn pattern(uri: &str) -> String {
    let mut pattern = String::from("^");
    for c in uri.chars() {
        match c {
            '.' | '?' | '*' | '+' | '(' | ')' | '$' | '|' | '{' | '}' => pattern.extend(['[', c, ']']),
            '"' | '\\' | '[' | ']' | '^' => pattern.push('.'),
            c => pattern.push(c),
        }
    }
    pattern
}

fn value(text: &str) -> Result<HeaderValue, ProviderError> {
    HeaderValue::from_str(text).map_err(|_| ProviderError::Refused("it cannot be asked for".to_owned()))
}

fn confirmed(status: StatusCode) -> Result<(), ProviderError> {
    match status.as_u16() {
        200 => Ok(()),
        400 => Err(ProviderError::Refused("the edge does not understand it".to_owned())),
        status => Err(ProviderError::Unavailable(format!("it answered {status}"))),
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, ProviderError>>) -> Result<T, ProviderError> {
    let late = || ProviderError::Unavailable(format!("no answer within {} s", PURGE.as_secs()));
    tokio::time::timeout(PURGE, asked).await.unwrap_or_else(|_| Err(late()))
}

fn unreachable() -> ProviderError {
    ProviderError::Unavailable("it cannot be reached".to_owned())
}

/// Without the address, which customers are not shown.
pub(crate) fn unavailable(error: &reqwest::Error) -> ProviderError {
    if error.is_connect() {
        return unreachable();
    }
    let reason = if error.is_timeout() { "no answer in time" } else { "the connection broke" };
    ProviderError::Unavailable(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_purged_as_browsers_ask_for_them() {
        for (url, host, uri) in [
            ("HTTP://A.test:80", "a.test", "/"),
            ("https://a.test/更?q=1&r=%4c", "a.test", "/%E6%9B%B4?q=1&r=%4c"),
            ("http://a.test/a/../b \"", "a.test", "/b%20%22"),
        ] {
            let target = Target::new(url).unwrap();
            assert_eq!((target.host.as_str(), target.uri.as_str()), (host, uri), "{url}");
        }
    }

    #[test]
    fn a_star_means_a_prefix_or_the_host() {
        let scope = |url: &str| scope(&Purge { url: url.to_owned(), stamp: 1 }).unwrap().1;
        assert!(matches!(scope("http://a.test/*"), Scope::Host));
        assert!(matches!(scope("http://a.test/i*"), Scope::Prefix(uri) if uri == "/i"));
        assert!(matches!(scope("http://a.test/i"), Scope::Url(uri) if uri == "/i"));
    }

    #[test]
    fn a_pattern_stands_for_itself() {
        assert_eq!(pattern("/a.b?c=(d)[e]\\"), "^/a[.]b[?]c=[(]d[)].e..");
    }
}
