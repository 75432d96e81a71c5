//! Webhook worker: attempts, pauses, and the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use pilothouse_core::Pilothouse;
use pilothouse_core::config::Selector;
use pilothouse_core::webhook::{MAX_ATTEMPTS, WebhookWorker};

use super::fixture::ScriptedSender;
use super::{events, subscribed};
use crate::config::delivery::fixture::DeliveryFixture;

/// One event that waits, and who sends it.
struct WebhookFixture {
    delivery: DeliveryFixture,
    sender: Arc<ScriptedSender>,
}

impl WebhookFixture {
    async fn new() -> Self {
        let delivery = DeliveryFixture::with(subscribed()).await;
        delivery.publish("1", &Selector::default()).await;
        Self { delivery, sender: Arc::default() }
    }

    fn server(&self) -> Pilothouse {
        self.delivery.pilothouse.clone().with_webhook_sender(self.sender.clone())
    }

    /// Lets another worker look once; how many attempts it made.
    async fn turn(&self) -> usize {
        WebhookWorker::new(self.server()).unwrap().turn("chat").await.unwrap()
    }

    fn pass(&self, seconds: i64) {
        self.delivery.clock.advance(TimeDelta::seconds(seconds));
    }

    async fn is_waiting(&self) -> bool {
        self.pass(4000);
        !events(&*self.delivery.storage).await.is_empty()
    }
}

#[tokio::test]
async fn a_delivery_is_retried_until_it_is_accepted() {
    let fixture = WebhookFixture::new().await;
    assert_eq!(fixture.turn().await, 1);
    assert_eq!(fixture.turn().await, 0, "not before the pause is over");
    fixture.pass(1);
    assert_eq!(fixture.turn().await, 1);
    fixture.pass(1);
    assert_eq!(fixture.turn().await, 0, "each pause is longer");
    fixture.pass(1);
    fixture.sender.accepts.store(true, Ordering::SeqCst);
    assert_eq!(fixture.turn().await, 1);
    assert!(!fixture.is_waiting().await);
    let attempts = fixture.sender.attempts.lock().unwrap();
    assert!(attempts.iter().all(|one| (&one.key, &one.body) == (&attempts[0].key, &attempts[0].body)));
    assert_eq!(attempts.iter().map(|one| one.attempts).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn a_delivery_is_given_up_after_the_last_attempt() {
    let fixture = WebhookFixture::new().await;
    for _ in 0..MAX_ATTEMPTS {
        assert_eq!(fixture.turn().await, 1);
        fixture.pass(3600);
    }
    assert_eq!(fixture.turn().await, 0);
    assert!(!fixture.is_waiting().await);
}

#[tokio::test]
async fn a_delivery_of_a_worker_that_died_is_sent_again() {
    let fixture = WebhookFixture::new().await;
    fixture.sender.hangs.store(true, Ordering::SeqCst);
    let worker = WebhookWorker::new(fixture.server()).unwrap();
    let dying = tokio::spawn(async move { worker.turn("chat").await });
    while fixture.sender.attempts.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    dying.abort();
    fixture.sender.hangs.store(false, Ordering::SeqCst);
    fixture.pass(14);
    assert_eq!(fixture.turn().await, 0, "its lease is not over");
    fixture.pass(1);
    assert_eq!(fixture.turn().await, 1);
}

/// Deliveries are forgotten after two days in which their webhook was not in the settings.
#[tokio::test]
async fn deliveries_of_a_removed_webhook_are_forgotten() {
    let fixture = WebhookFixture::new().await;
    fixture.delivery.pilothouse.housekeep().await.unwrap();
    for hours in 1..=49 {
        assert_eq!(events(&*fixture.delivery.storage).await.len(), 1, "{hours}");
        fixture.pass(3600);
        fixture.delivery.pilothouse.housekeep().await.unwrap();
    }
    assert!(events(&*fixture.delivery.storage).await.is_empty());
}
