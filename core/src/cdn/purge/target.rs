//! URLs and tags of a refresh or preload.

use std::collections::HashSet;

use super::job::JobKind;
use crate::cdn::customers::domain_name;
use crate::{Error, Result};

/// The most URLs in one request.
const MAX_URLS: usize = 1000;
/// The most bytes of one URL.
const MAX_URL: usize = 2048;
/// The most tags in one request, and the most bytes of one, as Cloudflare takes them.
const MAX_TAGS: usize = 30;
const MAX_TAG: usize = 1024;
/// Scheme of a tag as an item of a job: `tag://HOST/TAG`.
const TAG: &str = "tag://";

/// URLs to be refreshed or preloaded, well-formed, each once: on the wire joined by `|`, at most 1000 of at most 2048
/// bytes. Or tags to be refreshed, at most 30 of at most 1024 bytes, which are listed as `tag://HOST/TAG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobUrls {
    pub(super) kind: JobKind,
    pub(super) targets: Vec<Target>,
}

/// A URL that was found well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The URL as it was given.
    pub(super) url: String,
    /// Host in lower case.
    pub(super) host: String,
}

impl Target {
    /// Whether everything that begins with it is meant.
    pub(super) fn is_prefix(&self) -> bool {
        is_prefix(&self.url)
    }

    /// Whether everything that carries a tag is meant.
    pub(super) fn is_tag(&self) -> bool {
        is_tag(&self.url)
    }
}

/// Whether an item of a job stands for everything that carries a tag.
pub(super) fn is_tag(url: &str) -> bool {
    url.starts_with(TAG)
}

/// Whether an item of a job stands for everything that begins with it.
pub(super) fn is_prefix(url: &str) -> bool {
    url.ends_with('*') && !is_tag(url)
}

/// Host of an item of a job, as its domain is registered; `None` of what no job has.
pub(super) fn item_host(url: &str) -> Option<String> {
    match url.strip_prefix(TAG) {
        Some(rest) => rest.split_once('/').map(|(host, _)| host.to_owned()),
        None => host_of(url).ok(),
    }
}

impl JobUrls {
    /// Splits a `path` at its bars; a literal bar is `%7C`. A URL that is given twice is one piece of work, at the place of
    /// the first.
    ///
    /// Refuses more than 1000 URLs, and a URL of more than 2048 bytes, that is not absolute `http` or `https`, that holds
    /// blanks, a user, a fragment or a port other than its scheme's, and for a preload one that ends in `*`.
    pub fn parse(kind: JobKind, path: &str) -> Result<Self> {
        let count = path.split('|').count();
        if count > MAX_URLS {
            return Err(Error::invalid("path", format!("must hold at most {MAX_URLS} URLs, not {count}")));
        }
        let mut targets: Vec<Target> = Vec::with_capacity(count);
        let mut seen = HashSet::with_capacity(count);
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
        Ok(Self { kind, targets })
    }

    /// A refresh of what carries one of these tags on a domain. A tag that is given twice counts once.
    ///
    /// Refuses no tags and more than 30, and a tag that is not 1 to 1024 bytes of printable ASCII without blanks, commas
    /// and bars.
    pub fn tags(domain: &str, tags: &[String]) -> Result<Self> {
        let host = domain_name("domain", domain)?;
        let count = tags.len();
        if count == 0 || count > MAX_TAGS {
            return Err(Error::invalid("tags", format!("must hold 1 to {MAX_TAGS} tags, not {count}")));
        }
        let mut targets = Vec::with_capacity(count);
        let mut seen = HashSet::with_capacity(count);
        for (n, tag) in tags.iter().enumerate() {
            let refuse = |reason: &str| Error::invalid("tags", format!("tag {} {reason}", n + 1));
            if tag.is_empty() || tag.len() > MAX_TAG {
                return Err(refuse("must be 1 to 1024 bytes"));
            }
            if !tag.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b'|')) {
                return Err(refuse("must be printable ASCII without blanks, commas and bars"));
            }
            if seen.insert(tag) {
                targets.push(Target { url: format!("{TAG}{host}/{tag}"), host: host.clone() });
            }
        }
        Ok(Self { kind: JobKind::Refresh, targets })
    }
}

/// The host of a URL in lower case, in Punycode and without a dot at its end, or what is wrong with it.
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
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() {
        return Err("must name a host");
    }
    if host.is_ascii() {
        return Ok(host.to_ascii_lowercase());
    }
    // Domains are registered in Punycode.
    url::Host::parse(host).map(|host| host.to_string()).map_err(|_| "must name a host")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(path: &str) -> Vec<String> {
        JobUrls::parse(JobKind::Refresh, path).unwrap().targets.into_iter().map(|target| target.url).collect()
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
    fn international_hosts_are_compared_in_punycode() {
        assert_eq!(host_of("http://中国.test/更"), Ok("xn--fiqs8s.test".to_owned()));
        assert_eq!(host_of("http://xn--fiqs8s.test./"), Ok("xn--fiqs8s.test".to_owned()));
    }

    #[test]
    fn hosts_are_compared_in_lower_case_without_the_default_port() {
        for url in [
            "HTTP://A.com/x",
            "http://a.COM:80",
            "https://a.com:443?q=/",
            "http://a.com/更新",
            "http://A.com.",
        ] {
            assert_eq!(JobUrls::parse(JobKind::Refresh, url).unwrap().targets[0].host, "a.com", "{url}");
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
            let refused = JobUrls::parse(JobKind::Refresh, url).unwrap_err();
            assert!(matches!(&refused, Error::Invalid { field, .. } if field == "path"), "{url}: {refused}");
        }
    }

    #[test]
    fn a_thousand_urls_are_the_most() {
        let many = |n: usize| vec!["http://a.com/"; n].join("|");
        assert!(JobUrls::parse(JobKind::Refresh, &many(1000)).is_ok());
        assert!(JobUrls::parse(JobKind::Refresh, &many(1001)).is_err());
    }

    #[test]
    fn tags_are_items_of_their_domain_each_once() {
        let tags = ["news".to_owned(), "a/b*".to_owned(), "news".to_owned()];
        let targets = JobUrls::tags("CDN.exrqs.com", &tags).unwrap().targets;
        let urls: Vec<_> = targets.iter().map(|target| target.url.as_str()).collect();
        assert_eq!(urls, ["tag://cdn.exrqs.com/news", "tag://cdn.exrqs.com/a/b*"]);
        assert!(targets.iter().all(|target| target.is_tag() && !target.is_prefix()));
        assert!(urls.into_iter().all(|url| item_host(url).as_deref() == Some("cdn.exrqs.com")));
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        let refused = |tags: &[String]| JobUrls::tags("a.com", tags).unwrap_err().to_string();
        assert_eq!(refused(&[]), "tags: must hold 1 to 30 tags, not 0");
        assert_eq!(refused(&vec!["x".to_owned(); 31]), "tags: must hold 1 to 30 tags, not 31");
        for long in [String::new(), "x".repeat(MAX_TAG + 1)] {
            assert_eq!(refused(&["x".to_owned(), long]), "tags: tag 2 must be 1 to 1024 bytes");
        }
        for tag in ["a b", "a,b", "a|b", "a\u{7f}", "\n", "é"] {
            let reason = "tags: tag 1 must be printable ASCII without blanks, commas and bars";
            assert_eq!(refused(&[tag.to_owned()]), reason, "{tag:?}");
        }
        assert!(JobUrls::tags("a.com", &["x".repeat(MAX_TAG)]).is_ok());
        assert!(JobUrls::tags("a b", &["x".to_owned()]).unwrap_err().to_string().starts_with("domain: "));
        assert!(JobUrls::parse(JobKind::Refresh, "tag://a.com/x").is_err());
    }

    #[test]
    fn a_preload_takes_no_prefix() {
        assert!(JobUrls::parse(JobKind::Refresh, "http://a.com/i/*").unwrap().targets[0].is_prefix());
        assert!(JobUrls::parse(JobKind::Preload, "http://a.com/i/*").is_err());
    }
}
