//! Queueing and listing refreshes and preloads.

use pilothouse_core::account::{AuditFilter, Group};
use pilothouse_core::cdn::{CellState, JobKind, JobState};
use pilothouse_core::{Error, ErrorKind, Page};

use crate::world::{Fake, MAIL, OTHER, World};

const TWO: &str = "http://cdn.exrqs.com/test.html|http://cdn.exrqs.com/test1.html";

async fn refused(world: &World, kind: JobKind, mail: &str, path: &str) -> Error {
    let refused = world.pilothouse.jobs().add(&world.user, kind, mail, path).await.unwrap_err();
    let mut snapshot = world.storage.read().await.unwrap();
    for caller in [&world.user, &world.other] {
        for kind in [JobKind::Refresh, JobKind::Preload] {
            assert!(snapshot.jobs().list(caller.id, kind, 10).await.unwrap().is_empty(), "nothing is queued");
        }
    }
    let trail = snapshot.audit().list(&AuditFilter::default(), Page::default()).await.unwrap();
    assert!(trail.iter().all(|row| row.action == "refused"), "{trail:?}");
    refused
}

#[tokio::test]
async fn a_request_is_one_job_with_its_urls_as_given() {
    let world = World::new().await;
    let job = world.refresh(TWO).await;
    assert_eq!(job.urls.join("|"), TWO);
    assert_eq!((job.state, job.percent, job.cdn.as_str()), (JobState::Pending, 0, "level3"));
    assert_eq!(world.job(&job).await, job);
    let mut snapshot = world.storage.read().await.unwrap();
    let trail = snapshot.audit().list(&AuditFilter::default(), Page::default()).await.unwrap();
    assert_eq!((trail[0].action.as_str(), &trail[0].object), ("cdn.refresh", &job.task_id));
}

#[tokio::test]
async fn batches_are_no_longer_than_the_provider_takes() {
    let world = World::with(Fake::new(&["edge-1"]).that(|can| can.purge_batch = 2)).await;
    let path = (0..5).map(|n| format!("https://img.exrqs.com/{n}")).collect::<Vec<_>>().join("|");
    let add = |kind| {
        let (world, path) = (&world, &path);
        async move { world.pilothouse.jobs().add(&world.user, kind, MAIL, path).await.unwrap() }
    };
    let refreshes = add(JobKind::Refresh).await;
    assert_eq!(refreshes.iter().map(|job| job.urls.len()).collect::<Vec<_>>(), [2, 2, 1]);
    let urls: Vec<_> = refreshes.iter().flat_map(|job| job.urls.clone()).collect();
    assert_eq!(urls.join("|"), path);
    assert_eq!(add(JobKind::Preload).await.len(), 1);
}

#[tokio::test]
async fn every_cdn_that_serves_the_domain_gets_a_job() {
    let world = World::new().await;
    world.add_qcloud_domain("cdn.exrqs.com").await;
    let (pilothouse, level3) = world.restarted(Fake::new(&["edge-1"]));
    let providers = ["level3", "qcloud"].map(|cdn| (cdn.to_owned(), level3.clone() as _));
    let pilothouse = pilothouse.with_providers(providers.into_iter().collect());
    let path = "http://img.exrqs.com/1|http://CDN.exrqs.com:80/2|http://img.exrqs.com/1";
    let jobs = pilothouse.jobs().add(&world.user, JobKind::Refresh, MAIL, path).await.unwrap();
    let jobs: Vec<_> = jobs.iter().map(|job| (job.cdn.as_str(), job.urls.join("|"))).collect();
    let level3 = ("level3", "http://img.exrqs.com/1|http://CDN.exrqs.com:80/2".to_owned());
    assert_eq!(jobs, [level3, ("qcloud", "http://CDN.exrqs.com:80/2".to_owned())]);
}

#[tokio::test]
async fn a_cdn_without_a_provider_is_unavailable() {
    let world = World::new().await;
    world.add_qcloud_domain("q.exrqs.com").await;
    let path = format!("{TWO}|http://q.exrqs.com/");
    let refused = refused(&world, JobKind::Refresh, MAIL, &path).await;
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.to_string().contains("qcloud"), "{refused}");
}

#[tokio::test]
async fn a_domain_that_is_not_the_customers_is_forbidden_whether_or_not_it_exists() {
    let world = World::new().await;
    for url in
        ["http://other.com/", "http://nobody.com/", "http://cdn.exrqs.com.evil.com/", "http://cdn.exrqs.com*"]
    {
        let refused = refused(&world, JobKind::Refresh, MAIL, &format!("{TWO}|{url}")).await;
        assert_eq!(refused.kind(), ErrorKind::Forbidden, "{url}");
    }
}

#[tokio::test]
async fn operations_off_is_forbidden_before_anything_is_looked_at() {
    let world = World::new().await;
    world.set_operations(false).await;
    for path in [TWO, "nonsense"] {
        let refused = refused(&world, JobKind::Refresh, MAIL, path).await;
        assert_eq!(refused.kind(), ErrorKind::Forbidden);
    }
    let operator = world.pilothouse.jobs().add(&world.operator, JobKind::Refresh, MAIL, TWO).await;
    assert_eq!(operator.unwrap_err().kind(), ErrorKind::Forbidden, "also for a holder of group 8");
}

#[tokio::test]
async fn another_customer_may_be_named_only_with_group_8() {
    let world = World::new().await;
    for mail in [OTHER, "nobody@example.com"] {
        let refused = refused(&world, JobKind::Refresh, mail, "http://other.com/").await;
        assert_eq!(refused.kind(), ErrorKind::Forbidden, "{mail}");
        let listed = world.pilothouse.jobs().list(&world.user, JobKind::Refresh, mail).await;
        assert_eq!(listed.unwrap_err().kind(), ErrorKind::Forbidden);
    }
    let jobs = world.pilothouse.jobs();
    let queued = jobs.add(&world.operator, JobKind::Refresh, OTHER, "http://other.com/").await.unwrap();
    assert_eq!(queued[0].account_id, world.other.id);
    let foreign = jobs.add(&world.operator, JobKind::Refresh, OTHER, TWO).await.unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::Forbidden, "ownership is the named account's");
    let unknown = jobs.add(&world.operator, JobKind::Refresh, "nobody@example.com", TWO).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn bad_urls_are_invalid() {
    let world = World::new().await;
    for path in ["", "cdn.exrqs.com/x", "http://user@cdn.exrqs.com/", "http://cdn.exrqs.com/1||"] {
        let refused = refused(&world, JobKind::Refresh, MAIL, path).await;
        assert!(matches!(&refused, Error::Invalid { field, .. } if field == "path"), "{path}: {refused}");
    }
    let refused = refused(&world, JobKind::Preload, MAIL, "http://cdn.exrqs.com/i/*").await;
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert_eq!(world.refresh("http://cdn.exrqs.com/i/*").await.urls, ["http://cdn.exrqs.com/i/*"]);
}

#[tokio::test]
async fn a_prefix_needs_a_provider_that_can() {
    let world = World::with(Fake::new(&["edge-1"]).that(|can| can.purge_prefix = false)).await;
    let refused = refused(&world, JobKind::Refresh, MAIL, "http://cdn.exrqs.com/i/*").await;
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn lists_are_of_one_kind_and_newest_first() {
    let world = World::new().await;
    let first = world.refresh(TWO).await;
    let second = world.refresh("http://img.exrqs.com/").await;
    let jobs = world.pilothouse.jobs();
    let preload = jobs.add(&world.user, JobKind::Preload, MAIL, TWO).await.unwrap();
    assert_eq!(jobs.list(&world.user, JobKind::Refresh, MAIL).await.unwrap(), [second, first]);
    assert_eq!(jobs.list(&world.operator, JobKind::Preload, MAIL).await.unwrap(), preload);
    assert!(jobs.list(&world.other, JobKind::Refresh, OTHER).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_task_of_another_does_not_exist() {
    let world = World::new().await;
    let job = world.refresh(TWO).await;
    let jobs = world.pilothouse.jobs();
    let waiting = jobs.find(&world.user, &job.task_id).await.unwrap();
    let edges: Vec<_> = waiting.edges.iter().map(|row| row.edge.as_str()).collect();
    assert_eq!(edges, ["edge-1", "edge-2", "edge-3"]);
    assert!(waiting.edges.iter().all(|row| row.count(CellState::Pending) == 2));
    assert!(world.operator.holds(Group::Cdn) && jobs.find(&world.operator, &job.task_id).await.is_ok());
    for (caller, task_id) in [(&world.other, job.task_id.as_str()), (&world.user, "refresh-0")] {
        assert_eq!(jobs.find(caller, task_id).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
