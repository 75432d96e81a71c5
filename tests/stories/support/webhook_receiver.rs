//! Receiver of webhooks, which checks what reaches it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;

use super::TIMEOUT;

/// Value of `TEST_SECRET`, which every installation sets.
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Request as it reached the receiver.
#[derive(Clone, Debug)]
pub(crate) struct WebhookCall {
    pub(crate) path: String,
    headers: HeaderMap,
    body: String,
}

impl WebhookCall {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// Checks time and signature; the body as JSON.
    pub(crate) fn verified(&self) -> Value {
        let time = self.header("x-pilothouse-time");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert!(now.abs_diff(time.parse().unwrap()) < 60, "{time}");
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
        mac.update(format!("{time}.{}", self.body).as_bytes());
        let expected = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        assert_eq!(self.header("x-pilothouse-signature"), expected);
        assert_eq!(self.header("content-type"), "application/json");
        let body: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["event"], self.header("x-pilothouse-event"));
        body
    }
}

/// Receiver of webhooks, which answers the first calls with the given statuses and the others with 200.
#[derive(Clone, Default)]
pub(crate) struct WebhookReceiver {
    answers: Arc<tokio::sync::Mutex<Vec<u16>>>,
    calls: Arc<Mutex<Vec<WebhookCall>>>,
}

impl WebhookReceiver {
    pub(crate) async fn start(port: u16, mut answers: Vec<u16>) -> Self {
        answers.reverse();
        let receiver = Self { answers: Arc::new(answers.into()), calls: Arc::default() };
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let router = Router::new().fallback(Self::answer).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    async fn answer(
        State(receiver): State<Self>,
        OriginalUri(uri): OriginalUri,
        headers: HeaderMap,
        body: Bytes,
    ) -> impl IntoResponse {
        let body = String::from_utf8(body.to_vec()).unwrap();
        receiver.calls.lock().unwrap().push(WebhookCall { path: uri.path().to_owned(), headers, body });
        let status = receiver.answers.lock().await.pop().unwrap_or(200);
        (StatusCode::from_u16(status).unwrap(), [("location", "/elsewhere")])
    }

    pub(crate) fn calls(&self) -> Vec<WebhookCall> {
        self.calls.lock().unwrap().clone()
    }

    /// Waits for so many calls, and a while longer: there are no more.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<WebhookCall> {
        let begun = Instant::now();
        while self.calls().len() < count {
            assert!(begun.elapsed() < TIMEOUT, "{:?}", self.calls());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(self.calls().len(), count, "{:?}", self.calls());
        self.calls()
    }
}
