//! Events: their names, who subscribes to them, and how they are queued.

use std::str::FromStr;

use serde_json::{Value, json};

use super::delivery::{WebhookDelivery, WebhookDeliveryId};
use crate::ports::UnitOfWork;
use crate::{Pilothouse, Result};

/// Kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EventKind {
    /// A full or a grey release was published.
    ReleasePublished,
    /// A grey release was made the full one.
    ReleasePromoted,
    /// A grey release was taken back.
    ReleaseAborted,
    /// A node rejected a release.
    ReleaseRejected,
    /// A refresh or preload failed for good.
    JobFailed,
    /// An edge does not answer any more.
    EdgeUnreachable,
    /// An edge is in service for the first time, or again after it was unreachable.
    EdgeInService,
    /// Log-ins are refused after too many failures.
    LoginLocked,
    /// A domain is beyond a threshold, or an edge or its log is out of order.
    AlarmBegun,
    /// End of the episode that an alarm told of.
    AlarmEnded,
    /// An update of a file or its revert failed, or its machine is silent since the file may have been replaced.
    UpdateFailed,
    /// An update of a file succeeded.
    UpdateSucceeded,
    /// The old file is back after an update.
    UpdateReverted,
    /// An update was cancelled before it touched the file.
    UpdateCancelled,
    /// A batch of updates stopped after too many failures.
    BatchHeld,
    /// A batch of updates, or its revert, has ended.
    BatchEnded,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::ReleasePublished,
        Self::ReleasePromoted,
        Self::ReleaseAborted,
        Self::ReleaseRejected,
        Self::JobFailed,
        Self::EdgeUnreachable,
        Self::EdgeInService,
        Self::LoginLocked,
        Self::AlarmBegun,
        Self::AlarmEnded,
        Self::UpdateFailed,
        Self::UpdateSucceeded,
        Self::UpdateReverted,
        Self::UpdateCancelled,
        Self::BatchHeld,
        Self::BatchEnded,
    ];

    /// Name on the wire and in the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReleasePublished => "release.published",
            Self::ReleasePromoted => "release.promoted",
            Self::ReleaseAborted => "release.aborted",
            Self::ReleaseRejected => "release.rejected",
            Self::JobFailed => "job.failed",
            Self::EdgeUnreachable => "edge.unreachable",
            Self::EdgeInService => "edge.in_service",
            Self::LoginLocked => "login.locked",
            Self::AlarmBegun => "alarm.begun",
            Self::AlarmEnded => "alarm.ended",
            Self::UpdateFailed => "update.failed",
            Self::UpdateSucceeded => "update.succeeded",
            Self::UpdateReverted => "update.reverted",
            Self::UpdateCancelled => "update.cancelled",
            Self::BatchHeld => "batch.held",
            Self::BatchEnded => "batch.ended",
        }
    }
}

impl FromStr for EventKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("there is no event {text}; the events are {names}")
        })
    }
}

/// Webhook as the domain knows it: its name and its events. URL and secret are the sender's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSubscription {
    /// Name, unique among the webhooks.
    pub name: String,
    /// Events that it is sent.
    pub events: Vec<EventKind>,
}

impl Pilothouse {
    /// Whether any webhook is sent events of this kind; where none is, nothing has to be found out for its body.
    pub(crate) fn has_subscribers(&self, kind: EventKind) -> bool {
        self.subscribers(kind).next().is_some()
    }

    fn subscribers(&self, kind: EventKind) -> impl Iterator<Item = &WebhookSubscription> {
        self.settings().webhooks.iter().filter(move |webhook| webhook.events.contains(&kind))
    }

    /// Queues an event for each of its subscribers, in the transaction of the deed.
    pub(crate) async fn queue_event(
        &self,
        work: &mut dyn UnitOfWork,
        kind: EventKind,
        data: Value,
    ) -> Result<()> {
        if !self.has_subscribers(kind) {
            return Ok(());
        }
        let created = work.now().await?;
        let (event, time) = (kind.as_str(), created.timestamp());
        let body = json!({"event": event, "time": time, "data": data}).to_string();
        for webhook in self.subscribers(kind) {
            let delivery = WebhookDelivery {
                id: WebhookDeliveryId::UNSAVED,
                key: self.ids().uuid().simple().to_string(),
                webhook: webhook.name.clone(),
                event: event.to_owned(),
                body: body.clone(),
                created,
                due: created,
                is_claimed: false,
                attempts: 0,
            };
            work.webhook_deliveries().insert(&delivery).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for kind in EventKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        let refused = "release".parse::<EventKind>().unwrap_err();
        assert!(refused.starts_with("there is no event release; ") && refused.contains("edge.in_service"));
    }
}
