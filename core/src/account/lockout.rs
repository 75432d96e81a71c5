//! Lockouts: recording of failed log-ins, and the event that a name or an address is refused from then on.

use std::net::IpAddr;

use serde_json::json;

use super::login::{FAILURES_PER_ADDRESS, FAILURES_PER_NAME_AND_ADDRESS, Logins, WINDOW};
use crate::Result;
use crate::ports::{LockKey, UnitOfWork};
use crate::webhook::EventKind;

impl Logins<'_> {
    /// Records a failure, and queues an event where it is the one that reaches a limit.
    pub(super) async fn record_failure(
        &self,
        work: &mut dyn UnitOfWork,
        name: &str,
        network: IpAddr,
    ) -> Result<()> {
        let now = self.0.clock().now();
        if !self.0.has_subscribers(EventKind::LoginLocked) {
            return Ok(work.login_failures().insert(name, network, now).await?);
        }
        // Servers that record failures at the same time would not see each other's.
        work.lock(LockKey::Events).await?;
        work.login_failures().insert(name, network, now).await?;
        let address = (!network.is_unspecified()).then_some(network);
        for (name, limit) in [(Some(name), FAILURES_PER_NAME_AND_ADDRESS), (None, FAILURES_PER_ADDRESS)] {
            let (since, until) = (now - WINDOW, now + WINDOW);
            let failures = work.login_failures();
            if failures.count(name, Some(network), since, until).await? != limit {
                continue;
            }
            let oldest = failures.oldest(name, Some(network), since, until).await?.unwrap_or(now);
            let data = json!({"name": name, "address": address, "until": (oldest + WINDOW).timestamp()});
            self.0.queue_event(work, EventKind::LoginLocked, data).await?;
        }
        Ok(())
    }
}
