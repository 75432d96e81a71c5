//! Races: the same attempt by several tasks at once.

use std::sync::Arc;

use pilothouse_core::ports::Storage;
use pilothouse_core::{ErrorKind, Result};

/// Number of runs of a race of two.
pub(crate) const ROUNDS: i64 = 12;

/// Runs `attempt` in 16 tasks at once, numbered from 0, and returns their answers in that order.
pub async fn race<T, F>(storage: &Arc<dyn Storage>, attempt: impl Fn(Arc<dyn Storage>, i64) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let racers: Vec<_> = (0..16).map(|n| tokio::spawn(attempt(storage.clone(), n))).collect();
    let mut answers = Vec::new();
    for racer in racers {
        answers.push(racer.await.unwrap());
    }
    answers
}

/// Runs two use cases at once and returns both answers. Neither may fail because the store failed.
pub(crate) async fn both<A: Send + 'static, B: Send + 'static>(
    one: impl Future<Output = Result<A>> + Send + 'static,
    other: impl Future<Output = Result<B>> + Send + 'static,
) -> (Result<()>, Result<()>) {
    let (one, other) = (tokio::spawn(one), tokio::spawn(other));
    let answers = (one.await.unwrap().map(|_| ()), other.await.unwrap().map(|_| ()));
    for error in [&answers.0, &answers.1].into_iter().filter_map(|answer| answer.as_ref().err()) {
        assert_ne!(error.kind(), ErrorKind::Internal, "{error:?}");
    }
    answers
}

/// The kind of a refusal; `None` for success.
pub(crate) fn kind(answer: &Result<()>) -> Option<ErrorKind> {
    answer.as_ref().err().map(pilothouse_core::Error::kind)
}
