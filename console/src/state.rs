//! State of the pages: the domain, who authenticates, the settings.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use pilothouse_core::Pilothouse;
use tokio::sync::watch;

use crate::authenticator::{ConsoleAuthenticator, SessionAuthenticator};
use crate::language::Language;

/// Settings of the console. `ConsoleSettings::default()` holds the documented defaults; each field has a setter of its name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsoleSettings {
    /// Path under which the host nests the router, without a slash at its end: `/console`.
    pub prefix: String,
    /// Language of every page; without one each browser's own, and English for what is neither: none.
    pub language: Option<Language>,
    /// URL under which browsers reach the host, such as `https://example.com`, whose pages may send forms besides those of the
    /// host that a request names: none.
    pub public_url: Option<String>,
    /// Whether the router is served by TLS; a `public_url` of `https` says so, too: false.
    pub tls: bool,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Time limit of a request: 30 seconds.
    pub request_timeout: Duration,
}

impl Default for ConsoleSettings {
    fn default() -> Self {
        Self {
            prefix: "/console".to_owned(),
            language: None,
            public_url: None,
            tls: false,
            trusted_proxies: Vec::new(),
            request_timeout: Duration::from_secs(30),
        }
    }
}

impl ConsoleSettings {
    /// Sets the path under which the host nests the router.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the language of every page.
    #[must_use]
    pub fn with_language(mut self, language: Option<Language>) -> Self {
        self.language = language;
        self
    }

    /// Sets the URL under which browsers reach the host.
    #[must_use]
    pub fn with_public_url(mut self, url: Option<String>) -> Self {
        self.public_url = url;
        self
    }

    /// Sets whether the router is served by TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// Sets the proxies whose `X-Forwarded-For` is believed.
    #[must_use]
    pub fn with_trusted_proxies(mut self, proxies: impl IntoIterator<Item = IpNet>) -> Self {
        self.trusted_proxies = proxies.into_iter().collect();
        self
    }

    /// Sets the time limit of a request.
    #[must_use]
    pub fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Whether browsers reach the console by https.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls || self.public_url.as_ref().is_some_and(|url| url.starts_with("https://"))
    }
}

/// The domain, who authenticates, and the settings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ConsoleState {
    pub(crate) pilothouse: Pilothouse,
    pub(crate) authenticator: Arc<dyn ConsoleAuthenticator>,
    pub(crate) settings: Arc<ConsoleSettings>,
    setup_code: Arc<Mutex<Option<String>>>,
    streams: Arc<watch::Sender<bool>>,
}

impl ConsoleState {
    /// Creates the state with Pilothouse's own accounts and the default settings.
    pub fn new(pilothouse: Pilothouse) -> Self {
        let authenticator = Arc::new(SessionAuthenticator::new(pilothouse.clone()));
        let settings = Arc::new(ConsoleSettings::default());
        let streams = Arc::new(watch::Sender::new(false));
        Self { pilothouse, authenticator, settings, setup_code: Arc::default(), streams }
    }

    /// Sets the authenticator, where the host has accounts of its own.
    #[must_use]
    pub fn authenticator(mut self, authenticator: Arc<dyn ConsoleAuthenticator>) -> Self {
        self.authenticator = authenticator;
        self
    }

    /// Sets the settings.
    #[must_use]
    pub fn settings(mut self, settings: ConsoleSettings) -> Self {
        self.settings = Arc::new(settings);
        self
    }

    /// Ends the live parts of all pages, for a host that stops and need not wait for them. Browsers then ask again, and are
    /// answered once by each stream that they begin from then on.
    pub fn end_streams(&self) {
        self.streams.send_replace(true);
    }

    /// Turns true when live parts are to end.
    pub(crate) fn streams_end(&self) -> watch::Receiver<bool> {
        self.streams.subscribe()
    }

    /// Makes a code with which, once, the first account is made at `setup?code=`; for the host to show to whoever started it.
    /// Another one takes its place. The system's source of randomness may fail.
    pub fn new_setup_code(&self) -> Result<String, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        let code = hex::encode(bytes);
        *self.setup_code() = Some(code.clone());
        Ok(code)
    }

    /// Whether this is the code of the first account.
    pub(crate) fn is_setup_code(&self, code: &str) -> bool {
        self.setup_code().as_deref() == Some(code)
    }

    /// Takes the code, if it is this one: nobody else has it from then on.
    pub(crate) fn take_setup_code(&self, code: &str) -> bool {
        self.setup_code().take_if(|known| known == code).is_some()
    }

    /// Gives back a code that was not used after all.
    pub(crate) fn return_setup_code(&self, code: String) {
        *self.setup_code() = Some(code);
    }

    fn setup_code(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.setup_code.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
