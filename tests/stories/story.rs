//! One story over HTTP, the same on every store.

use pilothouse_test_support::postgres_or_skip;
use serde_json::{Value, json};

use crate::client::Client;
use crate::place::{PASSWORD, Place, ROOT};

#[tokio::test]
async fn on_memory() {
    let server = Place::memory().serve().await;
    told(&Client::new(&[&server])).await;
}

#[tokio::test]
async fn on_sqlite() {
    let place = Place::sqlite();
    place.create_root();
    let server = place.serve().await;
    told(&Client::new(&[&server])).await;
}

#[tokio::test]
async fn on_postgres() {
    let Some(postgres) = postgres_or_skip("story::on_postgres") else { return };
    let place = Place::postgres(&postgres.database());
    place.create_root();
    let server = place.serve().await;
    told(&Client::new(&[&server])).await;
}

/// Every call goes to the other server: neither may know anything that only it knows.
#[tokio::test]
async fn on_two_servers_over_one_postgres() {
    let Some(postgres) = postgres_or_skip("story::on_two_servers_over_one_postgres") else { return };
    let database = postgres.database();
    let (one, two) = (Place::postgres(&database), Place::postgres(&database));
    let (one, two) = tokio::join!(one.serve(), two.serve());
    told(&Client::new(&[&one, &two])).await;
}

async fn told(anybody: &Client) {
    let root = anybody.login(ROOT).await;
    accounts(anybody, &root).await;
    tasks(&root).await;
    machines(&root).await;
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
