//! Sites of an edge: which origin, `Host` header and cache rules each domain has.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::net::IpAddr;
use std::str::FromStr;

use pilothouse_core::cdn::domain_name;
use pilothouse_core::{Error, Result};
use serde::Deserialize;

use super::rules::DomainRules;

/// Domains that a value is for: one (`cdn.example.com`), all below one (`*.example.com`, at any depth and without
/// `example.com` itself), or all (`*`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct DomainPattern(String);

impl DomainPattern {
    /// All domains.
    pub fn all() -> Self {
        Self("*".to_owned())
    }

    /// Text of the pattern, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Domain below which all are meant.
    pub(super) fn wildcard(&self) -> Option<&str> {
        self.0.strip_prefix("*.")
    }

    fn covers(&self, other: &Self) -> bool {
        let below = |domain: &str| {
            other.0.strip_suffix(domain).is_some_and(|sub| sub.len() > 1 && sub.ends_with('.'))
        };
        self.0 == "*" || self == other || self.wildcard().is_some_and(below)
    }

    /// Rank of a pattern among those that cover a domain: the greatest counts.
    fn specificity(&self) -> (bool, usize) {
        (!self.0.starts_with('*'), self.0.len())
    }
}

impl FromStr for DomainPattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "*" {
            return Ok(Self::all());
        }
        let parsed = match text.strip_prefix("*.") {
            Some(domain) => domain_name("domain", domain).map(|domain| format!("*.{domain}")),
            None => domain_name("domain", text),
        };
        let refused =
            || Error::invalid("domain", format!("must be a host name, *. and a host name, or *, not {text}"));
        parsed.map(Self).map_err(|_| refused())
    }
}

impl TryFrom<String> for DomainPattern {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value and the domains that it is for, written `DOMAIN=VALUE`, or `VALUE` where it is for all domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerDomain {
    /// Domains that the value is for.
    pub domain: DomainPattern,
    /// The value.
    pub value: String,
}

impl PerDomain {
    /// Creates a value for all domains.
    pub fn all(value: impl Into<String>) -> Self {
        Self { domain: DomainPattern::all(), value: value.into() }
    }
}

impl FromStr for PerDomain {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((domain, value)) => Ok(Self { domain: domain.parse()?, value: value.to_owned() }),
            None => Ok(Self::all(text)),
        }
    }
}

/// Origin server, as an upstream of nginx or a backend of Varnish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) is_https: bool,
    /// Host name or address; an IPv6 address in brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Name that the origin's certificate must have, and that it is told in the handshake (SNI). Empty without TLS.
    pub(super) tls_name: String,
}

impl Origin {
    /// Parses `HOST:PORT`, `http://HOST[:PORT]` or `https://HOST[:PORT]`.
    fn parse(text: &str) -> Result<Self> {
        let refused = || {
            let reason = format!("must be HOST:PORT, http://HOST[:PORT] or https://HOST[:PORT], not {text}");
            Error::invalid("origin", reason)
        };
        let (is_https, default_port, rest) = match text.split_once("://") {
            None => (false, None, text),
            Some(("http", rest)) => (false, Some(80), rest),
            Some(("https", rest)) => (true, Some(443), rest),
            Some(_) => return Err(refused()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let in_brackets = |host: &str| host.starts_with('[') && host.ends_with(']');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !in_brackets(rest) => (host, port.parse().ok()),
            _ => (rest, default_port),
        };
        let is_address = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)),
        };
        match port.filter(|port| *port > 0) {
            Some(port) if is_address => {
                Ok(Self { is_https, host: host.to_owned(), port, tls_name: String::new() })
            }
            _ => Err(refused()),
        }
    }

    /// Host as it stands without brackets.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }
}

/// Domains with the same origin and rules.
#[derive(Clone, Debug)]
pub(super) struct Site<'a> {
    pub(super) domain: DomainPattern,
    /// Position in [`Sites::origins`].
    pub(super) origin: usize,
    /// `Host` header that the origin gets; the visitor's if `None`.
    pub(super) host_header: Option<&'a str>,
    pub(super) rules: Option<&'a DomainRules>,
}

/// All sites of an edge.
#[derive(Clone, Debug, Default)]
pub(super) struct Sites<'a> {
    /// The most specific domains come first.
    pub(super) sites: Vec<Site<'a>>,
    pub(super) origins: Vec<Origin>,
}

impl<'a> Sites<'a> {
    /// Gives every domain that is named its most specific origin, `Host` header and rules. Refuses a domain without an origin.
    pub(super) fn new(
        origins: &'a [PerDomain],
        host_headers: &'a [PerDomain],
        rules: &'a [DomainRules],
    ) -> Result<Self> {
        check_unique("origin", origins.iter().map(|origin| &origin.domain))?;
        check_unique("host-header", host_headers.iter().map(|header| &header.domain))?;
        check_unique("rules", rules.iter().map(|rules| &rules.name))?;
        let mut named: Vec<&DomainPattern> =
            origins.iter().chain(host_headers).map(|value| &value.domain).collect();
        named.extend(rules.iter().map(|rules| &rules.name));
        named.sort_by_key(|domain| (std::cmp::Reverse(domain.specificity()), *domain));
        named.dedup();
        let mut sites = Self::default();
        for domain in named {
            let Some(origin) = most_specific(origins, |origin| &origin.domain, domain) else {
                // Rules and headers for all domains are for those with an origin.
                if *domain == DomainPattern::all() {
                    continue;
                }
                return Err(Error::invalid("origin", format!("must be given for {domain}")));
            };
            let host_header = most_specific(host_headers, |header| &header.domain, domain);
            let host_header = host_header.map(|header| checked_host(&header.value)).transpose()?;
            let mut parsed = Origin::parse(&origin.value)?;
            if parsed.is_https {
                parsed.tls_name = tls_name(&parsed, host_header, domain)?;
            }
            let origin = sites.position(parsed);
            let rules = most_specific(rules, |rules| &rules.name, domain);
            sites.sites.push(Site { domain: domain.clone(), origin, host_header, rules });
        }
        if sites.sites.is_empty() {
            return Err(Error::invalid("origin", "must be given at least once"));
        }
        Ok(sites)
    }

    /// Position of an origin, which sites may share.
    fn position(&mut self, origin: Origin) -> usize {
        let known = self.origins.iter().position(|known| *known == origin);
        known.unwrap_or_else(|| {
            self.origins.push(origin);
            self.origins.len() - 1
        })
    }

    /// Domains whose queries are ignored.
    pub(super) fn ignoring(&self) -> String {
        let ignoring = self.sites.iter().filter(|site| site.rules.is_some_and(|rules| rules.ignore_query));
        let names: Vec<_> = ignoring.map(|site| site.domain.as_str()).collect();
        names.join(" ")
    }

    /// Different lifetimes of all rules, in seconds.
    pub(super) fn lifetimes(&self) -> BTreeSet<u32> {
        let rules = self.sites.iter().filter_map(|site| site.rules);
        rules.flat_map(|rules| rules.ttl.iter().map(|ttl| ttl.seconds)).collect()
    }
}

/// The most specific value among those that cover a domain.
fn most_specific<'a, T>(
    values: &'a [T],
    domain_of: fn(&T) -> &DomainPattern,
    domain: &DomainPattern,
) -> Option<&'a T> {
    let covering = values.iter().filter(|value| domain_of(value).covers(domain));
    covering.max_by_key(|value| domain_of(value).specificity())
}

/// Name that the certificate of an https origin is checked for. nginx checks no addresses, so an origin that is an address needs
/// the name of the `Host` header that it gets.
fn tls_name(origin: &Origin, host_header: Option<&str>, domain: &DomainPattern) -> Result<String> {
    if origin.bare_host().parse::<IpAddr>().is_err() {
        return Ok(origin.host.clone());
    }
    let name = host_header.map(|host| host.split(':').next().unwrap_or(host));
    let name = name.or_else(|| Some(domain.as_str()).filter(|name| !name.starts_with('*')));
    name.map(str::to_owned).ok_or_else(|| {
        let reason =
            format!("must have a host name for {domain}, because its certificate is checked for the name");
        Error::invalid("origin", reason)
    })
}

/// Checks a `Host` header: a host name and an optional port.
fn checked_host(host: &str) -> Result<&str> {
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    if domain_name("host-header", name).is_err() || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(Error::invalid(
            "host-header",
            format!("must be a host name and an optional port, not {host}"),
        ));
    }
    Ok(host)
}

pub(super) fn check_unique<'a>(
    field: &'static str,
    domains: impl Iterator<Item = &'a DomainPattern>,
) -> Result<()> {
    let mut seen = BTreeSet::new();
    for domain in domains {
        if !seen.insert(domain) {
            return Err(Error::invalid(field, format!("{domain} is given twice")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_domain(texts: &[&str]) -> Vec<PerDomain> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_most_specific_origin_and_header_count() {
        let origins =
            per_domain(&["o:80", "*.b.test=http://b", "x.b.test=https://x", "*.c.b.test=http://[::1]:81"]);
        let headers = per_domain(&["*.b.test=b.example.com", "y.b.test=y.example.com:81"]);
        let sites = Sites::new(&origins, &headers, &[]).unwrap();
        let found: Vec<_> = sites
            .sites
            .iter()
            .map(|site| {
                let Origin { host, port, tls_name, .. } = &sites.origins[site.origin];
                format!("{} {host} {port} {tls_name} {}", site.domain, site.host_header.unwrap_or_default())
            })
            .collect();
        assert_eq!(
            found,
            [
                "x.b.test x 443 x b.example.com",
                "y.b.test b 80  y.example.com:81",
                "*.c.b.test [::1] 81  b.example.com",
                "*.b.test b 80  b.example.com",
                "* o 80  ",
            ]
        );
    }

    #[test]
    fn origins_and_domains_are_checked() {
        for origin in [
            "origin",
            "origin:",
            "origin:http",
            ":80",
            "o:0",
            "a b:80",
            "a;b:80",
            "a\"b:80",
            "ftp://a",
            "http://",
            "https://a/b",
            "[::1",
            "[x]:80",
            "::1:80",
            "http://u@a",
        ] {
            assert!(Sites::new(&[PerDomain::all(origin)], &[], &[]).is_err(), "{origin}");
        }
        for domain in ["*.", "a*.test", "*.*.test", "", "a b.test", "**", "*.1.1.1.1"] {
            let why = format!("{domain}=o:80").parse::<PerDomain>().unwrap_err().to_string();
            assert!(why.contains("domain"), "{why}");
        }
        let refused = |origins: &[&str], headers: &[&str]| {
            Sites::new(&per_domain(origins), &per_domain(headers), &[]).unwrap_err().to_string()
        };
        assert!(refused(&["a.test=o:80", "A.test=p:80"], &[]).contains("a.test is given twice"));
        assert!(refused(&["a.test=o:80"], &["b.test=c.test"]).contains("must be given for b.test"));
        assert!(refused(&["a.test=o:80"], &["a.test=c d"]).contains("host-header"));
        assert!(refused(&["*.a.test=https://10.0.0.1"], &[]).contains("host name for *.a.test"));
        assert!(refused(&[], &[]).contains("at least once"));
        let named = per_domain(&["a.test=https://10.0.0.1"]);
        assert_eq!(Sites::new(&named, &[], &[]).unwrap().origins[0].tls_name, "a.test");
    }
}
