//! Settings file (TOML): reading, checking, and who may have written it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::path::PathPrefix;
use crate::policy::Policy;

/// Default of `timeout_seconds` of a command.
const COMMAND_TIMEOUT: u64 = 20;
/// Greatest `timeout_seconds` of a command.
const MOST_COMMAND_TIMEOUT: u64 = 3600;

/// Settings of the agent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// URL of the server. Commands without a server do not use it.
    pub server: Option<String>,
    /// Folder of journal, blobs and lock, private to the agent.
    pub state_dir: PathBuf,
    /// Percent of a file system that is left free, 0 to 50; at least 64 MiB are, too.
    pub reserve_percent: u8,
    /// Which paths orders may name.
    pub policy: Policy,
    /// File with certificate authorities (PEM) instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Commands that `check` and `reload` of an order may name.
    pub commands: BTreeMap<String, CommandSettings>,
}

/// Command that the settings declare.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CommandSettings {
    /// Program and arguments; `{staged}` is replaced by the path of the staged file. No shell reads them.
    pub argv: Vec<String>,
    /// Time limit, 1 to 3600 s, after which the command is killed.
    pub timeout: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsFile {
    server: Option<String>,
    #[serde(default = "default_state_dir")]
    state_dir: String,
    #[serde(default = "default_reserve")]
    reserve_percent: u8,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    command: BTreeMap<String, CommandTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandTable {
    argv: Vec<String>,
    #[serde(default = "default_timeout")]
    timeout_seconds: u64,
}

impl Settings {
    /// Reads and checks the settings file. It must belong to root or to the running user, and group and others must not be
    /// able to write it: whoever can write it decides which files are replaced and which commands run.
    pub fn load(path: &Path) -> Result<Self> {
        let wrong = |what: String| Error::Settings(format!("{}: {what}", path.display()));
        let mut file = File::open(path).map_err(|error| wrong(error.to_string()))?;
        let metadata = file.metadata().map_err(|error| wrong(error.to_string()))?;
        if !metadata.is_file() {
            return Err(wrong("is not a regular file".to_owned()));
        }
        let user = rustix::process::geteuid().as_raw();
        if metadata.uid() != 0 && metadata.uid() != user {
            let owner = metadata.uid();
            return Err(wrong(format!("must belong to root or to user {user}, but belongs to user {owner}")));
        }
        if metadata.mode() & 0o022 != 0 {
            let mode = metadata.mode() & 0o7777;
            return Err(wrong(format!("must not be writable by group or others, but has mode {mode:04o}")));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
        Self::parse(&text, path)
    }

    /// Checks the text of a settings file. `path` is where it stands, which orders may not replace.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let wrong = |what: String| Error::Settings(format!("{}: {what}", path.display()));
        let file: SettingsFile = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let state_dir = PathPrefix::new(&file.state_dir)
            .map_err(|refusal| wrong(format!("state_dir = {:?}: {refusal}", file.state_dir)))?;
        let allow = prefixes("allow", &file.allow).map_err(wrong)?;
        let deny = prefixes("deny", &file.deny).map_err(wrong)?;
        if let Some(server) = &file.server
            && !server.starts_with("https://")
            && !is_loopback(server)
        {
            let why = "must begin with https://, or be http:// on this machine";
            return Err(wrong(format!("server = {server:?}: {why}")));
        }
        let mut commands = BTreeMap::new();
        for (name, table) in file.command {
            let command = command(table).map_err(|what| wrong(format!("command.{name}: {what}")))?;
            commands.insert(name, command);
        }
        if file.reserve_percent > 50 {
            return Err(wrong("reserve_percent: must be from 0 to 50".to_owned()));
        }
        let own = own_files(state_dir, path);
        Ok(Self {
            server: file.server,
            state_dir: file.state_dir.into(),
            reserve_percent: file.reserve_percent,
            policy: Policy::new(allow, deny, own),
            ca_file: file.ca_file,
            commands,
        })
    }
}

fn prefixes(key: &str, lines: &[String]) -> std::result::Result<Vec<PathPrefix>, String> {
    let prefix =
        |line: &String| PathPrefix::new(line).map_err(|refusal| format!("{key}: {line:?}: {refusal}"));
    lines.iter().map(prefix).collect()
}

fn command(table: CommandTable) -> std::result::Result<CommandSettings, String> {
    if table.argv.first().is_none_or(String::is_empty) {
        return Err("argv must name a program".to_owned());
    }
    if table.argv.iter().any(|argument| argument.contains('\0')) {
        return Err("argv must not contain NUL".to_owned());
    }
    if !(1..=MOST_COMMAND_TIMEOUT).contains(&table.timeout_seconds) {
        return Err(format!("timeout_seconds must be from 1 to {MOST_COMMAND_TIMEOUT}"));
    }
    Ok(CommandSettings { argv: table.argv, timeout: Duration::from_secs(table.timeout_seconds) })
}

/// State folder, settings file and program, under the names they were given and their real ones.
fn own_files(state_dir: PathPrefix, settings: &Path) -> Vec<PathPrefix> {
    let program = std::env::current_exe().ok();
    let absolute = std::path::absolute(settings).ok();
    let state = PathBuf::from(state_dir.to_string());
    let mut own = vec![state_dir];
    for path in [program, absolute, Some(state)].into_iter().flatten() {
        for name in [path.canonicalize().ok(), Some(path)].into_iter().flatten() {
            own.extend(name.to_str().and_then(|name| PathPrefix::new(name).ok()));
        }
    }
    own
}

/// Whether a URL of plain HTTP leads to this machine: elsewhere a token would be there for everybody to read.
fn is_loopback(url: &str) -> bool {
    let host = url.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
    host.is_some_and(|host| {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        matches!(name, "localhost" | "127.0.0.1" | "[::1]") || host == "[::1]"
    })
}

fn default_reserve() -> u8 {
    5
}

fn default_state_dir() -> String {
    "/var/lib/pilothouse-agent".to_owned()
}

fn default_timeout() -> u64 {
    COMMAND_TIMEOUT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings> {
        Settings::parse(text, Path::new("/etc/pilothouse/agent.toml"))
    }

    #[test]
    fn an_empty_file_allows_nothing() {
        let settings = parse("").unwrap();
        assert!(settings.policy.allow().is_empty());
        assert_eq!(settings.state_dir, Path::new("/var/lib/pilothouse-agent"));
        assert_eq!(settings.reserve_percent, 5);
    }

    #[test]
    fn every_key_of_the_contract_is_known() {
        let settings = parse(
            r#"server = "https://pilothouse.example.com"
            state_dir = "/var/lib/agent"
            allow = ["/etc/nginx", "/srv/app/conf"]
            deny = ["/etc/nginx/keys"]
            ca_file = "/etc/pilothouse/ca.pem"
            [command.nginx-test]
            argv = ["nginx", "-t", "-c", "{staged}"]
            timeout_seconds = 5"#,
        )
        .unwrap();
        assert_eq!(settings.commands["nginx-test"].timeout, Duration::from_secs(5));
        assert_eq!(settings.policy.allow().len(), 2);
    }

    #[test]
    fn wrong_settings_are_named() {
        for (text, named) in [
            ("alow = []", "alow"),
            ("[command.a]\nargv = [\"a\"]\nshell = true", "shell"),
            ("[command.a]\nargv = []", "command.a"),
            ("[command.a]\nargv = [\"a\"]\ntimeout_seconds = 0", "timeout_seconds"),
            ("allow = [\"etc\"]", "allow"),
            ("deny = [\"/a/../b\"]", "deny"),
            ("state_dir = \"state\"", "state_dir"),
            ("reserve_percent = 51", "reserve_percent"),
            ("server = \"ftp://a\"", "server"),
            ("server = \"http://pilothouse.example.com\"", "server"),
            ("server = \"http://127.0.0.1.example.com/\"", "server"),
        ] {
            let Err(Error::Settings(told)) = parse(text) else { panic!("{text} is accepted") };
            assert!(told.contains(named), "{text}: {told}");
        }
    }

    #[test]
    fn the_agents_own_files_are_refused() {
        let settings = parse("allow = [\"/\"]\nstate_dir = \"/var/lib/agent\"").unwrap();
        for path in ["/var/lib/agent/journal", "/etc/pilothouse/agent.toml"] {
            assert!(settings.policy.check(&crate::TargetPath::new(path).unwrap()).is_err(), "{path}");
        }
    }
}
