//! Refresh and preload jobs: queueing, permissions and listing.

use pilothouse_conformance::doubles::ScriptedProvider;
use pilothouse_core::account::{AuditFilter, Group};
use pilothouse_core::cdn::{CellState, JobKind, JobState, JobUrls};
use pilothouse_core::ports::Prefix;
use pilothouse_core::{Error, ErrorKind, Page};

use crate::cdn::{CdnFixture, OTHER_MAIL, USER_MAIL};

/// Two URLs on a domain of the user.
const TWO: &str = "http://cdn.exrqs.com/test.html|http://cdn.exrqs.com/test1.html";

fn refresh(path: &str) -> JobUrls {
    JobUrls::parse(JobKind::Refresh, path).unwrap()
}

fn preload(path: &str) -> JobUrls {
    JobUrls::parse(JobKind::Preload, path).unwrap()
}

/// The error that a request of the user is refused with; asserts that it queued and audited nothing.
async fn refused(fixture: &CdnFixture, mail: &str, path: &str) -> Error {
    let refused = fixture.pilothouse.jobs().add(&fixture.user, mail, &refresh(path)).await.unwrap_err();
    let mut snapshot = fixture.storage.read().await.unwrap();
    for caller in [&fixture.user, &fixture.other] {
        for kind in [JobKind::Refresh, JobKind::Preload] {
            assert!(snapshot.jobs().list(caller.id, kind, 10).await.unwrap().is_empty(), "nothing is queued");
        }
    }
    let trail = snapshot.audit().list(&AuditFilter::default(), Page::default()).await.unwrap();
    assert!(trail.iter().all(|row| row.action == "refused"), "{trail:?}");
    refused
}

#[tokio::test]
async fn a_refresh_is_queued_as_one_job_with_its_urls_as_given() {
    let fixture = CdnFixture::new().await;
    let job = fixture.refresh(TWO).await;
    assert_eq!(job.urls.join("|"), TWO);
    assert_eq!((job.state, job.percent, job.cdn.as_str()), (JobState::Pending, 0, "level3"));
    assert_eq!(fixture.job(&job).await, job);
    let mut snapshot = fixture.storage.read().await.unwrap();
    let trail = snapshot.audit().list(&AuditFilter::default(), Page::default()).await.unwrap();
    assert_eq!((trail[0].action.as_str(), &trail[0].object), ("cdn.refresh", &job.task_id));
}

#[tokio::test]
async fn jobs_are_no_longer_than_the_batch_size_of_the_provider() {
    let fixture =
        CdnFixture::with(ScriptedProvider::new(&["edge-1"]).with_capabilities(|can| can.purge_batch = 2))
            .await;
    let path = (0..5).map(|n| format!("https://img.exrqs.com/{n}")).collect::<Vec<_>>().join("|");
    let add = async |urls| fixture.pilothouse.jobs().add(&fixture.user, USER_MAIL, &urls).await.unwrap();
    let refreshes = add(refresh(&path)).await;
    assert_eq!(refreshes.iter().map(|job| job.urls.len()).collect::<Vec<_>>(), [2, 2, 1]);
    let urls: Vec<_> = refreshes.iter().flat_map(|job| job.urls.clone()).collect();
    assert_eq!(urls.join("|"), path);
    assert_eq!(add(preload(&path)).await.len(), 1);
}

#[tokio::test]
async fn every_cdn_that_serves_the_domain_gets_a_job() {
    let fixture = CdnFixture::new().await;
    fixture.add_qcloud_domain("cdn.exrqs.com").await;
    let (pilothouse, level3) = fixture.with_provider(ScriptedProvider::new(&["edge-1"]));
    let providers = ["level3", "qcloud"].map(|cdn| (cdn.to_owned(), level3.clone() as _));
    let pilothouse = pilothouse.with_providers(providers.into_iter().collect());
    let path = "http://img.exrqs.com/1|http://CDN.exrqs.com:80/2|http://img.exrqs.com/1";
    let jobs = pilothouse.jobs().add(&fixture.user, USER_MAIL, &refresh(path)).await.unwrap();
    let jobs: Vec<_> = jobs.iter().map(|job| (job.cdn.as_str(), job.urls.join("|"))).collect();
    let level3 = ("level3", "http://img.exrqs.com/1|http://CDN.exrqs.com:80/2".to_owned());
    assert_eq!(jobs, [level3, ("qcloud", "http://CDN.exrqs.com:80/2".to_owned())]);
}

#[tokio::test]
async fn a_cdn_without_a_provider_is_unavailable() {
    let fixture = CdnFixture::new().await;
    fixture.add_qcloud_domain("q.exrqs.com").await;
    let path = format!("{TWO}|http://q.exrqs.com/");
    let refused = refused(&fixture, USER_MAIL, &path).await;
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.to_string().contains("qcloud"), "{refused}");
}

#[tokio::test]
async fn a_foreign_domain_is_forbidden_whether_or_not_it_exists() {
    let fixture = CdnFixture::new().await;
    for url in
        ["http://other.com/", "http://nobody.com/", "http://cdn.exrqs.com.evil.com/", "http://cdn.exrqs.com*"]
    {
        let refused = refused(&fixture, USER_MAIL, &format!("{TWO}|{url}")).await;
        assert_eq!(refused.kind(), ErrorKind::Forbidden, "{url}");
    }
}

#[tokio::test]
async fn an_account_without_operations_is_forbidden() {
    let fixture = CdnFixture::new().await;
    fixture.set_operations(false).await;
    assert_eq!(refused(&fixture, USER_MAIL, TWO).await.kind(), ErrorKind::Forbidden);
    let operator = fixture.pilothouse.jobs().add(&fixture.operator, USER_MAIL, &refresh(TWO)).await;
    assert_eq!(operator.unwrap_err().kind(), ErrorKind::Forbidden, "also for a holder of group 8");
}

#[tokio::test]
async fn another_customer_may_be_named_only_with_group_8() {
    let fixture = CdnFixture::new().await;
    for mail in [OTHER_MAIL, "nobody@example.com"] {
        let refused = refused(&fixture, mail, "http://other.com/").await;
        assert_eq!(refused.kind(), ErrorKind::Forbidden, "{mail}");
        let listed = fixture.pilothouse.jobs().list(&fixture.user, JobKind::Refresh, mail).await;
        assert_eq!(listed.unwrap_err().kind(), ErrorKind::Forbidden);
    }
    let jobs = fixture.pilothouse.jobs();
    let others = refresh("http://other.com/");
    let queued = jobs.add(&fixture.operator, OTHER_MAIL, &others).await.unwrap();
    assert_eq!(queued[0].account_id, fixture.other.id);
    let foreign = jobs.add(&fixture.operator, OTHER_MAIL, &refresh(TWO)).await.unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::Forbidden, "the domain must belong to the named account");
    let unknown = jobs.add(&fixture.operator, "nobody@example.com", &refresh(TWO)).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_prefix_is_refused_for_a_provider_without_prefix_purge() {
    let fixture = CdnFixture::with(
        ScriptedProvider::new(&["edge-1"]).with_capabilities(|can| can.purge_prefix = Prefix::Never),
    )
    .await;
    let refused = refused(&fixture, USER_MAIL, "http://cdn.exrqs.com/i/*").await;
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn jobs_are_listed_by_kind_newest_first() {
    let fixture = CdnFixture::new().await;
    let first = fixture.refresh(TWO).await;
    let second = fixture.refresh("http://img.exrqs.com/").await;
    let jobs = fixture.pilothouse.jobs();
    let preload = jobs.add(&fixture.user, USER_MAIL, &preload(TWO)).await.unwrap();
    assert_eq!(jobs.list(&fixture.user, JobKind::Refresh, USER_MAIL).await.unwrap(), [second, first]);
    assert_eq!(jobs.list(&fixture.operator, JobKind::Preload, USER_MAIL).await.unwrap(), preload);
    assert!(jobs.list(&fixture.other, JobKind::Refresh, OTHER_MAIL).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_job_of_another_account_is_not_found() {
    let fixture = CdnFixture::new().await;
    let job = fixture.refresh(TWO).await;
    let jobs = fixture.pilothouse.jobs();
    let waiting = jobs.find(&fixture.user, &job.task_id).await.unwrap();
    let edges: Vec<_> = waiting.edges.iter().map(|row| row.edge.as_str()).collect();
    assert_eq!(edges, ["edge-1", "edge-2", "edge-3"]);
    assert!(waiting.edges.iter().all(|row| row.count(CellState::Pending) == 2));
    assert!(fixture.operator.holds(Group::Cdn) && jobs.find(&fixture.operator, &job.task_id).await.is_ok());
    for (caller, task_id) in [(&fixture.other, job.task_id.as_str()), (&fixture.user, "refresh-0")] {
        assert_eq!(jobs.find(caller, task_id).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
