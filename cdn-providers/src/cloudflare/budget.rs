//! Budget of calls: Cloudflare counts all calls that one user makes of its API together, whatever they are for, and allows 1,200
//! in any 5 minutes. Questions of GraphQL have a count of their own.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::vendor::lock;

/// Calls after a rest, and the time in which one more is allowed: together 1,200 in 5 minutes.
const BURST: u32 = 600;
const REFILL: Duration = Duration::from_millis(500);

/// Calls that may be made, of whatever kind.
#[derive(Debug, Default)]
pub(super) struct CallBudget {
    /// Moment at which the budget will be whole again.
    whole_at: Mutex<Option<Instant>>,
}

impl CallBudget {
    /// Takes a call from the budget, after a wait where there is none.
    pub(super) async fn wait(&self) {
        while let Err(missing) = self.take() {
            sleep(missing).await;
        }
    }

    /// Takes a call from the budget; else the time until there is one.
    pub(super) fn take(&self) -> Result<(), Duration> {
        let now = Instant::now();
        let mut whole_at = lock(&self.whole_at);
        let next = whole_at.map_or(now, |at| at.max(now)) + REFILL;
        let missing = (next - now).saturating_sub(REFILL * BURST);
        if missing.is_zero() {
            *whole_at = Some(next);
            return Ok(());
        }
        Err(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn in_any_five_minutes_there_are_no_more_than_allowed() {
        let budget = CallBudget::default();
        let begun = Instant::now();
        let mut calls = Vec::new();
        while begun.elapsed() < Duration::from_mins(15) {
            match budget.take() {
                Ok(()) => calls.push(Instant::now()),
                Err(missing) => sleep(missing).await,
            }
            if calls.len() == 2000 {
                sleep(Duration::from_mins(4)).await;
            }
        }
        assert_eq!(calls.iter().filter(|at| **at == begun).count(), 600, "at once after a rest");
        let most = calls.iter().map(|first| {
            let end = *first + Duration::from_mins(5);
            calls.iter().filter(|at| **at >= *first && **at < end).count()
        });
        assert!(most.max().is_some_and(|most| (1190..=1200).contains(&most)));
    }
}
