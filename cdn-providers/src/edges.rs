//! CDN provider `edges`: your own Varnish and nginx servers, with their settings.

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use pilothouse_core::cdn::{check_cdn_name, domain_name};
use pilothouse_core::ports::{
    Batch, Capabilities, CdnProvider, EdgeControl, Operation, Prefix, ProviderError, ServedDomain,
    SessionStart, Submission, Submissions,
};
use pilothouse_core::{Error, Result, check_text};
use reqwest::Client;
use reqwest::redirect::Policy;
use serde::Deserialize;
use url::Url;

use crate::SecretSource;
use crate::edge_client::EdgeClient;
use crate::preload::Preloader;
use crate::purge;

/// Most URLs of one purge or preload job: the limit of one API request.
const MAX_BATCH: usize = 1000;
/// Time-out of opening a connection to an edge.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for which an idle connection is kept: less than the five seconds after which Varnish closes it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Settings of a CDN of kind `edges`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EdgesSettings {
    /// CDN name, as users see it: 1 to 64 letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Domains that the CDN serves; if empty, all domains that customers are given.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Edges of the CDN, at least one, with unique names.
    #[serde(rename = "edge", default)]
    pub edges: Vec<EdgeSettings>,
}

impl EdgesSettings {
    /// Creates the settings of a CDN that serves the domains its customers are given.
    pub fn new(name: impl Into<String>, edges: Vec<EdgeSettings>) -> Self {
        Self { name: name.into(), domains: Vec::new(), edges }
    }
}

/// Settings of one edge.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EdgeSettings {
    /// Edge name: 1 to 64 bytes.
    pub name: String,
    /// Server software of the edge.
    pub kind: EdgeKind,
    /// Base URL of purge and preload requests: `http` or `https`, a host and an optional port, no path.
    pub url: String,
    /// Shared key of this edge and this server: 32 to 256 letters, digits, `-` and `_`. It authenticates purges to the edge,
    /// and shipped logs to this server. Without one the edge checks only the sender's address, and cannot ship logs.
    #[serde(default)]
    pub key: Option<SecretSource>,
    /// Path of the edge's access log, if this server is to tail it.
    #[serde(default)]
    pub access_log: Option<PathBuf>,
    /// Folder that log rotation moves files to. They are looked for beside the log too, and beside the file that the log is a
    /// symbolic link to. Only with `access_log`.
    #[serde(default)]
    pub rotated_log_dir: Option<PathBuf>,
    /// Format of the access log, tailed or shipped. Required with `access_log`; a shipped log is `tsv` by default.
    /// [`LogFormat::Combined`] has no host in its lines, so it needs exactly one domain in the CDN's `domains`.
    #[serde(default)]
    pub log_format: Option<LogFormat>,
    /// Moment of a request that the time of its line is; by default the begin where the edge is Varnish, and the end where it is
    /// nginx.
    #[serde(default)]
    pub log_stamp: Option<LogStamp>,
}

impl EdgeSettings {
    /// Creates the settings of an edge without a key and without an access log.
    pub fn new(name: impl Into<String>, kind: EdgeKind, url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind,
            url: url.into(),
            key: None,
            access_log: None,
            rotated_log_dir: None,
            log_format: None,
            log_stamp: None,
        }
    }

    /// Reads the shared key, if one is configured.
    pub fn read_key(&self) -> Result<Option<String>> {
        self.key.as_ref().map(|key| key.read_edge_key("cdn.edge.key")).transpose()
    }
}

/// Server software of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EdgeKind {
    /// Varnish 7 with varnish-modules.
    Varnish,
    /// nginx with libnginx-mod-http-lua.
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

/// Format of an access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Combined log format of Apache and nginx.
    Combined,
    /// Combined log format with the virtual host as first field.
    VhostCombined,
    /// Tab-separated values, as [`crate::EdgeConfig`] configures an edge to write them.
    Tsv,
    /// One JSON object per line.
    Json,
}

/// Moment of a request that the time of its log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStamp {
    /// Begin of the request.
    Begin,
    /// End of the response.
    End,
}

/// CDN provider for your own edges: purges URLs, prefixes, hosts and, on Varnish, tags, and preloads URLs, on servers with the configuration
/// that [`crate::EdgeConfig`] renders.
#[derive(Debug)]
pub struct Edges {
    name: String,
    domains: Vec<String>,
    capabilities: Capabilities,
    clients: HashMap<String, EdgeClient>,
    preloader: Preloader,
}

impl Edges {
    /// Creates the provider. Refuses settings outside the limits of [`EdgesSettings`] and [`EdgeSettings`].
    pub fn new(settings: EdgesSettings) -> Result<Self> {
        let EdgesSettings { name, domains, edges } = settings;
        check_cdn_name("cdn.name", &name)?;
        if edges.is_empty() {
            return Err(Error::invalid("cdn.edge", format!("must be given at least once for {name}")));
        }
        // Fails where the program has chosen a TLS provider itself, which then counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The client has no response time-out: purge, preload and lease requests have their own.
        let http = Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(Policy::none())
            .http1_only()
            .build()
            .map_err(|error| Error::Unavailable(format!("no HTTP client: {error}")))?;
        let mut clients = HashMap::new();
        for edge in &edges {
            check_edge(edge, domains.len())?;
            let client = EdgeClient::new(http.clone(), &name, edge)?;
            if clients.insert(edge.name.clone(), client).is_some() {
                return Err(Error::invalid("cdn.edge.name", format!("{} is given twice", edge.name)));
            }
        }
        let domains: Result<Vec<_>> =
            domains.iter().map(|domain| domain_name("cdn.domains", domain)).collect();
        let domains = domains?;
        // A tag that one edge cannot purge would stay there.
        let purges_tags = edges.iter().all(|edge| edge.kind == EdgeKind::Varnish);
        let capabilities = Capabilities::new(edges.into_iter().map(|edge| edge.name))
            .with_purge_urls(true)
            .with_purge_prefix(Prefix::Any)
            .with_purge_tags(purges_tags)
            .with_preload(true)
            .with_list_domains(!domains.is_empty())
            .with_known_domains(domains.clone())
            .with_purge_batch(MAX_BATCH)
            .with_preload_batch(MAX_BATCH);
        Ok(Self { name, domains, capabilities, clients, preloader: Preloader::default() })
    }

    fn client(&self, edge: &str) -> Result<&EdgeClient, ProviderError> {
        let client = self.clients.get(edge);
        client.ok_or_else(|| ProviderError::Refused(format!("{} has no edge {edge}", self.name)))
    }
}

fn check_edge(edge: &EdgeSettings, domain_count: usize) -> Result<()> {
    check_text("cdn.edge.name", &edge.name, 1, 64, false)?;
    let is_base_url = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    };
    if !Url::parse(&edge.url).is_ok_and(|url| is_base_url(&url)) {
        let reason = format!("of {} must be http:// or https://, a host and an optional port", edge.name);
        return Err(Error::invalid("cdn.edge.url", reason));
    }
    if edge.access_log.is_some() && edge.log_format.is_none() {
        let reason = format!("of {} must be given with access_log", edge.name);
        return Err(Error::invalid("cdn.edge.log_format", reason));
    }
    if edge.rotated_log_dir.is_some() && edge.access_log.is_none() {
        let reason = format!("of {} must only be given with access_log", edge.name);
        return Err(Error::invalid("cdn.edge.rotated_log_dir", reason));
    }
    if edge.log_format == Some(LogFormat::Combined) && domain_count != 1 {
        let reason =
            format!("of {} has no host in its lines: domains must have exactly one domain", edge.name);
        return Err(Error::invalid("cdn.edge.log_format", reason));
    }
    Ok(())
}

#[async_trait]
impl CdnProvider for Edges {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    #[tracing::instrument(
        name = "cdn_submit", skip_all,
        fields(cdn = self.name, edge = batch.edge, operation = batch.operation.as_str(), urls = batch.items.len())
    )]
    async fn submit(&self, batch: &Batch) -> Result<Submissions, ProviderError> {
        let client = self.client(&batch.edge)?;
        let outcomes = if batch.operation == Operation::Preload {
            self.preloader.preload(client, &batch.items).await
        } else {
            purge::purge(client, &batch.items).await?
        };
        Ok(outcomes.into_iter().map(|outcome| outcome.map(|()| Submission::Done)).collect())
    }

    async fn services(&self) -> Result<Vec<ServedDomain>, ProviderError> {
        Ok(self.domains.iter().map(ServedDomain::new).collect())
    }
}

#[async_trait]
impl EdgeControl for Edges {
    #[tracing::instrument(name = "edge_session", level = "debug", skip_all, fields(cdn = self.name, edge, session))]
    async fn begin_session(
        &self,
        edge: &str,
        session: i64,
        epoch: i64,
    ) -> Result<SessionStart, ProviderError> {
        self.client(edge)?.begin_session(session, epoch).await
    }

    #[tracing::instrument(name = "edge_grant", level = "debug", skip_all, fields(cdn = self.name, edge, session))]
    async fn grant(&self, edge: &str, session: i64) -> Result<bool, ProviderError> {
        self.client(edge)?.lease("lease", session).await
    }

    // At trace level, because every edge's lease is renewed about three times a second.
    #[tracing::instrument(name = "edge_renew", level = "trace", skip_all, fields(cdn = self.name, edge, session))]
    async fn renew(&self, edge: &str, session: i64) -> Result<bool, ProviderError> {
        self.client(edge)?.lease("renew", session).await
    }
}
