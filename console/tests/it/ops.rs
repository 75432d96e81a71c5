//! Pages of operations, accounts and the audit trail.

use axum::http::StatusCode;

use crate::fixture::Fixture;

#[tokio::test]
async fn a_task_is_added_and_followed() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let fields =
        [("ip", "10.0.0.1"), ("action", "update"), ("content", "/etc/motd"), ("description", "greet")];
    let added = fixture.post(&session, "/console/tasks", &fields).await;
    let task = added.location().to_owned();
    assert!(task.starts_with("/console/tasks/"), "{}", added.body);
    let page = fixture.get(&session, &task).await.ok();
    assert!(page.contains("/etc/motd") && page.contains("pending"), "{page}");
    assert!(!page.contains("name=\"demand\""), "a task without a content has no order");
    let found = fixture.get(&session, "/console/tasks?ip=10.0.0.1&text=motd&status=0").await.ok();
    assert!(found.contains("greet"), "{found}");
    let wrong = [("ip", "x"), ("action", "update"), ("content", "/etc/motd"), ("description", "greet")];
    let refused = fixture.post(&session, "/console/tasks", &wrong).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.body.contains("ip: must be an address") && refused.body.contains("greet"));
}

#[tokio::test]
async fn a_machine_is_changed_and_deleted() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let fields = |usage: &'static str| {
        [
            ("name", "web01"),
            ("inside_ip", "10.0.0.2"),
            ("outside_ip", ""),
            ("usage", usage),
            ("location", "x"),
        ]
    };
    assert_eq!(
        fixture.post(&session, "/console/machines", &fields("web")).await.status,
        StatusCode::SEE_OTHER
    );
    assert_eq!(
        fixture.post(&session, "/console/machines", &fields("web")).await.status,
        StatusCode::CONFLICT
    );
    fixture.post(&session, "/console/machines/update", &fields("proxy")).await;
    assert!(fixture.get(&session, "/console/machines?text=proxy").await.ok().contains("web01"));
    fixture.post(&session, "/console/machines/delete", &[("name", "web01")]).await;
    assert!(!fixture.get(&session, "/console/machines").await.ok().contains("web01"));
}

#[tokio::test]
async fn accounts_are_changed_by_who_may_and_the_trail_tells() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let fields = [("name", "dev"), ("department", "web"), ("permissions", "1,4"), ("password", "")];
    let saved = fixture.post(&session, "/console/admin/accounts/update", &fields).await;
    assert_eq!(saved.location(), "/console/admin/accounts?notice=saved");
    let clerk = fixture.session("clerk").await;
    let page = fixture.get(&clerk, "/console/admin/accounts?edit=root").await.ok();
    assert!(!page.contains("/accounts/update"), "nobody is offered an account above their own");
    let trail = fixture.get(&session, "/console/admin/audit?actor=root&object=dev").await.ok();
    assert!(trail.contains("account.update"), "{trail}");
    let wrong = fixture.get(&session, "/console/admin/audit?since=x").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
}
