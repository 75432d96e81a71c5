//! How a client is set up.

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

use crate::node::{Node, OnChange, Outcomes, Rejection};
use crate::snapshot::Snapshot;
use crate::state::Change;
use crate::status::Status;
use crate::wire::{Identity, Wire};
use crate::{Client, Error, Result};

/// How long setting up a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// A client that is being set up; see [`Client::builder`].
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
    start_time: Duration,
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
            start_time: Duration::from_secs(5),
            http: None,
        }
    }

    /// The profile, like `production`. There is no default.
    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.profile = profile.into();
        self
    }

    /// Another server over the same store. When one fails the next is asked, and after the last the first.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// What identifies this node within app and profile. Without it one is made, once where there is a snapshot.
    pub fn node_id(mut self, node_id: impl Into<String>) -> Self {
        self.node_id = Some(node_id.into());
        self
    }

    /// What the node list shows as the process; by default the id of this process.
    pub fn pid(mut self, pid: impl Into<String>) -> Self {
        self.pid = pid.into();
        self
    }

    /// The address that grey releases by address go by; by default the one the server sees.
    pub fn ip(mut self, ip: IpAddr) -> Self {
        self.ip = Some(ip);
        self
    }

    /// A label that grey releases may select nodes by, like `zone` and `a`.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Keeps what the node holds, and its id, in this file (mode 0600), so that the program starts while no server
    /// answers and a restart is the same node. The folder must exist; no other program may use the file.
    pub fn snapshot(mut self, file: impl Into<PathBuf>) -> Self {
        self.snapshot = Some(file.into());
        self
    }

    /// Is asked about every change before it shows. An error rejects the value: the old one stays, and the server is
    /// told with the message, as it is told of a panic. A removal is only announced. It may block. Values of the
    /// snapshot were accepted by an earlier run and are not asked about again.
    pub fn on_change(
        mut self,
        on_change: impl Fn(&Change) -> Result<(), Rejection> + Send + Sync + 'static,
    ) -> Self {
        self.on_change = Some(Arc::new(on_change));
        self
    }

    /// The longest wait before another attempt: at first, and at most. The wait is random up to a bound that doubles
    /// from the one (100 ms) to the other (10 s). A refused key is tried again after 3 to 6 times the latter.
    pub fn backoff(mut self, first: Duration, most: Duration) -> Self {
        self.backoff = (first, most);
        self
    }

    /// How often the servers give a sign of life (15 s). A watch that is silent for 2.5 times as long is dead.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat;
        self
    }

    /// How long [`Self::connect`] waits for a server before it goes on with the snapshot, or fails (5 s).
    pub fn start_time(mut self, start_time: Duration) -> Self {
        self.start_time = start_time;
        self
    }

    /// The HTTP client to use, for instance with a certificate authority of one's own. It must not have a time-out for
    /// whole requests, which would end every watch.
    pub fn http(mut self, http: reqwest::Client) -> Self {
        self.http = Some(http);
        self
    }

    /// Starts the client, and waits until it holds what the server wants it to hold. Where no server answers, it holds
    /// what the snapshot says, and goes on trying; without a snapshot that is an error.
    pub async fn connect(self) -> Result<Client> {
        let (first, most) = self.backoff;
        if first.is_zero() || most < first {
            return Err(Error::Setup(
                "backoff: the first wait must be more than nothing, and no longer than the most".into(),
            ));
        }
        let wire = |node_id| self.wire(node_id);
        let loaded = self.snapshot.as_deref().and_then(|path| Snapshot::load(path, &self.app, &self.profile));
        let made_before = loaded.as_ref().map(|snapshot| snapshot.node_id.clone());
        let new = loaded.is_none();
        let node_id = match self.node_id.clone().or(made_before) {
            Some(node_id) => node_id,
            None => make_id()?,
        };
        let wire = wire(node_id)?;
        let held = loaded.and_then(Snapshot::state);
        let has_state = held.is_some();
        let node = Arc::new(Node {
            wire,
            state: watch::Sender::new(Arc::new(held.unwrap_or_default())),
            status: watch::Sender::new(Status::Starting),
            on_change: self.on_change.clone(),
            snapshot: self.snapshot.clone(),
            backoff: self.backoff,
            silence: self.heartbeat.mul_f64(2.5),
            outcomes: Mutex::new(Outcomes::new()),
            outcomes_changed: Notify::new(),
        });
        if new {
            // Before the server hears of the node: a program that fails and is started again must not be a new one each time.
            node.save(None).await;
        }
        let client = Client::start(node);
        let mut status = client.node().status.subscribe();
        let settled = status.wait_for(|status| match status {
            Status::Connected | Status::Refused(_) => true,
            Status::Disconnected(_) => has_state,
            Status::Starting => false,
        });
        // Time running out is the same as a server that does not answer.
        let _ = tokio::time::timeout(self.start_time, settled).await;
        match client.status() {
            Status::Connected => Ok(client),
            _ if has_state => Ok(client),
            Status::Refused(why) => Err(Error::Refused(why.to_string())),
            Status::Disconnected(why) => Err(Error::Unreachable(why.to_string())),
            Status::Starting => Err(Error::Unreachable(format!("no answer within {:?}", self.start_time))),
        }
    }

    fn wire(&self, node_id: String) -> Result<Wire> {
        let setup = |what: &str, why: String| Error::Setup(format!("{what}: {why}"));
        for (what, text) in [("app", &self.app), ("profile", &self.profile), ("key", &self.key)] {
            if text.is_empty() {
                return Err(setup(what, "must not be empty".into()));
            }
        }
        if HeaderValue::from_str(&self.key).is_err() {
            return Err(setup("key", "holds characters that no key has".into()));
        }
        let mut urls = Vec::new();
        for url in &self.urls {
            let parsed = Url::parse(url).map_err(|error| setup("url", format!("{url}: {error}")))?;
            if !matches!(parsed.scheme(), "http" | "https")
                || parsed.query().is_some()
                || parsed.fragment().is_some()
            {
                return Err(setup(
                    "url",
                    format!("{url} is not http://host or https://host, with a prefix or without"),
                ));
            }
            urls.push(url.trim_end_matches('/').to_owned());
        }
        let http = match &self.http {
            Some(http) => http.clone(),
            None => reqwest::Client::builder()
                .connect_timeout(CONNECT_TIME)
                .build()
                .map_err(|error| setup("http", error.to_string()))?,
        };
        let identity = Identity {
            app: self.app.clone(),
            profile: self.profile.clone(),
            node_id,
            pid: self.pid.clone(),
            ip: self.ip.map(|ip| ip.to_string()),
            labels: self.labels.clone(),
        };
        Ok(Wire { http, urls, turn: AtomicUsize::new(0), key: self.key.clone(), identity })
    }
}

/// 128 random bits.
fn make_id() -> Result<String> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits)
        .map_err(|error| Error::Setup(format!("node_id: no randomness for one: {error}")))?;
    Ok(hex::encode(bits))
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
