//! Lists of 1,000,000 tasks: how long the 50 newest take that pass a filter, a search, and a count.
//!
//! `cargo bench -p pilothouse-storage-sqlx --bench lists`; Postgres is left out where there is none.
#![expect(clippy::unwrap_used, reason = "a failing measurement panics")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use chrono::DateTime;
use pilothouse_core::ops::{Status, Task, TaskFilter, TaskId, TaskNumber, TaskStatus};
use pilothouse_core::ports::Storage;
use pilothouse_core::{Order, Page};
use pilothouse_storage_sqlx::SqlxStorage;

const TASKS: u64 = 1_000_000;
const MACHINES: u64 = 50;
const ROUNDS: usize = 200;

#[tokio::main]
async fn main() {
    let folder = tempfile::TempDir::new().unwrap();
    let sqlite = SqlxStorage::sqlite(folder.path().join("pilothouse.db")).await.unwrap();
    println!("SQLite");
    measure(sqlite).await;
    if let Some(postgres) = pilothouse_test_support::postgres_or_skip("lists bench") {
        println!("Postgres");
        measure(SqlxStorage::postgres(&postgres.database().url).await.unwrap()).await;
    }
}

fn machine(n: u64) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(n % MACHINES).unwrap()))
}

/// Most tasks updated a file and succeeded. The rare command is that of the oldest thousand, and one in 10,000 failed.
fn task(n: u64) -> (Task, Status) {
    let action = if n < 1000 {
        "probe"
    } else if n.is_multiple_of(40) {
        "check"
    } else {
        "update"
    };
    let task = Task {
        id: TaskNumber::UNSAVED,
        task_id: TaskId(uuid::Uuid::from_u128(u128::from(n) + 1)),
        ip: machine(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32),
        action: action.to_owned(),
        create_time: DateTime::from_timestamp(1_480_000_000 + i64::try_from(n).unwrap(), 0).unwrap(),
        content: format!("/srv/app/conf/part-{n}.toml"),
        description: "a release of the shop".to_owned(),
        batch: None,
    };
    let status = match n {
        n if n + 20 >= TASKS => Status::Pending,
        n if n % 10_000 == 7 => Status::Failed,
        _ => Status::Succeeded,
    };
    (task, status)
}

async fn fill(storage: &SqlxStorage) {
    for chunk in 0..TASKS / 10_000 {
        let mut work = storage.begin().await.unwrap();
        for n in chunk * 10_000..(chunk + 1) * 10_000 {
            let (task, status) = task(n);
            work.tasks().insert(&task).await.unwrap();
            if status != Status::Pending {
                let held = work.tasks().find_status(task.task_id).await.unwrap().unwrap();
                assert!(work.tasks().update_status(&TaskStatus { status, ..held }).await.unwrap());
            }
        }
        work.commit().await.unwrap();
        if chunk % 10 == 9 {
            eprintln!("  {} tasks", (chunk + 1) * 10_000);
        }
    }
}

async fn measure(storage: SqlxStorage) {
    storage.migrate().await.unwrap();
    fill(&storage).await;
    let all = TaskFilter::default;
    let (ip, action) = (|| Some(machine(7)), |action: &str| Some(action.to_owned()));
    let outcome = Some;
    for (name, filter) in [
        ("all", all()),
        ("ip", TaskFilter { ip: ip(), ..all() }),
        ("status succeeded", TaskFilter { outcome: outcome(Status::Succeeded), ..all() }),
        ("status failed", TaskFilter { outcome: outcome(Status::Failed), ..all() }),
        ("action update", TaskFilter { action: action("update"), ..all() }),
        ("action probe", TaskFilter { action: action("probe"), ..all() }),
        (
            "action probe, failed",
            TaskFilter { action: action("probe"), outcome: outcome(Status::Failed), ..all() },
        ),
        ("ip, failed", TaskFilter { ip: ip(), outcome: outcome(Status::Failed), ..all() }),
        ("ip, action probe", TaskFilter { ip: ip(), action: action("probe"), ..all() }),
        (
            "ip, action probe, running",
            TaskFilter { ip: ip(), action: action("probe"), outcome: outcome(Status::Running), ..all() },
        ),
    ] {
        let page = Page { order: Order::Newest, ..Page::at(0, 50) };
        let tasks =
            times(async || storage.peek().await.unwrap().tasks().list(&filter, page).await.unwrap().len())
                .await;
        let views = times(async || {
            storage.peek().await.unwrap().tasks().list_views(&filter, page).await.unwrap().len()
        })
        .await;
        let start = Instant::now();
        let count = storage.peek().await.unwrap().tasks().count(&filter, 0, i64::MAX).await.unwrap();
        println!("  {name}: tasks {tasks}, views {views}, {count} counted in {:.1?}", start.elapsed());
    }
    let text = TaskFilter { text: Some("part-950000.".to_owned()), ..all() };
    let search = async || {
        let mut snapshot = storage.peek().await.unwrap();
        let start = snapshot.tasks().nth_before(i64::MAX, TaskFilter::SEARCHED).await.unwrap().unwrap();
        let page = Page { order: Order::Newest, ..Page::at(start.0, 50) };
        snapshot.tasks().list(&text, page).await.unwrap().len()
    };
    println!("  search of the newest 100,000: {}", times(search).await);
}

/// Median and 99th percentile of [`ROUNDS`] calls, after one that warms up.
async fn times(call: impl AsyncFn() -> usize) -> String {
    let rows = call().await;
    let mut times = Vec::new();
    let begin = Instant::now();
    while times.len() < ROUNDS && begin.elapsed() < Duration::from_secs(20) {
        let start = Instant::now();
        call().await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100];
    format!("{rows} rows p50 {:.2?} p99 {:.2?}", at(50), at(99))
}
