//! Edges: state rows, the leader of a cdn's edges, purge stamps, missed purges.

use std::sync::Arc;

use chrono::TimeDelta;
use pilothouse_core::Lease;
use pilothouse_core::cdn::{Edge, EdgeProgress, EdgeState, Job, JobCell, JobKind, JobState, MissedPurges};
use pilothouse_core::ports::Storage;

use super::job::job;
use crate::race::race;
use crate::rows::{AWKWARD, add_account, moment};

const LEASE: TimeDelta = TimeDelta::seconds(5);
const LEADERSHIP: Lease = Lease::of(LEASE);

fn edge(cdn: &str, name: &str) -> Edge {
    let (cdn, name, reason) = (cdn.to_owned(), name.to_owned(), AWKWARD.to_owned());
    Edge { cdn, name, epoch: 7, state: EdgeState::Unreachable, since: moment(1), last_seen: None, reason }
}

/// An inserted edge is read back unchanged; its epoch stays until the edge is removed.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    for edge in [edge("level3", "b"), edge("level3", "更"), edge("level3", "B"), edge("other", "b")] {
        assert!(work.edges().insert(&edge).await.unwrap());
    }
    assert!(!work.edges().insert(&Edge { epoch: 8, ..edge("level3", "b") }).await.unwrap());
    let last_seen = Some(moment(3));
    let changed =
        Edge { epoch: 9, state: EdgeState::InService, since: moment(2), last_seen, ..edge("level3", "b") };
    assert!(work.edges().update(&changed).await.unwrap());
    assert!(!work.edges().update(&edge("level3", "c")).await.unwrap());
    work.commit().await.unwrap();
    let mut work = storage.begin().await.unwrap();
    let listed = work.edges().list("level3").await.unwrap();
    assert_eq!(listed, [edge("level3", "B"), Edge { epoch: 7, ..changed }, edge("level3", "更")]);
    assert!(work.edges().remove("level3", "b").await.unwrap());
    assert!(!work.edges().remove("level3", "b").await.unwrap());
    assert!(work.edges().insert(&Edge { epoch: 8, ..edge("level3", "b") }).await.unwrap());
    assert_eq!(work.edges().list("level3").await.unwrap()[1].epoch, 8);
    assert_eq!(work.edges().list("other").await.unwrap(), [edge("other", "b")]);
}

/// One at a time looks after a cdn's edges; another does when its time is over, or when it steps down.
pub(crate) async fn leader_is_one(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    let edges = work.edges();
    assert_eq!(edges.led_until("level3").await.unwrap(), None);
    assert!(edges.lead("level3", "one", moment(0), LEADERSHIP).await.unwrap());
    assert!(!edges.lead("level3", "two", moment(1), LEADERSHIP).await.unwrap());
    assert!(edges.lead("other", "two", moment(1), LEADERSHIP).await.unwrap());
    assert!(edges.lead("level3", "one", moment(2), LEADERSHIP).await.unwrap());
    assert!(!edges.lead("level3", "two", moment(0) + LEASE, LEADERSHIP).await.unwrap());
    assert!(edges.lead("level3", "two", moment(2) + LEASE, LEADERSHIP).await.unwrap());
    assert!(!edges.lead("level3", "one", moment(3) + LEASE, LEADERSHIP).await.unwrap());
    let until = Some(moment(2) + LEASE + LEASE);
    assert_eq!(edges.led_until("level3").await.unwrap(), until);
    edges.step_down("level3", "one").await.unwrap();
    assert!(!edges.lead("level3", "one", moment(3) + LEASE, LEADERSHIP).await.unwrap());
    edges.step_down("level3", "two").await.unwrap();
    assert_eq!(edges.led_until("level3").await.unwrap(), until, "how old what it left is remains known");
    assert!(edges.lead("level3", "one", moment(3) + LEASE, LEADERSHIP).await.unwrap());
    assert!(!edges.lead("other", "one", moment(2), LEADERSHIP).await.unwrap());
}

/// Leadership that ends further away than its length, since a clock was ahead, is void.
pub(crate) async fn leadership_of_a_clock_ahead_is_void(storage: Arc<dyn Storage>) {
    let ahead = TimeDelta::hours(8);
    let mut work = storage.begin().await.unwrap();
    assert!(work.edges().lead("level3", "gone", moment(0) + ahead, LEADERSHIP).await.unwrap());
    assert!(work.edges().lead("level3", "next", moment(1), LEADERSHIP).await.unwrap());
    assert!(!work.edges().lead("level3", "third", moment(2), LEADERSHIP).await.unwrap());
    assert_eq!(work.edges().led_until("level3").await.unwrap(), Some(moment(1) + LEASE));
}

/// Of 16 that want to look after the edges, one does.
pub(crate) async fn race_of_leaders(storage: Arc<dyn Storage>) {
    let leads = race(&storage, async |storage: Arc<dyn Storage>, n| {
        let mut work = storage.begin().await.unwrap();
        let leads = work.edges().lead("level3", &n.to_string(), moment(0), LEADERSHIP).await.unwrap();
        work.commit().await.unwrap();
        leads
    })
    .await;
    assert_eq!(leads.into_iter().filter(|leads| *leads).count(), 1);
}

/// Of 16 that want to go on for one who is gone, one does, and the one who is back does not.
pub(crate) async fn race_to_take_over(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    assert!(work.edges().lead("level3", "gone", moment(0), LEADERSHIP).await.unwrap());
    work.commit().await.unwrap();
    let leads = race(&storage, async |storage: Arc<dyn Storage>, n| {
        let now = moment(0) + LEASE;
        let mut work = storage.begin().await.unwrap();
        let leads = work.edges().lead("level3", &n.to_string(), now, LEADERSHIP).await.unwrap();
        work.commit().await.unwrap();
        leads
    })
    .await;
    assert_eq!(leads.into_iter().filter(|leads| *leads).count(), 1);
    let mut work = storage.begin().await.unwrap();
    let now = moment(0) + LEASE;
    assert!(!work.edges().lead("level3", "gone", now, LEADERSHIP).await.unwrap());
}

/// An edge that is removed while it is shown in service is gone, or was shown before.
pub(crate) async fn race_of_news_and_removal(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    assert!(work.edges().insert(&edge("level3", "b")).await.unwrap());
    work.commit().await.unwrap();
    race(&storage, async |storage: Arc<dyn Storage>, n| {
        let mut work = storage.begin().await.unwrap();
        let changed = if n == 7 {
            work.edges().remove("level3", "b").await.unwrap()
        } else {
            let news = Edge { state: EdgeState::InService, ..edge("level3", "b") };
            work.edges().update(&news).await.unwrap()
        };
        work.commit().await.unwrap();
        changed
    })
    .await;
    let mut snapshot = storage.read().await.unwrap();
    assert!(snapshot.edges().list("level3").await.unwrap().is_empty());
}

/// Numbers of purges grow with every purge of a host, also when the clock does not.
pub(crate) async fn stamps_grow(storage: Arc<dyn Storage>) {
    let hosts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut work = storage.begin().await.unwrap();
    let edges = work.edges();
    assert_eq!(edges.stamp("level3", &hosts(&["a", "b"]), 100).await.unwrap(), 100);
    assert_eq!(edges.stamp("level3", &hosts(&["a"]), 100).await.unwrap(), 101);
    assert_eq!(edges.stamp("level3", &hosts(&["b", "a", "c"]), 50).await.unwrap(), 102);
    assert_eq!(edges.stamp("level3", &hosts(&["c"]), 200).await.unwrap(), 200);
    assert_eq!(edges.stamp("other", &hosts(&["a"]), 7).await.unwrap(), 7);
    let all = [("a", 102), ("b", 102), ("c", 200)].map(|(host, stamp)| (host.to_owned(), stamp));
    assert_eq!(edges.purged("level3", 0).await.unwrap(), all);
    assert_eq!(edges.purged("level3", 103).await.unwrap(), all[2..]);
}

/// 16 purges of the same hosts at once get 16 numbers.
pub(crate) async fn race_for_stamps(storage: Arc<dyn Storage>) {
    let mut stamps = race(&storage, async |storage: Arc<dyn Storage>, n| {
        let mut hosts = vec!["a".to_owned(), "b".to_owned()];
        if n % 2 == 0 {
            hosts.reverse();
        }
        let mut work = storage.begin().await.unwrap();
        let stamp = work.edges().stamp("level3", &hosts, 5).await.unwrap();
        work.commit().await.unwrap();
        stamp
    })
    .await;
    stamps.sort_unstable();
    assert_eq!(stamps, (5..21).collect::<Vec<_>>());
}

/// Missed purges of an edge are the waiting refreshes of its cdn with their progress on it; and they can be woken.
pub(crate) async fn missed_purges(storage: Arc<dyn Storage>) {
    let account_id = add_account(&storage, 1).await;
    let mut work = storage.begin().await.unwrap();
    let mut jobs = Vec::new();
    for (n, kind, cdn) in [
        (2, JobKind::Refresh, "level3"),
        (1, JobKind::Refresh, "level3"),
        (3, JobKind::Preload, "level3"),
        (4, JobKind::Refresh, "other"),
        (5, JobKind::Refresh, "level3"),
    ] {
        let new = Job { kind, cdn: cdn.into(), ..job(account_id, n) };
        let id = work.jobs().insert(&new).await.unwrap();
        jobs.push(Job { id, ..new });
    }
    let mut claimed = work.jobs().claim(moment(5), LEADERSHIP, 10).await.unwrap();
    let ended = Job { state: JobState::Failed, ..claimed.remove(4) };
    assert!(work.jobs().report(&ended).await.unwrap());
    let waits = Job { reason: "cut off".into(), ..claimed[0].clone() };
    assert!(work.jobs().report(&waits).await.unwrap());
    let cells = vec![JobCell::after(Ok(()), moment(7)), JobCell::PENDING];
    let progress = EdgeProgress { edge: "edge-1".into(), cells };
    work.jobs().record(waits.id, &progress).await.unwrap();

    let known = MissedPurges { job: waits.clone(), progress: Some(progress) };
    let second = MissedPurges { job: claimed[1].clone(), progress: None };
    assert_eq!(known.purges().count(), 1);
    let owed = work.jobs().missed_purges("level3", "edge-1", 10).await.unwrap();
    assert_eq!(owed, [known, second.clone()]);
    let owed = work.jobs().missed_purges("level3", "edge-2", 1).await.unwrap();
    assert_eq!(owed, [MissedPurges { job: waits.clone(), progress: None }]);
    assert_eq!(work.jobs().least_stamp("level3").await.unwrap(), Some(jobs[1].stamp));
    assert_eq!(work.jobs().least_stamp("nothing").await.unwrap(), None);

    work.jobs().wake("level3", moment(9)).await.unwrap();
    let woken = work.jobs().find(&waits.task_id).await.unwrap().unwrap();
    assert_eq!(woken.due, moment(9));
    assert_eq!(work.jobs().find(&second.job.task_id).await.unwrap(), Some(second.job));
}
