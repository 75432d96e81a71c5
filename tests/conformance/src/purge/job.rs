//! Refresh and preload jobs: claims under a lease, reports, progress by edge.

use std::sync::Arc;

use chrono::TimeDelta;
use pilothouse_core::Lease;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{EdgeProgress, Job, JobCell, JobId, JobKind, JobState, LONGEST_WAIT};
use pilothouse_core::ports::{ProviderError, Storage};

use crate::race::race;
use crate::rows::{AWKWARD, add_account, moment};

const LEASE: TimeDelta = TimeDelta::seconds(60);
const CLAIM: Lease = Lease::of(LEASE);

/// A job told apart by `n`, due at [`moment`] `n`.
pub fn job(account_id: AccountId, n: i64) -> Job {
    Job {
        id: JobId::UNSAVED,
        task_id: format!("refresh-{n}"),
        request: format!("refresh-{n}"),
        kind: if n % 2 == 0 { JobKind::Refresh } else { JobKind::Preload },
        account_id,
        cdn: "level3".into(),
        urls: vec![format!("http://cdn.exrqs.com/{n}"), "http://cdn.exrqs.com/更新/%7C🚀?a='\"\\".into()],
        created: moment(n),
        state: JobState::Pending,
        percent: 0,
        reason: String::new(),
        due: moment(n),
        is_claimed: false,
        attempt: 0,
        failures: 0,
        stamp: 1000 + n,
    }
}

async fn add_jobs(storage: &Arc<dyn Storage>, numbers: impl IntoIterator<Item = i64>) -> Vec<Job> {
    let account_id = add_account(storage, 1).await;
    let mut work = storage.begin().await.unwrap();
    let mut jobs = Vec::new();
    for n in numbers {
        let id = work.jobs().insert(&job(account_id, n)).await.unwrap();
        jobs.push(Job { id, ..job(account_id, n) });
    }
    work.commit().await.unwrap();
    jobs
}

/// An inserted job is read back unchanged by task id.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let jobs = add_jobs(&storage, [1, 2]).await;
    let mut snapshot = storage.read().await.unwrap();
    assert_eq!(snapshot.jobs().find("refresh-1").await.unwrap().as_ref(), Some(&jobs[0]));
    assert_eq!(snapshot.jobs().find("refresh-2").await.unwrap().as_ref(), Some(&jobs[1]));
    assert_eq!(snapshot.jobs().find("refresh-3").await.unwrap(), None);
    assert!(snapshot.jobs().progress(&jobs[0]).await.unwrap().is_empty());
}

/// Lists are of one account and kind, newest first, and no longer than asked for.
pub(crate) async fn list_is_newest_first(storage: Arc<dyn Storage>) {
    let jobs = add_jobs(&storage, 0..10).await;
    let other = add_account(&storage, 2).await;
    let mut work = storage.begin().await.unwrap();
    work.jobs().insert(&job(other, 100)).await.unwrap();
    let listed = work.jobs().list(jobs[0].account_id, JobKind::Refresh, 3).await.unwrap();
    assert_eq!(listed, [jobs[8].clone(), jobs[6].clone(), jobs[4].clone()]);
    assert_eq!(work.jobs().list(other, JobKind::Refresh, 1000).await.unwrap().len(), 1);
    assert!(work.jobs().list(other, JobKind::Preload, 1000).await.unwrap().is_empty());
}

/// A retry makes a job pending again where nobody changed it, and refuses the report of a worker that had it.
pub(crate) async fn retry_begins_again(storage: Arc<dyn Storage>) {
    let added = add_jobs(&storage, [2]).await.remove(0);
    let mut work = storage.begin().await.unwrap();
    let claimed = work.jobs().claim(moment(2), CLAIM, 1).await.unwrap().remove(0);
    let failed = Job {
        state: JobState::Failed,
        percent: 66,
        reason: "edge-1: refused".into(),
        failures: 3,
        is_claimed: false,
        ..claimed.clone()
    };
    assert!(work.jobs().report(&failed).await.unwrap());
    let due = moment(77);
    for stale in [Job { attempt: 0, ..failed.clone() }, Job { state: JobState::Pending, ..failed.clone() }] {
        assert!(!work.jobs().retry(&stale).await.unwrap());
    }
    assert!(work.jobs().retry(&Job { due, ..failed }).await.unwrap());
    let again = Job { percent: 66, attempt: 2, due, ..added };
    assert_eq!(work.jobs().find(&again.task_id).await.unwrap(), Some(again.clone()));
    assert!(!work.jobs().report(&claimed).await.unwrap(), "the attempt is over");
    assert_eq!(work.jobs().claim(due, CLAIM, 1).await.unwrap()[0].attempt, 3);
}

/// A claim takes the longest due first, no more than asked for, and none that is not due or not pending.
pub(crate) async fn claim_takes_what_is_due(storage: Arc<dyn Storage>) {
    let jobs = add_jobs(&storage, [5, 3, 1, 9]).await;
    let mut work = storage.begin().await.unwrap();
    let claimed = work.jobs().claim(moment(5), CLAIM, 2).await.unwrap();
    let taken = |job: &Job| Job { attempt: 1, due: moment(5) + LEASE, is_claimed: true, ..job.clone() };
    assert_eq!(claimed, [taken(&jobs[1]), taken(&jobs[2])]);
    work.commit().await.unwrap();
    let mut work = storage.begin().await.unwrap();
    let ended = Job { state: JobState::Done, ..claimed[0].clone() };
    assert!(work.jobs().report(&ended).await.unwrap());
    assert_eq!(work.jobs().claim(moment(5), CLAIM, 10).await.unwrap(), [taken(&jobs[0])]);
    assert!(work.jobs().claim(moment(5), CLAIM, 10).await.unwrap().is_empty());
    let later = work.jobs().claim(moment(9) + LEASE, CLAIM, 10).await.unwrap();
    let ids: Vec<_> = later.iter().map(|job| job.id).collect();
    assert_eq!(ids, [jobs[0].id, jobs[2].id, jobs[3].id], "all but the one that is done");
}

/// A job whose lease has ended can be claimed again, with a higher attempt; a report prolongs the lease.
pub(crate) async fn lease_ends(storage: Arc<dyn Storage>) {
    add_jobs(&storage, [0]).await;
    let mut work = storage.begin().await.unwrap();
    let first = work.jobs().claim(moment(0), CLAIM, 1).await.unwrap().remove(0);
    let prolonged = Job { due: first.due + LEASE, ..first.clone() };
    assert!(work.jobs().report(&prolonged).await.unwrap());
    assert!(work.jobs().claim(first.due, CLAIM, 1).await.unwrap().is_empty());
    let second = work.jobs().claim(prolonged.due, CLAIM, 1).await.unwrap().remove(0);
    assert_eq!((first.attempt, second.attempt), (1, 2));
}

/// A job that is claimed for longer than a lease, or waits for longer than any job, since a clock was ahead, is due.
pub(crate) async fn wait_of_a_clock_ahead_is_void(storage: Arc<dyn Storage>) {
    let job = add_jobs(&storage, [1]).await.remove(0);
    let mut work = storage.begin().await.unwrap();
    let ahead = moment(1) + TimeDelta::minutes(4);
    let claimed = work.jobs().claim(ahead, CLAIM, 1).await.unwrap().remove(0);
    let again = work.jobs().claim(moment(1), CLAIM, 1).await.unwrap();
    assert_eq!(again, [Job { attempt: 2, due: moment(1) + LEASE, is_claimed: true, ..job.clone() }]);
    assert!(
        work.jobs().claim(moment(2), CLAIM, 1).await.unwrap().is_empty(),
        "the lease of now is none of them"
    );

    let waits = |length| Job { attempt: 2, due: moment(1) + length, is_claimed: false, ..claimed.clone() };
    assert!(work.jobs().report(&waits(LONGEST_WAIT.length())).await.unwrap());
    assert!(work.jobs().claim(moment(1), CLAIM, 1).await.unwrap().is_empty(), "a pause may be that long");
    assert!(work.jobs().report(&waits(TimeDelta::hours(8))).await.unwrap());
    assert_eq!(work.jobs().claim(moment(1), CLAIM, 1).await.unwrap()[0].attempt, 3);
}

/// The report of an attempt that is no longer the last, or on a job that has ended, changes nothing.
pub(crate) async fn stale_report_is_refused(storage: Arc<dyn Storage>) {
    add_jobs(&storage, [0]).await;
    let mut work = storage.begin().await.unwrap();
    let first = work.jobs().claim(moment(0), CLAIM, 1).await.unwrap().remove(0);
    let second = work.jobs().claim(first.due, CLAIM, 1).await.unwrap().remove(0);
    let stale = Job { state: JobState::Failed, percent: 1, reason: "stale".into(), ..first };
    assert!(!work.jobs().report(&stale).await.unwrap());
    assert_eq!(work.jobs().find("refresh-0").await.unwrap(), Some(second.clone()));
    let done = Job {
        state: JobState::Done,
        percent: 100,
        reason: AWKWARD.into(),
        due: moment(7),
        failures: 3,
        ..second.clone()
    };
    assert!(work.jobs().report(&done).await.unwrap());
    assert_eq!(work.jobs().find("refresh-0").await.unwrap(), Some(done.clone()));
    assert!(!work.jobs().report(&second).await.unwrap());
    assert_eq!(work.jobs().find("refresh-0").await.unwrap(), Some(done));
    let unknown = Job { id: JobId(second.id.0 + 1), ..second };
    assert!(!work.jobs().report(&unknown).await.unwrap());
}

/// Progress is a row per edge, by edge, replaced as a whole.
pub(crate) async fn progress_round_trip(storage: Arc<dyn Storage>) {
    let jobs = add_jobs(&storage, [1, 2]).await;
    let mut work = storage.begin().await.unwrap();
    let refused = JobCell::failed(AWKWARD, moment(8));
    let unavailable = JobCell::after(Err(&ProviderError::Unavailable("down".into())), moment(9));
    let acked = JobCell::after(Ok(()), moment(7));
    let rows = [
        EdgeProgress { edge: "edge-1".into(), cells: vec![acked.clone(), refused] },
        EdgeProgress { edge: "edge-2 更".into(), cells: vec![JobCell::PENDING, unavailable] },
    ];
    let mut before = EdgeProgress::pending("edge-1", 2);
    work.jobs().record(jobs[0].id, &rows[1]).await.unwrap();
    work.jobs().record(jobs[0].id, &before).await.unwrap();
    work.jobs().record(jobs[0].id, &rows[0]).await.unwrap();
    before.cells.fill(acked);
    work.jobs().record(jobs[1].id, &before).await.unwrap();
    assert_eq!(work.jobs().progress(&jobs[0]).await.unwrap(), rows);
    assert_eq!(work.jobs().progress(&jobs[1]).await.unwrap(), [before]);
}

/// A deleted account takes its jobs along, and no one else's.
pub(crate) async fn goes_with_its_account(storage: Arc<dyn Storage>) {
    let jobs = add_jobs(&storage, [1]).await;
    let other = add_account(&storage, 2).await;
    let mut work = storage.begin().await.unwrap();
    work.jobs().record(jobs[0].id, &EdgeProgress::pending("edge-1", 2)).await.unwrap();
    work.jobs().insert(&job(other, 2)).await.unwrap();
    assert!(work.accounts().delete(jobs[0].account_id).await.unwrap());
    assert_eq!(work.jobs().find("refresh-1").await.unwrap(), None);
    assert!(work.jobs().progress(&jobs[0]).await.unwrap().is_empty());
    assert!(work.jobs().find("refresh-2").await.unwrap().is_some());
    work.commit().await.unwrap();
}

/// Those that ended long ago are forgotten with their progress, so many at a time; those that wait never are.
pub(crate) async fn prune(storage: Arc<dyn Storage>) {
    let jobs = add_jobs(&storage, 0..6).await;
    let mut work = storage.begin().await.unwrap();
    let mut ended = Vec::new();
    for (job, state) in jobs.iter().zip([JobState::Done, JobState::Pending, JobState::Failed]) {
        let job = Job { state, ..job.clone() };
        assert!(work.jobs().report(&job).await.unwrap());
        work.jobs().record(job.id, &EdgeProgress::pending("e", job.urls.len())).await.unwrap();
        ended.push(job);
    }
    let last = Job { state: JobState::Done, ..jobs[4].clone() };
    assert!(work.jobs().report(&last).await.unwrap());
    assert_eq!(work.jobs().prune(moment(0), 10).await.unwrap(), 0);
    assert_eq!(work.jobs().prune(moment(4), 1).await.unwrap(), 1);
    assert_eq!(work.jobs().prune(moment(4), 10).await.unwrap(), 1, "not what was queued at that moment");
    work.commit().await.unwrap();
    let mut snapshot = storage.read().await.unwrap();
    let mut left = Vec::new();
    for job in &jobs {
        if snapshot.jobs().find(&job.task_id).await.unwrap().is_some() {
            left.push(job.id);
        }
    }
    assert_eq!(left, [jobs[1].id, jobs[3].id, jobs[4].id, jobs[5].id]);
    for (job, rows) in ended.iter().zip([0, 1, 0]) {
        assert_eq!(snapshot.jobs().progress(job).await.unwrap().len(), rows);
    }
}

/// A job that has ended is kept while another part of its request waits.
pub(crate) async fn prune_keeps_requests_whole(storage: Arc<dyn Storage>) {
    let account_id = add_account(&storage, 1).await;
    let mut work = storage.begin().await.unwrap();
    let done = |n| Job { state: JobState::Done, ..job(account_id, n) };
    let part = Job { request: "refresh-1".into(), ..job(account_id, 2) };
    work.jobs().insert(&done(1)).await.unwrap();
    let id = work.jobs().insert(&part).await.unwrap();
    work.jobs().insert(&done(3)).await.unwrap();
    assert_eq!(work.jobs().prune(moment(9), 10).await.unwrap(), 1, "only the request that has ended");
    assert_eq!(work.jobs().parts("refresh-1").await.unwrap().0.len(), 2);
    assert!(work.jobs().report(&Job { id, state: JobState::Failed, ..part }).await.unwrap());
    assert_eq!(work.jobs().prune(moment(9), 10).await.unwrap(), 2);
    work.commit().await.unwrap();
}

/// Of 16 workers that want one job, one gets it.
pub(crate) async fn race_for_one_claim(storage: Arc<dyn Storage>) {
    add_jobs(&storage, [0]).await;
    let claims = race(&storage, async |storage: Arc<dyn Storage>, _| {
        let mut work = storage.begin().await.unwrap();
        let claimed = work.jobs().claim(moment(0), CLAIM, 1).await.unwrap();
        work.commit().await.unwrap();
        claimed
    })
    .await;
    let claimed: Vec<_> = claims.into_iter().flatten().map(|job| job.attempt).collect();
    assert_eq!(claimed, [1]);
}

/// 16 workers that claim side by side share the jobs out: each job is taken once.
pub(crate) async fn race_shares_out(storage: Arc<dyn Storage>) {
    let jobs = add_jobs(&storage, 0..64).await;
    let claims = race(&storage, async |storage: Arc<dyn Storage>, _| {
        let mut mine = Vec::new();
        loop {
            let mut work = storage.begin().await.unwrap();
            let claimed = work.jobs().claim(moment(64), CLAIM, 3).await.unwrap();
            work.commit().await.unwrap();
            if claimed.is_empty() {
                return mine;
            }
            mine.extend(claimed.into_iter().map(|job| job.id));
        }
    })
    .await;
    let mut claimed: Vec<_> = claims.into_iter().flatten().collect();
    claimed.sort_unstable();
    assert_eq!(claimed, jobs.iter().map(|job| job.id).collect::<Vec<_>>());
}
