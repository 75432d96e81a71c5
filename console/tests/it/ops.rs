//! Pages of operations, accounts and the audit trail.

use axum::http::StatusCode;
use pilothouse_conformance::doubles::sha256;
use serde_json::json;

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
            ("name", "web02"),
            ("inside_ip", "10.0.0.3"),
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
    assert!(fixture.get(&session, "/console/machines?text=proxy").await.ok().contains("web02"));
    fixture.post(&session, "/console/machines/delete", &[("name", "web02")]).await;
    assert!(!fixture.get(&session, "/console/machines").await.ok().contains("web02"));
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

#[tokio::test]
async fn a_file_is_kept_under_its_hash() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let digest = sha256(b"a file\n").to_string();
    let kept = fixture.upload(&session, "/console/files", "a file\n", &[("sha256", &digest)]).await.ok();
    assert!(kept.contains(&format!("<code class=\"secret\">{digest}</code>")), "{kept}");
    assert!(kept.contains(&format!("/console/batches/new?sha256={digest}")), "{kept}");
    let form = fixture.get(&session, &format!("/console/batches/new?sha256={digest}")).await.ok();
    assert!(form.contains(&format!("name=\"sha256\" value=\"{digest}\"")), "{form}");
    let wrong = fixture.upload(&session, "/console/files", "another\n", &[("sha256", &digest)]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.body.contains(&sha256(b"another\n").to_string()), "{}", wrong.body);
    assert_eq!(
        fixture.upload(&session, "/console/files", "", &[]).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(
        fixture.upload(&session, "/console/files", "x", &[("surprise", "")]).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(fixture.post(&session, "/console/files", &[]).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_batch_is_added_executed_paused_and_reverted() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let root = fixture.caller("root").await;
    let digest = fixture.blob(&root, b"new\n").await.to_string();
    let wrong = [
        ("targets", "names"),
        ("which", "web01\nweb01"),
        ("action", "update"),
        ("content", "/etc/motd"),
        ("description", "d"),
        ("sha256", &*digest),
    ];
    let refused = fixture.post(&session, "/console/batches", &wrong).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.body.contains("must not name one twice") && refused.body.contains(&digest),
        "{}",
        refused.body
    );
    let mut right = wrong;
    right[1].1 = " web01 \r\n\r\n";
    let added = fixture.post(&session, "/console/batches", &right).await;
    let batch = added.location().split('?').next().unwrap().to_owned();
    assert!(batch.starts_with("/console/batches/"), "{}", added.body);
    assert!(fixture.get(&session, "/console/batches?state=pending").await.ok().contains(&batch));
    assert!(!fixture.get(&session, "/console/batches?state=running").await.ok().contains(&batch));
    let order = format!("{batch}/order");
    let page = fixture.get(&session, &batch).await.ok();
    assert!(
        page.contains("name=\"canary\"")
            && page.contains("value=\"plan\"")
            && !page.contains("value=\"pause\"")
    );
    assert!(page.contains("hx-swap=\"innerMorph\""), "what is typed or focused stays");
    let limits = [
        ("demand", "execute"),
        ("canary", "1001"),
        ("batch_size", "1"),
        ("max_failures", "1"),
        ("on_stop", "hold"),
    ];
    assert_eq!(fixture.post(&session, &order, &limits).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let mut limits = limits;
    limits[1].1 = "1";
    assert!(fixture.post(&session, &order, &limits).await.location().contains("notice=queued"));
    let page = fixture.get(&session, &batch).await.ok();
    assert!(
        page.contains("<strong>Running</strong> · Canaries 0 / 1") && !page.contains("name=\"canary\""),
        "{page}"
    );
    for (demand, state) in [("pause", "paused"), ("resume", "Running"), ("cancel", "cancelled")] {
        assert!(page_has(&fixture, &session, &batch, &format!("value=\"{demand}\"")).await, "{demand}");
        let done = fixture.post(&session, &order, &[("demand", demand)]).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{demand}: {}", done.body);
        assert!(page_has(&fixture, &session, &batch, &format!("<strong>{state}</strong>")).await, "{demand}");
    }
    assert_eq!(fixture.post(&session, &order, &[("demand", "pause")]).await.status, StatusCode::CONFLICT);
    // Who may only read sees how far it is, and nothing to press.
    let clerk = fixture.session("clerk").await;
    let page = fixture.get(&clerk, &batch).await.ok();
    assert!(page.contains("web01") && !page.contains("name=\"demand\""), "{page}");
}

async fn page_has(fixture: &Fixture, session: &str, path: &str, text: &str) -> bool {
    fixture.get(session, path).await.ok().contains(text)
}

#[tokio::test]
async fn a_plan_is_shown_as_what_it_would_do() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let (agent, _) = fixture.enrolled(&session).await;
    let tasks = fixture.planned(&session, &agent).await;
    let task = fixture.get(&session, &tasks).await.ok();
    assert!(task.contains("replace it") && task.contains("0640") && task.contains("0644"), "{task}");
    assert!(task.contains("<td class=\"number\">7</td>"), "the size of what is there: {task}");
}

#[tokio::test]
async fn an_agent_is_enrolled_by_a_code_that_is_shown_once() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let machine = "/console/machines/machine?name=web01";
    assert!(fixture.get(&session, machine).await.ok().contains("no agent"));
    let (agent, code) = fixture.enrolled(&session).await;
    let page = fixture.get(&session, machine).await.ok();
    assert!(
        !page.contains(&code) && page.contains("web01.example.com") && page.contains("offline"),
        "{page}"
    );
    let poll = json!({"instance": "i", "boot": "b", "seq": 1, "wait": 0});
    let headers = [("authorization", &*format!("Bearer {agent}")), ("content-type", "application/json")];
    let polled = fixture.send("POST", "/api/agent/poll", &headers, &poll.to_string()).await;
    assert!(polled.status.is_success(), "{}", polled.body);
    assert!(fixture.get(&session, machine).await.ok().contains("<span class=\"chip good\">online</span>"));
    let ended = fixture.post(&session, "/console/machines/revoke", &[("name", "web01")]).await;
    assert_eq!(ended.location(), "/console/machines/machine?name=web01&notice=ended");
    assert!(fixture.get(&session, machine).await.ok().contains("no agent"));
    // The history names the tasks of the machine's address.
    let page = fixture.get(&session, "/console/machines/machine?name=web01").await.ok();
    assert!(page.contains("/console/tasks/"), "{page}");
}

#[tokio::test]
async fn the_system_page_tells_version_jobs_and_what_is_not_set_up() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let page = fixture.get(&session, "/console/admin/system").await.ok();
    assert!(page.contains("1.2.3") && page.contains("memory") && page.contains("ready"), "{page}");
    for part in ["geo_city_database", "log_dir", "webhook"] {
        assert!(page.contains(&format!("<code>{part}</code>")), "{part}: {page}");
    }
    for part in ["cdn", "blob_dir", "four_eyes_profiles"] {
        assert!(!page.contains(&format!("<code>{part}</code>")), "{part}: {page}");
    }
}

#[tokio::test]
async fn an_account_page_ends_sessions_and_disables() {
    let fixture = Fixture::seeded().await;
    let (session, dev) = (fixture.session("root").await, fixture.session("dev").await);
    let path = "/console/admin/accounts/account?name=dev";
    let page = fixture.get(&session, path).await.ok();
    let ids: Vec<_> =
        page.split("name=\"id\" value=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    for id in ids {
        let ended =
            fixture.post(&session, "/console/admin/accounts/end-token", &[("name", "dev"), ("id", id)]).await;
        assert_eq!(ended.status, StatusCode::SEE_OTHER, "{}", ended.body);
    }
    assert_eq!(fixture.get(&dev, "/console").await.status, StatusCode::SEE_OTHER, "its session has ended");
    fixture.post(&session, "/console/admin/accounts/disable", &[("name", "dev"), ("disabled", "true")]).await;
    assert!(fixture.get(&session, path).await.ok().contains(">Enable<"));
    // Whom an account is above sees neither its tokens nor a way to stop it.
    let clerk = fixture.session("clerk").await;
    let page = fixture.get(&clerk, "/console/admin/accounts/account?name=root").await.ok();
    assert!(!page.contains("end-token") && !page.contains("accounts/disable"), "{page}");
}
