//! Webhooks: events that receivers of the operator's choice are sent, durable from the transaction of the deed on.

mod delivery;
mod event;
mod worker;

pub use delivery::{WebhookDelivery, WebhookDeliveryId, WebhookDeliveryRepository};
pub use event::{EventKind, WebhookSubscription};
pub use worker::{LONGEST_PAUSE, MAX_ATTEMPTS, WebhookWorker};
