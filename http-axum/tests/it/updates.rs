//! Orders, blobs and agents over HTTP: refusals, offsets, ranges, and the way of an update.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use pilothouse_conformance::doubles::{MemoryBlobs, MemoryReleases, sha256};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_http_axum::HttpSettings;
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};

use crate::api::{Answer, Api};

const CONTENT: &[u8] = b"a new greeting";

/// API with an empty blob store and a machine `web01` at 10.2.2.2; root's token and the agent's.
struct Fleet {
    api: Api,
    root: String,
    agent: String,
}

impl Fleet {
    async fn new() -> Self {
        Self::over(|pilothouse| pilothouse).await
    }

    async fn over(with: impl FnOnce(Pilothouse) -> Pilothouse) -> Self {
        let storage = Arc::new(MemoryStorage::new().strict());
        let pilothouse = Pilothouse::new(storage, Settings::default().with_blob_max_bytes(1000)).unwrap();
        let pilothouse = with(pilothouse.with_blob_store(Arc::new(MemoryBlobs::default())));
        let api = Api::over(pilothouse, HttpSettings::default()).await;
        let root = api.login("root").await;
        let machine = json!({
            "machine_name": "web01", "inside_ip": "10.2.2.2", "outside_ip": "", "usage": "web",
            "is_initialized": 0, "location": "x",
        });
        api.post(&root, "/api/machine_info", json!({"action": "add", "data": machine})).await.ok();
        let enroll = json!({"action": "enroll", "data": {"machine_name": "web01"}});
        let code = api.post(&root, "/api/machine_info", enroll).await.ok()["info"]["code"].clone();
        let facts = json!({"hostname": "web01", "version": "0.1.0"});
        let enrolled = api.post("", "/api/agent/enroll", json!({"code": code, "facts": facts})).await.ok();
        let agent = enrolled["info"]["token"].as_str().unwrap().to_owned();
        assert_eq!(api.post("", "/api/agent/enroll", json!({"code": code})).await.codes(), (403, 403));
        Self { api, root, agent }
    }

    async fn put(&self, digest: &str, size: i64, offset: i64, bytes: &[u8]) -> Answer {
        let uri = format!("/api/blob?sha256={digest}&size={size}&offset={offset}");
        let request = Request::put(uri).header("authorization", format!("Bearer {}", self.root));
        self.api.send(request.body(Body::from(bytes.to_vec())).unwrap()).await
    }

    async fn upload(&self, bytes: &[u8]) -> String {
        let digest = sha256(bytes).to_string();
        let size = i64::try_from(bytes.len()).unwrap();
        assert_eq!(self.put(&digest, size, 0, bytes).await.ok()["info"]["complete"], true);
        digest
    }

    async fn add(&self, more: Value) -> Answer {
        let mut data =
            json!({"ip": "10.2.2.2", "action": "update", "content": "/etc/motd", "description": "d"});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.api.post(&self.root, "/api/task", json!({"action": "add", "data": data})).await
    }

    async fn order(&self, action: &str, task: &Value) -> Answer {
        let body = json!({"action": action, "data": {"task_id": task}});
        self.api.post(&self.root, "/api/update", body).await
    }

    async fn poll(&self, boot: &str) -> Answer {
        let body = json!({"instance": "a", "boot": boot, "seq": 1, "wait": 0});
        self.api.post(&self.agent, "/api/agent/poll", body).await
    }

    async fn report(&self, task: &Value, more: Value) -> Answer {
        let mut body = json!({"task_id": task, "attempt": 1, "seq": 1, "phase": "preflight", "percent": 5});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.api.post(&self.agent, "/api/agent/report", body).await
    }

    /// Status, headers and bytes of the blob for the agent.
    async fn fetch(&self, digest: &str, range: &str) -> (StatusCode, Option<String>, Vec<u8>) {
        let request = Request::get(format!("/api/agent/blob/{digest}"))
            .header("authorization", format!("Bearer {}", self.agent))
            .header("range", range);
        let answer = self.api.send(request.body(Body::empty()).unwrap()).await;
        let told = answer.headers.get("content-range").map(|told| told.to_str().unwrap().to_owned());
        (answer.status, told, answer.body.as_str().unwrap_or_default().as_bytes().to_vec())
    }
}

#[tokio::test]
async fn blobs_are_resumed_by_their_offset() {
    let fleet = Fleet::new().await;
    let digest = sha256(CONTENT).to_string();
    let blob = format!("/api/blob?sha256={digest}");
    assert_eq!(fleet.api.get(&fleet.root, &blob).await.codes(), (404, 404));
    let begun = fleet.put(&digest, 14, 0, &CONTENT[..5]).await.ok();
    assert_eq!(begun["info"], json!({"sha256": digest, "size": 14, "complete": false, "offset": 5}));
    let wrong = fleet.put(&digest, 14, 9, &CONTENT[9..]).await;
    assert_eq!((wrong.codes(), &wrong.body["offset"]), ((409, 409), &json!(5)));
    assert_eq!(fleet.put(&digest, 15, 5, &CONTENT[5..]).await.codes(), (409, 409), "another size");
    assert_eq!(fleet.put(&digest, 14, 5, b"much too long").await.codes(), (400, 400));
    assert_eq!(fleet.put(&digest, 14, 5, &CONTENT[5..]).await.ok()["info"]["complete"], true);
    assert_eq!(fleet.api.get(&fleet.root, &blob).await.ok()["info"]["offset"], 14);
    let other = sha256(b"other").to_string();
    assert_eq!(fleet.put(&other, 5, 0, b"wrong").await.codes(), (400, 400));
    assert_eq!(fleet.api.get(&fleet.root, &format!("/api/blob?sha256={other}")).await.codes(), (404, 404));
    assert_eq!(fleet.put(&other, 1001, 0, b"o").await.codes(), (400, 400), "longer than blob_max_bytes");
    assert_eq!(fleet.put("x", 1, 0, b"o").await.codes(), (400, 400));
}

#[tokio::test]
async fn members_of_a_content_are_refused_by_name() {
    let fleet = Fleet::new().await;
    let digest = fleet.upload(CONTENT).await;
    for (more, named) in [
        (json!({"mode": "0644"}), "mode: needs sha256"),
        (json!({"sha256": "0".repeat(64)}), "sha256: is not that of a complete blob"),
        (json!({"sha256": digest, "mode": "4755"}), "mode: "),
        (json!({"sha256": digest, "content": "/etc/../motd"}), "content: "),
        (json!({"sha256": digest, "confirm_seconds": 5}), "confirm_seconds: "),
        (json!({"sha256": digest, "ips": ["10.2.2.2"]}), "ip: must not stand beside"),
        (json!({"sha256": digest, "ip": null}), "data.ip: is required"),
        (json!({"ip": null, "ips": ["10.2.2.2"]}), "sha256: is required for many machines"),
        (json!({"sha256": digest, "ip": null, "ips": []}), "data.ips: "),
        (
            json!({"sha256": digest, "ip": null, "ips": ["10.2.2.2", "10.2.2.2"]}),
            "ips: must not name one twice",
        ),
        (json!({"sha256": digest, "ip": null, "ips": ["web01"]}), "ips: must be an IPv4"),
        (json!({"sha256": digest, "ip": null, "machines": {}}), "machines: must hold"),
        (json!({"sha256": digest, "ip": null, "machines": {"names": []}}), "data.machines.names: "),
        (
            json!({"sha256": digest, "ip": null, "machines": {"names": ["web02"]}}),
            "machines.names: there is no",
        ),
        (json!({"sha256": digest, "ip": null, "machines": {"usage": "db"}}), "machines.usage: is that of no"),
        (json!({"sha256": digest, "ip": null, "machines": {"all": false}}), "machines.all: must be true"),
        (
            json!({"sha256": digest, "ip": null, "machines": {"all": true, "usage": "web"}}),
            "machines: must hold",
        ),
        (json!({"sha256": digest, "ip": null, "machines": {"tag": "x"}}), "data.machines.tag: "),
    ] {
        let refused = fleet.add(more).await;
        assert_eq!(refused.codes(), (200, 400), "{named}");
        assert!(refused.body["info"].as_str().unwrap().starts_with(named), "{}", refused.body);
    }
    let (task, batch) = ("0".repeat(32), "1".repeat(32));
    for (action, data, code) in [
        ("execute", json!({"batch": "x"}), 400),
        ("execute", json!({}), 400),
        ("execute", json!({"task_id": task, "batch": batch}), 400),
        ("execute", json!({"task_id": task, "canary": 1}), 400),
        ("execute", json!({"batch": batch, "on_stop": "x"}), 400),
        ("execute", json!({"batch": batch, "batch_size": 0}), 400),
        ("execute", json!({"batch": batch}), 404),
        ("cancel", json!({"batch": batch, "force": true}), 400),
        ("pause", json!({"task_id": task}), 400),
        ("resume", json!({"batch": batch}), 404),
    ] {
        let body = json!({"action": action, "data": data});
        let refused = fleet.api.post(&fleet.root, "/api/update", body).await;
        assert_eq!(refused.codes(), (200, code), "{action} {data}: {}", refused.body);
    }
    for query in ["", "?state=nothing", "?count=1&task_id=0", "?state=running&wait=1", "?task_id=0&batch=0"] {
        let refused = fleet.api.get(&fleet.root, &format!("/api/update{query}")).await;
        assert_eq!(refused.codes(), (200, 400), "{query}");
    }
    let bare = fleet.add(json!({})).await.ok()["info"]["task_id"].clone();
    assert_eq!(fleet.order("execute", &bare).await.codes(), (200, 409), "it has no content");
}

#[tokio::test]
async fn tasks_without_a_hash_take_the_release_of_their_path() {
    let releases = Arc::new(MemoryReleases::default());
    let fleet = Fleet::over(|pilothouse| pilothouse.with_release_source(releases.clone())).await;
    assert_eq!(fleet.add(json!({})).await.codes(), (200, 404), "there is no such file");
    releases.put("/etc/motd", Some(&[b'x'; 1001]));
    let refused = fleet.add(json!({})).await;
    assert_eq!(refused.codes(), (200, 400));
    let told = "content: the release has 1001 bytes, more than the 1000 of blob_max_bytes";
    assert_eq!(refused.body["info"], told);
    releases.put("/etc/motd", Some(CONTENT));
    let digest = sha256(CONTENT).to_string();
    let single = fleet.add(json!({"mode": "0600"})).await.ok()["info"]["task_id"].clone();
    let blob = fleet.api.get(&fleet.root, &format!("/api/blob?sha256={digest}")).await.ok();
    assert_eq!(blob["info"]["complete"], true);
    let batch = fleet.add(json!({"ip": null, "machines": {"all": true}})).await.ok()["info"].clone();
    assert_eq!(batch["machines"], json!(["web01"]));
    releases.put("/etc/motd", Some(b"the next one"));
    for task in [&single, &batch["task_ids"][0]] {
        fleet.order("execute", task).await.ok();
    }
    let order = fleet.poll("b").await.ok()["info"].clone();
    assert_eq!((&order["sha256"], &order["mode"]), (&json!(digest), &json!("0600")));
    assert_eq!(fleet.fetch(&digest, "").await, (StatusCode::OK, None, CONTENT.to_vec()));
    let query = format!("/api/update?batch={}", batch["batch"].as_str().unwrap());
    let view = fleet.api.get(&fleet.root, &query).await.ok();
    assert_eq!(view["info"]["tasks"][0]["new_sha256"], json!(digest));
    let named = fleet.add(json!({"sha256": "0".repeat(64)})).await;
    assert_eq!(named.body["info"], "sha256: is not that of a complete blob");
}

#[tokio::test]
async fn the_way_of_an_update() {
    let fleet = Fleet::new().await;
    let digest = fleet.upload(CONTENT).await;
    assert_eq!(fleet.poll("b").await.status, StatusCode::NO_CONTENT);
    let task =
        fleet.add(json!({"sha256": digest, "mode": "0644", "check": "test"})).await.ok()["info"]["task_id"]
            .clone();
    assert_eq!(fleet.fetch(&digest, "bytes=0-").await.0, StatusCode::NOT_FOUND, "nobody ordered it");
    let ordered = fleet.order("execute", &task).await.ok();
    assert_eq!(ordered["info"], json!({"task_ids": [task], "machines": ["web01"]}));
    assert_eq!(fleet.order("execute", &task).await.codes(), (200, 409));
    let order = fleet.poll("b").await.ok()["info"].clone();
    assert_eq!(
        (&order["task_id"], &order["attempt"], &order["action"]),
        (&task, &json!(1), &json!("update"))
    );
    assert_eq!(
        (&order["mode"], &order["check"], &order["size"]),
        (&json!("0644"), &json!("test"), &json!(14))
    );
    assert!(order.get("force").is_none() && order["owner"].is_null());
    assert_eq!(fleet.poll("other").await.codes(), (409, 409), "a second instance");
    assert_eq!(fleet.fetch(&digest, "").await, (StatusCode::OK, None, CONTENT.to_vec()));
    let (status, told, bytes) = fleet.fetch(&digest, "bytes=6-").await;
    let told = told.unwrap();
    assert_eq!((status, &*told, &bytes[..]), (StatusCode::PARTIAL_CONTENT, "bytes 6-13/14", &CONTENT[6..]));
    assert_eq!(fleet.fetch(&digest, "bytes=14-").await.0, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(fleet.report(&task, json!({})).await.ok()["info"]["command"], "go");
    assert_eq!(fleet.report(&task, json!({"attempt": 2})).await.codes(), (409, 409));
    assert_eq!(fleet.report(&task, json!({"phase": "x"})).await.codes(), (400, 400));
    let status =
        fleet.api.get(&fleet.root, &format!("/api/task_status?task_id={task}").replace('"', "")).await;
    assert_eq!(
        (&status.body["info"][0]["status"], &status.body["info"][0]["percent"]),
        (&json!(1), &json!(5))
    );
    let result = json!({"state": "succeeded", "old_sha256": null, "new_sha256": digest, "changed": true});
    let last =
        json!({"phase": "confirm", "seq": 2, "percent": 99, "observed_sha256": digest, "result": result});
    assert_eq!(fleet.report(&task, last).await.codes(), (200, 200));
    let update = format!("/api/update?task_id={}&wait=0&since=1", task.as_str().unwrap());
    let update = fleet.api.get(&fleet.root, &update).await.ok()["info"].clone();
    assert_eq!(
        (&update["state"], &update["percent"], &update["machine"]),
        (&json!("succeeded"), &json!(100), &json!("web01"))
    );
    assert_eq!(update["observed_sha256"], update["new_sha256"]);
    assert_eq!(fleet.fetch(&digest, "").await.0, StatusCode::NOT_FOUND, "the order is over");
    assert_eq!(fleet.order("cancel", &task).await.codes(), (200, 409));
    fleet.order("revert", &task).await.ok();
    assert_eq!(fleet.poll("b").await.ok()["info"]["action"], "revert");
}

#[tokio::test]
async fn tokens_of_agents_and_accounts_open_nothing_of_each_other() {
    let fleet = Fleet::new().await;
    for path in ["/api/task", "/api/update?task_id=0", "/admin/user", "/app/list", "/level3/domains"] {
        let refused = fleet.api.get(&fleet.agent, path).await;
        assert!([(403, 403), (200, 3)].contains(&refused.codes()), "{path}: {}", refused.body);
    }
    let poll = json!({"instance": "a", "boot": "b"});
    assert_eq!(fleet.api.post(&fleet.root, "/api/agent/poll", poll.clone()).await.codes(), (403, 403));
    let revoke = json!({"action": "revoke", "data": {"machine_name": "web01"}});
    let revoked = fleet.api.post(&fleet.root, "/api/machine_info", revoke).await.ok();
    assert_eq!(revoked["info"], "agent revoked");
    assert_eq!(fleet.api.post(&fleet.agent, "/api/agent/poll", poll).await.codes(), (403, 403));
}

#[tokio::test]
async fn the_way_of_a_batch() {
    let fleet = Fleet::new().await;
    let machine = json!({
        "machine_name": "web02", "inside_ip": "10.2.2.3", "outside_ip": "", "usage": "web",
        "is_initialized": 0, "location": "x",
    });
    fleet.api.post(&fleet.root, "/api/machine_info", json!({"action": "add", "data": machine})).await.ok();
    let digest = fleet.upload(CONTENT).await;
    let added = fleet.add(json!({"ip": null, "machines": {"usage": "web"}, "sha256": digest})).await.ok();
    let (batch, tasks) = (added["info"]["batch"].clone(), added["info"]["task_ids"].clone());
    assert_eq!(added["info"]["machines"], json!(["web01", "web02"]));
    let named = batch.as_str().unwrap();
    let order = async |action: &str, more: Value| {
        let mut data = json!({"batch": batch});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fleet.api.post(&fleet.root, "/api/update", json!({"action": action, "data": data})).await
    };
    let view = async |query: &str| fleet.api.get(&fleet.root, &format!("/api/{query}")).await.ok();
    let listed = view(&format!("task_view?batch={named}")).await;
    assert_eq!(listed["info"].as_array().unwrap().len(), 2);
    assert_eq!(view(&format!("task_view?batch={}", "0".repeat(32))).await["info"], json!([]));
    assert_eq!(fleet.poll("b").await.status, StatusCode::NO_CONTENT);
    let executed = order("execute", json!({"batch_size": 5, "on_stop": "hold"})).await.ok();
    let all = json!({"batch": batch, "task_ids": tasks, "machines": ["web01", "web02"]});
    assert_eq!(executed["info"], all);
    let given = fleet.poll("b").await.ok()["info"].clone();
    assert_eq!(given["task_id"], tasks[0], "the canary is the machine that is online");
    let seen = view(&format!("update?batch={named}")).await["info"].clone();
    assert_eq!((&seen["state"], &seen["batch_size"]), (&json!("running"), &json!(5)));
    assert_eq!(seen["counts"], json!({"running": 1, "pending": 1}));
    assert_eq!(seen["tasks"][1]["reason"], "the machine has no agent");
    let same = view(&format!("update?batch={named}&wait=1&since={}", seen["since"])).await;
    assert_eq!(same["info"], seen, "nothing new within the wait");
    let held = view("update?state=running").await["info"].clone();
    assert_eq!(held["tasks"][0]["task_id"], tasks[0]);
    assert_eq!(held["batches"][0]["batch"], batch);
    assert_eq!(order("pause", json!({})).await.ok()["info"], all);
    assert_eq!(order("pause", json!({})).await.codes(), (200, 409));
    assert_eq!(order("resume", json!({})).await.ok()["info"], all);
    let cancelled = order("cancel", json!({})).await.ok();
    assert_eq!(cancelled["info"]["machines"], json!(["web01", "web02"]));
    assert_eq!(fleet.report(&tasks[0], json!({})).await.ok()["info"]["command"], "cancel");
    let failed = json!({"seq": 3, "result": {"state": "failed", "changed": false}});
    assert_eq!(fleet.report(&tasks[0], failed).await.codes(), (200, 200));
    let retried = order("retry", json!({})).await.ok();
    assert_eq!(retried["info"]["task_ids"], tasks);
    let given = fleet.poll("b").await.ok()["info"].clone();
    assert_eq!((&given["task_id"], &given["attempt"]), (&tasks[0], &json!(2)));
    assert_eq!(order("plan", json!({})).await.ok()["info"]["machines"], json!(["web02"]));
    let done = json!({"attempt": 2, "result": {"state": "succeeded", "changed": true}});
    assert_eq!(fleet.report(&tasks[0], done).await.codes(), (200, 200));
    let reverted = order("revert", json!({})).await.ok();
    assert_eq!(reverted["info"]["task_ids"], tasks, "one is reverted, one will never begin");
    let seen = view(&format!("update?batch={named}")).await["info"].clone();
    assert_eq!(seen["counts"], json!({"cancelled": 1, "reverting": 1}));
}

#[tokio::test]
async fn a_machine_tells_of_its_agent() {
    let fleet = Fleet::new().await;
    let machine = "/api/machine?machine_name=web01";
    let seen = fleet.api.get(&fleet.root, machine).await.ok()["info"].clone();
    assert_eq!(
        (&seen["machine"]["machine_name"], &seen["machine"]["is_initialized"]),
        (&json!("web01"), &json!(1))
    );
    assert_eq!((&seen["agent"]["version"], &seen["agent"]["online"]), (&json!("0.1.0"), &json!(false)));
    let digest = fleet.upload(CONTENT).await;
    let task = fleet.add(json!({"sha256": digest})).await.ok()["info"]["task_id"].clone();
    fleet.order("execute", &task).await.ok();
    fleet.poll("b").await.ok();
    assert_eq!(fleet.poll("clone").await.codes(), (409, 409));
    let seen = fleet.api.get(&fleet.root, machine).await.ok()["info"].clone();
    assert_eq!((&seen["agent"]["online"], &seen["agent"]["duplicate"]), (&json!(true), &json!(true)));
    assert_eq!(
        seen["tasks"],
        json!([{"task_id": task, "state": "running", "action": "update", "attempt": 1}])
    );
    assert_eq!(fleet.api.get(&fleet.root, "/api/machine?machine_name=x").await.codes(), (200, 404));
}

#[tokio::test]
async fn a_token_ends_when_the_next_one_is_used() {
    let fleet = Fleet::new().await;
    let renew = async |token: &str| {
        let answer = fleet.api.post(token, "/api/agent/renew", json!({})).await.ok();
        answer["info"]["token"].as_str().unwrap().to_owned()
    };
    let poll = async |token: &str| {
        let body = json!({"instance": "a", "boot": "b"});
        fleet.api.post(token, "/api/agent/poll", body).await.status
    };
    let lost = renew(&fleet.agent).await;
    let next = renew(&fleet.agent).await;
    assert_eq!(poll(&lost).await, StatusCode::FORBIDDEN, "its answer was lost, and another one made");
    assert_eq!(poll(&fleet.agent).await, StatusCode::NO_CONTENT);
    assert_eq!(poll(&next).await, StatusCode::NO_CONTENT);
    assert_eq!(poll(&fleet.agent).await, StatusCode::FORBIDDEN);
    let third = renew(&next).await;
    assert_eq!(poll(&third).await, StatusCode::NO_CONTENT);
    assert_eq!(fleet.api.post(&fleet.root, "/api/agent/renew", json!({})).await.codes(), (403, 403));
}
