//! Random sequences of releases of single keys and of sets, with nodes that join, leave and crash, servers that are killed
//! meanwhile, stores that are restored, and apps that are created again. On every protocol a node holds exactly the items
//! released to it, at every revision and in the end, and never a part of a set.

mod campaign;
mod cluster;
mod histories;
mod publishing;
mod sequence;

use std::time::Duration;

use pilothouse_test_support::{env_number, postgres_or_skip};

use self::cluster::Cluster;
use self::sequence::{Access, Sequence};
use crate::support::Protocol;

/// Operations of a sequence.
const STEPS: usize = 30;
/// Step before which the store is backed up in every other sequence, and the one before which it is restored; in every third
/// of these only one publish is lost.
const BACKED_UP: usize = 8;
const RESTORED: usize = 18;
/// The nodes of a sequence; the first of each protocol run from the beginning.
pub(super) const NODES: [(&str, Protocol); 12] = [
    ("stream-0", Protocol::Stream),
    ("long-poll-0", Protocol::LongPoll),
    ("poll-0", Protocol::Poll),
    ("embedded-0", Protocol::Embedded),
    ("10.9.0.1", Protocol::Apollo),
    ("10.9.0.3", Protocol::ConfigFiles),
    ("stream-1", Protocol::Stream),
    ("long-poll-1", Protocol::LongPoll),
    ("poll-1", Protocol::Poll),
    ("embedded-1", Protocol::Embedded),
    ("10.9.0.2/canary", Protocol::Apollo),
    ("10.9.0.4/canary", Protocol::ConfigFiles),
];

/// Number of sequences, 3 unless `PILOTHOUSE_TEST_KILLS` says otherwise, and of sets of the campaign, 100 unless
/// `PILOTHOUSE_TEST_SETS` does. The first seed is `PILOTHOUSE_TEST_SEED`.
struct Extent {
    first: u64,
    sequences: u64,
    sets: u64,
}

impl Extent {
    fn of_environment() -> Self {
        Self {
            first: env_number("PILOTHOUSE_TEST_SEED", 1),
            sequences: env_number("PILOTHOUSE_TEST_KILLS", 3),
            sets: env_number("PILOTHOUSE_TEST_SETS", 100),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    run_sequences("SQLite", Cluster::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_two_servers_over_one_postgres() {
    let Some(postgres) = postgres_or_skip("config::release_sequences::on_two_servers_over_one_postgres")
    else {
        return;
    };
    run_sequences("two servers on Postgres", Cluster::postgres(postgres).await).await;
}

/// Counts over all sequences, for the summary.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) kills: u32,
    pub(super) acknowledged: u32,
    /// Calls that were interrupted by a kill, and how many of them were carried out.
    pub(super) interrupted: u32,
    pub(super) carried_out: u32,
    pub(super) refused: u32,
    /// Sets of changes that were published, releases that were taken back, and restores of the store.
    pub(super) sets: u64,
    pub(super) rollbacks: u32,
    pub(super) restores: u32,
    /// Apps that were deleted and created again.
    pub(super) recreations: u32,
    /// Observations of nodes, and observed values.
    pub(super) observations: usize,
    pub(super) values: usize,
    /// The longest time from the last operation until every node had its items.
    pub(super) slowest: Duration,
}

async fn run_sequences(on: &str, mut cluster: Cluster) {
    let extent = Extent::of_environment();
    let mut tally = Tally::default();
    let mut done = 0;
    while done < extent.sequences {
        let seed = extent.first + done;
        let mut sequence = Sequence::new(seed, Access::Alone(&mut cluster), &mut tally).await;
        for (node, _) in &NODES[..6] {
            sequence.join(node);
        }
        for step in 0..STEPS {
            // A restore takes as long as a whole sequence without one.
            match step {
                _ if seed.is_multiple_of(2) => {}
                RESTORED if seed.is_multiple_of(3) => sequence.lose_publish().await,
                _ if seed.is_multiple_of(3) => {}
                BACKED_UP => sequence.back_up().await,
                RESTORED => sequence.restore().await,
                _ => {}
            }
            sequence.step().await;
            sequence.check();
        }
        sequence.settle().await;
        done += 1;
        if done.is_multiple_of(10) {
            println!("{on}: after the sequence {seed} {tally:?}");
        }
    }
    println!("{on}: {done} sequences, {tally:?}; no node had a value of others, no final value was lost");
    assert!(
        tally.acknowledged > 0 && tally.kills > 0 && tally.values > 0,
        "the sequences did too little to prove anything"
    );
}
