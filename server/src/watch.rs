//! `pilothouse watch`: the changes of an app's configuration, as they reach a node.

use std::io::{ErrorKind, IsTerminal, Write, stdout};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use pilothouse_cdn_providers::SecretSource;
use pilothouse_client::{Client, Error, Status};
use pilothouse_core::ports::{Clock, SystemClock};

use crate::args::Watch;
use crate::failure::Failure;
use crate::serve::ended_by_signal;
use crate::settings::Settings;

/// The most characters of a value that are shown.
const SHOWN: usize = 120;

/// Prints each change until it is interrupted, as a node that then leaves.
pub(crate) async fn watch(settings: Settings, options: Watch) -> Result<(), Failure> {
    let Watch { app, profile, url, key, node_id } = options;
    let source: SecretSource = key.parse().map_err(|why| Failure::usage(format!("--key: {why}")))?;
    let key = source.read("--key")?;
    let url = url.unwrap_or_else(|| settings.server_url());
    let ended = ended_by_signal()?;
    let mut builder = Client::builder(&url, &app, key).profile(&profile).label("client", "watch");
    if let Some(node_id) = node_id {
        builder = builder.node_id(node_id);
    }
    let client = tokio::select! {
        client = builder.connect() => client.map_err(failure)?,
        () = ended.cancelled() => return Ok(()),
    };
    let mut changes = client.changes();
    let (node, revision) = (client.node_id(), client.revision());
    tracing::info!(node, revision, "watching {app}/{profile} on {url}: {} keys", client.keys().len());
    let line = Line { zone: settings.timezone, coloured: stdout().is_terminal() };
    let mut written = Ok(());
    while written.is_ok() {
        let change = tokio::select! {
            change = changes.next() => change,
            () = ended.cancelled() => None,
        };
        let Some(change) = change else { break };
        let text = line.of(SystemClock.now(), &change.key, change.old.as_deref(), change.new.as_deref());
        written = writeln!(stdout().lock(), "{text}");
    }
    let connected = client.status() == Status::Connected;
    let left = client.leave().await;
    match written {
        // A reader that went away has seen what it wanted.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::failed("standard output", error)),
        // A server that is away learns when the node's lease ends.
        _ if !connected => Ok(()),
        _ => left.map_err(failure),
    }
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Setup(why) => Failure::usage(why),
        error => Failure::failed("watch", error),
    }
}

/// Text of a change, as it is printed.
struct Line {
    zone: Tz,
    coloured: bool,
}

impl Line {
    fn of(&self, now: DateTime<Utc>, key: &str, old: Option<&str>, new: Option<&str>) -> String {
        let time = now.with_timezone(&self.zone).format("%H:%M:%S%.3f");
        let side = |value: Option<&str>| value.map_or_else(|| "-".to_owned(), shown);
        let (old, new) = (side(old), side(new));
        if self.coloured {
            format!("\x1b[2m{time}\x1b[0m  \x1b[1m{key}\x1b[0m  \x1b[31m{old}\x1b[0m → \x1b[32m{new}\x1b[0m")
        } else {
            format!("{time}  {key}  {old} → {new}")
        }
    }
}

/// A value on one line: in quotes, and escaped, so that none can steer the terminal.
fn shown(value: &str) -> String {
    let mut characters = value.chars();
    let start: String = characters.by_ref().take(SHOWN).collect();
    match characters.count() {
        0 => format!("{start:?}"),
        rest => format!("{start:?}… ({rest} more)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(coloured: bool, key: &str, old: Option<&str>, new: Option<&str>) -> String {
        let now = DateTime::from_timestamp_millis(1_499_940_862_007).unwrap();
        Line { zone: Tz::Asia__Shanghai, coloured }.of(now, key, old, new)
    }

    #[test]
    fn a_change_is_one_line() {
        assert_eq!(line(false, "port", Some("80"), Some("81")), r#"18:14:22.007  port  "80" → "81""#);
        assert_eq!(line(false, "it's", None, Some("")), r#"18:14:22.007  it's  - → """#);
        assert_eq!(
            line(false, "port", Some("a\nb\x1b[31m"), None),
            r#"18:14:22.007  port  "a\nb\u{1b}[31m" → -"#
        );
        let long = line(false, "port", None, Some(&"ü".repeat(SHOWN + 5)));
        assert!(long.ends_with("ü\"… (5 more)") && long.chars().count() < SHOWN + 50, "{long}");
    }

    #[test]
    fn colours_are_for_terminals() {
        assert_eq!(
            line(true, "port", Some("80"), Some("81")),
            "\x1b[2m18:14:22.007\x1b[0m  \x1b[1mport\x1b[0m  \x1b[31m\"80\"\x1b[0m → \x1b[32m\"81\"\x1b[0m"
        );
        assert!(!line(false, "port", Some("80"), Some("81")).contains('\x1b'));
    }
}
