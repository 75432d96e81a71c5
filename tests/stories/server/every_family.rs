//! Calls of every API family on every store, and on two servers in turn.

use pilothouse_test_support::postgres_or_skip;
use serde_json::{Value, json};

use crate::support::{ApiClient, Installation, PASSWORD, ROOT, with_unreachable_edge};

#[tokio::test]
async fn on_memory() {
    let server = with_unreachable_edge(Installation::memory()).serve().await;
    run(&ApiClient::new(&[&server])).await;
}

#[tokio::test]
async fn on_sqlite() {
    let installation = with_unreachable_edge(Installation::sqlite());
    installation.create_root();
    let server = installation.serve().await;
    run(&ApiClient::new(&[&server])).await;
}

#[tokio::test]
async fn on_postgres() {
    let Some(postgres) = postgres_or_skip("server::every_family::on_postgres") else { return };
    let installation = with_unreachable_edge(Installation::postgres(&postgres.database()));
    installation.create_root();
    let server = installation.serve().await;
    run(&ApiClient::new(&[&server])).await;
}

/// Calls alternate between two servers, so that neither may keep state in its memory alone.
#[tokio::test]
async fn on_two_servers_over_one_postgres() {
    let Some(postgres) = postgres_or_skip("server::every_family::on_two_servers_over_one_postgres") else {
        return;
    };
    let database = postgres.database();
    let (one, two) = (
        with_unreachable_edge(Installation::postgres(&database).with("DATABASE_CONNECTIONS", "2")),
        with_unreachable_edge(Installation::postgres(&database)),
    );
    let (one, two) = tokio::join!(one.serve(), two.serve());
    run(&ApiClient::new(&[&one, &two])).await;
}

async fn run(anonymous: &ApiClient) {
    let root = anonymous.login(ROOT).await;
    accounts(anonymous, &root).await;
    tasks(&root).await;
    machines(&root).await;
    configuration(anonymous, &root).await;
    customers(anonymous, &root).await;
}

async fn accounts(anonymous: &ApiClient, root: &ApiClient) {
    let data = json!({
        "mail": "ann@example.com", "name": "ann", "passwd": PASSWORD, "department": "dev", "permissions": "1,4",
    });
    let add = json!({"action": "add", "data": data});
    assert_eq!(root.post("/admin/user", add.clone()).await.ok()["info"], "add user ok");
    assert_eq!(root.post("/admin/user", add).await.codes(), (200, 409));
    let ann = anonymous.login("ann").await;
    assert_eq!(ann.get("/api/task").await.ok(), json!({"code": 200, "ok": true, "info": []}));
    assert_eq!(ann.add_task("not mine to add").await.unwrap().codes(), (403, 403));
    assert_eq!(
        ann.get("/admin/user").await.ok()["info"].as_array().unwrap().len(),
        1,
        "an account without group 6 sees itself only"
    );

    let demote = json!({"action": "update", "data": {"name": "ann", "permissions": "4"}});
    assert_eq!(root.post("/admin/user", demote).await.ok()["info"], "update user ok");
    assert_eq!(ann.get("/api/task").await.codes(), (403, 403), "a change of permissions revokes tokens");
    let ann = anonymous.login("ann").await;
    assert_eq!(ann.get("/api/machine_info").await.codes(), (200, 200));
    assert_eq!(ann.get("/api/task").await.codes(), (403, 403));
    assert_eq!(ann.post("/admin/user_logout", json!({})).await.codes(), (200, 200));
    assert_eq!(ann.get("/api/machine_info").await.codes(), (403, 403));
    assert_eq!(root.delete("/admin/user?name=ann").await.ok()["info"], "delete user ok");
    assert_eq!(anonymous.try_login("ann", PASSWORD).await.codes(), (403, 403));
    assert_eq!(
        root.delete(&format!("/admin/user?name={ROOT}")).await.codes(),
        (200, 409),
        "the last administrator stays"
    );
}

async fn tasks(root: &ApiClient) {
    let added = root.add_task("更新xxx功能").await.unwrap().ok();
    let task = added["info"]["task_id"].as_str().unwrap();
    let report = |status: i64, percent: i64| {
        let data = json!({"task_id": task, "status": status, "percent": percent, "revert": 0});
        json!({"action": "update", "data": data})
    };
    assert_eq!(root.post("/api/task_status", report(1, 10)).await.ok()["info"], "update task status ok");
    assert_eq!(root.post("/api/task_status", report(1, 9)).await.codes(), (200, 409), "percent never falls");
    assert_eq!(root.post("/api/task_status", report(2, 100)).await.ok()["info"], "update task status ok");
    let repeated = root.post("/api/task_status", report(1, 100)).await;
    assert_eq!(repeated.ok()["info"], "update task status ok", "an agent that knows no 2 says so");
    assert_eq!(root.post("/api/task_status", report(1, 0)).await.codes(), (200, 409), "the task is done");
    let status = root.get(&format!("/api/task_status?task_id={task}")).await.ok();
    assert_eq!((&status["info"][0]["status"], &status["info"][0]["percent"]), (&json!(2), &json!(100)));
    let found = root.get(&format!("/api/task?task_id={task}")).await.ok();
    assert_eq!(found["info"][0]["description"], "更新xxx功能");

    for n in 0..5 {
        root.add_task(&n.to_string()).await.unwrap().ok();
    }
    let all = root.all("/api/task").await;
    let names: Vec<&Value> = all.iter().map(|task| &task["description"]).collect();
    assert_eq!(names, ["更新xxx功能", "0", "1", "2", "3", "4"]);
    let page = root.get(&format!("/api/task?start={}&count=2", all[2]["id"])).await.ok();
    assert_eq!(page["info"].as_array().unwrap(), &all[2..4]);
    assert_eq!(root.delete(&format!("/api/task?task_id={task}")).await.ok()["info"], "delete task ok");
    let gone = root.get(&format!("/api/task_status?task_id={task}")).await.ok();
    assert_eq!(gone["info"], json!([]));
    assert_eq!(root.all("/api/task_status").await.len(), 5);
}

async fn machines(root: &ApiClient) {
    let call = |action: &str, usage: &str| {
        let data = json!({
            "machine_name": "web01", "inside_ip": "10.2.2.2", "outside_ip": "111.111.11.1", "usage": usage,
            "is_initialized": 0, "location": "阿里云",
        });
        json!({"action": action, "data": data})
    };
    assert_eq!(root.post("/api/machine_info", call("update", "web")).await.codes(), (200, 404));
    assert_eq!(root.post("/api/machine_info", call("add", "web")).await.ok()["info"], "add machine info ok");
    assert_eq!(root.post("/api/machine_info", call("add", "web")).await.codes(), (200, 409));
    let updated = root.post("/api/machine_info", call("update", "web 服务器1")).await.ok();
    assert_eq!(updated["info"], "update machine info ok");
    let found = root.get("/api/machine_info?machine_name=web01").await.ok();
    assert_eq!(found["info"][0]["usage"], "web 服务器1");
    let deleted = root.delete("/api/machine_info?machine_name=web01").await.ok();
    assert_eq!(deleted["info"], "delete machin info ok");
    assert_eq!(root.get("/api/machine_info").await.ok(), json!({"code": 200, "ok": true, "info": []}));
}

async fn configuration(anonymous: &ApiClient, root: &ApiClient) {
    let data = json!({
        "mail": "dev@example.com", "name": "dev", "passwd": PASSWORD, "department": "dev", "permissions": "",
    });
    root.post("/admin/user", json!({"action": "add", "data": data})).await.ok();
    let dev = anonymous.login("dev").await;
    let uid = dev.get("/admin/user").await.ok()["info"][0]["id"].clone();
    let app = json!({"app": "shop", "appType": 0, "name": "Shop", "charger": "dyf"});
    root.post("/app/create", app.clone()).await.ok();
    assert_eq!(dev.post("/app/create", app).await.codes(), (200, 5));
    assert_eq!(dev.get("/config/query?app=shop&profile=dev").await.codes(), (200, 4));
    let grant = json!({"app": "shop", "permission": 1, "uid": uid, "username": "dev"});
    root.post("/userauth/create", grant).await.ok();

    let name = json!({"app": "shop", "profile": "dev", "key": "rate"});
    let called = |more: Value| {
        let mut body = name.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let id = dev.post("/config/create", called(json!({"value": "1"}))).await.ok()["data"].clone();
    let shown = async || {
        let item = dev.post("/config/queryWithKey", name.clone()).await.ok();
        ["Version", "Value", "PublishedVersion", "PublishedValue"].map(|member| item["data"][member].clone())
    };
    let publish = json!({"id": id});
    assert_eq!(dev.post("/publish", publish.clone()).await.codes(), (200, 4));
    assert_eq!(root.post("/publish", publish.clone()).await.codes(), (200, 7), "the version is not approved");
    root.post("/config/approve", called(json!({"version": 1}))).await.ok();
    assert_eq!(root.post("/publish", publish.clone()).await.ok()["data"]["Kind"], "full");
    assert_eq!(shown().await, [json!(1), json!("1"), json!(1), json!("1")]);

    dev.post("/config/update", called(json!({"value": "2", "version": 1}))).await.ok();
    let stale = called(json!({"value": "3", "version": 1}));
    assert_eq!(dev.post("/config/update", stale).await.codes(), (200, 7));
    assert_eq!(shown().await, [json!(2), json!("2"), json!(1), json!("1")]);
    dev.post("/config/rollback", called(json!({"version": 1}))).await.ok();
    assert_eq!(
        root.post("/publish", publish.clone()).await.codes(),
        (200, 7),
        "a rolled-back version needs an approval"
    );
    root.post("/config/approve", name.clone()).await.ok();
    root.post("/publish", publish).await.ok();
    assert_eq!(shown().await, [json!(3), json!("1"), json!(3), json!("1")]);
    let history = dev.post("/config/history", name.clone()).await.ok();
    let versions: Vec<_> = history["data"].as_array().unwrap().iter().map(|row| &row["Version"]).collect();
    assert_eq!(versions, [3, 2, 1]);

    assert_eq!(
        dev.post("/config/del", name.clone()).await.codes(),
        (200, 4),
        "a developer may not delete a published item"
    );
    root.post("/config/del", name.clone()).await.ok();
    dev.post("/config/create", called(json!({"value": "4"}))).await.ok();
    assert_eq!(shown().await, [json!(4), json!("4"), json!(0), json!("")]);
    let trail = root.get("/audit/list?start=0&count=1000&actor=dev").await.ok();
    let actions: Vec<_> =
        trail["data"].as_array().unwrap().iter().map(|row| row["Action"].as_str().unwrap()).collect();
    for action in ["config.create", "config.update", "config.rollback"] {
        assert!(actions.contains(&action), "{action} is missing: {actions:?}");
    }
}

async fn customers(anonymous: &ApiClient, root: &ApiClient) {
    let mail = "dev@example.com";
    let access = json!({"login_email": mail, "password": "another password"});
    root.post("/level3/user", access.clone()).await.ok();
    let domains = json!({"login_email": mail, "cdn": "level3", "domains": ["a.test", "b.test"]});
    root.post("/level3/user_domains", domains).await.ok();
    let listed = root.get(&format!("/level3/user_domains?login_email={mail}")).await.ok();
    let state = |domain: &str| json!({"domain": domain, "state": "Active"});
    assert_eq!(listed["results"][0]["domains"], json!([state("a.test"), state("b.test")]));

    let token = anonymous.post("/level3/login", access).await.ok()["token"].as_str().unwrap().to_owned();
    let customer = anonymous.with_token(&token);
    assert_eq!(
        customer.get("/api/machine_info").await.codes(),
        (403, 403),
        "a cdn token is for the cdn family only"
    );
    let refresh = |path: &str| json!({"login_email": mail, "path": path});
    let foreign = refresh("http://a.test/1|http://c.test/1");
    assert_eq!(customer.post("/level3/refresh", foreign).await.codes(), (200, 4));
    let queued = customer.post("/level3/refresh", refresh("http://a.test/1|http://b.test/2")).await.ok();
    let job = queued["results"][0]["taskid"].as_str().unwrap();
    let listed = customer.get(&format!("/level3/refresh_list?login_email={mail}")).await.ok();
    let listed = listed["results"].as_array().unwrap();
    assert_eq!(listed.len(), 1, "the refused refresh queued nothing");
    assert_eq!((&listed[0]["taskid"], &listed[0]["percentComplete"]), (&json!(job), &json!("0")));
    let state = customer.get(&format!("/level3/task?taskid={job}")).await.ok();
    assert_eq!(state["state"], "pending");

    let stop = json!({"login_email": mail, "operations": false});
    root.post("/level3/user/update", stop).await.ok();
    assert_eq!(
        customer.get("/level3/refresh_list").await.codes(),
        (200, 3),
        "a change of permissions revokes tokens"
    );
    root.delete(&format!("/level3/user?login_email={mail}")).await.ok();
    let wanted = json!({"login_email": "root@example.com", "password": PASSWORD});
    root.post("/level3/user", wanted).await.ok();
    let domains = json!({"login_email": "root@example.com", "cdn": "level3", "domains": "a.test"});
    root.post("/level3/user_domains", domains).await.ok();
}
