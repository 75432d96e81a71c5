//! Release tasks and their status.

use pilothouse_core::ops::TaskNumber;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use pilothouse_core::account::{AccountId, Group};
use pilothouse_core::ops::{NewTask, Revert, Status, StatusReport, Task, TaskFilter, TaskId, TaskStatus};
use pilothouse_core::ports::Storage;
use pilothouse_core::{IdempotencyKey, KeptAnswer, Order, Page};
use uuid::Uuid;

use crate::Fixture;
use crate::race::race;
use crate::rows::{AWKWARD, moment};

/// A task told apart by `n`.
pub fn task(n: i64) -> Task {
    Task {
        id: TaskNumber::UNSAVED,
        task_id: TaskId(Uuid::from_u128(n.unsigned_abs().into())),
        ip: IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1)),
        action: "update".into(),
        create_time: moment(n),
        content: "/path/to/file".into(),
        description: AWKWARD.into(),
        batch: None,
    }
}

async fn add_tasks(storage: &Arc<dyn Storage>, numbers: impl IntoIterator<Item = i64>) {
    let mut work = storage.begin().await.unwrap();
    for n in numbers {
        work.tasks().insert(&task(n)).await.unwrap();
    }
    work.commit().await.unwrap();
}

/// An inserted task is read back unchanged, to the microsecond.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    add_tasks(&storage, [1]).await;
    let mut snapshot = storage.read().await.unwrap();
    let found = snapshot.tasks().find(task(1).task_id).await.unwrap().unwrap();
    assert_eq!(found, Task { id: found.id, ..task(1) });
    assert_eq!(snapshot.tasks().find(task(2).task_id).await.unwrap(), None);
}

/// Pages of tasks and of statuses go by id, from `start` on.
pub(crate) async fn pages(storage: Arc<dyn Storage>) {
    add_tasks(&storage, 0..7).await;
    let mut snapshot = storage.read().await.unwrap();
    let all = snapshot.tasks().list(&TaskFilter::default(), Page::default()).await.unwrap();
    assert!(all.len() == 7 && all.is_sorted_by_key(|task| task.id));
    let page = snapshot.tasks().list(&TaskFilter::default(), Page::at(all[2].id.0, 3)).await.unwrap();
    assert_eq!(page, all[2..5]);
    let views = snapshot.tasks().list_views(&TaskFilter::default(), Page::default()).await.unwrap();
    assert!(views.iter().map(|view| &view.task).eq(&all));
    assert!(
        views.iter().all(|view| (view.status.id, view.status.task_id) == (view.task.id, view.task.task_id))
    );
    let page = Page { before: all[5].id.0, order: Order::Newest, ..Page::at(all[1].id.0, 3) };
    let newest = snapshot.tasks().list_views(&TaskFilter::default(), page).await.unwrap();
    assert_eq!(newest, [4, 3, 2].map(|n: usize| views[n].clone()));
    let empty = Page { before: all[1].id.0, ..Page::at(all[5].id.0, 3) };
    assert_eq!(snapshot.tasks().list(&TaskFilter::default(), empty).await.unwrap(), []);
    assert_eq!(snapshot.tasks().nth_before(i64::MAX, 7).await.unwrap(), Some(all[0].id));
    assert_eq!(snapshot.tasks().nth_before(all[6].id.0, 1).await.unwrap(), Some(all[5].id));
    assert_eq!(snapshot.tasks().nth_before(all[6].id.0, 7).await.unwrap(), None);
}

/// Tasks are found by address, outcome, command and text, and counted; a status moves its task from one outcome to the
/// next.
pub(crate) async fn filters(storage: Arc<dyn Storage>) {
    let [one, two] = ["10.0.0.1", "::1"].map(|ip| ip.parse::<IpAddr>().unwrap());
    let mut work = storage.begin().await.unwrap();
    for n in 0..8 {
        let ip = if n < 4 { one } else { two };
        let action = if n % 2 == 0 { "update" } else { "check" }.to_owned();
        work.tasks()
            .insert(&Task { ip, action, content: format!("/etc/{n}%_.conf"), ..task(n) })
            .await
            .unwrap();
    }
    for (n, status, percent) in [
        (1, Status::Running, 50),
        (2, Status::Running, 100),
        (3, Status::Succeeded, 100),
        (4, Status::Running, 9),
    ] {
        let held = work.tasks().find_status(task(n).task_id).await.unwrap().unwrap();
        assert!(work.tasks().update_status(&TaskStatus { status, percent, ..held }).await.unwrap());
    }
    work.commit().await.unwrap();
    let mut snapshot = storage.read().await.unwrap();
    let all = || TaskFilter::default();
    let action = || Some("update".to_owned());
    for (filter, expected) in [
        (TaskFilter { ip: Some(one), ..all() }, vec![0, 1, 2, 3]),
        (TaskFilter { outcome: Some(Status::Pending), ..all() }, vec![0, 5, 6, 7]),
        (TaskFilter { outcome: Some(Status::Running), ..all() }, vec![1, 4]),
        (TaskFilter { outcome: Some(Status::Succeeded), ..all() }, vec![2, 3]),
        (TaskFilter { outcome: Some(Status::Failed), ..all() }, vec![]),
        (TaskFilter { action: action(), ..all() }, vec![0, 2, 4, 6]),
        (TaskFilter { action: action(), outcome: Some(Status::Running), ..all() }, vec![4]),
        (TaskFilter { ip: Some(two), outcome: Some(Status::Pending), action: action(), ..all() }, vec![6]),
        (TaskFilter { ip: Some(two), action: action(), ..all() }, vec![4, 6]),
        (TaskFilter { text: Some("%_.conf".into()), ..all() }, vec![0, 1, 2, 3, 4, 5, 6, 7]),
        (TaskFilter { text: Some("etc/5".into()), ..all() }, vec![5]),
        (TaskFilter { text: Some("ETC".into()), ..all() }, vec![]),
        (TaskFilter { text: Some(AWKWARD.into()), ip: Some(two), ..all() }, vec![4, 5, 6, 7]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|n| task(n).task_id).collect();
        let views = snapshot.tasks().list_views(&filter, Page::default()).await.unwrap();
        assert!(views.iter().all(|view| filter.accepts(view)));
        let tasks = snapshot.tasks().list(&filter, Page::default()).await.unwrap();
        assert!(views.iter().map(|view| &view.task).eq(&tasks));
        assert_eq!(tasks.iter().map(|task| task.task_id).collect::<Vec<_>>(), expected, "{filter:?}");
        let newest = Page { order: Order::Newest, ..Page::at(0, 2) };
        let newest = snapshot.tasks().list(&filter, newest).await.unwrap();
        assert!(newest.iter().eq(tasks.iter().rev().take(2)), "{filter:?}");
        let count = snapshot.tasks().count(&filter, 0, i64::MAX).await.unwrap();
        assert_eq!(count, expected.len() as u64, "{filter:?}");
        let Some(last) = tasks.last() else { continue };
        let count = snapshot.tasks().count(&filter, tasks[0].id.0, last.id.0).await.unwrap();
        assert_eq!(count, expected.len() as u64 - 1, "{filter:?}");
    }
}

/// A request that is repeated with its key within a day is answered as the first was; another with that key is refused.
pub(crate) async fn a_repeated_request_adds_nothing(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let groups = [Group::ReadTasks, Group::WriteTasks].into_iter().collect();
    let (ann, bob) = (fixture.account("ann", groups).await, fixture.account("bob", groups).await);
    let tasks = fixture.pilothouse.tasks();
    let new = |content: &str| {
        let [action, content, description] = ["update", content, "why"].map(str::to_owned);
        NewTask { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), action, content, description, file: None }
    };
    let key = |request: &str| IdempotencyKey::new("key-1", &[request]).unwrap();
    let list = || vec![new("/a"), new("/b")];
    let first = tasks.add_all(&ann, list(), Some(&key("ab"))).await.unwrap();
    assert_eq!(tasks.add_all(&ann, list(), Some(&key("ab"))).await.unwrap(), first);
    let refused = tasks.add_all(&ann, vec![new("/c")], Some(&key("c"))).await.unwrap_err();
    assert_eq!(refused.to_string(), "Idempotency-Key: was given to another request within a day");
    // Keys of different accounts are different, and a refused request keeps none.
    let invalid = NewTask { content: String::new(), ..new("") };
    assert!(tasks.add_all(&bob, vec![invalid], Some(&key("ab"))).await.is_err());
    assert_ne!(tasks.add_all(&bob, list(), Some(&key("ab"))).await.unwrap(), first);
    let count =
        async || storage.read().await.unwrap().tasks().count(&TaskFilter::default(), 0, i64::MAX).await;
    assert_eq!(count().await.unwrap(), 4);

    let server = fixture.pilothouse.clone();
    let answers = race(&storage, move |_, _| {
        let (server, ann) = (server.clone(), ann.clone());
        let [action, content, description] = ["update", "/d", "why"].map(str::to_owned);
        let new = NewTask { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), action, content, description, file: None };
        async move {
            let key = IdempotencyKey::new("key-2", &["d"]).unwrap();
            server.tasks().add_all(&ann, vec![new], Some(&key)).await.unwrap()
        }
    })
    .await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(count().await.unwrap(), 5);
}

/// An answer is kept under account and key until it is pruned.
pub(crate) async fn kept_answers(storage: Arc<dyn Storage>) {
    let answer = |account, key: &str, n| KeptAnswer {
        account: AccountId(account),
        key: key.to_owned(),
        digest: format!("digest {n}"),
        answer: AWKWARD.to_owned(),
        at: moment(n),
    };
    let mut work = storage.begin().await.unwrap();
    assert_eq!(work.kept_answers().keep(&answer(1, "a", 1)).await.unwrap(), None);
    assert_eq!(work.kept_answers().keep(&answer(1, "A", 2)).await.unwrap(), None);
    assert_eq!(work.kept_answers().keep(&answer(2, "a", 3)).await.unwrap(), None);
    assert_eq!(work.kept_answers().keep(&answer(1, "a", 4)).await.unwrap(), Some(answer(1, "a", 1)));
    work.kept_answers().prune(moment(2)).await.unwrap();
    assert_eq!(work.kept_answers().keep(&answer(1, "a", 5)).await.unwrap(), None);
    assert_eq!(work.kept_answers().keep(&answer(1, "A", 6)).await.unwrap(), Some(answer(1, "A", 2)));
}

/// A new task has an all-zero status, and both go together.
pub(crate) async fn status_follows_its_task(storage: Arc<dyn Storage>) {
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
    assert_eq!(work.tasks().list_views(&TaskFilter::default(), Page::default()).await.unwrap().len(), 1);
}

/// An update on an old version changes nothing.
pub(crate) async fn status_needs_the_version(storage: Arc<dyn Storage>) {
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

/// Reports of agents that know only flags are kept as they say them, and one that says nothing new writes nothing.
pub(crate) async fn flags_are_kept_as_given(storage: Arc<dyn Storage>) {
    add_tasks(&storage, [1]).await;
    let fixture = Fixture::new(storage);
    let tasks = fixture.pilothouse.tasks();
    let caller = fixture.account("ann", [Group::ReadTasks, Group::WriteTasks].into_iter().collect()).await;
    let task_id = task(1).task_id;
    for (status, percent, revert, expected) in [
        (0, 0, 0, (0, 0, 0, 1)),
        (1, 10, 0, (1, 10, 0, 2)),
        (1, 100, 0, (1, 100, 0, 3)),
        (1, 100, 0, (1, 100, 0, 3)),
        (1, 0, 1, (1, 0, 1, 4)),
        (1, 60, 0, (1, 60, 1, 5)),
        (1, 10, 1, (1, 10, 1, 6)),
        (1, 100, 1, (1, 100, 1, 7)),
    ] {
        let (status, revert) = (status.try_into().unwrap(), revert.try_into().unwrap());
        let report = StatusReport { start_time: None, revert_time: None, percent, status, revert };
        tasks.report(&caller, task_id, report).await.unwrap();
        let TaskStatus { status, percent, revert, version, .. } =
            tasks.find_status(&caller, task_id).await.unwrap().unwrap();
        assert_eq!((status.id(), percent, revert.id(), version), expected);
    }
    assert_eq!(tasks.find_status(&caller, task(2).task_id).await.unwrap(), None);
}

/// Of many that move one version of a status at once, one does.
pub(crate) async fn race_for_one_status(storage: Arc<dyn Storage>) {
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
