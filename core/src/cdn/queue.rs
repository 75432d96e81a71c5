//! Calls that wait for their turn on an edge.
//!
//! A few calls on an edge are under way at a time. What waits meanwhile is put together: many small jobs are one call, and
//! a URL that waits twice is asked for once. What is under way already does not count: the object may have changed since.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::JobKind;
use super::rate::Rate;
use crate::ports::{CdnProvider, Outcomes, ProviderError, Purge};

/// How long one call to a provider may take.
const CALL: Duration = Duration::from_mins(2);
/// About how many URLs one call holds, so that progress shows, and a kill repeats little.
pub(super) const CALL_URLS: usize = 250;
/// How many calls of one kind are under way on an edge.
const CALLS: usize = 8;

type Answer = Result<Outcomes, ProviderError>;

/// The queues of one provider: one for each edge and kind of job.
#[derive(Debug)]
pub(super) struct Queues {
    provider: Arc<dyn CdnProvider>,
    rate: Option<Rate>,
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

impl Queues {
    /// Empty ones.
    pub(super) fn new(provider: Arc<dyn CdnProvider>) -> Self {
        let rate = provider.capabilities().urls_per_second.map(Rate::new);
        Self { provider, rate, queues: Mutex::default() }
    }

    /// Has an edge purge or fetch URLs, and answers for each.
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
        let call = async {
            match kind {
                JobKind::Refresh => self.provider.purge(edge, purges).await,
                JobKind::Preload => {
                    let urls: Vec<_> = purges.iter().map(|purge| purge.url.clone()).collect();
                    self.provider.preload(edge, &urls).await
                }
            }
        };
        let Ok(outcomes) = tokio::time::timeout(CALL, call).await else {
            return Err(ProviderError::Unavailable(format!("no answer within {} s", CALL.as_secs())));
        };
        let outcomes = outcomes?;
        if outcomes.len() != purges.len() {
            let reason = format!("answered for {} of {} URLs", outcomes.len(), purges.len());
            return Err(ProviderError::Unavailable(reason));
        }
        Ok(outcomes)
    }
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

/// What waits, each URL once and with its latest stamp.
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures_util::future;

    use super::*;
    use crate::ports::Capabilities;

    /// Takes a moment for a call, and remembers which URLs were in it.
    #[derive(Debug)]
    struct Slow(Capabilities, Mutex<Vec<Vec<Purge>>>);

    #[async_trait]
    impl CdnProvider for Slow {
        fn capabilities(&self) -> &Capabilities {
            &self.0
        }

        async fn purge(&self, _edge: &str, purges: &[Purge]) -> Answer {
            lock(&self.1).push(purges.to_vec());
            tokio::time::sleep(Duration::from_millis(100)).await;
            let refuse = |purge: &Purge| purge.url.ends_with('7');
            let outcome =
                |purge| if refuse(purge) { Err(ProviderError::Refused("7".into())) } else { Ok(()) };
            Ok(purges.iter().map(outcome).collect())
        }

        async fn preload(&self, _edge: &str, urls: &[String]) -> Answer {
            Ok(vec![Ok(()); urls.len()])
        }

        async fn domains(&self) -> Result<Vec<String>, ProviderError> {
            Ok(Vec::new())
        }
    }

    fn slow() -> (Arc<Slow>, Arc<Queues>) {
        let can = Capabilities {
            purge_urls: true,
            purge_prefix: true,
            preload: true,
            list_domains: false,
            purge_batch: 1000,
            preload_batch: 1000,
            urls_per_second: None,
            edges: vec!["edge-1".into()],
        };
        let slow = Arc::new(Slow(can, Mutex::default()));
        (slow.clone(), Arc::new(Queues::new(slow)))
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
