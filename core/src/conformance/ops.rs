//! Release tasks and machines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use uuid::Uuid;

use super::{AWKWARD, moment, race};
use crate::Page;
use crate::ops::{Machine, Revert, Status, Task, TaskId, TaskStatus};
use crate::ports::Storage;

/// A task told apart by `n`.
pub fn task(n: i64) -> Task {
    Task {
        id: 0,
        task_id: TaskId(Uuid::from_u128(n.unsigned_abs().into())),
        ip: IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1)),
        action: "update".into(),
        create_time: moment(n),
        content: "/path/to/file".into(),
        description: AWKWARD.into(),
    }
}

async fn add_tasks(storage: &Arc<dyn Storage>, numbers: impl IntoIterator<Item = i64>) {
    let mut work = storage.begin().await.unwrap();
    for n in numbers {
        work.tasks().insert(&task(n)).await.unwrap();
    }
    work.commit().await.unwrap();
}

/// What is put in comes out, to the microsecond.
pub async fn task_round_trip(storage: Arc<dyn Storage>) {
    add_tasks(&storage, [1]).await;
    let mut snapshot = storage.read().await.unwrap();
    let found = snapshot.tasks().find(task(1).task_id).await.unwrap().unwrap();
    assert_eq!(found, Task { id: found.id, ..task(1) });
    assert_eq!(snapshot.tasks().find(task(2).task_id).await.unwrap(), None);
}

/// Pages of tasks and of statuses go by id, from `start` on.
pub async fn task_pages(storage: Arc<dyn Storage>) {
    add_tasks(&storage, 0..7).await;
    let mut snapshot = storage.read().await.unwrap();
    let all = snapshot.tasks().list(Page::default()).await.unwrap();
    assert!(all.len() == 7 && all.is_sorted_by_key(|task| task.id));
    let page = snapshot.tasks().list(Page { start: all[2].id, count: 3 }).await.unwrap();
    assert_eq!(page, all[2..5]);
    let statuses = snapshot.tasks().list_statuses(Page::default()).await.unwrap();
    assert!(statuses.len() == 7 && statuses.is_sorted_by_key(|status| status.id));
    let page = snapshot.tasks().list_statuses(Page { start: statuses[5].id, count: 1000 }).await.unwrap();
    assert_eq!(page, statuses[5..]);
}

/// A new task has an all-zero status, and both go together.
pub async fn task_status_follows_its_task(storage: Arc<dyn Storage>) {
    add_tasks(&storage, [1, 2]).await;
    let mut work = storage.begin().await.unwrap();
    let status = work.tasks().find_status(task(1).task_id).await.unwrap().unwrap();
    let zeros = TaskStatus {
        id: status.id,
        task_id: task(1).task_id,
        start_time: 0,
        revert_time: 0,
        status: Status::Pending,
        percent: 0,
        revert: Revert::None,
        version: 1,
    };
    assert_eq!(status, zeros);
    assert!(work.tasks().delete(task(1).task_id).await.unwrap());
    assert!(!work.tasks().delete(task(1).task_id).await.unwrap());
    assert_eq!(work.tasks().find_status(task(1).task_id).await.unwrap(), None);
    assert_eq!(work.tasks().list_statuses(Page::default()).await.unwrap().len(), 1);
}

/// An update on an old version changes nothing.
pub async fn task_status_needs_the_version(storage: Arc<dyn Storage>) {
    add_tasks(&storage, [1]).await;
    let mut work = storage.begin().await.unwrap();
    let held = work.tasks().find_status(task(1).task_id).await.unwrap().unwrap();
    let next = TaskStatus {
        start_time: 5,
        revert_time: 6,
        status: Status::Succeeded,
        percent: 100,
        revert: Revert::Asked,
        ..held
    };
    assert!(work.tasks().update_status(&next).await.unwrap());
    assert!(!work.tasks().update_status(&TaskStatus { percent: 1, ..next.clone() }).await.unwrap());
    let stored = work.tasks().find_status(task(1).task_id).await.unwrap();
    assert_eq!(stored, Some(TaskStatus { version: 2, ..next }));
}

/// Of many that move one version of a status at once, one does.
pub async fn task_race_for_one_status(storage: Arc<dyn Storage>) {
    add_tasks(&storage, [1]).await;
    let held = storage.read().await.unwrap().tasks().find_status(task(1).task_id).await.unwrap().unwrap();
    let won = race(&storage, move |storage: Arc<dyn Storage>, n| {
        let next = TaskStatus { percent: n, status: Status::Running, ..held.clone() };
        async move {
            let mut work = storage.begin().await.unwrap();
            let won = work.tasks().update_status(&next).await.unwrap();
            work.commit().await.unwrap();
            won
        }
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
}

/// A machine told apart by `n`.
pub fn machine(n: i64) -> Machine {
    Machine {
        id: 0,
        machine_name: format!("web{n:02}"),
        inside_ip: IpAddr::V4(Ipv4Addr::new(10, 2, 2, 2)),
        outside_ip: IpAddr::V6(Ipv6Addr::LOCALHOST),
        usage: "web 服务器1".into(),
        is_initialized: n % 2 == 1,
        location: AWKWARD.into(),
    }
}

/// Machines are added, found, listed, changed and deleted by name.
pub async fn machine_round_trip(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    for n in 1..=3 {
        assert!(work.machines().insert(&machine(n)).await.unwrap());
    }
    assert!(!work.machines().insert(&machine(2)).await.unwrap());
    let all = work.machines().list(Page::default()).await.unwrap();
    let expected: Vec<_> =
        all.iter().zip(1..).map(|(held, n)| Machine { id: held.id, ..machine(n) }).collect();
    assert_eq!(all, expected);
    assert!(all.len() == 3 && all.is_sorted_by_key(|machine| machine.id));
    assert_eq!(work.machines().list(Page { start: all[1].id, count: 1 }).await.unwrap(), all[1..2]);

    let changed =
        Machine { id: all[0].id, location: "阿里云".into(), is_initialized: false, ..machine(1) };
    assert!(work.machines().update(&changed).await.unwrap());
    assert!(!work.machines().update(&machine(9)).await.unwrap());
    assert_eq!(work.machines().find("web01").await.unwrap(), Some(changed));
    assert!(work.machines().delete("web01").await.unwrap());
    assert!(!work.machines().delete("web01").await.unwrap());
    assert_eq!(work.machines().find("web01").await.unwrap(), None);
}

/// Of many that want one name at once, one gets it.
pub async fn machine_race_for_one_name(storage: Arc<dyn Storage>) {
    let won = race(&storage, async |storage: Arc<dyn Storage>, _| {
        let mut work = storage.begin().await.unwrap();
        let won = work.machines().insert(&machine(1)).await.unwrap();
        work.commit().await.unwrap();
        won
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
}
