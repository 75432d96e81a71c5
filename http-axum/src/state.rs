//! What every handler is given.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use pilothouse_core::Pilothouse;
use pilothouse_core::account::TokenAuthenticator;
use pilothouse_core::ports::Authenticator;

/// What an operator decides about HTTP. `HttpSettings::default()` holds the documented defaults.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Where the routers are nested, such as `/pilothouse`; empty at the root. The API document names it.
    pub prefix: String,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether the config family accepts writes by GET, as its document shows them.
    pub config_get_writes: bool,
    /// The apps whose configuration Apollo's clients may also ask for without a signature.
    pub apollo_unsigned_apps: Vec<String>,
    /// How long a question of Apollo's clients for news is held: 60 seconds.
    pub apollo_hold: Duration,
    /// How long a request may take before it is answered 408: 30 seconds.
    pub request_timeout: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            trusted_proxies: Vec::new(),
            config_get_writes: true,
            apollo_unsigned_apps: Vec::new(),
            apollo_hold: Duration::from_mins(1),
            request_timeout: Duration::from_secs(30),
        }
    }
}

/// The domain, who authenticates, and the settings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiState(Arc<Parts>);

/// What [`ApiState`] is made of. Behind one pointer, since every request is given several copies.
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
    /// With Pilothouse's own accounts and the default settings.
    pub fn new(pilothouse: Pilothouse) -> Self {
        let authenticator = Arc::new(TokenAuthenticator::new(pilothouse.clone()));
        Self(Arc::new(Parts { pilothouse, authenticator, settings: HttpSettings::default() }))
    }

    /// With the host's own way to tell who is calling.
    #[must_use]
    pub fn authenticator(mut self, authenticator: Arc<dyn Authenticator>) -> Self {
        Arc::make_mut(&mut self.0).authenticator = authenticator;
        self
    }

    /// With other settings.
    #[must_use]
    pub fn settings(mut self, settings: HttpSettings) -> Self {
        Arc::make_mut(&mut self.0).settings = settings;
        self
    }
}
