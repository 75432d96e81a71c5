//! Endpoint of a vendor's API: where requests go, and the host that is signed.

use std::net::IpAddr;

use pilothouse_core::{Error, Result};
use url::{Host, Url};

/// Base URL of a vendor's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Scheme, host and port without a slash at the end.
    base: String,
    /// Value of the `Host` header: with the port where it is not the scheme's.
    host: String,
}

impl Endpoint {
    /// Reads the setting `setting`. It must be `https`, or `http` on this machine, where nobody listens in: credentials of
    /// some vendors are sent as they are.
    pub(crate) fn new(setting: &'static str, text: &str) -> Result<Self> {
        let refuse = || {
            let reason = "must be https:// (http:// only for this machine), a host and an optional port";
            Error::invalid(setting, reason)
        };
        let url = Url::parse(text).map_err(|_| refuse())?;
        let is_local = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
            None => false,
        };
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        let Some(name) = url.host_str() else { return Err(refuse()) };
        if !is_plain || !(url.scheme() == "https" || (url.scheme() == "http" && is_local)) {
            return Err(refuse());
        }
        let host = url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        Ok(Self { base: format!("{}://{host}", url.scheme()), host })
    }

    #[cfg(any(feature = "alibaba", feature = "cloudfront", feature = "tencent"))]
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// URL of a link that the vendor gives without a scheme: that of the endpoint.
    #[cfg(feature = "alibaba")]
    pub(crate) fn link(&self, without_scheme: &str) -> String {
        let scheme = if self.base.starts_with("http:") { "http" } else { "https" };
        format!("{scheme}://{without_scheme}")
    }

    /// URL of a path, which begins with a slash, and a query, which may be empty.
    pub(crate) fn url(&self, path: &str, query: &str) -> String {
        if query.is_empty() { format!("{}{path}", self.base) } else { format!("{}{path}?{query}", self.base) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_a_port_only_where_it_is_not_the_scheme_s() {
        for (text, host, url) in [
            ("https://cdn.aliyuncs.com", "cdn.aliyuncs.com", "https://cdn.aliyuncs.com/?a=1"),
            ("https://cdn.aliyuncs.com:443/", "cdn.aliyuncs.com", "https://cdn.aliyuncs.com/?a=1"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080", "http://127.0.0.1:8080/?a=1"),
            ("http://[::1]:8080", "[::1]:8080", "http://[::1]:8080/?a=1"),
        ] {
            let endpoint = Endpoint::new("cdn.endpoint", text).unwrap();
            assert_eq!((endpoint.host(), endpoint.url("/", "a=1").as_str()), (host, url));
        }
    }

    #[test]
    fn credentials_are_sent_to_no_other_machine_in_the_clear() {
        for text in [
            "http://cdn.aliyuncs.com",
            "http://192.0.2.1",
            "ftp://127.0.0.1",
            "https://user@a.test",
            "https://a.test/path",
            "https://a.test/?query",
            "a.test",
            "",
        ] {
            let error = Endpoint::new("cdn.endpoint", text).unwrap_err().to_string();
            assert!(error.contains("cdn.endpoint") && error.contains("https://"), "{error}");
        }
    }
}
