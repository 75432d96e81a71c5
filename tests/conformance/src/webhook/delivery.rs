//! Webhook deliveries: claims under a lease, pauses, and the end.

use std::sync::Arc;

use chrono::TimeDelta;
use pilothouse_core::Lease;
use pilothouse_core::ports::Storage;
use pilothouse_core::webhook::{LONGEST_PAUSE, WebhookDelivery, WebhookDeliveryId};

use crate::race::race;
use crate::rows::{AWKWARD, moment};

const LEASE: TimeDelta = TimeDelta::seconds(60);
const CLAIM: Lease = Lease::of(LEASE);

/// A delivery to `chat` told apart by `n`, created and due at [`moment`] `n`.
pub fn webhook_delivery(n: i64) -> WebhookDelivery {
    WebhookDelivery {
        id: WebhookDeliveryId::UNSAVED,
        key: format!("key-{n}"),
        webhook: "chat".into(),
        event: "release.published".into(),
        body: format!("{{\"n\":{n},\"text\":\"{AWKWARD}\"}}"),
        created: moment(n),
        due: moment(n),
        is_claimed: false,
        attempts: 0,
    }
}

async fn add(storage: &Arc<dyn Storage>, deliveries: &[WebhookDelivery]) -> Vec<WebhookDelivery> {
    let mut work = storage.begin().await.unwrap();
    let mut added = Vec::new();
    for delivery in deliveries {
        let id = work.webhook_deliveries().insert(delivery).await.unwrap();
        added.push(WebhookDelivery { id, ..delivery.clone() });
    }
    work.commit().await.unwrap();
    added
}

/// Claims what is due of a webhook at [`moment`] `n`.
async fn claim(storage: &Arc<dyn Storage>, webhook: &str, n: i64, count: i64) -> Vec<WebhookDelivery> {
    let mut work = storage.begin().await.unwrap();
    let claimed = work.webhook_deliveries().claim(webhook, moment(n), CLAIM, count).await;
    work.commit().await.unwrap();
    claimed.unwrap()
}

async fn postpone(storage: &Arc<dyn Storage>, delivery: &WebhookDelivery) -> bool {
    let mut work = storage.begin().await.unwrap();
    let postponed = work.webhook_deliveries().postpone(delivery).await.unwrap();
    work.commit().await.unwrap();
    postponed
}

/// The same delivery as claimed at [`moment`] `n`.
fn claimed(delivery: &WebhookDelivery, n: i64, attempts: i64) -> WebhookDelivery {
    WebhookDelivery { due: moment(n) + LEASE, is_claimed: true, attempts, ..delivery.clone() }
}

/// A claim takes the longest due first, of its webhook alone, no more than asked for, and none that is not due; what is
/// rolled back was never queued.
pub(crate) async fn claim_takes_what_is_due(storage: Arc<dyn Storage>) {
    let other = WebhookDelivery { webhook: "other".into(), ..webhook_delivery(0) };
    let mut deliveries = [5, 3, 1, 9].map(webhook_delivery).to_vec();
    deliveries.push(other);
    let added = add(&storage, &deliveries).await;
    let mut work = storage.begin().await.unwrap();
    work.webhook_deliveries().insert(&webhook_delivery(2)).await.unwrap();
    work.rollback().await.unwrap();
    let taken = |n: usize| claimed(&added[n], 5, 1);
    assert_eq!(claim(&storage, "chat", 5, 2).await, [taken(1), taken(2)]);
    assert_eq!(claim(&storage, "chat", 5, 10).await, [taken(0)]);
    assert!(claim(&storage, "chat", 5, 10).await.is_empty());
    assert!(claim(&storage, "nobody", 5, 10).await.is_empty());
    assert_eq!(claim(&storage, "other", 5, 10).await, [taken(4)]);
}

/// What was claimed and never reported is due again when its lease ends; a report of the earlier attempt changes nothing.
pub(crate) async fn lease_ends(storage: Arc<dyn Storage>) {
    let delivery = add(&storage, &[webhook_delivery(0)]).await.remove(0);
    let first = claim(&storage, "chat", 0, 1).await.remove(0);
    let end = LEASE.num_microseconds().unwrap();
    assert!(claim(&storage, "chat", end - 1, 1).await.is_empty());
    let second = claim(&storage, "chat", end, 1).await;
    assert_eq!(second, [claimed(&delivery, end, 2)]);
    assert!(!postpone(&storage, &WebhookDelivery { due: moment(end), ..first }).await);
    assert!(claim(&storage, "chat", end, 1).await.is_empty());
}

/// A delivery is put off, and deleted once.
pub(crate) async fn postponed_and_deleted(storage: Arc<dyn Storage>) {
    let delivery = add(&storage, &[webhook_delivery(0)]).await.remove(0);
    let mut first = claim(&storage, "chat", 0, 1).await.remove(0);
    first.due = moment(7);
    assert!(postpone(&storage, &first).await);
    assert!(claim(&storage, "chat", 6, 1).await.is_empty());
    assert_eq!(claim(&storage, "chat", 7, 1).await, [claimed(&delivery, 7, 2)]);
    let mut work = storage.begin().await.unwrap();
    assert!(work.webhook_deliveries().delete(delivery.id).await.unwrap());
    assert!(!work.webhook_deliveries().delete(delivery.id).await.unwrap());
    work.commit().await.unwrap();
    assert!(!postpone(&storage, &first).await);
    assert!(claim(&storage, "chat", i64::from(u32::MAX), 1).await.is_empty());
}

/// What is claimed for longer than a lease, or waits for longer than any pause, since a clock was ahead, is due.
pub(crate) async fn wait_of_a_clock_ahead_is_void(storage: Arc<dyn Storage>) {
    let delivery = add(&storage, &[webhook_delivery(0)]).await.remove(0);
    let ahead = TimeDelta::hours(1).num_microseconds().unwrap();
    assert_eq!(claim(&storage, "chat", ahead, 1).await, [claimed(&delivery, ahead, 1)]);
    let mut again = claim(&storage, "chat", 0, 1).await.remove(0);
    assert_eq!(again, claimed(&delivery, 0, 2));
    again.due = moment(0) + LONGEST_PAUSE.length();
    assert!(postpone(&storage, &again).await);
    assert!(claim(&storage, "chat", 0, 1).await.is_empty(), "a pause may be that long");
    again.due += TimeDelta::hours(1);
    assert!(postpone(&storage, &again).await);
    assert_eq!(claim(&storage, "chat", 0, 1).await, [claimed(&delivery, 0, 3)]);
}

/// What was created before a moment is forgotten, of whatever webhook.
pub(crate) async fn prune(storage: Arc<dyn Storage>) {
    let other = WebhookDelivery { webhook: "other".into(), ..webhook_delivery(1) };
    let added = add(&storage, &[webhook_delivery(1), other, webhook_delivery(2)]).await;
    let mut work = storage.begin().await.unwrap();
    assert_eq!(work.webhook_deliveries().prune(moment(1)).await.unwrap(), 0);
    assert_eq!(work.webhook_deliveries().prune(moment(2)).await.unwrap(), 2);
    work.commit().await.unwrap();
    assert_eq!(claim(&storage, "chat", 9, 10).await, [claimed(&added[2], 9, 1)]);
    assert!(claim(&storage, "other", 9, 10).await.is_empty());
}

/// 16 workers that claim side by side share the deliveries out: each is taken once.
pub(crate) async fn race_shares_out(storage: Arc<dyn Storage>) {
    let deliveries: Vec<_> = (0..64).map(webhook_delivery).collect();
    let added = add(&storage, &deliveries).await;
    let claims = race(&storage, async |storage: Arc<dyn Storage>, _| {
        let mut mine = Vec::new();
        loop {
            let claimed = claim(&storage, "chat", 64, 3).await;
            if claimed.is_empty() {
                return mine;
            }
            mine.extend(claimed.into_iter().map(|delivery| delivery.id));
        }
    })
    .await;
    let mut claimed: Vec<_> = claims.into_iter().flatten().collect();
    claimed.sort_unstable();
    assert_eq!(claimed, added.iter().map(|delivery| delivery.id).collect::<Vec<_>>());
}
