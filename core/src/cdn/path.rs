//! The `path` of a refresh or preload: URLs joined by `|`.

use super::JobKind;
use crate::{Error, Result};

/// The most URLs in one request.
const MAX_URLS: usize = 1000;
/// The most bytes of one URL.
const MAX_URL: usize = 2048;

/// A URL that was found well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The URL as it was given.
    pub(crate) url: String,
    /// Its host in lower case.
    pub(crate) host: String,
}

impl Target {
    /// Whether everything that begins with it is meant.
    pub(crate) fn is_prefix(&self) -> bool {
        self.url.ends_with('*')
    }
}

/// Splits a `path` at its bars; a literal bar is `%7C`. A URL that is given twice is one piece of work, at the place of
/// the first.
///
/// Refuses more than 1000 URLs, and a URL of more than 2048 bytes, that is not absolute `http` or `https`, that holds
/// blanks, a user, a fragment or a port other than its scheme's, and for a preload one that ends in `*`.
pub(crate) fn parse(kind: JobKind, path: &str) -> Result<Vec<Target>> {
    let count = path.split('|').count();
    if count > MAX_URLS {
        return Err(Error::invalid("path", format!("must hold at most {MAX_URLS} URLs, not {count}")));
    }
    let mut targets: Vec<Target> = Vec::with_capacity(count);
    let mut seen = std::collections::HashSet::with_capacity(count);
    for (n, url) in path.split('|').enumerate() {
        let refuse = |reason: &str| Error::invalid("path", format!("URL {} {reason}", n + 1));
        let host = host_of(url).map_err(refuse)?;
        let target = Target { url: url.to_owned(), host };
        if kind == JobKind::Preload && target.is_prefix() {
            return Err(refuse("must not end in *: only single URLs can be preloaded"));
        }
        if seen.insert(url) {
            targets.push(target);
        }
    }
    Ok(targets)
}

/// The host of a URL in lower case, or what is wrong with it.
pub(crate) fn host_of(url: &str) -> Result<String, &'static str> {
    if url.is_empty() {
        return Err("is empty");
    }
    if url.len() > MAX_URL {
        return Err("must be at most 2048 bytes");
    }
    if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("must not hold blanks or control characters");
    }
    if url.contains('#') {
        return Err("must not hold a fragment");
    }
    let (scheme, rest) = url.split_once("://").ok_or("must begin with http:// or https://")?;
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => "80",
        "https" => "443",
        _ => return Err("must begin with http:// or https://"),
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("must not name a user");
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port == default_port => host,
        Some(_) => return Err("must not name a port other than its scheme's"),
        None => authority,
    };
    if host.is_empty() { Err("must name a host") } else { Ok(host.to_ascii_lowercase()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(path: &str) -> Vec<String> {
        parse(JobKind::Refresh, path).unwrap().into_iter().map(|target| target.url).collect()
    }

    #[test]
    fn a_path_is_split_at_its_bars() {
        assert_eq!(urls("http://a.com/1|https://a.com/2%7C3"), ["http://a.com/1", "https://a.com/2%7C3"]);
    }

    #[test]
    fn the_same_url_twice_is_one_piece_of_work() {
        assert_eq!(
            urls("http://a.com/1|http://a.com/2|http://a.com/1"),
            ["http://a.com/1", "http://a.com/2"]
        );
    }

    #[test]
    fn hosts_are_compared_in_lower_case_without_the_default_port() {
        for url in ["HTTP://A.com/x", "http://a.COM:80", "https://a.com:443?q=/", "http://a.com/更新"] {
            assert_eq!(parse(JobKind::Refresh, url).unwrap()[0].host, "a.com", "{url}");
        }
    }

    #[test]
    fn what_is_no_plain_absolute_url_is_refused() {
        let long = format!("http://a.com/{}", "x".repeat(MAX_URL));
        for url in [
            "",
            "a.com/x",
            "/x",
            "ftp://a.com/x",
            "http://",
            "http:///x",
            "http://user@a.com/",
            "http://user:pass@a.com/",
            "http://a.com:8080/",
            "http://a.com:/",
            "https://a.com:80/",
            "http://a.com/ x",
            "http://a.com/\u{0}",
            "http://a.com/#top",
            "http://a.com/1||http://a.com/2",
            "http://a.com/1|",
            &long,
        ] {
            let refused = parse(JobKind::Refresh, url).unwrap_err();
            assert!(matches!(&refused, Error::Invalid { field, .. } if field == "path"), "{url}: {refused}");
        }
    }

    #[test]
    fn a_thousand_urls_are_the_most() {
        let many = |n: usize| vec!["http://a.com/"; n].join("|");
        assert!(parse(JobKind::Refresh, &many(1000)).is_ok());
        assert!(parse(JobKind::Refresh, &many(1001)).is_err());
    }

    #[test]
    fn a_preload_takes_no_prefix() {
        assert!(parse(JobKind::Refresh, "http://a.com/i/*").unwrap()[0].is_prefix());
        assert!(parse(JobKind::Preload, "http://a.com/i/*").is_err());
    }
}
