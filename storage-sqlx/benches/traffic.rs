//! Traffic of 1,000 domains over 31 days: what it takes on disk, and how long a series takes.
//!
//! `cargo bench -p pilothouse-storage-sqlx --bench traffic`; Postgres is left out where there is none.
#![expect(clippy::unwrap_used, reason = "a failing measurement panics")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use pilothouse_conformance::Rng;
use pilothouse_conformance::rows::add_account;
use pilothouse_core::account::{Caller, Groups, Scope};
use pilothouse_core::cdn::{
    Batch, BatchCityCell, Block, BlockKind, Cell, City, Counters, Customer, Day, DomainId, EdgeRef, Figures,
    SourceChange, TrafficQuery,
};
use pilothouse_core::ports::{LockKey, Storage};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_storage_sqlx::SqlxStorage;

const CUSTOMERS: i64 = 25;
const DOMAINS_EACH: usize = 40;
const DAYS: i64 = 31;
const CITIES: u8 = 40;
/// 2016-08-01.
const FIRST_DAY: i64 = 17_014;
const QUERIES: u64 = 300;

#[tokio::main]
async fn main() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("pilothouse.db");
    let sqlite = SqlxStorage::sqlite(&file).await.unwrap();
    println!("SQLite");
    let copy = folder.path().join("copy.db");
    let size = async || {
        let _ = std::fs::remove_file(&copy);
        sqlite.backup(copy.to_str().unwrap()).await.unwrap();
        std::fs::metadata(&copy).unwrap().len()
    };
    measure(sqlite.clone(), size).await;

    if let Some(postgres) = pilothouse_test_support::postgres_or_skip("traffic bench") {
        println!("Postgres");
        let database = postgres.database();
        let storage = SqlxStorage::postgres(&database.url).await.unwrap();
        let pool = sqlx::PgPool::connect(&database.url).await.unwrap();
        let size = async || {
            let size = "SELECT pg_total_relation_size('pilothouse.traffic_block')";
            // As a database stands that was not filled a second ago.
            for settle in ["VACUUM ANALYZE", "CHECKPOINT"] {
                sqlx::query(settle).execute(&pool).await.unwrap();
            }
            let size: i64 = sqlx::query_scalar(size).fetch_one(&pool).await.unwrap();
            size.unsigned_abs()
        };
        measure(storage, size).await;
    }
}

struct Tenant {
    caller: Caller,
    domains: Vec<(DomainId, String)>,
}

async fn measure(storage: SqlxStorage, size: impl AsyncFn() -> u64) {
    storage.migrate().await.unwrap();
    let storage: Arc<dyn Storage> = Arc::new(storage);
    let (tenants, edge) = tenants(&storage).await;
    let settings =
        Settings::default().with_traffic_days(36_500).with_city_days(36_500).with_geo_city_database(true);
    let pilothouse = Pilothouse::new(storage.clone(), settings).unwrap();
    let first = tenants[0].domains[0].0;
    let begun = Instant::now();
    record(&pilothouse, edge, first).await;
    println!("  record {DAYS} days of one domain, {CITIES} cities: {:?}", begun.elapsed());
    let begun = Instant::now();
    let sealed = pilothouse.maintain().await.unwrap().sealed_days;
    println!("  seal them, {sealed} days: {:?}", begun.elapsed());

    let all: Vec<DomainId> = tenants.iter().flat_map(|tenant| &tenant.domains).map(|(id, _)| *id).collect();
    let points = f64::from(u32::try_from(all.len()).unwrap()) * 288.0 * 31.0;
    for part in [BlockKind::Flux, BlockKind::Counts, BlockKind::Cities] {
        let empty = size().await;
        copy(&storage, part, first, &all).await;
        #[expect(clippy::cast_precision_loss, reason = "for showing")]
        let bytes = (size().await - empty) as f64;
        println!("  {part:?}: {:.2} bytes a point on disk", bytes / points);
    }

    let mut random = Rng::with_seed(1);
    for (count, days) in [(1, 31), (30, 31), (1, 400)] {
        let mut times = Vec::new();
        for _ in 0..QUERIES / count as u64 {
            let tenant = &tenants[random.usize(..25)];
            let query = query(tenant, &mut random, count, days);
            let begun = Instant::now();
            let points = pilothouse.traffic().fluxs(&tenant.caller, &query).await.unwrap();
            times.push(begun.elapsed());
            assert!(points.iter().any(|point| point.value > 0));
        }
        show(&format!("{count} domains over {days} days"), times);
    }
    let mut times = Vec::new();
    for _ in 0..10 {
        let begun = Instant::now();
        let query = query(&tenants[3], &mut random, 30, 30);
        pilothouse.traffic().bandwidths_area(&tenants[3].caller, &query).await.unwrap();
        times.push(begun.elapsed());
    }
    show("area of 30 domains over 30 days", times);
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    println!("  {what}: p50 {:?}, p99 {:?}", at(50), at(99));
}

fn query(tenant: &Tenant, random: &mut Rng, count: usize, days: i64) -> TrafficQuery {
    let from = random.usize(..=DOMAINS_EACH - count);
    let domains = tenant.domains[from..from + count].iter().map(|(_, name)| name.clone()).collect();
    let start_time = FIRST_DAY * 86_400;
    TrafficQuery { login_email: None, domains, start_time, end_time: start_time + days * 86_400 - 1 }
}

async fn tenants(storage: &Arc<dyn Storage>) -> (Vec<Tenant>, EdgeRef) {
    let mut tenants = Vec::new();
    let mut work = storage.begin().await.unwrap();
    let cdn_id = work.cdns().insert("level3").await.unwrap().unwrap();
    work.commit().await.unwrap();
    for n in 0..CUSTOMERS {
        let id = add_account(storage, n).await;
        let mut work = storage.begin().await.unwrap();
        let (mail, password) = (format!("Name{n}@Example.com"), String::new());
        let customer =
            Customer { account_id: id, mail: mail.clone(), password, operations: true, version: 1 };
        assert!(work.customers().insert(&customer).await.unwrap());
        let mut domains = Vec::new();
        for d in 0..DOMAINS_EACH {
            let name = format!("d{d}.customer{n}.example.com");
            work.domains().claim(id, cdn_id, &name).await.unwrap();
            domains.push((work.domains().find(cdn_id, &name).await.unwrap().unwrap().id, name));
        }
        work.commit().await.unwrap();
        let (name, groups, scope) = (format!("name{n}"), Groups::NONE, Scope::Cdn);
        let caller = Caller { id, name, mail, groups, scope, limits: None, token: None, address: None };
        tenants.push(Tenant { caller, domains });
    }
    (tenants, EdgeRef { cdn_id, edge: "edge-1".to_owned() })
}

/// Records a month of one domain: up to 4 GB in five minutes, as irregular as it gets.
async fn record(pilothouse: &Pilothouse, edge: EdgeRef, domain_id: DomainId) {
    let mut random = Rng::with_seed(7);
    let (mut cells, mut city_cells) = (Vec::new(), Vec::new());
    for bucket in FIRST_DAY * 288..(FIRST_DAY + DAYS) * 288 {
        let (flux, requests) = (random.i64(0..4_000_000_000), random.i64(0..5000));
        let hits = random.i64(0..=requests);
        let classes = [requests - hits / 10, hits / 20, hits / 30, random.i64(0..5)];
        let figures = Figures { flux, hit_flux: flux / 2, requests, hits, classes };
        cells.push(Cell { domain_id, bucket, figures });
        for city in 0..CITIES {
            if random.i64(0..4) == 0 {
                city_cells.push(BatchCityCell {
                    domain_id,
                    bucket,
                    city: city.into(),
                    flux: flux / i64::from(CITIES),
                });
            }
        }
    }
    let cities = (0..CITIES).map(|n| City {
        geoname_id: i64::from(n) + 1,
        name: format!("City {n}"),
        name_cn: format!("城市 {n}"),
    });
    let seen = pilothouse.log_intake().sources(&edge, &[[0; 16]]).await.unwrap().seen;
    let batch = Batch {
        edge,
        change: SourceChange::New(seen),
        key: [0; 16],
        length: 1,
        state: Vec::new(),
        counters: Counters::default(),
        cells,
        cities: cities.collect(),
        city_cells,
        pack: String::new(),
        kept: Vec::new(),
        ..Batch::default()
    };
    pilothouse.log_intake().record(batch).await.unwrap();
}

/// Gives every domain the blocks of one, day by day as sealing would.
async fn copy(storage: &Arc<dyn Storage>, part: BlockKind, from: DomainId, to: &[DomainId]) {
    let blocks = storage.read().await.unwrap();
    let mut blocks = blocks;
    let days = Day(FIRST_DAY)..=Day(FIRST_DAY + DAYS);
    let blocks = blocks.traffic().blocks(part, &[from], days).await.unwrap();
    for block in blocks {
        let mut work = storage.begin().await.unwrap();
        work.lock(LockKey::Traffic).await.unwrap();
        for domain_id in to {
            let block = Block { domain_id: *domain_id, ..block.clone() };
            work.traffic().put_block(part, &block).await.unwrap();
        }
        work.commit().await.unwrap();
    }
}
