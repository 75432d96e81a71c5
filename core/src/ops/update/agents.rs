//! Agents: enrolment by a one-time code, polls for orders, reports, and the contents that they may fetch.

use std::pin::pin;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, future, stream};
use tokio::time::timeout;

use super::order_event::count_ended;
use super::updates::save;
use super::{
    Agent, AgentFacts, FileContent, FileOrder, OrderAction, OrderReport, ReportAnswer, Sha256Digest,
    UPDATE_LEASE,
};
use crate::account::{Caller, Entry, Group, digest, token_digest};
use crate::ops::{Machine, MachineNumber, TaskId};
use crate::ports::{Signal, Topic, UnitOfWork};
use crate::{Error, Pilothouse, Result, check_text};

/// Life of an enrolment code: 15 minutes.
const CODE_LIFE: TimeDelta = TimeDelta::minutes(15);
/// The longest hold of a poll in seconds.
const MOST_HOLD: i64 = 50;
/// Interval between looks at the store while a poll is held, for orders that fall due and signals that were lost.
const LOOK: Duration = Duration::from_secs(5);

/// The use cases of agents.
#[derive(Clone, Copy, Debug)]
pub struct Agents<'a>(pub(crate) &'a Pilothouse);

/// An authenticated agent.
#[derive(Clone, Debug)]
pub struct AgentCaller {
    /// Its machine.
    pub machine: MachineNumber,
    token: [u8; 32],
}

/// One-time code with which the agent of one machine enrols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrollmentCode {
    /// Text of the code; only its digest is stored.
    pub code: String,
    /// End of the code.
    pub expires: DateTime<Utc>,
}

/// Answer to an enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Machine of the agent.
    pub machine: MachineNumber,
    /// Token of the agent; only its digest is stored.
    pub token: String,
}

/// Poll of an agent for an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// Id of the state folder of the agent: 1 to 64 bytes.
    pub instance: String,
    /// Id of the boot of its machine, by which a clone is told from the original: 1 to 64 bytes.
    pub boot: String,
    /// Longest hold in seconds: 0 to 50.
    pub wait: i64,
}

/// Order as an agent is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentOrder {
    /// Path of the file.
    pub path: String,
    /// Content of the task.
    pub content: FileContent,
    /// The claimed order, with its lease.
    pub order: FileOrder,
}

/// Order that a poll claimed, if any, and the store's clock then.
struct Taken {
    now: DateTime<Utc>,
    order: Option<AgentOrder>,
}

/// Machine with its agent, and what it is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineView {
    /// Machine.
    pub machine: Machine,
    /// Agent, where one is enrolled.
    pub agent: Option<Agent>,
    /// Whether the agent polls.
    pub is_online: bool,
    /// Whether another live instance with the same token, such as that of a cloned machine, asked of late.
    pub has_duplicate: bool,
    /// Orders that were given and have not ended, by task.
    pub orders: Vec<FileOrder>,
}

impl Agents<'_> {
    /// Makes a one-time code for the agent of a machine; needs group 5. A code from before ends, and an agent that is
    /// enrolled stays until the code is used.
    pub async fn enroll(&self, caller: &Caller, machine_name: &str) -> Result<EnrollmentCode> {
        self.0.require(caller, Group::WriteMachines)?;
        let mut work = self.0.write_as(caller).await?;
        let machine = find_machine(&mut *work, machine_name).await?;
        let code = hex::encode(self.0.ids().secret());
        let expires = work.now().await? + CODE_LIFE;
        let agent = work.agents().find(machine.id).await?.unwrap_or_else(|| Agent::new(machine.id));
        let code_digest = Some(token_digest(&code));
        work.agents().save(&Agent { code: code_digest, code_expires: Some(expires), ..agent }).await?;
        work.record(Entry::new("agent.enroll", machine_name)).await?;
        work.commit().await?;
        Ok(EnrollmentCode { code, expires })
    }

    /// Ends the agent of a machine with its token and code; needs group 5.
    pub async fn revoke(&self, caller: &Caller, machine_name: &str) -> Result<()> {
        self.0.require(caller, Group::WriteMachines)?;
        let mut work = self.0.write_as(caller).await?;
        let machine = find_machine(&mut *work, machine_name).await?;
        if !work.agents().delete(machine.id).await? {
            return Err(Error::not_found("the machine's agent"));
        }
        work.record(Entry::new("agent.revoke", machine_name)).await?;
        Ok(work.commit().await?)
    }

    /// Enrols an agent with a code, which ends by it, and sets `is_initialized` of its machine.
    pub async fn redeem(&self, code: &str, facts: AgentFacts) -> Result<Enrolled> {
        facts.check()?;
        let code = token_digest(code);
        let token = hex::encode(self.0.ids().secret());
        let mut work = self.0.storage().begin().await?;
        let now = work.now().await?;
        let is_current = |agent: &Agent| {
            agent.code_expires.is_some_and(|end| now < end && end - now <= CODE_LIFE + TimeDelta::seconds(1))
        };
        let found = work.agents().by_code(&code).await?;
        let agent = found.filter(is_current).ok_or(Error::Unauthenticated)?;
        let machine = agent.machine;
        let enrolled = Agent { token: Some(token_digest(&token)), facts, ..Agent::new(machine) };
        if !work.agents().redeem(&code, &enrolled).await? {
            return Err(Error::Unauthenticated);
        }
        let row = work.machines().by_id(machine).await?.ok_or(Error::Unauthenticated)?;
        work.machines().update(&Machine { is_initialized: true, ..row.clone() }).await?;
        self.0.audit_process(&mut *work, "agent", Entry::new("agent.enrolled", row.machine_name)).await?;
        work.commit().await?;
        Ok(Enrolled { machine, token })
    }

    /// Gives an agent another token. The one that it has is good until the new one is first used, so a lost answer locks
    /// nobody out; the next answer makes another new one.
    pub async fn renew(&self, caller: &AgentCaller) -> Result<String> {
        let token = hex::encode(self.0.ids().secret());
        let mut work = self.0.storage().begin().await?;
        let agent = current(&mut *work, caller).await?;
        if !work.agents().set_next_token(&caller.token, &token_digest(&token)).await? {
            return Err(Error::Unauthenticated);
        }
        let name = work.machines().by_id(agent.machine).await?.map(|machine| machine.machine_name);
        let name = name.unwrap_or_default();
        let actor = format!("agent of {name}");
        self.0.audit_process(&mut *work, &actor, Entry::new("agent.renew", name)).await?;
        work.commit().await?;
        Ok(token)
    }

    /// A machine with its agent and its open orders; needs group 4.
    pub async fn machine(&self, caller: &Caller, machine_name: &str) -> Result<MachineView> {
        self.0.require(caller, Group::ReadMachines)?;
        let mut snapshot = self.0.storage().read().await?;
        let machine = snapshot.machines().find(machine_name).await?;
        let machine = machine.ok_or_else(|| Error::not_found("the machine"))?;
        let agent = snapshot.agents().find(machine.id).await?.filter(Agent::is_enrolled);
        let orders = snapshot.orders().open(machine.id).await?;
        let now = self.0.clock().now();
        let is_online = agent.as_ref().is_some_and(|agent| agent.is_online(now));
        let has_duplicate = agent.as_ref().is_some_and(|agent| agent.has_duplicate(now));
        Ok(MachineView { machine, agent, is_online, has_duplicate, orders })
    }

    /// The agent of a token.
    pub async fn authenticate(&self, token: &str) -> Result<AgentCaller> {
        let digest = token_digest(token);
        let found = self.0.storage().peek().await?.agents().by_token(&digest).await?;
        let agent = found.ok_or(Error::Unauthenticated)?;
        Ok(AgentCaller { machine: agent.machine, token: digest })
    }

    /// Holds a poll until there is an order, for as long as it says. The same instance is given an attempt that it has
    /// again, since the answer may have been lost; and what is unknown, for the agent's word on it.
    pub async fn poll(&self, caller: &AgentCaller, poll: &Poll) -> Result<Option<AgentOrder>> {
        check_text("instance", &poll.instance, 1, 64, false)?;
        check_text("boot", &poll.boot, 1, 64, false)?;
        if !(0..=MOST_HOLD).contains(&poll.wait) {
            return Err(Error::invalid("wait", "must be from 0 to 50"));
        }
        let clock = self.0.clock();
        let begun = clock.monotonic();
        let hold = Duration::from_secs(poll.wait.unsigned_abs());
        let topic = Signal::Changed(Topic::Machine(caller.machine));
        let heard = self.0.storage().signals();
        let heard = heard.filter(|signal| future::ready(*signal == topic || *signal == Signal::Lost));
        let mut heard = pin!(heard.map(|_| ()).chain(stream::pending()));
        // What these two need is on the heap while they run, and not a part of every poll that is held.
        let take = || Box::pin(self.take(caller, poll));
        let has_order = |now| Box::pin(self.has_order(caller, now));
        let Taken { now: taken, order } = take().await?;
        if order.is_some() {
            return Ok(order);
        }
        loop {
            let left = hold.saturating_sub(clock.monotonic().saturating_sub(begun));
            if left.is_zero() {
                return Ok(None);
            }
            // Its end is that of a look.
            let _ = timeout(left.min(LOOK), heard.next()).await;
            let passed = clock.monotonic().saturating_sub(begun);
            // The store's clock as it is now: that of this server may be another one.
            let now = taken + TimeDelta::from_std(passed).unwrap_or_default();
            if has_order(now).await?
                && let Some(order) = take().await?.order
            {
                return Ok(Some(order));
            }
        }
    }

    async fn has_order(&self, caller: &AgentCaller, now: DateTime<Utc>) -> Result<bool> {
        let mut snapshot = self.0.storage().peek().await?;
        // A token that was revoked ends a poll that is held.
        snapshot.agents().by_token(&caller.token).await?.ok_or(Error::Unauthenticated)?;
        Ok(snapshot.orders().next_due(caller.machine, now).await?.is_some())
    }

    /// Claims an order, if there is one.
    async fn take(&self, caller: &AgentCaller, poll: &Poll) -> Result<Taken> {
        let instance = format!("{} {}", poll.instance, poll.boot);
        let mut work = self.0.storage().begin().await?;
        let now = work.now().await?;
        let agent = current(&mut *work, caller).await?;
        let seen = match agent.seen(&instance, now) {
            Ok(seen) => seen,
            Err(refused) => {
                let duplicate = Agent { duplicate_seen: Some(now), ..agent };
                work.agents().touch(&caller.token, &duplicate).await?;
                work.commit_relaxed().await?;
                return Err(refused);
            }
        };
        work.agents().touch(&caller.token, &seen).await?;
        let Some((old, new)) = next(&mut *work, caller.machine, &instance, now).await? else {
            work.commit_relaxed().await?;
            return Ok(Taken { now, order: None });
        };
        let order = match save(&mut *work, &old, new, now).await {
            Ok(order) => order,
            // Another poll of this machine claimed it.
            Err(Error::Conflict(_)) => return Ok(Taken { now, order: None }),
            Err(error) => return Err(error),
        };
        let content = work.orders().find_content(order.task_id).await?;
        let task = work.tasks().find(order.task_id).await?;
        let Some((content, task)) = content.zip(task) else { return Ok(Taken { now, order: None }) };
        work.commit().await?;
        Ok(Taken { now, order: Some(AgentOrder { path: task.content, content, order }) })
    }

    /// Takes a report, renews the lease, and says what to do next.
    pub async fn report(
        &self,
        caller: &AgentCaller,
        task_id: TaskId,
        report: &OrderReport,
    ) -> Result<ReportAnswer> {
        let mut work = self.0.storage().begin().await?;
        let now = work.now().await?;
        let agent = current(&mut *work, caller).await?;
        let found = work.orders().find(task_id).await?;
        // The orders of other machines are none of this agent's.
        let old = found
            .filter(|order| order.machine == Some(caller.machine))
            .ok_or_else(|| Error::not_found("the order"))?;
        let new = old.report(report, now)?;
        let lease_until = new.lease_until.unwrap_or(now);
        let answer = ReportAnswer { lease_until, command: new.command() };
        if new == old {
            work.rollback().await?;
            return Ok(answer);
        }
        let new = save(&mut *work, &old, new, now).await?;
        work.agents().touch(&caller.token, &Agent { last_seen: Some(now), ..agent }).await?;
        if report.result.is_some() {
            self.0.queue_order_event(&mut *work, &new).await?;
            self.record_outcome(&mut *work, caller.machine, &old, &new).await?;
        }
        work.commit().await?;
        if report.result.is_some() {
            count_ended(&new);
            self.0.storage().announce(&[Topic::Batches]).await;
        }
        Ok(answer)
    }

    async fn record_outcome(
        &self,
        work: &mut dyn UnitOfWork,
        machine: MachineNumber,
        old: &FileOrder,
        new: &FileOrder,
    ) -> Result<()> {
        let name = work.machines().by_id(machine).await?.map(|machine| machine.machine_name);
        let actor = format!("agent of {}", name.unwrap_or_default());
        let hash = |digest: Option<Sha256Digest>| digest.map(|one| one.to_string()).unwrap_or_default();
        let outcome = digest(&[&new.digest(), &hash(new.observed_sha256)]);
        let entry = Entry::new("update.outcome", new.task_id.to_string());
        self.0.audit_process(work, &actor, entry.old(old.digest()).new_digest(outcome)).await
    }

    /// The content that a live order of the agent's machine names; no other is shown to it.
    pub async fn content(&self, caller: &AgentCaller, sha256: Sha256Digest) -> Result<FileContent> {
        let mut snapshot = self.0.storage().read().await?;
        for order in snapshot.orders().held(caller.machine).await? {
            if order.action == OrderAction::Revert {
                continue;
            }
            let content = snapshot.orders().find_content(order.task_id).await?;
            if let Some(content) = content.filter(|content| content.sha256 == sha256) {
                return Ok(content);
            }
        }
        Err(Error::not_found("the blob"))
    }
}

async fn find_machine(work: &mut dyn UnitOfWork, machine_name: &str) -> Result<Machine> {
    work.machines().find(machine_name).await?.ok_or_else(|| Error::not_found("the machine"))
}

/// The agent of a caller, unless it was revoked since it was authenticated.
async fn current(work: &mut dyn UnitOfWork, caller: &AgentCaller) -> Result<Agent> {
    let agent = work.agents().by_token(&caller.token).await?.ok_or(Error::Unauthenticated)?;
    if agent.next_token != Some(caller.token) {
        return Ok(agent);
    }
    // The answer that held it has arrived, so the one before ends.
    work.agents().promote_token(&caller.token).await?;
    Ok(Agent { token: agent.next_token, next_token: None, ..agent })
}

/// The order that an instance is given, before and after: what it has, what is unknown, or what is due.
async fn next(
    work: &mut dyn UnitOfWork,
    machine: MachineNumber,
    instance: &str,
    now: DateTime<Utc>,
) -> Result<Option<(FileOrder, FileOrder)>> {
    let held = work.orders().held(machine).await?;
    if let Some(old) = held.into_iter().next() {
        if old.lease_until.is_some() && old.instance != instance {
            return Ok(None);
        }
        let lease_until = old.lease_until.map(|_| UPDATE_LEASE.end(now));
        // Its reports are numbered anew: those of an earlier run may have been by a clock that was ahead.
        let new = FileOrder { lease_until, instance: instance.to_owned(), seq: 0, ..old.clone() };
        return Ok(Some((old, new)));
    }
    let due = work.orders().next_due(machine, now).await?;
    let is_open = |order: &FileOrder| order.deadline.is_none_or(|deadline| now <= deadline);
    Ok(due.filter(is_open).map(|old| {
        let new = old.claim(instance, now);
        (old, new)
    }))
}
