//! Request middleware: envelopes of errors, body limits, request ids and panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use chrono::{DateTime, Utc};
use pilothouse_core::ports::{Clock, RandomIds, SystemClock};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_http_axum::HttpSettings;
use pilothouse_storage_memory::MemoryStorage;
use serde_json::json;

use crate::api::Api;

/// A clock that panics when a test says so.
#[derive(Debug, Default)]
struct FailingClock(AtomicBool);

impl Clock for FailingClock {
    fn now(&self) -> DateTime<Utc> {
        assert!(!self.0.load(Ordering::SeqCst), "clock 4711 fails");
        SystemClock.now()
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_in_the_envelope_of_the_family() {
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

/// Every path with a variable part, filled with bytes that are no UTF-8, and with NUL.
#[tokio::test]
async fn paths_that_are_no_text_are_refused_in_the_envelope_of_the_family() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let document = &*crate::document_check::DOCUMENT;
    let mut paths: Vec<String> = vec!["/docs/%ff".into(), "/nowhere/%ff".into()];
    for path in document["paths"].as_object().unwrap().keys().filter(|path| path.contains('{')) {
        for bytes in ["%ff", "a%00"] {
            let parts: Vec<_> =
                path.split('/').map(|part| if part.starts_with('{') { bytes } else { part }).collect();
            paths.push(parts.join("/"));
        }
    }
    assert!(paths.iter().any(|path| path == "/level3/log/%ff") && paths.len() > 6, "{paths:?}");
    for path in paths {
        let answer = api.get(&root, &path).await;
        let code = ["code", "err", "status"].iter().find_map(|name| answer.body[*name].as_i64());
        assert!(
            code.is_some_and(|code| code != 0 && code != 200),
            "{path}: {} {}",
            answer.status,
            answer.body
        );
        assert!(
            answer.body["msg"].is_string()
                || answer.body["info"].is_string()
                || answer.body["message"].is_string()
        );
    }
}

#[tokio::test]
async fn malformed_and_oversized_bodies_are_refused() {
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
async fn secrets_in_query_strings_are_refused() {
    let api = Api::new().await;
    let refused = api.call("POST", "", "/admin/user_login?password=x", Some(json!({"name": "root"}))).await;
    assert_eq!(
        refused.body,
        json!({"code": 400, "ok": false, "info": "password: is not accepted in a query string"})
    );
}

#[tokio::test]
async fn answers_have_a_request_id_and_forbid_caching() {
    let api = Api::new().await;
    let answer = api.get("", "/healthz").await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(!answer.headers["x-request-id"].is_empty());
    assert_eq!(answer.ok(), json!({"status": "ok"}));
    assert_eq!(api.get("", "/readyz").await.ok(), json!({"status": "ok"}));
}

#[tokio::test]
async fn a_panic_fails_one_request_without_details() {
    let clock = Arc::new(FailingClock::default());
    let storage = Arc::new(MemoryStorage::new().strict());
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
