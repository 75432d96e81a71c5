//! Rows of orders and contents: leases, deadlines, and what changes them.

use std::sync::Arc;

use chrono::TimeDelta;
use pilothouse_core::ops::{
    BlobRemoval, FileContent, FileOrder, MachineNumber, OrderAction, OrderState, Phase, Sha256Digest,
    UPDATE_LEASE,
};
use pilothouse_core::ports::Storage;

use super::task::task;
use crate::rows::{AWKWARD, moment};

/// A content of the task told apart by `n`.
pub(super) fn content(n: i64) -> FileContent {
    FileContent {
        task_id: task(n).task_id,
        sha256: Sha256Digest([u8::try_from(n).unwrap(); 32]),
        size: 3,
        mode: Some("0644".into()),
        owner: Some(AWKWARD.into()),
        group: None,
        expect_sha256: Some(Sha256Digest([9; 32])),
        check: Some("nginx-test".into()),
        reload: None,
        confirm_seconds: 30,
        not_before: Some(moment(7)),
        deadline_seconds: 60,
    }
}

/// An order with every member set.
fn full(n: i64) -> FileOrder {
    FileOrder {
        machine: Some(MachineNumber(n)),
        state: OrderState::Running,
        action: OrderAction::Revert,
        is_forced: true,
        phase: Some(Phase::Swap),
        percent: 60,
        attempt: 2,
        tries: 1,
        due: Some(moment(1)),
        lease_until: Some(moment(2)),
        deadline: Some(moment(3)),
        is_cancelling: true,
        instance: "a b".into(),
        seq: 4,
        old_sha256: Some(Sha256Digest([1; 32])),
        observed_sha256: Some(Sha256Digest([2; 32])),
        message: AWKWARD.into(),
        log: "line\n".into(),
        plan: "{}".into(),
        ..FileOrder::pending(task(n).task_id)
    }
}

async fn add(storage: &Arc<dyn Storage>, n: i64) {
    let mut work = storage.begin().await.unwrap();
    work.tasks().insert(&task(n)).await.unwrap();
    work.orders().insert(&content(n), None).await.unwrap();
    work.commit().await.unwrap();
}

pub(super) async fn update(storage: &Arc<dyn Storage>, old: &FileOrder, new: &FileOrder) -> bool {
    let mut work = storage.begin().await.unwrap();
    let updated = work.orders().update(old, new).await.unwrap();
    work.commit().await.unwrap();
    updated
}

/// Content and order are read back unchanged; a task without a content has neither.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    add(&storage, 1).await;
    let pending = FileOrder::pending(task(1).task_id);
    let mut snapshot = storage.read().await.unwrap();
    assert_eq!(snapshot.orders().find_content(task(1).task_id).await.unwrap(), Some(content(1)));
    assert_eq!(snapshot.orders().find(task(1).task_id).await.unwrap(), Some(pending.clone()));
    assert_eq!(snapshot.orders().find(task(2).task_id).await.unwrap(), None);
    assert!(snapshot.orders().names_blob(content(1).sha256).await.unwrap());
    assert!(!snapshot.orders().names_blob(content(2).sha256).await.unwrap());
    assert!(update(&storage, &pending, &full(1)).await);
    let found = storage.read().await.unwrap().orders().find(task(1).task_id).await.unwrap();
    assert_eq!(found, Some(FileOrder { version: 2, ..full(1) }));
}

/// The last removal of a blob is kept until it is forgotten by its age.
pub(crate) async fn blob_removals(storage: Arc<dyn Storage>) {
    let noted = BlobRemoval { sha256: content(1).sha256, begun: moment(5), is_over: false };
    let other = BlobRemoval { sha256: content(2).sha256, begun: moment(6), is_over: true };
    let mut work = storage.begin().await.unwrap();
    work.orders().set_blob_removal(&noted).await.unwrap();
    work.orders().set_blob_removal(&other).await.unwrap();
    work.commit().await.unwrap();
    let mut work = storage.begin().await.unwrap();
    assert_eq!(work.orders().blob_removal(noted.sha256).await.unwrap(), Some(noted));
    assert_eq!(work.orders().blob_removal(content(3).sha256).await.unwrap(), None);
    let over = BlobRemoval { is_over: true, ..noted };
    work.orders().set_blob_removal(&over).await.unwrap();
    assert_eq!(work.orders().blob_removal(noted.sha256).await.unwrap(), Some(over));
    work.orders().forget_blob_removals(moment(6)).await.unwrap();
    work.commit().await.unwrap();
    let mut snapshot = storage.read().await.unwrap();
    assert_eq!(snapshot.orders().blob_removal(noted.sha256).await.unwrap(), None);
    assert_eq!(snapshot.orders().blob_removal(other.sha256).await.unwrap(), Some(other));
}

/// Content and order go with their task.
pub(crate) async fn goes_with_its_task(storage: Arc<dyn Storage>) {
    add(&storage, 1).await;
    let mut work = storage.begin().await.unwrap();
    assert!(work.tasks().delete(task(1).task_id).await.unwrap());
    assert_eq!(work.orders().find(task(1).task_id).await.unwrap(), None);
    assert_eq!(work.orders().find_content(task(1).task_id).await.unwrap(), None);
    assert!(!work.orders().names_blob(content(1).sha256).await.unwrap());
    work.commit().await.unwrap();
}

/// An order is changed only from the state, the attempt and the version that were read.
pub(crate) async fn update_needs_state_attempt_and_version(storage: Arc<dyn Storage>) {
    add(&storage, 1).await;
    let pending = FileOrder::pending(task(1).task_id);
    for stale in [
        FileOrder { state: OrderState::Queued, ..pending.clone() },
        FileOrder { attempt: 1, ..pending.clone() },
        FileOrder { version: 2, ..pending.clone() },
    ] {
        assert!(!update(&storage, &stale, &full(1)).await, "{stale:?}");
    }
    assert!(update(&storage, &pending, &full(1)).await);
    assert!(!update(&storage, &pending, &full(1)).await);
}

/// What has been due the longest is next, of the machine alone; what is leased or unknown is held.
pub(crate) async fn due_and_held(storage: Arc<dyn Storage>) {
    for (n, due, lease, state) in [
        (1, Some(5), None, OrderState::Queued),
        (2, Some(3), None, OrderState::Reverting),
        (3, None, Some(9), OrderState::Running),
        (4, None, None, OrderState::Unknown),
        (5, None, None, OrderState::Succeeded),
    ] {
        add(&storage, n).await;
        let pending = FileOrder::pending(task(n).task_id);
        let order = FileOrder {
            machine: Some(MachineNumber(7)),
            state,
            due: due.map(moment),
            lease_until: lease.map(moment),
            ..pending.clone()
        };
        assert!(update(&storage, &pending, &order).await);
    }
    let mut snapshot = storage.read().await.unwrap();
    for (now, next) in [(2, None), (3, Some(2)), (9, Some(2))] {
        let due = snapshot.orders().next_due(MachineNumber(7), moment(now)).await.unwrap();
        assert_eq!(due.map(|order| order.task_id), next.map(|n| task(n).task_id), "at {now}");
    }
    assert_eq!(snapshot.orders().next_due(MachineNumber(8), moment(9)).await.unwrap(), None);
    let held = snapshot.orders().held(MachineNumber(7)).await.unwrap();
    let held: Vec<_> = held.into_iter().map(|order| order.task_id).collect();
    assert_eq!(held, [3, 4].map(|n| task(n).task_id));
    assert_eq!(snapshot.orders().held(MachineNumber(8)).await.unwrap(), []);
    let open = snapshot.orders().open(MachineNumber(7)).await.unwrap();
    let open: Vec<_> = open.into_iter().map(|order| order.task_id).collect();
    assert_eq!(open, [1, 2, 3, 4].map(|n| task(n).task_id));
}

/// Leases that are over or void have lapsed, due orders past their deadline, and orders put off beyond what is asked for.
pub(crate) async fn lapsed(storage: Arc<dyn Storage>) {
    let minute = TimeDelta::minutes(1);
    for (n, lease, due, deadline) in [
        (1, Some(moment(0)), None, Some(moment(0))),
        (2, Some(moment(0) + minute), None, None),
        (3, Some(moment(0) + minute * 60), None, None),
        (4, None, Some(moment(0)), Some(moment(-1))),
        (5, None, Some(moment(0)), Some(moment(0))),
        (6, None, None, Some(moment(-1))),
        // Due when their content says, and later than anybody asked for.
        (7, None, Some(moment(7)), None),
        (8, None, Some(moment(8)), None),
    ] {
        add(&storage, n).await;
        let pending = FileOrder::pending(task(n).task_id);
        let order = FileOrder { lease_until: lease, due, deadline, ..pending.clone() };
        assert!(update(&storage, &pending, &order).await);
    }
    let mut snapshot = storage.read().await.unwrap();
    let latest = moment(6);
    let lapsed = snapshot.orders().lapsed(moment(0), UPDATE_LEASE, latest, 10).await.unwrap();
    let lapsed: Vec<_> = lapsed.into_iter().map(|order| order.task_id).collect();
    assert_eq!(lapsed, [1, 3, 4, 8].map(|n| task(n).task_id));
    assert_eq!(snapshot.orders().lapsed(moment(0), UPDATE_LEASE, latest, 2).await.unwrap().len(), 2);
}
