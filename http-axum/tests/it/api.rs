//! API under test, called in process.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_http_axum::{ApiState, Family, HttpSettings, router};
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::config::apollo;
use crate::document_check;

/// Password of every account in the tests.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Routers over a store of their own, with one administrator, `root`.
pub(crate) struct Api {
    pub(crate) pilothouse: Pilothouse,
    router: Router,
}

/// The answer to a call.
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
        Self::over(Pilothouse::new(Arc::new(MemoryStorage::new().strict()), settings).unwrap(), http).await
    }

    /// Over a domain that has no accounts yet.
    pub(crate) async fn over(pilothouse: Pilothouse, http: HttpSettings) -> Self {
        pilothouse.accounts().create_superuser("root", "root@example.com", PASSWORD).await.unwrap();
        Self::of(pilothouse, http)
    }

    /// Over a domain with accounts.
    pub(crate) fn of(pilothouse: Pilothouse, http: HttpSettings) -> Self {
        // Short, so that a test does not wait as long as an Apollo client for an answer without news.
        let long_poll = Duration::from_millis(50);
        let (router, _) = router(ApiState::new(pilothouse.clone()).settings(http.with_long_poll(long_poll)));
        Self { pilothouse, router }
    }

    /// Over a domain with accounts, with this hold of notification requests of Apollo clients.
    pub(crate) fn with_long_poll(pilothouse: Pilothouse, long_poll: Duration) -> Self {
        let http = HttpSettings::default().with_long_poll(long_poll);
        let (router, _) = router(ApiState::new(pilothouse.clone()).settings(http));
        Self { pilothouse, router }
    }

    /// Logs an account in; its token.
    pub(crate) async fn login(&self, name: &str) -> String {
        self.pilothouse.logins().login(name, PASSWORD, None).await.unwrap().token
    }

    /// Adds an account in these groups, comma-separated; its token.
    pub(crate) async fn account(&self, name: &str, permissions: &str) -> String {
        let root = self.login("root").await;
        let data = json!({
            "mail": format!("{name}@example.com"), "name": name, "passwd": PASSWORD,
            "department": "dev", "permissions": permissions,
        });
        let added = self.post(&root, "/admin/user", json!({"action": "add", "data": data})).await;
        assert_eq!(added.ok(), json!({"code": 200, "ok": true, "info": "add user ok"}));
        self.login(name).await
    }

    /// Sends a call with a token, if it is not empty, and a JSON body.
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

    /// Sends a request, from 192.0.2.1 unless it has a peer address, and checks the answer against the API document.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Answer {
        let peer: SocketAddr = "192.0.2.1:4711".parse().unwrap();
        if request.extensions().get::<ConnectInfo<SocketAddr>>().is_none() {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        document_check::check(&method, &path, parts.status, &parts.headers, &bytes);
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Sends a request from 192.0.2.1; the answer as it comes.
    pub(crate) async fn raw(&self, mut request: Request<Body>) -> Response {
        let peer: SocketAddr = "192.0.2.1:4711".parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        self.router.clone().oneshot(request).await.unwrap()
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

/// Percent-escapes all but letters and digits.
pub(crate) fn escape(text: &str) -> String {
    // In one piece: some of the texts have a megabyte.
    let mut escaped = String::with_capacity(3 * text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").unwrap();
        }
    }
    escaped
}
