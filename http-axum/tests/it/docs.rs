//! `/openapi.json` and `/docs`, self-contained under any prefix.

use std::io::Read;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use flate2::read::GzDecoder;
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_http_axum::{ApiState, HttpSettings, router};
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};
use tower::ServiceExt;

fn nested(prefix: &str) -> Router {
    let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new().strict()), Settings::default()).unwrap();
    let settings = HttpSettings::default().with_prefix(prefix);
    let (inner, _) = router(ApiState::new(pilothouse).settings(settings));
    if prefix.is_empty() { inner } else { Router::new().nest(prefix, inner) }
}

async fn get(router: &Router, path: &str) -> Response<Body> {
    router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(router: &Router, path: &str) -> String {
    let response = get(router, path).await;
    assert_eq!(response.status(), 200, "{path}");
    let compressed = response.headers().get("content-encoding").is_some_and(|encoding| encoding == "gzip");
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec();
    if !compressed {
        return String::from_utf8(body).unwrap();
    }
    let mut text = String::new();
    GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    text
}

/// The values of `src`, `href` and the like in a page.
#[cfg(feature = "docs-ui")]
fn references(html: &str) -> Vec<&str> {
    let attributes = ["src=", "href=", "action=", "data="];
    let found = attributes.iter().flat_map(|attribute| html.split(*attribute).skip(1));
    found.map(|rest| rest[1..].split(['"', '\'']).next().unwrap()).collect()
}

#[cfg(feature = "docs-ui")]
#[tokio::test]
async fn docs_load_nothing_from_other_hosts() {
    for prefix in ["", "/pilothouse"] {
        let router = nested(prefix);
        let moved = get(&router, &format!("{prefix}/docs")).await;
        assert_eq!((moved.status().as_u16(), &moved.headers()["location"]), (308, &"docs/".parse().unwrap()));

        let page = get(&router, &format!("{prefix}/docs/")).await;
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("http"), "{policy}");

        let index = text(&router, &format!("{prefix}/docs/")).await;
        let files = references(&index);
        assert!(files.iter().any(|file| file.ends_with("swagger-initializer.js")), "{index}");
        for file in files {
            assert!(!file.contains(':') && !file.starts_with('/'), "{file} is not beside the page");
            let file = file.trim_start_matches("./");
            let path = format!("{prefix}/docs/{file}");
            if path.rsplit('.').next() != Some("css") {
                assert_eq!(get(&router, &path).await.status(), 200, "{path}");
                continue;
            }
            let css = text(&router, &path).await;
            let urls = css.split("url(").skip(1).map(|rest| rest.trim_start_matches(['"', '\'']));
            assert!(urls.into_iter().all(|url| url.starts_with("data:") || url.starts_with('#')), "{path}");
            assert!(!css.contains("@import"), "{path}");
        }
        let start = text(&router, &format!("{prefix}/docs/swagger-initializer.js")).await;
        assert!(!start.contains("://"), "{start}");
        assert!(start.contains(r#""url": "../openapi.json""#), "{start}");
        assert!(start.contains(r#""validatorUrl": "none""#), "{start}");
        assert_eq!(get(&router, &format!("{prefix}/docs/nothing.js")).await.status(), 404);
    }
}

#[cfg(feature = "docs-ui")]
#[tokio::test]
async fn a_browser_at_the_root_is_led_to_the_pages() {
    for prefix in ["", "/pilothouse"] {
        let router = nested(prefix);
        let root = if prefix.is_empty() { "/" } else { prefix };
        let at_root = async |accept: &str| {
            let request = Request::get(root).header("accept", accept).body(Body::empty()).unwrap();
            router.clone().oneshot(request).await.unwrap()
        };
        let led = at_root("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8").await;
        assert_eq!(led.status(), 302);
        assert_eq!(led.headers()["location"], format!("{prefix}/docs/"));
        assert_eq!(led.headers()["vary"], "accept");
        assert_eq!(at_root("*/*").await.status(), 404, "a program is told that it is no path");
    }
}

#[tokio::test]
async fn a_host_says_where_the_root_leads() {
    let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new()), Settings::default()).unwrap();
    let http = HttpSettings::default().with_prefix("/fleet").with_front(Some("/console".to_owned()));
    let (routes, _) = router::<()>(ApiState::new(pilothouse).settings(http));
    let request = Request::get("/fleet").header("accept", "text/html").body(Body::empty()).unwrap();
    let led = Router::new().nest("/fleet", routes).oneshot(request).await.unwrap();
    assert_eq!((led.status().as_u16(), led.headers()["location"].to_str().unwrap()), (302, "/fleet/console"));
}

#[tokio::test]
async fn a_nested_document_knows_its_prefix() {
    let router = nested("/pilothouse");
    let document: Value = serde_json::from_str(&text(&router, "/pilothouse/openapi.json").await).unwrap();
    assert_eq!(document["servers"], json!([{"url": "/pilothouse"}]));
    assert_eq!(document["paths"], crate::document_check::DOCUMENT["paths"]);
    assert_eq!(text(&router, "/pilothouse/healthz").await, r#"{"status":"ok"}"#);
    // The envelope is that of the family of the inner path, also for unknown paths.
    let absent = get(&router, "/pilothouse/level3/nothing").await;
    assert_eq!(absent.status(), 404);
    let body = to_bytes(absent.into_body(), usize::MAX).await.unwrap();
    assert_eq!(body, r#"{"err":6,"msg":"there is no such path"}"#);
    assert_eq!(get(&router, "/healthz").await.status(), 404, "only below the prefix");
}
