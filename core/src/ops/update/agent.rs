//! Agent of a machine: its token, its one-time enrolment code, and what it said about itself.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use crate::ops::{BatchId, MachineNumber};
use crate::ports::StorageResult;
use crate::{Error, Result, check_text};

/// Time after an instance's last poll for which it counts as alive: longer than a poll is held.
pub(super) const ALIVE: TimeDelta = TimeDelta::seconds(65);

/// Time for which a refused instance is shown after its last poll: it asks at least once a minute.
const DUPLICATE_SHOWN: TimeDelta = TimeDelta::minutes(5);

/// Facts of a machine as its agent tells them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFacts {
    /// Host name.
    pub hostname: String,
    /// Operating system.
    pub os: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Version of the agent.
    pub version: String,
    /// Addresses of its interfaces, separated by blanks.
    pub addresses: String,
}

impl AgentFacts {
    pub(super) fn check(&self) -> Result<()> {
        let Self { hostname, os, kernel, version, addresses } = self;
        let texts = [
            ("facts.hostname", hostname),
            ("facts.os", os),
            ("facts.kernel", kernel),
            ("facts.version", version),
            ("facts.addresses", addresses),
        ];
        texts.into_iter().try_for_each(|(field, text)| check_text(field, text, 0, 1024, false))
    }
}

/// The agent of a machine. A machine has one at most, which goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Machine.
    pub machine: MachineNumber,
    /// SHA-256 of its token; `None` until it is enrolled.
    pub token: Option<[u8; 32]>,
    /// SHA-256 of the token that takes the place of `token` when it is first used; `None` where none was asked for.
    pub next_token: Option<[u8; 32]>,
    /// SHA-256 of the one-time code; `None` once it was used.
    pub code: Option<[u8; 32]>,
    /// End of the code.
    pub code_expires: Option<DateTime<Utc>>,
    /// Instance that polled last, with the boot of its machine; empty before.
    pub instance: String,
    /// Time of its last poll or report.
    pub last_seen: Option<DateTime<Utc>>,
    /// Last time that another instance asked while this one was alive.
    pub duplicate_seen: Option<DateTime<Utc>>,
    /// Facts told at the enrolment.
    pub facts: AgentFacts,
}

impl Agent {
    /// An agent that is not enrolled yet.
    pub fn new(machine: MachineNumber) -> Self {
        Self {
            machine,
            token: None,
            next_token: None,
            code: None,
            code_expires: None,
            instance: String::new(),
            last_seen: None,
            duplicate_seen: None,
            facts: AgentFacts::default(),
        }
    }

    /// Whether it can be given orders.
    pub fn is_enrolled(&self) -> bool {
        self.token.is_some()
    }

    /// Whether it polls: it is enrolled, and was seen within the time that a poll is held for.
    pub fn is_online(&self, now: DateTime<Utc>) -> bool {
        // A time further ahead was noted by a clock that was ahead.
        self.is_enrolled() && self.last_seen.is_some_and(|seen| (now - seen).abs() < ALIVE)
    }

    /// Whether another instance was refused of late, so that a cloned machine is still about.
    pub fn has_duplicate(&self, now: DateTime<Utc>) -> bool {
        self.duplicate_seen.is_some_and(|seen| (now - seen).abs() < DUPLICATE_SHOWN)
    }

    /// The agent after a poll of an instance; a conflict while another one is alive.
    pub(super) fn seen(&self, instance: &str, now: DateTime<Utc>) -> Result<Self> {
        let is_other = self.instance != instance && !self.instance.is_empty();
        let is_alive = |seen: DateTime<Utc>| seen <= now && now - seen < ALIVE;
        if is_other && self.last_seen.is_some_and(is_alive) {
            return Err(Error::conflict("another instance of this machine's agent is alive"));
        }
        Ok(Self { instance: instance.to_owned(), last_seen: Some(now), ..self.clone() })
    }
}

/// Agents in a store.
#[async_trait]
pub trait AgentRepository: Send {
    /// The agent of a machine.
    async fn find(&mut self, machine: MachineNumber) -> StorageResult<Option<Agent>>;
    /// The agent with this token, or with this one as its next.
    async fn by_token(&mut self, digest: &[u8; 32]) -> StorageResult<Option<Agent>>;
    /// The agent with this code, ended or not.
    async fn by_code(&mut self, digest: &[u8; 32]) -> StorageResult<Option<Agent>>;
    /// Adds the agent of a machine, or replaces it.
    async fn save(&mut self, agent: &Agent) -> StorageResult<()>;
    /// Uses a code up: sets the token if the machine's agent still has the code; whether it had.
    async fn redeem(&mut self, code: &[u8; 32], agent: &Agent) -> StorageResult<bool>;
    /// Gives the agent that still has `token` a next one; whether it has.
    async fn set_next_token(&mut self, token: &[u8; 32], next: &[u8; 32]) -> StorageResult<bool>;
    /// Puts the next token of an agent in the place of its token; whether one has it.
    async fn promote_token(&mut self, next: &[u8; 32]) -> StorageResult<bool>;
    /// Notes when an agent was last seen, as what instance, if it still has that token; whether it has.
    async fn touch(&mut self, token: &[u8; 32], agent: &Agent) -> StorageResult<bool>;
    /// The agents of the machines that the orders of a batch are bound to.
    async fn of_batch(&mut self, batch: BatchId) -> StorageResult<Vec<Agent>>;
    /// Removes the agent of a machine; whether there was one.
    async fn delete(&mut self, machine: MachineNumber) -> StorageResult<bool>;
}
