//! Alarms of a few domains and edges, their lists, and who looks for them.

use chrono::TimeDelta;
use pilothouse_conformance::Rng;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{Alarm, AlarmFilter, AlarmId, AlarmKind, AlarmSubject};
use pilothouse_core::ports::Repositories;
use pilothouse_core::{Lease, Order, Page};

use super::draws::Draws;
use super::issued_ids::{IssuedIds, any_id, index_of, record_id};

/// No account has such an id, so that no store knows a mail.
const NOBODY: i64 = 1_000_000_000;

fn subject(random: &mut Rng) -> AlarmSubject {
    let (account, name) = (NOBODY + random.i64(0..2), random.pick(&["a.com", "b.com"]));
    if random.bool() {
        AlarmSubject::Domain { account_id: AccountId(account), domain: name.to_owned() }
    } else {
        let (cdn, edge) = (random.pick(&["level3", "Level3"]), random.pick(&["edge-1", "边缘"]));
        AlarmSubject::Edge { cdn: cdn.to_owned(), edge: edge.to_owned() }
    }
}

fn kind(random: &mut Rng) -> AlarmKind {
    random.pick(&[AlarmKind::Bandwidth, AlarmKind::HitRatio, AlarmKind::LogGap])
}

fn alarm(random: &mut Rng) -> Alarm {
    let (threshold, value, ended) = (random.i64(0..9), random.i64(0..9), random.moment());
    Alarm {
        id: AlarmId::UNSAVED,
        kind: kind(random),
        subject: subject(random),
        threshold: random.perhaps(threshold),
        value: random.perhaps(value),
        reason: random.word().to_owned(),
        begun: random.moment(),
        last_seen: random.moment(),
        ended: random.perhaps(ended),
    }
}

fn filter(random: &mut Rng) -> AlarmFilter {
    let (account, is_open, of_kind) = (AccountId(NOBODY + random.i64(0..2)), random.bool(), kind(random));
    AlarmFilter {
        account_id: random.chance(20).then_some(account),
        is_open: random.perhaps(is_open),
        kind: random.chance(30).then_some(of_kind),
        domain: random.chance(20).then(|| "a.com".to_owned()),
        cdn: random.chance(20).then(|| "level3".to_owned()),
        edge: random.chance(20).then(|| "边缘".to_owned()),
    }
}

pub(super) async fn read(store: &mut dyn Repositories, issued: &IssuedIds, random: &mut Rng) -> String {
    match random.usize(..3) {
        0 => {
            let open = store.alarms().open().await.unwrap().into_iter();
            let open: Vec<_> =
                open.map(|alarm| Alarm { id: index_of(&issued.alarms, alarm.id), ..alarm }).collect();
            format!("open alarms: {open:?}")
        }
        1 => {
            let (kind, subject) = (kind(random), subject(random));
            let found = store.alarms().last_seen(kind, &subject).await.unwrap();
            format!("{kind:?} of {subject:?} last seen: {found:?}")
        }
        _ => {
            let filter = filter(random);
            let order = random.pick(&[Order::Oldest, Order::Newest]);
            let page = Page { order, ..Page::at(0, random.i64(1..6)) };
            let rows = store.alarms().list(&filter, page).await.unwrap().into_iter();
            let rows: Vec<_> =
                rows.map(|row| (index_of(&issued.alarms, row.alarm.id), row.alarm.kind, row.mail)).collect();
            let count = store.alarms().count(&filter, 0, i64::MAX).await.unwrap();
            format!("alarms {filter:?} {order:?}: {rows:?} of {count}")
        }
    }
}

pub(super) async fn write(store: &mut dyn Repositories, issued: &mut IssuedIds, random: &mut Rng) -> String {
    match random.usize(..8) {
        0..=2 => {
            let alarm = alarm(random);
            let id = store.alarms().insert(&alarm).await.unwrap();
            format!("begin {alarm:?}: {:?}", id.map(|id| record_id(&mut issued.alarms, id)))
        }
        3 | 4 => {
            let id = any_id(&issued.alarms, random);
            let alarm = Alarm { id, ..alarm(random) };
            let changed = store.alarms().update(&alarm).await.unwrap();
            format!("change {}: {changed}", index_of(&issued.alarms, id))
        }
        5 => {
            let (before, count) = (random.moment(), random.i64(0..3));
            format!("{} alarms pruned", store.alarms().prune(before, count).await.unwrap())
        }
        6 => {
            let (leader, now) = (random.pick(&["one", "two"]), random.moment());
            let lease = Lease::of(TimeDelta::microseconds(3));
            format!("{leader} looks: {}", store.alarms().lead(leader, now, lease).await.unwrap())
        }
        _ => {
            let leader = random.pick(&["one", "two"]);
            store.alarms().step_down(leader).await.unwrap();
            format!("{leader} steps down")
        }
    }
}
