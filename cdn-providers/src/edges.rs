//! A cdn of one's own Varnish and nginx servers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use pilothouse_core::cdn::{cdn_name, domain_name};
use pilothouse_core::ports::{Capabilities, CdnProvider, EdgeControl, Hello, Outcomes, ProviderError, Purge};
use pilothouse_core::{Error, Result, check_text};
use reqwest::Client;
use reqwest::redirect::Policy;
use serde::Deserialize;
use url::Url;

use crate::SecretSource;
use crate::preload::Fetches;
use crate::wire::Wire;

/// The most URLs in one job: as many as one request may hold.
const BATCH: usize = 1000;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an idle one is kept: less than the five seconds after which Varnish closes it.
const IDLE: Duration = Duration::from_secs(4);

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
    /// Reads the key, where there is one.
    pub fn read_key(&self) -> Result<Option<String>> {
        self.key.as_ref().map(|key| key.read_edge_key("cdn.edge.key")).transpose()
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

impl FromStr for EdgeKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "varnish" => Ok(Self::Varnish),
            "nginx" => Ok(Self::Nginx),
            _ => Err("must be varnish or nginx"),
        }
    }
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

/// The provider over such a cdn: purges by URL, by prefix and by host, and preloads, on servers that hold what
/// [`crate::EdgeConfig`] prints.
#[derive(Debug)]
pub struct Edges {
    name: String,
    domains: Vec<String>,
    capabilities: Capabilities,
    wires: HashMap<String, Wire>,
    fetches: Fetches,
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
        // Without a time-out for answers: what is asked decides how long it may take.
        let http = Client::builder().no_proxy().connect_timeout(CONNECT).pool_idle_timeout(IDLE);
        let http = http.redirect(Policy::none()).http1_only();
        let http = http.build().map_err(|error| Error::Unavailable(format!("no HTTP client: {error}")))?;
        let mut wires = HashMap::new();
        for edge in &edges {
            check_edge(edge, domains.len())?;
            if wires.insert(edge.name.clone(), Wire::new(http.clone(), edge)?).is_some() {
                return Err(Error::invalid("cdn.edge.name", format!("{} is given twice", edge.name)));
            }
        }
        let domains: Result<Vec<_>> =
            domains.iter().map(|domain| domain_name("cdn.domains", domain)).collect();
        let domains = domains?;
        let capabilities = Capabilities {
            purge_urls: true,
            purge_prefix: true,
            preload: true,
            list_domains: !domains.is_empty(),
            purge_batch: BATCH,
            preload_batch: BATCH,
            urls_per_second: None,
            edges: edges.into_iter().map(|edge| edge.name).collect(),
        };
        Ok(Self { name, domains, capabilities, wires, fetches: Fetches::default() })
    }

    fn wire(&self, edge: &str) -> Result<&Wire, ProviderError> {
        let wire = self.wires.get(edge);
        wire.ok_or_else(|| ProviderError::Refused(format!("{} has no edge of this name", self.name)))
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

    async fn purge(&self, edge: &str, purges: &[Purge]) -> Result<Outcomes, ProviderError> {
        self.wire(edge)?.purge(purges).await
    }

    async fn preload(&self, edge: &str, urls: &[String]) -> Result<Outcomes, ProviderError> {
        Ok(self.fetches.preload(self.wire(edge)?, urls).await)
    }

    async fn domains(&self) -> Result<Vec<String>, ProviderError> {
        if self.domains.is_empty() { Err(self.cannot("list domains")) } else { Ok(self.domains.clone()) }
    }
}

#[async_trait]
impl EdgeControl for Edges {
    async fn hello(&self, edge: &str, session: i64, epoch: i64) -> Result<Hello, ProviderError> {
        self.wire(edge)?.hello(session, epoch).await
    }

    async fn grant(&self, edge: &str, session: i64) -> Result<bool, ProviderError> {
        self.wire(edge)?.lease("lease", session).await
    }

    async fn renew(&self, edge: &str, session: i64) -> Result<bool, ProviderError> {
        self.wire(edge)?.lease("renew", session).await
    }
}
