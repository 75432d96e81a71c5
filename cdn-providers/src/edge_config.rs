//! What an operator installs on an edge.

use std::fmt::Write as _;
use std::path::PathBuf;

use ipnet::IpNet;
use pilothouse_core::{Error, Result};

use crate::EdgeKind;

/// What differs between edges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeConfig {
    /// The program that runs there.
    pub kind: EdgeKind,
    /// Where it fetches from: a host name or address, a colon and a port; an IPv6 address in brackets.
    pub origin: String,
    /// Where it listens, as the program writes it.
    pub listen: String,
    /// From which addresses the control plane may come, at least one.
    pub allow: Vec<IpNet>,
    /// The key of the edge's settings, as [`crate::EdgeSettings::read_key`] takes it.
    pub key: Option<String>,
    /// The file of its access log.
    pub log: PathBuf,
    /// The folder of its cache; only nginx has one.
    pub cache: PathBuf,
}

impl EdgeConfig {
    /// The text of the configuration. Refuses what would break out of its place in it.
    pub fn render(&self) -> Result<String> {
        let (host, port) = self.origin.rsplit_once(':').unwrap_or_default();
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(Error::invalid("origin", "must be a host, a colon and a port"));
        }
        let (log, cache) = (self.log.display().to_string(), self.cache.display().to_string());
        let texts = [("origin", &self.origin), ("listen", &self.listen), ("log", &log), ("cache", &cache)];
        for (name, text) in texts {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:/[]".contains(c);
            if text.is_empty() || !text.chars().all(allowed) {
                return Err(Error::invalid(name, "must be of letters, digits and any of - _ . : / [ ]"));
            }
        }
        if self.allow.is_empty() {
            return Err(Error::invalid("allow", "must be given at least once"));
        }
        let mut allow = String::new();
        for block in &self.allow {
            // Writing into a string does not fail.
            let _ = match self.kind {
                EdgeKind::Varnish => writeln!(allow, "    \"{}\"/{};", block.addr(), block.prefix_len()),
                EdgeKind::Nginx => writeln!(allow, "    {block} 1;"),
            };
        }
        let key = self.key.as_deref().unwrap_or_default();
        let (template, key) = match self.kind {
            EdgeKind::Varnish if key.is_empty() => (include_str!("../edge/varnish.vcl"), String::new()),
            EdgeKind::Varnish => {
                (include_str!("../edge/varnish.vcl"), format!(" || req.http.X-Pilothouse-Key != \"{key}\""))
            }
            EdgeKind::Nginx => (include_str!("../edge/nginx.conf"), key.to_owned()),
        };
        Ok([
            ("@origin_host@", host.trim_matches(['[', ']'])),
            ("@origin_port@", port),
            ("@origin@", &self.origin),
            ("@listen@", &self.listen),
            ("@allow@", allow.trim_end()),
            ("@key@", &key),
            ("@log@", &log),
            ("@cache@", &cache),
        ]
        .into_iter()
        .fold(template.to_owned(), |text, (name, value)| text.replace(name, value)))
    }
}
