//! Edge configuration: renders the Varnish or nginx configuration that an operator installs on an edge.

mod nginx;
mod rules;
mod site;
mod varnish;

use std::path::PathBuf;

use ipnet::IpNet;
use pilothouse_core::{Error, Result};

pub use self::rules::{CacheRules, DomainRules, PrefixTtl};
pub use self::site::{DomainPattern, PerDomain};
use self::site::{Sites, check_unique};
use crate::EdgeKind;

/// File of the authorities that Debian trusts.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Parameters of an edge's configuration.
///
/// ```
/// use pilothouse_cdn_providers::{EdgeConfig, EdgeKind};
///
/// let allow = vec!["10.1.0.0/16".parse()?];
/// let mut config = EdgeConfig::new(EdgeKind::Varnish, "origin.example.com:8080", allow);
/// config.origins.push("*.example.net=http://origin.example.net".parse()?);
/// assert!(config.render()?.contains("origin.example.com"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EdgeConfig {
    /// Server software of the edge, which selects the template.
    pub kind: EdgeKind,
    /// Origins: `HOST:PORT`, `http://HOST[:PORT]` or `https://HOST[:PORT]`. Requests for a domain without one are answered 404.
    /// Varnish speaks no TLS, so it cannot have an https origin.
    pub origins: Vec<PerDomain>,
    /// `Host` headers that origins get in place of the visitor's domain.
    pub host_headers: Vec<PerDomain>,
    /// Cache rules of domains.
    pub rules: Vec<DomainRules>,
    /// Listen addresses in the software's own syntax: `:80` or `127.0.0.1:8443,PROXY` for Varnish, `80`, `[::]:80` or `443 ssl`
    /// for nginx.
    pub listen: Vec<String>,
    /// Files of certificates with their chains, for the `ssl` addresses of nginx.
    pub certificates: Vec<PerDomain>,
    /// Files of the certificates' keys, for the same domains.
    pub certificate_keys: Vec<PerDomain>,
    /// File of the authorities that certificates of https origins are checked against.
    pub origin_ca: PathBuf,
    /// Scheme that origins are told in `X-Forwarded-Proto`, the same for all requests, because one object answers both schemes.
    /// By default `https` where visitors can come by TLS.
    pub forwarded_proto: Option<ForwardedProto>,
    /// Networks from which control requests are accepted, at least one.
    pub allow: Vec<IpNet>,
    /// Shared key, as [`crate::EdgeSettings::read_key`] returns it.
    pub key: Option<String>,
    /// Path of the access log.
    pub log: PathBuf,
    /// Folder of the cache on disk; only nginx has one.
    pub cache: PathBuf,
}

/// Scheme in the header `X-Forwarded-Proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedProto {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

impl std::str::FromStr for ForwardedProto {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        match text {
            "http" => Ok(Self::Http),
            "https" => Ok(Self::Https),
            _ => Err("must be http or https"),
        }
    }
}

impl EdgeConfig {
    /// Creates a configuration with one origin for all domains, without a key, on port 80 and with the usual paths of the
    /// software's Debian package.
    pub fn new(kind: EdgeKind, origin: impl Into<String>, allow: Vec<IpNet>) -> Self {
        Self { origins: vec![PerDomain::all(origin)], ..Self::without_origin(kind, allow) }
    }

    /// Creates the same configuration without an origin, to which at least one is to be added.
    pub fn without_origin(kind: EdgeKind, allow: Vec<IpNet>) -> Self {
        let (listen, log) = match kind {
            EdgeKind::Varnish => (":80", "/var/log/varnish/pilothouse.tsv"),
            EdgeKind::Nginx => ("80", "/var/log/nginx/pilothouse.tsv"),
        };
        Self {
            kind,
            origins: Vec::new(),
            host_headers: Vec::new(),
            rules: Vec::new(),
            listen: vec![listen.to_owned()],
            certificates: Vec::new(),
            certificate_keys: Vec::new(),
            origin_ca: SYSTEM_AUTHORITIES.into(),
            forwarded_proto: None,
            allow,
            key: None,
            log: log.into(),
            cache: "/var/cache/nginx/pilothouse".into(),
        }
    }

    /// Renders the configuration file. Refuses values with characters that could end their place in the template, and what the
    /// software cannot do.
    pub fn render(&self) -> Result<String> {
        if self.allow.is_empty() {
            return Err(Error::invalid("allow", "must be given at least once"));
        }
        self.check_listen()?;
        check_unique("certificate", self.certificates.iter().map(|file| &file.domain))?;
        check_unique("certificate-key", self.certificate_keys.iter().map(|file| &file.domain))?;
        for file in self.certificates.iter().map(|file| &file.value) {
            check_text("certificate", file)?;
        }
        for file in self.certificate_keys.iter().map(|file| &file.value) {
            check_text("certificate-key", file)?;
        }
        for (name, path) in [("log", &self.log), ("cache", &self.cache), ("origin-ca", &self.origin_ca)] {
            check_text(name, &path.display().to_string())?;
        }
        let sites = Sites::new(&self.origins, &self.host_headers, &self.rules)?;
        match self.kind {
            EdgeKind::Varnish => varnish::render(self, &sites),
            EdgeKind::Nginx => nginx::render(self, &sites),
        }
    }

    /// Renders the script that writes a Varnish edge's access log to [`Self::log`]; it needs Perl and varnishlog. varnishncsa would
    /// bill downloads that clients break off as if all had been sent. Refuses nginx, which writes its log itself.
    pub fn render_log_writer(&self) -> Result<String> {
        if self.kind == EdgeKind::Nginx {
            return Err(Error::invalid(
                "log-writer",
                "is only for Varnish: nginx writes its access log itself",
            ));
        }
        let log = self.log.display().to_string();
        check_text("log", &log)?;
        Ok(fill(include_str!("../../edge/varnish-log.pl"), [("@log@", log)]))
    }

    fn check_listen(&self) -> Result<()> {
        if self.listen.is_empty() {
            return Err(Error::invalid("listen", "must be given at least once"));
        }
        for listen in &self.listen {
            let address = match self.kind {
                EdgeKind::Varnish => listen.strip_suffix(",PROXY"),
                EdgeKind::Nginx => listen.strip_suffix(" ssl"),
            };
            if self.kind == EdgeKind::Varnish && listen.ends_with(" ssl") {
                return Err(varnish::no_tls("listen"));
            }
            check_text("listen", address.unwrap_or(listen))?;
        }
        Ok(())
    }

    /// Value of `X-Forwarded-Proto`. `has_tls`: whether visitors can come by TLS.
    fn forwarded_proto(&self, has_tls: bool) -> &'static str {
        match self.forwarded_proto {
            Some(ForwardedProto::Https) => "https",
            None if has_tls => "https",
            Some(ForwardedProto::Http) | None => "http",
        }
    }
}

fn check_text(name: &'static str, text: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:/[]".contains(c);
    if text.is_empty() || !text.chars().all(allowed) {
        return Err(Error::invalid(name, "must contain only letters, digits and - _ . : / [ ]"));
    }
    Ok(())
}

/// Replaces the places of a template, in this order.
fn fill<const N: usize>(template: &str, values: [(&str, String); N]) -> String {
    values.into_iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, &value))
}
