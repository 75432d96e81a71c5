//! Random model of configuration delivery.
//!
//! Random releases, nodes and restarts of servers run against a simple model of what each node should have. No node ever
//! has a version that was not meant for it, and none misses one that was.

mod check;
mod expected;
mod node;
mod publish;
mod publish_set;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use fastrand::Rng;
use futures_util::FutureExt;
use pilothouse_core::account::{Caller, Groups};
use pilothouse_core::config::{AppSession, ReleaseId, Selector};
use pilothouse_core::ports::Storage;
use pilothouse_core::{Pilothouse, SecretKey, Settings};

use self::expected::{Client, FullRelease, Released};
use crate::Fixture;

/// Operations of one sequence.
const STEPS: usize = 40;
const KEYS: [&str; 3] = ["a", "dir/b", "更新"];

/// Runs 12 random sequences, or as many as `PILOTHOUSE_TEST_SEQUENCES` says, beginning with the seed
/// `PILOTHOUSE_TEST_SEED`. `open` opens the store of a sequence, by its seed, and opens it again each time a server
/// restarts.
pub async fn nodes_have_what_they_should(open: impl AsyncFn(u64) -> Arc<dyn Storage>) {
    let first = number("PILOTHOUSE_TEST_SEED", 1);
    for seed in first..first + number("PILOTHOUSE_TEST_SEQUENCES", 12) {
        let mut log = Vec::new();
        let run = AssertUnwindSafe(sequence(seed, &open, &mut log)).catch_unwind().await;
        if let Err(panic) = run {
            let log = log.join("\n");
            eprintln!("with PILOTHOUSE_TEST_SEED={seed} PILOTHOUSE_TEST_SEQUENCES=1 after\n{log}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// The sequences over one store that stays open.
pub(crate) async fn one_store_that_stays_open(storage: Arc<dyn Storage>) {
    nodes_have_what_they_should(async |_| storage.clone()).await;
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

async fn sequence(seed: u64, open: &impl AsyncFn(u64) -> Arc<dyn Storage>, log: &mut Vec<String>) {
    let fixture = fixture(open(seed).await);
    let app = format!("app{seed}");
    let caller = fixture.account(&format!("owner{seed}"), Groups::NONE).await;
    fixture.app(&caller, &app).await;
    let key = fixture.pilothouse.app_keys().create(&caller, &app).await.unwrap().text;
    let mut simulation = Simulation {
        servers: [fixture.pilothouse.clone(), fixture.another_server()],
        storage: fixture.storage,
        app,
        key,
        caller,
        random: Rng::with_seed(seed),
        released: vec![Released::default()],
        values: BTreeMap::new(),
        clients: BTreeMap::new(),
        greys: BTreeMap::new(),
        fulls: BTreeMap::new(),
        last_full: BTreeMap::new(),
        log,
    };
    for _ in 0..3 {
        simulation.join().await;
    }
    for _ in 0..STEPS {
        simulation.step(seed, open).await;
        simulation.listen();
    }
    for server in &simulation.servers {
        server.delivery().poll().await.unwrap();
    }
    simulation.listen();
    simulation.settle().await;
}

/// Every server has the same secret: an app key made by one is good for all.
fn fixture(storage: Arc<dyn Storage>) -> Fixture {
    let secret = SecretKey::new(&[7; 32]).unwrap();
    Fixture::builder(storage).settings(Settings::default().with_secret(secret)).build()
}

/// One app on two servers, with its nodes.
struct Simulation<'a> {
    storage: Arc<dyn Storage>,
    servers: [Pilothouse; 2],
    app: String,
    /// Key of the app.
    key: String,
    caller: Caller,
    random: Rng,
    /// By revision.
    released: Vec<Released>,
    /// Values by key and version.
    values: BTreeMap<(String, i64), String>,
    clients: BTreeMap<String, Client>,
    /// Active grey releases by key.
    greys: BTreeMap<&'static str, ReleaseId>,
    /// Full releases that may be rolled back.
    fulls: BTreeMap<ReleaseId, FullRelease>,
    /// The full release in effect of each key.
    last_full: BTreeMap<&'static str, ReleaseId>,
    /// Operations so far, for the message of a failure.
    log: &'a mut Vec<String>,
}

impl Simulation<'_> {
    fn latest(&self) -> &Released {
        self.released.last().unwrap()
    }

    fn any_server(&mut self) -> Pilothouse {
        self.servers[self.random.usize(..2)].clone()
    }

    fn any_key(&mut self) -> &'static str {
        KEYS[self.random.usize(..KEYS.len())]
    }

    async fn session(&self, server: &Pilothouse) -> AppSession {
        server.delivery().open(&self.app, &self.key).await.unwrap()
    }

    async fn step(&mut self, seed: u64, open: &impl AsyncFn(u64) -> Arc<dyn Storage>) {
        match self.random.u8(..21) {
            16 | 17 => self.publish_set(&Selector::default()).await,
            18 | 19 => {
                let percent = Some(self.random.i64(1..=100).try_into().unwrap());
                self.publish_set(&Selector { percent, ..Selector::default() }).await;
            }
            20 => self.roll_back().await,
            0..=2 => self.publish(&Selector::default()).await,
            3 | 4 => {
                let mut nodes: Vec<_> = self.clients.keys().cloned().collect();
                nodes.retain(|_| self.random.bool());
                if !nodes.is_empty() {
                    let selector =
                        Selector { nodes: Some(nodes.join(",").parse().unwrap()), ..Selector::default() };
                    self.publish(&selector).await;
                }
            }
            5 | 6 => {
                let percent = Some(self.random.i64(1..=100).try_into().unwrap());
                self.publish(&Selector { percent, ..Selector::default() }).await;
            }
            7 => self.end_grey(true).await,
            8 => self.end_grey(false).await,
            9 => self.delete().await,
            10 => self.join().await,
            11 => self.leave().await,
            12 => self.restart_node().await,
            13 => self.restart_server(seed, open).await,
            14 => self.config().await,
            _ => self.connect().await,
        }
    }

    async fn restart_server(&mut self, seed: u64, open: &impl AsyncFn(u64) -> Arc<dyn Storage>) {
        let which = self.random.usize(..2);
        for client in self.clients.values_mut() {
            client.watch = None;
        }
        let restarted = fixture(open(seed).await);
        self.storage = restarted.storage;
        self.servers[which] = restarted.pilothouse;
        self.log.push(format!("server {which} restarts"));
    }
}
