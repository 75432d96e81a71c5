//! Call queue of an edge: merges small jobs into calls, a few at once.
//!
//! A few calls on an edge are under way at a time. What waits meanwhile is put together: many small jobs are one call, and
//! a URL that waits twice is asked for once. What is under way already does not count: the object may have changed since.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::job::JobKind;
use super::rate_limit::RateLimit;
use crate::ports::{
    Batch, CdnProvider, Clock, Ids, Operation, ProviderError, Purge, Submission, Submissions,
};
use crate::sync::lock;

/// Time limit of one call to a provider.
const CALL: Duration = Duration::from_mins(2);
/// About how many URLs one call holds, so that progress shows, and a kill repeats little.
pub(super) const CALL_URLS: usize = 250;
/// Concurrent calls of one kind on an edge.
const CALLS: usize = 8;

/// Outcome of each URL of a call, in the order of the call.
pub(super) type Outcomes = Vec<Result<(), ProviderError>>;

type Answer = Result<Outcomes, ProviderError>;

/// The queues of one provider: one for each edge and kind of job.
#[derive(Debug)]
pub(super) struct CallQueues {
    provider: Arc<dyn CdnProvider>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    rate: Option<RateLimit>,
    queues: Mutex<HashMap<(String, JobKind), Arc<Queue>>>,
}

#[derive(Debug)]
struct Queue {
    waiting: Mutex<Vec<Waiting>>,
    turns: Semaphore,
}

#[derive(Debug)]
struct Waiting {
    purges: Vec<Purge>,
    answer: oneshot::Sender<Answer>,
}

impl CallQueues {
    /// Empty queues of a provider's edges.
    pub(super) fn new(provider: Arc<dyn CdnProvider>, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        let rate = provider.capabilities().urls_per_second.map(RateLimit::new);
        Self { provider, clock, ids, rate, queues: Mutex::default() }
    }

    /// Calls an edge to purge or fetch URLs; returns the outcome of each.
    pub(super) async fn call(self: &Arc<Self>, kind: JobKind, edge: &str, purges: Vec<Purge>) -> Answer {
        let queue = self.queue(edge, kind);
        let (answer, answered) = oneshot::channel();
        lock(&queue.waiting).push(Waiting { purges, answer });
        // There are never fewer turns to come than there are calls that wait, so none is left behind; nor does a turn end
        // with who asked for it, because others may have been taken along.
        let (queues, edge) = (self.clone(), edge.to_owned());
        tokio::spawn(async move { queues.turn(&queue, kind, &edge).await });
        let interrupted = || ProviderError::Unavailable("the call was interrupted".to_owned());
        answered.await.unwrap_or_else(|_| Err(interrupted()))
    }

    fn queue(&self, edge: &str, kind: JobKind) -> Arc<Queue> {
        let new = || Arc::new(Queue { waiting: Mutex::default(), turns: Semaphore::new(CALLS) });
        lock(&self.queues).entry((edge.to_owned(), kind)).or_insert_with(new).clone()
    }

    /// Waits for a turn, and uses it for what waits longest.
    async fn turn(&self, queue: &Queue, kind: JobKind, edge: &str) {
        // The semaphore is never closed.
        let _turn = queue.turns.acquire().await;
        let taken = queue.take();
        let purges = together(&taken);
        if purges.is_empty() {
            return;
        }
        if let Some(rate) = &self.rate {
            rate.take(purges.len()).await;
        }
        let answer = self.ask(kind, edge, &purges).await;
        let places: HashMap<&str, usize> =
            purges.iter().enumerate().map(|(n, purge)| (purge.url.as_str(), n)).collect();
        for Waiting { purges, answer: waits } in taken {
            let own = |outcomes: &Outcomes| {
                purges.iter().map(|purge| outcomes[places[purge.url.as_str()]].clone()).collect()
            };
            // Who no longer waits was dropped, and its job is claimed again.
            let _ = waits.send(answer.as_ref().map(own).map_err(Clone::clone));
        }
    }

    async fn ask(&self, kind: JobKind, edge: &str, purges: &[Purge]) -> Answer {
        let operation = match kind {
            JobKind::Refresh => Operation::PurgeUrls,
            JobKind::Preload => Operation::Preload,
        };
        let batch = edge_batch(&*self.clock, &*self.ids, operation, edge, purges.to_vec());
        let Ok(outcomes) = tokio::time::timeout(CALL, self.provider.submit(&batch)).await else {
            return Err(ProviderError::Unavailable(format!("no answer within {} s", CALL.as_secs())));
        };
        let outcomes = done(outcomes?);
        if outcomes.len() != purges.len() {
            let reason = format!("answered for {} of {} URLs", outcomes.len(), purges.len());
            return Err(ProviderError::Unavailable(reason));
        }
        Ok(outcomes)
    }
}

/// A batch for an edge that is no vendor's.
pub(super) fn edge_batch(
    clock: &dyn Clock,
    ids: &dyn Ids,
    operation: Operation,
    edge: &str,
    items: Vec<Purge>,
) -> Batch {
    let (id, edge) = (ids.uuid().to_string(), edge.to_owned());
    Batch { id, operation, edge, group: String::new(), items, accepted_at: clock.now() }
}

/// Outcomes of an edge that is no vendor's, and so has no tasks.
pub(super) fn done(submissions: Submissions) -> Outcomes {
    let outcome = |submission| match submission {
        Submission::Done => Ok(()),
        Submission::Running(_) => {
            Err(ProviderError::Unavailable("an edge must not answer with a task".into()))
        }
    };
    submissions.into_iter().map(|submission| submission.and_then(outcome)).collect()
}

impl Queue {
    /// Takes what waits longest, until it is enough for a call.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = lock(&self.waiting);
        let mut urls = 0;
        let enough = waiting.iter().position(|one| {
            let full = urls >= CALL_URLS;
            urls += one.purges.len();
            full
        });
        let rest = enough.map_or_else(Vec::new, |n| waiting.split_off(n));
        mem::replace(&mut waiting, rest)
    }
}

/// Waiting URLs, each once and with its latest stamp.
fn together(waiting: &[Waiting]) -> Vec<Purge> {
    let mut purges: Vec<Purge> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for purge in waiting.iter().flat_map(|waiting| &waiting.purges) {
        match places.get(&purge.url) {
            Some(n) => purges[*n].stamp = purges[*n].stamp.max(purge.stamp),
            None => {
                places.insert(purge.url.clone(), purges.len());
                purges.push(purge.clone());
            }
        }
    }
    purges
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures_util::future;

    use super::*;
    use crate::ports::{Capabilities, RandomIds, SystemClock};

    /// Takes a moment for a call, and remembers which URLs were in it.
    #[derive(Debug)]
    struct Slow(Capabilities, Mutex<Vec<Vec<Purge>>>);

    #[async_trait]
    impl CdnProvider for Slow {
        fn capabilities(&self) -> &Capabilities {
            &self.0
        }

        async fn submit(&self, batch: &Batch) -> Result<Submissions, ProviderError> {
            lock(&self.1).push(batch.items.clone());
            tokio::time::sleep(Duration::from_millis(100)).await;
            let outcome = |item: &Purge| {
                if item.url.ends_with('7') {
                    Err(ProviderError::Refused("7".into()))
                } else {
                    Ok(Submission::Done)
                }
            };
            Ok(batch.items.iter().map(outcome).collect())
        }
    }

    fn slow() -> (Arc<Slow>, Arc<CallQueues>) {
        let can = Capabilities::new(["edge-1"]);
        let slow = Arc::new(Slow(can, Mutex::default()));
        (slow.clone(), Arc::new(CallQueues::new(slow, Arc::new(SystemClock), Arc::new(RandomIds))))
    }

    fn purge(url: usize, stamp: i64) -> Purge {
        Purge { url: format!("http://a.test/{url}"), stamp }
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_is_answered_for_their_own() {
        let (slow, queues) = slow();
        let jobs = (0..500_usize).map(|n| {
            let queues = &queues;
            async move {
                let urls: Vec<_> = (0..n % 90).map(|url| n * 100 + url).collect();
                let purges = urls.iter().map(|url| purge(*url, 1)).collect();
                let answer = queues.call(JobKind::Refresh, "edge-1", purges).await.unwrap();
                let expected: Vec<_> = urls.iter().map(|url| url % 10 != 7).collect();
                assert_eq!(answer.iter().map(Result::is_ok).collect::<Vec<_>>(), expected, "{n}");
            }
        });
        future::join_all(jobs).await;
        let calls = lock(&slow.1);
        assert!(calls.len() < 150, "{} calls for 500 small jobs", calls.len());
        assert!(calls.iter().all(|call| call.len() < CALL_URLS + 90));
    }

    #[tokio::test(start_paused = true)]
    async fn a_url_that_waits_twice_is_one_and_what_is_under_way_does_not_count() {
        let (slow, queues) = slow();
        let call = |url, stamp| {
            let queues = queues.clone();
            tokio::spawn(
                async move { queues.call(JobKind::Refresh, "edge-1", vec![purge(url, stamp)]).await },
            )
        };
        let mut calls = Vec::new();
        for url in 10..10 + CALLS {
            calls.push(call(url, 1));
            tokio::time::sleep(Duration::from_micros(1)).await;
        }
        calls.extend([call(10, 2), call(9, 2), call(10, 4), call(10, 3)]);
        for answer in future::join_all(calls).await {
            assert!(answer.unwrap().is_ok());
        }
        let made = lock(&slow.1);
        assert_eq!(made.len(), CALLS + 1, "{made:?}");
        assert_eq!(made[CALLS], [purge(10, 4), purge(9, 2)]);
    }
}
