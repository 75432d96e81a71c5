//! Machines: the inventory.

use std::net::IpAddr;

use async_trait::async_trait;

use crate::account::{Caller, Entry, Group, digest};
use crate::ports::StorageResult;
use crate::{Error, Page, Pilothouse, Result, check_text};

/// A machine. Its name identifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its place in the list.
    pub id: i64,
    /// Its name: 1 to 128 bytes, unique.
    pub machine_name: String,
    /// Its address inside.
    pub inside_ip: IpAddr,
    /// Its address outside.
    pub outside_ip: IpAddr,
    /// What it is for: 1 to 1024 bytes.
    pub usage: String,
    /// Whether it was set up.
    pub is_initialized: bool,
    /// Where it stands: 1 to 256 bytes.
    pub location: String,
}

/// Machines in a store.
#[async_trait]
pub trait MachineRepository: Send {
    /// Adds a machine, ignoring `id`; false when the name is taken.
    async fn insert(&mut self, machine: &Machine) -> StorageResult<bool>;
    /// By name.
    async fn find(&mut self, machine_name: &str) -> StorageResult<Option<Machine>>;
    /// A page of machines, by id.
    async fn list(&mut self, page: Page) -> StorageResult<Vec<Machine>>;
    /// Replaces everything but id and name of the machine of that name; whether there is one.
    async fn update(&mut self, machine: &Machine) -> StorageResult<bool>;
    /// Removes a machine; whether there was one.
    async fn delete(&mut self, machine_name: &str) -> StorageResult<bool>;
}

/// The use cases of machines.
#[derive(Clone, Copy, Debug)]
pub struct Machines<'a>(pub(crate) &'a Pilothouse);

impl Machines<'_> {
    /// A page of machines; needs group 4.
    pub async fn list(&self, caller: &Caller, page: Page) -> Result<Vec<Machine>> {
        self.0.require(caller, Group::ReadMachines)?;
        Ok(self.0.storage().peek().await?.machines().list(page).await?)
    }

    /// One machine; needs group 4.
    pub async fn find(&self, caller: &Caller, machine_name: &str) -> Result<Machine> {
        self.0.require(caller, Group::ReadMachines)?;
        let found = self.0.storage().peek().await?.machines().find(machine_name).await?;
        found.ok_or_else(|| Error::not_found("the machine"))
    }

    /// Adds a machine; needs group 5.
    pub async fn add(&self, caller: &Caller, machine: Machine) -> Result<()> {
        self.0.require(caller, Group::WriteMachines)?;
        machine.check()?;
        let mut work = self.0.storage().begin().await?;
        if !work.machines().insert(&machine).await? {
            return Err(Error::exists("a machine with this machine_name"));
        }
        let entry = Entry::new("machine.add", &*machine.machine_name).new_digest(machine.digest());
        self.0.audit(&mut *work, caller, entry).await?;
        Ok(work.commit().await?)
    }

    /// Replaces what is known of the machine of that name; needs group 5.
    pub async fn update(&self, caller: &Caller, machine: Machine) -> Result<()> {
        self.0.require(caller, Group::WriteMachines)?;
        machine.check()?;
        let mut work = self.0.storage().begin().await?;
        let old = work.machines().find(&machine.machine_name).await?;
        let old = old.ok_or_else(|| Error::not_found("the machine"))?;
        if !work.machines().update(&machine).await? {
            return Err(Error::not_found("the machine"));
        }
        let entry = Entry::new("machine.update", &*machine.machine_name)
            .old(old.digest())
            .new_digest(machine.digest());
        self.0.audit(&mut *work, caller, entry).await?;
        Ok(work.commit().await?)
    }

    /// Deletes a machine; needs group 5.
    pub async fn delete(&self, caller: &Caller, machine_name: &str) -> Result<()> {
        self.0.require(caller, Group::WriteMachines)?;
        let mut work = self.0.storage().begin().await?;
        let old = work.machines().find(machine_name).await?;
        let old = old.ok_or_else(|| Error::not_found("the machine"))?;
        if !work.machines().delete(machine_name).await? {
            return Err(Error::not_found("the machine"));
        }
        self.0
            .audit(&mut *work, caller, Entry::new("machine.delete", machine_name).old(old.digest()))
            .await?;
        Ok(work.commit().await?)
    }
}

impl Machine {
    fn check(&self) -> Result<()> {
        check_text("machine_name", &self.machine_name, 1, 128, false)?;
        check_text("usage", &self.usage, 1, 1024, false)?;
        check_text("location", &self.location, 1, 256, false)
    }

    fn digest(&self) -> String {
        digest(&[
            &self.machine_name,
            &self.inside_ip.to_string(),
            &self.outside_ip.to_string(),
            &self.usage,
            &self.is_initialized.to_string(),
            &self.location,
        ])
    }
}
