//! Many that watch, nodes on event streams among them, and what they hear.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
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

/// What a watcher tells.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told {
    /// Its stream is open.
    Open,
    /// It has the value of that number, of which it was signalled then: with the value, or before it asked for that.
    Value { number: usize, signalled: Instant },
}

/// Where watchers tell, and when it was.
pub(crate) type Tell = UnboundedSender<(Told, Instant)>;

/// The watchers, which end with this.
#[derive(Debug)]
pub(crate) struct Watchers {
    count: usize,
    told: UnboundedReceiver<(Told, Instant)>,
    _tasks: JoinSet<()>,
}

/// What came until all streams were open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    pub(crate) last: Instant,
    /// How many values came along.
    pub(crate) values: usize,
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
        let (tell, told) = unbounded_channel();
        let tasks = (0..count).map(|number| watch(number, tell.clone())).collect();
        Self { count, told, _tasks: tasks }
    }

    async fn next(&mut self) -> Result<(Told, Instant)> {
        let told = timeout(PATIENCE, self.told.recv()).await;
        Ok(told.map_err(|_| "watchers wait for something that does not come")?.ok_or("no watchers")?)
    }

    /// Waits until all are open, or open again.
    pub(crate) async fn opened(&mut self) -> Result<Opened> {
        let (mut left, mut values) = (self.count, 0);
        loop {
            match self.next().await? {
                (Told::Open, _) if left > 1 => left -= 1,
                (Told::Open, last) => return Ok(Opened { last, values }),
                (Told::Value { .. }, _) => values += 1,
            }
        }
    }

    /// Waits until every watcher has the value of that number.
    pub(crate) async fn heard(&mut self, number: usize) -> Result<Heard> {
        let (mut left, mut heard) = (self.count, None);
        loop {
            let (told, at) = self.next().await?;
            let Told::Value { number: value, signalled } = told else { return Err("a watch ended".into()) };
            if value != number {
                continue;
            }
            let heard = heard.get_or_insert(Heard { first: at, signalled, last: at });
            heard.signalled = heard.signalled.max(signalled);
            heard.last = heard.last.max(at);
            left -= 1;
            if left == 0 {
                return Ok(*heard);
            }
        }
    }

    /// Lets go of what was told so far.
    pub(crate) fn forget(&mut self) -> usize {
        std::iter::from_fn(|| self.told.try_recv().ok()).count()
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
    while !tell.is_closed() {
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
            tell.send((Told::Open, Instant::now()))?;
        } else if let Some(id) = line.strip_prefix("id: ") {
            *revision = id.trim_end().parse()?;
        } else if let Some((_, value)) = line.split_once(MARK) {
            let digits = value.split(|char: char| !char.is_ascii_digit()).next().unwrap_or_default();
            let now = Instant::now();
            tell.send((Told::Value { number: digits.parse()?, signalled: now }, now))?;
        }
    }
}
