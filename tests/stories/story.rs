//! One story over HTTP, the same on every store.

use pilothouse_test_support::postgres_or_skip;
use serde_json::{Value, json};

use crate::client::Client;
use crate::place::{PASSWORD, Place, ROOT};

#[tokio::test]
async fn on_memory() {
    let server = with_cdn(Place::memory()).serve().await;
    told(&Client::new(&[&server])).await;
}

#[tokio::test]
async fn on_sqlite() {
    let place = with_cdn(Place::sqlite());
    place.create_root();
    let server = place.serve().await;
    told(&Client::new(&[&server])).await;
}

#[tokio::test]
async fn on_postgres() {
    let Some(postgres) = postgres_or_skip("story::on_postgres") else { return };
    let place = with_cdn(Place::postgres(&postgres.database()));
    place.create_root();
    let server = place.serve().await;
    told(&Client::new(&[&server])).await;
}

/// Every call goes to the other server: neither may know anything that only it knows.
#[tokio::test]
async fn on_two_servers_over_one_postgres() {
    let Some(postgres) = postgres_or_skip("story::on_two_servers_over_one_postgres") else { return };
    let database = postgres.database();
    let (one, two) = (with_cdn(Place::postgres(&database)), with_cdn(Place::postgres(&database)));
    let (one, two) = tokio::join!(one.serve(), two.serve());
    told(&Client::new(&[&one, &two])).await;
}

async fn told(anybody: &Client) {
    let root = anybody.login(ROOT).await;
    accounts(anybody, &root).await;
    tasks(&root).await;
    machines(&root).await;
    configuration(anybody, &root).await;
    customers(anybody, &root).await;
}

/// With a cdn of one edge that nobody reaches.
pub(crate) fn with_cdn(place: Place) -> Place {
    let edge = "name = \"edge-1\"\nkind = \"varnish\"\nurl = \"http://127.0.0.1:9\"";
    let settings = format!("[[cdn]]\nname = \"level3\"\nkind = \"edges\"\n[[cdn.edge]]\n{edge}\n");
    let file = place.file("settings.toml");
    std::fs::write(&file, settings).unwrap();
    place.with("CONFIG", &file.display().to_string())
}

async fn accounts(anybody: &Client, root: &Client) {
    let data = json!({
        "mail": "ann@example.com", "name": "ann", "passwd": PASSWORD, "department": "dev", "permissions": "1,4",
    });
    let add = json!({"action": "add", "data": data});
    assert_eq!(root.post("/admin/user", add.clone()).await.ok()["info"], "add user ok");
    assert_eq!(root.post("/admin/user", add).await.codes(), (200, 409));
    let ann = anybody.login("ann").await;
    assert_eq!(ann.get("/api/task").await.ok(), json!({"code": 200, "info": []}));
    assert_eq!(ann.add_task("not mine to add").await.unwrap().codes(), (403, 403));
    assert_eq!(ann.get("/admin/user").await.ok()["info"].as_array().unwrap().len(), 1, "only itself");

    let demote = json!({"action": "update", "data": {"name": "ann", "permissions": "4"}});
    assert_eq!(root.post("/admin/user", demote).await.ok()["info"], "update user ok");
    assert_eq!(ann.get("/api/task").await.codes(), (403, 403), "its tokens ended with its right");
    let ann = anybody.login("ann").await;
    assert_eq!(ann.get("/api/machine_info").await.codes(), (200, 200));
    assert_eq!(ann.get("/api/task").await.codes(), (403, 403));
    assert_eq!(ann.post("/admin/user_logout", json!({})).await.codes(), (200, 200));
    assert_eq!(ann.get("/api/machine_info").await.codes(), (403, 403));
    assert_eq!(root.delete("/admin/user?name=ann").await.ok()["info"], "delete user ok");
    assert_eq!(anybody.try_login("ann", PASSWORD).await.codes(), (403, 403));
    assert_eq!(root.delete(&format!("/admin/user?name={ROOT}")).await.codes(), (200, 409), "the last one");
}

async fn tasks(root: &Client) {
    let added = root.add_task("更新xxx功能").await.unwrap().ok();
    let task = added["info"]["task_id"].as_str().unwrap();
    let report = |status: i64, percent: i64| {
        let data = json!({"task_id": task, "status": status, "percent": percent, "revert": 0});
        json!({"action": "update", "data": data})
    };
    assert_eq!(root.post("/api/task_status", report(1, 10)).await.ok()["info"], "update task status ok");
    assert_eq!(root.post("/api/task_status", report(1, 9)).await.codes(), (200, 409), "percent never falls");
    assert_eq!(root.post("/api/task_status", report(2, 100)).await.ok()["info"], "update task status ok");
    assert_eq!(root.post("/api/task_status", report(1, 100)).await.codes(), (200, 400));
    assert_eq!(root.post("/api/task_status", report(1, 0)).await.codes(), (200, 409), "it is done");
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
    assert_eq!(root.get(&format!("/api/task_status?task_id={task}")).await.codes(), (200, 404));
    assert_eq!(root.all("/api/task_status").await.len(), 5);
}

async fn machines(root: &Client) {
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
    assert_eq!(root.get("/api/machine_info").await.ok(), json!({"code": 200, "info": []}));
}

async fn configuration(anybody: &Client, root: &Client) {
    let data = json!({
        "mail": "dev@example.com", "name": "dev", "passwd": PASSWORD, "department": "dev", "permissions": "",
    });
    root.post("/admin/user", json!({"action": "add", "data": data})).await.ok();
    let dev = anybody.login("dev").await;
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
    assert_eq!(root.post("/publish", publish.clone()).await.codes(), (200, 7), "nobody has approved it");
    root.post("/config/approve", called(json!({"version": 1}))).await.ok();
    assert_eq!(root.post("/publish", publish.clone()).await.ok()["data"]["Kind"], "full");
    assert_eq!(shown().await, [json!(1), json!("1"), json!(1), json!("1")]);

    dev.post("/config/update", called(json!({"value": "2", "version": 1}))).await.ok();
    let stale = called(json!({"value": "3", "version": 1}));
    assert_eq!(dev.post("/config/update", stale).await.codes(), (200, 7));
    assert_eq!(shown().await, [json!(2), json!("2"), json!(1), json!("1")]);
    dev.post("/config/rollback", called(json!({"version": 1}))).await.ok();
    assert_eq!(root.post("/publish", publish.clone()).await.codes(), (200, 7), "approved like any other");
    root.post("/config/approve", name.clone()).await.ok();
    root.post("/publish", publish).await.ok();
    assert_eq!(shown().await, [json!(3), json!("1"), json!(3), json!("1")]);
    let history = dev.post("/config/history", name.clone()).await.ok();
    let versions: Vec<_> = history["data"].as_array().unwrap().iter().map(|row| &row["Version"]).collect();
    assert_eq!(versions, [3, 2, 1]);

    assert_eq!(dev.post("/config/del", name.clone()).await.codes(), (200, 4), "it was published");
    root.post("/config/del", name.clone()).await.ok();
    dev.post("/config/create", called(json!({"value": "4"}))).await.ok();
    assert_eq!(shown().await, [json!(4), json!("4"), json!(0), json!("")]);
    let trail = root.get("/audit/list?start=0&count=1000&actor=dev").await.ok();
    let deeds: Vec<_> =
        trail["data"].as_array().unwrap().iter().map(|row| row["Action"].as_str().unwrap()).collect();
    for deed in ["config.create", "config.update", "config.rollback"] {
        assert!(deeds.contains(&deed), "{deed} is missing: {deeds:?}");
    }
}

async fn customers(anybody: &Client, root: &Client) {
    let mail = "dev@example.com";
    let access = json!({"login_email": mail, "password": "another password"});
    root.post("/level3/user", access.clone()).await.ok();
    let domains = json!({"login_email": mail, "cdn": "level3", "domains": ["a.test", "b.test"]});
    root.post("/level3/user_domains", domains).await.ok();
    let held = root.get(&format!("/level3/user_domains?login_email={mail}")).await.ok();
    let state = |domain: &str| json!({"domain": domain, "state": "Pending"});
    assert_eq!(held["results"][0]["domains"], json!([state("a.test"), state("b.test")]));

    let token = anybody.post("/level3/login", access).await.ok()["token"].as_str().unwrap().to_owned();
    let customer = anybody.with_token(&token);
    assert_eq!(customer.get("/api/machine_info").await.codes(), (403, 403), "it opens the cdn family alone");
    let refresh = |path: &str| json!({"login_email": mail, "path": path});
    let foreign = refresh("http://a.test/1|http://c.test/1");
    assert_eq!(customer.post("/level3/refresh", foreign).await.codes(), (200, 4));
    let queued = customer.post("/level3/refresh", refresh("http://a.test/1|http://b.test/2")).await.ok();
    let job = queued["results"][0]["taskid"].as_str().unwrap();
    let listed = customer.get(&format!("/level3/refresh_list?login_email={mail}")).await.ok();
    let listed = listed["results"].as_array().unwrap();
    assert_eq!(listed.len(), 1, "what was refused left nothing");
    assert_eq!((&listed[0]["taskid"], &listed[0]["percentComplete"]), (&json!(job), &json!("0")));
    let state = customer.get(&format!("/level3/task?taskid={job}")).await.ok();
    assert_eq!(state["state"], "pending");

    let stop = json!({"login_email": mail, "operations": false});
    root.post("/level3/user/update", stop).await.ok();
    assert_eq!(
        customer.get("/level3/refresh_list").await.codes(),
        (200, 3),
        "its tokens ended with its right"
    );
    root.delete(&format!("/level3/user?login_email={mail}")).await.ok();
    let wanted = json!({"login_email": "root@example.com", "password": PASSWORD});
    root.post("/level3/user", wanted).await.ok();
    let domains = json!({"login_email": "root@example.com", "cdn": "level3", "domains": "a.test"});
    root.post("/level3/user_domains", domains).await.ok();
}
