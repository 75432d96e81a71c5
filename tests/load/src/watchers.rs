//! Watchers: many concurrent nodes on event streams, and the recorder of the values they receive.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::http::{Connection, Result};
use crate::server::{APP, PROFILE};

/// Prefix of every published value; the value's number follows.
pub(crate) const VALUE_PREFIX: &str = "load-";
/// Number of concurrent registrations.
const CONCURRENT_REGISTRATIONS: usize = 64;
/// Time-out of every wait, after which the measurement fails.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Recorder that all watchers report to. It wakes the measurement only for the last of them, because every wake-up would take
/// processor time from the server on the same machine.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(Arc<RecorderState>);

#[derive(Debug)]
struct RecorderState {
    /// Number of watchers.
    count: usize,
    counts: Mutex<Counts>,
    /// Signal that all watchers have reported the same.
    complete: Notify,
}

/// Reports since the last reset.
#[derive(Debug, Default)]
struct Counts {
    opened: usize,
    values: usize,
    /// Number of watchers that have received a value, and the times of it, by the value's number.
    arrivals: HashMap<usize, (usize, Arrival)>,
}

impl Recorder {
    /// Records an opened watch.
    pub(crate) fn watch_opened(&self) {
        let mut counts = self.counts();
        counts.opened += 1;
        if counts.opened == self.0.count {
            self.0.complete.notify_one();
        }
    }

    /// Records that a watcher has received the value with this number. `signalled` is the time at which it learned of the
    /// change: the same as `received` on an event stream, earlier if it had to fetch the value then.
    pub(crate) fn value_received(&self, number: usize, signalled: Instant, received: Instant) {
        let mut counts = self.counts();
        counts.values += 1;
        let new = Arrival { first: received, signalled, last: received };
        let (count, arrival) = counts.arrivals.entry(number).or_insert((0, new));
        *count += 1;
        arrival.signalled = arrival.signalled.max(signalled);
        arrival.last = arrival.last.max(received);
        if *count == self.0.count {
            self.0.complete.notify_one();
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Running watchers; dropping this value stops them.
#[derive(Debug)]
pub(crate) struct Watchers {
    recorder: Recorder,
    _tasks: JoinSet<()>,
}

/// Arrival times of a value: at the first and the last watcher, and the time at which the last watcher learned of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) first: Instant,
    pub(crate) signalled: Instant,
    pub(crate) last: Instant,
}

impl Watchers {
    /// Starts watchers, numbered from 0.
    pub(crate) fn start<T>(count: usize, watch: impl Fn(usize, Recorder) -> T) -> Self
    where
        T: Future<Output = ()> + Send + 'static,
    {
        let state = RecorderState { count, counts: Mutex::default(), complete: Notify::new() };
        let recorder = Recorder(Arc::new(state));
        let tasks = (0..count).map(|number| watch(number, recorder.clone())).collect();
        Self { recorder, _tasks: tasks }
    }

    /// Waits until `check` returns a result for the counts.
    async fn wait_for<T>(&self, check: impl Fn(&mut Counts) -> Option<T>) -> Result<T> {
        let wait = async {
            loop {
                if let Some(result) = check(&mut self.recorder.counts()) {
                    return result;
                }
                self.recorder.0.complete.notified().await;
            }
        };
        Ok(timeout(TIMEOUT, wait).await.map_err(|_| "timed out waiting for all watchers")?)
    }

    /// Waits until all watches are open, or open again, and returns the number of values received meanwhile.
    pub(crate) async fn wait_until_open(&self) -> Result<usize> {
        let count = self.recorder.0.count;
        self.wait_for(|counts| {
            (counts.opened == count).then(|| {
                counts.opened = 0;
                std::mem::take(&mut counts.values)
            })
        })
        .await
    }

    /// Waits until every watcher has received the value with this number. Fails if a watch was reopened meanwhile.
    pub(crate) async fn wait_for_value(&self, number: usize) -> Result<Arrival> {
        let count = self.recorder.0.count;
        let arrival = self.wait_for(|counts| {
            let complete = counts.arrivals.get(&number).is_some_and(|(received, _)| *received == count);
            let (_, arrival) = complete.then(|| counts.arrivals.remove(&number)).flatten()?;
            Some((arrival, counts.opened))
        });
        match arrival.await? {
            (arrival, 0) => Ok(arrival),
            _ => Err("a watch ended during the measurement".into()),
        }
    }

    /// Resets the counts and returns the number of values received since the last reset.
    pub(crate) fn reset(&self) -> usize {
        std::mem::take(&mut *self.recorder.counts()).values
    }
}

/// Registers nodes, numbered from 0.
pub(crate) async fn register(server: SocketAddr, key: &str, count: usize) -> Result<()> {
    let mut tasks = JoinSet::new();
    for from in 0..CONCURRENT_REGISTRATIONS {
        let headers = bearer(key);
        tasks.spawn(async move {
            let mut connection = Connection::open(server, &headers).await?;
            for number in (from..count).step_by(CONCURRENT_REGISTRATIONS) {
                let node =
                    serde_json::json!({"app": APP, "profile": PROFILE, "pid": "1", "nodeId": node(number)});
                connection.post("/node/register", &node).await?;
            }
            Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect()
}

/// Node id of a watcher.
pub(crate) fn node(number: usize) -> String {
    format!("n-{number}")
}

/// `Authorization` header with an app key.
pub(crate) fn bearer(key: &str) -> String {
    format!("authorization: Bearer {key}\r\n")
}

/// Delay before a watcher reconnects: 50 to 500 ms depending on its number, like the jitter of real clients.
pub(crate) fn reconnect_delay(number: usize) -> Duration {
    Duration::from_millis(50 + number as u64 * 7919 % 450)
}

/// Watches an event stream, and after every failure resumes at the last revision.
pub(crate) async fn watch(server: SocketAddr, key: Arc<str>, number: usize, recorder: Recorder) {
    let mut revision = 0;
    loop {
        // Every end of a stream, with or without an error, leads to a reconnect.
        let _ = stream(server, &key, number, &mut revision, &recorder).await;
        sleep(reconnect_delay(number)).await;
    }
}

async fn stream(
    server: SocketAddr,
    key: &str,
    number: usize,
    revision: &mut u64,
    recorder: &Recorder,
) -> Result<()> {
    let mut connection = Connection::open(server, &bearer(key)).await?;
    let target =
        format!("/node/watch?app={APP}&profile={PROFILE}&nodeId={}&revision={revision}", node(number));
    connection.send("GET", &target, "accept: text/event-stream\r\n", "").await?;
    if !connection.head().await?.starts_with("HTTP/1.1 200") {
        return Err("the watch was refused".into());
    }
    let (mut line, mut is_open) = (String::new(), false);
    loop {
        connection.line(&mut line).await?;
        if line.is_empty() {
            return Ok(());
        }
        if line.starts_with(':') && !is_open {
            is_open = true;
            recorder.watch_opened();
        } else if let Some(id) = line.strip_prefix("id: ") {
            *revision = id.trim_end().parse()?;
        } else if let Some((_, value)) = line.split_once(VALUE_PREFIX) {
            let digits = value.split(|char: char| !char.is_ascii_digit()).next().unwrap_or_default();
            let now = Instant::now();
            recorder.value_received(digits.parse()?, now, now);
        }
    }
}
