//! Cache target of a URL: the host and request URI under which an edge caches it.

use std::fmt::Write as _;

use pilothouse_core::ports::ProviderError;
use url::{Position, Url};

/// Punctuation that needs no escape anywhere in a URI (RFC 3986, 2.3); letters and digits do not, either.
pub(crate) const UNRESERVED_PUNCTUATION: &str = "-._~";
/// Characters that some clients send as they are and others escaped. The normal form has them escaped.
pub(crate) const UNUSUAL: &str = "\"'<>[\\]^`{|}";

/// Host and request URI of a URL.
pub(crate) struct Target {
    /// Lower-case host without the port and without a dot at its end; international names in Punycode.
    pub(crate) host: String,
    /// Path and query as browsers send them.
    pub(crate) uri: String,
}

impl Target {
    pub(crate) fn new(url: &str) -> Result<Self, ProviderError> {
        let parsed = Url::parse(url).ok();
        let target = parsed.as_ref().and_then(|url| {
            let uri = url[Position::BeforePath..Position::AfterQuery].to_owned();
            let host = url.host_str()?;
            Some(Self { host: host.strip_suffix('.').unwrap_or(host).to_owned(), uri })
        });
        target.ok_or_else(|| ProviderError::Refused("not a URL with a host".to_owned()))
    }

    /// Normal form of the URI, which the edges' configuration makes part of the cache key: escapes in upper case, unreserved
    /// characters not escaped, unusual ones escaped. Dot segments were removed when the URL was parsed; edges do not cache URLs that have them.
    pub(crate) fn normal_uri(&self) -> String {
        let mut normal = String::with_capacity(self.uri.len());
        let mut rest = self.uri.as_str();
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if let Some(digits) = (c == '%').then(|| escape_digits(rest)).flatten() {
                rest = &rest[2..];
                match u8::from_str_radix(digits, 16).map(char::from) {
                    Ok(c) if c.is_ascii_alphanumeric() || UNRESERVED_PUNCTUATION.contains(c) => {
                        normal.push(c);
                    }
                    _ => normal.extend(['%'].into_iter().chain(digits.to_ascii_uppercase().chars())),
                }
            } else if UNUSUAL.contains(c) {
                // Writing to a string cannot fail.
                let _ = write!(normal, "%{:02X}", u32::from(c));
            } else {
                normal.push(c);
            }
        }
        normal
    }

    /// Whether every `%` of the URI begins an escape. Edges do not cache other URIs.
    pub(crate) fn is_cacheable(&self) -> bool {
        self.uri.split('%').skip(1).all(|rest| escape_digits(rest).is_some())
    }
}

/// The two hexadecimal digits with which a text behind a `%` begins.
fn escape_digits(rest: &str) -> Option<&str> {
    rest.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_parsed_as_browsers_do() {
        for (url, host, uri) in [
            ("HTTP://A.test:80", "a.test", "/"),
            ("http://A.test./x", "a.test", "/x"),
            ("http://中国.test/", "xn--fiqs8s.test", "/"),
            ("https://a.test/更?q=1&r=%4c", "a.test", "/%E6%9B%B4?q=1&r=%4c"),
            ("http://a.test/a/../b \"", "a.test", "/b%20%22"),
        ] {
            let target = Target::new(url).unwrap();
            assert_eq!((target.host.as_str(), target.uri.as_str()), (host, uri), "{url}");
        }
    }

    #[test]
    fn all_spellings_of_a_url_have_one_normal_form() {
        for (uri, normal) in [
            ("/a%7cb|c", "/a%7Cb%7Cc"),
            ("/%41%7e%2d%5f/%2f", "/A~-_/%2F"),
            ("/a/%2E%2e/./b/.", "/b/"),
            ("/?a[]='%27'&b=%2e%2E/..", "/?a%5B%5D=%27%27%27&b=../.."),
            ("/%25%34%31%2541", "/%2541%2541"),
            ("/更%", "/%E6%9B%B4%"),
            ("/%4/%zz", "/%4/%zz"),
        ] {
            let target = Target::new(&format!("http://a.test{uri}")).unwrap();
            assert_eq!(target.normal_uri(), normal, "{uri}");
            assert_eq!(target.is_cacheable(), !uri.ends_with('%') && !uri.ends_with('z'), "{uri}");
        }
    }
}
