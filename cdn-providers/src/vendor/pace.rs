//! Pace of calls: the least time between two calls of one action, which keeps a vendor's rate where the engine does not know of
//! each call, such as those of a list of many pages.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::lock;

/// Times from which on each action may be called again.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<HashMap<&'static str, Instant>>);

impl Pace {
    /// Waits for the turn of a call of an action; turns are so far apart.
    pub(crate) async fn wait(&self, action: &'static str, apart: Duration) {
        let turn = {
            let mut turns = lock(&self.0);
            let free = turns.entry(action).or_insert_with(Instant::now);
            let turn = (*free).max(Instant::now());
            *free = turn + apart;
            turn
        };
        sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_of_one_action_are_apart_and_of_two_are_not() {
        let (pace, begun, apart) = (Pace::default(), Instant::now(), Duration::from_millis(60));
        let call = |action| pace.wait(action, apart);
        tokio::join!(call("a"), call("a"), call("a"), call("b"));
        assert_eq!(begun.elapsed(), 2 * apart);
        tokio::time::sleep(Duration::from_secs(9)).await;
        call("a").await;
        assert_eq!(begun.elapsed(), 2 * apart + Duration::from_secs(9), "nobody waits after a rest");
    }
}
