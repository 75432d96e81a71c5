//! A cdn of one's own Varnish and nginx servers.

use std::collections::HashSet;
use std::path::PathBuf;

use async_trait::async_trait;
use pilothouse_core::cdn::{cdn_name, domain_name};
use pilothouse_core::ports::{Capabilities, CdnProvider, Outcomes, ProviderError};
use pilothouse_core::{Error, Result, check_text};
use serde::Deserialize;
use url::Url;

use crate::SecretSource;

/// The most URLs in one job: as many as one request may hold.
const BATCH: usize = 1000;

/// A cdn of kind `edges`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgesSettings {
    /// What users see it as: 1 to 64 of letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// The domains it serves. None given: whatever domains customers are given.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Its servers, at least one, no two of one name.
    #[serde(rename = "edge", default)]
    pub edges: Vec<EdgeSettings>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeSettings {
    /// Its name: 1 to 64 bytes.
    pub name: String,
    /// The program that runs there.
    pub kind: EdgeKind,
    /// Where purge and preload requests go: `http` or `https`, a host and perhaps a port.
    pub url: String,
    /// The key that it shares with this server alone: 32 to 256 letters, digits, `-` and `_`. It proves to the edge who
    /// purges, and here whose log it is that arrives. Without one the edge goes by addresses, and ships no log.
    #[serde(default)]
    pub key: Option<SecretSource>,
    /// Its access log, to be followed.
    #[serde(default)]
    pub access_log: Option<PathBuf>,
    /// How its log is written, followed or shipped; a log of [`LogFormat::Combined`] needs exactly one domain in the cdn's
    /// `domains`, whose lines they are. Required with `access_log`, `tsv` where nothing is said of a log that is shipped.
    #[serde(default)]
    pub log_format: Option<LogFormat>,
}

impl EdgeSettings {
    /// Reads the key, where there is one; refuses one outside the limits that it names.
    pub fn read_key(&self) -> Result<Option<String>> {
        const FIELD: &str = "cdn.edge.key";
        let Some(source) = &self.key else { return Ok(None) };
        let key = source.read(FIELD)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        // The key itself is not repeated.
        if !(32..=256).contains(&key.len()) || !key.chars().all(allowed) {
            let reason = format!("of {} must be 32 to 256 letters, digits, '-' and '_'", self.name);
            return Err(Error::invalid(FIELD, reason));
        }
        Ok(Some(key))
    }
}

/// The program that runs on an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeKind {
    /// Varnish.
    Varnish,
    /// nginx.
    Nginx,
}

/// How an access log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Apache's and nginx's combined.
    Combined,
    /// The host before combined.
    VhostCombined,
    /// Fields separated by TAB.
    Tsv,
    /// An object a line.
    Json,
}

/// The provider over such a cdn.
///
/// Its requests to the servers are still to be written: it can neither purge nor preload and says so in its
/// capabilities, so that jobs wait for a version that can.
#[derive(Clone, Debug)]
pub struct Edges {
    name: String,
    domains: Vec<String>,
    capabilities: Capabilities,
}

impl Edges {
    /// Refuses settings outside the limits that [`EdgesSettings`] names.
    pub fn new(settings: EdgesSettings) -> Result<Self> {
        let EdgesSettings { name, domains, edges } = settings;
        if cdn_name("cdn.name", &name)? != name {
            return Err(Error::invalid("cdn.name", format!("{name} is understood as another name")));
        }
        if edges.is_empty() {
            return Err(Error::invalid("cdn.edge", format!("must be given at least once for {name}")));
        }
        let mut names = HashSet::new();
        for edge in &edges {
            check_edge(edge, domains.len())?;
            edge.read_key()?;
            if !names.insert(&edge.name) {
                return Err(Error::invalid("cdn.edge.name", format!("{} is given twice", edge.name)));
            }
        }
        let domains: Result<Vec<_>> =
            domains.iter().map(|domain| domain_name("cdn.domains", domain)).collect();
        let domains = domains?;
        let capabilities = Capabilities {
            purge_urls: false,
            purge_prefix: false,
            preload: false,
            list_domains: !domains.is_empty(),
            purge_batch: BATCH,
            preload_batch: BATCH,
            edges: edges.into_iter().map(|edge| edge.name).collect(),
        };
        Ok(Self { name, domains, capabilities })
    }

    fn cannot(&self, operation: &'static str) -> ProviderError {
        ProviderError::Unsupported { provider: self.name.clone(), operation }
    }
}

fn check_edge(edge: &EdgeSettings, domains: usize) -> Result<()> {
    check_text("cdn.edge.name", &edge.name, 1, 64, false)?;
    let plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    };
    if !Url::parse(&edge.url).is_ok_and(|url| plain(&url)) {
        let reason = format!("of {} must be http:// or https://, a host and perhaps a port", edge.name);
        return Err(Error::invalid("cdn.edge.url", reason));
    }
    if edge.access_log.is_some() && edge.log_format.is_none() {
        let reason = format!("of {} must be given where access_log is", edge.name);
        return Err(Error::invalid("cdn.edge.log_format", reason));
    }
    if edge.log_format == Some(LogFormat::Combined) && domains != 1 {
        let reason =
            format!("of {} names no host: the cdn must have exactly one domain in domains", edge.name);
        return Err(Error::invalid("cdn.edge.log_format", reason));
    }
    Ok(())
}

#[async_trait]
impl CdnProvider for Edges {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn purge(&self, _edge: &str, _urls: &[String]) -> Result<Outcomes, ProviderError> {
        Err(self.cannot("purge"))
    }

    async fn preload(&self, _edge: &str, _urls: &[String]) -> Result<Outcomes, ProviderError> {
        Err(self.cannot("preload"))
    }

    async fn domains(&self) -> Result<Vec<String>, ProviderError> {
        if self.domains.is_empty() { Err(self.cannot("list domains")) } else { Ok(self.domains.clone()) }
    }
}
