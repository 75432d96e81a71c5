//! Random operations on the memory store, SQLite and Postgres at once: every answer is the same on all of them.
//!
//! All three draw the same random numbers. Ids may differ in value but not in order, so answers are compared with each
//! id replaced by its place among those given out. `PILOTHOUSE_TEST_SEED` chooses other numbers than the usual ones.

mod account;
mod cdn;
mod config;
mod delivery;
mod edge;
mod known;
mod ops;
mod random;
mod traffic;

use std::sync::Arc;

use pilothouse_core::ports::{Repositories, Storage, UnitOfWork};
use pilothouse_storage_memory::MemoryStorage;

use self::known::Known;
use self::random::Random;

/// How many transactions; on average they hold five operations each.
const TRANSACTIONS: usize = 600;

/// One of the stores, and what it is at.
struct Side {
    name: &'static str,
    storage: Arc<dyn Storage>,
    /// The ids given out by what is committed.
    known: Known,
    /// A snapshot kept open while others write, with the ids of its time.
    snapshot: Option<(Box<dyn Repositories>, Known)>,
}

/// A transaction on one side, with the ids it knows.
struct Writing {
    work: Box<dyn UnitOfWork>,
    known: Known,
}

async fn read(store: &mut dyn Repositories, known: &Known, random: &mut Random) -> String {
    match random.below(7) {
        0 => account::read(store, known, random).await,
        1 => ops::read(store, known, random).await,
        2 => config::read(store, known, random).await,
        3 => cdn::read(store, known, random).await,
        4 => delivery::read(store, known, random).await,
        5 => edge::read(store, known, random).await,
        _ => traffic::read(store, known, random).await,
    }
}

async fn write(store: &mut dyn Repositories, known: &mut Known, random: &mut Random) -> String {
    match random.below(7) {
        0 => account::write(store, known, random).await,
        1 => ops::write(store, known, random).await,
        2 => config::write(store, known, random).await,
        3 => cdn::write(store, known, random).await,
        4 => delivery::write(store, known, random).await,
        5 => edge::write(store, random).await,
        _ => traffic::write(store, known, random).await,
    }
}

/// What was done so far, for when a store answers otherwise.
struct Log {
    seed: u64,
    lines: Vec<String>,
}

impl Log {
    /// Compares what the sides answered to one operation.
    fn compare(&mut self, answers: &[(&'static str, String, Random)]) {
        let (_, expected, drawn) = &answers[0];
        for (_, answer, draws) in answers {
            if answer != expected || draws != drawn {
                let before = self.lines[self.lines.len().saturating_sub(30)..].join("\n");
                let differ: Vec<_> =
                    answers.iter().map(|(name, answer, _)| format!("{name}: {answer}")).collect();
                let differ = differ.join("\n");
                panic!(
                    "with PILOTHOUSE_TEST_SEED={} after\n{before}\nthe stores differ:\n{differ}",
                    self.seed
                );
            }
        }
        self.lines.push(expected.clone());
    }
}

/// Runs `$operation` on every side with the same random numbers, and compares what they answer.
macro_rules! on_all {
    ($sides:expr, $random:expr, $log:expr, $side:pat => $name:expr, |$draws:ident| $operation:expr) => {{
        let mut answers = Vec::new();
        for $side in $sides {
            let mut draws = $random.clone();
            let $draws = &mut draws;
            let answer = $operation.await;
            answers.push(($name, answer, draws));
        }
        $random = answers[0].2.clone();
        $log.compare(&answers);
    }};
}

async fn transaction(sides: &mut [Side], random: &mut Random, log: &mut Log) {
    let mut writing = Vec::new();
    for side in sides.iter() {
        let work = side.storage.begin().await.unwrap();
        writing.push((side.name, Writing { work, known: side.known.clone() }));
    }
    for _ in 0..=random.below(8) {
        if random.chance(25) {
            on_all!(&mut writing, *random, log, (name, at) => *name, |draws| read(&mut *at.work, &at.known, draws));
        } else {
            on_all!(&mut writing, *random, log, (name, at) => *name, |draws| write(&mut *at.work, &mut at.known, draws));
        }
    }
    let end = random.below(10);
    for (side, (_, Writing { work, known })) in sides.iter_mut().zip(writing) {
        match end {
            0 => drop(work),
            1 => work.rollback().await.unwrap(),
            _ => {
                work.commit().await.unwrap();
                side.known = known;
            }
        }
    }
    log.lines.push(["dropped", "rolled back", "committed"][end.min(2)].to_owned());
}

async fn snapshot(sides: &mut [Side], random: &mut Random, log: &mut Log) {
    if random.chance(20) || sides[0].snapshot.is_none() {
        for side in sides.iter_mut() {
            side.snapshot = Some((side.storage.read().await.unwrap(), side.known.clone()));
        }
        log.lines.push("a new snapshot".to_owned());
    }
    for _ in 0..=random.below(3) {
        on_all!(&mut *sides, *random, log, side => side.name, |draws| {
            let (snapshot, known) = side.snapshot.as_mut().unwrap();
            read(&mut **snapshot, known, draws)
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_stores_answer_alike() {
    let seed = std::env::var("PILOTHOUSE_TEST_SEED").map_or(20_161_130, |text| text.parse().unwrap());
    let memory: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let (sqlite, _folder) = crate::sqlite_store("three_stores_answer_alike").await.unwrap();
    let postgres = crate::postgres_store("three_stores_answer_alike").await.map(|(storage, ())| storage);
    let stores = [("memory", Some(memory)), ("SQLite", Some(sqlite)), ("Postgres", postgres)];
    let mut sides: Vec<Side> = stores
        .into_iter()
        .filter_map(|(name, storage)| {
            Some(Side { name, storage: storage?, known: Known::default(), snapshot: None })
        })
        .collect();
    let mut random = Random::new(seed);
    let mut log = Log { seed, lines: Vec::new() };
    for _ in 0..TRANSACTIONS {
        if random.chance(75) {
            transaction(&mut sides, &mut random, &mut log).await;
        } else {
            snapshot(&mut sides, &mut random, &mut log).await;
        }
    }
    assert!(log.lines.len() > 2000, "{} operations prove little", log.lines.len());
}
