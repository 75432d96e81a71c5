//! Many that watch, nodes on event streams among them, and what they hear.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::http::{Connection, Result};
use crate::server::{APP, PROFILE};

/// What every published value begins with; its number follows.
pub(crate) const MARK: &str = "load-";
/// How many registrations are under way at once.
const REGISTERING: usize = 64;
/// After this long without what is waited for, the measurement has failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where watchers tell what they hear. Nobody is woken for it but who waits for the last of them: each wake would take
/// time from the server that is measured on the same machine.
#[derive(Clone, Debug)]
pub(crate) struct Tell(Arc<Told>);

#[derive(Debug)]
struct Told {
    /// How many watchers there are.
    count: usize,
    tally: Mutex<Tally>,
    complete: Notify,
}

/// What was told and not yet asked about.
#[derive(Debug, Default)]
struct Tally {
    opened: usize,
    values: usize,
    /// By the number of the value: how many have it, and when.
    heard: HashMap<usize, (usize, Heard)>,
}

impl Tell {
    /// A stream is open.
    pub(crate) fn open(&self) {
        let mut tally = self.tally();
        tally.opened += 1;
        if tally.opened == self.0.count {
            self.0.complete.notify_one();
        }
    }

    /// A watcher has the value of that number, of which it was signalled then: with the value, or before it asked for that.
    pub(crate) fn value(&self, number: usize, signalled: Instant, at: Instant) {
        let mut tally = self.tally();
        tally.values += 1;
        let (count, heard) =
            tally.heard.entry(number).or_insert((0, Heard { first: at, signalled, last: at }));
        *count += 1;
        heard.signalled = heard.signalled.max(signalled);
        heard.last = heard.last.max(at);
        if *count == self.0.count {
            self.0.complete.notify_one();
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.0.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The watchers, which end with this.
#[derive(Debug)]
pub(crate) struct Watchers {
    tell: Tell,
    _tasks: JoinSet<()>,
}

/// When the first and the last watcher had a value, and when the last was signalled that there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) first: Instant,
    pub(crate) signalled: Instant,
    pub(crate) last: Instant,
}

impl Watchers {
    /// Opens that many, each by its number.
    pub(crate) fn open<T>(count: usize, watch: impl Fn(usize, Tell) -> T) -> Self
    where
        T: Future<Output = ()> + Send + 'static,
    {
        let tell = Tell(Arc::new(Told { count, tally: Mutex::default(), complete: Notify::new() }));
        let tasks = (0..count).map(|number| watch(number, tell.clone())).collect();
        Self { tell, _tasks: tasks }
    }

    /// Waits until what was told is as it should be.
    async fn until<T>(&self, asked: impl Fn(&mut Tally) -> Option<T>) -> Result<T> {
        let waited = async {
            loop {
                if let Some(answer) = asked(&mut self.tell.tally()) {
                    return answer;
                }
                self.tell.0.complete.notified().await;
            }
        };
        Ok(timeout(PATIENCE, waited).await.map_err(|_| "watchers wait for something that does not come")?)
    }

    /// Waits until all are open, or open again: how many values came along.
    pub(crate) async fn opened(&self) -> Result<usize> {
        let count = self.tell.0.count;
        self.until(|tally| {
            (tally.opened == count).then(|| {
                tally.opened = 0;
                std::mem::take(&mut tally.values)
            })
        })
        .await
    }

    /// Waits until every watcher has the value of that number. An error where a watch ended meanwhile.
    pub(crate) async fn heard(&self, number: usize) -> Result<Heard> {
        let count = self.tell.0.count;
        let heard = self.until(|tally| {
            let complete = tally.heard.get(&number).is_some_and(|(heard, _)| *heard == count);
            let (_, heard) = complete.then(|| tally.heard.remove(&number)).flatten()?;
            Some((heard, tally.opened))
        });
        match heard.await? {
            (heard, 0) => Ok(heard),
            _ => Err("a watch ended".into()),
        }
    }

    /// Lets go of what was told so far: how many values that were.
    pub(crate) fn forget(&self) -> usize {
        std::mem::take(&mut *self.tell.tally()).values
    }
}

/// Registers nodes.
pub(crate) async fn register(server: SocketAddr, key: &str, count: usize) -> Result<()> {
    let mut tasks = JoinSet::new();
    for from in 0..REGISTERING {
        let headers = bearer(key);
        tasks.spawn(async move {
            let mut connection = Connection::open(server, &headers).await?;
            for number in (from..count).step_by(REGISTERING) {
                let node =
                    serde_json::json!({"app": APP, "profile": PROFILE, "pid": "1", "nodeId": node(number)});
                connection.post("/node/register", &node).await?;
            }
            Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect()
}

pub(crate) fn node(number: usize) -> String {
    format!("n-{number}")
}

pub(crate) fn bearer(key: &str) -> String {
    format!("authorization: Bearer {key}\r\n")
}

/// After how long a watcher comes back: spread over half a second, as clients do with jitter.
pub(crate) fn spread(number: usize) -> Duration {
    Duration::from_millis(50 + number as u64 * 7919 % 450)
}

/// Watches on an event stream, and comes back after every end from where it was.
pub(crate) async fn watch(server: SocketAddr, key: Arc<str>, number: usize, tell: Tell) {
    let mut revision = 0;
    loop {
        // Whatever ends a stream is a reason to come back.
        let _ = stream(server, &key, number, &mut revision, &tell).await;
        sleep(spread(number)).await;
    }
}

async fn stream(server: SocketAddr, key: &str, number: usize, revision: &mut u64, tell: &Tell) -> Result<()> {
    let mut connection = Connection::open(server, &bearer(key)).await?;
    let target =
        format!("/node/watch?app={APP}&profile={PROFILE}&nodeId={}&revision={revision}", node(number));
    connection.send("GET", &target, "accept: text/event-stream\r\n", "").await?;
    if !connection.head().await?.starts_with("HTTP/1.1 200") {
        return Err("refused".into());
    }
    let (mut line, mut is_open) = (String::new(), false);
    loop {
        connection.line(&mut line).await?;
        if line.is_empty() {
            return Ok(());
        }
        if line.starts_with(':') && !is_open {
            is_open = true;
            tell.open();
        } else if let Some(id) = line.strip_prefix("id: ") {
            *revision = id.trim_end().parse()?;
        } else if let Some((_, value)) = line.split_once(MARK) {
            let digits = value.split(|char: char| !char.is_ascii_digit()).next().unwrap_or_default();
            let now = Instant::now();
            tell.value(digits.parse()?, now, now);
        }
    }
}
