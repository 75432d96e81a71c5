//! Tasks, their status, and machines.

use std::net::{IpAddr, Ipv6Addr};

use pilothouse_core::Page;
use pilothouse_core::ops::{Machine, Revert, Status, Task, TaskId, TaskStatus};
use pilothouse_core::ports::Repositories;

use super::known::Known;
use super::random::Random;

fn some_task(known: &Known, random: &mut Random) -> TaskId {
    let unknown = TaskId(pilothouse_core::conformance::ops::task(0).task_id.0);
    known.tasks.get(random.below(known.tasks.len() + 1)).copied().unwrap_or(unknown)
}

fn machine(random: &mut Random) -> Machine {
    Machine {
        id: 7,
        machine_name: random.word().to_owned(),
        inside_ip: IpAddr::V6(Ipv6Addr::LOCALHOST),
        outside_ip: "::ffff:10.0.0.1".parse().unwrap(),
        usage: random.word().to_owned(),
        is_initialized: random.chance(50),
        location: random.word().to_owned(),
    }
}

/// From one of the rows on, chosen by its place.
fn page(ids: &[i64], random: &mut Random) -> Page {
    let place = random.below(10);
    Page { start: ids.get(place).copied().unwrap_or(0), count: random.number(20) }
}

const ALL: Page = Page { start: 0, count: 100_000 };

pub(super) async fn read(store: &mut dyn Repositories, known: &Known, random: &mut Random) -> String {
    match random.below(6) {
        0 => {
            let task = some_task(known, random);
            let found = store.tasks().find(task).await.unwrap();
            format!("task {task}: {:?}", found.map(|task| Task { id: 0, ..task }))
        }
        1 => {
            let task = some_task(known, random);
            let found = store.tasks().find_status(task).await.unwrap();
            format!("status {task}: {:?}", found.map(|status| TaskStatus { id: 0, ..status }))
        }
        2 => {
            let all = store.tasks().list(ALL).await.unwrap();
            let ids: Vec<i64> = all.iter().map(|task| task.id).collect();
            let found = store.tasks().list(page(&ids, random)).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|task| Task { id: 0, ..task }).collect();
            format!("{} tasks, of them {found:?}", all.len())
        }
        3 => {
            let all = store.tasks().list_statuses(ALL).await.unwrap();
            let ids: Vec<i64> = all.iter().map(|status| status.id).collect();
            let found = store.tasks().list_statuses(page(&ids, random)).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|status| TaskStatus { id: 0, ..status }).collect();
            format!("{} statuses, of them {found:?}", all.len())
        }
        4 => {
            let name = random.word();
            let found = store.machines().find(name).await.unwrap();
            format!("machine {name}: {:?}", found.map(|machine| Machine { id: 0, ..machine }))
        }
        _ => {
            let all = store.machines().list(ALL).await.unwrap();
            let ids: Vec<i64> = all.iter().map(|machine| machine.id).collect();
            let found = store.machines().list(page(&ids, random)).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|machine| Machine { id: 0, ..machine }).collect();
            format!("{} machines, of them {found:?}", all.len())
        }
    }
}

pub(super) async fn write(store: &mut dyn Repositories, known: &mut Known, random: &mut Random) -> String {
    match random.below(9) {
        0 | 1 => {
            let bits = (u128::from(random.next()) << 64) | u128::from(random.next());
            let task = Task {
                id: 7,
                task_id: TaskId(uuid::Uuid::from_u128(bits)),
                ip: IpAddr::V6(Ipv6Addr::LOCALHOST),
                action: "update".to_owned(),
                create_time: random.moment(),
                content: random.word().to_owned(),
                description: random.word().to_owned(),
            };
            store.tasks().insert(&task).await.unwrap();
            known.tasks.push(task.task_id);
            format!("add {task:?}")
        }
        2 => {
            let task = some_task(known, random);
            format!("delete task {task}: {}", store.tasks().delete(task).await.unwrap())
        }
        3..=5 => {
            let (task, stale) = (some_task(known, random), random.chance(30));
            let status = random.pick(&[Status::Running, Status::Failed, Status::Unknown]);
            let revert = random.pick(&[Revert::None, Revert::Asked, Revert::Failed]);
            let (percent, start_time, revert_time) = (random.number(100), random.number(9), random.number(9));
            let Some(held) = store.tasks().find_status(task).await.unwrap() else { return "no task".into() };
            let version = held.version - i64::from(stale);
            let next = TaskStatus { start_time, revert_time, percent, status, revert, version, ..held };
            let done = store.tasks().update_status(&next).await.unwrap();
            format!("report {:?}: {done}", TaskStatus { id: 0, ..next })
        }
        6 => {
            let machine = machine(random);
            format!("add {machine:?}: {}", store.machines().insert(&machine).await.unwrap())
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
