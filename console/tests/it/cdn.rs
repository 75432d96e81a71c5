//! Pages of the CDN.

use axum::http::StatusCode;
use pilothouse_core::Page;
use pilothouse_core::cdn::{EdgeProgress, Job, JobCell, JobFilter, JobState};
use pilothouse_core::ports::Storage as _;

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

#[tokio::test]
async fn thresholds_are_set_in_percent_and_deleted() {
    let fixture = Fixture::seeded().await;
    let session = fixture.cdn_session().await;
    let page = fixture.get(&session, "/console/cdn/thresholds").await.ok();
    assert!(page.contains("5.55 %") && page.contains("<td>10</td>"), "{page}");
    let set = |errors: &'static str, bandwidth: &'static str| {
        [
            ("domain", "cdn.example.com"),
            ("bandwidth", bandwidth),
            ("errors", errors),
            ("hits", ""),
            ("min_requests", ""),
        ]
    };
    for (errors, bandwidth, why) in [
        ("101", "", "errors: must be from 0 to 100 percent"),
        ("x", "", "errors: must be from 0 to 100 percent"),
        ("", "1.5", "bandwidth: must be a whole number"),
        ("", "", "must be given"),
    ] {
        let refused = fixture.post(&session, "/console/cdn/thresholds", &set(errors, bandwidth)).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{errors} {bandwidth}");
        assert!(refused.body.contains(why) && refused.body.contains("name=\"errors\""), "{}", refused.body);
    }
    let saved = fixture.post(&session, "/console/cdn/thresholds", &set("0.5", "2000000")).await;
    assert!(saved.location().ends_with("notice=saved"), "{}", saved.body);
    let page = fixture.get(&session, "/console/cdn/thresholds?edit=cdn.example.com").await.ok();
    assert!(
        page.contains("name=\"bandwidth\" value=\"2000000\"") && page.contains("value=\"0.5\""),
        "{page}"
    );
    let deleted =
        fixture.post(&session, "/console/cdn/thresholds/delete", &[("domain", "cdn.example.com")]).await;
    assert!(deleted.location().ends_with("notice=deleted"), "{}", deleted.body);
    assert!(!fixture.get(&session, "/console/cdn/thresholds").await.ok().contains(" %<"));
}

#[tokio::test]
async fn customers_see_their_own_alarms_and_operators_all() {
    let fixture = Fixture::seeded().await;
    let own = fixture.get(&fixture.cdn_session().await, "/console/cdn/alarms").await.ok();
    assert!(own.contains("5xx share") && own.contains("90 %") && !own.contains("level3 / edge-1"), "{own}");
    let root = fixture.session("root").await;
    let all = fixture.get(&root, "/console/cdn/alarms").await.ok();
    assert!(all.contains("level3 / edge-1") && all.contains("cust@example.com"), "{all}");
    let open = fixture.get(&root, "/console/cdn/alarms?state=open").await.ok();
    assert!(!open.contains("level3 / edge-1") && open.contains("cdn.example.com"), "{open}");
    let silent = fixture.get(&root, "/console/cdn/alarms?kind=silent_edge").await.ok();
    assert!(silent.contains("level3 / edge-1") && !silent.contains("90 %"), "{silent}");
    let wrong = fixture.get(&root, "/console/cdn/alarms?kind=x").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn top_urls_unregistered_hosts_and_bills_are_those_of_the_store() {
    let fixture = Fixture::seeded().await;
    let (root, customer) = (fixture.session("root").await, fixture.cdn_session().await);
    let top = fixture.get(&customer, "/console/cdn/top").await.ok();
    assert!(top.contains("value=\"41\"") && top.contains("max=\"41\""), "{top}");
    let long = fixture.get(&customer, "/console/cdn/top?range=own&start=2016-01-01&end=2016-09-01").await;
    assert_eq!(long.status, StatusCode::UNPROCESSABLE_ENTITY, "the most is 31 days");
    assert!(long.body.contains("31 days") && long.body.contains("value=\"2016-01-01\""), "{}", long.body);
    let hosts = fixture.get(&root, "/console/cdn/hosts").await.ok();
    assert!(hosts.contains("<td class=\"number\">17</td>"), "{hosts}");
    assert!(
        hosts.contains("<code>listed.example.com</code> <span class=\"soft\">listed in the settings"),
        "{hosts}"
    );
    assert!(hosts.contains("<code>other.example.com</code></td>"), "{hosts}");
    let bills = fixture.get(&root, "/console/cdn/bills?month=2016-09&rule=top5").await.ok();
    assert!(bills.contains("cust@example.com") && bills.contains("rule=top5"), "{bills}");
    let csv = fixture.get(&root, "/console/cdn/bills.csv?month=2016-09&rule=top5").await;
    assert_eq!(csv.headers["content-disposition"], "attachment; filename=\"bills-2016-09-top5.csv\"");
    let api = fixture.token("root").await;
    let bearer = format!("Bearer {api}");
    let call = "/level3/bills?month=201609&rule=top5&format=csv";
    let answered = fixture.send("GET", call, &[("authorization", &*bearer)], "").await;
    assert_eq!(csv.ok(), answered.ok(), "the file is that of the API");
    let areas = fixture.get(&customer, "/console/cdn/areas").await.ok();
    assert!(areas.contains("geo_city_database"), "why there are none: {areas}");
}

#[tokio::test]
async fn an_operator_finds_jobs_over_customers() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let count = async |query: &str| {
        let page = fixture.get(&session, &format!("/console/cdn/jobs?{query}")).await.ok();
        page.matches("href=\"/console/cdn/jobs/refresh-").count()
    };
    assert_eq!(count("").await, 1);
    assert_eq!(count("state=running&domain=cdn.example.com&text=canary").await, 1);
    assert_eq!(count("state=done").await, 0);
    assert_eq!(count("text=nothing").await, 0);
    let wrong = fixture.get(&session, "/console/cdn/jobs?state=x").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_request_over_several_cdns_is_one_row_and_one_percentage() {
    let fixture = Fixture::seeded().await;
    let mut work = fixture.memory.begin().await.unwrap();
    let listed = work.jobs().requests(&JobFilter::default(), Page::at(0, 1)).await.unwrap();
    let first = work.jobs().find(&listed[0].task_id).await.unwrap().unwrap();
    let part = Job {
        task_id: "refresh-part".to_owned(),
        cdn: "qcloud".to_owned(),
        state: JobState::Failed,
        percent: 50,
        reason: "edge-9: 403".to_owned(),
        ..first.clone()
    };
    let id = work.jobs().insert(&part).await.unwrap();
    let cells = vec![JobCell::failed("403", first.created)];
    work.jobs().record(id, &EdgeProgress { edge: "edge-9".to_owned(), cells }).await.unwrap();
    work.commit().await.unwrap();

    let (root, customer) = (fixture.session("root").await, fixture.cdn_session().await);
    for session in [&root, &customer] {
        let page = fixture.get(session, "/console/cdn/jobs").await.ok();
        assert_eq!(page.matches("href=\"/console/cdn/jobs/refresh-").count(), 1, "{page}");
        for shown in ["level3, qcloud", "<td class=\"number\">25</td>", "qcloud: edge-9: 403"] {
            assert!(page.contains(shown), "{shown}: {page}");
        }
        let page = fixture.get(session, &format!("/console/cdn/jobs/{}", first.task_id)).await.ok();
        assert!(page.contains("25 %") && page.contains("/console/cdn/jobs/refresh-part\">qcloud"), "{page}");
        assert_eq!(page.contains("/retry\""), session == &root, "only an operator tries again");
    }
    let retried = fixture.post(&root, &format!("/console/cdn/jobs/{}/retry", first.task_id), &[]).await;
    assert_eq!(retried.status, StatusCode::SEE_OTHER);
    let mut snapshot = fixture.memory.read().await.unwrap();
    let part = snapshot.jobs().find("refresh-part").await.unwrap().unwrap();
    assert_eq!(part.state, JobState::Pending, "the whole request is tried again");
}
