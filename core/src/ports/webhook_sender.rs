//! Webhook sender: the port to the receivers.

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::webhook::WebhookDelivery;

/// Reason why a receiver has not accepted a delivery, for the log: neither its URL nor a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WebhookError(pub String);

/// Sends deliveries to the receivers of the operator's webhooks.
#[async_trait]
pub trait WebhookSender: Debug + Send + Sync + 'static {
    /// Makes one attempt, within 10 s; `time` is the present, which is signed with the body. A receiver may be sent a
    /// delivery again that it has accepted.
    async fn send(&self, delivery: &WebhookDelivery, time: DateTime<Utc>) -> Result<(), WebhookError>;
}
