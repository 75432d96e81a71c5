//! Audit trail: every column, and filters by actor, object and time.

use pilothouse_core::account::AccountId;
use pilothouse_core::account::AuditId;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use pilothouse_core::account::{AuditFilter, AuditRow};
use pilothouse_core::ports::Storage;
use pilothouse_core::{Order, Page};

use crate::rows::{AWKWARD, moment};

/// An audit row told apart by `n`.
pub fn audit_row(n: i64) -> AuditRow {
    AuditRow {
        id: AuditId::UNSAVED,
        at: moment(n),
        actor: (n > 0).then_some(AccountId(n)),
        actor_name: format!("name{}", n % 2),
        address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        action: "task.add".into(),
        object: if n == 3 { AWKWARD.into() } else { "task".into() },
        old: None,
        new: Some("digest".into()),
        count: n,
    }
}

/// The trail keeps every column and filters by actor, object and time.
pub(crate) async fn filters(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    for n in 0..6 {
        work.audit().append(&audit_row(n)).await.unwrap();
    }
    work.commit().await.unwrap();
    let mut snapshot = storage.read().await.unwrap();
    let all = snapshot.audit().list(&AuditFilter::default(), Page::default()).await.unwrap();
    let expected: Vec<_> =
        all.iter().zip(0..).map(|(held, n)| AuditRow { id: held.id, ..audit_row(n) }).collect();
    assert_eq!(all, expected);
    assert!(all.is_sorted_by_key(|row| row.id) && all.len() == 6);
    let mut counts = async |filter: AuditFilter| -> Vec<i64> {
        let rows = snapshot.audit().list(&filter, Page::default()).await.unwrap();
        assert_eq!(snapshot.audit().count(&filter).await.unwrap(), rows.len() as u64);
        let newest = Page { order: Order::Newest, before: rows[rows.len() - 1].id.0, ..Page::at(0, 1) };
        let newest = snapshot.audit().list(&filter, newest).await.unwrap();
        assert!(newest.iter().eq(rows.iter().rev().skip(1).take(1)));
        rows.iter().map(|row| row.count).collect()
    };
    assert_eq!(counts(AuditFilter { actor: Some("name1".into()), ..Default::default() }).await, [1, 3, 5]);
    assert_eq!(counts(AuditFilter { object: Some(AWKWARD.into()), ..Default::default() }).await, [3]);
    let (since, until) = (Some(moment(2)), Some(moment(4)));
    assert_eq!(counts(AuditFilter { since, until, ..Default::default() }).await, [2, 3]);
}
