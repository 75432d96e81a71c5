//! Examination of the server for `doctor`: whether it answers, and whether it accepts the agent's token.

use super::identity::Identity;
use super::server::Server;
use crate::doctor::{Finding, Severity};
use crate::error::Error;
use crate::settings::Settings;

/// Asks the server of the settings for nothing that it would note; none where the settings name no server.
pub(crate) fn examine(settings: &Settings) -> Option<Finding> {
    let url = settings.server.as_deref()?;
    let finding = |severity, text: &str| Some(Finding::new(severity, format!("server {url}: {text}")));
    let is_enrolled = Identity::exists(&settings.state_dir);
    let identity = is_enrolled.then(|| Identity::load(&settings.state_dir)).transpose();
    let asked = identity.and_then(|identity| {
        let token = identity.map(|identity| identity.token).unwrap_or_default();
        Server::new(settings, &token)?.accepts_token().map_err(Error::from)
    });
    match asked {
        Ok(true) => finding(Severity::Good, "answers, and accepts the token"),
        Ok(false) if is_enrolled => {
            finding(Severity::Failure, "answers, but does not accept the token: the agent was revoked")
        }
        Ok(false) => finding(Severity::Warning, "answers; this agent is not enrolled"),
        Err(error) => finding(Severity::Failure, &error.chain()),
    }
}
