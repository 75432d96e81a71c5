//! State of the handlers: the domain, the authenticator, HTTP settings.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use pilothouse_core::Pilothouse;
use pilothouse_core::account::TokenAuthenticator;
use pilothouse_core::ports::Authenticator;

use crate::cors::Origin;

/// HTTP settings. `HttpSettings::default()` holds the documented defaults; each field has a setter
/// of its name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpSettings {
    /// Prefix under which the routers are nested, such as `/pilothouse`; empty at the root. The API document names it;
    /// links take the prefix from each request.
    pub prefix: String,
    /// URL under which clients reach these routers, with the prefix, such as `https://example.com/pilothouse`; every link
    /// begins with it. Without it a link begins with the host that the request names, and the prefix: none.
    pub public_url: Option<String>,
    /// Whether the routers are served by TLS, for links without a `public_url`: false.
    pub tls: bool,
    /// Path that `/` leads browsers to, such as `/console`, without the prefix; without one it is `/docs` where that is
    /// served: none.
    pub front: Option<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether the config family accepts writes by GET, as its document shows them.
    pub config_get_writes: bool,
    /// The apps whose configuration Apollo's clients may also ask for without a signature.
    pub apollo_unsigned_apps: Vec<String>,
    /// Origins whose pages may call the API from a browser: none.
    pub cors_origins: Vec<Origin>,
    /// The longest time that a long poll of a node or of an Apollo client is held: 50 seconds, less than proxies wait for an
    /// answer.
    pub long_poll: Duration,
    /// Time limit of a request, which is answered 503 after it: 30 seconds.
    pub request_timeout: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            public_url: None,
            tls: false,
            front: None,
            trusted_proxies: Vec::new(),
            config_get_writes: true,
            apollo_unsigned_apps: Vec::new(),
            cors_origins: Vec::new(),
            long_poll: Duration::from_secs(50),
            request_timeout: Duration::from_secs(30),
        }
    }
}

impl HttpSettings {
    /// Sets the prefix under which the host nests the routers, such as `/fleet`.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the URL under which clients reach these routers, with the prefix, and with which every link begins.
    #[must_use]
    pub fn with_public_url(mut self, url: Option<String>) -> Self {
        self.public_url = url;
        self
    }

    /// Sets whether the routers are served by TLS, for links without a `public_url`.
    #[must_use]
    pub fn with_tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// Sets the path that `/` leads browsers to.
    #[must_use]
    pub fn with_front(mut self, path: Option<String>) -> Self {
        self.front = path;
        self
    }

    /// Sets the proxies whose `X-Forwarded-For` is believed.
    #[must_use]
    pub fn with_trusted_proxies(mut self, proxies: impl IntoIterator<Item = IpNet>) -> Self {
        self.trusted_proxies = proxies.into_iter().collect();
        self
    }

    /// Sets whether the config family accepts writes by GET.
    #[must_use]
    pub fn with_config_get_writes(mut self, accepted: bool) -> Self {
        self.config_get_writes = accepted;
        self
    }

    /// Sets the apps whose configuration Apollo's clients may ask for without a signature.
    #[must_use]
    pub fn with_apollo_unsigned_apps(mut self, apps: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.apollo_unsigned_apps = apps.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the origins whose pages may call the API from a browser.
    #[must_use]
    pub fn with_cors_origins(mut self, origins: impl IntoIterator<Item = Origin>) -> Self {
        self.cors_origins = origins.into_iter().collect();
        self
    }

    /// Sets the longest time that a long poll is held.
    #[must_use]
    pub fn with_long_poll(mut self, long_poll: Duration) -> Self {
        self.long_poll = long_poll;
        self
    }

    /// Sets the time limit of a request.
    #[must_use]
    pub fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }
}

/// The domain, who authenticates, and the settings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiState(Arc<Parts>);

/// Parts of [`ApiState`]. Behind one pointer, since every request is given several copies.
#[derive(Clone, Debug)]
pub struct Parts {
    pub(crate) pilothouse: Pilothouse,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) settings: HttpSettings,
}

impl Deref for ApiState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl ApiState {
    /// Creates the state with Pilothouse's own accounts and the default settings.
    pub fn new(pilothouse: Pilothouse) -> Self {
        let authenticator = Arc::new(TokenAuthenticator::new(pilothouse.clone()));
        Self(Arc::new(Parts { pilothouse, authenticator, settings: HttpSettings::default() }))
    }

    /// Sets the authenticator, where the host has accounts of its own.
    #[must_use]
    pub fn authenticator(mut self, authenticator: Arc<dyn Authenticator>) -> Self {
        Arc::make_mut(&mut self.0).authenticator = authenticator;
        self
    }

    /// Sets the HTTP settings.
    #[must_use]
    pub fn settings(mut self, settings: HttpSettings) -> Self {
        Arc::make_mut(&mut self.0).settings = settings;
        self
    }
}
