//! Limits of pruning: at most an eighth of the rows a day, and none while a clock is suspicious.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_core::cdn::{Block, BlockKind, Day, DomainId, Job, JobState};
use pilothouse_core::ports::Storage;
use pilothouse_core::{Allowance, ClockMark, Pilothouse, Prunable};

use crate::Fixture;
use crate::doubles::ManualClock;
use crate::rows::{add_account, add_app, job, moment, node};

async fn store_time(storage: &Arc<dyn Storage>) -> DateTime<Utc> {
    storage.begin().await.unwrap().now().await.unwrap()
}

/// Adds `count` jobs that ended long ago.
async fn add_old_jobs(storage: &Arc<dyn Storage>, count: i64) {
    let account = add_account(storage, 1).await;
    let created = store_time(storage).await - TimeDelta::days(100);
    let mut work = storage.begin().await.unwrap();
    for n in 0..count {
        let old = Job { created, state: JobState::Done, ..job(account, n) };
        work.jobs().insert(&old).await.unwrap();
    }
    work.commit().await.unwrap();
}

/// Takes an allowance for one of the day before, so that the next pruning begins another.
async fn let_a_day_pass(storage: &Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    let since = work.now().await.unwrap() - TimeDelta::hours(25);
    work.pruning().set_allowance(Prunable::Jobs, &Allowance { since, left: 0 }).await.unwrap();
    work.commit().await.unwrap();
}

async fn jobs_after_housekeeping(server: &Pilothouse) -> i64 {
    server.housekeep().await.unwrap();
    server.storage().read().await.unwrap().pruning().count(Prunable::Jobs).await.unwrap()
}

/// What is put in comes out, kind by kind.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    assert_eq!(work.pruning().clock_mark().await.unwrap(), None);
    for hold_until in [Some(moment(9)), None] {
        let mark = ClockMark { seen: moment(1), hold_until };
        work.pruning().set_clock_mark(&mark).await.unwrap();
        assert_eq!(work.pruning().clock_mark().await.unwrap(), Some(mark));
    }
    for (n, kind) in (1..).zip(Prunable::ALL) {
        assert_eq!(work.pruning().allowance(kind).await.unwrap(), None);
        for left in [n, n + 20] {
            let allowance = Allowance { since: moment(left), left };
            work.pruning().set_allowance(kind, &allowance).await.unwrap();
            assert_eq!(work.pruning().allowance(kind).await.unwrap(), Some(allowance));
        }
    }
}

/// Each kind counts its own rows.
pub(crate) async fn counts(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let account = add_account(&storage, 2).await;
    let mut work = storage.begin().await.unwrap();
    for n in 0..3 {
        work.nodes().register(&node(app, n)).await.unwrap();
    }
    work.jobs().insert(&job(account, 1)).await.unwrap();
    for (part, days) in [(BlockKind::Flux, 0..4), (BlockKind::Cities, 0..2)] {
        for day in days {
            let block = Block { domain_id: DomainId(1), day: Day(day), kept_from: Day(day), data: vec![1] };
            work.traffic().put_block(part, &block).await.unwrap();
        }
    }
    let mut counted = Vec::new();
    for kind in Prunable::ALL {
        counted.push((kind, work.pruning().count(kind).await.unwrap()));
    }
    let expected = [3, 0, 1, 0, 0, 4, 0, 2, 0, 0, 0];
    assert_eq!(counted, Prunable::ALL.into_iter().zip(expected).collect::<Vec<_>>());
}

/// A day takes an eighth of the rows, rounded up, however often it is pruned and whichever server prunes.
pub(crate) async fn an_eighth_a_day(storage: Arc<dyn Storage>) {
    add_old_jobs(&storage, 17).await;
    let fixture = Fixture::new(storage.clone());
    for _ in 0..3 {
        assert_eq!(jobs_after_housekeeping(&fixture.pilothouse).await, 14);
        assert_eq!(jobs_after_housekeeping(&fixture.another_server()).await, 14);
    }
    let_a_day_pass(&storage).await;
    for _ in 0..3 {
        assert_eq!(jobs_after_housekeeping(&fixture.pilothouse).await, 12);
    }
}

/// After a jump of a server's clock, ahead or back, nothing is deleted, also by the servers beside and after it.
pub(crate) async fn nothing_after_a_jump(storage: Arc<dyn Storage>) {
    add_old_jobs(&storage, 24).await;
    let clock = Arc::new(ManualClock::at(store_time(&storage).await.timestamp()));
    let fixture = Fixture::builder(storage.clone()).clock(clock.clone()).build();
    assert_eq!(jobs_after_housekeeping(&fixture.pilothouse).await, 21);
    let mut left = 21;
    for jump in [TimeDelta::hours(8), TimeDelta::hours(-8)] {
        let_a_day_pass(&storage).await;
        clock.jump(jump);
        assert_eq!(jobs_after_housekeeping(&fixture.pilothouse).await, left, "{jump}");
        assert_eq!(jobs_after_housekeeping(&fixture.pilothouse).await, left, "{jump}, again");
        clock.jump(-jump);
        assert_eq!(jobs_after_housekeeping(&fixture.another_server()).await, left, "{jump}, started again");
        // The time without pruning is over, and the clock right.
        let mut work = storage.begin().await.unwrap();
        let mark = work.pruning().clock_mark().await.unwrap().unwrap();
        let hold = mark.hold_until.unwrap() - work.now().await.unwrap();
        assert!(hold > TimeDelta::hours(23) && hold <= TimeDelta::hours(24), "{hold}");
        work.pruning().set_clock_mark(&ClockMark { hold_until: None, ..mark }).await.unwrap();
        work.commit().await.unwrap();
        left -= (left + 7) / 8;
        assert_eq!(jobs_after_housekeeping(&fixture.another_server()).await, left);
    }
    // Less than an hour is a correction.
    let_a_day_pass(&storage).await;
    let server = fixture.another_server();
    server.readiness().await;
    assert_eq!(jobs_after_housekeeping(&server).await, left - (left + 7) / 8);
    let_a_day_pass(&storage).await;
    clock.jump(TimeDelta::minutes(59));
    assert!(jobs_after_housekeeping(&server).await < left - (left + 7) / 8);
}

/// A start more than a day after the last stored time deletes nothing: who knows which of the two is wrong.
pub(crate) async fn nothing_after_a_late_start(storage: Arc<dyn Storage>) {
    add_old_jobs(&storage, 16).await;
    let fixture = Fixture::new(storage.clone());
    for (hours, left) in [(25, 16), (23, 14)] {
        let mut work = storage.begin().await.unwrap();
        let seen = work.now().await.unwrap() - TimeDelta::hours(hours);
        work.pruning().set_clock_mark(&ClockMark { seen, hold_until: None }).await.unwrap();
        work.commit().await.unwrap();
        let server = fixture.another_server();
        assert_eq!(jobs_after_housekeeping(&server).await, left, "{hours} hours");
        assert_eq!(jobs_after_housekeeping(&server).await, left, "{hours} hours, again");
        let mark = storage.read().await.unwrap().pruning().clock_mark().await.unwrap().unwrap();
        assert!(mark.seen > seen + TimeDelta::hours(22), "the time is stored");
    }
}
