//! Attempt at an order: reports on it, renews its lease, and stops it before the swap once the lease may be lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::server::{CallError, Server};
use crate::error::Refusal;
use crate::order::Order;
use crate::progress::{Progress, Step};

/// Lease that every report renews, less a margin: an attempt that was not renewed for so long stops before the swap.
const RENEWED_WITHIN: Duration = Duration::from_secs(45);
/// Interval between renewals.
pub(super) const RENEWAL: Duration = Duration::from_secs(10);
/// Pause before a report is sent again.
const PAUSE: Duration = Duration::from_secs(1);

/// Attempt at an order, shared by who carries it out and who renews its lease.
#[derive(Debug)]
pub(super) struct Attempt {
    server: Server,
    task_id: String,
    attempt: u32,
    seq: AtomicU64,
    is_ended: AtomicBool,
    state: Mutex<AttemptState>,
}

#[derive(Clone, Debug)]
struct AttemptState {
    phase: &'static str,
    percent: u32,
    renewed: Instant,
    /// Reason to stop before the swap.
    stop: Option<String>,
}

impl Attempt {
    /// An attempt whose order has just arrived.
    pub(super) fn new(server: Server, order: &Order) -> Self {
        let state = AttemptState { phase: "preflight", percent: 5, renewed: Instant::now(), stop: None };
        // Above the numbers of an earlier run of this program.
        let begin = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        Self {
            server,
            task_id: order.task_id.to_string(),
            attempt: order.attempt,
            seq: AtomicU64::new(u64::try_from(begin).unwrap_or(0)),
            is_ended: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, AttemptState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reason why the attempt is to stop, if it is.
    pub(super) fn stop(&self) -> Option<String> {
        let state = self.state();
        let is_late = state.renewed.elapsed() > RENEWED_WITHIN;
        state.stop.clone().or_else(|| is_late.then(|| "the lease could not be renewed".to_owned()))
    }

    /// Renews the lease until the attempt has ended.
    pub(super) fn renew(&self) {
        let mut due = Instant::now() + RENEWAL;
        while !self.is_ended.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(100));
            if Instant::now() >= due {
                due = Instant::now() + RENEWAL;
                // Whether that was too seldom is decided where it matters.
                let _ = self.tell();
            }
        }
    }

    /// Ends the renewals.
    pub(super) fn end(&self) {
        self.is_ended.store(true, Ordering::Relaxed);
    }

    /// Moves on to a phase, and tells the server once.
    pub(super) fn enter(&self, phase: &'static str, percent: u32) {
        {
            let mut state = self.state();
            state.phase = phase;
            state.percent = percent;
        }
        let _ = self.tell();
    }

    /// Reports the present phase; notes the renewal, or the end.
    fn tell(&self) -> Result<(), CallError> {
        let AttemptState { phase, percent, .. } = self.state().clone();
        let seq = self.seq.fetch_add(1, Ordering::Relaxed);
        let asked = Instant::now();
        let body = json!({
            "task_id": self.task_id, "attempt": self.attempt, "seq": seq, "phase": phase, "percent": percent,
        });
        let answered = self.server.post("/api/agent/report", &body, Duration::ZERO);
        let mut state = self.state();
        match &answered {
            Ok(answer) => {
                state.renewed = asked;
                let command = answer.as_ref().and_then(|info| info["command"].as_str());
                if let Some(command) = command.filter(|command| *command != "go") {
                    let is_revert = command == "revert";
                    let why = if is_revert { "a revert was ordered" } else { "the order was cancelled" };
                    state.stop = Some(why.to_owned());
                }
            }
            Err(CallError::Refused(_, why)) => state.stop = Some(why.clone()),
            Err(CallError::Unavailable(_)) => {}
        }
        answered.map(|_| ())
    }

    /// Sends the result until the server takes it, or refuses it: it is worth nothing to anybody else.
    pub(super) fn settle(&self, result: &Value, observed: Option<&str>, message: Option<&str>) {
        let mut pause = PAUSE;
        loop {
            let body = json!({
                "task_id": self.task_id, "attempt": self.attempt,
                "seq": self.seq.fetch_add(1, Ordering::Relaxed), "phase": "confirm", "percent": 99,
                "observed_sha256": observed, "result": result, "message": message.map(printable),
            });
            match self.server.post("/api/agent/report", &body, Duration::ZERO) {
                Ok(_) | Err(CallError::Refused(..)) => return,
                Err(CallError::Unavailable(_)) => sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_secs(30));
        }
    }
}

/// At most 4000 bytes of a text, without control characters, which the server refuses.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    let mut text: String = text.chars().map(shown).collect();
    while text.len() > 4000 {
        text.pop();
    }
    text
}

impl Progress for Attempt {
    fn reached(&self, step: Step) -> Result<(), Refusal> {
        let (phase, percent) = match step {
            Step::Backup => ("backup", 40),
            Step::Stage => ("stage", 50),
            Step::Check => ("check", 60),
            Step::Swap => ("swap", 80),
        };
        self.enter(phase, percent);
        if step != Step::Swap {
            return self.stop().map_or(Ok(()), |why| Err(Refusal::Stopped(why)));
        }
        // The server must know that the file may be replaced from here on.
        while self.stop().is_none() {
            match self.tell() {
                Ok(()) if self.stop().is_none() => return Ok(()),
                Ok(()) => break,
                Err(_) => sleep(PAUSE),
            }
        }
        Err(Refusal::Stopped(self.stop().unwrap_or_default()))
    }

    fn confirmed(&self, within: u32) -> Result<(), String> {
        let begun = Instant::now();
        self.enter("confirm", 90);
        while begun.elapsed() < Duration::from_secs(within.into()) {
            match self.tell() {
                // The answer may ask for the old file.
                Ok(()) => return self.stop().map_or(Ok(()), Err),
                Err(CallError::Refused(_, why)) => {
                    return Err(format!("the server refuses the report: {why}"));
                }
                Err(CallError::Unavailable(_)) => sleep(PAUSE),
            }
        }
        Err(format!("no report reached the server within {within} s"))
    }
}
