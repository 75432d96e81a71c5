//! Alarms: one open row of each kind and subject, lists, the end, and who looks.

use std::sync::Arc;

use chrono::TimeDelta;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{Alarm, AlarmFilter, AlarmId, AlarmKind, AlarmOverview, AlarmSubject};
use pilothouse_core::ports::Storage;
use pilothouse_core::{Lease, Order, Page};

use crate::race::race;
use crate::rows::{AWKWARD, add_account, moment};

const LEASE: TimeDelta = TimeDelta::seconds(20);
const LEADERSHIP: Lease = Lease::of(LEASE);

fn of_domain(account_id: AccountId, domain: &str) -> AlarmSubject {
    AlarmSubject::Domain { account_id, domain: domain.to_owned() }
}

fn of_edge(cdn: &str, edge: &str) -> AlarmSubject {
    AlarmSubject::Edge { cdn: cdn.to_owned(), edge: edge.to_owned() }
}

/// An open alarm told apart by `n`.
fn alarm(kind: AlarmKind, subject: AlarmSubject, n: i64) -> Alarm {
    let is_domain = matches!(subject, AlarmSubject::Domain { .. });
    Alarm {
        id: AlarmId::UNSAVED,
        kind,
        subject,
        threshold: is_domain.then_some(n),
        value: is_domain.then_some(n + 1),
        reason: AWKWARD.to_owned(),
        begun: moment(n),
        last_seen: moment(n + 1),
        ended: None,
    }
}

async fn add(storage: &Arc<dyn Storage>, alarm: &Alarm) -> Option<Alarm> {
    let mut work = storage.begin().await.unwrap();
    let id = work.alarms().insert(alarm).await.unwrap();
    work.commit().await.unwrap();
    id.map(|id| Alarm { id, ..alarm.clone() })
}

async fn update(storage: &Arc<dyn Storage>, alarm: &Alarm) -> bool {
    let mut work = storage.begin().await.unwrap();
    let updated = work.alarms().update(alarm).await.unwrap();
    work.commit().await.unwrap();
    updated
}

async fn open(storage: &Arc<dyn Storage>) -> Vec<Alarm> {
    storage.read().await.unwrap().alarms().open().await.unwrap()
}

/// Of a kind and subject one alarm is open; ended ones, and those of others, do not matter.
pub(crate) async fn one_is_open(storage: Arc<dyn Storage>) {
    let ann = add_account(&storage, 1).await;
    let first = alarm(AlarmKind::Bandwidth, of_domain(ann, "a.com"), 1);
    let first = add(&storage, &first).await.unwrap();
    assert_eq!(add(&storage, &alarm(AlarmKind::Bandwidth, of_domain(ann, "a.com"), 9)).await, None);
    let others = [
        alarm(AlarmKind::HitRatio, of_domain(ann, "a.com"), 2),
        alarm(AlarmKind::Bandwidth, of_domain(ann, "b.com"), 3),
        alarm(AlarmKind::Bandwidth, of_domain(AccountId(ann.0 + 1000), "a.com"), 4),
        alarm(AlarmKind::LogGap, of_edge("level3", "edge-1"), 5),
        alarm(AlarmKind::LogGap, of_edge("level3", "edge-2"), 6),
        alarm(AlarmKind::LogGap, of_edge("other", "edge-1"), 7),
        alarm(AlarmKind::SilentEdge, of_edge("level3", "edge-1"), 8),
    ];
    let mut expected = vec![first.clone()];
    for other in others {
        expected.push(add(&storage, &other).await.unwrap());
    }
    assert_eq!(open(&storage).await, expected);
    let past = Alarm { ended: Some(moment(1)), ..alarm(AlarmKind::Bandwidth, of_domain(ann, "a.com"), 0) };
    assert!(add(&storage, &past).await.is_some(), "an alarm that was over when it was noticed");
    assert_eq!(open(&storage).await, expected);
}

/// An open alarm changes and ends; an ended one is as it was, and another may be open then.
pub(crate) async fn an_alarm_ends_once(storage: Arc<dyn Storage>) {
    let ann = add_account(&storage, 1).await;
    let subject = of_domain(ann, "a.com");
    let begun = add(&storage, &alarm(AlarmKind::ErrorRatio, subject.clone(), 1)).await.unwrap();
    let grown = Alarm {
        threshold: Some(5),
        value: Some(7),
        reason: "worse".to_owned(),
        last_seen: moment(9),
        ..begun
    };
    assert!(update(&storage, &grown).await);
    assert_eq!(open(&storage).await, std::slice::from_ref(&grown));
    let mut work = storage.begin().await.unwrap();
    assert_eq!(work.alarms().last_seen(AlarmKind::ErrorRatio, &subject).await.unwrap(), None, "it is open");
    drop(work);
    let ended = Alarm { ended: Some(moment(12)), last_seen: moment(11), ..grown.clone() };
    assert!(update(&storage, &ended).await);
    assert!(!update(&storage, &grown).await);
    assert!(!update(&storage, &Alarm { id: AlarmId(999_999), ..grown }).await);
    assert!(open(&storage).await.is_empty());
    let listed = list(&storage, &AlarmFilter::default(), Page::default()).await;
    assert_eq!(listed, std::slice::from_ref(&ended));
    let older = Alarm { ended: Some(moment(3)), ..alarm(AlarmKind::ErrorRatio, subject.clone(), 1) };
    add(&storage, &older).await.unwrap();
    let again = add(&storage, &alarm(AlarmKind::ErrorRatio, subject.clone(), 20)).await.unwrap();
    assert!(again.id > ended.id);
    let mut snapshot = storage.read().await.unwrap();
    let last_seen = snapshot.alarms().last_seen(AlarmKind::ErrorRatio, &subject).await.unwrap();
    assert_eq!(last_seen, Some(moment(11)));
    assert_eq!(snapshot.alarms().last_seen(AlarmKind::HitRatio, &subject).await.unwrap(), None);
}

async fn list(storage: &Arc<dyn Storage>, filter: &AlarmFilter, page: Page) -> Vec<Alarm> {
    let mut snapshot = storage.read().await.unwrap();
    let rows = snapshot.alarms().list(filter, page).await.unwrap();
    let all = snapshot.alarms().count(filter, page.start, page.before).await.unwrap();
    assert!(usize::try_from(all).unwrap() >= rows.len());
    rows.into_iter().map(|row| row.alarm).collect()
}

/// Each filter keeps what it names, alone and together, in pages of both orders; the mail is the account's.
pub(crate) async fn lists_are_filtered(storage: Arc<dyn Storage>) {
    let (ann, bob) = (add_account(&storage, 1).await, add_account(&storage, 2).await);
    let ended = Some(moment(9));
    let rows = [
        alarm(AlarmKind::Bandwidth, of_domain(ann, "a.com"), 0),
        Alarm { ended, ..alarm(AlarmKind::HitRatio, of_domain(ann, "b.com"), 1) },
        alarm(AlarmKind::Bandwidth, of_domain(bob, "a.com"), 2),
        alarm(AlarmKind::SilentEdge, of_edge("level3", "edge-1"), 3),
        Alarm { ended, ..alarm(AlarmKind::LogGap, of_edge("other", "edge-1"), 4) },
    ];
    let mut added = Vec::new();
    for row in &rows {
        added.push(add(&storage, row).await.unwrap());
    }
    let text = |text: &str| Some(text.to_owned());
    let filters = [
        AlarmFilter { account_id: Some(ann), ..AlarmFilter::default() },
        AlarmFilter { is_open: Some(true), ..AlarmFilter::default() },
        AlarmFilter { is_open: Some(false), ..AlarmFilter::default() },
        AlarmFilter { kind: Some(AlarmKind::Bandwidth), ..AlarmFilter::default() },
        AlarmFilter { domain: text("a.com"), ..AlarmFilter::default() },
        AlarmFilter { cdn: text("level3"), ..AlarmFilter::default() },
        AlarmFilter { edge: text("edge-1"), ..AlarmFilter::default() },
        AlarmFilter { account_id: Some(bob), domain: text("b.com"), ..AlarmFilter::default() },
        AlarmFilter { is_open: Some(false), edge: text("edge-1"), ..AlarmFilter::default() },
        AlarmFilter::default(),
    ];
    let counts = [2, 3, 2, 2, 2, 1, 2, 0, 1, 5];
    for (filter, count) in filters.iter().zip(counts) {
        let expected: Vec<_> = added.iter().filter(|alarm| filter.accepts(alarm)).cloned().collect();
        assert_eq!(expected.len(), count, "{filter:?}");
        assert_eq!(list(&storage, filter, Page::default()).await, expected, "{filter:?}");
        let mut snapshot = storage.read().await.unwrap();
        assert_eq!(snapshot.alarms().count(filter, 0, i64::MAX).await.unwrap(), count as u64);
    }
    let newest = Page { order: Order::Newest, before: added[4].id.0, ..Page::at(added[1].id.0, 2) };
    let everything = AlarmFilter::default();
    assert_eq!(list(&storage, &everything, newest).await, [added[3].clone(), added[2].clone()]);
    let mut snapshot = storage.read().await.unwrap();
    let mails = snapshot.alarms().list(&everything, Page::default()).await.unwrap();
    let mails: Vec<_> = mails.into_iter().map(|AlarmOverview { mail, .. }| mail).collect();
    let of = crate::rows::account;
    assert_eq!(mails, [of(1).mail, of(1).mail, of(2).mail, String::new(), String::new()]);
}

/// What ended before a time is forgotten, the first first; open ones stay.
pub(crate) async fn prune(storage: Arc<dyn Storage>) {
    let mut added = Vec::new();
    for n in 0..5 {
        let ended = (n != 1).then(|| moment(n));
        let row = Alarm { ended, ..alarm(AlarmKind::LogGap, of_edge("level3", &format!("edge-{n}")), n) };
        added.push(add(&storage, &row).await.unwrap());
    }
    let mut work = storage.begin().await.unwrap();
    assert_eq!(work.alarms().prune(moment(0), 9).await.unwrap(), 0);
    assert_eq!(work.alarms().prune(moment(4), 2).await.unwrap(), 2);
    work.commit().await.unwrap();
    let left = list(&storage, &AlarmFilter::default(), Page::default()).await;
    assert_eq!(left, [added[1].clone(), added[3].clone(), added[4].clone()]);
}

/// One looks at a time, until its lease ends or it steps down; what a clock that was ahead wrote is void.
pub(crate) async fn leader_is_one(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    let alarms = work.alarms();
    assert!(alarms.lead("one", moment(0), LEADERSHIP).await.unwrap());
    assert!(!alarms.lead("two", moment(1), LEADERSHIP).await.unwrap());
    assert!(alarms.lead("one", moment(2), LEADERSHIP).await.unwrap());
    assert!(!alarms.lead("two", moment(0) + LEASE, LEADERSHIP).await.unwrap());
    assert!(alarms.lead("two", moment(2) + LEASE, LEADERSHIP).await.unwrap());
    alarms.step_down("one").await.unwrap();
    assert!(!alarms.lead("one", moment(3) + LEASE, LEADERSHIP).await.unwrap());
    alarms.step_down("two").await.unwrap();
    assert!(alarms.lead("one", moment(3) + LEASE, LEADERSHIP).await.unwrap());
    assert!(alarms.lead("two", moment(0), LEADERSHIP).await.unwrap(), "its clock was ahead");
}

/// 16 that begin the same alarm side by side begin one.
pub(crate) async fn race_for_one(storage: Arc<dyn Storage>) {
    let begun = race(&storage, async |storage: Arc<dyn Storage>, n| {
        add(&storage, &alarm(AlarmKind::SilentEdge, of_edge("level3", "edge-1"), n)).await
    })
    .await;
    let begun: Vec<_> = begun.into_iter().flatten().collect();
    assert_eq!(begun.len(), 1);
    assert_eq!(open(&storage).await, begun);
}
