//! Agent repository over the state in memory.

use async_trait::async_trait;
use pilothouse_core::ops::{Agent, AgentRepository, BatchId, MachineNumber};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

/// Whether a token is the agent's, or its next.
fn has_token(agent: &Agent, digest: &[u8; 32]) -> bool {
    [agent.token.as_ref(), agent.next_token.as_ref()].contains(&Some(digest))
}

#[async_trait]
impl AgentRepository for Transaction {
    async fn find(&mut self, machine: MachineNumber) -> StorageResult<Option<Agent>> {
        Ok(self.state().ops.agents.get(&machine).cloned())
    }

    async fn by_token(&mut self, digest: &[u8; 32]) -> StorageResult<Option<Agent>> {
        Ok(self.state().ops.agents.values().find(|agent| has_token(agent, digest)).cloned())
    }

    async fn by_code(&mut self, digest: &[u8; 32]) -> StorageResult<Option<Agent>> {
        Ok(self.state().ops.agents.values().find(|agent| agent.code.as_ref() == Some(digest)).cloned())
    }

    async fn save(&mut self, agent: &Agent) -> StorageResult<()> {
        self.state_mut()?.ops.agents.insert(agent.machine, agent.clone());
        Ok(())
    }

    async fn redeem(&mut self, code: &[u8; 32], agent: &Agent) -> StorageResult<bool> {
        let held = self.state_mut()?.ops.agents.get_mut(&agent.machine);
        let Some(held) = held.filter(|held| held.code.as_ref() == Some(code)) else { return Ok(false) };
        *held = agent.clone();
        Ok(true)
    }

    async fn set_next_token(&mut self, token: &[u8; 32], next: &[u8; 32]) -> StorageResult<bool> {
        let found =
            self.state().ops.agents.values().find(|agent| agent.token.as_ref() == Some(token)).cloned();
        let Some(agent) = found else { return Ok(false) };
        let renewed = Agent { next_token: Some(*next), ..agent };
        self.state_mut()?.ops.agents.insert(renewed.machine, renewed);
        Ok(true)
    }

    async fn promote_token(&mut self, next: &[u8; 32]) -> StorageResult<bool> {
        let found =
            self.state().ops.agents.values().find(|agent| agent.next_token.as_ref() == Some(next)).cloned();
        let Some(agent) = found else { return Ok(false) };
        let promoted = Agent { token: agent.next_token, next_token: None, ..agent };
        self.state_mut()?.ops.agents.insert(promoted.machine, promoted);
        Ok(true)
    }

    async fn touch(&mut self, token: &[u8; 32], agent: &Agent) -> StorageResult<bool> {
        let held = self.state_mut()?.ops.agents.get_mut(&agent.machine);
        let Some(held) = held.filter(|held| has_token(held, token)) else { return Ok(false) };
        let Agent { instance, last_seen, duplicate_seen, .. } = agent.clone();
        *held = Agent { instance, last_seen, duplicate_seen, ..held.clone() };
        Ok(true)
    }

    async fn of_batch(&mut self, batch: BatchId) -> StorageResult<Vec<Agent>> {
        let machines = self.state().ops.machines_of_batch(batch);
        let agents = self.state().ops.agents.values();
        Ok(agents.filter(|agent| machines.contains(&agent.machine)).cloned().collect())
    }

    async fn delete(&mut self, machine: MachineNumber) -> StorageResult<bool> {
        Ok(self.state_mut()?.ops.agents.remove(&machine).is_some())
    }
}
