//! Calls from browsers: pages of the configured origins, and of others.

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use pilothouse_core::Settings;
use pilothouse_http_axum::HttpSettings;

use crate::api::{Answer, Api};

const CONSOLE: &str = "https://console.example.com";

async fn send(api: &Api, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.send(request.body(Body::empty()).unwrap()).await
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn pages_of_the_configured_origins_may_call() {
    let origins = [CONSOLE, "http://localhost:3000"].map(|origin| origin.parse().unwrap());
    let api = Api::with(Settings::default(), HttpSettings::default().with_cors_origins(origins)).await;
    let token = format!("Bearer {}", api.login("root").await);
    // Of an operation, of a path spelt otherwise, and of none: errors can be read, too.
    for path in ["/config/query?app=a&profile=dev", "//api//task/", "/nowhere"] {
        for origin in [CONSOLE, "http://localhost:3000"] {
            let wanted = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "authorization,content-type"),
            ];
            let preflight = send(&api, "OPTIONS", path, &wanted).await;
            assert_eq!(preflight.status, 200, "{path}");
            assert_eq!(header(&preflight.headers, "access-control-allow-origin"), origin, "{path}");
            let methods = header(&preflight.headers, "access-control-allow-methods").to_owned();
            assert_eq!(methods, "GET,POST,PUT,DELETE");
            let allowed = header(&preflight.headers, "access-control-allow-headers").to_owned();
            assert!(["authorization", "content-type"].iter().all(|name| allowed.contains(name)), "{allowed}");

            let answer = send(&api, "GET", path, &[("origin", origin), ("authorization", &token)]).await;
            assert_eq!(header(&answer.headers, "access-control-allow-origin"), origin, "{path}");
            assert!(header(&answer.headers, "access-control-expose-headers").contains("x-request-id"));
            assert!(header(&answer.headers, "vary").contains("origin"), "{path}");
            assert_eq!(header(&answer.headers, "access-control-allow-credentials"), "");
        }
        for origin in [
            "https://evil.example",
            "http://console.example.com",
            "https://console.example.com.evil.example",
            "null",
        ] {
            for method in ["OPTIONS", "GET"] {
                let wanted = [
                    ("origin", origin),
                    ("access-control-request-method", "POST"),
                    ("authorization", &token),
                ];
                let answer = send(&api, method, path, &wanted).await;
                assert_eq!(
                    header(&answer.headers, "access-control-allow-origin"),
                    "",
                    "{method} {path} {origin}"
                );
            }
        }
    }
}

#[tokio::test]
async fn without_the_setting_no_page_may_call() {
    let api = Api::new().await;
    let wanted = [("origin", CONSOLE), ("access-control-request-method", "POST")];
    for method in ["OPTIONS", "GET"] {
        let answer = send(&api, method, "/api/task", &wanted).await;
        assert!(answer.status.is_client_error(), "{method}");
        assert_eq!(header(&answer.headers, "access-control-allow-origin"), "", "{method}");
    }
}
