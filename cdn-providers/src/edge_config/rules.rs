//! Cache rules of domains, as a rules file has them.

use pilothouse_core::{Error, Result};
use serde::Deserialize;

use super::site::DomainPattern;
use crate::target::Target;

/// Longest lifetime of a rule, in seconds: a year.
const MAX_TTL: u32 = 31_536_000;

/// Content of a rules file. Deserializing refuses unknown fields.
///
/// ```
/// use pilothouse_cdn_providers::CacheRules;
///
/// let rules: CacheRules = toml::from_str(
///     r#"
///     [[domain]]
///     name = "*.example.com"
///     ignore_query = true
///     honour_cookies = false
///     ttl = [{ prefix = "/static/", seconds = 86400 }]
///     "#,
/// )?;
/// assert_eq!(rules.domain[0].ttl[0].seconds, 86400);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheRules {
    /// Rules, a table for each domain. Of several that cover a domain, the most specific counts, as a whole.
    #[serde(default)]
    pub domain: Vec<DomainRules>,
}

/// Cache rules of one domain. None of them lets an edge store what is private.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DomainRules {
    /// Domains that the rules are for.
    pub name: DomainPattern,
    /// Whether all queries of a path are one object. The origin is then asked without the query, except by requests that are
    /// passed.
    #[serde(default)]
    pub ignore_query: bool,
    /// Whether a request with a cookie is passed. Otherwise GET and HEAD lose their cookies at the edge.
    #[serde(default = "default_honour_cookies")]
    pub honour_cookies: bool,
    /// Lifetimes by path prefix, in place of those that the origin gives. The longest matching prefix counts.
    #[serde(default)]
    pub ttl: Vec<PrefixTtl>,
}

/// Lifetime of a path prefix.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PrefixTtl {
    /// Beginning of the path, from the slash on.
    pub prefix: String,
    /// Lifetime in seconds, from 1 to 31,536,000. Answers with status 404 and 410 are kept for a minute at the most.
    pub seconds: u32,
}

fn default_honour_cookies() -> bool {
    true
}

impl DomainRules {
    /// Checks the lifetimes and returns them with their prefixes in normal form, the longest first.
    pub(super) fn normal_ttl(&self) -> Result<Vec<PrefixTtl>> {
        let mut normal = Vec::new();
        for PrefixTtl { prefix, seconds } in &self.ttl {
            let refused = |reason: &str| Error::invalid("rules", format!("{}: {reason}", self.name));
            if !(1..=MAX_TTL).contains(seconds) {
                return Err(refused("seconds must be 1 to 31536000"));
            }
            let printable = prefix.starts_with('/') && prefix.bytes().all(|b| b.is_ascii_graphic());
            let target = Target { host: String::new(), uri: prefix.clone() };
            let normal_prefix = target.normal_uri();
            let has_dots = normal_prefix.contains("/./") || normal_prefix.contains("/../");
            if !printable || has_dots || !target.is_cacheable() || prefix.contains(['?', '#']) {
                return Err(refused("prefix must be the beginning of a path, escaped, without dot segments"));
            }
            normal.push(PrefixTtl { prefix: normal_prefix, seconds: *seconds });
        }
        normal.sort_by(|a, b| b.prefix.len().cmp(&a.prefix.len()).then_with(|| a.prefix.cmp(&b.prefix)));
        if normal.windows(2).any(|pair| pair[0].prefix == pair[1].prefix) {
            return Err(Error::invalid("rules", format!("{}: a prefix is given twice", self.name)));
        }
        Ok(normal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(ttl: &str) -> DomainRules {
        let text = format!("[[domain]]\nname = \"a.test\"\nttl = [{ttl}]\n");
        toml::from_str::<CacheRules>(&text).unwrap().domain.remove(0)
    }

    #[test]
    fn prefixes_are_sorted_and_in_normal_form() {
        let rules =
            rules("{prefix='/',seconds=1},{prefix='/%41b%2f|',seconds=2},{prefix='/a.b/',seconds=31536000}");
        assert!(rules.honour_cookies && !rules.ignore_query);
        let ttl = rules.normal_ttl().unwrap();
        let found: Vec<_> = ttl.iter().map(|ttl| (ttl.prefix.as_str(), ttl.seconds)).collect();
        assert_eq!(found, [("/Ab%2F%7C", 2), ("/a.b/", 31_536_000), ("/", 1)]);
    }

    #[test]
    fn invalid_rules_are_refused_by_name() {
        for ttl in [
            "{prefix='/',seconds=0}",
            "{prefix='/',seconds=31536001}",
            "{prefix='a',seconds=1}",
            "{prefix='',seconds=1}",
            "{prefix='/a?b',seconds=1}",
            "{prefix='/a#b',seconds=1}",
            "{prefix='/a b',seconds=1}",
            "{prefix='/a/../b',seconds=1}",
            "{prefix='/a/./b',seconds=1}",
            "{prefix='/%4',seconds=1}",
            "{prefix='/更',seconds=1}",
            "{prefix='/a',seconds=1},{prefix='/%61',seconds=2}",
        ] {
            let why = rules(ttl).normal_ttl().unwrap_err().to_string();
            assert!(why.contains("rules") && why.contains("a.test"), "{ttl}: {why}");
        }
        for text in ["ignore_query = 1", "colour = 1", "ttl = [{prefix='/'}]"] {
            let text = format!("[[domain]]\nname = \"a.test\"\n{text}\n");
            assert!(toml::from_str::<CacheRules>(&text).is_err(), "{text}");
        }
        let why = toml::from_str::<CacheRules>("[[domain]]\nname = \"a*\"\n").unwrap_err().to_string();
        assert!(why.contains("must be a host name"), "{why}");
    }
}
