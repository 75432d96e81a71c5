//! Purges on an edge: single URLs, URL prefixes, whole hosts and tags, in the forms that Varnish and nginx take.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use pilothouse_core::ports::{Operation, ProviderError, Purge};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};

use crate::EdgeKind;
use crate::edge_client::{EdgeClient, EdgeRequest, MATCH, TAGS, header_value, unreachable};
use crate::target::Target;

/// Time-out of a purge. On a Varnish that is fetching the same URL, the purge waits for the origin's response.
const PURGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most concurrent purges on one Varnish.
const CONCURRENT_PURGES: usize = 16;
/// Wait between the two purges of a prefix or a tag: longer than any fetch in Varnish takes from its check for purges to the
/// insertion into the cache.
const REPEAT_INTERVAL: Duration = Duration::from_millis(250);

/// Outcome of each URL of a call, in the order of the call.
pub(crate) type Outcomes = Vec<Result<(), ProviderError>>;

/// Scope of a purge within its host.
enum Scope {
    Url(String),
    Prefix(String),
    Host,
    Tag(String),
}

/// Scheme of a tag of a host: `tag://HOST/TAG`.
const TAG: &str = "tag://";

/// Splits a purge into host and scope: a `*` at the end of the URL stands for a prefix, directly after the first slash
/// for the whole host. `tag://HOST/TAG` is a tag.
fn scope(purge: &Purge) -> Result<(String, Scope), ProviderError> {
    if let Some((host, tag)) = purge.url.strip_prefix(TAG).and_then(|rest| rest.split_once('/')) {
        return Ok((host.to_owned(), Scope::Tag(tag.to_owned())));
    }
    let Some(prefix) = purge.url.strip_suffix('*') else {
        let target = Target::new(&purge.url)?;
        return Ok((target.host.clone(), Scope::Url(target.normal_uri())));
    };
    // An escape that the prefix cuts may be of a character that the normal form does not escape.
    let cut = prefix.char_indices().rev().take(2).find(|(_, c)| *c == '%').map_or(prefix.len(), |(at, _)| at);
    let target = Target::new(&prefix[..cut])?;
    let uri = target.normal_uri();
    Ok((target.host, if uri == "/" { Scope::Host } else { Scope::Prefix(uri) }))
}

/// Purges on one edge; the outcomes are in the order of the purges.
pub(crate) async fn purge(edge: &EdgeClient, purges: &[Purge]) -> Result<Outcomes, ProviderError> {
    match edge.kind() {
        EdgeKind::Varnish => purge_varnish(edge, purges).await,
        EdgeKind::Nginx => with_timeout(purge_nginx(edge, purges)).await,
    }
}

/// Sends all purges in one request, a line each.
async fn purge_nginx(edge: &EdgeClient, purges: &[Purge]) -> Result<Outcomes, ProviderError> {
    let mut lines = String::new();
    let mut outcomes = Vec::with_capacity(purges.len());
    for purge in purges {
        outcomes.push(scope(purge).and_then(|(host, scope)| {
            let (what, uri) = match &scope {
                Scope::Url(uri) => ("url", uri.as_str()),
                Scope::Prefix(uri) => ("prefix", uri.as_str()),
                Scope::Host => ("host", ""),
                Scope::Tag(_) => {
                    let provider = edge.name().to_owned();
                    return Err(ProviderError::Unsupported {
                        provider,
                        operation: Operation::PurgeTags.as_str(),
                    });
                }
            };
            for part in [what, " ", &purge.stamp.to_string(), " ", &host, " ", uri, "\n"] {
                lines.push_str(part);
            }
            Ok(())
        }));
    }
    if !lines.is_empty() {
        let request = EdgeRequest { body: lines, ..EdgeRequest::new(Method::POST, "/_pilothouse", "purge") };
        check_confirmed(edge.control(request).await?.0)?;
    }
    Ok(outcomes)
}

/// Sends one request for each purge, several at a time.
async fn purge_varnish(edge: &EdgeClient, purges: &[Purge]) -> Result<Outcomes, ProviderError> {
    let numbered =
        |(n, purge)| async move { (n, with_timeout(purge_one_varnish(edge, purge)).await) }.boxed();
    let requests: Vec<_> = purges.iter().enumerate().map(numbered).collect();
    let mut requests = stream::iter(requests).buffer_unordered(CONCURRENT_PURGES);
    let mut outcomes = vec![Ok(()); purges.len()];
    while let Some((n, outcome)) = requests.next().await {
        // An unreachable edge fails the whole call: trying the other URLs would wait for as many time-outs.
        if outcome == Err(unreachable()) {
            return Err(unreachable());
        }
        outcomes[n] = outcome;
    }
    Ok(outcomes)
}

async fn purge_one_varnish(edge: &EdgeClient, purge: &Purge) -> Result<(), ProviderError> {
    let (host, scope) = scope(purge)?;
    match scope {
        Scope::Url(uri) => send_purge(edge, "purge", &host, &uri, None).await,
        Scope::Host => send_purge(edge, "host", &host, "/", None).await,
        Scope::Prefix(uri) => {
            send_twice(edge, "ban", &host, (MATCH, header_value(&prefix_pattern(&uri))?)).await
        }
        Scope::Tag(tag) => send_twice(edge, "tag", &host, (TAGS, header_value(&tag)?)).await,
    }
}

/// Sends a purge of several objects twice: the first does not affect one that is being inserted into the cache at this moment.
async fn send_twice(
    edge: &EdgeClient,
    verb: &'static str,
    host: &str,
    what: (HeaderName, HeaderValue),
) -> Result<(), ProviderError> {
    send_purge(edge, verb, host, "/", Some(what.clone())).await?;
    tokio::time::sleep(REPEAT_INTERVAL).await;
    send_purge(edge, verb, host, "/", Some(what)).await
}

async fn send_purge(
    edge: &EdgeClient,
    verb: &'static str,
    host: &str,
    uri: &str,
    what: Option<(HeaderName, HeaderValue)>,
) -> Result<(), ProviderError> {
    let method = Method::from_bytes(b"PURGE").unwrap_or(Method::POST);
    let headers = what.into_iter().collect();
    let request = EdgeRequest { host: Some(host), headers, ..EdgeRequest::new(method, uri, verb) };
    check_confirmed(edge.control(request).await?.0)
}

/// Builds a regular expression for URIs with this prefix. Characters that Varnish's own syntax would interpret are
/// replaced by `.`, so it may match a few more URIs.
fn prefix_pattern(uri: &str) -> String {
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

fn check_confirmed(status: StatusCode) -> Result<(), ProviderError> {
    match status.as_u16() {
        200 => Ok(()),
        400 => Err(ProviderError::Refused("the edge rejected the request as invalid".to_owned())),
        status => Err(ProviderError::Unavailable(format!("the edge answered {status}"))),
    }
}

async fn with_timeout<T>(
    request: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    let timed_out = || {
        let reason = format!("the edge did not answer within {} s", PURGE_TIMEOUT.as_secs());
        Err(ProviderError::Unavailable(reason))
    };
    tokio::time::timeout(PURGE_TIMEOUT, request).await.unwrap_or_else(|_| timed_out())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailing_star_purges_a_prefix_or_the_whole_host() {
        let scope = |url: &str| scope(&Purge { url: url.to_owned(), stamp: 1 }).unwrap().1;
        assert!(matches!(scope("http://a.test/*"), Scope::Host));
        assert!(matches!(scope("http://a.test/i*"), Scope::Prefix(uri) if uri == "/i"));
        assert!(matches!(scope("http://a.test/i"), Scope::Url(uri) if uri == "/i"));
        assert!(matches!(scope("http://a.test/%69%2f"), Scope::Url(uri) if uri == "/i%2F"));
        assert!(matches!(scope("http://a.test/i%4*"), Scope::Prefix(uri) if uri == "/i"));
        assert!(matches!(scope("http://a.test/i%*"), Scope::Prefix(uri) if uri == "/i"));
        assert!(matches!(scope("http://a.test/i%2f*"), Scope::Prefix(uri) if uri == "/i%2F"));
        assert!(matches!(scope("tag://a.test/i/1*"), Scope::Tag(tag) if tag == "i/1*"));
    }

    #[test]
    fn a_prefix_pattern_escapes_special_characters() {
        assert_eq!(prefix_pattern("/a.b?c=(d)[e]\\"), "^/a[.]b[?]c=[(]d[)].e..");
    }
}
