//! Synchronisation: poison-tolerant locks, and one run shared by all who ask for it at once.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Result;

/// Locks, also after a panic of another holder: what these locks guard is never half-written.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs one at a time, and once for all who asked before it began.
#[derive(Debug, Default)]
pub(crate) struct SingleFlight {
    running: tokio::sync::Mutex<()>,
    begun: AtomicU64,
    done: AtomicU64,
}

impl SingleFlight {
    /// Returns when `work` was done, by whomever, from a beginning after this call. A failure is told to its runner
    /// alone; everybody else tries for themselves.
    pub(crate) async fn run(&self, work: impl Future<Output = Result<()>>) -> Result<()> {
        let asked = self.begun.load(Ordering::SeqCst);
        let _running = self.running.lock().await;
        if self.done.load(Ordering::SeqCst) > asked {
            return Ok(());
        }
        let this = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        work.await?;
        self.done.store(this, Ordering::SeqCst);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::future::join_all;

    use super::*;
    use crate::Error;

    #[tokio::test]
    async fn who_asks_during_a_run_shares_the_next_one() {
        let (shared, runs) = (SingleFlight::default(), Cell::new(0));
        let work = || async {
            runs.set(runs.get() + 1);
            tokio::task::yield_now().await;
            Ok(())
        };
        join_all((0..10).map(|_| shared.run(work()))).await;
        assert_eq!(runs.get(), 2, "nine asked while the first ran");
    }

    #[tokio::test]
    async fn a_failure_counts_for_nobody_else() {
        let shared = SingleFlight::default();
        let runs = Cell::new(0);
        let failing = || async {
            runs.set(runs.get() + 1);
            Err(Error::Internal("x".into()))
        };
        let answers = join_all((0..3).map(|_| shared.run(failing()))).await;
        assert!(answers.iter().all(Result::is_err) && runs.get() == 3);
    }
}
