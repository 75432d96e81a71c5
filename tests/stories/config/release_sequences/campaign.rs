//! Campaign of random sets of changes: several apps are published side by side on servers that are killed meanwhile. A kill
//! meets calls of all apps, and dozens of sets lie between two kills, since a restart takes as long as they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use pilothouse_test_support::{Rng, postgres_or_skip};
use serde_json::json;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use tokio::time::{Duration, sleep};

use super::cluster::Cluster;
use super::sequence::{Access, Sequence};
use super::{Extent, NODES, Tally};
use crate::support::Operation;

/// Apps that are published side by side.
const APPS: u64 = 6;
/// The most calls from one kill to the next.
const CALLS_PER_KILL: u64 = 60;
/// The longest time from the moment at which a kill is due to the kill, in milliseconds: that of some calls.
const KILL_DELAY: u64 = 30;

/// Access of one of several sequences to the servers, which are killed only while each sequence waits for the answer of a
/// release operation, or for them to be started again.
pub(super) struct SharedCluster {
    cluster: Arc<RwLock<Cluster>>,
    /// Keeps the servers running.
    guard: Option<OwnedRwLockReadGuard<Cluster>>,
    calls: Arc<AtomicU64>,
}

impl SharedCluster {
    async fn new(cluster: &Arc<RwLock<Cluster>>, calls: &Arc<AtomicU64>) -> Self {
        let guard = Some(cluster.clone().read_owned().await);
        Self { cluster: cluster.clone(), guard, calls: calls.clone() }
    }

    pub(super) fn cluster(&self) -> &Cluster {
        self.guard.as_ref().unwrap()
    }

    /// Runs a call during which servers may be killed.
    pub(super) async fn run<T>(&mut self, call: impl Future<Output = T>) -> T {
        self.guard = None;
        let answer = call.await;
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.guard = Some(self.cluster.clone().read_owned().await);
        answer
    }
}

impl Sequence<'_> {
    /// Publishes random sets to all nodes and to some, promotes and takes back.
    async fn publish_sets(&mut self, sets: u64) {
        for (node, _) in &NODES[..6] {
            self.join(node);
        }
        while self.tally.sets < sets {
            match self.rng.u64(..10) {
                0..=4 => self.publish_set(json!({})).await,
                5 | 6 => {
                    if let Some(selector) = self.selector() {
                        self.publish_set(selector).await;
                    }
                }
                7 | 8 => self.promote().await,
                _ => self.roll_back().await,
            }
            self.check();
        }
        self.settle().await;
    }

    /// Promotes a grey release, if there is one.
    pub(super) async fn promote(&mut self) {
        if let Some(grey) = self.any_grey() {
            self.release("/publish/promote", json!({"release": grey}), Operation::Promote { grey }).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_on_sqlite() {
    publish_sets("SQLite", Cluster::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_on_two_servers_over_one_postgres() {
    let name = "config::release_sequences::campaign::sets_on_two_servers_over_one_postgres";
    let Some(postgres) = postgres_or_skip(name) else { return };
    publish_sets("two servers on Postgres", Cluster::postgres(postgres).await).await;
}

async fn publish_sets(on: &str, cluster: Cluster) {
    let extent = Extent::of_environment();
    let cluster = Arc::new(RwLock::new(cluster));
    let calls = Arc::new(AtomicU64::new(0));
    let mut tallies: Vec<Tally> = (0..APPS).map(|_| Tally::default()).collect();
    let sequences = tallies.iter_mut().zip(extent.first..).map(async |(tally, seed)| {
        let access = Access::Shared(SharedCluster::new(&cluster, &calls).await);
        Sequence::new(seed, access, tally).await.publish_sets(extent.sets.div_ceil(APPS)).await;
    });
    let sequences = join_all(sequences);
    let mut kills = 0;
    let killing = async {
        let mut rng = Rng::with_seed(extent.first);
        loop {
            let due = calls.load(Ordering::Relaxed) + 1 + rng.u64(..CALLS_PER_KILL);
            while calls.load(Ordering::Relaxed) < due {
                sleep(Duration::from_millis(1)).await;
            }
            let mut cluster = cluster.write().await;
            sleep(Duration::from_millis(rng.u64(..KILL_DELAY))).await;
            let which = rng.usize(..cluster.servers().len());
            cluster.process(which).kill9();
            cluster.start_again(which).await;
            kills += 1;
        }
    };
    tokio::select! {
        _ = sequences => {}
        () = killing => {}
    }
    let sets: u64 = tallies.iter().map(|tally| tally.sets).sum();
    println!(
        "{on}: {sets} sets, {kills} kills, {tallies:?}; no node saw a part of one, no final value was lost"
    );
    assert!(sets >= extent.sets && kills > 0, "the campaign did too little to prove anything");
}
