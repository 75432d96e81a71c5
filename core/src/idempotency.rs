//! Idempotency keys: a request that is repeated with the same key within a day is answered as the first was.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use crate::account::{AccountId, CallerTransaction};
use crate::ports::StorageResult;
use crate::{Error, Result, check_token};

/// Time for which an answer is kept.
const KEPT: TimeDelta = TimeDelta::days(1);

/// Key that a client gives a request, so that it can send it again without doing it twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    key: String,
    digest: String,
}

impl IdempotencyKey {
    /// A key of 1 to 128 visible ASCII characters, for the request that these parts describe.
    pub fn new(key: &str, request: &[&str]) -> Result<Self> {
        check_token("Idempotency-Key", key, 1, 128, "visible ASCII", |c| c.is_ascii_graphic())?;
        Ok(Self { key: key.to_owned(), digest: crate::account::digest(request) })
    }
}

/// Answer to a request with an idempotency key, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Account that sent the request; keys of different accounts are different.
    pub account: AccountId,
    /// Key of the request.
    pub key: String,
    /// SHA-256 of what the request asked for.
    pub digest: String,
    /// The answer.
    pub answer: String,
    /// Time of the answer, by the store's clock.
    pub at: DateTime<Utc>,
}

/// Kept answers in a store.
#[async_trait]
pub trait KeptAnswerRepository: Send {
    /// Keeps an answer, unless one is kept under its account and key already: then that one. Waits for a transaction that
    /// keeps another under the same at this time.
    async fn keep(&mut self, answer: &KeptAnswer) -> StorageResult<Option<KeptAnswer>>;
    /// Forgets answers from before `before`.
    async fn prune(&mut self, before: DateTime<Utc>) -> StorageResult<()>;
}

impl CallerTransaction<'_> {
    /// Keeps the answer that the caller's request is about to get. An answer is returned where the same request got it
    /// before: then nothing is to be done.
    pub(crate) async fn answered_before(
        &mut self,
        key: Option<&IdempotencyKey>,
        answer: &str,
    ) -> Result<Option<String>> {
        let Some(IdempotencyKey { key, digest }) = key.cloned() else { return Ok(None) };
        let at = self.now().await?;
        let answer = KeptAnswer { account: self.caller().id, key, digest, answer: answer.to_owned(), at };
        self.kept_answers().prune(at - KEPT).await?;
        let Some(kept) = self.kept_answers().keep(&answer).await? else { return Ok(None) };
        if kept.digest == answer.digest {
            Ok(Some(kept.answer))
        } else {
            Err(Error::invalid("Idempotency-Key", "was given to another request within a day"))
        }
    }
}
