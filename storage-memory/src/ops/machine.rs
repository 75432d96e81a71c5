//! Machine repository over the state in memory.

use std::net::IpAddr;

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::ops::{BatchId, Machine, MachineFilter, MachineNumber, MachineRepository};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[async_trait]
impl MachineRepository for Transaction {
    async fn insert(&mut self, machine: &Machine) -> StorageResult<bool> {
        let machines = &mut self.state_mut()?.ops.machines;
        if machines.iter().any(|held| held.machine_name == machine.machine_name) {
            return Ok(false);
        }
        machines.insert(|id| Machine { id, ..machine.clone() });
        Ok(true)
    }

    async fn find(&mut self, machine_name: &str) -> StorageResult<Option<Machine>> {
        Ok(self.state().ops.machines.iter().find(|machine| machine.machine_name == machine_name).cloned())
    }

    async fn by_id(&mut self, id: MachineNumber) -> StorageResult<Option<Machine>> {
        Ok(self.state().ops.machines.get(id).cloned())
    }

    async fn names(&mut self) -> StorageResult<Vec<String>> {
        Ok(self.state().ops.machines.iter().map(|machine| machine.machine_name.clone()).collect())
    }

    async fn with_address(&mut self, ip: IpAddr) -> StorageResult<Vec<Machine>> {
        let machines = self.state().ops.machines.iter();
        let has = |machine: &&Machine| machine.inside_ip == ip || machine.outside_ip == Some(ip);
        Ok(machines.filter(has).cloned().collect())
    }

    async fn of_batch(&mut self, batch: BatchId) -> StorageResult<Vec<Machine>> {
        let ids = self.state().ops.machines_of_batch(batch);
        let machines = self.state().ops.machines.iter();
        Ok(machines.filter(|machine| ids.contains(&machine.id)).cloned().collect())
    }

    async fn list(&mut self, filter: &MachineFilter, page: Page) -> StorageResult<Vec<Machine>> {
        Ok(self.state().ops.machines.page(page, |machine| filter.accepts(machine)))
    }

    async fn count(&mut self, filter: &MachineFilter) -> StorageResult<u64> {
        Ok(self.state().ops.machines.count(0, i64::MAX, |machine| filter.accepts(machine)))
    }

    async fn update(&mut self, machine: &Machine) -> StorageResult<bool> {
        let machines = &mut self.state_mut()?.ops.machines;
        let held = machines.iter().find(|held| held.machine_name == machine.machine_name).map(|held| held.id);
        let Some(held) = held.and_then(|id| machines.get_mut(id)) else { return Ok(false) };
        *held = Machine { id: held.id, ..machine.clone() };
        Ok(true)
    }

    async fn rename(&mut self, id: MachineNumber, machine_name: &str) -> StorageResult<bool> {
        let Some(held) = self.state_mut()?.ops.machines.get_mut(id) else { return Ok(false) };
        machine_name.clone_into(&mut held.machine_name);
        Ok(true)
    }

    async fn delete(&mut self, machine_name: &str) -> StorageResult<bool> {
        let ops = &mut self.state_mut()?.ops;
        let found = ops.machines.iter().find(|machine| machine.machine_name == machine_name);
        let Some(id) = found.map(|machine| machine.id) else { return Ok(false) };
        ops.agents.remove(&id);
        Ok(ops.machines.remove(id))
    }
}
