//! Worker of the agent: polls for orders and carries them out, one at a time.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::attempt::Attempt;
use super::download::download;
use super::identity::Identity;
use super::server::{CallError, Server};
use crate::agent::{Agent, now};
use crate::error::{Context, Error, Result};
use crate::file_version::FileVersion;
use crate::order::{Action, Order};
use crate::report::Report;
use crate::settings::Settings;
use crate::task_record::State;

/// Seconds for which a poll is held at most, and what jitter takes off it.
const HOLD: u32 = 50;
const JITTER: u32 = 5;
/// Seconds from the moment at which the server gives an order to the end of its lease.
const LEASE_SECONDS: u64 = 60;
/// Pause after an attempt to renew the token.
const RENEWAL_PAUSE: Duration = Duration::from_hours(1);
/// The longest pause after a poll that failed.
const LONGEST_PAUSE: u32 = 60;

/// Carries out orders of the server until the process ends. Fails where the agent is not enrolled, or was revoked.
pub fn run(settings: &Settings, tell: &dyn Fn(&str)) -> Result<()> {
    let mut identity = Identity::load(&settings.state_dir)?;
    let mut server = Server::new(settings, &identity.token)?;
    let mut agent = Agent::open(settings.clone())?;
    for recovered in agent.recovered() {
        tell(&format!("task {} was interrupted and is resolved", recovered.record.task_id));
    }
    let boot = boot_id()?;
    let mut failures = 0;
    let mut renewal_due = Instant::now();
    for seq in 1_u64.. {
        if identity.is_due() && Instant::now() >= renewal_due {
            renewal_due = Instant::now() + RENEWAL_PAUSE;
            match renew(&server, settings, &identity) {
                Ok(renewed) => {
                    server = Server::new(settings, &renewed.token)?;
                    identity = renewed;
                }
                Err(error) => tell(&format!("the token could not be renewed: {}", error.chain())),
            }
        }
        let wait = HOLD - random_below(JITTER);
        let poll = json!({"instance": identity.instance, "boot": boot, "seq": seq, "wait": wait});
        match server.post("/api/agent/poll", &poll, Duration::from_secs(wait.into())) {
            Ok(None) => failures = 0,
            Ok(Some(order)) => {
                failures = 0;
                carry_out(&mut agent, settings, &identity, &order, tell)?;
            }
            Err(CallError::Refused(StatusCode::FORBIDDEN, why)) => {
                return Err(Error::Server(format!("the agent was revoked: {why}")));
            }
            Err(error) => {
                failures += 1;
                tell(&Error::from(error).chain());
                sleep(pause(failures));
            }
        }
    }
    Ok(())
}

/// Asks for another token and keeps it.
fn renew(server: &Server, settings: &Settings, identity: &Identity) -> Result<Identity> {
    let answer = server.post("/api/agent/renew", &json!({}), Duration::ZERO)?;
    let token = answer.as_ref().and_then(|info| info["token"].as_str());
    let token = token.ok_or_else(|| Error::Server("the server's answer has no token".to_owned()))?;
    identity.renewed(&settings.state_dir, token)
}

/// Carries out one order and reports on it.
fn carry_out(
    agent: &mut Agent,
    settings: &Settings,
    identity: &Identity,
    told: &Value,
    tell: &dyn Fn(&str),
) -> Result<()> {
    let mut order = match Order::parse(&told.to_string()) {
        Ok(order) => order,
        Err(refusal) => return refuse(settings, identity, told, &refusal.to_string()),
    };
    order.deadline = by_own_clock(&order, now());
    tell(&format!("task {}, attempt {}: {:?} of {}", order.task_id, order.attempt, order.action, order.path));
    let attempt = Arc::new(Attempt::new(Server::new(settings, &identity.token)?, &order));
    let renewing = attempt.clone();
    let renewal = thread::spawn(move || renewing.renew());
    let report = perform(agent, settings, identity, &mut order, &attempt);
    let observed = agent.look(&order.path).ok().and_then(|found| sha256(&found));
    let result =
        serde_json::to_value(&report.result).map_err(std::io::Error::from).context("writing a result")?;
    attempt.settle(&result, observed.as_deref(), report.message.as_deref());
    attempt.end();
    // A renewal that panicked has told so already.
    let _ = renewal.join();
    tell(&format!("task {}, attempt {}: {}", order.task_id, order.attempt, result["state"]));
    if let Some(blob) = &order.blob {
        let _ = fs::remove_file(blob);
    }
    Ok(())
}

/// Deadline of an order that has just arrived, by a clock that shows `now`. The server's clock is told by the lease, and this
/// machine's may be wrong by more than the deadline is away.
fn by_own_clock(order: &Order, now: u64) -> Option<u64> {
    let (deadline, lease_until) = (order.deadline?, order.lease_until?);
    let server_now = lease_until.saturating_sub(LEASE_SECONDS);
    Some(if deadline >= server_now {
        now.saturating_add(deadline - server_now)
    } else {
        now.saturating_sub(server_now - deadline)
    })
}

fn perform(
    agent: &mut Agent,
    settings: &Settings,
    identity: &Identity,
    order: &mut Order,
    attempt: &Arc<Attempt>,
) -> Report {
    let is_ended = agent.records().attempt(&order.task_id, order.attempt).is_some();
    if order.action == Action::Update && !is_ended {
        attempt.enter("download", 10);
        match fetch(agent.state_dir(), settings, identity, order, attempt) {
            Ok(path) => order.blob = Some(path),
            Err(error) => return Report::refused(State::Failed, order.sha256.clone(), &error),
        }
    }
    agent.apply_with(order, attempt.clone())
}

fn fetch(
    state: &Path,
    settings: &Settings,
    identity: &Identity,
    order: &Order,
    attempt: &Attempt,
) -> Result<std::path::PathBuf> {
    let server = Server::new(settings, &identity.token)?;
    download(&server, state, &order.content()?, &|| attempt.stop())
}

/// Reports on an order that this version does not understand. What cannot even be named is left to its lease.
fn refuse(settings: &Settings, identity: &Identity, told: &Value, why: &str) -> Result<()> {
    let server = Server::new(settings, &identity.token)?;
    let state = if told["action"] == "revert" { "revert_failed" } else { "failed" };
    let body = json!({
        "task_id": told["task_id"], "attempt": told["attempt"], "seq": 1, "phase": "preflight", "percent": 0,
        "result": {"state": state, "changed": false}, "message": why.replace(char::is_control, " "),
    });
    match server.post("/api/agent/report", &body, Duration::ZERO) {
        Ok(_) | Err(CallError::Unavailable(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn sha256(found: &FileVersion) -> Option<String> {
    found.sha256().map(ToString::to_string)
}

fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    Ok(fs::read_to_string(path).context(format!("reading {path}"))?.trim().to_owned())
}

/// A random pause of up to 2 s after the first failure, up to twice as long after each more, and up to a minute at most.
fn pause(failures: u32) -> Duration {
    let most = 1_u32.checked_shl(failures).unwrap_or(LONGEST_PAUSE).clamp(1, LONGEST_PAUSE);
    Duration::from_millis(u64::from(200 + random_below(most * 1000)))
}

/// Random number below a limit. Without random numbers it is 0, which is no less right.
fn random_below(limit: u32) -> u32 {
    getrandom::u32().unwrap_or_default() % limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_as_far_away_by_any_clock() {
        let order = |members: &str| {
            let text = format!(r#"{{"task_id":"a","attempt":1,"action":"revert","path":"/a"{members}}}"#);
            Order::parse(&text).unwrap()
        };
        for now in [1_000_000_000, 1_000_003_600, 999_996_400] {
            let open = order(r#","lease_until":1000000060,"deadline":1000000100"#);
            assert_eq!(by_own_clock(&open, now), Some(now + 100));
            let over = order(r#","lease_until":1000000060,"deadline":999999990"#);
            assert_eq!(by_own_clock(&over, now), Some(now - 10));
        }
        assert_eq!(by_own_clock(&order(r#","lease_until":60"#), 1), None);
    }
}
