//! Machine inventory: names, addresses, purpose and location.

use std::net::IpAddr;

use async_trait::async_trait;

use super::BatchId;
use crate::account::digest;
use crate::id::id;
use crate::ports::StorageResult;
use crate::{Page, Result, check_text};

id! {
    /// The number of a machine: its place in the list.
    MachineNumber
}

/// A machine. Its name identifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Row number given by the store; lists are ordered by it.
    pub id: MachineNumber,
    /// Name: 1 to 128 bytes, unique.
    pub machine_name: String,
    /// Address in the internal network.
    pub inside_ip: IpAddr,
    /// Address that the internet reaches the machine by; `None` where there is none.
    pub outside_ip: Option<IpAddr>,
    /// Purpose of the machine: 1 to 1024 bytes.
    pub usage: String,
    /// Whether it was set up.
    pub is_initialized: bool,
    /// Location, such as a data centre: 1 to 256 bytes.
    pub location: String,
}

/// A change of a machine: what is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateMachine {
    /// Row number, where the caller sends it back: that of the machine named.
    pub id: Option<MachineNumber>,
    /// Name of the machine.
    pub machine_name: String,
    /// New address in the internal network.
    pub inside_ip: Option<IpAddr>,
    /// New address that the internet reaches it by; `Some(None)` for none.
    pub outside_ip: Option<Option<IpAddr>>,
    /// New purpose, within the limits of a machine's.
    pub usage: Option<String>,
    /// Whether it was set up.
    pub is_initialized: Option<bool>,
    /// New location, within the limits of a machine's.
    pub location: Option<String>,
}

/// Filter of a list of machines; an absent field matches every machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineFilter {
    /// Only those of this purpose.
    pub usage: Option<String>,
    /// Only those at this location.
    pub location: Option<String>,
    /// Only those that hold this text in their name, purpose, location or an address, letter by letter: 1 to 1024 bytes.
    pub text: Option<String>,
}

impl MachineFilter {
    pub(super) fn check(&self) -> Result<()> {
        match &self.text {
            Some(text) => check_text("text", text, 1, 1024, false),
            None => Ok(()),
        }
    }

    /// Whether a machine passes.
    pub fn accepts(&self, machine: &Machine) -> bool {
        let Self { usage, location, text } = self;
        let holds = |text: &String| {
            let outside_ip = machine.outside_ip.map(|ip| ip.to_string()).unwrap_or_default();
            machine.machine_name.contains(text)
                || machine.usage.contains(text)
                || machine.location.contains(text)
                || machine.inside_ip.to_string().contains(text)
                || outside_ip.contains(text)
        };
        usage.as_ref().is_none_or(|usage| machine.usage == *usage)
            && location.as_ref().is_none_or(|location| machine.location == *location)
            && text.as_ref().is_none_or(holds)
    }
}

/// Machines in a store.
#[async_trait]
pub trait MachineRepository: Send {
    /// Adds a machine, ignoring `id`; false when the name is taken.
    async fn insert(&mut self, machine: &Machine) -> StorageResult<bool>;
    /// Finds a machine by its exact name.
    async fn find(&mut self, machine_name: &str) -> StorageResult<Option<Machine>>;
    /// Finds a machine by its number.
    async fn by_id(&mut self, id: MachineNumber) -> StorageResult<Option<Machine>>;
    /// The names of all machines.
    async fn names(&mut self) -> StorageResult<Vec<String>>;
    /// The machines that have this address, inside or outside, by id.
    async fn with_address(&mut self, ip: IpAddr) -> StorageResult<Vec<Machine>>;
    /// The machines that the orders of a batch are bound to, by id.
    async fn of_batch(&mut self, batch: BatchId) -> StorageResult<Vec<Machine>>;
    /// A page of the machines that pass the filter, by id.
    async fn list(&mut self, filter: &MachineFilter, page: Page) -> StorageResult<Vec<Machine>>;
    /// Counts the machines that pass the filter.
    async fn count(&mut self, filter: &MachineFilter) -> StorageResult<u64>;
    /// Replaces everything but id and name of the machine of that name; whether there is one.
    async fn update(&mut self, machine: &Machine) -> StorageResult<bool>;
    /// Gives a machine a name that is free; whether there is such a machine.
    async fn rename(&mut self, id: MachineNumber, machine_name: &str) -> StorageResult<bool>;
    /// Removes a machine; whether there was one.
    async fn delete(&mut self, machine_name: &str) -> StorageResult<bool>;
}

impl Machine {
    pub(super) fn changed(self, change: UpdateMachine) -> Self {
        let UpdateMachine { inside_ip, outside_ip, usage, is_initialized, location, .. } = change;
        Self {
            inside_ip: inside_ip.unwrap_or(self.inside_ip),
            outside_ip: outside_ip.unwrap_or(self.outside_ip),
            usage: usage.unwrap_or(self.usage),
            is_initialized: is_initialized.unwrap_or(self.is_initialized),
            location: location.unwrap_or(self.location),
            ..self
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_text("machine_name", &self.machine_name, 1, 128, false)?;
        check_text("usage", &self.usage, 1, 1024, false)?;
        check_text("location", &self.location, 1, 256, false)
    }

    pub(crate) fn digest(&self) -> String {
        digest(&[
            &self.machine_name,
            &self.inside_ip.to_string(),
            &self.outside_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            &self.usage,
            &self.is_initialized.to_string(),
            &self.location,
        ])
    }
}
