//! Thresholds and alarms on the wire.

use pilothouse_core::cdn::AlarmWorker;
use serde_json::{Value, json};

use super::traffic_api::TrafficApi;

#[tokio::test]
async fn thresholds_are_set_replaced_and_deleted() {
    let fixture = TrafficApi::new().await;
    let (api, user) = (&fixture.api, &fixture.user);
    let operator = api.account("operator", "8").await;
    let without_time = |mut row: Value| {
        assert!(row["changed"].as_str().unwrap().starts_with("20"), "{row}");
        row.as_object_mut().unwrap().remove("changed");
        row
    };
    let set =
        async |token: &str, body: Value| without_time(api.post(token, "/level3/threshold", body).await.ok());
    let listed = async |token: &str, query: &str| {
        let found = api.get(token, &format!("/level3/threshold?{query}")).await.ok();
        let rows = found["results"].as_array().unwrap().clone();
        rows.into_iter().map(without_time).collect::<Vec<_>>()
    };
    assert!(listed(user, "").await.is_empty());
    let first = set(user, json!({"domain": "CDN.exrqs1.com", "bandwidth": "800000000"})).await;
    let expected = json!({
        "err": 0, "domain": "cdn.exrqs1.com", "bandwidth": 800_000_000, "errorRatio": null, "hitRatio": null,
        "minRequests": 100,
    });
    assert_eq!(first, expected);
    let wanted = json!({
        "login_email": "user@example.com", "domain": "cdn.exrqs.com", "errorRatio": 0.05, "hitRatio": "0.8",
        "minRequests": 1000,
    });
    set(&operator, wanted).await;
    let rows = listed(user, "").await;
    let second = json!({
        "domain": "cdn.exrqs.com", "bandwidth": null, "errorRatio": 0.05, "hitRatio": 0.8, "minRequests": 1000,
    });
    assert_eq!((rows.len(), &rows[0]), (2, &second));
    assert_eq!(listed(&operator, "login_email=user@example.com&domain=cdn.exrqs.com").await, [second]);
    set(user, json!({"domain": "cdn.exrqs.com", "bandwidth": 1})).await;
    assert_eq!(
        listed(user, "domain=cdn.exrqs.com").await[0]["errorRatio"],
        Value::Null,
        "replaced as a whole"
    );
    let gone = api.delete(user, "/level3/threshold?domain=cdn.exrqs.com").await;
    assert_eq!(gone.ok(), json!({"err": 0}));
    assert_eq!(api.delete(user, "/level3/threshold?domain=cdn.exrqs.com").await.codes(), (200, 6));
    assert_eq!(listed(user, "").await.len(), 1);
}

#[tokio::test]
async fn wrong_thresholds_are_refused_by_name_and_change_nothing() {
    let fixture = TrafficApi::new().await;
    let (api, user) = (&fixture.api, &fixture.user);
    for (body, code, why) in [
        (json!({"domain": "cdn.exrqs.com"}), 2, "bandwidth: or errorRatio or hitRatio must be given"),
        (
            json!({"domain": "cdn.exrqs.com", "bandwidth": 0}),
            2,
            "bandwidth: must be from 1 to 1000000000000000",
        ),
        (json!({"domain": "cdn.exrqs.com", "errorRatio": 1.01}), 2, "errorRatio: must be from 0 to 1"),
        (json!({"domain": "cdn.exrqs.com", "errorRatio": "5%"}), 2, "errorRatio: must be from 0 to 1"),
        (json!({"domain": "cdn.exrqs.com", "hitRatio": -0.1}), 2, "hitRatio: must be from 0 to 1"),
        (
            json!({"domain": "cdn.exrqs.com", "hitRatio": 0.5, "minRequests": 0}),
            2,
            "minRequests: must be from 1 to 1000000000",
        ),
        (json!({"domain": "cdn.exrqs.com", "bandwith": 5}), 2, "bandwith: is not known here"),
        (json!({"bandwidth": 5}), 2, "domain: is required"),
        (json!({"domain": "other.com", "bandwidth": 5}), 4, "not permitted"),
        (json!({"domain": "nowhere.com", "bandwidth": 5}), 4, "not permitted"),
        (
            json!({"login_email": "other@example.com", "domain": "other.com", "bandwidth": 5}),
            4,
            "not permitted",
        ),
    ] {
        let refused = api.post(user, "/level3/threshold", body.clone()).await.body;
        assert_eq!(refused, json!({"err": code, "msg": why}), "{body}");
    }
    assert_eq!(api.get(user, "/level3/threshold").await.ok()["results"], json!([]));
}

#[tokio::test]
async fn alarms_are_listed_in_pages() {
    let fixture = TrafficApi::new().await;
    let api = &fixture.api;
    let operator = api.account("operator", "8").await;
    let worker = AlarmWorker::new(api.pilothouse.clone());
    let now = api.pilothouse.clock().now().timestamp();
    let closed = (now - 60).div_euclid(300) * 300 - 300;
    let names = ["cdn.exrqs.com", "cdn.exrqs1.com"];
    for name in names {
        api.post(&fixture.user, "/level3/threshold", json!({"domain": name, "bandwidth": 1000})).await.ok();
    }
    let cells = names.map(|name| (fixture.domain(name), closed, 75_000, None));
    fixture.record(&cells, &[], "").await;
    worker.turn().await.unwrap();
    for edge in ["edge-1", "edge-2"] {
        api.pilothouse.alarms().log_unreadable("level3", edge, "no such file").await.unwrap();
    }
    api.pilothouse.alarms().log_readable("level3", "edge-1").await.unwrap();
    let list = async |token: &str, query: &str| {
        let found = api.get(token, &format!("/level3/alarms?{query}")).await;
        let total = found.headers.get("x-total-count").map(|total| total.to_str().unwrap().to_owned());
        (found.ok()["results"].as_array().unwrap().clone(), total)
    };
    let (rows, total) = list(&operator, "total=1").await;
    assert_eq!(total.as_deref(), Some("4"));
    let domain = json!({
        "id": rows[0]["id"], "kind": "bandwidth", "state": "open", "login_email": "user@example.com",
        "domain": "cdn.exrqs.com", "cdn": "", "edge": "", "threshold": 1000, "value": 2000, "reason": "",
        "begin": rows[0]["begin"], "seen": rows[0]["seen"], "end": "",
    });
    assert_eq!(rows[0], domain);
    let ended = &rows[2];
    assert_eq!((&ended["kind"], &ended["state"]), (&json!("unreadable_log"), &json!("ended")));
    assert_eq!((&ended["threshold"], &ended["end"]), (&Value::Null, &ended["seen"]));
    let (next, _) = list(&operator, &format!("start={}&count=1", rows[1]["id"])).await;
    assert_eq!(next, rows[1..2]);
    let (newest, _) = list(&operator, &format!("order=newest&count=2&before={}", rows[3]["id"])).await;
    assert_eq!(newest, [rows[2].clone(), rows[1].clone()]);
    for (query, expected) in [
        ("state=ended", vec![2]),
        ("state=open&kind=unreadable_log", vec![3]),
        ("domain=cdn.exrqs1.com", vec![1]),
        ("cdn=level3&edge=edge-2", vec![3]),
        ("login_email=user@example.com", vec![0, 1]),
        ("login_email=other@example.com", vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|n: usize| rows[n].clone()).collect();
        assert_eq!(list(&operator, query).await.0, expected, "{query}");
    }
    assert_eq!(list(&fixture.user, "").await.0, rows[..2]);
    assert!(list(&fixture.other, "").await.0.is_empty());
    let foreign = api.get(&fixture.other, "/level3/alarms?login_email=user@example.com").await;
    assert_eq!(foreign.codes(), (200, 4));
    for (query, why) in [
        ("state=closed", "state: must be open or ended"),
        ("kind=x", "kind: must be bandwidth, error_ratio, hit_ratio, silent_edge, unreadable_log or log_gap"),
        ("count=1001", "count: must be from 1 to 1000"),
        ("domains=x", "domains: is not known here"),
        ("edge=", "edge: must not be empty; leave it out for no selection"),
    ] {
        let refused = api.get(&operator, &format!("/level3/alarms?{query}")).await.body;
        assert_eq!(refused, json!({"err": 2, "msg": why}), "{query}");
    }
}
