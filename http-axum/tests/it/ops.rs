//! The samples of the ops document, and what it forbids.

use serde_json::{Value, json};

use crate::api::Api;

fn add_task() -> Value {
    json!({"action": "add", "data": {
        "ip": "192.168.1.1", "action": "update", "content": "/path/to/file", "description": "更新xxx功能",
    }})
}

#[tokio::test]
async fn task_samples() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let added = api.post(&root, "/api/task", add_task()).await.ok();
    let task_id = added["info"]["task_id"].as_str().unwrap().to_owned();
    assert!(task_id.len() == 32 && added == json!({"code": 200, "info": {"task_id": task_id}}));

    let listed = api.get(&root, "/api/task?start=0&count=10").await.ok();
    let create_time = listed["info"][0]["create_time"].as_i64().unwrap();
    let task = json!({
        "id": 1, "task_id": task_id, "ip": "192.168.1.1", "action": "update", "create_time": create_time,
        "content": "/path/to/file", "description": "更新xxx功能",
    });
    assert_eq!(listed, json!({"code": 200, "info": [task]}));
    assert_eq!(api.get(&root, &format!("/api/task?task_id={task_id}")).await.ok(), listed);
    assert_eq!(api.call("GET", &root, "/api/task", Some(json!({"task_id": task_id}))).await.ok(), listed);

    let zeros = json!({
        "id": 1, "task_id": task_id, "start_time": 0, "revert_time": 0, "status": 0, "percent": 0, "revert": 0,
    });
    assert_eq!(api.get(&root, "/api/task_status").await.ok(), json!({"code": 200, "info": [zeros]}));
    let report = json!({"action": "update", "data": {
        "task_id": task_id, "start_time": 1_480_471_675, "revert_time": 1_480_471_675,
        "percent": 10, "status": 1, "revert": 1,
    }});
    let updated = api.post(&root, "/api/task_status", report).await.ok();
    assert_eq!(updated, json!({"code": 200, "info": "update task status ok"}));
    let reported = json!({
        "id": 1, "task_id": task_id, "start_time": 1_480_471_675, "revert_time": 1_480_471_675,
        "status": 1, "percent": 10, "revert": 1,
    });
    let status = api.get(&root, &format!("/api/task_status?start=0&count=10&task_id={task_id}")).await.ok();
    assert_eq!(status, json!({"code": 200, "info": [reported]}));

    let deleted = api.delete(&root, &format!("/api/task?task_id={task_id}")).await.ok();
    assert_eq!(deleted, json!({"code": 200, "info": "delete task ok"}));
    assert_eq!(api.get(&root, "/api/task").await.ok(), json!({"code": 200, "info": []}));
    assert_eq!(api.get(&root, "/api/task_status").await.ok(), json!({"code": 200, "info": []}));
    assert_eq!(api.delete(&root, &format!("/api/task?task_id={task_id}")).await.codes(), (200, 404));
}

#[tokio::test]
async fn task_refusals_name_the_field() {
    let api = Api::new().await;
    let root = api.login("root").await;
    for (field, value) in [
        ("ip", json!("example.com")),
        ("action", json!("Update")),
        ("action", json!("x".repeat(33))),
        ("content", json!("")),
        ("content", json!("x".repeat(4097))),
        ("description", json!("a\nb")),
        ("description", json!(5)),
    ] {
        let mut body = add_task();
        body["data"][field] = value.clone();
        let refused = api.post(&root, "/api/task", body).await;
        assert_eq!(refused.codes(), (200, 400), "{field} {value}");
        assert!(refused.body["info"].as_str().unwrap().contains(field), "{}", refused.body);
    }
    for (body, why) in [
        (json!({"action": "drop", "data": {}}), "action: must be add"),
        (json!({"data": {}}), "action: is required"),
        (
            json!({"action": "add", "data": {"ip": "::1", "action": "x", "content": "y"}}),
            "data.description: is required",
        ),
        (json!({"action": "add", "data": {"ip": "::1", "x": 1}}), "data.x: is not known here"),
        (json!({"action": "add", "data": {}, "more": 1}), "more: is not known here"),
    ] {
        let refused = api.post(&root, "/api/task", body).await;
        assert_eq!(refused.body, json!({"code": 400, "info": why}));
    }
    let mut body = add_task();
    body["data"]["userage"] = json!("x");
    assert_eq!(api.post(&root, "/api/task", body).await.body["info"], "data.userage: is not known here");
    for query in ["start=-1", "count=0", "count=1001", "count=x", "task_id=0358C3C78F5211E685855CF9389306A2"]
    {
        assert_eq!(api.get(&root, &format!("/api/task?{query}")).await.codes(), (200, 400), "{query}");
    }
    assert_eq!(api.get(&root, "/api/task").await.ok(), json!({"code": 200, "info": []}), "nothing was added");
}

#[tokio::test]
async fn machine_samples() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let data = |location: &str| {
        json!({
            "machine_name": "web01", "inside_ip": "10.2.2.2", "outside_ip": "111.111.11.1",
            "userage": "web 服务器1", "is_initialized": 0, "location": location,
        })
    };
    let add = json!({"action": "add", "data": data("阿里云")});
    let added = api.post(&root, "/api/machine_info", add.clone()).await.ok();
    assert_eq!(added, json!({"code": 200, "info": "add machine info ok"}));
    assert_eq!(api.post(&root, "/api/machine_info", add).await.codes(), (200, 409));
    let machine = |location: &str| {
        json!({
            "id": 1, "machine_name": "web01", "inside_ip": "10.2.2.2", "outside_ip": "111.111.11.1",
            "usage": "web 服务器1", "is_initialized": 0, "location": location,
        })
    };
    let listed = api.get(&root, "/api/machine_info?start=0&count=10").await.ok();
    assert_eq!(listed, json!({"code": 200, "info": [machine("阿里云")]}));
    let update = json!({"action": "update", "data": data("腾讯云")});
    assert_eq!(api.post(&root, "/api/machine_info", update).await.ok()["info"], "update machine info ok");
    let found = api.get(&root, "/api/machine_info?machine_name=web01").await.ok();
    assert_eq!(found, json!({"code": 200, "info": [machine("腾讯云")]}));
    let deleted = api.delete(&root, "/api/machine_info?machine_name=web01").await.ok();
    assert_eq!(deleted, json!({"code": 200, "info": "delete machin info ok"}));
    assert_eq!(api.get(&root, "/api/machine_info?machine_name=web01").await.codes(), (200, 404));
    let update = json!({"action": "update", "data": data("腾讯云")});
    assert_eq!(api.post(&root, "/api/machine_info", update).await.codes(), (200, 404));
}

#[tokio::test]
async fn groups_decide() {
    let api = Api::new().await;
    let nobody = api.account("nobody", "").await;
    let reader = api.account("reader", "1,4").await;
    let writer = api.account("writer", "2,5").await;
    let task = "0358c3c78f5211e685855cf9389306a2";
    let delete_task = format!("/api/task?task_id={task}");
    for (token, reads, writes) in
        [("", 403, 403), (&*nobody, 403, 403), (&*reader, 200, 403), (&*writer, 403, 200)]
    {
        assert_eq!(api.get(token, "/api/task").await.body["code"], reads);
        assert_eq!(api.get(token, "/api/task_status").await.body["code"], reads);
        assert_eq!(api.get(token, "/api/machine_info").await.body["code"], reads);
        let added = api.post(token, "/api/task", add_task()).await;
        assert_eq!(added.body["code"], writes);
        assert_eq!(added.status, u16::try_from(writes).unwrap(), "HTTP says so too");
        // A refusal does not tell whether there is such a thing.
        let absent = if writes == 200 { 404 } else { 403 };
        assert_eq!(api.delete(token, &delete_task).await.body["code"], absent);
        assert_eq!(api.delete(token, "/api/machine_info?machine_name=web01").await.body["code"], absent);
    }
}

#[tokio::test]
async fn update_comes_later() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let answer = api.post(&root, "/api/update", json!({})).await;
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (404, &json!(404)));
}
