//! Pauses before a server is asked again.

use std::time::Duration;

/// First pause, which doubles up to the longest.
const FIRST: Duration = Duration::from_secs(1);
/// Longest pause that is chosen here.
const LONGEST: Duration = Duration::from_mins(1);
/// Longest pause that a server may ask for.
const MOST_ASKED_FOR: Duration = Duration::from_mins(10);

/// Pause before an attempt, the second being the first that is repeated. `jitter` is a random number: half of the pause depends
/// on it, so that the edges of a fleet do not come back at once. What the server asks for is the least.
pub(super) fn pause(attempt: u32, retry_after: Option<Duration>, jitter: u32) -> Duration {
    let doubled = FIRST.saturating_mul(1 << attempt.saturating_sub(2).min(16)).min(LONGEST);
    let chosen = doubled.mul_f64(0.5 + f64::from(jitter) / f64::from(u32::MAX) / 2.0);
    let asked_for = retry_after.unwrap_or_default().min(MOST_ASKED_FOR);
    // The server's pause is the same for all, so the jitter comes on top of it.
    if asked_for > chosen { asked_for + chosen.min(FIRST) } else { chosen }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_half_of_each_is_random() {
        for (attempt, least) in [(2, 500), (3, 1000), (4, 2000), (7, 16_000), (8, 30_000), (900, 30_000)] {
            assert_eq!(pause(attempt, None, 0), Duration::from_millis(least), "{attempt}");
            assert_eq!(pause(attempt, None, u32::MAX), Duration::from_millis(2 * least), "{attempt}");
        }
    }

    #[test]
    fn a_server_is_given_the_time_that_it_asks_for() {
        let asked_for = Duration::from_secs(7);
        let paused = pause(2, Some(asked_for), 0);
        assert!(paused >= asked_for && paused <= asked_for + FIRST, "{paused:?}");
        assert_eq!(pause(9, Some(asked_for), u32::MAX), LONGEST);
        assert!(pause(2, Some(Duration::from_hours(24)), 0) <= MOST_ASKED_FOR + FIRST);
    }
}
