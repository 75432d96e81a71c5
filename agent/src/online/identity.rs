//! Identity of an enrolled agent: its token and the id of its state folder, in a file that only it can read.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::server::Server;
use crate::agent::Agent;
use crate::error::{Context, Error, Result};
use crate::settings::Settings;
use crate::state_folder::sync_folder;

const NAME: &str = "identity.json";

/// Token of the agent and id of its state folder.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Identity {
    /// Random id of the state folder: a restart is the same instance.
    pub(super) instance: String,
    /// Bearer token.
    pub(super) token: String,
    /// Unix time in seconds at which the server gave the token; 0 of one from before that was noted.
    #[serde(default)]
    renewed: u64,
}

/// Age in seconds from which on a token is renewed: 30 days.
const RENEWED_AFTER: u64 = 30 * 86_400;

impl Identity {
    /// Whether the state folder has an identity. One that cannot be read is one.
    pub(super) fn exists(state: &Path) -> bool {
        state.join(NAME).symlink_metadata().map_or_else(|error| error.kind() != ErrorKind::NotFound, |_| true)
    }

    pub(super) fn load(state: &Path) -> Result<Self> {
        let path = state.join(NAME);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| Error::Settings(format!("{}: {error}; enrol again", path.display()))),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Error::Settings("this agent is not enrolled; `enroll --code CODE` does that".to_owned()))
            }
            Err(error) => Err(error).context(format!("reading {}", path.display())),
        }
    }

    /// Whether the token is due to be renewed. One from the future was noted by a wrong clock, and is renewed, too.
    pub(super) fn is_due(&self) -> bool {
        now().abs_diff(self.renewed) >= RENEWED_AFTER
    }

    /// The identity with another token of the server's, which is durable before it is used. The server takes the one before
    /// until then.
    pub(super) fn renewed(&self, state: &Path, token: &str) -> Result<Self> {
        let renewed = Self { instance: self.instance.clone(), token: token.to_owned(), renewed: now() };
        renewed.save(state)?;
        Ok(renewed)
    }

    fn save(&self, state: &Path) -> Result<()> {
        let temporary = state.join("identity.json.new");
        let writing = || format!("writing {}", temporary.display());
        let _ = fs::remove_file(&temporary);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let mut file: File = file.context(writing())?;
        let text = serde_json::to_string(self).map_err(std::io::Error::from).context(writing())?;
        file.write_all(text.as_bytes()).context(writing())?;
        file.sync_all().context(writing())?;
        fs::rename(&temporary, state.join(NAME)).context("naming the identity")?;
        sync_folder(state)
    }
}

/// Enrols this machine's agent with a one-time code and keeps its token in the state folder.
pub fn enroll(settings: Settings, code: &str) -> Result<()> {
    let server = Server::new(&settings, "")?;
    let agent = Agent::open(settings)?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Error::Io {
        what: "reading random bytes".to_owned(),
        source: std::io::Error::other(error),
    })?;
    let answer =
        server.post("/api/agent/enroll", &json!({"code": code, "facts": facts()}), Duration::ZERO)?;
    let token = answer.as_ref().and_then(|info| info["token"].as_str());
    let token = token.ok_or_else(|| Error::Server("the server's answer has no token".to_owned()))?;
    let identity = Identity { instance: hex::encode(random), token: token.to_owned(), renewed: now() };
    identity.save(agent.state_dir())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn facts() -> serde_json::Value {
    let system = rustix::system::uname();
    json!({
        "hostname": system.nodename().to_string_lossy(),
        "os": system.sysname().to_string_lossy(),
        "kernel": system.release().to_string_lossy(),
        "version": env!("CARGO_PKG_VERSION"),
    })
}
