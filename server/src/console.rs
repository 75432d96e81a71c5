//! The web console beside the API.

use std::net::SocketAddr;

use axum::Router;
use pilothouse_core::Pilothouse;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::settings::Settings;

/// Path of the console.
pub(crate) const PATH: &str = "/console";

/// Whether this program serves the console.
pub(crate) fn is_served(settings: &Settings) -> bool {
    cfg!(feature = "console") && settings.console
}

/// Console of a server, and the way to its first account.
#[derive(Debug, Default)]
pub(crate) struct Console {
    router: Option<Router>,
    /// URL of the page, to be shown to whoever started the server.
    pub(crate) url: Option<String>,
    /// URL that makes the first account, once; only where there is none.
    pub(crate) setup_url: Option<String>,
}

impl Console {
    /// The console by the settings; nothing where they or the program have none. Its live parts end when the server is to.
    #[cfg(feature = "console")]
    pub(crate) async fn new(
        settings: &Settings,
        pilothouse: &Pilothouse,
        address: SocketAddr,
        ended: CancellationToken,
    ) -> Result<Self, Failure> {
        use pilothouse_console::{ConsoleSettings, ConsoleState, router};

        if !settings.console {
            return Ok(Self::default());
        }
        let pages = ConsoleSettings::default()
            .with_prefix(PATH)
            .with_language(settings.console_language.language())
            .with_public_url(settings.public_url.clone())
            .with_tls(settings.tls_certificate.is_some())
            .with_trusted_proxies(settings.trusted_proxies.iter().map(|proxy| proxy.0));
        let state = ConsoleState::new(pilothouse.clone()).settings(pages);
        let streams = state.clone();
        tokio::spawn(async move {
            ended.cancelled().await;
            streams.end_streams();
        });
        let base = settings.url_of(address);
        let mut setup_url = None;
        if !pilothouse.accounts().any().await? {
            let code = state.new_setup_code();
            let code = code.map_err(|error| Failure::failed("the code of the first account", error))?;
            setup_url = Some(format!("{base}{PATH}/setup?code={code}"));
        }
        Ok(Self { router: Some(router(state)), url: Some(format!("{base}{PATH}")), setup_url })
    }

    /// Nothing: this program was built without the console.
    #[cfg(not(feature = "console"))]
    #[expect(clippy::unused_async, reason = "the same as with the console")]
    pub(crate) async fn new(
        _: &Settings,
        _: &Pilothouse,
        _: SocketAddr,
        _: CancellationToken,
    ) -> Result<Self, Failure> {
        Ok(Self::default())
    }

    /// The routes with the console among them.
    pub(crate) fn beside(&mut self, routes: Router) -> Router {
        match self.router.take() {
            Some(console) => routes.nest(PATH, console),
            None => routes,
        }
    }
}
