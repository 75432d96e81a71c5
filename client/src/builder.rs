//! Client builder: the client's options, their validation, and the connect.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;
use tokio::sync::{Notify, watch};

use crate::error::error_chain;
use crate::node::{Node, OnChange, Outcomes, Rejection};
use crate::node_api::{Identity, NodeApi};
use crate::snapshot::Snapshot;
use crate::state::Change;
use crate::status::Status;
use crate::{Client, Error, Result};

/// Time-out of opening a TCP connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Client {
    /// Creates a builder for an app and one of its app keys. `url` is the base URL of the server, with its path prefix
    /// if it has one; [`Builder::url`] adds further servers.
    pub fn builder(url: impl Into<String>, app: impl Into<String>, key: impl Into<String>) -> Builder {
        Builder::new(url.into(), app.into(), key.into())
    }
}

/// Builder of a [`Client`], made by [`Client::builder`].
#[derive(Clone)]
#[must_use = "nothing happens before `connect`"]
pub struct Builder {
    urls: Vec<String>,
    app: String,
    key: String,
    profile: String,
    node_id: Option<String>,
    pid: String,
    ip: Option<IpAddr>,
    labels: BTreeMap<String, String>,
    snapshot: Option<PathBuf>,
    on_change: Option<OnChange>,
    backoff: (Duration, Duration),
    heartbeat: Duration,
    startup_timeout: Duration,
    http: Option<reqwest::Client>,
}

impl Builder {
    pub(crate) fn new(url: String, app: String, key: String) -> Self {
        Self {
            urls: vec![url],
            app,
            key,
            profile: String::new(),
            node_id: None,
            pid: std::process::id().to_string(),
            ip: None,
            labels: BTreeMap::new(),
            snapshot: None,
            on_change: None,
            backoff: (Duration::from_millis(100), Duration::from_secs(10)),
            heartbeat: Duration::from_secs(15),
            startup_timeout: Duration::from_secs(5),
            http: None,
        }
    }

    /// Profile of the app, for instance `production`. Required: there is no default.
    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.profile = profile.into();
        self
    }

    /// Adds a server that shares the first one's database. When a server fails, the client uses the next, in a circle.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// Node id, unique within app and profile. Default: a random one, which a snapshot keeps across restarts.
    pub fn node_id(mut self, node_id: impl Into<String>) -> Self {
        self.node_id = Some(node_id.into());
        self
    }

    /// Process that the node list shows. Default: the id of this process.
    pub fn pid(mut self, pid: impl Into<String>) -> Self {
        self.pid = pid.into();
        self
    }

    /// IP address for grey releases that select nodes by address. Default: the address the server sees.
    pub fn ip(mut self, ip: IpAddr) -> Self {
        self.ip = Some(ip);
        self
    }

    /// Adds a label that grey releases may select nodes by, for instance `zone` with the value `a`.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Snapshot file (mode 0600) of the last known configuration and the node id. With it the program starts while no
    /// server answers, and keeps its node id across restarts. The folder must exist; each program needs its own file.
    pub fn snapshot(mut self, file: impl Into<PathBuf>) -> Self {
        self.snapshot = Some(file.into());
        self
    }

    /// Callback that validates every change before it becomes visible. An error rejects the value: the old value stays
    /// and the rejection is reported to the server with its message; a panic is reported as a failure. A removal cannot
    /// be rejected. The callback may block. It is not called for values from the snapshot, which an earlier run has
    /// accepted.
    pub fn on_change(
        mut self,
        on_change: impl Fn(&Change) -> Result<(), Rejection> + Send + Sync + 'static,
    ) -> Self {
        self.on_change = Some(Arc::new(on_change));
        self
    }

    /// Backoff of reconnects, with full jitter: each wait is random, up to a bound that doubles from `initial` (default
    /// 100 ms) to `max` (default 10 s). A refused app key is retried after 3 to 6 times `max`.
    pub fn backoff(mut self, initial: Duration, max: Duration) -> Self {
        self.backoff = (initial, max);
        self
    }

    /// Heartbeat interval of the servers (default 15 s). A watch without a received byte for 2.5 intervals counts as
    /// dead and is opened again.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat;
        self
    }

    /// Time-out of [`Self::connect`] (default 5 s), after which it continues with the snapshot, or fails without one.
    pub fn startup_timeout(mut self, startup_timeout: Duration) -> Self {
        self.startup_timeout = startup_timeout;
        self
    }

    /// HTTP client to use, for instance one that trusts a private certificate authority. It must not have a time-out for
    /// whole requests, which would end every watch.
    pub fn http(mut self, http: reqwest::Client) -> Self {
        self.http = Some(http);
        self
    }

    /// Starts the client and waits until it has received its configuration. When no server answers in time, the client
    /// starts from the snapshot and keeps reconnecting; without a snapshot that is [`Error::Unreachable`].
    pub async fn connect(self) -> Result<Client> {
        let (initial, max) = self.backoff;
        if initial.is_zero() || max < initial {
            let reason = "backoff: the initial wait must be longer than 0 and not longer than the maximum";
            return Err(Error::Setup(reason.into()));
        }
        let loaded = self.snapshot.as_deref().and_then(|path| Snapshot::load(path, &self.app, &self.profile));
        let saved_id = loaded.as_ref().map(|snapshot| snapshot.node_id.clone());
        let is_new = loaded.is_none();
        let node_id = match self.node_id.clone().or(saved_id) {
            Some(node_id) => node_id,
            None => random_node_id()?,
        };
        let api = self.node_api(node_id)?;
        let saved_state = loaded.and_then(Snapshot::state);
        let has_state = saved_state.is_some();
        let node = Arc::new(Node {
            api,
            state: watch::Sender::new(Arc::new(saved_state.unwrap_or_default())),
            status: watch::Sender::new(Status::Starting),
            on_change: self.on_change.clone(),
            snapshot: self.snapshot.clone(),
            backoff: self.backoff,
            idle_timeout: self.heartbeat.mul_f64(2.5),
            pending_outcomes: Mutex::new(Outcomes::new()),
            outcomes_changed: Notify::new(),
        });
        if is_new {
            // Saves the node id before the server sees it, so that a program that crashes and restarts in a loop does not
            // register a new node each time.
            node.write_snapshot(None).await;
        }
        let client = Client::start(node);
        let mut status = client.node().status.subscribe();
        let settled = status.wait_for(|status| match status {
            Status::Connected | Status::Refused(_) => true,
            Status::Disconnected(_) => has_state,
            Status::Starting => false,
        });
        // The status below says whether it is connected; a time-out counts as a server that does not answer.
        let _ = tokio::time::timeout(self.startup_timeout, settled).await;
        match client.status() {
            Status::Connected => Ok(client),
            _ if has_state => Ok(client),
            Status::Refused(reason) => Err(Error::Refused(reason.to_string())),
            Status::Disconnected(reason) => Err(Error::Unreachable(reason.to_string())),
            Status::Starting => {
                Err(Error::Unreachable(format!("no answer within {:?}", self.startup_timeout)))
            }
        }
    }

    /// Validates the options that the node API needs.
    fn node_api(&self, node_id: String) -> Result<NodeApi> {
        let setup = |option: &str, reason: String| Error::Setup(format!("{option}: {reason}"));
        for (option, text) in [("app", &self.app), ("profile", &self.profile), ("key", &self.key)] {
            if text.is_empty() {
                return Err(setup(option, "must not be empty".into()));
            }
        }
        if HeaderValue::from_str(&self.key).is_err() {
            return Err(setup("key", "must contain only visible ASCII characters".into()));
        }
        let mut urls = Vec::new();
        for url in &self.urls {
            let parsed = Url::parse(url).map_err(|error| setup("url", format!("{url}: {error}")))?;
            if !matches!(parsed.scheme(), "http" | "https")
                || parsed.query().is_some()
                || parsed.fragment().is_some()
            {
                let reason =
                    format!("{url}: must be http:// or https://, a host and an optional path prefix");
                return Err(setup("url", reason));
            }
            urls.push(url.trim_end_matches('/').to_owned());
        }
        let http = match &self.http {
            Some(http) => http.clone(),
            None => {
                // Fails where the program has chosen one itself, which then counts.
                let _ = rustls::crypto::ring::default_provider().install_default();
                reqwest::Client::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .build()
                    .map_err(|error| setup("http", error_chain(&error)))?
            }
        };
        let identity = Identity {
            app: self.app.clone(),
            profile: self.profile.clone(),
            node_id,
            pid: self.pid.clone(),
            ip: self.ip.map(|ip| ip.to_string()),
            labels: self.labels.clone(),
        };
        Ok(NodeApi { http, urls, current: AtomicUsize::new(0), key: self.key.clone(), identity })
    }
}

/// Generates a node id: 128 random bits in hexadecimal.
fn random_node_id() -> Result<String> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits)
        .map_err(|error| Error::Setup(format!("node_id: the system has no random numbers: {error}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bits)))
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("urls", &self.urls)
            .field("app", &self.app)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}
