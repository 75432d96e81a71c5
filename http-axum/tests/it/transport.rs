//! What is refused before any use case is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::Request;
use chrono::{DateTime, Utc};
use pilothouse_core::ports::{Clock, RandomIds, SystemClock};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_http_axum::HttpSettings;
use pilothouse_storage_memory::MemoryStorage;
use serde_json::json;

use crate::api::Api;

/// A clock that can be made to panic.
#[derive(Debug, Default)]
struct Brittle(AtomicBool);

impl Clock for Brittle {
    fn now(&self) -> DateTime<Utc> {
        assert!(!self.0.load(Ordering::SeqCst), "the spring of clock 4711 broke");
        SystemClock.now()
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_in_each_envelope() {
    let api = Api::new().await;
    for (path, codes) in [
        ("/nowhere", (404, 404)),
        ("/api/nowhere", (404, 404)),
        ("/config/nowhere", (404, 6)),
        ("/level3/nowhere", (404, 6)),
    ] {
        assert_eq!(api.get("", path).await.codes(), codes, "{path}");
    }
    let refused = api.call("PATCH", "", "/api/task", None).await;
    assert_eq!(refused.codes(), (405, 405));
    assert!(refused.headers["allow"].to_str().unwrap().contains("DELETE"));
}

#[tokio::test]
async fn bodies_that_are_not_json_or_too_long() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let post = |body: Vec<u8>| {
        Request::post("/api/task")
            .header("authorization", format!("Bearer {root}"))
            .body(Body::from(body))
            .unwrap()
    };
    assert_eq!(api.send(post(b"{\"action\": ".to_vec())).await.codes(), (400, 400));
    assert_eq!(api.send(post(b"\xff\xfe".to_vec())).await.codes(), (400, 400));
    assert_eq!(api.send(post(b"[]".to_vec())).await.codes(), (200, 400));
    assert_eq!(api.send(post(b"{\"a\":1,\"a\":2}".to_vec())).await.codes(), (200, 400));
    assert_eq!(api.send(post(vec![b' '; (8 << 20) + 1])).await.codes(), (413, 413));
    let unsized_body = Body::from_stream(futures_util::stream::iter(
        std::iter::repeat_n(vec![b' '; 1 << 20], 9).map(Ok::<_, std::io::Error>),
    ));
    let request =
        Request::post("/api/task").header("authorization", format!("Bearer {root}")).body(unsized_body);
    assert_eq!(api.send(request.unwrap()).await.codes(), (413, 413));
}

#[tokio::test]
async fn secrets_are_not_taken_from_query_strings() {
    let api = Api::new().await;
    let refused = api.call("POST", "", "/admin/user_login?password=x", Some(json!({"name": "root"}))).await;
    assert_eq!(refused.body, json!({"code": 400, "info": "password: is not accepted in a query string"}));
}

#[tokio::test]
async fn answers_carry_an_id_and_are_not_stored() {
    let api = Api::new().await;
    let answer = api.get("", "/healthz").await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(!answer.headers["x-request-id"].is_empty());
    assert_eq!(answer.ok(), json!({"status": "ok"}));
    assert_eq!(api.get("", "/readyz").await.ok(), json!({"status": "ok"}));
}

#[tokio::test]
async fn a_panic_ends_one_request_and_is_not_told() {
    let clock = Arc::new(Brittle::default());
    let storage = Arc::new(MemoryStorage::new());
    let domain = Pilothouse::with(storage, Settings::default(), clock.clone(), Arc::new(RandomIds)).unwrap();
    let api = Api::over(domain, HttpSettings::default()).await;
    let root = api.login("root").await;
    let paths =
        ["/api/task", "/configs/app1/dev/application", "/notifications/v2?appId=app1&notifications=[]"];
    let before = [(200, 200), (401, 401), (401, 401)];
    for (panics, expected) in [(false, before), (true, [(500, 500); 3]), (false, before)] {
        clock.0.store(panics, Ordering::SeqCst);
        for (path, codes) in paths.into_iter().zip(expected) {
            let request = Request::get(path).header("authorization", format!("Bearer {root}"));
            let answer = api.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.codes(), codes, "{path}: {}", answer.body);
            assert!(!answer.body.to_string().contains("4711"), "{path}: {}", answer.body);
        }
    }
}
