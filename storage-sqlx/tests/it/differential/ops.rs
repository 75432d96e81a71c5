//! Tasks, their status, and machines.

use std::net::{IpAddr, Ipv6Addr};

use pilothouse_conformance::Rng;
use pilothouse_core::ops::{
    BatchId, Machine, MachineFilter, MachineNumber, Revert, Status, Task, TaskFilter, TaskId, TaskNumber,
    TaskStatus,
};
use pilothouse_core::ports::Repositories;
use pilothouse_core::{Order, Page};

use super::draws::Draws;
use super::issued_ids::IssuedIds;

fn some_task(issued: &IssuedIds, random: &mut Rng) -> TaskId {
    let unknown = TaskId(pilothouse_conformance::rows::task(0).task_id.0);
    issued.tasks.get(random.usize(..=issued.tasks.len())).copied().unwrap_or(unknown)
}

fn machine(random: &mut Rng) -> Machine {
    Machine {
        id: MachineNumber(7),
        machine_name: random.word().to_owned(),
        inside_ip: IpAddr::V6(Ipv6Addr::LOCALHOST),
        outside_ip: random.chance(50).then(|| "::ffff:10.0.0.1".parse().unwrap()),
        usage: random.word().to_owned(),
        is_initialized: random.chance(50),
        location: random.word().to_owned(),
    }
}

/// A page between two of the first ten rows.
fn page(ids: &[i64], random: &mut Rng) -> Page {
    let start = ids.get(random.usize(..10)).copied().unwrap_or(0);
    let before = ids.get(random.usize(..10)).copied().unwrap_or(i64::MAX);
    let order = random.pick(&[Order::Oldest, Order::Newest]);
    Page { before, order, ..Page::at(start, random.i64(0..20)) }
}

fn task_filter(random: &mut Rng) -> TaskFilter {
    let outcome = random.pick(&[Status::Pending, Status::Running, Status::Succeeded, Status::Failed]);
    let ip = task_ip(random.chance(50));
    let (action, text) = (random.pick(&["update", "check"]).to_owned(), random.word().to_owned());
    TaskFilter {
        ip: random.perhaps(ip),
        outcome: random.perhaps(outcome),
        action: random.perhaps(action),
        text: Some(text).filter(|text| !text.is_empty() && random.chance(30)),
        batch: random.chance(30).then(|| batch_id(random)),
    }
}

/// One of three batches.
fn batch_id(random: &mut Rng) -> BatchId {
    BatchId(uuid::Uuid::from_u128(random.pick(&[1, 2, 3])))
}

fn task_ip(is_local: bool) -> IpAddr {
    IpAddr::V6(if is_local { Ipv6Addr::LOCALHOST } else { Ipv6Addr::UNSPECIFIED })
}

const ALL: Page = Page::at(0, 100_000);

pub(super) async fn read(store: &mut dyn Repositories, issued: &IssuedIds, random: &mut Rng) -> String {
    match random.usize(..6) {
        0 => {
            let task = some_task(issued, random);
            let found = store.tasks().find(task).await.unwrap();
            format!("task {task}: {:?}", found.map(|task| Task { id: TaskNumber::UNSAVED, ..task }))
        }
        1 => {
            let task = some_task(issued, random);
            let found = store.tasks().find_status(task).await.unwrap();
            format!(
                "status {task}: {:?}",
                found.map(|status| TaskStatus { id: TaskNumber::UNSAVED, ..status })
            )
        }
        2 => {
            let filter = task_filter(random);
            let all = store.tasks().list(&filter, ALL).await.unwrap();
            let ids: Vec<i64> = all.iter().map(|task| task.id.0).collect();
            let page = page(&ids, random);
            let found = store.tasks().list(&filter, page).await.unwrap();
            let count = store.tasks().count(&filter, page.start, page.before).await.unwrap();
            let nth = store.tasks().nth_before(page.before, random.i64(1..20)).await.unwrap();
            let nth = nth.and_then(|nth| ids.iter().position(|id| *id == nth.0));
            let found: Vec<_> =
                found.into_iter().map(|task| Task { id: TaskNumber::UNSAVED, ..task }).collect();
            format!(
                "{} tasks of {filter:?}, {count} in the page, {nth:?} before it, of them {found:?}",
                all.len()
            )
        }
        3 => {
            let filter = task_filter(random);
            let all = store.tasks().list_views(&filter, ALL).await.unwrap();
            let ids: Vec<i64> = all.iter().map(|view| view.task.id.0).collect();
            let found = store.tasks().list_views(&filter, page(&ids, random)).await.unwrap();
            assert!(found.iter().all(|view| view.status.id == view.task.id && filter.accepts(view)));
            let found: Vec<_> =
                found.into_iter().map(|view| TaskStatus { id: TaskNumber::UNSAVED, ..view.status }).collect();
            format!("{} statuses of {filter:?}, of them {found:?}", all.len())
        }
        4 => {
            let name = random.word();
            let found = store.machines().find(name).await.unwrap();
            format!(
                "machine {name}: {:?}",
                found.map(|machine| Machine { id: MachineNumber::UNSAVED, ..machine })
            )
        }
        _ => {
            let words = [random.word(), random.word(), random.word()].map(str::to_owned);
            let [usage, location, text] = words.map(|word| Some(word).filter(|_| random.chance(20)));
            let text = text.filter(|text| !text.is_empty());
            let filter = MachineFilter { usage, location, text };
            let all = store.machines().list(&filter, ALL).await.unwrap();
            assert_eq!(store.machines().count(&filter).await.unwrap(), all.len() as u64);
            let ids: Vec<i64> = all.iter().map(|machine| machine.id.0).collect();
            let found = store.machines().list(&filter, page(&ids, random)).await.unwrap();
            let found: Vec<_> =
                found.into_iter().map(|machine| Machine { id: MachineNumber::UNSAVED, ..machine }).collect();
            format!("{} machines of {filter:?}, of them {found:?}", all.len())
        }
    }
}

pub(super) async fn write(store: &mut dyn Repositories, issued: &mut IssuedIds, random: &mut Rng) -> String {
    match random.usize(..9) {
        0 | 1 => {
            let bits = (u128::from(random.u64(..)) << 64) | u128::from(random.u64(..));
            let task = Task {
                id: TaskNumber(7),
                task_id: TaskId(uuid::Uuid::from_u128(bits)),
                ip: task_ip(random.chance(70)),
                action: random.pick(&["update", "check"]).to_owned(),
                create_time: random.moment(),
                content: random.word().to_owned(),
                description: random.word().to_owned(),
                batch: random.chance(30).then(|| batch_id(random)),
            };
            store.tasks().insert(&task).await.unwrap();
            issued.tasks.push(task.task_id);
            format!("add {task:?}")
        }
        2 => {
            let task = some_task(issued, random);
            format!("delete task {task}: {}", store.tasks().delete(task).await.unwrap())
        }
        3..=5 => {
            let (task, stale) = (some_task(issued, random), random.chance(30));
            let status = random.pick(&[Status::Running, Status::Failed, Status::Unknown]);
            let revert = random.pick(&[Revert::None, Revert::Asked, Revert::Failed]);
            let (percent, start_time, revert_time) =
                (random.i64(90..=100), random.i64(0..9), random.i64(0..9));
            let Some(stored) = store.tasks().find_status(task).await.unwrap() else {
                return "no task".into();
            };
            let version = stored.version - i64::from(stale);
            let next = TaskStatus { start_time, revert_time, percent, status, revert, version, ..stored };
            let done = store.tasks().update_status(&next).await.unwrap();
            format!("report {:?}: {done}", TaskStatus { id: TaskNumber::UNSAVED, ..next })
        }
        6 => {
            let machine = machine(random);
            format!("add {machine:?}: {}", store.machines().insert(&machine).await.unwrap())
        }
        7 if random.chance(20) => {
            let names = store.machines().names().await.unwrap();
            let (name, new) = (random.word(), random.word());
            let Some(held) =
                store.machines().find(name).await.unwrap().filter(|_| !names.contains(&new.to_owned()))
            else {
                return "no machine to rename".into();
            };
            format!("rename {name} to {new}: {}", store.machines().rename(held.id, new).await.unwrap())
        }
        7 => {
            let machine = machine(random);
            format!("change {machine:?}: {}", store.machines().update(&machine).await.unwrap())
        }
        _ => {
            let name = random.word();
            format!("delete machine {name}: {}", store.machines().delete(name).await.unwrap())
        }
    }
}
