//! A server under test, and the calls on it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_http_axum::{ApiState, Family, HttpSettings, router};
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{apollo, conform};

/// The password of every account in the tests.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A server over a store of its own, with one administrator, `root`.
pub(crate) struct Api {
    pub(crate) pilothouse: Pilothouse,
    router: Router,
}

/// What a call was answered with.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of an answer with HTTP 200.
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.body
    }

    /// HTTP status and the envelope's code.
    pub(crate) fn codes(&self) -> (u16, i64) {
        let code = ["code", "err", "status"].into_iter().find_map(|name| self.body.get(name));
        (self.status.as_u16(), code.and_then(Value::as_i64).unwrap_or(-1))
    }
}

impl Api {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default(), HttpSettings::default()).await
    }

    pub(crate) async fn with(settings: Settings, http: HttpSettings) -> Self {
        Self::over(Pilothouse::new(Arc::new(MemoryStorage::new()), settings).unwrap(), http).await
    }

    /// Over a domain of the test's own, without accounts so far.
    pub(crate) async fn over(pilothouse: Pilothouse, http: HttpSettings) -> Self {
        pilothouse.accounts().create_superuser("root", "root@example.com", PASSWORD).await.unwrap();
        Self::of(pilothouse, http)
    }

    /// Over a domain with accounts.
    pub(crate) fn of(pilothouse: Pilothouse, http: HttpSettings) -> Self {
        // Nobody here waits for news as long as Apollo's clients do.
        let apollo_hold = Duration::from_millis(50);
        let (router, _) =
            router(ApiState::new(pilothouse.clone()).settings(HttpSettings { apollo_hold, ..http }));
        Self { pilothouse, router }
    }

    /// Over a domain with accounts, which holds Apollo's clients for so long.
    pub(crate) fn of_patient(pilothouse: Pilothouse, apollo_hold: Duration) -> Self {
        let http = HttpSettings { apollo_hold, ..HttpSettings::default() };
        let (router, _) = router(ApiState::new(pilothouse.clone()).settings(http));
        Self { pilothouse, router }
    }

    /// A token of `name`.
    pub(crate) async fn login(&self, name: &str) -> String {
        self.pilothouse.logins().login(name, PASSWORD, None).await.unwrap().token
    }

    /// Adds an account in these groups and logs it in.
    pub(crate) async fn account(&self, name: &str, permissions: &str) -> String {
        let root = self.login("root").await;
        let data = json!({
            "mail": format!("{name}@example.com"), "name": name, "passwd": PASSWORD,
            "department": "dev", "permissions": permissions,
        });
        let added = self.post(&root, "/admin/user", json!({"action": "add", "data": data})).await;
        assert_eq!(added.ok(), json!({"code": 200, "info": "add user ok"}));
        self.login(name).await
    }

    /// Calls with a token (none when empty), and a body where there is one.
    pub(crate) async fn call(&self, method: &str, token: &str, uri: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        if Family::of(uri) == Family::Apollo {
            let time = self.pilothouse.clock().now().timestamp_millis().to_string();
            request = request.header("authorization", apollo::signed(token, &time, uri));
            request = request.header("timestamp", time);
        } else if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.send(request.body(body).unwrap()).await
    }

    /// Sends a request as it is, from 192.0.2.1 unless it says otherwise. The answer must be as the document says.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Answer {
        let peer: SocketAddr = "192.0.2.1:4711".parse().unwrap();
        if request.extensions().get::<ConnectInfo<SocketAddr>>().is_none() {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        conform::check(&method, &path, parts.status, &parts.headers, &bytes);
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, token: &str, uri: &str) -> Answer {
        self.call("GET", token, uri, None).await
    }

    pub(crate) async fn delete(&self, token: &str, uri: &str) -> Answer {
        self.call("DELETE", token, uri, None).await
    }

    pub(crate) async fn post(&self, token: &str, uri: &str, body: Value) -> Answer {
        self.call("POST", token, uri, Some(body)).await
    }
}
