//! Machines.

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::ops::{Machine, MachineRepository};
use pilothouse_core::ports::StorageResult;

use crate::state::page_of;
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

    async fn list(&mut self, page: Page) -> StorageResult<Vec<Machine>> {
        Ok(page_of(self.state().ops.machines.from(page.start), page))
    }

    async fn update(&mut self, machine: &Machine) -> StorageResult<bool> {
        let machines = &mut self.state_mut()?.ops.machines;
        let held = machines.iter().find(|held| held.machine_name == machine.machine_name).map(|held| held.id);
        let Some(held) = held.and_then(|id| machines.get_mut(id)) else { return Ok(false) };
        *held = Machine { id: held.id, ..machine.clone() };
        Ok(true)
    }

    async fn delete(&mut self, machine_name: &str) -> StorageResult<bool> {
        Ok(self.state_mut()?.ops.machines.retain(|machine| machine.machine_name != machine_name) > 0)
    }
}
