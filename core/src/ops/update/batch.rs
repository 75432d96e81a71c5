//! Batch: one update of a file on many machines, the limits it is rolled out by, and what operators may ask of it.

use std::fmt::{self, Display};
use std::str::FromStr;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::state::named;
use crate::id::id;
use crate::ports::StorageResult;
use crate::{Error, Result};

/// A batch's id: a UUID, on the wire 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub Uuid);

impl Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.simple())
    }
}

impl FromStr for BatchId {
    type Err = Error;

    /// Reads a UUID in any spelling, like that of a task.
    fn from_str(text: &str) -> Result<Self> {
        Uuid::try_parse(text).map(Self).map_err(|_| Error::invalid("batch", "must be a UUID"))
    }
}

id! {
    /// The number of a batch: its place in the list.
    BatchNumber
}

named! {
    /// State of a batch.
    BatchState {
        /// Not executed.
        Pending = "pending",
        /// Tasks are handed out to machines, canaries first.
        Running = "running",
        /// An operator has paused it: what was handed out goes on.
        Paused = "paused",
        /// Too many machines failed: what was handed out goes on, until an operator decides.
        Held = "held",
        /// Every task succeeded.
        Succeeded = "succeeded",
        /// Every task has ended, and not all succeeded.
        Failed = "failed",
        /// Cancelled by an operator.
        Cancelled = "cancelled",
        /// The old files are being put back.
        Reverting = "reverting",
        /// No machine has the new file.
        Reverted = "reverted",
        /// The old file could not be put back everywhere.
        RevertFailed = "revert_failed",
    }
}

named! {
    /// Reaction to too many failed machines.
    OnStop {
        /// Nobody begins any more, and an operator decides.
        Hold = "hold",
        /// The old files are put back.
        Revert = "revert",
    }
}

/// Limits that a batch is rolled out by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Machines that must succeed before the others begin: 0 to 1000.
    pub canary: i64,
    /// The most machines at work at the same time, after the canaries: 1 to 1000.
    pub batch_size: i64,
    /// Failures at which it stops: 1 to 1000.
    pub max_failures: i64,
    /// Reaction once more than `max_failures` machines failed.
    pub on_stop: OnStop,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { canary: 1, batch_size: 10, max_failures: 1, on_stop: OnStop::Hold }
    }
}

impl BatchLimits {
    pub(super) fn check(&self) -> Result<()> {
        let Self { canary, batch_size, max_failures, .. } = *self;
        for (field, least, value) in
            [("canary", 0, canary), ("batch_size", 1, batch_size), ("max_failures", 1, max_failures)]
        {
            if !(least..=1000).contains(&value) {
                return Err(Error::invalid(field, format!("must be from {least} to 1000")));
            }
        }
        Ok(())
    }
}

/// A batch. Its tasks name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Row number given by the store; lists are ordered by it.
    pub id: BatchNumber,
    /// Random identifier.
    pub batch_id: BatchId,
    /// Time it was added.
    pub create_time: DateTime<Utc>,
    /// State.
    pub state: BatchState,
    /// Limits of the roll-out, given when it is executed.
    pub limits: BatchLimits,
    /// Failures that an operator has passed over by going on.
    pub forgiven: i64,
    /// Whether reverts may overwrite files that were changed since.
    pub is_forced: bool,
    /// Time of the last execution, resumption or retry, from which the deadline of machines that are offline counts.
    pub begun: Option<DateTime<Utc>>,
    /// Grows by one with every change.
    pub version: i64,
}

/// Batches in a store.
#[async_trait]
pub trait BatchRepository: Send {
    /// Adds a batch, ignoring `id`.
    async fn insert(&mut self, batch: &Batch) -> StorageResult<()>;
    /// Finds one by its batch id.
    async fn find(&mut self, batch_id: BatchId) -> StorageResult<Option<Batch>>;
    /// Replaces everything but ids and time of a batch if `version` is still the stored one, which then grows by one.
    async fn update(&mut self, batch: &Batch) -> StorageResult<bool>;
    /// Those that are running or reverting, by id.
    async fn active(&mut self) -> StorageResult<Vec<Batch>>;
    /// The newest `count` that are in a state and have a number less than `before`, newest first.
    async fn in_state(
        &mut self,
        state: BatchState,
        before: BatchNumber,
        count: i64,
    ) -> StorageResult<Vec<Batch>>;
    /// Removes a batch, not its tasks; whether there was one.
    async fn delete(&mut self, batch_id: BatchId) -> StorageResult<bool>;
}

impl Batch {
    /// A batch that nobody has executed yet.
    pub fn pending(batch_id: BatchId, create_time: DateTime<Utc>) -> Self {
        Self {
            id: BatchNumber::UNSAVED,
            batch_id,
            create_time,
            state: BatchState::Pending,
            limits: BatchLimits::default(),
            forgiven: 0,
            is_forced: false,
            begun: None,
            version: 1,
        }
    }

    /// The batch after its execution at `now`.
    pub(super) fn execute(&self, limits: BatchLimits, now: DateTime<Utc>) -> Result<Self> {
        self.allow("execute", &[BatchState::Pending])?;
        Ok(Self { state: BatchState::Running, limits, begun: Some(now), ..self.clone() })
    }

    /// The batch while nobody new begins.
    pub(super) fn pause(&self) -> Result<Self> {
        self.allow("pause", &[BatchState::Running])?;
        Ok(Self { state: BatchState::Paused, ..self.clone() })
    }

    /// The batch as it goes on in spite of so many failures.
    pub(super) fn resume(&self, failures: i64, now: DateTime<Utc>) -> Result<Self> {
        self.allow("resume", &[BatchState::Paused, BatchState::Held])?;
        let forgiven = if self.state == BatchState::Held { failures } else { self.forgiven };
        Ok(Self { state: BatchState::Running, forgiven, begun: Some(now), ..self.clone() })
    }

    /// The batch that nobody carries on.
    pub(super) fn cancel(&self) -> Result<Self> {
        use BatchState::{Held, Paused, Pending, Running};
        self.allow("cancel", &[Pending, Running, Paused, Held])?;
        Ok(Self { state: BatchState::Cancelled, ..self.clone() })
    }

    /// The batch while what failed is tried again: the update, or its revert.
    pub(super) fn retry(&self, now: DateTime<Utc>) -> Result<Self> {
        use BatchState::{Cancelled, Failed, Held, Paused, RevertFailed, Reverting};
        self.allow("retry", &[Paused, Held, Failed, Cancelled, RevertFailed])?;
        let state = if self.state == RevertFailed { Reverting } else { BatchState::Running };
        Ok(Self { state, forgiven: 0, begun: Some(now), ..self.clone() })
    }

    /// The batch while the old files are put back.
    pub(super) fn revert(&self, force: bool) -> Result<Self> {
        use BatchState::{Cancelled, Failed, Held, Paused, RevertFailed, Running, Succeeded};
        self.allow("revert", &[Running, Paused, Held, Succeeded, Failed, Cancelled, RevertFailed])?;
        Ok(Self { state: BatchState::Reverting, is_forced: force, ..self.clone() })
    }

    /// Demands that an operator may make in its present state, by the names of the API.
    pub fn demands(&self) -> Vec<&'static str> {
        let now = DateTime::UNIX_EPOCH;
        let demands = [
            ("execute", self.execute(self.limits, now).is_ok()),
            ("pause", self.pause().is_ok()),
            ("resume", self.resume(0, now).is_ok()),
            ("retry", self.retry(now).is_ok()),
            ("cancel", self.cancel().is_ok()),
            ("revert", self.revert(false).is_ok()),
        ];
        demands.into_iter().filter(|(_, is_allowed)| *is_allowed).map(|(demand, _)| demand).collect()
    }

    fn allow(&self, action: &str, states: &[BatchState]) -> Result<()> {
        if states.contains(&self.state) {
            return Ok(());
        }
        let names: Vec<_> = states.iter().map(|state| state.as_str()).collect();
        let state = self.state.as_str();
        Err(Error::conflict(format!(
            "a batch that is {state} cannot {action}; it must be {}",
            names.join(" or ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_moves_of_the_contract() {
        let now = DateTime::UNIX_EPOCH;
        for state in BatchState::ALL {
            let batch = Batch { state: *state, ..Batch::pending(BatchId(Uuid::nil()), now) };
            let allowed = |names: &str| names.split(' ').any(|name| name == state.as_str());
            assert_eq!(batch.execute(BatchLimits::default(), now).is_ok(), allowed("pending"), "{state:?}");
            assert_eq!(batch.pause().is_ok(), allowed("running"), "{state:?}");
            assert_eq!(batch.resume(1, now).is_ok(), allowed("paused held"), "{state:?}");
            assert_eq!(batch.cancel().is_ok(), allowed("pending running paused held"), "{state:?}");
            let retried = batch.retry(now);
            assert_eq!(retried.is_ok(), allowed("paused held failed cancelled revert_failed"), "{state:?}");
            let reverted = batch.revert(false).is_ok();
            assert_eq!(batch.demands().contains(&"revert"), reverted, "{state:?}");
            assert_eq!(batch.demands().contains(&"resume"), allowed("paused held"), "{state:?}");
            assert_eq!(
                reverted,
                allowed("running paused held succeeded failed cancelled revert_failed"),
                "{state:?}"
            );
        }
    }

    #[test]
    fn limits_are_named() {
        let refused = |field: &str, limits: BatchLimits| {
            let told = limits.check().unwrap_err().to_string();
            assert!(told.starts_with(field), "{told}");
        };
        let limits = BatchLimits::default();
        assert!(limits.check().is_ok() && BatchLimits { canary: 0, ..limits }.check().is_ok());
        refused("canary", BatchLimits { canary: -1, ..limits });
        refused("batch_size", BatchLimits { batch_size: 0, ..limits });
        refused("max_failures", BatchLimits { max_failures: 1001, ..limits });
    }
}
