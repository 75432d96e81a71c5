//! Details of traffic: hits and classes of status, which a pull can do without. They may fail, and take no more than their share
//! of a pull's time, so that bytes are never lost by them.

use std::error::Error as StdError;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt as _};
use pilothouse_core::ports::ProviderError;
use tokio::time::{Instant, timeout_at};

/// Time after the begin of a pull from which on no details are asked for: half of what the engine gives it.
const TIME_LIMIT: Duration = Duration::from_mins(1);
/// Failures after which a pull asks for no more of them.
const MAX_FAILURES: usize = 5;

/// Questions for details in one pull, and what became of them.
#[derive(Debug)]
pub(crate) struct Details {
    deadline: Instant,
    failures: usize,
    last_failure: Option<ProviderError>,
}

impl Details {
    /// Begin of a pull.
    pub(crate) fn begin() -> Self {
        Self { deadline: Instant::now() + TIME_LIMIT, failures: 0, last_failure: None }
    }

    /// Next answer that did not fail, while there is time and not too many failed. Without its answer, what a question is of
    /// stays unknown.
    pub(crate) async fn next<T>(
        &mut self,
        answers: &mut (impl Stream<Item = Result<T, ProviderError>> + Unpin),
    ) -> Option<T> {
        while self.failures < MAX_FAILURES {
            match timeout_at(self.deadline, answers.next()).await.ok()?? {
                Ok(answer) => return Some(answer),
                Err(error) => self.fail(error),
            }
        }
        None
    }

    /// Takes note of a failure.
    pub(crate) fn fail(&mut self, error: ProviderError) {
        self.failures += 1;
        self.last_failure = Some(error);
    }

    /// Logs that details are unknown, once a pull.
    pub(crate) fn log_failure(&self, cdn: &str) {
        if let Some(error) = &self.last_failure {
            let (error, failures) = (error as &dyn StdError, self.failures);
            tracing::warn!(cdn, failures, error, "a vendor did not tell some hits and status classes");
        }
    }
}

/// Index of the domain that a pull begins with. It jumps every 5 minutes, by the golden ratio, so that with more domains than a
/// pull has time for each soon has its turn.
pub(crate) fn turn(to: DateTime<Utc>, domains: usize) -> usize {
    const RATIO: u64 = 2_654_435_769;
    let pull = u64::try_from(to.timestamp().div_euclid(300)).unwrap_or_default();
    let part = pull.wrapping_mul(RATIO) & u64::from(u32::MAX);
    let turn = (u128::from(part) * domains as u128) >> 32;
    usize::try_from(turn).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use futures_util::stream::{iter, pending, repeat};

    use super::*;

    fn refused() -> Result<i32, ProviderError> {
        Err(ProviderError::Refused("not in the plan".to_owned()))
    }

    #[tokio::test]
    async fn answers_that_failed_are_passed_over_and_end_the_questions() {
        let mut details = Details::begin();
        let mut answers = iter([Ok(1), refused(), Ok(2)]);
        assert_eq!(details.next(&mut answers).await, Some(1));
        assert_eq!(details.next(&mut answers).await, Some(2));
        assert_eq!(details.next(&mut answers).await, None);
        assert_eq!(details.next(&mut repeat(refused())).await, None);
        assert_eq!(details.failures, MAX_FAILURES);
        assert_eq!(details.next(&mut iter([Ok(3)])).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn no_detail_is_waited_for_beyond_the_limit() {
        let (mut details, begun) = (Details::begin(), Instant::now());
        assert_eq!(details.next(&mut pending::<Result<i32, _>>()).await, None);
        assert_eq!(begun.elapsed(), TIME_LIMIT);
    }

    #[test]
    fn every_domain_has_its_turn() {
        let at = |pull| DateTime::from_timestamp(1_785_000_000 + pull * 300, 0).unwrap();
        assert_eq!((turn(at(0), 0), turn(at(1), 1)), (0, 0));
        for domains in [2, 401, 1000] {
            let pulls = i64::try_from(3 * domains).unwrap();
            let turns = (0..pulls).map(|pull| turn(at(pull), domains));
            assert_eq!(turns.collect::<std::collections::BTreeSet<_>>().len(), domains);
        }
    }
}
