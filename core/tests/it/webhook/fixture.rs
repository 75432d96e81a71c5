//! Webhook `chat`, which is sent every event, and a sender whose answers a test decides.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_core::ports::{Storage, WebhookError, WebhookSender};
use pilothouse_core::webhook::{EventKind, WebhookDelivery, WebhookSubscription};
use pilothouse_core::{Lease, Settings};
use serde_json::Value;

/// Settings with the webhook `chat` of every event, and one that is sent none of those in the tests.
pub(crate) fn subscribed() -> Settings {
    let chat = WebhookSubscription { name: "chat".into(), events: EventKind::ALL.into() };
    let silent = WebhookSubscription { name: "silent".into(), events: Vec::new() };
    Settings::default().with_webhooks(vec![chat, silent])
}

/// Event and data of every delivery that `chat` is still to be sent, in order.
pub(crate) async fn events(storage: &dyn Storage) -> Vec<(String, Value)> {
    let mut work = storage.begin().await.unwrap();
    let now = work.now().await.unwrap();
    let lease = Lease::of(TimeDelta::seconds(15));
    assert!(work.webhook_deliveries().claim("silent", now, lease, 1).await.unwrap().is_empty());
    let waiting = work.webhook_deliveries().claim("chat", now, lease, 1000).await.unwrap();
    work.rollback().await.unwrap();
    let event = |delivery: WebhookDelivery| {
        let mut body: Value = serde_json::from_str(&delivery.body).unwrap();
        assert_eq!(body["event"], delivery.event);
        assert_eq!(body["time"], delivery.created.timestamp());
        (delivery.event, body["data"].take())
    };
    waiting.into_iter().map(event).collect()
}

/// Sender that records every attempt.
#[derive(Debug, Default)]
pub(crate) struct ScriptedSender {
    pub(crate) accepts: AtomicBool,
    /// Whether attempts never end.
    pub(crate) hangs: AtomicBool,
    pub(crate) attempts: Mutex<Vec<WebhookDelivery>>,
}

#[async_trait]
impl WebhookSender for ScriptedSender {
    async fn send(&self, delivery: &WebhookDelivery, _: DateTime<Utc>) -> Result<(), WebhookError> {
        self.attempts.lock().unwrap().push(delivery.clone());
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.accepts.load(Ordering::SeqCst) { Ok(()) } else { Err(WebhookError("it is down".into())) }
    }
}
