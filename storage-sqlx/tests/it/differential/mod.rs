//! Differential test: random operations on the in-memory store, SQLite and Postgres must be answered alike.
//!
//! All three draw the same random numbers. Ids may differ in value but not in order, so answers are compared with each
//! id replaced by its index among the issued ones. `PILOTHOUSE_TEST_SEED` sets another seed than the default.

mod account;
mod alarm;
mod authoring;
mod customers;
mod delivery;
mod draws;
mod edge;
mod issued_ids;
mod job;
mod ops;
mod traffic;

use std::sync::Arc;

use pilothouse_conformance::Rng;
use pilothouse_core::ports::{Repositories, Storage, UnitOfWork};
use pilothouse_storage_memory::MemoryStorage;
use pilothouse_test_support::env_number;

use self::draws::Draws;
use self::issued_ids::IssuedIds;

/// Transactions and snapshots of a run; a transaction has five operations on average.
const TRANSACTIONS: usize = 600;

/// A store, with the ids it issued and a snapshot.
struct StoreUnderTest {
    name: &'static str,
    storage: Arc<dyn Storage>,
    /// Ids issued in committed transactions.
    issued: IssuedIds,
    /// A snapshot that stays open during later writes, with the ids issued before it.
    snapshot: Option<(Box<dyn Repositories>, IssuedIds)>,
}

/// An open transaction of one store, with the ids issued up to now.
struct OpenTransaction {
    work: Box<dyn UnitOfWork>,
    issued: IssuedIds,
}

async fn read(store: &mut dyn Repositories, issued: &IssuedIds, random: &mut Rng) -> String {
    match random.usize(..8) {
        0 => account::read(store, issued, random).await,
        1 => ops::read(store, issued, random).await,
        2 => authoring::read(store, issued, random).await,
        3 => customers::read(store, issued, random).await,
        4 => delivery::read(store, issued, random).await,
        5 => edge::read(store, issued, random).await,
        6 => alarm::read(store, issued, random).await,
        _ => traffic::read(store, issued, random).await,
    }
}

async fn write(store: &mut dyn Repositories, issued: &mut IssuedIds, random: &mut Rng) -> String {
    match random.usize(..8) {
        0 => account::write(store, issued, random).await,
        1 => ops::write(store, issued, random).await,
        2 => authoring::write(store, issued, random).await,
        3 => customers::write(store, issued, random).await,
        4 => delivery::write(store, issued, random).await,
        5 => edge::write(store, random).await,
        6 => alarm::write(store, issued, random).await,
        _ => traffic::write(store, issued, random).await,
    }
}

/// The answers so far, shown when the stores differ.
struct Log {
    seed: u64,
    lines: Vec<String>,
}

impl Log {
    /// Compares the answers of all stores to one operation, and the random numbers they drew for it.
    fn compare(&mut self, answers: &[(&'static str, String, Rng)]) {
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

/// Runs `$operation` on every store with the same random numbers, and compares the answers.
macro_rules! on_all {
    ($stores:expr, $random:expr, $log:expr, $store:pat => $name:expr, |$draws:ident| $operation:expr) => {{
        let mut answers = Vec::new();
        for $store in $stores {
            let mut draws = $random.clone();
            let $draws = &mut draws;
            let answer = $operation.await;
            answers.push(($name, answer, draws));
        }
        $random = answers[0].2.clone();
        $log.compare(&answers);
    }};
}

async fn transaction(stores: &mut [StoreUnderTest], random: &mut Rng, log: &mut Log) {
    let mut open = Vec::new();
    for store in stores.iter() {
        let work = store.storage.begin().await.unwrap();
        open.push((store.name, OpenTransaction { work, issued: store.issued.clone() }));
    }
    for _ in 0..=random.usize(..8) {
        if random.chance(25) {
            on_all!(&mut open, *random, log, (name, open) => *name, |draws| read(&mut *open.work, &open.issued, draws));
        } else {
            on_all!(&mut open, *random, log, (name, open) => *name, |draws| write(&mut *open.work, &mut open.issued, draws));
        }
    }
    let end = random.usize(..10);
    for (store, (_, OpenTransaction { work, issued })) in stores.iter_mut().zip(open) {
        match end {
            0 => drop(work),
            1 => work.rollback().await.unwrap(),
            _ => {
                work.commit().await.unwrap();
                store.issued = issued;
            }
        }
    }
    log.lines.push(["dropped", "rolled back", "committed"][end.min(2)].to_owned());
}

async fn snapshot(stores: &mut [StoreUnderTest], random: &mut Rng, log: &mut Log) {
    if random.chance(20) || stores[0].snapshot.is_none() {
        for store in stores.iter_mut() {
            store.snapshot = Some((store.storage.read().await.unwrap(), store.issued.clone()));
        }
        log.lines.push("a new snapshot".to_owned());
    }
    for _ in 0..=random.usize(..3) {
        on_all!(&mut *stores, *random, log, store => store.name, |draws| {
            let (snapshot, issued) = store.snapshot.as_mut().unwrap();
            read(&mut **snapshot, issued, draws)
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_stores_answer_alike() {
    let seed = env_number("PILOTHOUSE_TEST_SEED", 20_161_130);
    let memory: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let (sqlite, _folder) = crate::sqlite_store("three_stores_answer_alike").await.unwrap();
    let postgres = crate::postgres_store("three_stores_answer_alike").await.map(|(storage, ())| storage);
    let stores = [("memory", Some(memory)), ("SQLite", Some(sqlite)), ("Postgres", postgres)];
    let mut stores: Vec<StoreUnderTest> = stores
        .into_iter()
        .filter_map(|(name, storage)| {
            Some(StoreUnderTest { name, storage: storage?, issued: IssuedIds::default(), snapshot: None })
        })
        .collect();
    let mut random = Rng::with_seed(seed);
    let mut log = Log { seed, lines: Vec::new() };
    for _ in 0..TRANSACTIONS {
        if random.chance(75) {
            transaction(&mut stores, &mut random, &mut log).await;
        } else {
            snapshot(&mut stores, &mut random, &mut log).await;
        }
    }
    assert!(log.lines.len() > 2000, "only {} operations were compared", log.lines.len());
}
