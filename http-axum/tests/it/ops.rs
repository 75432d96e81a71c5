//! Ops API: the documented examples, validation and permissions.

use serde_json::{Value, json};

use crate::api::Api;

fn add_task() -> Value {
    json!({"action": "add", "data": {
        "ip": "192.168.1.1", "action": "update", "content": "/path/to/file", "description": "更新xxx功能",
    }})
}

#[tokio::test]
async fn the_documented_task_examples_work() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let added = api.post(&root, "/api/task", add_task()).await.ok();
    let task_id = added["info"]["task_id"].as_str().unwrap().to_owned();
    assert!(task_id.len() == 32 && added == json!({"code": 200, "ok": true, "info": {"task_id": task_id}}));

    let listed = api.get(&root, "/api/task?start=0&count=10").await.ok();
    let create_time = listed["info"][0]["create_time"].as_i64().unwrap();
    let task = json!({
        "id": 1, "task_id": task_id, "ip": "192.168.1.1", "action": "update", "create_time": create_time,
        "content": "/path/to/file", "description": "更新xxx功能",
    });
    assert_eq!(listed, json!({"code": 200, "ok": true, "info": [task]}));
    assert_eq!(api.get(&root, &format!("/api/task?task_id={task_id}")).await.ok(), listed);
    assert_eq!(api.call("GET", &root, "/api/task", Some(json!({"task_id": task_id}))).await.ok(), listed);

    let zeros = json!({
        "id": 1, "task_id": task_id, "start_time": 0, "revert_time": 0, "status": 0, "percent": 0, "revert": 0,
    });
    assert_eq!(
        api.get(&root, "/api/task_status").await.ok(),
        json!({"code": 200, "ok": true, "info": [zeros]})
    );
    let report = json!({"action": "update", "data": {
        "task_id": task_id, "start_time": 1_480_471_675, "revert_time": 1_480_471_675,
        "percent": 10, "status": 1, "revert": 1,
    }});
    let updated = api.post(&root, "/api/task_status", report).await.ok();
    assert_eq!(updated, json!({"code": 200, "ok": true, "info": "update task status ok"}));
    let reported = json!({
        "id": 1, "task_id": task_id, "start_time": 1_480_471_675, "revert_time": 1_480_471_675,
        "status": 1, "percent": 10, "revert": 1,
    });
    let status = api.get(&root, &format!("/api/task_status?start=0&count=10&task_id={task_id}")).await.ok();
    assert_eq!(status, json!({"code": 200, "ok": true, "info": [reported]}));

    let deleted = api.delete(&root, &format!("/api/task?task_id={task_id}")).await.ok();
    assert_eq!(deleted, json!({"code": 200, "ok": true, "info": "delete task ok"}));
    assert_eq!(api.get(&root, "/api/task").await.ok(), json!({"code": 200, "ok": true, "info": []}));
    assert_eq!(api.get(&root, "/api/task_status").await.ok(), json!({"code": 200, "ok": true, "info": []}));
    assert_eq!(api.delete(&root, &format!("/api/task?task_id={task_id}")).await.codes(), (200, 404));
}

#[tokio::test]
async fn an_invalid_task_is_refused_with_its_field() {
    let api = Api::new().await;
    let root = api.login("root").await;
    for (field, value) in [
        ("ip", json!("example.com")),
        ("action", json!("Update")),
        ("action", json!("x".repeat(33))),
        ("content", json!("")),
        ("content", json!("x".repeat(4097))),
        ("description", json!("a\nb")),
        ("description", json!(true)),
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
        assert_eq!(refused.body, json!({"code": 400, "ok": false, "info": why}));
    }
    let mut body = add_task();
    body["data"]["userage"] = json!("x");
    assert_eq!(api.post(&root, "/api/task", body).await.body["info"], "data.userage: is not known here");
    for query in
        ["start=-1", "count=0", "count=1001", "count=x", "task_id=0358C3C78F5211E6", "task_id=", "task=1"]
    {
        assert_eq!(api.get(&root, &format!("/api/task?{query}")).await.codes(), (200, 400), "{query}");
    }
    assert_eq!(
        api.get(&root, "/api/task").await.ok(),
        json!({"code": 200, "ok": true, "info": []}),
        "nothing was added"
    );
}

#[tokio::test]
async fn the_documented_machine_examples_work() {
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
    assert_eq!(added, json!({"code": 200, "ok": true, "info": "add machine info ok"}));
    assert_eq!(api.post(&root, "/api/machine_info", add).await.codes(), (200, 409));
    let machine = |location: &str| {
        json!({
            "id": 1, "machine_name": "web01", "inside_ip": "10.2.2.2", "outside_ip": "111.111.11.1",
            "usage": "web 服务器1", "is_initialized": 0, "location": location,
        })
    };
    let listed = api.get(&root, "/api/machine_info?start=0&count=10").await.ok();
    assert_eq!(listed, json!({"code": 200, "ok": true, "info": [machine("阿里云")]}));
    let update = json!({"action": "update", "data": data("腾讯云")});
    assert_eq!(api.post(&root, "/api/machine_info", update).await.ok()["info"], "update machine info ok");
    let found = api.get(&root, "/api/machine_info?machine_name=web01").await.ok();
    assert_eq!(found, json!({"code": 200, "ok": true, "info": [machine("腾讯云")]}));
    let deleted = api.delete(&root, "/api/machine_info?machine_name=web01").await.ok();
    assert_eq!(deleted, json!({"code": 200, "ok": true, "info": "delete machin info ok"}));
    let found = api.get(&root, "/api/machine_info?machine_name=web01").await.ok();
    assert_eq!(found, json!({"code": 200, "ok": true, "info": []}));
    let update = json!({"action": "update", "data": data("腾讯云")});
    assert_eq!(api.post(&root, "/api/machine_info", update).await.codes(), (200, 404));
}

#[tokio::test]
async fn tasks_and_machines_are_read_and_written_by_group() {
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
        assert_eq!(added.status, u16::try_from(writes).unwrap(), "the HTTP status agrees with the code");
        // A refusal does not reveal whether the object exists.
        let absent = if writes == 200 { 404 } else { 403 };
        assert_eq!(api.delete(token, &delete_task).await.body["code"], absent);
        assert_eq!(api.delete(token, "/api/machine_info?machine_name=web01").await.body["code"], absent);
    }
}

/// A task for an address; its id.
async fn task_for(api: &Api, root: &str, ip: &str, content: &str) -> String {
    let data = json!({"ip": ip, "action": "update", "content": content, "description": "why"});
    let added = api.post(root, "/api/task", json!({"action": "add", "data": data})).await.ok();
    added["info"]["task_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn lists_are_ordered_filtered_and_counted() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let mut tasks = Vec::new();
    for n in 1..=5 {
        let ip = if n < 4 { "10.0.0.1" } else { "10.0.0.2" };
        tasks.push(task_for(&api, &root, ip, &format!("/etc/{n}.conf")).await);
    }
    for (task, percent) in [(1, 40), (2, 100)] {
        let data = json!({"task_id": tasks[task], "percent": percent, "status": 1, "revert": 0});
        api.post(&root, "/api/task_status", json!({"action": "update", "data": data})).await.ok();
    }
    let expected = |numbers: &[usize]| numbers.iter().map(|n| tasks[n - 1].clone()).collect::<Vec<_>>();
    for (query, found) in [
        ("", vec![1, 2, 3, 4, 5]),
        ("order=newest&count=2", vec![5, 4]),
        ("order=newest&count=2&before=4", vec![3, 2]),
        ("start=2&before=4", vec![2, 3]),
        ("ip=10.0.0.2", vec![4, 5]),
        ("ip=%3A%3Affff%3A10.0.0.2&order=newest", vec![5, 4]),
        ("status=1", vec![2]),
        ("status=2", vec![3]),
        ("status=0&ip=10.0.0.1", vec![1]),
        ("action=check", vec![]),
        ("text=4.conf", vec![4]),
        ("text=.conf&action=update&status=0&order=newest", vec![5, 4, 1]),
    ] {
        let found = expected(&found);
        for path in ["/api/task", "/api/task_status", "/api/task_view"] {
            let answer = api.get(&root, &format!("{path}?{query}")).await;
            assert!(
                answer.headers.get("x-total-count").is_none()
                    && answer.headers.get("x-search-before").is_none()
            );
            let rows = answer.ok()["info"].as_array().unwrap().clone();
            let ids: Vec<_> = rows
                .iter()
                .map(|row| row["task_id"].as_str().or(row["task"]["task_id"].as_str()).unwrap().to_owned())
                .collect();
            assert_eq!(ids, found, "{path}?{query}");
        }
    }
    for (path, total) in [
        ("/api/task?total=1&count=1", "5"),
        ("/api/task?total=true&ip=10.0.0.1&order=newest&count=1&before=2", "3"),
        ("/api/task_status?total=1&status=2", "1"),
        ("/api/task_view?total=1&text=.conf&before=4", "3"),
        ("/api/machine_info?total=1", "0"),
        ("/admin/user?total=1&count=1", "1"),
    ] {
        let answer = api.get(&root, path).await;
        assert_eq!(answer.headers["x-total-count"], total, "{path}");
        answer.ok();
    }
    let view = api.get(&root, &format!("/api/task_view?task_id={}", tasks[1])).await.ok();
    let row = &view["info"][0];
    assert_eq!(
        (row["task"]["content"].as_str(), row["status"]["percent"].as_i64()),
        (Some("/etc/2.conf"), Some(40))
    );
    for query in [
        "order=up",
        "order=desc",
        "before=-1",
        "total=2",
        "status=6",
        "ip=10.0.0.256",
        "ip=",
        "text=",
        "statuss=1",
    ] {
        assert_eq!(api.get(&root, &format!("/api/task?{query}")).await.codes(), (200, 400), "{query}");
    }
    for (ip, found) in [("10.0.0.1", 1), ("10.0.0.2", 0)] {
        let one = api.get(&root, &format!("/api/task?task_id={}&ip={ip}", tasks[0])).await.ok();
        assert_eq!(one["info"].as_array().unwrap().len(), found);
    }
    let trail = api.get(&root, "/audit/list?order=newest&count=1&total=1&actor=root").await;
    let newest: i64 = trail.headers["x-total-count"].to_str().unwrap().parse().unwrap();
    let row = trail.ok()["data"][0].clone();
    assert!(newest >= 7 && row["Action"] == "task.report" && row["Object"] == tasks[2].as_str(), "{row}");
}

#[tokio::test]
async fn lists_are_added_whole_and_requests_may_be_repeated() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let data = |content: &str| json!({"ip": "10.0.0.1", "action": "update", "content": content, "description": "why"});
    let add = |data: Value| json!({"action": "add", "data": data});
    let refused = api.post(&root, "/api/task", add(json!([data("/a"), data("")]))).await;
    assert_eq!(refused.codes(), (200, 400));
    let refused = api.post(&root, "/api/task", add(json!([data("/a"), {"ip": "::1"}]))).await;
    assert_eq!(refused.body["info"], "data[1].action: is required");
    let mut wrong = data("/b");
    wrong["percent"] = json!(1);
    let refused = api.post(&root, "/api/task", add(json!([data("/a"), wrong]))).await;
    assert_eq!(refused.body["info"], "data[1].percent: is not known here");
    let refused = api.post(&root, "/api/task", add(json!([]))).await;
    assert_eq!(refused.body["info"], "data: must be a list of 1 to 1000");
    assert_eq!(api.get(&root, "/api/task").await.ok()["info"], json!([]), "nothing was added");

    let send = async |key: &str, body: Value| {
        let request = axum::http::Request::post("/api/task")
            .header("authorization", format!("Bearer {root}"))
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        api.send(request.body(body.to_string().into()).unwrap()).await
    };
    let first = send("key-1", add(json!([data("/a"), data("/b")]))).await.ok();
    assert!(
        first["info"].as_array().unwrap().len() == 2
            && first["info"][0]["task_id"] != first["info"][1]["task_id"]
    );
    assert_eq!(send("key-1", add(json!([data("/a"), data("/b")]))).await.ok(), first);
    assert_eq!(send("key-1", add(json!([data("/a")]))).await.codes(), (200, 400));
    let one = send("key-2", add(data("/c"))).await.ok();
    assert_eq!(send("key-2", add(data("/c"))).await.ok(), one);
    for key in ["", "two words", "中", &"x".repeat(129)] {
        assert_eq!(send(key, add(data("/d"))).await.codes(), (200, 400), "{key:?}");
    }
    assert_eq!(api.get(&root, "/api/task?total=1").await.headers["x-total-count"], "3");
}

#[tokio::test]
async fn machines_are_saved_renamed_and_deleted_with_their_tasks() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let machine = |name: &str, ip: &str| {
        json!({
            "machine_name": name, "inside_ip": ip, "outside_ip": "", "usage": "web", "is_initialized": 0,
            "location": "阿里云",
        })
    };
    let post = async |action: &str, data: Value| {
        api.post(&root, "/api/machine_info", json!({"action": action, "data": data})).await
    };
    let list = json!([machine("web01", "10.0.0.1"), machine("web02", "10.0.0.2")]);
    assert_eq!(post("add", list.clone()).await.ok()["info"], "add machine info ok");
    assert_eq!(post("add", list.clone()).await.codes(), (200, 409));
    let saved = post("upsert", json!([machine("web01", "10.0.0.2"), machine("数据库", "10.0.0.3")])).await;
    let warning = saved.headers["x-warning"].to_str().unwrap().to_owned();
    assert!(warning.starts_with("web01 and web02 both have 10.0.0.2 in %E9%98%BF"), "{warning}");
    assert_eq!(saved.ok()["info"], "upsert machine info ok");
    let renamed = post("rename", json!({"machine_name": "web01", "new_name": "edge01"})).await;
    assert!(renamed.headers.get("x-warning").is_none());
    assert_eq!(renamed.ok()["info"], "rename machine info ok");
    assert_eq!(
        post("rename", json!({"machine_name": "edge01", "new_name": "WEB02"})).await.codes(),
        (200, 409)
    );
    let names = api.get(&root, "/api/machine_info?text=10.0.0.2&order=newest").await.ok();
    let names: Vec<_> =
        names["info"].as_array().unwrap().iter().map(|row| row["machine_name"].clone()).collect();
    assert_eq!(names, ["web02", "edge01"]);

    let task = task_for(&api, &root, "10.0.0.3", "/file").await;
    let delete = "/api/machine_info?machine_name=%E6%95%B0%E6%8D%AE%E5%BA%93";
    assert_eq!(api.delete(&root, delete).await.codes(), (200, 409));
    assert_eq!(api.delete(&root, &format!("{delete}&cancel=")).await.codes(), (200, 400));
    let deleted = api.delete(&root, &format!("{delete}&cancel={task}")).await.ok();
    assert_eq!(deleted["info"], "delete machin info ok");
    let status = api.get(&root, &format!("/api/task_status?task_id={task}")).await.ok();
    assert_eq!(status["info"][0]["status"], 4);
}
