//! Base URL of the routers as the client sees it, which every link begins with.

use std::convert::Infallible;
use std::fmt::{Display, Formatter};

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::uri::{Authority, Scheme};
use axum::http::{Uri, header};

use crate::plain_path::SpeltUri;
use crate::state::{ApiState, HttpSettings};

/// Base URL of the routers, without a slash at its end: the setting `public_url`, or the host that the request names with
/// the prefix that it came by. Of a request that names no host only the prefix is left, and links are relative to its host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BaseUrl(String);

impl Display for BaseUrl {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromRequestParts<ApiState> for BaseUrl {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Infallible> {
        Ok(Self::of(parts, &api.settings))
    }
}

impl BaseUrl {
    fn of(parts: &Parts, settings: &HttpSettings) -> Self {
        if let Some(url) = &settings.public_url {
            return Self(url.trim_end_matches('/').to_owned());
        }
        let prefix = nested_under(parts);
        let Some(host) = host(parts) else { return Self(prefix.to_owned()) };
        let tls = settings.tls || sent_uri(parts).scheme() == Some(&Scheme::HTTPS);
        let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
        Self(format!("{scheme}://{host}{prefix}"))
    }
}

/// Target of the request as it was sent, before a host removed the prefix.
pub(crate) fn sent_uri(parts: &Parts) -> &Uri {
    parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0)
}

/// Path that the host nests the routers under: what it removed from the target of this request. Empty at the root.
pub(crate) fn nested_under(parts: &Parts) -> &str {
    let seen = parts.extensions.get::<SpeltUri>().map_or(&parts.uri, |spelt| &spelt.0);
    sent_uri(parts).path().strip_suffix(seen.path()).unwrap_or_default()
}

/// Host and port that the client addressed. HTTP/2 and proxies put them into the target, HTTP/1.1 into the header `Host`.
fn host(parts: &Parts) -> Option<Authority> {
    let header = || parts.headers.get(header::HOST)?.to_str().ok()?.parse().ok();
    let host = sent_uri(parts).authority().cloned().or_else(header)?;
    Some(host).filter(|host| !host.as_str().contains('@'))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    /// Base URL for a request that was sent as `sent`, of which the routers see `seen`.
    fn base(settings: &HttpSettings, host: &str, sent: &str, seen: &str) -> String {
        let mut request = Request::get(seen);
        if !host.is_empty() {
            request = request.header(header::HOST, host);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        parts.extensions.insert(OriginalUri(sent.parse().unwrap()));
        BaseUrl::of(&parts, settings).to_string()
    }

    #[test]
    fn a_public_url_is_the_base_whatever_the_request_says() {
        for url in ["https://example.com/fleet", "https://example.com/fleet/"] {
            let settings = HttpSettings { public_url: Some(url.to_owned()), ..HttpSettings::default() };
            for (host, sent, seen) in [("a.com", "/fleet/x", "/x"), ("", "/x", "/x")] {
                assert_eq!(base(&settings, host, sent, seen), "https://example.com/fleet");
            }
        }
    }

    #[test]
    fn otherwise_host_and_prefix_are_those_of_the_request() {
        let (plain, tls) = (HttpSettings::default(), HttpSettings { tls: true, ..HttpSettings::default() });
        assert_eq!(base(&plain, "a.com:8080", "/level3/x?y=1", "/level3/x?y=1"), "http://a.com:8080");
        assert_eq!(base(&plain, "[::1]:8080", "/fleet/x?y=/x", "/x?y=/x"), "http://[::1]:8080/fleet");
        assert_eq!(base(&plain, "a.com", "/x/x", "/x"), "http://a.com/x");
        assert_eq!(base(&tls, "a.com", "/a/b%20c/x", "/x"), "https://a.com/a/b%20c");
        assert_eq!(base(&plain, "b.com", "https://a.com/fleet/x", "/x"), "https://a.com/fleet", "HTTP/2");
    }

    #[test]
    fn without_a_good_host_links_are_relative() {
        for bad in ["", "a b", "user@a.com", "a.com/path"] {
            assert_eq!(base(&HttpSettings::default(), bad, "/fleet/x", "/x"), "/fleet", "{bad}");
        }
    }
}
