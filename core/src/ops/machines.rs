//! The use cases of machines.

use std::fmt::{self, Display};
use std::net::IpAddr;

use super::{Machine, MachineFilter, Status, TaskFilter, TaskId, UpdateMachine};
use crate::account::{Caller, CallerTransaction, Entry, Group};
use crate::ports::LockKey;
use crate::text::{check_visible, is_name_taken};
use crate::{Error, IdempotencyKey, Listing, Page, Pilothouse, Result};

/// Two machines of one location that have the same inside address: tasks for it are meant for one of them, and nobody can
/// say for which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedAddress {
    /// The machine that was saved.
    pub machine: Machine,
    /// The other one.
    pub other: Machine,
}

impl Display for SharedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, other } = self;
        let (ip, location) = (machine.inside_ip, &machine.location);
        write!(f, "{} and {} both have {ip} in {location}", machine.machine_name, other.machine_name)
    }
}

/// The use cases of machines.
#[derive(Clone, Copy, Debug)]
pub struct Machines<'a>(pub(crate) &'a Pilothouse);

impl Machines<'_> {
    /// The most machines that are added or saved at once.
    pub const AT_ONCE: usize = 1000;

    /// A page of machines; needs group 4.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: &MachineFilter,
        page: Page,
    ) -> Result<Listing<Machine>> {
        self.0.require(caller, Group::ReadMachines)?;
        filter.check()?;
        let mut snapshot = self.0.storage().peek().await?;
        let rows = snapshot.machines().list(filter, page).await?;
        let total = if page.total { Some(snapshot.machines().count(filter).await?) } else { None };
        Ok(Listing::new(rows, total))
    }

    /// One machine, where there is one of that name; needs group 4.
    pub async fn find(&self, caller: &Caller, machine_name: &str) -> Result<Option<Machine>> {
        self.0.require(caller, Group::ReadMachines)?;
        Ok(self.0.storage().peek().await?.machines().find(machine_name).await?)
    }

    /// Adds a machine, whose name must differ from every other by more than case; needs group 5.
    pub async fn add(&self, caller: &Caller, machine: Machine) -> Result<()> {
        self.add_all(caller, vec![machine], None).await.map(|_| ())
    }

    /// Adds all of 1 to [`Machines::AT_ONCE`] machines or none; needs group 5. Answers which addresses are shared now. A
    /// request that was accepted with the same key within a day adds nothing.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn add_all(
        &self,
        caller: &Caller,
        machines: Vec<Machine>,
        key: Option<&IdempotencyKey>,
    ) -> Result<Vec<SharedAddress>> {
        self.save(caller, machines, key, false).await
    }

    /// Adds each of 1 to [`Machines::AT_ONCE`] machines, or replaces what is there of its name: all or none; needs group 5.
    /// Answers which addresses are shared now.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn upsert_all(&self, caller: &Caller, machines: Vec<Machine>) -> Result<Vec<SharedAddress>> {
        self.save(caller, machines, None, true).await
    }

    async fn save(
        &self,
        caller: &Caller,
        machines: Vec<Machine>,
        key: Option<&IdempotencyKey>,
        may_exist: bool,
    ) -> Result<Vec<SharedAddress>> {
        self.0.require(caller, Group::WriteMachines)?;
        check_number(machines.len(), Self::AT_ONCE)?;
        for machine in &machines {
            machine.check()?;
            check_visible("machine_name", &machine.machine_name)?;
        }
        let mut work = self.0.write_as(caller).await?;
        if work.answered_before(key, "").await?.is_some() {
            return Ok(Vec::new());
        }
        work.lock(LockKey::Machines).await?;
        let mut names = work.machines().names().await?;
        for machine in &machines {
            let entry = if may_exist && names.contains(&machine.machine_name) {
                replace(&mut work, machine).await?
            } else {
                insert(&mut work, machine, &mut names).await?
            };
            work.record(entry).await?;
        }
        let shared = shared_addresses(&mut work, &machines).await?;
        work.commit().await?;
        Ok(shared)
    }

    /// Changes what is given of the machine of that name; needs group 5. Answers which addresses are shared now.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn update(&self, caller: &Caller, change: UpdateMachine) -> Result<Vec<SharedAddress>> {
        self.0.require(caller, Group::WriteMachines)?;
        let mut work = self.0.write_as(caller).await?;
        // Two changes of different fields at once would else take each other back.
        work.lock(LockKey::Machines).await?;
        let old = find(&mut work, &change.machine_name).await?;
        if change.id.is_some_and(|id| id != old.id) {
            return Err(Error::invalid("id", "is not that of this machine_name"));
        }
        let machine = old.changed(change);
        machine.check()?;
        let entry = replace(&mut work, &machine).await?;
        work.record(entry).await?;
        let shared = shared_addresses(&mut work, &[machine]).await?;
        work.commit().await?;
        Ok(shared)
    }

    /// Gives a machine another name, which must differ from that of every other by more than case; needs group 5.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn rename(&self, caller: &Caller, machine_name: &str, new_name: &str) -> Result<()> {
        self.0.require(caller, Group::WriteMachines)?;
        let mut work = self.0.write_as(caller).await?;
        work.lock(LockKey::Machines).await?;
        let old = find(&mut work, machine_name).await?;
        let new = Machine { machine_name: new_name.to_owned(), ..old.clone() };
        new.check()?;
        check_visible("new_name", new_name)?;
        let mut names = work.machines().names().await?;
        names.retain(|name| name != machine_name);
        if is_name_taken(new_name, &names) {
            return Err(Error::exists("a machine with this machine_name"));
        }
        if !work.machines().rename(old.id, new_name).await? {
            return Err(Error::not_found("the machine"));
        }
        work.record(Entry::new("machine.rename", machine_name).old(old.digest()).new_digest(new.digest()))
            .await?;
        Ok(work.commit().await?)
    }

    /// Deletes a machine; needs group 5. It must have no open tasks but those of `cancel`, which are cancelled; cancelling
    /// needs group 3 too. Open are those for an address that no other machine has, which wait or run.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn delete(&self, caller: &Caller, machine_name: &str, cancel: &[TaskId]) -> Result<()> {
        self.0.require(caller, Group::WriteMachines)?;
        if !cancel.is_empty() {
            self.0.require(caller, Group::ExecuteTasks)?;
        }
        let mut work = self.0.write_as(caller).await?;
        work.lock(LockKey::Machines).await?;
        let old = find(&mut work, machine_name).await?;
        let open = open_tasks(&mut work, &old).await?;
        if let Some(other) = cancel.iter().find(|task| !open.contains(task)) {
            return Err(Error::invalid("cancel", format!("{other} is no open task of this machine")));
        }
        let left: Vec<String> =
            open.iter().filter(|task| !cancel.contains(task)).map(ToString::to_string).collect();
        if let [first, ..] = &left[..] {
            let why =
                format!("{} of its tasks wait or run, such as {first}; name them in cancel", left.len());
            return Err(Error::conflict(why));
        }
        for task in cancel {
            work.cancel_task(*task).await?;
        }
        if !work.machines().delete(machine_name).await? {
            return Err(Error::not_found("the machine"));
        }
        work.record(Entry::new("machine.delete", machine_name).old(old.digest())).await?;
        Ok(work.commit().await?)
    }
}

/// Refuses a list that is empty or longer than `most`.
pub(super) fn check_number(given: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&given) {
        return Ok(());
    }
    Err(Error::invalid("data", format!("must be a list of 1 to {most}")))
}

async fn find(work: &mut CallerTransaction<'_>, machine_name: &str) -> Result<Machine> {
    let found = work.machines().find(machine_name).await?;
    found.ok_or_else(|| Error::not_found("the machine"))
}

async fn insert(
    work: &mut CallerTransaction<'_>,
    machine: &Machine,
    names: &mut Vec<String>,
) -> Result<Entry> {
    if is_name_taken(&machine.machine_name, names) || !work.machines().insert(machine).await? {
        return Err(Error::exists(format!("a machine with the machine_name {}", machine.machine_name)));
    }
    names.push(machine.machine_name.clone());
    Ok(Entry::new("machine.add", &*machine.machine_name).new_digest(machine.digest()))
}

async fn replace(work: &mut CallerTransaction<'_>, machine: &Machine) -> Result<Entry> {
    let old = find(work, &machine.machine_name).await?;
    if !work.machines().update(machine).await? {
        return Err(Error::not_found("the machine"));
    }
    let entry = Entry::new("machine.update", &*machine.machine_name);
    Ok(entry.old(old.digest()).new_digest(machine.digest()))
}

async fn shared_addresses(
    work: &mut CallerTransaction<'_>,
    machines: &[Machine],
) -> Result<Vec<SharedAddress>> {
    let mut shared = Vec::new();
    for machine in machines {
        let others = work.machines().with_address(machine.inside_ip).await?;
        let is_same = |other: &&Machine| {
            other.machine_name != machine.machine_name
                && other.inside_ip == machine.inside_ip
                && other.location == machine.location
        };
        if let Some(other) = others.iter().find(is_same) {
            shared.push(SharedAddress { machine: machine.clone(), other: other.clone() });
        }
    }
    Ok(shared)
}

/// The tasks that wait or run for an address that only this machine has.
async fn open_tasks(work: &mut CallerTransaction<'_>, machine: &Machine) -> Result<Vec<TaskId>> {
    let mut open = Vec::new();
    let addresses: [Option<IpAddr>; 2] = [Some(machine.inside_ip), machine.outside_ip];
    for ip in addresses.into_iter().flatten() {
        if work.machines().with_address(ip).await?.iter().any(|other| other.id != machine.id) {
            continue;
        }
        for outcome in [Status::Pending, Status::Running] {
            let filter = TaskFilter { ip: Some(ip), outcome: Some(outcome), ..TaskFilter::default() };
            let page = Page::at(0, Page::MAX);
            let tasks = work.tasks().list(&filter, page).await?;
            open.extend(tasks.into_iter().map(|task| task.task_id));
        }
    }
    Ok(open)
}
