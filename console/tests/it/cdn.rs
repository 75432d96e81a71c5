//! Pages of the CDN.

use axum::http::StatusCode;

use crate::fixture::Fixture;

#[tokio::test]
async fn urls_are_queued_and_their_edges_shown() {
    let fixture = Fixture::seeded().await;
    let session = fixture.cdn_session().await;
    let urls = "http://cdn.example.com/a.css\r\n\r\n  http://cdn.example.com/b|c.css \r\n";
    let queued = fixture.post(&session, "/console/cdn/jobs", &[("kind", "refresh"), ("urls", urls)]).await;
    assert!(queued.location().starts_with("/console/cdn/jobs/refresh-"), "{}", queued.body);
    let job = fixture.get(&session, queued.location()).await.ok();
    assert!(job.contains("http://cdn.example.com/b%7Cc.css") && job.contains("edge-1"), "{job}");
    assert!(job.contains("hx-sse:connect=") && job.contains("Confirmed by 0 / 1"), "{job}");
    assert!(!job.contains("/retry"), "only an operator tries again");
}

#[tokio::test]
async fn what_cannot_be_queued_stays_typed() {
    let fixture = Fixture::seeded().await;
    let session = fixture.cdn_session().await;
    for (kind, urls, why) in [
        ("refresh", "ftp://cdn.example.com/", "must begin with http"),
        ("refresh", "http://foreign.example.com/x", "is not of one of the customer"),
        ("preload", "http://cdn.example.com/*", "must not end in *"),
        ("other", "http://cdn.example.com/", "must be refresh or preload"),
    ] {
        let refused = fixture.post(&session, "/console/cdn/jobs", &[("kind", kind), ("urls", urls)]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{urls}");
        assert!(refused.body.contains(why) && refused.body.contains(urls), "{urls}: {}", refused.body);
    }
    let mine = fixture.get(&session, "/console/cdn/jobs").await.ok();
    assert_eq!(mine.matches("/console/cdn/jobs/refresh-").count(), 1, "the one of the fixture");
}

#[tokio::test]
async fn a_customer_without_operations_has_no_form() {
    let fixture = Fixture::seeded().await;
    let root = fixture.session("root").await;
    let updated = fixture.post(&root, "/console/cdn/customers/update", &[("mail", "cust@example.com")]).await;
    assert_eq!(updated.location(), "/console/cdn/customers?notice=saved");
    let session = fixture.cdn_session().await;
    let page = fixture.get(&session, "/console/cdn/jobs").await.ok();
    assert!(!page.contains("name=\"urls\"") && page.contains("may not refresh or preload"), "{page}");
    let urls = [("kind", "refresh"), ("urls", "http://cdn.example.com/")];
    assert_eq!(
        fixture.post(&session, "/console/cdn/jobs", &urls).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test]
async fn traffic_has_a_chart_a_table_and_the_same_as_csv() {
    let fixture = Fixture::seeded().await;
    let session = fixture.cdn_session().await;
    let range = "range=own&start=1473750000&end=1473752400";
    let page = fixture.get(&session, &format!("/console/cdn/traffic?{range}")).await.ok();
    assert!(page.contains("data-series=") && page.contains("data-rule=\"month95\""), "{page}");
    let csv = fixture.get(&session, &format!("/console/cdn/traffic.csv?{range}")).await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    let csv = csv.ok();
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!((lines[0].split(',').count(), lines.len()), (10, 10), "{csv}");
    assert_eq!(lines[1], "1473750000,0,0,0,0,0,0,0,0,0");
    let wrong = fixture.get(&session, "/console/cdn/traffic?range=own&start=9&end=8").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let foreign = fixture.get(&session, "/console/cdn/traffic?domain=foreign.example.com").await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
}
