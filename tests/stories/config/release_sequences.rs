//! Random sequences of releases, with nodes that join, leave and crash, and servers that are killed meanwhile. On every
//! protocol a node holds exactly the items released to it, at every revision and in the end.

mod sequence;

use std::time::Duration;

use pilothouse_test_support::{env_number, postgres_or_skip};

use self::sequence::Sequence;
use crate::support::{ApiClient, Installation, Protocol, ROOT};

/// Operations of a sequence.
const STEPS: usize = 30;
/// The nodes of a sequence; the first of each protocol run from the beginning.
pub(super) const NODES: [(&str, Protocol); 10] = [
    ("stream-0", Protocol::Stream),
    ("long-poll-0", Protocol::LongPoll),
    ("poll-0", Protocol::Poll),
    ("embedded-0", Protocol::Embedded),
    ("10.9.0.1", Protocol::Apollo),
    ("stream-1", Protocol::Stream),
    ("long-poll-1", Protocol::LongPoll),
    ("poll-1", Protocol::Poll),
    ("embedded-1", Protocol::Embedded),
    ("10.9.0.2/canary", Protocol::Apollo),
];

/// The seeds of the sequences: `PILOTHOUSE_TEST_KILLS` of them, 3 by default, beginning with `PILOTHOUSE_TEST_SEED`.
fn seeds() -> std::ops::Range<u64> {
    let first = env_number("PILOTHOUSE_TEST_SEED", 1);
    first..first + env_number("PILOTHOUSE_TEST_KILLS", 3)
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite() {
    run_sequences("SQLite", &[Installation::sqlite()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_two_servers_over_one_postgres() {
    let Some(postgres) = postgres_or_skip("config::release_sequences::on_two_servers_over_one_postgres")
    else {
        return;
    };
    let database = postgres.database();
    run_sequences(
        "two servers on Postgres",
        &[Installation::postgres(&database), Installation::postgres(&database)],
    )
    .await;
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
    /// Observations of nodes, and observed values.
    pub(super) observations: usize,
    pub(super) values: usize,
    /// The longest time from the last operation until every node had its items.
    pub(super) slowest: Duration,
}

async fn run_sequences(on: &str, installations: &[Installation]) {
    let mut servers = vec![installations[0].serve().await];
    for installation in &installations[1..] {
        servers.push(installation.serve().await);
    }
    let mut tally = Tally::default();
    for seed in seeds() {
        let root = ApiClient::new(&servers.iter().collect::<Vec<_>>()).login(ROOT).await;
        let mut sequence = Sequence::new(seed, installations, &mut servers, root, &mut tally).await;
        for (node, _) in &NODES[..5] {
            sequence.join(node);
        }
        for _ in 0..STEPS {
            sequence.step().await;
            sequence.check();
        }
        sequence.settle().await;
        if seed % 10 == 0 {
            println!("{on}: after the sequence {seed} {tally:?}");
        }
    }
    println!(
        "{on}: {} sequences, {tally:?}; no node had a value of others, no final value was lost",
        seeds().count()
    );
    assert!(
        tally.acknowledged > 0 && tally.kills > 0 && tally.values > 0,
        "the sequences did too little to prove anything"
    );
}
