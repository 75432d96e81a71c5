//! Answers to requests with an idempotency key.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use imbl::OrdMap;
use pilothouse_core::account::AccountId;
use pilothouse_core::ports::StorageResult;
use pilothouse_core::{KeptAnswer, KeptAnswerRepository};

use crate::storage::Transaction;

#[derive(Clone, Debug, Default)]
pub(crate) struct IdempotencyState {
    answers: OrdMap<(AccountId, String), KeptAnswer>,
}

#[async_trait]
impl KeptAnswerRepository for Transaction {
    async fn keep(&mut self, answer: &KeptAnswer) -> StorageResult<Option<KeptAnswer>> {
        let answers = &mut self.state_mut()?.idempotency.answers;
        let key = (answer.account, answer.key.clone());
        if let Some(kept) = answers.get(&key) {
            return Ok(Some(kept.clone()));
        }
        answers.insert(key, answer.clone());
        Ok(None)
    }

    async fn prune(&mut self, before: DateTime<Utc>) -> StorageResult<()> {
        let answers = &mut self.state_mut()?.idempotency.answers;
        let is_kept = |(_, kept): &(&(AccountId, String), &KeptAnswer)| kept.at >= before;
        *answers = answers.iter().filter(is_kept).map(|(key, kept)| (key.clone(), kept.clone())).collect();
        Ok(())
    }
}
