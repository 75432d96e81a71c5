//! Times of the polls of a vendor's tasks: the older they are, the longer is the wait for the next look.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::batch::{BatchState, VendorBatch};
use super::outcome::Effect;

/// Shortest and longest wait between two looks at a task.
const SHORTEST_POLL: TimeDelta = TimeDelta::milliseconds(500);
const LONGEST_POLL: TimeDelta = TimeDelta::seconds(60);
/// Looks in the time that a task has taken so far: its end is seen a twentieth of that late at most.
const LOOKS: i32 = 20;
/// Shortest time between two writes of progress alone.
const PROGRESS: TimeDelta = TimeDelta::seconds(5);

/// Wait for the next look at a task that was made so long ago.
pub(super) fn poll_wait(age: TimeDelta) -> TimeDelta {
    (age / LOOKS).clamp(SHORTEST_POLL, LONGEST_POLL)
}

/// Times of the questions about batches. They may be forgotten: then each is asked once more.
#[derive(Debug, Default)]
pub(super) struct PollTimes(HashMap<String, Asked>);

/// Times of a batch, by the store's clock.
#[derive(Clone, Copy, Debug)]
struct Asked {
    next: DateTime<Utc>,
    /// Time of the last write.
    written: DateTime<Utc>,
}

impl PollTimes {
    /// Time of a batch's next step: of one that the vendor has, or may have, the next question about it.
    pub(super) fn due(&self, row: &VendorBatch, now: DateTime<Utc>) -> DateTime<Utc> {
        let is_asked = matches!(row.state, BatchState::Sent | BatchState::Running);
        let asked = self.0.get(&row.id).filter(|_| is_asked);
        // A time farther away was noted by a clock that was ahead.
        let next = asked.map(|asked| asked.next).filter(|next| *next <= now + LONGEST_POLL);
        next.map_or(row.due, |next| next.max(row.due))
    }

    /// Notes that a batch is asked about now.
    pub(super) fn ask(&mut self, row: &VendorBatch, now: DateTime<Utc>) {
        let next = now + poll_wait(now - row.accepted_at);
        let asked = Asked { next, written: row.accepted_at };
        self.0.entry(row.id.clone()).and_modify(|asked| asked.next = next).or_insert(asked);
    }

    /// Whether an answer is to be written now: it ended something, or it tells more than what was written a while ago.
    pub(super) fn is_news(&mut self, row: &VendorBatch, effect: &Effect, now: DateTime<Utc>) -> bool {
        let Some(next) = &effect.next else {
            self.forget(row);
            return true;
        };
        let asked = self.0.get_mut(&row.id);
        let is_old =
            asked.as_ref().is_none_or(|asked| now - asked.written >= PROGRESS || asked.written > now);
        let is_news = next.items.len() < row.items.len() || (is_old && next.items != row.items);
        if let Some(asked) = asked.filter(|_| is_news) {
            asked.written = now;
        }
        is_news
    }

    /// Forgets a batch, which has ended, or of which it is known what the vendor has.
    pub(super) fn forget(&mut self, row: &VendorBatch) {
        self.0.remove(&row.id);
    }

    /// Forgets everything, since another server asks now.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdn::purge::vendor::batch::BatchItem;
    use crate::ports::Operation;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap()
    }

    fn running(percents: &[u8]) -> VendorBatch {
        let item =
            |(n, percent): (usize, &u8)| BatchItem { percent: *percent, ..BatchItem::new(n.to_string()) };
        VendorBatch {
            id: "b".into(),
            cdn: "v".into(),
            operation: Operation::PurgeUrls,
            group: String::new(),
            state: BatchState::Running,
            accepted_at: at(0),
            due: at(0),
            tries: 0,
            items: percents.iter().enumerate().map(item).collect(),
            jobs: Vec::new(),
        }
    }

    #[test]
    fn an_end_is_seen_a_twentieth_late_and_nobody_is_asked_all_the_time() {
        for (age, wait) in [(0, 500), (10, 500), (60, 3000), (600, 30_000), (3600, 60_000), (-5, 500)] {
            assert_eq!(poll_wait(TimeDelta::seconds(age)), TimeDelta::milliseconds(wait), "{age}");
        }
        let (mut times, row) = (PollTimes::default(), running(&[0]));
        assert_eq!(times.due(&row, at(40)), at(0), "a server that just began asks at once");
        times.ask(&row, at(40));
        assert_eq!(times.due(&row, at(40)), at(42));
        assert_eq!(times.due(&row, at(-100)), at(0), "the clock was set back");
        let later = VendorBatch { due: at(50), ..row.clone() };
        assert_eq!(times.due(&later, at(40)), at(50), "as is written, where a question failed");
        let cut = VendorBatch { state: BatchState::Cut, ..row };
        assert_eq!(times.due(&cut, at(40)), at(0));
    }

    #[test]
    fn an_end_is_written_at_once_and_progress_now_and_then() {
        let (mut times, row) = (PollTimes::default(), running(&[0, 0]));
        let news = |times: &mut PollTimes, next: Option<VendorBatch>, seconds| {
            times.ask(&row, at(seconds));
            times.is_news(&row, &Effect { next, ..Effect::default() }, at(seconds))
        };
        assert!(!news(&mut times, Some(running(&[10, 0])), 4));
        assert!(news(&mut times, Some(running(&[20, 0])), 5));
        assert!(!news(&mut times, Some(running(&[30, 0])), 9));
        assert!(!news(&mut times, Some(running(&[0, 0])), 11), "nothing is told");
        assert!(news(&mut times, Some(running(&[30])), 12), "one has ended");
        assert!(news(&mut times, None, 13), "all have");
    }
}
